"""run() and run_lines(): output, input, statuses and ends of commands, on each Python."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import leaving
import pytest

import econtext
from econtext.child import running
from lab import SOON, eventually, pythons


@pytest.fixture
def child(broker: econtext.Broker) -> econtext.Context:
    return broker.local(name='child')


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How many seconds later than it is the program takes it to be, where it looks at timeouts of commands."""
    seconds = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + seconds[0])
    monkeypatch.setattr('econtext.controller.commands.running.time', clock)
    return seconds


def is_gone(pid: int) -> bool:
    """Is there no process `pid` that runs?"""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] in 'ZX'
    except OSError:
        return True


@pytest.mark.every_python
def test_on_each_python(broker: econtext.Broker, python: pythons.Interpreter, tmp_path: Path) -> None:
    web = broker.local(python=python, name='web')
    done = web.run(['sh', '-c', 'printf "%s" "$0" "$A"; echo err >&2; exit 3', '$HOME "é'], env={'A': 'ß'})
    assert type(done) is subprocess.CompletedProcess
    assert (done.returncode, done.stdout, done.stderr) == (3, '$HOME "éß', 'err\n')
    assert web.run('cat; pwd', input='in', cwd=tmp_path).stdout == f'in{tmp_path.resolve()}\n'
    assert web.run(['cat'], input=bytes(range(256)) * 2000, text=False).stdout == bytes(range(256)) * 2000
    assert web.run('cat; kill -9 $$').returncode == -signal.SIGKILL
    with pytest.raises(FileNotFoundError, match='web: the program') as caught:
        web.run(['no-such-program'])
    assert caught.value.filename == 'no-such-program'
    with pytest.raises(FileNotFoundError, match='web: the directory') as caught:
        web.run(['true'], cwd='/no/such/folder')
    assert caught.value.filename == '/no/such/folder'
    mark = tmp_path / 'mark'
    web.call(leaving.hurry, str(mark))
    with pytest.raises(subprocess.TimeoutExpired) as late:
        web.run(f'echo so far; : >{mark}; sleep 600', timeout=60)
    assert late.value.output == 'so far\n'
    mark.unlink()
    with web.run_lines('echo one; echo two >&2; exec sleep 600') as lines:
        found = {(str(line), line.stream) for _, line in zip(range(2), lines, strict=False)}
    assert found == {('one', 'stdout'), ('two', 'stderr')}
    assert web.run('echo still here').stdout == 'still here\n'


def test_check_raises_the_real_error(child: econtext.Context) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        child.run('echo out; echo err >&2; exit 4', check=True)
    assert (caught.value.returncode, caught.value.output, caught.value.stderr) == (4, 'out\n', 'err\n')
    assert child.run(['true'], check=True).args == ['true']


def test_undecodable_output_survives(child: econtext.Context) -> None:
    done = child.run(['printf', r'\377\n'])
    assert os.fsencode(done.stdout) == b'\xff\n'
    assert child.run(['printf', r'\377\r\n'], text=False).stdout == b'\xff\r\n'


def test_a_text_has_the_newlines_of_subprocess(child: econtext.Context) -> None:
    script = r'printf "a\r\nb\rc\n\rd\r"'
    expected = subprocess.run(script, shell=True, capture_output=True, text=True, check=True)
    assert child.run(script).stdout == expected.stdout == 'a\nb\nc\n\nd\n'
    found: list[Any] = []
    child.run(script, on_line=found.append)
    assert found == expected.stdout.splitlines()
    with child.run_lines(script, text=False) as lines:
        assert list(lines) == [b'a', b'b\rc', b'\rd\r']


def test_a_name_is_removed_from_the_environment(child: econtext.Context) -> None:
    assert child.run('echo ${HOME-none}', env={'HOME': None}).stdout == 'none\n'
    assert child.run('echo ${HOME-none}', env={'HOME': None}, extend_env=True).stdout == 'none\n'


def test_the_environment_is_replaced_or_extended(child: econtext.Context) -> None:
    assert child.run(['env'], env={'A': '1'}).stdout == 'A=1\n'
    assert child.run(['env'], env={}).stdout == ''
    here = set(child.run(['env']).stdout.split('\n'))
    assert set(child.run(['env'], env={'A': '1'}, extend_env=True).stdout.split('\n')) == here | {'A=1'}
    assert set(child.run(['env'], extend_env=True).stdout.split('\n')) == here


