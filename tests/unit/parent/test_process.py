"""Both ways to start a program, held to the same promises."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.parent import process

SECONDS = 20.0
Spawn = Callable[..., process.Process]

# Says what a program finds: its own session, terminal, descriptors, blocked and ignored signals.
PROBE = r"""
import os, sys
fds = []
for fd in range(256):
    try:
        os.fstat(fd)
        fds.append(fd)
    except OSError:
        pass
try:
    tty = os.open('/dev/tty', os.O_RDWR)
except OSError:
    tty = None
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
masks = [int(status[name], 16) for name in ('SigBlk', 'SigIgn')]
print(repr((os.getsid(0) == os.getpid(), tty is not None, fds, masks)))
"""


@pytest.fixture(params=['posix_spawn', 'fork'])
def spawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spawn]:
    """process.spawn in one of its two forms; what the test leaves open or running is ended."""
    if request.param == 'posix_spawn' and not process.FAST:
        pytest.skip('no posix_spawn here')
    monkeypatch.setattr(process, 'FAST', request.param == 'posix_spawn')
    started: list[process.Process] = []

    def start(*args: object, **options: object) -> process.Process:
        started.append(process.spawn(*args, **options))
        return started[-1]

    yield start
    for program in started:
        program.kill(signal.SIGKILL)
        program.close()
        ended(program)


def ended(program: process.Process) -> int:
    deadline = time.monotonic() + SECONDS
    while program.poll() is None:
        assert time.monotonic() < deadline, 'the program does not end'
        select.select([], [], [], 0.005)
    assert program.status is not None
    return program.status


def output(program: process.Process) -> bytes:
    """Close its input, and return all it writes."""
    os.close(program.stdin)
    program.stdin = None
    return process.read(program.stdout)


def until(fd: int, text: bytes) -> bytes:
    seen = b''
    while text not in seen:
        assert select.select([fd], [], [], SECONDS)[0], seen
        seen += os.read(fd, 4096)
    return seen


def descriptors() -> set[str]:
    return set(os.listdir('/proc/self/fd'))


def children() -> set[str]:
    return set(Path('/proc/self/task/%d/children' % os.getpid()).read_text().split())


def test_pipes_carry_everything(spawn: Spawn) -> None:
    program = spawn(['sh', '-c', 'cat; echo said >&2; exit 3'])
    os.write(program.stdin, b'\0\xff\n')
    assert output(program) == b'\0\xff\n'
    assert process.read(program.stderr) == b'said\n'
    assert ended(program) == 3
    assert program.tty is None


@pytest.mark.parametrize('tty', [False, True])
def test_program_starts_clean(spawn: Spawn, tty: bool) -> None:
    leaky = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(leaky, True)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        program = spawn([sys.executable, '-Sc', PROBE], tty)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGHUP, ignored)
        os.close(leaky)
    leader, terminal, fds, (blocked, masked) = eval(output(program))
    assert (leader, terminal, fds, blocked) == (True, tty, [0, 1, 2], 0)
    python = {signal.SIGPIPE, signal.SIGXFSZ}  # the probe is a Python, and ignores these itself
    assert not masked & sum(1 << (number - 1) for number in set(process.SIGNALS) - python)


ACTS = st.sampled_from(['open', 'close', 'leak', 'keep', 'over', 'watch', 'look'])


@given(st.lists(st.tuples(ACTS, st.integers(0, 9))))
def test_what_programs_would_inherit_is_found_whatever_happened_since(acts: list[tuple[str, int]]) -> None:
    mine: list[int] = []
    watched: set[int] = set()

    def chosen(number: int) -> int | None:
        others = [fd for fd in mine if fd not in watched]
        return others[number % len(others)] if others else None

    try:
        process.SEEN.clear()
        for act, number in [('look', 0), *acts, ('look', 0)]:
            fd = chosen(number)
            if act == 'open':
                mine.append(os.open(os.devnull, os.O_RDONLY))
            elif act == 'look':
                there = [int(name) for name in os.listdir('/proc/self/fd')]
                leaks = {each for each in there if each > 2 and os.path.exists(f'/proc/self/fd/{each}')
                         and os.get_inheritable(each)}  # fmt: skip
                assert set(process.inheritable(watched)) == leaks
            elif fd is None:
                continue
            elif act == 'close':
                os.close(fd)
                mine.remove(fd)
            elif act == 'over':
                other = os.open('/dev/zero', os.O_RDONLY)
                os.dup2(other, fd, inheritable=bool(number % 2))
                os.close(other)
            elif act == 'watch':
                os.set_inheritable(fd, False)
                watched.add(fd)
            else:
                os.set_inheritable(fd, act == 'leak')
    finally:
        for fd in mine:
            os.close(fd)


def test_terminals_of_programs_that_run_are_not_looked_at(spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are two for each host; once closed, their numbers may be anything's."""
    looked: list[int] = []
    look = process.looked_at

    def looked_at(fds: Iterable[int]) -> dict[int, bool]:
        found = list(fds)
        looked.extend(found)
        return look(found)

    first = spawn(['cat'], True)
    terminal = {first.tty, first.slave}
    assert None not in terminal
    monkeypatch.setattr(process, 'looked_at', looked_at)
    process.inheritable()
    assert first.stdin in looked
    assert not terminal & set(looked)
    number = first.tty
    first.close()
    other = os.open(os.devnull, os.O_RDONLY)
    try:
        os.dup2(other, number, inheritable=True)
        assert number in process.inheritable()
    finally:
        os.close(other)
        os.close(number)
    with pytest.raises(OSError, match='No such file'):
        process.spawn(['/no/such/program'], True)
    assert [fd for fd in process.PRIVATE if not os.path.exists(f'/proc/self/fd/{fd}')] == []


