"""Hosts where other tools give up: each works, or fails soon with the right kind, the last lines seen, and a remedy."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import farside
import pytest

import econtext
from lab import SOON, eventually, leaks, need, pythons, reach, require
from lab.accounts import Accounts, home_of
from lab.sshd import Sshd

BIG = '\0\xff\r\n' * 75_000


def works(context: econtext.Context) -> None:
    assert context.call(farside.echo, BIG) == BIG
    assert context.local().call(farside.echo, 'below') == 'below'


def fails(context: econtext.Context, kind: str, *words: str, within: float = SOON) -> econtext.ConnectError:
    begun = time.monotonic()
    with pytest.raises(econtext.ConnectError) as caught:
        context.wait_ready(within)
    assert time.monotonic() - begun < within
    error = caught.value
    assert error.kind == kind, str(error)
    assert error.remedy.endswith('.')
    for word in words:
        assert word in error.lines, str(error)
    return error


# -- Login shells and what their start-up files do ------------------------------


@pytest.fixture
def bashrc(broker: econtext.Broker, sshd: Sshd, accounts: Accounts) -> Iterator[Callable[..., econtext.Context]]:
    """Start a context through a login shell whose start-up file holds these lines. One run at a time."""
    odd = accounts['odd']
    with home_of(odd):
        def start(text: str, **options: Any) -> econtext.Context:
            (odd.home / '.bashrc').write_text(text + '\n')
            os.chown(odd.home / '.bashrc', odd.uid, odd.gid)
            return broker.ssh('lab', ssh_args=sshd.ssh_args(odd.name), **options)

        yield start
        (odd.home / '.bashrc').write_text('')
        broker.close()


def test_noise(
    broker: econtext.Broker, accounts: Accounts, bashrc: Callable[..., econtext.Context], tmp_path: Path
) -> None:
    works(bashrc('echo "password: "; echo "Password: " >&2; printf "no end of line"'))
    works(bashrc('seq 20000; seq 20000 >&2; printf "\\0econtext\\0"; stty -echo; tput clear'))
    banner = tmp_path / 'banner'
    banner.write_text('Welcome. Enter your password: \n\x1b[31mAre you sure (yes/no)? \n')
    with Sshd(tmp_path / 'sshd', [f'Banner {banner}']) as server:
        context = broker.ssh('lab', ssh_args=server.ssh_args(accounts['noisy'].name), name='banner')
        works(context)
        context.close()
    reach.record('host', 'banner, and start-up files that write to both outputs', 'works')


def test_a_start_up_file_that_prints_for_ever(bashrc: Callable[..., econtext.Context]) -> None:
    error = fails(bashrc('while :; do echo noise on noise; done'), 'noise', 'noise on noise')
    assert 'Silence' in error.remedy
    fails(bashrc('while :; do echo grumble; sleep 0.1; done', connect_timeout=10), 'timeout', 'grumble')
    reach.record('host', 'a start-up file that prints for ever', 'ConnectError noise, or timeout if it is slow')


def test_a_start_up_file_that_exits(bashrc: Callable[..., econtext.Context]) -> None:
    error = fails(bashrc('echo go away; exit 3'), 'no-login', 'go away')
    assert 'start-up file' in error.remedy
    reach.record('host', 'a start-up file that exits', 'ConnectError no-login')


@pytest.mark.parametrize('shell', ['sh', 'bash --norc', 'dash', 'zsh', 'csh', 'tcsh'])
def test_a_start_up_file_that_starts_another_shell(bashrc: Callable[..., econtext.Context], shell: str) -> None:
    """That shell gets no command, and takes what comes for commands: Python is there all the same."""
    error = fails(bashrc(f'exec {shell}'), 'eaten-input', 'not found')
    assert 'exec zsh' in error.remedy
    reach.record('host', 'a start-up file that starts another shell', 'ConnectError eaten-input')


@pytest.mark.parametrize('program', ['fish', 'cat > /dev/null'])
def test_a_start_up_file_with_a_program_that_reads_to_the_end(
    broker: econtext.Broker, bashrc: Callable[..., econtext.Context], program: str
) -> None:
    """Such a program says nothing before its input has ended, which is when the time to connect is over."""
    fails(bashrc(f'exec {program}', connect_timeout=3), 'eaten-input')
    fails(bashrc(program, connect_timeout=3), 'eaten-input')
    with broker.local(name='hop') as hop:
        fails(hop.command(['sh', '-c', f'exec {program}'], connect_timeout=3), 'eaten-input')
    reach.record('host', 'a start-up file that reads all input', 'ConnectError eaten-input, after connect_timeout=')


def test_a_program_that_takes_all_and_never_ends(broker: econtext.Broker) -> None:
    """What it said is told, from below a context too."""
    with broker.local(name='hop') as hop:
        for origin in broker, hop:
            program = 'echo so far >&2; cat > /dev/null; exec sleep 1000'
            fails(origin.command(['sh', '-c', program], connect_timeout=2), 'timeout', 'so far')


def test_a_start_that_was_merely_late_is_told_so(broker: econtext.Broker, tmp_path: Path) -> None:
    """Python starts when its input has ended, and has all of it."""
    begin = tmp_path / 'begin'
    os.mkfifo(begin)
    held = os.open(begin, os.O_RDWR)
    context = broker.command(['sh', '-c', 'cat < "$0"; exec "$@"', str(begin)], connect_timeout=1)
    birth = broker._tree.births[context._node.id]
    eventually(lambda: birth.late)
    os.close(held)
    fails(context, 'timeout')


def test_no_input_at_all(broker: econtext.Broker) -> None:
    """As of an engine that was not told to keep it open."""
    error = fails(broker.command(['sh', '-c', 'exec "$@" < /dev/null', 'sh']), 'no-input')
    assert 'docker exec -i' in error.remedy
    reach.record('host', 'a way to it that passes on no standard input', 'ConnectError no-input')


def test_a_start_up_file_that_reads(bashrc: Callable[..., econtext.Context]) -> None:
    error = fails(bashrc('read answer'), 'eaten-input')
    assert 'read' in error.remedy
    reach.record('host', 'a start-up file that reads a line of input', 'ConnectError eaten-input')


def test_login_shells(broker: econtext.Broker, sshd: Sshd, accounts: Accounts) -> None:
    for kind in 'plain', 'dash', 'tcsh', 'csh', 'fish', 'zsh':
        works(broker.ssh('lab', ssh_args=sshd.ssh_args(accounts[kind].name), name=kind))
        reach.record('host', f'login shell {Path(accounts[kind].shell).name}', 'works')
    for kind in 'nologin', 'false':
        fails(broker.ssh('lab', ssh_args=sshd.ssh_args(accounts[kind].name), name=kind), 'no-login')
        reach.record('host', f'login shell {kind}', 'ConnectError no-login')


# -- Interpreters --------------------------------------------------------------


@pytest.fixture
def bare(broker: econtext.Broker, tmp_path: Path) -> Callable[..., econtext.Context]:
    """Start a context where only these are on the path: name=what it leads to, or the text of a program."""
    require('bwrap')

    def start(platform: str | None = None, python: Any = None, **programs: str) -> econtext.Context:
        folder = tmp_path / 'bin'
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / 'sh').symlink_to('/bin/sh')
        for name, target in programs.items():
            if target.startswith('#!'):
                (folder / name).write_text(target)
                (folder / name).chmod(0o755)
            else:
                (folder / name).symlink_to(target)
        argv = [need('bwrap'), '--bind', '/', '/', '--dev-bind', '/dev', '/dev', '--proc', '/proc',
                '--tmpfs', '/usr/libexec', '--setenv', 'PATH', str(folder)]  # fmt: skip
        if platform:
            argv += ['--symlink', platform, '/usr/libexec/platform-python']
        return broker.command([*argv, need('env')], python=python)

    return start


def test_an_interpreter_of_one_name(bare: Callable[..., econtext.Context]) -> None:
    two, six = str(pythons.interpreter('2.7')), str(pythons.interpreter('3.6'))
    for name, target in ('python2', two), ('python', two), ('python3', six):
        context = bare(**{name: target})
        works(context)
        assert context.call(farside.version) == pythons.interpreter('2.7' if target == two else '3.6').version
    context = bare(platform=six)
    works(context)
    assert context.executable == '/usr/libexec/platform-python'
    # A name that leads nowhere is passed over.
    works(bare(python3='/no/such', python2=two))
    reach.record('host', 'Python only as python2, or only as /usr/libexec/platform-python', 'works')


def test_no_interpreter(bare: Callable[..., econtext.Context]) -> None:
    error = fails(bare(), 'no-python', 'tried: python3, python, python2, /usr/libexec/platform-python')
    assert 'python=' in error.remedy
    fails(bare(python='/opt/python9'), 'no-python', 'tried: /opt/python9')
    assert 'called python9' in str(fails(bare(python='python9'), 'no-python', 'tried: python9'))
    reach.record('host', 'no Python', 'ConnectError no-python, and what was tried')


@pytest.mark.parametrize(('text', 'kind'), [
    ('#!/no/such/interpreter', 'no-python'),
    ('#!/bin/sh\necho "error while loading shared libraries: libpython3.so" >&2; exit 127', 'broken-python'),
])  # fmt: skip
def test_a_broken_interpreter(bare: Callable[..., econtext.Context], text: str, kind: str) -> None:
    fails(bare(python3=text + '\n'), kind, 'python3', 'tried: python3')
    reach.record('host', 'a broken Python', 'ConnectError broken-python, and what was tried')


def test_an_interpreter_that_does_not_find_its_library(broker: econtext.Broker, tmp_path: Path) -> None:
    shim = tmp_path / 'python3'
    shim.write_text(f'#!/bin/sh\nshift\nPYTHONHOME={tmp_path} exec {sys.executable} -c "$@"\n')
    shim.chmod(0o755)
    fails(broker.local(python=str(shim)), 'broken-python', 'encodings', f'tried: {shim}')


def test_a_slow_shim(broker: econtext.Broker, tmp_path: Path) -> None:
    shim = tmp_path / 'python3'
    shim.write_text(f'#!/bin/bash\nsleep 1.5\nexec {sys.executable} "$@"\n')
    shim.chmod(0o755)
    works(broker.local(python=str(shim)))
    reach.record('host', 'a slow shim in front of Python', 'works; doctor names what it leads to')


def user_site(home: Path, version: str) -> Path:
    folder = home / '.local' / 'lib' / f'python{version}' / 'site-packages'
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize('version', ['2.7', '3.6', '3.11', '3.13'])
def test_variables_and_folders_that_mislead(
    broker: econtext.Broker, tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = ['select', 'struct', 'zlib', 'fcntl', 'marshal', 'binascii', 'signal', 'econtext', 'econtext_test']
    folder = user_site(tmp_path, version)
    for place in folder, tmp_path:
        for name in ours[:-1]:
            (place / f'{name}.py').write_text(f'raise RuntimeError("the wrong {name}")\n')
    monkeypatch.chdir(tmp_path)
    variables = {
        'HOME': str(tmp_path), 'PYTHONPATH': f'{folder}:{tmp_path}', 'PYTHONHOME': '/no/such',
        'PYTHONSTARTUP': f'{tmp_path}/select.py', 'PYTHONINSPECT': '1', 'PYTHONWARNINGS': 'error',
        'PYTHONUSERBASE': None, 'PYTHONOPTIMIZE': '2', 'PYTHONIOENCODING': 'utf-16',
    }  # fmt: skip
    context = broker.local(python=pythons.interpreter(version), env=variables)
    works(context)
    found = context.call(farside.origins, ours[:6])
    assert not [path for path in found if str(tmp_path) in path], found
    reach.record('host', 'PYTHONHOME and others set; modules of our names in user site and folder', 'works')


@pytest.mark.parametrize(('text', 'kind'), [
    ('print("noise of a site"); import sys; sys.stderr.write("more noise\\n")', None),
    ('raise RuntimeError("a broken site")', None),
    ('import sys; sys.exit(3)', 'ended'),
    ('import os; os.write(2, "no entry\\n".encode()); os._exit(3)', 'ended'),
])  # fmt: skip
@pytest.mark.parametrize('version', ['2.7', '3.13'])
def test_a_site_that_prints_or_fails(
    broker: econtext.Broker, tmp_path: Path, version: str, text: str, kind: str | None
) -> None:
    (user_site(tmp_path, version) / 'usercustomize.py').write_text(text + '\n')
    variables = {'HOME': str(tmp_path), 'PYTHONUSERBASE': None}
    context = broker.local(python=pythons.interpreter(version), env=variables)
    if kind is None:
        works(context)
    else:
        with pytest.raises(econtext.ConnectError) as caught:
            context.wait_ready(60)
        assert caught.value.kind in (kind, 'broken-python'), caught.value
    reach.record('host', 'sitecustomize that prints or raises', 'works')
    reach.record('host', 'sitecustomize that ends the interpreter', 'ConnectError broken-python or ended')


# -- Limits ---------------------------------------------------------------------


@pytest.mark.parametrize('version', ['2.7', '3.6', '3.13'])
def test_sixteen_files(broker: econtext.Broker, version: str) -> None:
    python = pythons.interpreter(version)
    context = broker.local(python=[need('prlimit'), '--nofile=16:16', python])
    assert context.call(farside.echo, BIG) == BIG
    for _ in range(30):
        assert context.call(os.system, 'true') == 0
    reach.record('host', 'a limit of 16 open files', 'works')


@pytest.mark.parametrize('version', ['2.7', '3.6', '3.11'])
def test_little_memory(broker: econtext.Broker, version: str) -> None:
    python = pythons.interpreter(version)
    context = broker.local(python=[need('prlimit'), f'--as={64 << 20}', python])
    assert context.call(farside.echo, BIG) == BIG
    with pytest.raises(MemoryError):
        context.call(bytes, 100 << 20) if version != '2.7' else context.call(bytearray, 100 << 20)
    assert context.call(farside.echo, 1) == 1
    none = broker.local(python=[need('prlimit'), f'--as={16 << 20}', python])
    with pytest.raises(econtext.ConnectError) as caught:
        none.wait_ready(60)
    assert caught.value.kind in ('limits', 'broken-python', 'ended', 'died'), caught.value
    reach.record('host', 'a limit of 64 MB of memory', 'works')


def test_no_further_process(broker: econtext.Broker, accounts: Accounts) -> None:
    odd = accounts['odd']
    python = [*odd.argv(need('prlimit'), '--nproc=1:1'), pythons.everyones()]
    assert 'processes' in fails(broker.local(python=python), 'died').remedy
    reach.record('host', 'a limit of one process', 'ConnectError died')


# -- Time, load, networks ---------------------------------------------------------


@pytest.mark.parametrize('years', [-40, 30])
def test_a_clock_that_is_years_off(
    broker: econtext.Broker, tmp_path: Path, years: int, caplog: pytest.LogCaptureFixture
) -> None:
    shift = years * 365 * 86400
    (user_site(tmp_path, '3.11') / 'usercustomize.py').write_text(
        f'import time\nreal = time.time\ntime.time = lambda: real() + {shift}\n')
    options = {'python': pythons.interpreter('3.11'), 'env': {'HOME': str(tmp_path), 'PYTHONUSERBASE': None}}
    context = broker.local(**options)
    works(context)
    with caplog.at_level(logging.INFO):
        assert abs(context.call(farside.speak) - time.time() - shift) < 100
    assert [record.getMessage() for record in caplog.records if 'there: ' in record.getMessage()] == ['there: logged']
    with pytest.raises(econtext.CallTimeout):
        context.options(timeout=0.2, grace=60).call(farside.wait, 5)
    notes = [step for step in econtext.doctor(broker, connector='local', **options).steps if step.outcome == 'note']
    assert [note.name for note in notes] == ['clock'], notes
    reach.record('host', 'a clock that is years off', 'works; doctor tells')


def test_a_host_under_load(broker: econtext.Broker, tmp_path: Path) -> None:
    """All of its start and a call are stopped nine tenths of the time."""
    context = broker.local(python=sys.executable, connect_timeout=110)
    birth = broker._tree.births[context._node.id]
    eventually(lambda: birth.process is not None)
    pid, over = birth.process.pid, threading.Event()

    def press() -> None:
        while not over.wait(0.01):
            for number in signal.SIGSTOP, signal.SIGCONT:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    return
                if number == signal.SIGSTOP:
                    over.wait(0.1)

    pressing = threading.Thread(target=press)
    pressing.start()
    try:
        for number in range(5):
            assert context.call(farside.echo, (number, BIG)) == (number, BIG)
    finally:
        over.set()
        pressing.join()
        os.kill(pid, signal.SIGCONT)
    late, later = tmp_path / 'late', tmp_path / 'later'
    for path, seconds in (late, 3), (later, 600):
        path.write_text(f'#!/bin/sh\nsleep {seconds}\nexec {sys.executable} "$@"\n')
        path.chmod(0o755)
    fails(broker.local(python=str(later), connect_timeout=1), 'timeout')
    works(broker.local(python=str(late), connect_timeout=120))
    reach.record('host', 'a host under load', 'works, within connect_timeout=')


RELAY = """\
import os, socket, subprocess, sys, threading
ours, theirs = socket.socketpair()
child = subprocess.Popen(sys.argv[1:], stdin=theirs, stdout=theirs)
theirs.close()
def up():
    while True:
        data = ours.recv(65536)
        if not data:
            break
        os.write(1, data)