def test_a_text_that_looks_like_an_option_is_a_command(child: econtext.Context) -> None:
    assert child.run('-no-such-command').returncode == 127


def test_lines_come_while_the_command_runs(child: econtext.Context, tmp_path: Path) -> None:
    """The command ends only once its first line was heard."""
    told = tmp_path / 'told'
    heard = []

    def on_line(line: Any) -> None:
        heard.append((line, line.stream))
        told.touch()
    script = f'echo first; while [ ! -e {told} ]; do sleep 0.01; done; printf last >&2'
    done = child.run(script, on_line=on_line, timeout=60)
    assert heard == [('first', 'stdout'), ('last', 'stderr')]
    assert (done.returncode, done.stdout, done.stderr) == (0, None, None)


def test_lines_have_a_result_behind_them(child: econtext.Context) -> None:
    with child.run_lines('echo a; echo b; exit 5', capture=True, text=False) as lines:
        assert lines.result is None
        assert list(lines) == [b'a', b'b']
        assert lines.result is not None
    assert (lines.result.returncode, lines.result.stdout) == (5, b'a\nb\n')


@pytest.mark.parametrize('how', [
    lambda data: data, bytes.decode, io.BytesIO, lambda data: io.StringIO(data.decode()),
    lambda data: (data[at:at + 7777] for at in range(0, len(data), 7777)), lambda data: memoryview(data),
])  # fmt: skip
def test_input_of_each_kind(child: econtext.Context, how: Callable[[bytes], Any]) -> None:
    data = b'0123456789' * 100_000
    assert child.run(['cat'], input=how(data)).stdout == data.decode()


def test_input_larger_than_what_may_wait_is_stopped(child: econtext.Context) -> None:
    """A command that reads nothing takes no more than the windows, and one that ends early ends the input."""
    taken = 0

    def source() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1 << 16
            yield bytes(1 << 16)
    assert child.run('head -c 5; exit 6', input=source(), text=False).returncode == 6
    with pytest.raises(subprocess.TimeoutExpired):
        child.run(['sleep', '600'], input=source(), timeout=0.5)
    assert taken < 32 << 20


def test_an_error_of_the_input_is_raised_and_ends_the_command(child: econtext.Context) -> None:
    def source() -> Iterator[bytes]:
        yield b'x'
        raise LookupError('no more')
    with pytest.raises(LookupError, match='no more'):
        child.run('cat; sleep 600', input=source())
    assert child.run('echo next').stdout == 'next\n'


def test_the_whole_group_ends_when_it_is_left(child: econtext.Context) -> None:
    """Also one that heeds no SIGTERM, and one below it."""
    with child.run_lines('trap "" TERM; sh -c \'echo $$; while :; do sleep 1; done\' & echo $$; wait') as lines:
        pids = [int(next(lines)), int(next(lines))]
    eventually(lambda: all(is_gone(pid) for pid in pids))


def test_an_error_of_the_callback_ends_the_command(child: econtext.Context) -> None:
    pids = []

    def on_line(line: Any) -> None:
        pids.append(int(line))
        raise LookupError('enough')
    with pytest.raises(LookupError, match='enough'):
        child.run('echo $$; sleep 600', on_line=on_line)
    eventually(lambda: is_gone(pids[0]))


@pytest.mark.parametrize('threads', [1, 2])
def test_the_end_of_the_context_ends_the_command(broker: econtext.Broker, threads: int) -> None:
    web = broker.local(threads=threads)
    lines = web.run_lines('echo $$; exec sleep 600')
    other = web.run_lines('echo $$; exec sleep 600') if threads > 1 else lines
    pids = [int(next(lines))] + ([int(next(other))] if threads > 1 else [])
    web.close()
    eventually(lambda: all(is_gone(pid) for pid in pids))
    with pytest.raises(econtext.ContextLost):
        list(lines)
    lines.close()
    other.close()


def test_a_line_without_end_comes_in_pieces(child: econtext.Context) -> None:
    found: list[Any] = []
    script = 'head -c 3000000 /dev/zero | tr "\\0" x; printf "\\nlast"'
    child.run(script, on_line=found.append)
    assert [(len(line), line.ended) for line in found] == [
        (1 << 20, False), (1 << 20, False), (3_000_000 - (2 << 20), True), (4, False)]


