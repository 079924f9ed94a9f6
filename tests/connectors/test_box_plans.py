"""What the connectors into containers and namespaces start, and what they refuse to."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from econtext.connectors import (
    bubblewrap,
    chroot,
    docker,
    incus,
    jail,
    kubectl,
    lxc,
    lxd,
    machinectl,
    nsenter,
    podman,
    systemd_nspawn,
    unshare,
)
from econtext.controller import failures
from econtext.controller.connect import registry
from econtext.parent import command, handshake

BOXES = [module for module in map(registry.find, registry.ours()) if hasattr(module, 'boxes')]
SEARCH = command.argv(command.PYTHONS)
NAMED = ['nice', '/opt/python', '-Ec', command.CODE]


def argv(connector: ModuleType, **options: Any) -> list[str]:
    words, tty, environ = connector.plan(options)
    assert (tty, environ) == (False, {'LANGUAGE': 'C'})
    assert all(isinstance(word, str) for word in words)
    return list(words)


@pytest.mark.parametrize('name', ['docker', 'podman'])
def test_engines(name: str) -> None:
    engine = {'docker': docker, 'podman': podman}[name]
    assert argv(engine, container='web') == [name, 'exec', '-i', 'web', *SEARCH]
    assert argv(engine, container='web', image=None, user=None, args=[]) == argv(engine, container='web')
    assert argv(
        engine, container='web', user='1:2', args=['--env', 'A=b'], python=['nice', '/opt/python'],
        **{f'{name}_args': ['--log-level', 'debug'], f'{name}_path': '/opt/engine'}
    ) == ['/opt/engine', '--log-level', 'debug', 'exec', '-i', '--user=1:2', '--env', 'A=b', 'web', *NAMED]  # fmt: skip
    assert argv(engine, image='python:3', user='app', args=['--network', 'none']) == (
        [name, 'run', '--rm', '-i', '--user=app', '--network', 'none', 'python:3', *SEARCH]
    )


def test_kubectl() -> None:
    assert argv(kubectl, pod='web-0') == ['kubectl', 'exec', '-i', 'web-0', '--', *SEARCH]
    assert argv(
        kubectl, pod='deployment/web', container='app', namespace='shop', kube_context='test',
        kubectl_args=['--kubeconfig', 'my file'], python=['nice', '/opt/python'],
    ) == ['kubectl', '--kubeconfig', 'my file', '--context=test', '--namespace=shop', 'exec', '-i', '--container=app',
          'deployment/web', '--', *NAMED]  # fmt: skip


def test_chroot() -> None:
    assert argv(chroot, directory='/srv/a root') == ['chroot', '/srv/a root', *SEARCH]
    assert argv(chroot, directory='r', user='a:b', chroot_args=['--skip-chdir'], python=['nice', '/opt/python']) == (
        ['chroot', '--skip-chdir', '--userspec=a:b', 'r', *NAMED]
    )


def test_nsenter() -> None:
    assert argv(nsenter, pid=7) == ['nsenter', '-t', '7', '--all', '--', *SEARCH]
    assert argv(nsenter, pid='7', namespaces=['net', 'pid'], nsenter_args=['-r']) == (
        ['nsenter', '-r', '-t', '7', '--net', '--pid', '--', *SEARCH]
    )
    for engine, script in nsenter.ENGINES.items():
        words = argv(nsenter, container='web', engine=engine, nsenter_path='/opt/nsenter')
        assert words[:2] == ['sh', '-c']
        assert script in words[2]
        assert words[3:] == ['/opt/nsenter', 'web', '--all', '--', *SEARCH]


def test_sandboxes() -> None:
    assert argv(bubblewrap) == ['bwrap', *bubblewrap.VIEW, '--', *SEARCH]
    assert argv(bubblewrap, bwrap_args=['--bind', '/', '/'], python=['nice', '/opt/python']) == (
        ['bwrap', '--bind', '/', '/', '--', *NAMED]
    )
    own = ['--fork', '--kill-child', '--mount-proc']
    assert argv(unshare) == ['unshare', '--mount', '--uts', '--ipc', '--net', '--pid', *own, '--', *SEARCH]
    assert argv(unshare, namespaces=['net'], map_root=True, unshare_args=['--wd', '/tmp']) == (
        ['unshare', '--wd', '/tmp', '--net', '--map-root-user', '--', *SEARCH]
    )


def test_machines() -> None:
    python = ['nice', '/opt/python']
    assert argv(lxc, container='web') == (
        ['lxc-attach', '--set-var=HOME=/root', '-n', 'web', '--clear-env', '--', *SEARCH]
    )
    assert argv(lxc, container='web', user='1:2', lxc_args=['--lxcpath=/x'], python=python) == (
        ['lxc-attach', '--lxcpath=/x', '-n', 'web', '--clear-env', '--uid=1', '--gid=2', '--', *NAMED]
    )
    for engine, program in ((lxd, 'lxc'), (incus, 'incus')):
        assert argv(engine, container='r:web') == [program, 'exec', 'r:web', '-T', '--', *SEARCH]
        assert argv(engine, container='web', project='p', user='1', python=python) == (
            [program, 'exec', 'web', '-T', '--project=p', '--user=1', '--', *NAMED]
        )
    alone = ['systemd-nspawn', '--quiet', '--pipe', '--as-pid2', '--register=no', '--keep-unit']
    assert argv(systemd_nspawn, directory='/a b', user='app', nspawn_args=['--ephemeral']) == (
        [*alone, '--ephemeral', '--user=app', '--directory=/a b', '--', *SEARCH]
    )
    run = ['--quiet', '--pipe', '--wait', '--collect']
    assert argv(machinectl, machine='web', user='app', python=python) == (
        ['systemd-run', '--machine=web', *run, '--uid=app', '--', *NAMED]
    )
    assert '--uid=root' in argv(machinectl, machine='web')
    assert argv(jail, jail='web', user='app', jexec_args=['-l']) == ['jexec', '-l', '-U', 'app', 'web', *SEARCH]


NONSENSE: list[tuple[ModuleType, dict[str, Any], str]] = [
    (docker, {}, 'container= or image='),
    (podman, {'container': 'a', 'image': 'b'}, 'container= or image='),
    (docker, {'container': 'a', 'args': '--rm'}, 'args='),
    (docker, {'container': 'a', 'docker_args': [1]}, 'docker_args='),
    (podman, {'container': 'a', 'docker_path': 'b'}, "unknown option 'docker_path'"),
    (docker, {'container': 'a', 'docker_path': 'a\n'}, 'docker_path='),
    (docker, {'container': 'a', 'python': []}, 'python='),
    (kubectl, {}, 'pod='),
    (chroot, {}, 'directory='),
    (chroot, {'directory': '-x'}, 'directory='),
    (chroot, {'directory': '/a\n'}, 'directory='),
    (nsenter, {}, 'pid= or container='),
    (nsenter, {'pid': 1, 'container': 'a'}, 'pid= or container='),
    (nsenter, {'pid': 0}, 'pid='),
    (nsenter, {'pid': '-1'}, 'pid='),
    (nsenter, {'pid': 1, 'namespaces': ['all']}, 'namespaces='),
    (nsenter, {'pid': 1, 'namespaces': 'net'}, 'namespaces='),
    (nsenter, {'container': 'a', 'engine': 'rkt'}, 'engine='),
    (unshare, {'namespaces': ['x']}, 'namespaces='),
    (lxc, {}, 'container='),
    (lxc, {'container': 'a', 'user': 'app'}, 'user='),
    (lxd, {'container': 'a', 'user': '1:2:3'}, 'user='),
    (incus, {'container': 'a', 'user': '-1'}, 'user='),
    (systemd_nspawn, {}, 'directory='),
    (machinectl, {}, 'machine='),
    (jail, {}, 'jail='),
    *[(connector, {'hotsname': 'x'}, "unknown option 'hotsname'") for connector in BOXES],
]


def test_refuses_what_makes_no_sense() -> None:
    for connector, options, words in NONSENSE:
        with pytest.raises(ValueError, match=words):
            connector.plan(options)


@pytest.mark.parametrize(('connector', 'option', 'others'), [
    (docker, 'container', {}), (docker, 'image', {}), (docker, 'user', {'container': 'a'}), (podman, 'image', {}),
    (kubectl, 'pod', {}), (kubectl, 'container', {'pod': 'a'}), (kubectl, 'namespace', {'pod': 'a'}),
    (kubectl, 'kube_context', {'pod': 'a'}), (chroot, 'user', {'directory': '/'}), (nsenter, 'container', {}),
    (lxc, 'container', {}), (lxd, 'container', {}), (incus, 'project', {'container': 'a'}), (machinectl, 'machine', {}),
    (machinectl, 'user', {'machine': 'a'}), (systemd_nspawn, 'user', {'directory': '/'}), (jail, 'jail', {}),
    (jail, 'user', {'jail': 'a'}),
])  # fmt: skip
def test_a_name_can_be_no_option(connector: ModuleType, option: str, others: dict[str, Any]) -> None:
    for value in ('', '--privileged', 'a b', 'a\n', ' a', 5):
        with pytest.raises(ValueError, match=f'{option}='):
            connector.plan({**others, option: value})


@pytest.mark.parametrize('connector', BOXES)
def test_tables(connector: ModuleType) -> None:
    assert connector.PROMPTS == (('', 'question'),)
    assert connector.ANSWERS == ('question',)
    assert all(part == part.lower() for part, _kind in connector.FAILURES)
    assert {kind for _part, kind in connector.FAILURES} | {connector.MISSING} <= set(failures.REMEDIES)


# What the programs were seen to say: Docker's engine 20.10, Podman 4.3, kubectl 1.32, util-linux 2.38, LXC and LXD 5.0.
OCI = 'OCI runtime exec failed: exec failed: unable to start container process: exec: '
SAID = [
    (docker, 'Error response from daemon: No such container: web', 'no-such-box'),
    (docker, 'Error response from daemon: Container 1aea is not running', 'not-running'),
    (docker, 'Error response from daemon: Container web is paused, unpause the container before exec', 'paused'),
    (docker, 'unable to find user app: no matching entries in passwd file', 'no-such-user'),
    (docker, OCI + '"sh": executable file not found in $PATH: unknown', 'no-shell'),
    (docker, OCI + '"python9": executable file not found in $PATH: unknown', 'no-python'),
    (docker, OCI + '"/x/python": stat /x/python: no such file or directory: unknown', 'no-python'),
    (docker, OCI + '"/etc/passwd": permission denied: unknown', 'broken-python'),
    (docker, 'exec /usr/bin/python7: exec format error', 'exec-format'),
    (docker, 'docker: Error response from daemon: No such image: localhost/web:latest', 'no-such-image'),
    (docker, 'docker: Error response from daemon: Get "https://hub.invalid/v2/": dial tcp: lookup hub.invalid on '
     '10.0.0.1:53: no such host', 'no-such-image'),
    (docker, 'Cannot connect to the Docker daemon at unix:///x.sock. Is the docker daemon running?', 'engine-down'),
    (docker, 'permission denied while trying to connect to the Docker daemon socket at unix:///x', 'engine-refused'),
    (podman, 'Error: no container with name or ID "web" found: no such container', 'no-such-box'),
    (podman, 'Error: can only create exec sessions on running containers: container state improper', 'not-running'),
    (podman, 'Error: docker.io/library/web: image not known', 'no-such-image'),
    (podman, 'Error: runc: exec failed: unable to start container process: exec: "/etc/passwd": permission denied: OCI '
     'permission denied', 'broken-python'),
    (podman, 'time="2026" level=error msg="exec failed: unable to start container process: exec: '
     '\\"/x/python\\": stat /x/python: no such file or directory"', 'no-python'),
    (podman, 'cannot resolve /nonexistent: lstat /nonexistent: no such file or directory', 'engine-broken'),
    (podman, 'time="2026" level=error msg="stat /home/web/.config/containers/storage.conf: permission denied"',
     'engine-broken'),
    (podman, 'time="2026" level=error msg="invalid internal status, try resetting the pause process with '
     '\\"podman system migrate\\": cannot write uid_map: write /proc/28693/uid_map: operation not permitted"',
     'engine-broken'),
    (podman, 'Error: remount /var/lib/containers/storage/overlay, flags: 0x40000: operation not permitted',
     'engine-broken'),
    (podman, 'Error: please update to v2.0.1 or later: outdated conmon version', 'engine-broken'),
    (podman, 'Error: cannot set up namespace using "/usr/bin/newuidmap": exit status 1', 'engine-broken'),
    (podman, 'Error: creating runtime static files directory: mkdir /proc/nope: no such file or directory',
     'engine-broken'),
    (docker, 'failed to connect to the docker API at unix:///x.sock; check if the path is correct and if the daemon is '
     'running: dial unix /x.sock: connect: no such file or directory', 'engine-down'),
    (docker, 'permission denied while trying to connect to the docker API at unix:///var/run/docker.sock',
     'engine-refused'),
    (kubectl, 'error: stat /x/config: no such file or directory', 'engine-down'),
    (kubectl, 'Error from server (NotFound): pods "web" not found', 'no-such-box'),
    (kubectl, 'error: cannot exec into a container in a completed pod; current phase is Succeeded', 'not-running'),
    (kubectl, 'error: You must be logged in to the server (the server has asked for the client to provide credentials)',
     'engine-refused'),
    (kubectl, 'The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?',
     'engine-down'),
    (nsenter, 'nsenter: stat of /proc/999999/ns/user failed: No such file or directory', 'no-such-box'),
    (nsenter, 'nsenter: stat of /proc/1/ns/user failed: Permission denied', 'not-privileged'),
    (nsenter, '/opt/nsenter: 1: podman: not found', 'not-found'),
    (nsenter, '/opt/nsenter: line 1: docker: command not found', 'not-found'),
    (unshare, 'unshare: unshare failed: Operation not permitted', 'not-privileged'),
    (lxc, 'lxc-attach: web: get_attach_context: 406 Connection refused - Failed to get init pid', 'not-running'),
    (systemd_nspawn, 'Directory tree /srv/root is currently busy.', 'busy'),
]  # fmt: skip


def test_a_warning_is_no_cause() -> None:
    watch = handshake.Handshake(b'mark', podman.PROMPTS, podman.FAILURES, {})
    watch.feed('err', b'level=warning msg="Using rootless single mapping into the namespace. Check /etc/subuid, '
                      b'uid_map and storage.conf"\nTraceback (most recent call last):\n')  # fmt: skip
    assert watch.ended(1)[0] == 'broken-python'


def test_what_was_seen() -> None:
    for connector, line, kind in SAID:
        watch = handshake.Handshake(b'mark', connector.PROMPTS, connector.FAILURES, {})
        watch.feed('err', f'{line}\n'.encode())
        assert watch.ended(1)[0] == kind, line
