"""The connection plugins for containers, pods and folders, under real releases of Ansible."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runs import RELEASES, Ansible, Run, environment
from test_plugins import comparable, daemons

import lab
from lab import eventually, leaks, roots
from lab.accounts import Accounts
from lab.engines import FOREVER, IMAGE, SLEEP, Podman
from lab.kubestub import KubeStub, Pod
from lab.machines import Lxc

pytestmark = pytest.mark.deadline(600)
NEWEST = list(RELEASES)[-1]
newest = pytest.mark.parametrize('ansible', [NEWEST], indirect=True, scope='module')
BARE = 'localhost/bare:1'
# A container with what this machine has, but for what it writes.
SHARED = ('-v', '/usr:/usr:ro,suid,exec,dev', '-v', '/etc:/etc:ro')
SHARED_BY_LXC = 'lxc.mount.entry = /usr usr none bind,ro 0 0\nlxc.mount.entry = /etc etc none bind,ro 0 0\n'

PLAY = """
- {name: folder, file: {path: "{{ place }}", state: directory}}
- {name: ping, ping: {}}
- {name: python, setup: {gather_subset: ['!all', '!min', python]}}
- {name: both outputs, command: "sh -c 'echo out; echo err >&2'"}
- {name: shell, shell: "id -un; umask; cat; echo $HOME"}
- {name: bytes, shell: "printf 'a\\\\377b'", ignore_errors: true}
- {name: another user, command: id -un, become: true, become_user: nobody}
- {name: copy, copy: {content: "hello\\n", dest: "{{ place }}/file", mode: '0640'}}
- {name: copy again, copy: {content: "hello\\n", dest: "{{ place }}/file", mode: '0640'}}
- {name: large, copy: {src: "{{ large }}", dest: "{{ place }}/large"}}
- {name: line, lineinfile: {path: "{{ place }}/file", line: added}}
- {name: stat, stat: {path: "{{ place }}/file", get_attributes: false}}
- {name: slurp, slurp: {src: "{{ place }}/file"}}
- {name: fetch, fetch: {src: "{{ place }}/large", dest: "{{ fetched }}", flat: true}}
- {name: fetch of nothing, fetch: {src: "{{ place }}/none", dest: "{{ fetched }}"}, ignore_errors: true}
- {name: loop, command: "echo {{ item }}", loop: [a, "b c", d]}
- {name: script, script: "{{ script }} one 'two three'"}
- {name: raw, raw: "echo raw; exit 3", ignore_errors: true}
- {name: raw of another, raw: "id -un", become: true, become_user: nobody}
- {name: no program, command: /no/such/program, ignore_errors: true}
- {name: killed, shell: "kill -9 $$", ignore_errors: true}
- {name: async, command: "sh -c 'sleep 0.2; echo later'", async: 60, poll: 1}
- {name: environment, shell: "echo $GREETING", environment: {GREETING: "it's \\"me\\""}}
- {name: file first, command: id -un, vars: {ansible_pipelining: false}}
- {name: delegated, command: id -un, delegate_to: here}
- {name: chdir, command: pwd, args: {chdir: /usr}}
- {name: reset, meta: reset_connection}
- {name: afterwards, command: id -un}
- {name: time, command: sleep 60, timeout: 2, ignore_errors: true}
- {name: removed, file: {path: "{{ place }}", state: absent}}
"""


class Boxes:
    """Places to enter: a container with all programs of this machine, by several ways, and one without Python."""

    def __init__(self, engine: Podman, lxc: Lxc, folder: Path) -> None:
        self.engine = engine
        engine.run('run', '-d', '--name', 'full', *SHARED, IMAGE, *FOREVER)
        bare, tar = roots.make(folder / 'bare', python=False), folder / 'bare.tar'
        subprocess.run(['tar', '-C', bare, '-cf', tar, '.'], check=True)
        engine.run('import', '-q', str(tar), BARE)
        engine.run('run', '-d', '--name', 'bare', BARE, *SLEEP)
        pid = int(engine.run('inspect', '--format', '{{.State.Pid}}', 'full'))
        inside = f'/proc/{pid}/root'
        # A program of Docker's name.
        docker = folder / 'docker'
        docker.symlink_to(engine.path)
        self.pods = KubeStub(
            folder, {('shop', 'web-0'): Pod({'app': ['chroot', inside], 'bare': ['chroot', str(bare)]})})
        config = self.pods.config
        pod = f'ansible_kubectl_pod=web-0 ansible_kubectl_kubeconfig={config}'
        hosts = {
            'podman': f'ansible_podman_host=full ansible_podman_executable={engine.path}',
            'docker': f'ansible_host=full ansible_docker_path={docker}',
            'chroot': f'ansible_host={inside}',
            'nsenter': f'ansible_nsenter_pid={pid}',
            'kubectl': f'{pod} ansible_kubectl_container=app',
            'lxc': f'ansible_lxc_host={lxc.box} ansible_lxc_extra_args={lxc.args[0]}',
            'nspawn': f'ansible_host={roots.make(folder / "nspawn")} '
                      'ansible_nspawn_extra_args="--bind-ro=/usr --bind-ro=/etc --private-network"',
            'bare-podman': f'ansible_podman_host=bare ansible_podman_executable={engine.path}',
            'bare-docker': f'ansible_docker_host=bare ansible_docker_path={docker}',
            'bare-chroot': f'ansible_host={bare}',
            'bare-kubectl': f'{pod} ansible_kubectl_container=bare',
        }
        self.lines = ['[all:vars]', 'ansible_python_interpreter=/usr/bin/python3', '[all]',
                      'here ansible_connection=local']
        self.lines += [f'{name} ansible_connection=econtext.core.{name.removeprefix("bare-")} {variables}'
                       for name, variables in hosts.items()]


class Entering(Ansible):
    """ansible-playbook of one release, whose hosts are places to enter."""

    def __init__(self, programs: Path, folder: Path, lines: list[str]) -> None:
        self._prepare(programs, folder, lines)
        self.collections: Path | None = None

    def environ(self, home: Path) -> dict[str, str]:
        found = super().environ(home)
        return found if self.collections is None else {**found, 'ANSIBLE_COLLECTIONS_PATH': str(self.collections)}


@pytest.fixture(scope='module')
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boxes]:
    lab.require('roots', 'podman', 'kubectl', 'lxc', 'nspawn')
    with (Podman(tmp_path_factory.mktemp('podman')) as engine,
          Lxc(tmp_path_factory.mktemp('lxc'), SHARED_BY_LXC) as lxc):
        made = Boxes(engine, lxc, tmp_path_factory.mktemp('boxes'))
        with made.pods:
            yield made


@pytest.fixture(scope='module', params=list(RELEASES))
def ansible(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, boxes: Boxes) -> Entering:
    return Entering(environment(request.param), tmp_path_factory.mktemp('ansible'), boxes.lines)


@pytest.fixture(autouse=True)
def swept(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if 'boxes' in request.fixturenames:
        request.getfixturevalue('boxes').engine.sweep()


@pytest.fixture(scope='module')
def here(ansible: Entering, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The results of the play on this machine, by Ansible's own plugin."""
    return played(ansible, 'here', tmp_path_factory.mktemp('here'))


