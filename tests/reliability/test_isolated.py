"""Isolated calls: one answer whatever the forked process does, exact output, and nothing left behind."""

from __future__ import annotations

import asyncio
import logging
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
from stops import isolated, work

import econtext
from econtext import aio
from econtext.controller.session import forks
from lab import eventually, leaks, olden, pythons
from lab.accounts import Accounts
from lab.sshd import Sshd

VERSIONS = ('2.7', '3.6', '3.13')
ALL = bytes(range(256))


@pytest.fixture(params=VERSIONS)
def child(request: pytest.FixtureRequest, broker: econtext.Broker) -> econtext.Context:
    return broker.local(python=pythons.interpreter(request.param), name='web')


@pytest.fixture
def newest(broker: econtext.Broker) -> econtext.Context:
    return broker.local(python=pythons.interpreter('3.13'), name='web')


def told(path: Path) -> list[int]:
    """Wait until a function has written numbers to `path`; return them."""
    eventually(path.exists)
    return [int(word) for word in path.read_text().split()]


def gone(*pids: int) -> bool:
    return not any(map(leaks.alive, pids))


def group_of(*pids: int) -> list[int]:
    """Return all processes of the groups of `pids`."""
    groups = {os.getpgid(pid) for pid in pids}
    found = []
    for entry in leaks.table():
        try:
            if os.getpgid(entry.pid) in groups:
                found.append(entry.pid)
        except ProcessLookupError:
            pass
    return found


# -- what comes back ---------------------------------------------------------


