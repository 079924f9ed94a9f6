"""Ansible's connection plugin for hosts that are reached by OpenSSH, over econtext."""

from __future__ import annotations

import os
import re
import shlex

from ansible.plugins.connection import ssh as stock

from ansible_collections.econtext.core.plugins.plugin_utils.persistent import Plugin
from econtext.ansible.connection import Stock
from econtext.ansible.wire import plain

DOCUMENTATION = """
name: ssh
short_description: hosts by OpenSSH, entered once for a whole run
author: [The econtext authors]
description: ['Runs the tasks of a play through one ssh connection to each host, which stays until the run ends.',
  Modules run in forks of a Python that has loaded the common parts of Ansible before., 'All options and variables
    of P(ansible.builtin.ssh#connection) count, those of the installed release included.', 'The stock plugin does
    what econtext cannot: hosts without Python, C(raw), connections with a terminal.']
notes: ['A process of the become user stays on the host while the run lasts, so logs show one session of sudo for
    all tasks.', The environment of the login is that of the first task. Use C(meta=reset_connection) to log in
    again.]
extends_documentation_fragment: [econtext.core.shared.ssh]
options:
  control_path:
    description: Path of the socket of a shared connection, where the stock plugin runs ssh.
    type: string
    ini:
    - {key: control_path, section: ssh_connection}
    env:
    - {name: ANSIBLE_SSH_CONTROL_PATH}
    vars:
    - {name: ansible_control_path}
  control_path_dir:
    description: Folder of these sockets.
    type: string
    default: ~/.ansible/cp
    ini:
    - {section: ssh_connection, key: control_path_dir}
    env:
    - {name: ANSIBLE_SSH_CONTROL_PATH_DIR}
    vars:
    - {name: ansible_control_path_dir}
  host:
    description: Name or address of the host, as ssh understands it.
    type: string
    default: inventory_hostname
    vars:
    - {name: inventory_hostname}
    - {name: ansible_host}
    - {name: ansible_ssh_host}
  host_key_checking:
    description: Whether ssh checks the key of the host.
    type: boolean
    default: true
    ini:
    - {section: defaults, key: host_key_checking}
    - {section: ssh_connection, key: host_key_checking}
    env:
    - {name: ANSIBLE_HOST_KEY_CHECKING}
    - {name: ANSIBLE_SSH_HOST_KEY_CHECKING}
    vars:
    - {name: ansible_host_key_checking}
    - {name: ansible_ssh_host_key_checking}
  password:
    description: Password of the user on the host. econtext types it on the terminal of ssh; no other program is
      needed.
    type: string
    vars:
    - {name: ansible_password}
    - {name: ansible_ssh_pass}
    - {name: ansible_ssh_password}
  password_mechanism:
    description: How the stock plugin would type the password. econtext types it itself.
    type: string
    default: ssh_askpass
    choices: [ssh_askpass, sshpass, disable]
    ini:
    - {key: password_mechanism, section: ssh_connection}
    env:
    - {name: ANSIBLE_SSH_PASSWORD_MECHANISM}
    vars:
    - {name: ansible_ssh_password_mechanism}
  pkcs11_provider:
    description: Library of a smart card. With this set, the stock plugin does all.
    type: string
    default: ''
    ini:
    - {key: pkcs11_provider, section: ssh_connection}
    env:
    - {name: ANSIBLE_PKCS11_PROVIDER}
    vars:
    - {name: ansible_ssh_pkcs11_provider}
  port:
    description: Port of the ssh server.
    type: int
    ini:
    - {section: defaults, key: remote_port}
    env:
    - {name: ANSIBLE_REMOTE_PORT}
    vars:
    - {name: ansible_port}
    - {name: ansible_ssh_port}
    keyword:
    - {name: port}
  private_key:
    description: Private key itself, as text, for an agent.
    type: string
    env:
    - {name: ANSIBLE_PRIVATE_KEY}
    vars:
    - {name: ansible_private_key}
    - {name: ansible_ssh_private_key}
  private_key_file:
    description: Path of the private key.
    type: string
    ini:
    - {section: defaults, key: private_key_file}
    env:
    - {name: ANSIBLE_PRIVATE_KEY_FILE}
    vars:
    - {name: ansible_private_key_file}
    - {name: ansible_ssh_private_key_file}
    cli:
    - {name: private_key_file}
  private_key_passphrase:
    description: Passphrase of the private key that is given as text.
    type: string
    env:
    - {name: ANSIBLE_PRIVATE_KEY_PASSPHRASE}
    vars:
    - {name: ansible_private_key_passphrase}
    - {name: ansible_ssh_private_key_passphrase}
  reconnection_retries:
    description: How often to try again to reach a host.
    type: integer
    default: 0
    ini:
    - {section: connection, key: retries}
    - {section: ssh_connection, key: retries}
    env:
    - {name: ANSIBLE_SSH_RETRIES}
    vars:
    - {name: ansible_ssh_retries}
  remote_user:
    description: User who logs in.
    type: string
    ini:
    - {section: defaults, key: remote_user}
    env:
    - {name: ANSIBLE_REMOTE_USER}
    vars:
    - {name: ansible_user}
    - {name: ansible_ssh_user}
    cli:
    - {name: user}
    keyword:
    - {name: remote_user}
  scp_executable:
    description: Program that is the scp client. Files need none, except where the stock plugin copies them.
    type: string
    default: scp
    ini:
    - {key: scp_executable, section: ssh_connection}
    env:
    - {name: ANSIBLE_SCP_EXECUTABLE}
    vars:
    - {name: ansible_scp_executable}
  scp_extra_args:
    description: More arguments of scp, where the stock plugin copies files by scp.
    type: string
    default: ''
    ini:
    - {key: scp_extra_args, section: ssh_connection}
    env:
    - {name: ANSIBLE_SCP_EXTRA_ARGS}
    vars:
    - {name: ansible_scp_extra_args}
    cli:
    - {name: scp_extra_args}
  sftp_batch_mode:
    description: Whether sftp runs in batch mode, where the stock plugin copies files.
    type: bool
    default: true
    ini:
    - {key: sftp_batch_mode, section: ssh_connection}
    env:
    - {name: ANSIBLE_SFTP_BATCH_MODE}
    vars:
    - {name: ansible_sftp_batch_mode}
  sftp_executable:
    description: Program that is the sftp client. Files need none, except where the stock plugin copies them.
    type: string
    default: sftp
    ini:
    - {key: sftp_executable, section: ssh_connection}
    env:
    - {name: ANSIBLE_SFTP_EXECUTABLE}
    vars:
    - {name: ansible_sftp_executable}
  sftp_extra_args:
    description: More arguments of sftp, where the stock plugin copies files by sftp.
    type: string
    default: ''
    ini:
    - {key: sftp_extra_args, section: ssh_connection}
    env:
    - {name: ANSIBLE_SFTP_EXTRA_ARGS}
    vars:
    - {name: ansible_sftp_extra_args}
    cli:
    - {name: sftp_extra_args}
  ssh_args:
    description: Arguments of ssh. Those about ControlMaster and ControlPersist have no effect, since one connection
      serves the whole run.
    type: string
    default: -C -o ControlMaster=auto -o ControlPersist=60s
    ini:
    - {section: ssh_connection, key: ssh_args}
    env:
    - {name: ANSIBLE_SSH_ARGS}
    vars:
    - {name: ansible_ssh_args}
  ssh_common_args:
    description: More arguments of ssh, also used by the stock plugin for sftp and scp.
    type: string
    default: ''
    ini:
    - {section: ssh_connection, key: ssh_common_args}
    env:
    - {name: ANSIBLE_SSH_COMMON_ARGS}
    vars:
    - {name: ansible_ssh_common_args}
    cli:
    - {name: ssh_common_args}
  ssh_executable:
    description: Program that is the ssh client.
    type: string
    default: ssh
    ini:
    - {key: ssh_executable, section: ssh_connection}
    env:
    - {name: ANSIBLE_SSH_EXECUTABLE}
    vars:
    - {name: ansible_ssh_executable}
  ssh_extra_args:
    description: More arguments of ssh alone.
    type: string
    default: ''
    ini:
    - {key: ssh_extra_args, section: ssh_connection}
    env:
    - {name: ANSIBLE_SSH_EXTRA_ARGS}
    vars:
    - {name: ansible_ssh_extra_args}
    cli:
    - {name: ssh_extra_args}
  ssh_transfer_method:
    description: How the stock plugin copies files. econtext copies files through its connection.
    type: string
    default: smart
    choices: [sftp, scp, piped, smart]
    ini:
    - {key: transfer_method, section: ssh_connection}
    env:
    - {name: ANSIBLE_SSH_TRANSFER_METHOD}
    vars:
    - {name: ansible_ssh_transfer_method}
  sshpass_prompt:
    description: Part of the question to which the stock plugin would type the password.
    type: string
    default: ''
    ini:
    - {section: ssh_connection, key: sshpass_prompt}
    env:
    - {name: ANSIBLE_SSHPASS_PROMPT}
    vars:
    - {name: ansible_sshpass_prompt}
  timeout:
    description: Seconds to wait for the connection.
    type: integer
    default: 10
    ini:
    - {key: timeout, section: defaults}
    - {key: timeout, section: ssh_connection}
    env:
    - {name: ANSIBLE_TIMEOUT}
    - {name: ANSIBLE_SSH_TIMEOUT}
    vars:
    - {name: ansible_ssh_timeout}
    cli:
    - {name: timeout}
  use_tty:
    description: Whether the stock plugin asks for a terminal, as it does for C(raw).
    type: bool
    default: true
    ini:
    - {key: usetty, section: ssh_connection}
    env:
    - {name: ANSIBLE_SSH_USETTY}
    vars:
    - {name: ansible_ssh_use_tty}
  verbosity:
    description: How much ssh tells, where the stock plugin runs it.
    type: int
    default: 0
    ini:
    - {key: verbosity, section: ssh_connection}
    env:
    - {name: ANSIBLE_SSH_VERBOSITY}
    vars:
    - {name: ansible_ssh_verbosity}
"""