def played(ansible: Entering, host: str, folder: Path) -> list[Any]:
    """Return what can be compared of the results of the play."""
    large, script, fetched = folder / 'large', folder / 'script', folder / 'fetched'
    large.write_bytes(b'0123456789abcdef' * 200_000)
    script.write_text('#!/bin/sh\necho "$1,$2"\necho "err" >&2\nid -un\nexit 0\n')
    # In a container of systemd-nspawn, /tmp is new for each context.
    place = Path('/var/tmp', f'{folder.parent.name}-{folder.name}')
    done = ansible.run(
        PLAY, None, host, place=str(place), large=str(large), script=str(script), fetched=str(fetched),
        ansible_pipelining=True)
    assert done.returncode == 0, done.output
    assert fetched.read_bytes() == large.read_bytes()
    assert len(done.results) == len(PLAY.strip().splitlines()) - 1
    found = [(each['task'], each['kind'], comparable(each['result'], place)) for each in done.results]
    for _, _, result in found:
        result.pop('dest', None)
        # The number of a file system is the machine's.
        result.get('stat', {}).pop('dev', None)
    return found


@pytest.mark.parametrize(
    ('ansible', 'host'), [*((release, 'podman') for release in RELEASES),
                          *((NEWEST, host) for host in ('docker', 'chroot', 'nsenter', 'kubectl', 'lxc', 'nspawn'))],
    indirect=['ansible'], scope='module')  # fmt: skip
def test_a_play_has_the_results_that_it_has_here(
    ansible: Entering, here: list[Any], host: str, tmp_path: Path,
) -> None:
    seen = played(ansible, host, tmp_path)
    differ = [pair for pair in zip(seen, here, strict=True) if pair[0] != pair[1]]
    assert not differ, '\n'.join(f'{ours}\n{stock}\n' for ours, stock in differ)