@pytest.mark.every_python
def test_value_output_and_status(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    web = broker.local(python=python, name='web')
    done = web.options(fork=True).call(isolated.speak, {'a': [1, None, 2.5]})
    assert type(done) is econtext.ForkResult
    assert done.value == {'a': [1, None, 2.5]}
    assert done.stdout == b'printed\nwritten\nechoed\nunfinished'
    assert done.stderr == b'warned\ncomplained\n'
    assert done.returncode == 0
    assert web.options(fork=True).submit(isolated.speak, 1).result(60).value == 1
    assert web.options(fork=True).call(len, 'abc') == econtext.ForkResult(3, b'', b'', 0)
    pid, group, session, parent = web.options(fork=True).call(isolated.numbers).value
    assert pid == group == session != web.pid == parent


def test_each_byte(child: econtext.Context) -> None:
    for size in 1, 65536, 3_000_000:
        for fd in 1, 2:
            done = child.options(fork=True).call(isolated.bytes_of, size, fd)
            assert done.value == size
            assert (done.stdout, done.stderr)[fd - 1] == (ALL * (size // 256 + 1))[:size]
            assert (done.stdout, done.stderr)[2 - fd] == b''


def test_a_large_value(child: econtext.Context) -> None:
    value = 'gro\xdf' * 1_000_000
    assert child.options(fork=True).call(work.echo, value).value == value


def test_functions_that_no_module_holds(child: econtext.Context) -> None:
    word = 'word'
    assert child.options(fork=True).call(lambda: (word, 5)).value == ('word', 5)


def test_the_state_of_the_context_stays(child: econtext.Context) -> None:
    options = child.options(fork=True)
    child.call(isolated.note, 'before')
    assert options.call(isolated.note, 'in the fork').value == ['before', 'in the fork']
    assert options.call(isolated.noted).value == (['before'], 'before')
    assert child.call(isolated.noted) == (['before'], 'before')
    assert options.call(isolated.threads_of).value == 1
    dispositions, descriptors = options.call(isolated.disposition).value
    assert dispositions == [True] * 3
    assert len(descriptors) == 1    # what it says its last words by


def test_nothing_is_left_in_the_context(child: econtext.Context) -> None:
    options = child.options(fork=True)
    options.call(isolated.speak)
    before = child.call(isolated.below_limit, 0)
    for _ in range(20):
        options.call(isolated.speak)
        with pytest.raises(econtext.ForkExited):
            options.call(isolated.end_itself, 1)
    assert child.call(isolated.below_limit, 0) == before
    assert {leaks.command_line(entry.pid).split()[-1] for entry in leaks.descendants(child.pid)} <= {'econtext-guard'}


def test_an_exception(child: econtext.Context) -> None:
    with pytest.raises(ValueError, match='it failed') as caught:
        child.options(fork=True).call(isolated.fail)
    error: Any = caught.value
    assert isinstance(error, econtext.CallError)
    assert error.args == ('it failed', 3)
    assert 'in fail' in error.remote_traceback
    assert 'separate.py' not in error.remote_traceback
    assert 'separated.py' not in error.remote_traceback
    assert (error.stdout, error.stderr) == (b'before\n', b'also before\n')
    assert error.fork == econtext.ForkResult(None, b'before\n', b'also before\n', 1)
    failed = child.options(fork=True).submit(isolated.fail).exception(60)
    assert (failed.stdout, failed.fork.returncode) == (b'before\n', 1)  # type: ignore[union-attr]


def test_an_exception_that_has_output_of_its_own(child: econtext.Context) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        child.options(fork=True).call(isolated.programs_fail)
    error: Any = caught.value
    assert error.returncode == 3
    assert error.fork.stdout == b'of the program\n'
    with pytest.raises(subprocess.CalledProcessError) as caught:
        child.options(fork=True).call(isolated.failing_program)
    assert caught.value.stderr == 'its own'


def test_a_value_that_cannot_cross(child: econtext.Context) -> None:
    with pytest.raises(econtext.CallError, match=r'TypeError: a \w+\.object cannot cross'):
        child.options(fork=True).call(isolated.unfit)
    assert child.options(fork=True).call(len, 'abc').value == 3


def test_sys_exit_is_an_exception_with_a_status(child: econtext.Context) -> None:
    for status in 0, 4:
        with pytest.raises(econtext.CallError, match='SystemExit') as caught:
            child.options(fork=True).call(isolated.leave, status)
        assert caught.value.fork == econtext.ForkResult(None, b'left\n', b'', status)


@pytest.mark.parametrize(('function', 'args', 'returncode', 'stdout', 'stderr'), [
    (isolated.end_itself, (0,), 0, b'last words\n', b''),
    (isolated.end_itself, (3,), 3, b'last words\n', b''),
    (isolated.kill_itself, (9,), -9, b'', b'dying\n'),
    (isolated.kill_itself, (15,), -15, b'', b'dying\n'),
    (isolated.execute, ('sh', '-c', 'echo second; echo third >&2; exit 7'), 7, b'first\nsecond\n', b'third\n'),
    (isolated.close_all, (), 0, b'', b''),
])  # fmt: skip
def test_a_process_that_ends_itself(
    child: econtext.Context, function: Any, args: Any, returncode: int, stdout: bytes, stderr: bytes
) -> None:
    with pytest.raises(econtext.ForkExited, match=f'web: the process of {function.__name__} ended') as caught:
        child.options(fork=True).call(function, *args)
    error = caught.value
    assert (error.returncode, error.stdout, error.stderr) == (returncode, stdout, stderr)
    assert error.context == 'web'
    assert child.options(fork=True).call(len, 'abc').value == 3


def test_a_status_that_somebody_else_was_told(child: econtext.Context) -> None:
    child.call(isolated.steal)
    for _ in range(20):
        done = child.options(fork=True).call(isolated.speak, 5)
        assert (done.value, done.stdout) == (5, b'printed\nwritten\nechoed\nunfinished')
        assert done.returncode in (0, None)


def test_too_much_output(child: econtext.Context, tmp_path: Path) -> None:
    options = child.options(fork=True, max_output=100_100, grace=0.1)
    assert len(options.call(isolated.flood, 100_100).stdout) == 100_100
    for size in 100_101, 50_000_000, 10 ** 15:
        with pytest.raises(econtext.ForkExited, match='flood wrote more than the max_output=') as caught:
            options.call(isolated.flood, size)
        assert len(caught.value.stdout) == 100_100
    assert child.options(fork=True, max_output=0).call(len, 'abc').stdout == b''
    assert len(child.options(fork=True).call(isolated.bytes_of, 16 << 20).stdout) == 16 << 20


# -- others that hold what is of the call ------------------------------------


def test_a_daemon_holds_the_pipes(child: econtext.Context) -> None:
    done = child.options(fork=True, timeout=60).call(isolated.leave_a_daemon)
    assert done.stdout == b'daemon begun\n'
    assert leaks.alive(done.value)
    os.kill(done.value, signal.SIGKILL)
    eventually(lambda: gone(done.value))


def test_a_fork_that_returns_twice(child: econtext.Context) -> None:
    for _ in range(5):
        assert child.options(fork=True).call(isolated.return_twice).value == 'parent'


def test_descriptors_that_are_closed(child: econtext.Context, tmp_path: Path) -> None:
    assert child.options(fork=True).call(isolated.close_output).value == 'silent'
    with pytest.raises(econtext.ForkExited):
        child.options(fork=True).call(isolated.close_and_open, str(tmp_path / 'file'))
    assert (tmp_path / 'file').read_bytes() == b''


def test_threads_and_functions_of_atexit_end_first(child: econtext.Context) -> None:
    assert child.options(fork=True).call(isolated.late_words).stdout == b'function\nthread\natexit\n'


def test_what_the_context_held_back_is_not_of_the_call(
    child: econtext.Context, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level('INFO')
    child.call(isolated.keep_stream)
    child.call(isolated.hold_back, 'beginning ')
    assert child.options(fork=True).call(isolated.kept_stream, 'of the call').stdout == b'of the call'
    child.call(isolated.hold_back, 'end\n')
    child.close()
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if 'beginning' in line] == ['stdout: beginning ']
    assert [line for line in lines if line.endswith('end')] == ['stdout: end']


def test_output_that_is_not_captured(child: econtext.Context, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level('INFO')
    done = child.options(fork=True, capture=False).call(isolated.speak, 5)
    assert done == econtext.ForkResult(5, b'', b'', 0)
    lines = sorted(record.getMessage() for record in caplog.records)
    assert lines == ['stderr: complained', 'stderr: warned', 'stdout: echoed', 'stdout: printed', 'stdout: unfinished',
                     'stdout: written']  # fmt: skip


@pytest.mark.parametrize('version', VERSIONS)
def test_beside_a_thread_that_prints(broker: econtext.Broker, version: str, tmp_path: Path) -> None:
    """That thread may hold the lock of the stream, and wait for credit, in the moment of a fork."""
    logging.getLogger('econtext.ctx.web').setLevel(logging.INFO)
    web = broker.local(python=pythons.interpreter(version), name='web', threads=3)
    path = tmp_path / 'done'
    chatter = web.submit(isolated.chatter, str(path))
    try:
        for _ in range(30):
            assert web.options(fork=True, timeout=60).call(isolated.speak, 5).stdout.endswith(b'unfinished')
        futures = [web.options(fork=True, timeout=60).submit(isolated.speak, number) for number in range(20)]
        assert [future.result(60).value for future in futures] == list(range(20))
    finally:
        path.touch()
        chatter.result(60)
        logging.getLogger('econtext.ctx.web').setLevel(logging.NOTSET)


# -- given up ----------------------------------------------------------------

WAYS: list[Any] = [
    isolated.say_and_wait, isolated.stubborn, isolated.blocked, isolated.with_programs, isolated.become]


def names(way: Any) -> str:
    return str(way.__name__)


@pytest.mark.parametrize('way', WAYS, ids=names)
def test_at_its_deadline(child: econtext.Context, tmp_path: Path, way: Any) -> None:
    path = tmp_path / 'pid'
    child.options(fork=True).call(len, 'abc')
    for seconds in 0.5, 5, 30:
        with pytest.raises(econtext.CallTimeout, match=f'web: {way.__name__} did not end within {seconds:g} s'):
            child.options(fork=True, timeout=seconds, grace=0.2).call(way, str(path))
        # Behind the end of the process: the context is free again.
        assert child.options(timeout=60).call(len, 'abc') == 3
        if path.exists():
            break
    assert gone(*told(path))


@pytest.mark.parametrize('way', WAYS, ids=names)
def test_interrupted(child: econtext.Context, tmp_path: Path, way: Any) -> None:
    path = tmp_path / 'pid'
    future = child.options(fork=True, grace=0.2).submit(way, str(path))
    pids = told(path)
    group = group_of(pids[0])
    assert future.interrupt(0)
    with pytest.raises(econtext.CallError, match='Interrupted') as caught:
        future.result(60)
    assert caught.value.fork.returncode < 0
    assert gone(*pids, *group)
    assert child.call(len, 'abc') == 3


def test_cleanup_has_its_grace(child: econtext.Context, tmp_path: Path) -> None:
    path, done = tmp_path / 'pid', tmp_path / 'done'
    future = child.options(fork=True, grace=60).submit(isolated.cleans_up, str(path), str(done))
    told(path)
    future.interrupt()
    error: Any = future.exception(60)
    assert (error.fork.returncode, error.stdout) == (5, b'cleaned\n')
    assert done.read_text() == 'cleaned'


def test_a_call_in_a_thread(broker: econtext.Broker, tmp_path: Path) -> None:
    for version in VERSIONS:
        web = broker.local(python=pythons.interpreter(version), threads=2)
        blocking = web.submit(work.sleep)
        path = tmp_path / version
        future = web.options(fork=True, grace=0.1).submit(isolated.stubborn, str(path))
        pids = told(path)
        future.interrupt()
        assert isinstance(future.exception(60), econtext.CallError)
        assert gone(*pids)
        blocking.interrupt()
        blocking.exception(60)


def test_what_has_not_begun_is_withdrawn(newest: econtext.Context, tmp_path: Path) -> None:
    future = newest.options(fork=True).submit(isolated.say_and_wait, str(tmp_path / 'pid'))
    second = newest.options(fork=True).submit(isolated.tell, str(tmp_path / 'second'))
    told(tmp_path / 'pid')
    assert second.cancel()
    future.interrupt()
    future.exception(60)
    assert not (tmp_path / 'second').exists()


def test_ctrl_c(newest: econtext.Context, tmp_path: Path) -> None:
    path = tmp_path / 'pid'

    def press() -> None:
        told(path)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        newest.options(fork=True, grace=0.1).call(isolated.stubborn, str(path))
    thread.join()
    eventually(lambda: gone(*told(path)))
    assert newest.call(len, 'abc') == 3


# -- survivors ---------------------------------------------------------------


@pytest.fixture
def groups(tmp_path: Path) -> Iterator[Callable[[econtext.Context], tuple[list[int], list[Any]]]]:
    """Starts an isolated call of each way in a context with threads; returns all processes, and the futures."""
    met: list[int] = []

    def start(web: econtext.Context) -> tuple[list[int], list[Any]]:
        paths = [tmp_path / names(way) for way in WAYS]
        futures = [
            web.options(fork=True, grace=60).submit(way, str(path)) for way, path in zip(WAYS, paths, strict=True)]
        pids = [pid for path in paths for pid in told(path)]
        pids += group_of(*pids)
        met.extend(pids)
        return sorted(set(pids)), futures

    yield start
    assert gone(*met)


@pytest.mark.parametrize('version', VERSIONS)
def test_the_context_is_killed(broker: econtext.Broker, version: str, groups: Any) -> None:
    web = broker.local(python=pythons.interpreter(version), threads=len(WAYS))
    pids, futures = groups(web)
    os.kill(web.pid, signal.SIGKILL)
    for future in futures:
        assert isinstance(future.exception(60), econtext.ContextLost)
    eventually(lambda: gone(*pids))


@pytest.mark.parametrize('version', VERSIONS)
def test_the_context_is_killed_where_there_is_no_shell(broker: econtext.Broker, version: str, groups: Any) -> None:
    web = broker.local(python=pythons.interpreter(version), threads=len(WAYS) + 1)
    web.call(isolated.without_shell)
    pids, _ = groups(web)
    guard, = web.call(isolated.guards)
    assert 'econtext-guard' not in leaks.command_line(guard)
    os.kill(web.pid, signal.SIGKILL)
    eventually(lambda: gone(*pids))


@pytest.mark.parametrize('version', VERSIONS)
def test_the_context_is_killed_before_its_guard_knows(
    broker: econtext.Broker, version: str, tmp_path: Path
) -> None:
    web = broker.local(python=pythons.interpreter(version))
    web.call(isolated.die_on_enter)
    below = {entry.pid for entry in leaks.descendants(web.pid)}
    with pytest.raises(econtext.ContextLost):
        web.options(fork=True).call(isolated.stubborn, str(tmp_path / 'pid'))
    eventually(lambda: gone(*below))
    assert not (tmp_path / 'pid').exists()


@pytest.mark.parametrize('version', VERSIONS)
def test_the_context_is_closed(broker: econtext.Broker, version: str, groups: Any) -> None:
    web = broker.local(python=pythons.interpreter(version), threads=len(WAYS))
    pids, _ = groups(web)
    web.close()
    eventually(lambda: gone(*pids))


@pytest.mark.parametrize('way', WAYS, ids=names)
def test_a_context_with_one_thread_is_closed(child: econtext.Context, tmp_path: Path, way: Any) -> None:
    child.options(fork=True, grace=60).submit(way, str(tmp_path / 'pid'))
    pids = group_of(told(tmp_path / 'pid')[0])
    child.close()
    eventually(lambda: gone(*pids))


@pytest.mark.parametrize('way', WAYS, ids=names)
def test_the_fork_is_killed(child: econtext.Context, tmp_path: Path, way: Any) -> None:
    future = child.options(fork=True, grace=0.2).submit(way, str(tmp_path / 'pid'))
    pid = told(tmp_path / 'pid')[0]
    pids = group_of(pid)
    os.kill(pid, signal.SIGKILL)
    error = future.exception(60)
    assert isinstance(error, econtext.ForkExited)
    assert error.returncode == -signal.SIGKILL
    assert gone(*pids)


PROGRAM = """
import sys
import econtext
from stops import isolated

with econtext.Broker() as broker:
    hop = broker.local(python=sys.argv[1])
    futures = [
        context.options(fork=True, grace=60).submit(getattr(isolated, name), path + str(number))
        for number, context in enumerate([broker.local(python=sys.argv[1], threads=9), hop.local(threads=9)])
        for name, path in zip(sys.argv[2::2], sys.argv[3::2])]
    for future in futures:
        future.result()
"""


@pytest.mark.parametrize('version', VERSIONS)
def test_the_controller_is_killed(version: str, tmp_path: Path) -> None:
    words = [word for way in WAYS for word in (names(way), str(tmp_path / names(way)))]
    source = Path(econtext.__file__).resolve().parent.parent
    program = subprocess.Popen(
        [sys.executable, '-c', PROGRAM, pythons.interpreter(version), *words],
        env={**os.environ, 'PYTHONPATH': f'{source}:{Path(__file__).parent}'})
    pids = [pid for way in WAYS for number in '01' for pid in told(tmp_path / (names(way) + number))]
    pids += group_of(*pids)
    program.kill()
    program.wait(60)
    eventually(lambda: gone(*pids))


# -- elsewhere ---------------------------------------------------------------


def test_behind_a_hop(broker: econtext.Broker, tmp_path: Path) -> None:
    hop = broker.local(python=pythons.interpreter('3.6'), name='hop')
    web = hop.local(python=pythons.interpreter('2.7'), name='web')
    assert web.options(fork=True).call(isolated.speak, 5).stderr == b'warned\ncomplained\n'
    # Also of a context that has others below it: they are none of the fork's.
    assert hop.options(fork=True).call(isolated.speak, 6).value == 6
    future = web.options(fork=True, grace=60).submit(isolated.stubborn, str(tmp_path / 'pid'))
    pids = told(tmp_path / 'pid')
    assert hop.options(fork=True).call(len, 'abc').value == 3
    os.kill(hop.pid, signal.SIGKILL)
    assert isinstance(future.exception(60), econtext.ContextLost)
    eventually(lambda: gone(*pids))


def test_by_ssh_and_sudo(broker: econtext.Broker, sshd: Sshd, accounts: Accounts, tmp_path: Path) -> None:
    web = broker.ssh('lab', username=accounts['nopw'].name, ssh_args=sshd.ssh_args(), python=pythons.everyones(),
                     name='web')  # fmt: skip
    root = web.sudo(name='root')
    for context in web, root:
        done = context.options(fork=True).call(isolated.speak, 5)
        assert (done.value, done.stdout) == (5, b'printed\nwritten\nechoed\nunfinished')
        with pytest.raises(econtext.ForkExited):
            context.options(fork=True).call(isolated.kill_itself, 9)
    future = root.options(fork=True, grace=60).submit(isolated.stubborn, str(tmp_path / 'pid'))
    pids = told(tmp_path / 'pid')
    clients = [entry.pid for entry in leaks.descendants(os.getpid())
               if leaks.command_line(entry.pid).startswith('ssh ')]  # fmt: skip
    for pid in clients:
        os.kill(pid, signal.SIGKILL)
    assert isinstance(future.exception(60), econtext.ContextLost)
    eventually(lambda: gone(*pids))


def test_on_what_lacks_all_that_came_after_2_4(broker: econtext.Broker, tmp_path: Path) -> None:
    web = broker.local(python=olden.write(tmp_path), name='web')
    assert web.options(fork=True).call(isolated.speak, 5).stdout == b'printed\nwritten\nechoed\nunfinished'
    with pytest.raises(econtext.ForkExited):
        web.options(fork=True).call(isolated.end_itself, 3)
    future = web.options(fork=True, grace=0.1).submit(isolated.stubborn, str(tmp_path / 'pid'))
    pids = told(tmp_path / 'pid')
    os.kill(web.pid, signal.SIGKILL)
    assert isinstance(future.exception(60), econtext.ContextLost)
    eventually(lambda: gone(*pids))


ATTACHED = """
import sys
import econtext
from stops import isolated

with econtext.attach(sys.argv[1]) as attached:
    web = attached.local(name='web')
    assert web.options(fork=True).call(isolated.speak, 5).stderr == b'warned\\ncomplained\\n'
    try:
        web.options(fork=True).call(isolated.end_itself, 5)
    except econtext.ForkExited as error:
        assert error.returncode == 5
    web.options(fork=True, grace=60).call(isolated.stubborn, sys.argv[2])
"""


def test_of_an_attached_program(broker: econtext.Broker, tmp_path: Path) -> None:
    source = Path(econtext.__file__).resolve().parent.parent
    program = subprocess.Popen(
        [sys.executable, '-c', ATTACHED, broker.listen(), str(tmp_path / 'pid')],
        env={**os.environ, 'PYTHONPATH': f'{source}:{Path(__file__).parent}'})
    pids = told(tmp_path / 'pid')
    program.kill()
    program.wait(60)
    eventually(lambda: gone(*pids))


def test_of_a_fork(newest: econtext.Context) -> None:
    """A context that is a copy of another forks as well."""
    newest.options(fork=True).call(isolated.note, 'x')
    copy = newest.fork()
    assert copy.options(fork=True).call(isolated.speak, 5).value == 5
    assert newest.options(fork=True).call(isolated.speak, 5).value == 5


def test_a_fork_reaches_nobody(child: econtext.Context) -> None:
    for function, argument in (isolated.use_channel, child.channel()), (isolated.ask, child.local()):
        with pytest.raises(econtext.CallError, match='reaches nobody'):
            child.options(fork=True).call(function, argument)
    assert child.call(len, 'abc') == 3


def test_sent_when_first_used(newest: econtext.Context, caplog: pytest.LogCaptureFixture) -> None:
    newest.call(isolated.noted)
    caplog.set_level('DEBUG')
    newest.call(isolated.noted)
    assert 'econtext.child.separate' not in caplog.text
    newest.options(fork=True).call(isolated.noted)
    assert caplog.text.count('econtext.child.separate,') == 1
    newest.options(fork=True).call(isolated.noted)
    assert caplog.text.count('econtext.child.separate,') == 1


# -- asyncio and fleets ------------------------------------------------------


def test_awaited(tmp_path: Path) -> None:
    async def main() -> None:
        async with aio.Broker() as broker:
            web = broker.local(name='web')
            options = web.options(fork=True, grace=0.1)
            done = await options.call(isolated.speak, 5)
            assert (done.value, done.stdout) == (5, b'printed\nwritten\nechoed\nunfinished')
            assert (await options.submit(isolated.speak, 6)).value == 6
            with pytest.raises(econtext.ForkExited, match='web: the process of end_itself ended with status 3'):
                await options.call(isolated.end_itself, 3)
            with pytest.raises(ValueError, match='it failed') as caught:
                await options.call(isolated.fail)
            assert caught.value.stdout == b'before\n'   # type: ignore[attr-defined]
            with pytest.raises(econtext.CallTimeout):
                await web.options(fork=True, timeout=0.2, grace=0.1).call(isolated.stubborn, str(tmp_path / 'late'))
            task = asyncio.create_task(options.call(isolated.stubborn, str(tmp_path / 'pid')))
            while not (tmp_path / 'pid').exists():
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # Behind the end of that process.
            assert (await options.call(isolated.speak, 7)).value == 7
            assert gone(*told(tmp_path / 'pid'))
            assert await options.call(asyncio.sleep, 0) == econtext.ForkResult(None, b'', b'', 0)
            assert 'fork' in repr(options).lower()

    asyncio.run(main())


def test_in_a_fleet(broker: econtext.Broker, tmp_path: Path) -> None:
    with broker.fleet(['one', 'two'], connector='local') as fleet:
        options = fleet.options(fork=True, timeout=60)
        results = options.call(isolated.speak, 5)
        assert {done.stdout for done in results.values()} == {b'printed\nwritten\nechoed\nunfinished'}
        failures = options.call(isolated.end_itself, 3).failures
        assert {error.returncode for error in failures.values()} == {3}     # type: ignore[attr-defined]
        plain = options.options(capture=False).call(isolated.speak, 5)
        assert set(plain.values()) == {econtext.ForkResult(5, b'', b'', 0)}
        assert set(options.options(fork=False).call(len, 'abc').values()) == {3}
        paths = [str(tmp_path / host) for host in fleet]
        late = options.options(timeout=0.5, grace=0.1).map(isolated.stubborn, paths)
        assert {type(error) for error in late.failures.values()} == {econtext.CallTimeout}
        assert set(fleet.call(len, 'abc').values()) == {3}
        with pytest.raises(ValueError, match='no isolated calls'):
            options.stream(range, 3)
        with pytest.raises(ValueError, match='no isolated calls'):
            options.executor()
        with pytest.raises(ValueError, match='max_output= must be'):
            fleet.options(fork=True, max_output=-1)
        with pytest.raises(ValueError, match='give fork=True'):
            fleet.options(max_output=1)


# -- wrong use ---------------------------------------------------------------


def test_wrong_options(newest: econtext.Context) -> None:
    options: Any = newest.options
    for wrong in {'max_output': 5}, {'capture': False}:
        with pytest.raises(ValueError, match='give fork=True'):
            options(**wrong)
    for wrong in {'max_output': -1}, {'max_output': 1.5}, {'max_output': True}, {'max_output': 'all'}:
        with pytest.raises(ValueError, match='max_output= must be a number of bytes'):
            options(fork=True, **wrong)
    for wrong in {'timeout': -1}, {'grace': 'long'}:
        with pytest.raises(ValueError, match='must be a number of seconds'):
            options(fork=True, **wrong)
    assert not hasattr(options(fork=True), 'stream')


def test_a_coroutine_function(newest: econtext.Context) -> None:
    options = newest.options(fork=True)
    assert options.call(asyncio.sleep, 0, 'slept') == econtext.ForkResult('slept', b'', b'', 0)
    assert options.submit(asyncio.sleep, 0, 'slept').result().value == 'slept'
    with pytest.raises(econtext.CallTimeout):
        newest.options(fork=True, timeout=0.3, grace=0.1).call(asyncio.sleep, 600)
    assert newest.call(len, 'abc') == 3


def test_wrong_calls(newest: econtext.Context) -> None:
    options: Any = newest.options(fork=True)
    for way in options.call, options.submit:
        with pytest.raises(TypeError, match=r'^stops\.work\.echo: a _thread\.lock cannot cross'):
            way(work.echo, threading.Lock())
        with pytest.raises(TypeError):
            way(5)
    newest.close()
    with pytest.raises(RuntimeError, match='was shut down'):
        options.submit(len, 'abc')
    with pytest.raises(econtext.ContextLost):
        options.call(len, 'abc')


def test_patience_is_longer_than_what_it_waits_for() -> None:
    from econtext.child import separate

    assert forks.PATIENCE > separate.STUCK + separate.TICK
    assert time.monotonic() > 0
