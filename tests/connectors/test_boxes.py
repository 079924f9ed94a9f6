"""Contexts in containers and namespaces: each way in, through others, to its end, or the reason why not."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boxed
import pytest

import econtext
import lab
from econtext.testing import check_connector
from lab import engines, eventually, pythons, reach, roots
from lab.accounts import Accounts
from lab.engines import IMAGE, Podman
from lab.sshd import Sshd

Start = Callable[[Any], econtext.Context]

BIG = b'\0\r\n\x04\x1b' * 60_000  # what a terminal on the way would change
SOURCES = f'{Path(econtext.__file__).parents[1]}:{Path(__file__).parent}'


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a Python and a shell."""
    lab.require('roots')
    return roots.make(tmp_path_factory.mktemp('roots') / 'a root')


@pytest.fixture(scope='module')
def noshell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a Python and no shell."""
    lab.require('roots')
    return roots.make(tmp_path_factory.mktemp('roots') / 'noshell', shell=False)


@pytest.fixture(scope='module')
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    lab.require('podman')
    with Podman(tmp_path_factory.mktemp('podman')) as engine:
        yield engine


@pytest.fixture(scope='module')
def served(podman: Podman) -> str:
    lab.require('docker')
    return podman.serve()


@pytest.fixture(autouse=True)
def swept(request: pytest.FixtureRequest) -> Iterator[None]:
    """Once all contexts have ended, end the monitors that stay behind what Docker's client executed."""
    yield
    if 'podman' in request.fixturenames:
        request.getfixturevalue('podman').sweep()


@pytest.fixture
def docker_args(served: str) -> list[str]:
    """What brings Docker's client to the engine."""
    return ['-H', served]


@contextlib.contextmanager
def sleeper(*before: str) -> Iterator[int]:
    """A process in namespaces of its own; its number."""
    with subprocess.Popen([*before, 'sleep', '1000'], stdin=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: Path(f'/proc/{process.pid}/comm').read_text() == 'sleep\n')
            yield process.pid
        finally:
            process.kill()


def passes(context: econtext.Context, name: str | None = 'lab') -> tuple[int, int, str | None, str]:
    """Hold a context to what each must do; return where it is."""
    found = context.call(boxed.place)
    assert found[2] == name, 'it is inside'
    assert context.call(boxed.echo, BIG) == BIG
    with pytest.raises(econtext.CallError, match='no-such'):
        context.call(os.listdir, '/no-such')
    below = context.local()
    assert below.call(boxed.place)[1:] == found[1:], 'it starts contexts in its turn'
    below.close()
    return tuple(found)  # type: ignore[return-value]


def fails(context: econtext.Context, kind: str | tuple[str, ...], *words: str) -> None:
    with pytest.raises(econtext.ConnectError) as caught:
        context.wait_ready(timeout=60)
    assert caught.value.kind in ((kind,) if isinstance(kind, str) else kind), str(caught.value)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def tool(*argv: str) -> str:
    """Return name and version of a program."""
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    found = re.search(r'\d+(\.\d+)+', said)
    assert found, said
    return f'{argv[0]} {found[0]}'


# -- namespaces --------------------------------------------------------------


def test_chroot(broker: econtext.Broker, root: Path) -> None:
    own = broker.chroot(root)
    assert passes(own)[1] == 0
    assert own.name == f'chroot.{root}'
    app = broker.chroot(str(root), user='app:app', python='/usr/bin/python3')
    assert passes(app)[1] == roots.APP
    assert app.name == f'chroot.{root}#2'
    reach.record('connector', 'chroot', tool('chroot', '--version'))


def test_chroot_fails(broker: econtext.Broker, root: Path, noshell: Path, tmp_path: Path) -> None:
    bare = roots.make(tmp_path / 'bare', shell=False, python=False)
    nopython = roots.make(tmp_path / 'nopython', python=False)
    fails(broker.chroot(tmp_path / 'no-such'), 'no-such-box', 'no-such', 'Correct the name')
    fails(broker.chroot(root, user='nobody-there'), 'no-such-user', 'user=')
    fails(broker.chroot(bare), 'no-python', 'python=')
    fails(broker.chroot(nopython), 'no-python', 'python=')
    fails(broker.chroot(root, python='/usr/bin/python9'), 'no-python')
    fails(broker.chroot(root, chroot_path='/no-such/chroot'), 'not-found', '/no-such/chroot')
    assert broker.chroot(noshell, python='/usr/bin/python3').call(boxed.place)[2] == 'lab'
    plain = broker.local(python=pythons.nobodys())
    fails(plain.chroot(root), 'not-privileged', 'sudo()')