# -- options -------------------------------------------------------------------


@newest
@pytest.mark.parametrize('host', ['podman', 'docker'])
def test_options_of_an_engine(ansible: Entering, host: str, boxes: Boxes) -> None:
    names = {'podman': ('extra_env', 'working_directory'), 'docker': ('extra_env', 'working_dir')}[host]
    environ, folder = (f'ansible_{host}_{name}' for name in names)
    text = 'it\'s "me"'
    options = {environ: {'GREETING': text, 'OTHER': 'a=b'}, folder: '/usr', 'ansible_user': 'nobody'}
    # What the engine does not know, it refuses.
    options[f'ansible_{host}_extra_args'] = '--log-level "error"'
    tasks = """
- {name: module, shell: "id -un; pwd; echo $GREETING; echo $OTHER"}
- {name: raw, raw: "id -un; pwd; echo $GREETING; echo $OTHER"}
"""
    done = ansible.run(tasks, None, host, **options)
    assert done.returncode == 0, done.output
    for name in 'module', 'raw':
        assert done.of(name)['stdout'].splitlines() == ['nobody', '/usr', text, 'a=b'], done.of(name)
    done = ansible.run(tasks, None, host, **{f'ansible_{host}_extra_args': '--no-such-flag'})
    assert 'no-such-flag' in str(done.of('module')), done.output
    done = ansible.run('- {name: number, ping: {}}', None, host, **{environ: {'VERSION': 1.1}})
    assert 'VERSION' in done.output
    assert 'quote it' in done.output
    done = ansible.run('- {name: raw, raw: id}', None, host, **{f'ansible_{host}_host': '--privileged'})
    assert 'container=' in done.output, done.output
    done = ansible.run('- {name: words, ping: {}}', None, host, **{f'ansible_{host}_extra_args': "'half"})
    assert 'extra_args cannot be read' in done.output


@newest
def test_places_that_cannot_be_entered(ansible: Entering) -> None:
    task = '- {name: who, command: id -un}'
    for host, variables, said in (
        ('podman', {'ansible_podman_host': 'none'}, 'no such container'),
        ('podman', {'ansible_user': 'no_such_user'}, 'unable to find user'),
        ('docker', {'ansible_docker_path': '/no/docker'}, '/no/docker'),
        ('kubectl', {'ansible_kubectl_pod': 'none'}, 'NotFound'),
        ('kubectl', {'ansible_kubectl_context': 'down'}, 'refused'),
        ('nsenter', {'ansible_nsenter_pid': 1 << 22}, 'nsenter'),
    ):
        done = ansible.run(task, None, host, **variables)
        assert done.of('who')['kind'] == 'unreachable', done.output
        assert said in done.of('who')['msg'], done.output
    done = ansible.run(task, None, 'chroot', ansible_host='/no/folder')
    assert '/no/folder is no folder of this machine' in done.output


@newest
def test_a_command_that_takes_longer_than_it_may(ansible: Entering, boxes: Boxes) -> None:
    done = ansible.run("""
- {name: ping, ping: {}}
- {name: long, shell: "exec -a econtext-long sleep 1000", args: {executable: /bin/bash}}
""", None, 'podman', ansible_podman_timeout=20)
    assert done.of('ping')['kind'] == 'ok'
    assert done.of('long')['kind'] == 'unreachable'
    assert 'within 20 seconds' in done.of('long')['msg']
    eventually(lambda: 'econtext-long' not in boxes.engine.run('top', 'full', 'args'))


@newest
def test_options_of_kubectl(ansible: Entering, boxes: Boxes, tmp_path: Path) -> None:
    program = tmp_path / 'kubectl'
    program.write_text(f'#!/bin/sh\necho "$MARK" "$@" >> {tmp_path}/said\nexec {lab.need("kubectl")} "$@"\n')
    program.chmod(0o755)
    given = {
        'ansible_kubectl_path': str(program), 'ansible_kubectl_local_env_vars': {'MARK': 'of ours'},
        'ansible_kubectl_kubeconfig': json.loads(boxes.pods.config.read_text()), 'ansible_kubectl_namespace': 'shop',
        'ansible_kubectl_context': 'lab', 'ansible_kubectl_extra_args': '--request-timeout 60',
        'ansible_kubectl_validate_certs': 'no', 'ansible_kubectl_token': 'lab',
    }  # fmt: skip
    done = ansible.run('- {name: who, command: id -un}\n- {name: raw, raw: id -un}', None, 'kubectl', **given)
    assert done.returncode == 0, done.output
    (line,) = {each.partition(' -- ')[0] for each in (tmp_path / 'said').read_text().splitlines() if ' exec ' in each}
    line = re.sub(r'--kubeconfig=\S+', '--kubeconfig=FILE', line)
    assert line == ('of ours --kubeconfig=FILE --token=lab --insecure-skip-tls-verify=true --request-timeout 60 '
                    '--context=lab --namespace=shop exec -i --container=app web-0')


