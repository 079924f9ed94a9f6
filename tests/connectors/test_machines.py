"""Contexts in containers of LXC, LXD, Incus and systemd, and in jails: by the real program where it can be had.

LXC and systemd-nspawn are real. For LXD and for Docker's own engine the tests run where they are installed, which CI
does without (test_boxes.py has Docker's client on the socket of Podman). Everywhere a small program stands for LXD, and
for those that this system cannot have; it is held to a transcript.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boxed
import pytest

import econtext
import lab
from econtext.testing import check_connector
from lab import eventually, leaks, pythons, reach, roots, transcripts
from lab.engines import IMAGE
from lab.machines import Docker, Lxc, Lxd

TRANSCRIPTS = Path(__file__).with_name('transcripts')
BIG = b'\0\r\n\x04\x1b' * 60_000

Start = Callable[..., econtext.Context]


def fails(context: econtext.Context, kind: str, *words: str) -> None:
    with pytest.raises(econtext.ConnectError) as caught:
        context.wait_ready(timeout=60)
    assert caught.value.kind == kind, str(caught.value)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def passes(context: econtext.Context, name: str | None = 'lab') -> tuple[int, int, str | None, str]:
    found: Any = context.call(boxed.place)
    assert found[2] == name
    assert context.call(boxed.echo, BIG) == BIG
    below = context.local()
    assert below.call(boxed.place)[1:] == found[1:]
    below.close()
    return tuple(found)  # type: ignore[return-value]


# -- LXC ---------------------------------------------------------------------


@pytest.fixture(scope='module')
def lxc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lxc]:
    lab.require('roots', 'lxc')
    with Lxc(tmp_path_factory.mktemp('lxc')) as engine:
        yield engine


def test_lxc(broker: econtext.Broker, lxc: Lxc) -> None:
    box = broker.lxc(lxc.box, lxc_args=lxc.args)
    assert passes(box)[3] == lxc.box
    assert box.call(os.getenv, 'PATH') != os.getenv('PATH')
    assert box.call(os.getenv, 'HOME') == '/root'
    app = broker.lxc(lxc.box, user='1234:1234', lxc_args=lxc.args, python='/usr/bin/python3')
    assert app.call(boxed.place)[1] == roots.APP
    version = subprocess.run([lab.need('lxc-attach'), '--version'], capture_output=True, text=True).stdout.strip()
    check_connector('lxc', {'container': lxc.box, 'lxc_args': lxc.args}, program='lxc_path', broker=broker)
    reach.record('connector', 'lxc', f'lxc-attach {version}')


def test_lxc_fails(broker: econtext.Broker, lxc: Lxc) -> None:
    fails(broker.lxc('no-such', lxc_args=lxc.args), 'not-running', 'check the name')
    fails(broker.lxc(lxc.idle, lxc_args=lxc.args), 'not-running', 'Start it')
    fails(broker.lxc(lxc.box, lxc_args=lxc.args, python='no-such-python'), 'no-python')
    fails(broker.local(python=pythons.nobodys()).lxc(lxc.box, lxc_args=lxc.args), 'not-privileged', 'sudo()')
    fails(broker.lxc(lxc.box, lxc_path='no-such-attach'), 'not-found')


def test_nsenter_by_container_of_lxc(broker: econtext.Broker, lxc: Lxc, tmp_path: Path,
                                     monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    program = tmp_path / 'lxc-info'
    program.write_text(f'#!/bin/sh\nexec {lab.need("lxc-info")} {lxc.args[0]} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    assert passes(broker.nsenter(container=lxc.box, engine='lxc'))[3] == lxc.box
    fails(broker.nsenter(container=lxc.idle, engine='lxc'), 'not-running', lxc.idle)
    fails(broker.nsenter(container='no-such', engine='lxc'), 'no-such-box', 'no-such')


# -- systemd-nspawn ----------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A root with a name that no other has, for nspawn keeps a folder of that name in /run."""
    lab.require('roots', 'nspawn')
    yield roots.make(tmp_path / f'econtext-{os.getpid()}')
    for place in ('propagate', 'unix-export'):
        shutil.rmtree(f'/run/systemd/nspawn/{place}/econtext-{os.getpid()}', ignore_errors=True)