def test_unshare(broker: econtext.Broker) -> None:
    own = broker.unshare()
    assert passes(own, None)[0] == 1, 'the first of its processes'
    assert own.call(boxed.interfaces) == ['lo']
    assert own.call(os.listdir, '/proc').count('1') == 1
    only = broker.unshare(namespaces=['net'])
    assert only.call(os.getppid) == os.getpid()
    plain = broker.local(python=pythons.nobodys())
    fails(plain.unshare(), 'not-privileged')
    mapped = plain.unshare(map_root=True, python='/usr/bin/python3')
    assert mapped.call(boxed.place)[:2] == (1, 0)
    reach.record('connector', 'unshare', tool('unshare', '--version'))


def test_bubblewrap(broker: econtext.Broker, root: Path, tmp_path: Path) -> None:
    lab.require('bubblewrap')
    usual = broker.bubblewrap()
    passes(usual, None)
    mine = tmp_path / 'mine'
    assert usual.call(boxed.may_write, str(mine)) is False
    inside = f'/tmp/mine-{os.getpid()}'
    assert usual.call(boxed.may_write, inside) is True
    assert not os.path.exists(inside)
    assert usual.call(boxed.interfaces) == ['lo']
    own = broker.bubblewrap(bwrap_args=['--bind', str(root), '/', '--proc', '/proc', '--dev', '/dev'])
    passes(own)
    fails(broker.bubblewrap(bwrap_args=['--bind', '/no-such', '/']), 'no-such-box', '/no-such')
    fails(broker.bubblewrap(bwrap_args=['--tmpfs', '/']), 'no-shell', 'python=')
    fails(broker.bubblewrap(python='/no-such/python'), 'no-python')
    fails(broker.bubblewrap(bwrap_path='no-such-bwrap'), 'not-found')
    reach.record('connector', 'bubblewrap', tool('bwrap', '--version'))


def test_nsenter(broker: econtext.Broker) -> None:
    lab.require('roots')
    with sleeper('unshare', '--net', '--uts', 'sh', '-c', 'hostname box; exec "$0" "$@"') as pid:
        assert passes(broker.nsenter(pid), None)[3] == 'box'
        net = broker.nsenter(pid, namespaces=['net'])
        assert net.call(boxed.interfaces) == ['lo']
        assert net.call(boxed.place)[3] != 'box'
        fails(broker.local(python=pythons.nobodys()).nsenter(pid), 'not-privileged')
    fails(broker.nsenter(pid), 'no-such-box', str(pid))
    reach.record('connector', 'nsenter by pid', tool('nsenter', '--version'))