# What a plugin starts: (plugin, variables, program, words before those that run in the place).
STARTED: list[tuple[str, dict[str, str], str, str]] = [
    ('oc', {'ansible_oc_pod': 'web', 'ansible_oc_namespace': 'shop'}, 'oc', '--namespace=shop exec -i web --'),
    ('lxc', {'ansible_lxc_host': 'web'}, 'lxc-attach', '--set-var=HOME=/root -n web --clear-env --'),
    ('lxd', {'ansible_host': 'web.example', 'ansible_lxd_project': 'shop'}, 'lxc',
     'exec local:web -T --project=shop --'),
    ('lxd', {'ansible_host': 'web', 'ansible_lxd_remote': 'far', 'ansible_user': '33'}, 'lxc',
     'exec far:web -T --user=33 --'),
    ('lxd', {'ansible_host': 'web', 'ansible_user': 'app', 'lxd_become_method': 'su'}, 'lxc',
     'exec local:web -T -- su app -c'),
    ('incus', {'ansible_host': 'web'}, 'incus', 'exec local:web -T --project=default --'),
    ('incus', {'ansible_host': 'web', 'ansible_user': 'root', 'ansible_incus_extra_args': '-q'}, 'incus',
     '-q exec local:web -T --project=default --'),
    ('jail', {'ansible_host': 'web'}, 'jexec', 'web'),
    ('jail', {'ansible_host': 'web', 'ansible_jail_user': 'www'}, 'jexec', '-l -U www web'),
    ('machinectl', {'ansible_host': 'web', 'ansible_user': 'app'}, 'systemd-run',
     '--machine=web --quiet --pipe --wait --collect --uid=app --'),
    ('nspawn', {'ansible_host': '/', 'ansible_nspawn_extra_args': '--ephemeral'}, 'systemd-nspawn',
     '--quiet --pipe --as-pid2 --register=no --keep-unit --ephemeral --directory=/ --'),
]
# It notes its words, and executes those that are to run in the place right here.
STAND_IN = r"""#!/usr/bin/python3
import os, sys

words = sys.argv[1:]
at = next(at for at, word in enumerate(words) if os.path.basename(word.split()[0]) in ('sh', 'python3'))
with open('%s', 'a') as file:
    file.write(' '.join(words[:at]) + '\n')
there = ['/bin/sh', '-c', words[at]] if ' ' in words[at] else words[at:]
os.execvp(there[0], there)
"""


@newest
def test_what_is_started(ansible: Entering, tmp_path: Path) -> None:
    """Stand-ins for programs, each in the place of a host of one run."""
    lines, expected = ['[all:vars]', 'ansible_python_interpreter=/usr/bin/python3', '[all]'], {}
    for number, (plugin, variables, program, words) in enumerate(STARTED):
        stand_in = tmp_path / f'{number}-{program}'
        stand_in.write_text(STAND_IN % (tmp_path / f'said{number}'))
        stand_in.chmod(0o755)
        given = {**variables, f'ansible_{plugin}_path': str(stand_in)}
        lines.append(f'host{number} ansible_connection=econtext.core.{plugin} '
                     + ' '.join(f'{name}={value}' for name, value in given.items()))
        expected[number] = {words}
    done = Entering(ansible.programs, tmp_path, lines).run("""
- {name: module, command: id -un}
- {name: raw, raw: "echo $((6 * 7))"}
""", None, 'all')
    assert done.returncode == 0, done.output
    assert {number: set((tmp_path / f'said{number}').read_text().splitlines()) for number in expected} == expected


# -- no Python there -------------------------------------------------------------


@pytest.mark.parametrize('kind', ['podman', 'docker', 'chroot', 'kubectl'])
@newest
def test_raw_without_python(ansible: Entering, kind: str) -> None:
    done = ansible.run("""
- {name: raw, raw: "echo raw; read a < /etc/box; echo $a >&2; exit 3", ignore_errors: true}
- {name: module, ping: {}, ignore_errors: true}
""", None, f'bare-{kind}')
    assert done.of('raw')['stdout'] == 'raw\n', done.output
    assert done.of('raw')['rc'] == 3
    assert done.of('module')['rc'] == 127
    if kind in ('chroot', 'kubectl'):
        # Podman loses what a program says that ends before its input does.
        assert 'not found' in done.of('module')['msg']