def test_systemd_nspawn(broker: econtext.Broker, root: Path) -> None:
    box = broker.systemd_nspawn(root, nspawn_args=['--private-network'])
    assert passes(box)[1] == 0
    assert box.call(boxed.interfaces) == ['lo']
    fails(broker.systemd_nspawn(root), 'busy', 'ephemeral')
    box.close()
    app = broker.systemd_nspawn(root, user='app', python='/usr/bin/python3')
    assert passes(app)[1] == roots.APP
    app.close()
    stubborn = broker.systemd_nspawn(root)
    channel = stubborn.channel()
    future = stubborn.submit(boxed.be_stubborn, channel)
    assert channel.get(timeout=60) == 2
    stubborn.close()
    assert isinstance(future.exception(timeout=60), econtext.ContextLost)
    check_connector('systemd_nspawn', {'directory': str(root)}, program='nspawn_path', broker=broker)
    version = subprocess.run(['systemd-nspawn', '--version'], capture_output=True, text=True).stdout.split()[1]
    reach.record('connector', 'systemd_nspawn', f'systemd-nspawn {version}')


def test_systemd_nspawn_fails(broker: econtext.Broker, root: Path, tmp_path: Path) -> None:
    fails(broker.systemd_nspawn(tmp_path / 'no-such'), 'no-such-box', 'no-such')
    fails(broker.systemd_nspawn(root, user='nobody-there'), 'no-such-user', 'user=')
    fails(broker.systemd_nspawn(root, python='/no-such/python'), 'no-python', 'python=')
    fails(broker.local(python=pythons.nobodys()).systemd_nspawn('/'), 'not-privileged', 'sudo()')
    fails(broker.systemd_nspawn(root, nspawn_path='no-such-nspawn'), 'not-found')
    (root / 'usr/bin/sh').unlink()
    fails(broker.systemd_nspawn(root), 'no-shell', 'python=')


# -- Docker's own engine -----------------------------------------------------


def test_docker_engine(broker: econtext.Broker, tmp_path: Path) -> None:
    if lab.program('dockerd') is None or os.geteuid() != 0:
        pytest.skip("Docker's engine is not installed; by hand: apt-get install docker.io")
    with Docker(tmp_path) as engine:
        alone = ['--network', 'none']

        def start(*args: Any, **options: Any) -> econtext.Context:
            return broker.docker(*args, docker_args=['-H', engine.host], **options)

        passes(start('box'))
        assert passes(start('box', user='app'))[1] == roots.APP
        fails(start('no-such'), 'no-such-box', 'no-such')
        fails(start('idle'), 'not-running')
        fails(start('box', user='nobody-there'), 'no-such-user')
        fails(start(image=IMAGE, user='nobody-there', args=alone), 'no-such-user')
        fails(start(image='localhost/no-such', args=['--pull', 'never']), 'no-such-image')
        fails(start('box', python='no-such-python'), 'no-python')
        fails(start('box', python='/etc/passwd'), 'broken-python')
        engine.client('pause', 'box')
        fails(start('box'), 'paused', 'Unpause')
        engine.client('unpause', 'box')
        stubborn = start(image=IMAGE, args=[*alone, '--name', 'stubborn'])
        channel = stubborn.channel()
        stubborn.submit(boxed.be_stubborn, channel)
        assert channel.get(timeout=60) == 1
        stubborn.close()
        eventually(lambda: 'stubborn' not in engine.client('ps', '-a'), what='the container ends with its context')
        version = engine.client('version', '--format', '{{.Client.Version}} to the engine {{.Server.Version}}')
        for context in list(broker._tree.contexts.values()):
            context.close()
    reach.record('connector', 'docker', f'docker {version.strip()}')


# -- transcripts -------------------------------------------------------------


def instances(start: Start) -> None:
    """Hold whoever is, or stands for, LXD to what its connector counts on."""
    passes(start('box', python='/usr/bin/python3'), 'lab' if start.__name__ == 'real' else None)
    start('box', user='1234:1234', python='/usr/bin/python3').call(boxed.echo, 1)
    start('box').call(boxed.echo, 1)
    fails(start('no-such'), 'no-such-box', 'no-such')
    fails(start('box', project='no-such'), 'no-such-box')
    fails(start('idle'), 'not-running')
    fails(start('box', python='no-such-python'), 'no-python')


