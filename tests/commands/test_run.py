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
from pathlib import Path
from typing import Any

import pytest

import econtext
from lab import pythons


@pytest.fixture
def child(broker: econtext.Broker) -> econtext.Context:
    return broker.local(name='child')


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, 'it did not come about in time'
        time.sleep(0.01)


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
    with pytest.raises(subprocess.TimeoutExpired) as late:
        web.run('echo so far; sleep 600', timeout=0.5)
    assert late.value.output == 'so far\n'
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
    done = child.run(['printf', r'\377\r\n'])
    assert os.fsencode(done.stdout) == b'\xff\r\n'


def test_a_name_is_removed_from_the_environment(child: econtext.Context) -> None:
    assert child.run('echo ${HOME-none}', env={'HOME': None}).stdout == 'none\n'


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
    wait_until(lambda: all(is_gone(pid) for pid in pids))


def test_an_error_of_the_callback_ends_the_command(child: econtext.Context) -> None:
    pids = []

    def on_line(line: Any) -> None:
        pids.append(int(line))
        raise LookupError('enough')
    with pytest.raises(LookupError, match='enough'):
        child.run('echo $$; sleep 600', on_line=on_line)
    wait_until(lambda: is_gone(pids[0]))


@pytest.mark.parametrize('threads', [1, 2])
def test_the_end_of_the_context_ends_the_command(broker: econtext.Broker, threads: int) -> None:
    web = broker.local(threads=threads)
    lines = web.run_lines('echo $$; exec sleep 600')
    other = web.run_lines('echo $$; exec sleep 600') if threads > 1 else lines
    pids = [int(next(lines))] + ([int(next(other))] if threads > 1 else [])
    web.close()
    wait_until(lambda: all(is_gone(pid) for pid in pids))
    with pytest.raises(econtext.ContextLost):
        list(lines)
    lines.close()
    other.close()


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


def test_ctrl_c_leaves_and_ends_the_command() -> None:
    program = subprocess.Popen([sys.executable, '-c', INTERRUPTED], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    pid = int(program.stdout.readline())
    program.send_signal(signal.SIGINT)
    assert program.communicate(timeout=30)[0].split() == ['interrupted', 'next']
    wait_until(lambda: is_gone(pid))


def test_a_lost_program_ends_the_command() -> None:
    program = subprocess.Popen([sys.executable, '-c', INTERRUPTED], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    pid = int(program.stdout.readline())
    program.kill()
    program.communicate(timeout=30)
    wait_until(lambda: is_gone(pid))