def test_the_timeout_ends_a_command_that_nobody_hears(
    child: econtext.Context, tmp_path: Path, late: list[float]
) -> None:
    """It is gone while the callback still hears the first line."""
    heard: list[Any] = []
    child.call(leaving.hurry, str(tmp_path / 'mark'))

    def on_line(line: Any) -> None:
        heard.append(line)
        if len(heard) == 1:
            (tmp_path / 'mark').touch()
            eventually(lambda: is_gone(int(line)))
            late[0] = 61.0
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        child.run('echo $$; exec yes', on_line=on_line, timeout=60)
    assert len(heard) == 1
    assert caught.value.timeout == 60
    assert child.run('echo next').stdout == 'next\n'


def test_lines_that_are_heard_late_are_all_heard_if_the_command_was_in_time(
    child: econtext.Context, monkeypatch: pytest.MonkeyPatch, late: list[float]
) -> None:
    monkeypatch.setattr('econtext.controller.commands.running.PATIENCE', SOON)
    heard: list[Any] = []

    def on_line(line: Any) -> None:
        heard.append(line)
        if len(heard) == 1:
            eventually(lambda: is_gone(int(line)))
            late[0] = 61.0
    assert child.run('echo $$; exec seq 1000', on_line=on_line, timeout=60).returncode == 0
    assert heard[1:] == [str(number) for number in range(1, 1001)]


def test_a_context_that_is_stopped_does_not_outstay_the_timeout(
    child: econtext.Context, monkeypatch: pytest.MonkeyPatch, late: list[float]
) -> None:
    monkeypatch.setattr('econtext.controller.commands.running.PATIENCE', 0.2)
    with child.run_lines('echo $$; exec sleep 600', timeout=60, capture=True) as lines:
        pid = int(next(lines))
        os.kill(child.pid, signal.SIGSTOP)
        try:
            # A moment before the timeout; or behind it, if the command has run for long.
            late[0] = 59.9
            with pytest.raises(subprocess.TimeoutExpired) as caught:
                next(lines)
        finally:
            os.kill(child.pid, signal.SIGCONT)
    assert caught.value.output == f'{pid}\n'
    eventually(lambda: is_gone(pid))
    assert child.run('echo next').stdout == 'next\n'


@pytest.mark.parametrize('threads', [1, 2])
def test_the_end_of_the_context_ends_a_command_that_nobody_hears(broker: econtext.Broker, threads: int) -> None:
    web = broker.local(threads=threads)
    lines = web.run_lines('echo $$; exec yes')
    pid = int(next(lines))
    web.close()
    eventually(lambda: is_gone(pid))
    with pytest.raises(econtext.ContextLost):
        list(lines)
    lines.close()


TWO = 'trap "" TERM; sh -c \'trap "" TERM; echo $$; while :; do sleep 1; done\' & echo $$; wait; wait; sleep 600'


@pytest.mark.every_python
def test_a_context_that_is_killed_takes_its_commands_along(
    broker: econtext.Broker, python: pythons.Interpreter
) -> None:
    """Those that run, with all of their groups, and no daemon of one that has ended; also beside a forked process."""
    web = broker.local(python=python, threads=2)
    forked = web.call(leaving.leave_one)
    daemon = int(web.run('sleep 600 & echo $!').stdout)
    try:
        one, two = web.run_lines(TWO), web.run_lines('echo $$; exec sleep 600')
        pids = [int(next(one)), int(next(one)), int(next(two))]
        two.close()
        eventually(lambda: is_gone(pids[2]))
        assert not any(map(is_gone, pids[:2]))
        os.kill(web.pid, signal.SIGKILL)
        eventually(lambda: all(map(is_gone, pids)))
        with pytest.raises(econtext.ContextLost):
            list(one)
        one.close()
        assert not is_gone(daemon)
        assert not is_gone(forked)
    finally:
        for pid in daemon, forked:
            os.kill(pid, signal.SIGKILL)