# What Ansible itself reads: each option and variable of the release that is installed.
vars().update(DOCUMENTATION=stock.DOCUMENTATION)

VERBOSE = re.compile('-v+')


class Connection(Plugin, stock.Connection):
    """A host that is entered once in a run."""

    entered_by = 'ssh'
    _ec_shown = ''              # the words that enter the host
    _ec_is_building = False

    def set_options(self, *args, **kwargs):
        super().set_options(*args, **kwargs)
        self._ec_way = None

    def way(self):
        if getattr(self, '_ec_way', None) is None:
            self._ec_way = self._make_way()
        return self._ec_way

    def _make_way(self):
        host = plain(self.get_option('host') or self._play_context.remote_addr)
        words = self._words(host)
        password = plain(self.get_option('password') or self._play_context.password or None)
        if password is not None and self.option('sshpass_prompt'):
            # Another question than econtext knows.
            raise Stock
        if self.option('password_mechanism') == 'disable':
            password = None
        self._ec_shown = shlex.join([*words, host]) + ' '
        seconds = float(self.get_option('timeout') or 10) + 20
        program, args = words[0], [word for word in words[1:] if not VERBOSE.fullmatch(word)]
        options = {
            'ssh_path': program, 'password': password, 'connect_timeout': seconds,
            # One connection for all of the run; ssh keeps no other behind it.
            'ssh_args': ['-o', 'ControlMaster=no', '-o', 'ControlPath=none', '-T', *args]}
        return {'connector': 'ssh', 'arguments': [host], 'options': options, 'key': repr((host, words, password))}

    def _words(self, host):
        """Return the words with which the stock plugin would start ssh, but for the host and what types a password."""
        if self.option('pkcs11_provider'):
            raise Stock
        program = self.get_option('ssh_executable')
        self._ec_is_building = True
        try:
            words = [os.fsdecode(plain(word)) for word in self._build_command(program, 'ssh', host)]
        finally:
            self._ec_is_building = False
        for end in getattr(self, 'sshpass_pipe', None) or ():
            os.close(end)
        self.sshpass_pipe = None
        if program not in words or words[-1] != host:
            raise Stock
        return words[words.index(program):-1]

    def _sshpass_available(self):
        # econtext types passwords itself; where the stock plugin is to do so, it needs the program.
        return self._ec_is_building or super()._sshpass_available()

    def started_by(self):
        return self._ec_shown

    def become_patience(self):
        # As long as the stock plugin waits, if somebody says how long. That plugin then tries, and says what failed.
        seconds, origin = self.get_option_and_origin('timeout')
        return None if origin == 'default' else float(seconds) + 2

    def attempts(self):
        return int(self.option('reconnection_retries') or 0) + 1