# A collection that stands for that of Podman: a plugin that tells what it was asked.
STOCK = '''
DOCUMENTATION = """
name: podman
short_description: stands in
description: stands in
author: nobody
options:
  podman_extra_args:
    description: arguments
    vars: [{name: ansible_podman_extra_args}]
"""
from ansible.plugins.connection import ConnectionBase


class Connection(ConnectionBase):
    transport = 'containers.podman.podman'

    def _connect(self):
        return self

    def exec_command(self, cmd, in_data=None, sudoable=True):
        return 0, (self.get_option('podman_extra_args') + '|' + cmd).encode(), b''

    def put_file(self, in_path, out_path):
        pass

    def fetch_file(self, in_path, out_path):
        pass

    def close(self):
        pass
'''


def test_without_python_the_stock_plugin_does_it(ansible: Entering, boxes: Boxes, tmp_path: Path) -> None:
    folder = tmp_path / 'ansible_collections' / 'containers' / 'podman' / 'plugins' / 'connection'
    folder.mkdir(parents=True)
    (folder / 'podman.py').write_text(STOCK)
    here = Entering(ansible.programs, tmp_path, boxes.lines)
    here.collections = tmp_path
    done = here.run('- {name: raw, raw: echo raw}', None, 'bare-podman', ansible_podman_extra_args='--log-level error')
    assert done.of('raw')['stdout'] == "--log-level error|/bin/sh -c 'echo raw'", done.output


def test_what_needs_no_python(ansible: Entering, boxes: Boxes, tmp_path: Path) -> None:
    """Commands and files by the command line of the engine alone."""
    program = tmp_path / 'program.py'
    program.write_text("""
import sys
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader, init_plugin_loader
init_plugin_loader()
from ansible_collections.econtext.core.plugins.plugin_utils.entered import Unaided
made = connection_loader.get('econtext.core.podman', PlayContext(), None)
made.set_options(var_options={'ansible_host': 'full', 'ansible_podman_executable': sys.argv[1]})
print(Unaided.exec_command(made, '/bin/sh -c cat', in_data=b'a\\0b'), Unaided.exec_command(made, 'kill -9 $$')[0])
Unaided.put_file(made, __file__, '/tmp/a file')
Unaided.fetch_file(made, '/tmp/a file', sys.argv[2])
for one, other in ('/no/file', '/tmp/x'), (__file__, '/no/folder/x'):
    try:
        Unaided.put_file(made, one, other)
    except Exception as error:
        print(type(error).__name__, error)
made.close()
""")
    done = subprocess.run(
        [ansible.programs / 'python', program, boxes.engine.path, tmp_path / 'fetched'], capture_output=True, text=True,
        timeout=200, env=ansible.environ(tmp_path))
    assert done.returncode == 0, done.stderr
    first, second, *_, third = done.stdout.splitlines()
    assert first == r"(0, b'a\x00b', b'') 137"
    assert second.startswith('AnsibleFileNotFound /no/file is no file')
    assert third.startswith('AnsibleError failed to transfer file to /no/folder/x: ')
    assert (tmp_path / 'fetched').read_bytes() == program.read_bytes()


# -- become ------------------------------------------------------------------------


def test_another_user_in_a_container(ansible: Entering, accounts: Accounts) -> None:
    task = '- {name: who, command: id -un, become: true}'
    assert ansible.run(task, None, 'podman', ansible_user=accounts['nopw'].name).of('who')['stdout'] == 'root'
    user = accounts['sudo'].name
    done = ansible.run(task, None, 'podman', ansible_user=user, ansible_become_password='pw-ect_sudo')
    assert done.of('who')['stdout'] == 'root', done.output
    # These flags are not taken apart, so each command has a sudo of its own.
    done = ansible.run(
        task, None, 'podman', ansible_user=user, ansible_become_password='pw-ect_sudo', ansible_become_flags='-HS')
    assert done.of('who')['stdout'] == 'root', done.output
    done = ansible.run(task, None, 'podman', ansible_user=user, ansible_become_password='wrong')
    assert 'Incorrect sudo password' in done.of('who')['msg']


# -- nothing stays -------------------------------------------------------------------