@pytest.mark.parametrize('tty', [False, True])
def test_what_is_open_beyond_the_limit_hinders_no_start(spawn: Spawn, tty: bool) -> None:
    """A descriptor that was inherited, or opened before the limit was lowered."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[0] < 700:
        pytest.skip('no descriptor as high as that')
    high = fcntl.fcntl(0, fcntl.F_DUPFD, 650)
    os.set_inheritable(high, True)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (600, limits[1]))
        script = 'import os; print([fd for fd in range(3, 1000) if os.path.exists("/proc/self/fd/%d" % fd)])'
        program = spawn([sys.executable, '-Sc', script], tty=tty)
        assert program.stdout is not None
        assert process.read(program.stdout).strip() in (b'[]', b'[3]')
        assert ended(program) == 0
        assert os.get_inheritable(high)  # as the application has it
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        os.close(high)


def test_signals_that_python_ignores_act_again(spawn: Spawn) -> None:
    assert ended(spawn(['sh', '-c', 'kill -PIPE $$'])) == -signal.SIGPIPE
    assert ended(spawn(['sh', '-c', 'kill -XFSZ $$'])) == -signal.SIGXFSZ


def test_terminal_asks_apart_from_the_pipes(spawn: Spawn) -> None:
    script = 'printf \'one\\nName: \' >/dev/tty; read name </dev/tty; echo "got $name"; stty -a </dev/tty'
    program = spawn(['sh', '-c', script], True)
    assert until(program.tty, b'Name: ') == b'one\nName: '
    os.write(program.tty, b'secret\n')
    said = output(program)
    assert said.startswith(b'got secret\n')
    assert {b'-echo', b'-opost', b'icanon', b'isig'} <= set(said.replace(b';', b' ').split())
    assert not select.select([program.tty], [], [], 0)[0], 'the terminal echoed'


def test_terminal_lasts_while_nobody_has_it_open(spawn: Spawn) -> None:
    program = spawn(['cat'], True)
    assert not select.select([program.tty], [], [], 0.05)[0]
    assert program.poll() is None


def test_closing_hangs_up(spawn: Spawn) -> None:
    program = spawn(['sh', '-c', 'echo ready; exec sleep 1000'], True)
    until(program.stdout, b'ready')
    program.close()
    assert ended(program) == -signal.SIGHUP


def test_without_terminals_a_program_has_none(spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    def openpty() -> tuple[int, int]:
        raise OSError(errno.ENOENT, 'no ptmx')

    monkeypatch.setattr(os, 'openpty', openpty)
    program = spawn(['cat'], True)
    assert program.tty is None
    assert output(program) == b''


@pytest.mark.parametrize(
    ('program', 'number'),
    [
        ('no-such-program', errno.ENOENT),
        ('/no/such/program', errno.ENOENT),
        ('', errno.ENOENT),
        ('{dir}', errno.EACCES),
        ('{dir}/plain', errno.EACCES),
        ('plain', errno.EACCES),
        ('{dir}/garbage', errno.ENOEXEC),
        ('{dir}/orphan', errno.ENOENT),
    ],
)
@pytest.mark.parametrize('tty', [False, True])
def test_what_cannot_be_executed_leaves_nothing(
    spawn: Spawn, tmp_path: Path, program: str, number: int, tty: bool
) -> None:
    for name, mode, text in (
        ('plain', 0o644, 'text'),
        ('garbage', 0o755, '\0\1\2'),
        ('orphan', 0o755, '#!/no/such/interpreter\n'),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    before = descriptors(), children()
    with pytest.raises(OSError, match=r'\[Errno') as caught:
        spawn([program.format(dir=tmp_path)], tty, {'PATH': str(tmp_path)})
    assert caught.value.errno == number
    assert caught.value.filename == program.format(dir=tmp_path)
    assert (descriptors(), children()) == before


def test_environment_is_ours_with_changes(spawn: Spawn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv('ECONTEXT_A', 'kept')
    monkeypatch.setenv('ECONTEXT_B', 'gone')
    monkeypatch.setitem(os.environb, b'ECONTEXT_C', b'\xff')
    (tmp_path / 'tool').write_text('#!/bin/sh\necho "$ECONTEXT_A|$ECONTEXT_B|$ECONTEXT_C|$ECONTEXT_D"\n')
    (tmp_path / 'tool').chmod(0o755)
    path = '%s:%s' % (tmp_path, os.environ['PATH'])
    program = spawn(['tool'], False, {'ECONTEXT_B': None, 'ECONTEXT_D': 'ü', 'PATH': path})
    assert output(program) == b'kept||\xff|\xc3\xbc\n'


def test_other_programs_do_not_inherit_our_ends(spawn: Spawn) -> None:
    program = spawn(['cat'], True)
    for fd in program.stdin, program.stdout, program.stderr, program.tty, program.slave:
        assert not os.get_inheritable(fd)
    sibling = spawn(['cat'])
    assert output(program) == b'', 'the sibling holds our end of its input'
    assert ended(program) == 0
    assert sibling.poll() is None


def test_kill_reaches_the_whole_session_and_only_it(spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    program = spawn(['sh', '-c', 'sleep 1000 & echo ready; wait'])
    until(program.stdout, b'ready')
    program.kill(signal.SIGTERM)
    assert ended(program) == -signal.SIGTERM
    assert process.read(program.stdout) == b'', 'the sleeper holds its output open'
    monkeypatch.setattr(os, 'killpg', lambda *args: pytest.fail('a signal to a process that is gone'))
    program.kill(signal.SIGTERM)


def test_status_that_others_took_is_unknown(spawn: Spawn) -> None:
    program = spawn(['true'])
    os.waitpid(program.pid, 0)
    assert program.poll() == process.UNKNOWN
    assert program.poll() == process.UNKNOWN


def test_close_may_come_twice(spawn: Spawn) -> None:
    before = descriptors()
    program = spawn(['cat'], True)
    program.close()
    program.close()
    assert descriptors() == before


@pytest.mark.parametrize('fast', [True, False])
def test_closed_standard_descriptors_do_no_harm(fast: bool) -> None:
    """Where 0, 1 and 2 are closed, pipes come to lie there."""
    script = (
        'import os, sys\n'
        'from econtext.parent import process\n'
        'process.FAST = process.FAST and %r\n'
        'report = os.dup(1)\n'
        'os.closerange(0, 3)\n'
        "program = process.spawn(['sh', '-c', 'cat; echo err >&2'])\n"
        "os.write(program.stdin, b'in')\n"
        'os.close(program.stdin)\n'
        'said = process.read(program.stdout) + process.read(program.stderr)\n'
        'os.write(report, said + str(os.waitpid(program.pid, 0)[1]).encode())\n' % fast
    )
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, timeout=SECONDS, env=environment)
    assert done.stdout == b'inerr\n0', done.stderr