@pytest.mark.parametrize('name', ['lxd', 'incus'])
def test_instances(broker: econtext.Broker, tmp_path: Path, name: str) -> None:
    transcript = transcripts.read(TRANSCRIPTS / f'{name}.json')
    path = transcripts.write_program(tmp_path / 'client', transcript)

    def start(*args: Any, **options: Any) -> econtext.Context:
        context: econtext.Context = getattr(broker, name)(*args, **{f'{name}_path': path, **options})
        return context

    instances(start)
    fails(start('down'), 'engine-down', 'Start its service')
    fails(start('down', **{f'{name}_path': 'no-such-client'}), 'not-found')
    if name == 'lxd':
        fails(start('no-such:box'), 'no-such-box', 'no-such')
        fails(start('paused'), 'paused')
        fails(start('closed'), 'engine-refused', 'access')
    fails(start('elsewhere'), 'ended', 'not in the transcript')
    reach.record('connector', name, f'transcript of {transcript["tool"]}')


def test_lxd(broker: econtext.Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if lab.program('lxd') is None or os.geteuid() != 0:
        pytest.skip('LXD is not installed; by hand: apt-get install lxd lxd-client')
    with Lxd(tmp_path / 'lxd') as engine:
        monkeypatch.setenv('LXD_DIR', str(engine.state))

        def real(*args: Any, **options: Any) -> econtext.Context:
            return broker.lxd(*args, **options)

        instances(real)
        assert real('box', user='1234').call(boxed.place)[1] == 1234
        assert passes(broker.nsenter(container='box', engine='lxd'))[0] != os.getpid()
        fails(broker.nsenter(container='idle', engine='lxd'), 'not-running')
        fails(broker.nsenter(container='no-such', engine='lxd'), 'no-such-box')
        for context in list(broker._tree.contexts.values()):
            context.close()
    found = re.findall(r'"tool": "lxc (\S+)"', (TRANSCRIPTS / 'lxd.json').read_text())
    said = subprocess.run(['lxc', '--version'], capture_output=True, text=True).stdout.split()
    assert said == found, 'record the transcript anew'
    reach.record('connector', 'lxd', f'lxc {said[0]}')


def test_machinectl(broker: econtext.Broker, tmp_path: Path) -> None:
    transcript = transcripts.read(TRANSCRIPTS / 'machinectl.json')
    path = transcripts.write_program(tmp_path / 'systemd-run', transcript)
    assert broker.machinectl('box', machinectl_path=path).call(boxed.echo, BIG) == BIG
    assert broker.machinectl('box', user='app', machinectl_path=path).call(boxed.echo, 1) == 1
    fails(broker.machinectl('no-such', machinectl_path=path), 'no-such-box', 'no-such')
    fails(broker.machinectl('down', machinectl_path=path), 'engine-down')
    fails(broker.machinectl('closed', machinectl_path=path), 'not-privileged')
    fails(broker.machinectl('box', user='nobody-there', machinectl_path=path), 'no-such-user')
    fails(broker.machinectl('box', python='/no/such/python', machinectl_path=path), 'no-python')
    if lab.program('systemd-run') and not Path('/run/systemd/system').exists():
        fails(broker.machinectl('no-such'), 'no-such-box', 'Correct the name')
    reach.record('connector', 'machinectl', f'transcript of {transcript["tool"]}')


def test_jail(broker: econtext.Broker, tmp_path: Path) -> None:
    transcript = transcripts.read(TRANSCRIPTS / 'jail.json')
    path = transcripts.write_program(tmp_path / 'jexec', transcript)
    assert broker.jail('box', jexec_path=path).call(boxed.echo, BIG) == BIG
    assert broker.jail('box', user='app', jexec_path=path).call(boxed.echo, 1) == 1
    fails(broker.jail('no-such', jexec_path=path), 'no-such-box', 'no-such')
    fails(broker.jail('box', user='nobody-there', jexec_path=path), 'no-such-user')
    fails(broker.jail('box', python='no-such-python', jexec_path=path), 'no-python')
    fails(broker.jail('closed', jexec_path=path), 'not-privileged')
    reach.record('connector', 'jail', f'transcript of {transcript["tool"]}')


def test_a_container_of_systemd_ends_though_its_client_is_killed(broker: econtext.Broker, root: Path) -> None:
    box = broker.systemd_nspawn(root)
    box.wait_ready(60)
    inside = [entry.pid for entry in leaks.descendants(os.getpid())
              if leaks.command_line(entry.pid).startswith('econtext:')]  # fmt: skip
    assert inside
    client = next(entry.pid for entry in leaks.descendants(os.getpid())
                  if 'systemd-nspawn' in leaks.command_line(entry.pid))  # fmt: skip
    os.kill(client, 9)
    box.close()
    for pid in inside:
        eventually(lambda pid=pid: not leaks.alive(pid), what=f'process {pid} ends')  # type: ignore[misc]