def test_nsenter_by_container(
    broker: econtext.Broker, podman: Podman, docker_args: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('PATH', f'{podman.directory}:{os.environ["PATH"]}')
    monkeypatch.setenv('DOCKER_HOST', docker_args[1])
    for engine in 'podman', 'docker':
        passes(broker.nsenter(container='box', engine=engine))
        net = broker.nsenter(container='box', engine=engine, namespaces=['net'])
        assert net.call(boxed.interfaces) == ['lo']
        assert net.call(boxed.place)[2] is None, 'our own files'
        fails(broker.nsenter(container='no-such', engine=engine), 'no-such-box', 'no-such')
    reach.record('connector', 'nsenter by container', f'{podman.version()}; {tool("docker", "--version")}')
    podman.run('create', '--name', 'idle', IMAGE, *engines.FOREVER)
    fails(broker.nsenter(container='idle', engine='podman'), 'not-running', 'Start it')
    podman.run('rm', 'idle')


# -- engines -----------------------------------------------------------------


@pytest.fixture(params=['podman', 'docker'])
def engine(request: pytest.FixtureRequest, podman: Podman, docker_args: list[str]) -> Callable[..., econtext.Context]:
    """Starts a context from another by an engine's connector: engine(broker, 'box', …)."""
    if request.param == 'podman':
        return lambda via, *args, **options: via.podman(*args, **{'podman_path': podman.path, **options})
    return lambda via, *args, **options: via.docker(*args, **{'docker_args': docker_args, **options})


def test_container(broker: econtext.Broker, engine: Any, podman: Podman) -> None:
    box = engine(broker, 'box')
    assert passes(box)[1] == 0
    assert box.name in ('podman.box', 'docker.box')
    app = engine(broker, 'box', user='app', python='/usr/bin/python3', name='app')
    assert passes(app)[1] == roots.APP
    assert app.name == 'app'
    which = box.name.split('.')[0]
    version = podman.version() if which == 'podman' else tool('docker', '--version') + ' on the socket of podman'
    reach.record('connector', which, version)


def test_engines_conform(broker: econtext.Broker, podman: Podman, docker_args: list[str]) -> None:
    options = {'podman': {'podman_path': podman.path}, 'docker': {'docker_args': docker_args}}
    for name, path in (('podman', 'podman_path'), ('docker', 'docker_path')):
        check_connector(name, {'container': 'box', **options[name]}, program=path, broker=broker)
    check_connector('podman', {'image': IMAGE, **options['podman']}, broker=broker)
    eventually(lambda: podman.containers() == ['box'], what='the new containers end')


def test_new_container(broker: econtext.Broker, engine: Any, podman: Podman) -> None:
    args = ['--network', 'none', '--name', 'fresh', '--env', 'BOX=2']
    fresh = engine(broker, image=IMAGE, user='app', args=args)
    assert passes(fresh)[:2] == (1, roots.APP)
    assert fresh.call(os.getenv, 'BOX') == '2'
    assert 'fresh' in podman.containers()
    fresh.close()
    eventually(lambda: 'fresh' not in podman.containers(), what='the container ends with its context')


def test_new_container_ends_even_where_its_context_is_stubborn(
    broker: econtext.Broker, engine: Any, podman: Podman
) -> None:
    stubborn = engine(broker, image=IMAGE, args=['--network', 'none', '--name', 'stubborn'])
    channel = stubborn.channel()
    future = stubborn.submit(boxed.be_stubborn, channel)
    assert channel.get(timeout=60) == 1
    stubborn.close()
    assert isinstance(future.exception(timeout=60), econtext.ContextLost)
    eventually(lambda: 'stubborn' not in podman.containers(), what='the container ends with its context')


KILLED = """\
import os, signal, sys
import econtext, boxed
way, options = {options!r}
with econtext.Broker() as broker:
    box = getattr(broker, way)(image={image!r}, **options)
    print(box.call(boxed.place)[2], flush=True)
    box.call(boxed.echo, 1) if {idle} else box.call(__import__('time').sleep, 1000)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize('idle', [True, False])
@pytest.mark.parametrize('way', ['podman', 'docker'])
def test_new_container_ends_though_the_program_is_killed(
    podman: Podman, docker_args: list[str], way: str, idle: bool
) -> None:
    options: dict[str, Any] = {'args': ['--network', 'none', '--name', 'killed']}
    options |= {'podman_path': podman.path} if way == 'podman' else {'docker_args': docker_args}
    program = KILLED.format(options=(way, options), image=IMAGE, idle=idle)
    process = subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE, text=True,
                               env={**os.environ, 'PYTHONPATH': SOURCES})  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == 'lab\n'
        if not idle:
            assert 'killed' in podman.containers()
            process.kill()
        assert process.wait(60) == -signal.SIGKILL
    eventually(lambda: 'killed' not in podman.containers(), what='the container ends with its program')


def test_engine_failures(broker: econtext.Broker, engine: Any, podman: Podman) -> None:
    docker = 'docker' in engine(broker, 'box').name
    fails(engine(broker, 'no-such'), 'no-such-box', 'no-such', 'Correct the name')
    fails(engine(broker, image='localhost/no-such', args=['--pull', 'never']), 'no-such-image', 'pull')
    if not docker:  # Podman's socket keeps for itself what Docker's own says
        fails(engine(broker, image=IMAGE, user='nobody-there', args=['--network', 'none']), 'no-such-user', 'user=')
        fails(engine(broker, 'box', user='nobody-there'), 'no-such-user', 'user=')
    fails(engine(broker, 'box', python='no-such-python'), 'no-python')
    fails(engine(broker, 'box', python='/no-such/python'), 'no-python')
    fails(engine(broker, 'box', python='/etc/passwd'), 'broken-python')
    option = 'docker_path' if docker else 'podman_path'
    fails(engine(broker, 'box', **{option: 'no-such-engine'}), 'not-found', 'no-such-engine')


def test_engine_without_a_running_container(broker: econtext.Broker, engine: Any, podman: Podman) -> None:
    docker = 'docker' in engine(broker, 'box').name
    podman.run('create', '--name', 'idle', IMAGE, *engines.FOREVER)
    try:
        fails(engine(broker, 'idle'), 'not-running', 'Start it')
        podman.run('start', 'idle')
        podman.run('pause', 'idle')
        fails(engine(broker, 'idle'), 'paused' if docker else 'not-running', 'paused')
        podman.run('unpause', 'idle')
        passes(engine(broker, 'idle'))
    finally:
        podman.run('rm', '-f', '-t', '0', 'idle')


def test_container_without_interpreter_or_shell(
    broker: econtext.Broker, engine: Any, podman: Podman, noshell: Path, tmp_path: Path
) -> None:
    made = {'noshell': noshell, 'nopython': roots.make(tmp_path / 'nopython', python=False)}
    (made['nopython'] / 'usr/bin/python7').write_bytes(b'\x7fELF\x02\x01\x01' + b'\0' * 57)
    (made['nopython'] / 'usr/bin/python7').chmod(0o755)
    for name, folder in made.items():
        podman.run('run', '-d', '--name', name, '--rootfs', f'{folder}:O', *engines.SLEEP)
    try:
        fails(engine(broker, 'noshell'), 'no-shell', 'python=')
        assert engine(broker, 'noshell', python='/usr/bin/python3').call(boxed.place)[2] == 'lab'
        fails(engine(broker, 'nopython'), 'no-python', 'python=')
        # What says so races with the end of it through Podman's hands; half of the time nothing comes.
        fails(engine(broker, 'nopython', python='python7'), ('exec-format', 'ended'))
    finally:
        podman.run('rm', '-f', '-t', '0', *made)


def test_docker_without_its_engine(broker: econtext.Broker, docker_args: list[str], tmp_path: Path) -> None:
    fails(broker.docker('box', docker_args=['-H', f'unix://{tmp_path}/no-such']), 'engine-down', 'DOCKER_HOST')
    plain = broker.local(python=pythons.nobodys())
    fails(plain.docker('box', docker_args=docker_args), 'engine-refused', 'access')


def test_a_folder_as_a_container(broker: econtext.Broker, podman: Podman) -> None:
    root = broker.podman(image='/:O', args=['--rootfs', '--name', 'host'], podman_path=podman.path)
    assert root.call(os.path.exists, sys.prefix)
    root.close()
    eventually(lambda: 'host' not in podman.containers())


# -- chains ------------------------------------------------------------------


def test_ssh_then_sudo_then_a_container(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, podman: Podman
) -> None:
    host = broker.ssh('lab', username=accounts['nopw'].name, ssh_args=['-F', str(sshd.config)])
    box = host.sudo().podman('box', podman_path=podman.path)
    assert passes(box)[1] == 0
    assert box.name == 'lab.sudo.root.podman.box'
    fails(host.podman('box', podman_path=podman.path), 'not-found')


def test_boxes_in_boxes(broker: econtext.Broker, root: Path) -> None:
    lab.require('bubblewrap')
    inner = broker.unshare().chroot(root)
    assert passes(inner)[0] != os.getpid()
    assert passes(broker.bubblewrap().local(), None)[3]