def test_a_guard_that_was_ended_is_replaced(broker: econtext.Broker) -> None:
    child = broker.local(threads=2)
    with child.run_lines('echo $$; exec sleep 600') as first:
        pids = [int(next(first))]
        guards = children_called(child.pid, 'econtext-guard')
        assert len(guards) == 1
        os.kill(guards[0], signal.SIGKILL)
        eventually(lambda: is_gone(guards[0]))
        child.run(['true'])
        assert len(children_called(child.pid, 'econtext-guard')) == 1
        os.kill(child.pid, signal.SIGKILL)
        eventually(lambda: is_gone(pids[0]))


def test_a_fork_of_the_context_leaves_the_commands_alone(broker: econtext.Broker) -> None:
    """Also as it ends in good order, which the functions of atexit are."""
    web = broker.local(threads=2)
    with web.run_lines('echo $$; read line; echo $line', input=until_told(told := threading.Event())) as lines:
        pid = int(next(lines))
        assert web.call(leaving.fork_and_exit) == 0
        assert not is_gone(pid)
        told.set()
        assert list(lines) == ['told']


def until_told(told: threading.Event) -> Iterator[str]:
    told.wait(60)
    yield 'told\n'


def children_called(parent: int, word: str) -> list[int]:
    """Return the children of process `parent` that run and have `word` in their command."""
    found = []
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            fields = (folder / 'stat').read_text().rpartition(')')[2].split()
            words = (folder / 'cmdline').read_bytes()
            if int(fields[1]) == parent and fields[0] not in 'ZX' and word.encode() in words:
                found.append(int(folder.name))
        except OSError:
            # It has just ended.
            pass
    return found


def test_a_path_is_a_program(child: econtext.Context, tmp_path: Path) -> None:
    program = tmp_path / 'a program; really $HOME'
    program.write_text('#!/bin/sh\nprintf "%s." "$@"\n')
    program.chmod(0o755)
    assert child.run(program).returncode == 0
    assert child.run([program, tmp_path]).stdout == f'{tmp_path}.'


def test_a_path_of_the_context_is_a_word(child: econtext.Context, broker: econtext.Broker, tmp_path: Path) -> None:
    folder = child.path(tmp_path)
    done = child.run(['sh', '-c', 'pwd; echo "$0" "$A"', folder], cwd=folder, env={'A': 'b'})
    assert done.stdout == f'{tmp_path}\n{tmp_path} b\n'
    assert child.run(child.path('/bin/pwd'), cwd=folder).stdout == f'{tmp_path}\n'
    with child.run_lines(['echo', folder]) as lines:
        assert list(lines) == [str(tmp_path)]
    with broker.local(name='other') as other:
        for wrong in (
            lambda: other.run(['ls', folder]), lambda: other.run('ls', cwd=folder), lambda: other.run_lines([folder]),
            lambda: broker.fleet(['one'], connector='local').run(['ls', folder]),
        ):
            with pytest.raises(ValueError, match=r'a path of .* is none of .*: give a text'):
                wrong()


@pytest.mark.parametrize(
    'unusable', ['missing', 'file', 'file/below', 'folder', 'folder/missing', 'loop', 'text', 'x' * 300])
def test_what_cannot_be_used_raises_as_in_subprocess(child: econtext.Context, tmp_path: Path, unusable: str) -> None:
    (tmp_path / 'file').touch()
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'loop').symlink_to('loop')
    (tmp_path / 'text').write_text('true')
    (tmp_path / 'text').chmod(0o755)
    path = str(tmp_path / unusable)
    cases: list[tuple[list[str], str | None]] = [([path], None)]
    if unusable != 'folder':
        cases.append((['true'], path))
    for argv, cwd in cases:
        with pytest.raises(OSError) as expected:  # noqa: PT011 -- which one is what is compared
            subprocess.run(argv, cwd=cwd, check=False)
        with pytest.raises(OSError) as found:  # noqa: PT011
            child.run(argv, cwd=cwd)
        assert type(found.value) is type(expected.value)
        assert (found.value.errno, found.value.filename) == (expected.value.errno, expected.value.filename)


def test_a_broken_pipe_of_the_input_is_quiet(child: econtext.Context) -> None:
    for input in (bytes(1 << 22), 'x' * (1 << 22), (bytes(1 << 16) for _ in range(64))):
        assert child.run('exec <&-; echo over; exit 7', input=input).returncode == 7


