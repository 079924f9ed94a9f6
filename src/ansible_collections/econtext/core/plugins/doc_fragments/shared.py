# Copyright: the econtext authors. MIT License, see LICENSE.
"""
Options that several connection plugins of the collection have.

A plugin extends ``econtext.core.shared.NAME`` by its own name; ``econtext.core.shared`` alone is what all have.

Invariants:

* The variables, settings and defaults are those of the stock plugin of that name; what that lacks has variables of the
  same form.

Ansible imports this to show documentation, and to read options; nothing here has a state.
"""

PIPELINING = """
  pipelining:
    description: Whether modules go there without a file. Unlike with the stock plugin they do, unless this is set
      to false.
    type: boolean
    default: false
    ini:
    - {{section: defaults, key: pipelining}}
    - {{section: connection, key: pipelining}}{ini}
    env:
    - {{name: ANSIBLE_PIPELINING}}{env}
    vars:
    - {{name: ansible_pipelining}}{vars}
"""

ADDRESS = """
  remote_addr:
    description: {what}.
    type: string
    default: inventory_hostname
    vars:
    - {{name: inventory_hostname}}
    - {{name: ansible_host}}
    - {{name: ansible_{name}_host}}
"""

USER = """
  remote_user:
    description: User whom to be there, as {program} understands it. The place's own unless given.
    type: string
    ini:
    - {{section: defaults, key: remote_user}}
    env:
    - {{name: ANSIBLE_REMOTE_USER}}
    vars:
    - {{name: ansible_user}}
    - {{name: ansible_{name}_user}}
    cli:
    - {{name: user}}
    keyword:
    - {{name: remote_user}}
"""

SHELL = """
  executable:
    description: Shell there that reads the commands.
    type: string
    default: /bin/sh
    ini:
    - {{section: defaults, key: executable}}
    env:
    - {{name: ANSIBLE_EXECUTABLE}}
    vars:
    - {{name: ansible_executable}}
    - {{name: ansible_{name}_executable}}
"""

ARGUMENTS = """
  {name}_extra_args:
    description: More arguments of C({program}), in one text that is read like a line for a shell. They precede what
      the plugin says itself.
    type: string
    default: ''
    vars:
    - {{name: ansible_{name}_extra_args}}
"""

PATH = """
  {name}_path:
    description: Path of the program C({program}) on the machine of Ansible. The stock plugin does not know this.
    type: string
    default: {program}
    vars:
    - {{name: ansible_{name}_path}}
"""

KUBERNETES = """
  {name}_pod:
    description: Name of the pod, or TYPE/NAME of what has pods. The host's name in the inventory unless given.
    type: string
    default: ''
    vars:
    - {{name: ansible_{name}_pod}}
    env:
    - {{name: K8S_AUTH_POD}}
  {name}_container:
    description: Name of the container in the pod. The pod's default unless given.
    type: string
    default: ''
    vars:
    - {{name: ansible_{name}_container}}
    env:
    - {{name: K8S_AUTH_CONTAINER}}
  {name}_namespace:
    description: Namespace of the pod. That of the configuration unless given.
    type: string
    default: ''
    vars:
    - {{name: ansible_{name}_namespace}}
    env:
    - {{name: K8S_AUTH_NAMESPACE}}
  {name}_extra_args:
    description: More arguments of C({name}), before C(exec), in one text that is read like a line for a shell. Other
      users of the machine of Ansible can see these.
    type: string
    default: ''
    vars:
    - {{name: ansible_{name}_extra_args}}
    env:
    - {{name: K8S_AUTH_EXTRA_ARGS}}
  {name}_local_env_vars:
    description: Variables of the environment of C({name}) itself, on the machine of Ansible.
    type: dict
    default: {{}}
    vars:
    - {{name: ansible_{name}_local_env_vars}}
  {name}_kubeconfig:
    description: Path of the configuration, or the configuration itself as a dictionary. C(~/.kube/config) unless given.
    type: raw
    default: ''
    vars:
    - {{name: ansible_{name}_kubeconfig}}
    - {{name: ansible_{name}_config}}
    env:
    - {{name: K8S_AUTH_KUBECONFIG}}
  {name}_context:
    description: Name of a context in the configuration.
    type: string
    default: ''
    vars:
    - {{name: ansible_{name}_context}}
    env:
    - {{name: K8S_AUTH_CONTEXT}}
  {name}_host:
    description: Address of the server.
    type: string
    default: ''
    vars:
    - {{name: ansible_{name}_host}}
    - {{name: ansible_{name}_server}}
    env:
    - {{name: K8S_AUTH_HOST}}
    - {{name: K8S_AUTH_SERVER}}
  {name}_token:
    description: Token for the server. Other users of the machine of Ansible can see this.
    type: string
    vars:
    - {{name: ansible_{name}_token}}
    - {{name: ansible_{name}_api_key}}
    env:
    - {{name: K8S_AUTH_TOKEN}}
    - {{name: K8S_AUTH_API_KEY}}
  client_cert:
    description: Path of a certificate to show to the server.
    type: string
    default: ''
    aliases: [{name}_cert_file]
    vars:
    - {{name: ansible_{name}_cert_file}}
    - {{name: ansible_{name}_client_cert}}
    env:
    - {{name: K8S_AUTH_CERT_FILE}}
  client_key:
    description: Path of the key of this certificate.
    type: string
    default: ''
    aliases: [{name}_key_file]
    vars:
    - {{name: ansible_{name}_key_file}}
    - {{name: ansible_{name}_client_key}}
    env:
    - {{name: K8S_AUTH_KEY_FILE}}
  ca_cert:
    description: Path of the certificate by which the server is known.
    type: string
    default: ''
    aliases: [{name}_ssl_ca_cert]
    vars:
    - {{name: ansible_{name}_ssl_ca_cert}}
    - {{name: ansible_{name}_ca_cert}}
    env:
    - {{name: K8S_AUTH_SSL_CA_CERT}}
  validate_certs:
    description: Whether to check the certificate of the server.
    type: string
    default: ''
    aliases: [{name}_verify_ssl]
    vars:
    - {{name: ansible_{name}_verify_ssl}}
    - {{name: ansible_{name}_validate_certs}}
    env:
    - {{name: K8S_AUTH_VERIFY_SSL}}
"""