@pytest.mark.parametrize('host', ['podman', 'chroot', 'kubectl'])
@newest
def test_nothing_stays_of_a_run_that_was_killed(ansible: Entering, host: str, boxes: Boxes) -> None:
    run, inside = waiting(ansible, boxes, host)
    (daemon,) = daemons(run)
    below = [each.pid for each in leaks.descendants(daemon)]
    assert below
    assert bool(list(run.home.rglob('econtext.secret.*'))) == (host == 'kubectl')
    run.process.kill()
    run.process.communicate()
    eventually(lambda: not any(map(leaks.alive, [daemon, inside, *below])))
    assert not [path for path in run.home.rglob('econtext*') if path.name == 'econtext' or 'secret' in path.name]


def waiting(ansible: Entering, boxes: Boxes, host: str) -> tuple[Run, int]:
    """Return a run that waits in a command in the place, and the number of the command."""
    variables = {}
    if host == 'kubectl':
        variables['ansible_kubectl_kubeconfig'] = json.loads(boxes.pods.config.read_text())
    run = ansible.start("""
- {name: waits, shell: "exec -a econtext-waits sleep 1000", args: {executable: /bin/bash}}
""", None, host, **variables)

    def found() -> list[int]:
        return [each.pid for each in leaks.table() if leaks.command_line(each.pid).startswith('econtext-waits')]

    eventually(lambda: found() or run.process.poll() is not None)
    assert run.process.poll() is None, run.finish().output
    (inside,) = found()
    return run, inside


# -- the plugins as Ansible sees them ------------------------------------------------

# Variables of the stock plugins, behind ansible_NAME_.
VARIABLES = {
    'docker': 'host user extra_args timeout extra_env working_dir privileged',
    'podman': 'host extra_args executable timeout mount_detection ignore_mount_errors extra_env privilege_escalation '
              'working_directory',
    'kubectl': 'pod container namespace extra_args local_env_vars kubeconfig config context host server username user '
               'password token api_key cert_file client_cert key_file client_key ssl_ca_cert ca_cert verify_ssl '
               'validate_certs',
    'oc': 'pod container namespace extra_args local_env_vars kubeconfig config context host server token api_key '
          'cert_file client_cert key_file client_key ssl_ca_cert ca_cert verify_ssl validate_certs',
    'lxc': 'host executable', 'lxd': 'host executable remote project', 'incus': 'host executable remote project',
    'jail': 'host user', 'chroot': 'exe disable_root_check', 'nsenter': 'pid', 'machinectl': 'host user',
    'nspawn': 'host user',
}  # fmt: skip


def test_documentation_is_whole(ansible: Entering, tmp_path: Path) -> None:
    """ansible-doc shows each variable of the stock plugins, and no name of ours hides one of Ansible's."""
    names = [f'econtext.core.{name}' for name in VARIABLES]
    done = subprocess.run(
        [ansible.programs / 'ansible-doc', '--json', '-t', 'connection', *names], capture_output=True, text=True,
        timeout=200, env=ansible.environ(tmp_path))
    assert (done.returncode, done.stderr) == (0, '')
    found = json.loads(done.stdout)
    for name, variables in VARIABLES.items():
        options = found[f'econtext.core.{name}']['doc']['options']
        shown = {each['name'] for option in options.values() for each in option.get('vars', ())}
        assert {f'ansible_{name}_{variable}' for variable in variables.split()} | {'ansible_pipelining'} <= shown
        assert all(option['description'] for option in options.values())
    program = tmp_path / 'program.py'
    program.write_text("""
from ansible.plugins.connection import ConnectionBase
from ansible_collections.econtext.core.plugins.connection import docker, kubectl, lxd, podman
meant = {'exec_command', 'put_file', 'fetch_file', 'reset', 'close', 'set_options', 'transport', 'has_pipelining',
         'default_user', '_abc_impl', '_is_protocol', '_connect'}
theirs = set(dir(ConnectionBase)) | set(ConnectionBase.__init__.__code__.co_names)
for module in docker, kubectl, lxd, podman:
    mine = {key for each in module.Connection.__mro__ if each.__module__.startswith(('econtext', 'ansible_collections'))
            for key in vars(each) if not key.startswith('__')}
    print(sorted((mine - meant) & theirs))
""")
    done = subprocess.run(
        [ansible.programs / 'python', program], capture_output=True, text=True, timeout=200,
        env=ansible.environ(tmp_path))
    assert done.stdout.split() == ['[]'] * 4, done.stdout + done.stderr