def test_ctrl_c_in_a_callback_ends_the_command(child: econtext.Context) -> None:
    pids = []

    def on_line(line: Any) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        child.run('echo $$; exec yes 1', on_line=on_line)
    eventually(lambda: is_gone(pids[0]))
    assert child.run('echo next').stdout == 'next\n'


def test_the_types_of_lines_are_public(child: econtext.Context) -> None:
    with child.run_lines('echo a') as lines:
        assert isinstance(lines, econtext.RunLines)
        assert type(next(lines)) is econtext.Line
    with child.run_lines('echo a', text=False) as raw:
        assert type(next(raw)) is econtext.BytesLine


@pytest.mark.parametrize('timeout', [1e12, float('inf')])
def test_a_timeout_may_be_as_long_as_one_likes(child: econtext.Context, timeout: float) -> None:
    assert child.run('echo a', timeout=timeout).stdout == 'a\n'


def test_a_daemon_that_keeps_the_pipe_open_holds_up_nothing(child: econtext.Context) -> None:
    done = child.run('sleep 600 & echo $!', timeout=60)
    pid = int(done.stdout)
    assert not is_gone(pid)
    os.kill(pid, signal.SIGKILL)


def test_several_at_once(broker: econtext.Broker, tmp_path: Path) -> None:
    """Each of two waits for the other."""
    web = broker.local(threads=2)
    one, two = tmp_path / 'one', tmp_path / 'two'
    script = 'touch {0}; while [ ! -e {1} ]; do sleep 0.01; done; echo {0}'
    found: list[Any] = []
    threads = [threading.Thread(target=lambda pair=pair: found.append(web.run(script.format(*pair), timeout=60)))
               for pair in ((one, two), (two, one))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done.stdout for done in found) == [f'{one}\n', f'{two}\n']


@pytest.mark.parametrize(('arguments', 'options', 'error'), [
    (b'true', {}, TypeError), ([], {}, ValueError), ([''], {}, ValueError), ([1], {}, TypeError),
    (['a\0b'], {}, ValueError), (['true'], {'timeout': 'x'}, ValueError), (['true'], {'env': ['A']}, TypeError),
    (['true'], {'env': {'A=B': 'x'}}, ValueError), (['true'], {'input': 3}, TypeError),
    (['true'], {'cwd': 3}, TypeError), (['true'], {'on_line': 3}, TypeError),
])  # fmt: skip
def test_bad_input_is_refused(child: econtext.Context, arguments: Any, options: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        child.run(arguments, **options)


INTERRUPTED = '''
import sys, econtext
with econtext.Broker() as broker:
    web = broker.local()
    try:
        web.run('echo $$; exec sleep 600', on_line=lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        print('interrupted', web.run('echo next').stdout, flush=True)
'''


@pytest.mark.parametrize('threads', [1, 2])
def test_an_interruption_while_a_command_starts_ends_the_command(
    broker: econtext.Broker, python: pythons.Interpreter, tmp_path: Path, threads: int
) -> None:
    web = broker.local(python=python, threads=threads)
    note = tmp_path / 'pid'
    web.call(leaving.start_slowly, str(note))
    options = {'cwd': None, 'env': None, 'extend': False, 'input': False, 'timeout': None}
    channel = web.channel()
    # As a fleet has it, whose work was stopped.
    future = web.submit(running.run, channel, [b'sleep', b'600'], options)
    eventually(lambda: note.exists() and note.read_text().endswith('\n'))
    channel.close()
    future.interrupt(60)
    wait([future], 60)
    eventually(lambda: is_gone(int(note.read_text())))
    assert web.call(abs, -1) == 1


def test_ctrl_c_leaves_and_ends_the_command() -> None:
    program = subprocess.Popen([sys.executable, '-c', INTERRUPTED], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    pid = int(program.stdout.readline())
    program.send_signal(signal.SIGINT)
    assert program.communicate(timeout=60)[0].split() == ['interrupted', 'next']
    eventually(lambda: is_gone(pid))


def test_a_lost_program_ends_the_command() -> None:
    program = subprocess.Popen([sys.executable, '-c', INTERRUPTED], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    pid = int(program.stdout.readline())
    program.kill()
    program.communicate(timeout=60)
    eventually(lambda: is_gone(pid))