# Of an instance of LXD or Incus.
INSTANCES = """
  remote:
    description: Server that has the instance, by its name in C({program} remote list).
    type: string
    default: local
    vars:
    - {{name: ansible_{name}_remote}}
  project:
    description: Project of the instance. The current one unless given.
    type: string
    vars:
    - {{name: ansible_{name}_project}}
  remote_user:
    description: User whom to be there. One other than C(root) is had by C(su) there, one that is a number without.
    type: string
    default: root
    ini:
    - {{section: defaults, key: remote_user}}
    env:
    - {{name: ANSIBLE_REMOTE_USER}}
    vars:
    - {{name: ansible_user}}
    cli:
    - {{name: user}}
    keyword:
    - {{name: remote_user}}
  {name}_become_method:
    description: Path of C(su) there.
    type: string
    default: /bin/su
    vars:
    - {{name: {name}_become_method}}
"""

CONTAINER = 'Name or number of the container, which has to run'
INSTANCE = 'Name of the instance, which has to run. Of a name with dots the part before the first dot counts'
# Plugin -> (what its address is, its program, which of the other options it has).
PLUGINS = {
    'docker': (CONTAINER, 'docker', (USER, PATH)),
    'podman': (CONTAINER, 'podman', (USER,)),
    'kubectl': ('', 'kubectl', (KUBERNETES, PATH)),
    'oc': ('', 'oc', (KUBERNETES, PATH)),
    'lxc': ('Name of the container, which has to run', 'lxc-attach', (SHELL, ARGUMENTS, PATH)),
    'lxd': (INSTANCE, 'lxc', (INSTANCES, SHELL, ARGUMENTS, PATH)),
    'incus': (INSTANCE, 'incus', (INSTANCES, SHELL, ARGUMENTS, PATH)),
    'jail': ('Name or number of the jail', 'jexec', (USER, ARGUMENTS, PATH)),
    'chroot': ('Path of the folder that becomes the root of all files', 'chroot', (SHELL, ARGUMENTS)),
    'machinectl': ('Name of the machine, as C(machinectl list) shows it', 'systemd-run', (USER, ARGUMENTS, PATH)),
    'nspawn': ('Path of the folder that is the root of the container', 'systemd-nspawn', (USER, ARGUMENTS, PATH)),
    'nsenter': ('', 'nsenter', (ARGUMENTS, PATH)),
}


def pipelining(name=''):
    """Return the option C(pipelining); with those sources of `name`, if that is not empty."""
    if not name:
        return PIPELINING.format(ini='', env='', vars='')
    return PIPELINING.format(
        ini=f'\n    - {{section: {name}_connection, key: pipelining}}',
        env=f'\n    - {{name: ANSIBLE_{name.upper()}_PIPELINING}}',
        vars=f'\n    - {{name: ansible_{name}_pipelining}}')


def options(name):
    """Return the shared options of the plugin `name`."""
    what, program, others = PLUGINS[name]
    parts = ((ADDRESS,) if what else ()) + others
    return 'options:' + pipelining() + ''.join(
        part.format(name=name, program=program, what=what) for part in parts)


class ModuleDocFragment:
    """What Ansible reads; an attribute for each plugin is added below."""

    DOCUMENTATION = 'options:' + pipelining()
    SSH = 'options:' + pipelining('ssh')


for each in PLUGINS:
    setattr(ModuleDocFragment, each.upper(), options(each))