threading.Thread(target=up).start()
while True:
    data = os.read(0, 65536)
    if not data:
        break
    ours.sendall(data)
ours.shutdown(socket.SHUT_WR)
sys.exit(child.wait())
"""


@pytest.mark.parametrize('version', ['2.7', '3.13'])
def test_one_socket_in_place_of_two_pipes(broker: econtext.Broker, tmp_path: Path, version: str) -> None:
    """As with some ssh servers and inetd; pipes are what it has else, also where policy forbids sockets."""
    (tmp_path / 'relay').write_text(RELAY)
    context = broker.local(python=[sys.executable, f'{tmp_path}/relay', pythons.interpreter(version)])
    works(context)
    pid = context.pid
    context.close()
    eventually(lambda: not leaks.alive(pid))
    reach.record('host', 'pipes, or one socket, as standard input and output', 'works')


@pytest.fixture
def black_hole(tmp_path: Path) -> Iterator[tuple[Sshd, Path]]:
    """A server behind a network that loses large packets, and the client that goes farside."""
    require('sshd', 'iptables')
    with subprocess.Popen([need('unshare'), '-n', 'sh', '-c', 'echo; exec sleep 1000'], stdout=subprocess.PIPE) as net:
        try:
            assert net.stdout is not None
            net.stdout.readline()
            inside = [need('nsenter'), f'--net=/proc/{net.pid}/ns/net']
            for command in (
                ['ip', 'link', 'set', 'lo', 'up', 'mtu', '1500'],
                [need('iptables'), '-A', 'OUTPUT', '-m', 'length', '--length', '700:65535', '-j', 'DROP'],
            ):
                subprocess.run([*inside, *command], check=True)
            programs = {}
            for name in 'ssh', 'sshd':
                programs[name] = tmp_path / name
                programs[name].write_text(f'#!/bin/sh\nexec {" ".join(inside)} {need(name)} "$@"\n')
                programs[name].chmod(0o755)
            with Sshd(tmp_path / 'server', program=str(programs['sshd'])) as server:
                yield server, programs['ssh']
        finally:
            net.kill()


def test_large_packets_that_vanish(
    broker: econtext.Broker, accounts: Accounts, black_hole: tuple[Sshd, Path]
) -> None:
    server, ssh = black_hole
    args = server.ssh_args(accounts['plain'].name)
    fails(broker.ssh('lab', ssh_args=args, ssh_path=str(ssh), connect_timeout=2), 'timeout')
    reach.record('host', 'a network that loses large packets', 'ConnectError timeout; doctor: stalled')


def test_the_doctor_knows_a_server_that_falls_silent(broker: econtext.Broker) -> None:
    """As behind such a network: it greets, and then nothing of it arrives."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        port, held = listener.getsockname()[1], []

        def greet() -> None:
            for _ in range(2):
                held.append(listener.accept()[0])
                held[-1].sendall(b'SSH-2.0-OpenSSH_9.2\r\n')

        greeting = threading.Thread(target=greet)
        greeting.start()
        report = econtext.doctor(
            broker, '127.0.0.1', port=port, ssh_args=['-F', '/dev/null'], connect_timeout=5)
        greeting.join()
        for link in held:
            link.close()
    assert report.failed is not None
    assert (report.failed.name, report.failed.kind) == ('login', 'stalled'), report
    assert 'large packets' in report.failed.remedy
