"""Forks in the application, on either side: the forked process neither uses nor holds a link."""

from __future__ import annotations

import multiprocessing
import os
import pathlib
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from stops import forking, work

import econtext
from econtext.controller.modules import parser
from econtext.controller.runtime import signals
from lab import eventually, leaks, pythons

VERSIONS = ('2.7', '3.6', '3.13')


def in_fork(function: Callable[[], Any]) -> int:
    """Return the exit status of a forked process that runs `function`."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            function()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings('ignore:.*fork.*:DeprecationWarning')
def test_a_fork_of_the_controller(broker: econtext.Broker, tmp_path: pathlib.Path) -> None:
    fifo = tmp_path / 'fifo'
    os.mkfifo(fifo)
    child = broker.local(name='web')
    below = child.local()
    channel = child.channel()
    waiting = child.submit(os.system, f'read line < {fifo}')
    assert below.call(len, 'abc') == 3

    def use() -> None:
        for number, attempt in enumerate((
            lambda: child.call(os.getpid), lambda: below.submit(os.getpid).result(60), lambda: broker.local(),
            lambda: waiting.result(60), lambda: child.wait_ready(), lambda: channel.send(1), lambda: next(channel),
        )):  # fmt: skip
            try:
                attempt()
            except econtext.EcontextError as error:
                assert 'forked' in str(error) or 'closed' in str(error), (number, error)  # noqa: PT017
            else:
                raise AssertionError(f'attempt {number} went through')
        child.close()
        broker.close()
        held = [os.readlink(f'/proc/self/fd/{name}') for name in os.listdir('/proc/self/fd') if int(name) > 2
                and os.path.lexists(f'/proc/self/fd/{name}')]  # fmt: skip
        assert not [target for target in held if 'eventpoll' in target]
        with econtext.Broker() as own:
            assert own.local().call(os.getppid) == os.getpid()

    for _ in range(2):
        assert in_fork(use) == 0
    fifo.write_text('\n')
    assert waiting.result(60) == 0
    assert below.call(len, 'abcd') == 4


@pytest.mark.filterwarnings('ignore:.*fork.*:DeprecationWarning')
def test_a_fork_holds_no_link(broker: econtext.Broker) -> None:
    """The context ends with its owner's link, though a forked process lives on."""
    child = broker.local()
    pid = child.call(os.getpid)
    read, write = os.pipe()
    forked = os.fork()
    if not forked:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    try:
        child.close()
        eventually(lambda: not leaks.alive(pid))
    finally:
        os.close(write)
        os.close(read)
        os.waitpid(forked, 0)


@pytest.mark.filterwarnings('ignore:.*fork.*:DeprecationWarning')
def test_multiprocessing_on_the_controller(broker: econtext.Broker) -> None:
    child = broker.local()
    child.call(os.getpid)
    with multiprocessing.get_context('fork').Pool(2) as pool:
        assert pool.map(work.echo, range(20)) == list(range(20))
        assert child.call(len, 'abc') == 3
        pool.close()
        pool.join()
    assert child.call(len, 'abc') == 3


@pytest.mark.parametrize('version', VERSIONS)
def test_forks_in_a_context(broker: econtext.Broker, version: str) -> None:
    child = broker.local(python=pythons.interpreter(version), name='web')
    assert child.call(forking.statuses) == [0, 3, 5, 7]
    assert child.call(forking.refused) == 0
    assert child.call(forking.pool) == [0, 1, 4, 9]
    assert child.call(work.echo, 'still') == 'still'


@pytest.mark.parametrize('version', VERSIONS)
def test_a_fork_of_a_context_holds_no_link(broker: econtext.Broker, version: str) -> None:
    """Nor does it live on when the context ends, unless it made itself a daemon; then it keeps nothing."""
    child = broker.local(python=pythons.interpreter(version))
    pid, plain, daemon = child.call(forking.leave)
    waiting = child.submit(time.sleep, 900)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(econtext.ContextLost):
        waiting.result(60)  # the end of the link is not held up by those two
    for left in plain, daemon:
        os.kill(left, signal.SIGKILL)
    eventually(lambda: not leaks.alive(plain) and not leaks.alive(daemon))


@pytest.mark.parametrize('version', VERSIONS)
def test_a_fork_ends_with_its_context(broker: econtext.Broker, version: str) -> None:
    child = broker.local(python=pythons.interpreter(version))
    _, plain, daemon = child.call(forking.leave)
    child.close()
    eventually(lambda: not leaks.alive(plain))
    assert leaks.alive(daemon)
    os.kill(daemon, signal.SIGKILL)
    eventually(lambda: not leaks.alive(daemon))


FORKED = ('2.7', '3.6', '3.11', '3.14', '3.15')


@pytest.mark.parametrize('version', FORKED)
def test_a_traceback_in_a_forked_process_is_the_true_one(broker: econtext.Broker, version: str) -> None:
    """With the lines of the source, though nothing can be fetched any more."""
    child = broker.local(python=pythons.interpreter(version))
    text = child.call(forking.traceback_in_fork)
    assert "raise ValueError('the true reason')" in text
    assert text.rstrip().endswith('ValueError: the true reason')
    if version not in ('2.7', '3.6'):
        assert child.call(forking.executor)[:2] == ('ValueError', 'the true reason')


@pytest.mark.parametrize('version', FORKED)
def test_an_import_in_a_forked_process_says_what_to_do(broker: econtext.Broker, version: str) -> None:
    child = broker.local(python=pythons.interpreter(version))
    sent, lacking, optional, program = child.call(forking.imports_in_fork)
    assert sent == 'stops.late0'
    if version == '2.7':
        # There the words of a finder are lost.
        assert 'ImportError' in lacking
    else:
        assert 'ModuleNotFoundError' in lacking
        assert 'stops.nowhere' in lacking
        assert 'let the context import it before' in lacking
    assert optional in ('None', 'None None')
    if version != '2.7':
        assert 'EcontextError' in program
        assert 'reaches nobody' in program


@pytest.mark.parametrize('version', FORKED)
def test_the_first_fork_asks_for_nothing(
    broker: econtext.Broker, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    child = broker.local(python=pythons.interpreter(version), name='web')
    child.call(os.getpid)
    caplog.set_level('DEBUG')
    assert child.call(forking.statuses) == [0, 3, 5, 7]
    assert child.call(forking.traceback_in_fork)
    assert '< module' not in caplog.text


@pytest.mark.parametrize('version', VERSIONS)
def test_a_forked_process_ends_as_in_any_program(broker: econtext.Broker, version: str) -> None:
    """Whichever thread forked it: by the signal, at once; a handler of the application's own has its cleanup run."""
    child = broker.local(python=pythons.interpreter(version))
    assert child.call(forking.terminated, False) == [-signal.SIGTERM] * 2
    assert child.call(forking.terminated, True) == [7, 7]
    assert set(child.call(forking.exit_codes)) == {-signal.SIGTERM}


@pytest.mark.parametrize('version', VERSIONS)
def test_a_forked_process_waits_for_no_lock(broker: econtext.Broker, version: str) -> None:
    """Whatever another thread of the context had locked: it is refused what asks others, at once."""
    hop = broker.local(python=pythons.interpreter(version))
    below = hop.local()
    below.wait_ready()
    assert hop.call(forking.refused_though_locked, below, hop.channel()) == []
    assert below.call(work.echo, 'still') == hop.call(work.echo, 'still') == 'still'


@pytest.mark.parametrize('version', VERSIONS)
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_no_signal_is_lost_in_the_moment_of_a_fork(broker: econtext.Broker, version: str, number: int) -> None:
    """Whoever knows of the process ends it."""
    child = broker.local(python=pythons.interpreter(version))
    assert set(child.call(forking.killed_at_once, int(number), 100)) == {-number}
    assert set(child.call(forking.in_a_thread, 'killed_at_once', int(number), 20)) == {-number}
    assert child.call(work.echo, 'still') == 'still'


@pytest.mark.parametrize('version', VERSIONS)
def test_a_signal_within_the_hooks_of_a_fork_ends_it(broker: econtext.Broker, version: str) -> None:
    child = broker.local(python=pythons.interpreter(version))
    for statuses in (
        child.call(forking.killed_within, int(signal.SIGTERM)),
        child.call(forking.in_a_thread, 'killed_within', int(signal.SIGTERM)),
    ):
        assert len(statuses) >= 4
        assert set(statuses) == {-signal.SIGTERM}
    assert child.call(work.echo, 'still') == 'still'


# The locks at the top level of what travels: tests/rules/test_renewal.py finds them in the sources.
OURS = {'child.channels.BEGINNING', 'child.ending.TELLING', 'child.groups.STARTING', 'parent.process.HIDING'}


def use_all(context: econtext.Context, folder: pathlib.Path) -> None:
    """Do with `context` what needs each of them, and loads its module."""
    assert context.run(['echo', 'hello']).stdout == 'hello\n'
    channel = context.channel()
    context.submit(forking.answer_with, channel, 'by channel').result(60)
    assert next(channel) == 'by channel'
    stream = context.stream(forking.numbers)
    assert [next(stream), next(stream)] == [0, 1]
    stream.close()
    eventually(lambda: context.submit(forking.closed).result(60) > 0, 60)
    with pytest.raises(econtext.CallTimeout):
        # The default, a second, is soon over on a busy machine, and then the context ends.
        context.options(timeout=0.2, grace=60).call(time.sleep, 900)
    context.put(b'some bytes', folder / 'put')
    with context.open(str(folder / 'put'), 'rb') as file:
        assert file.read() == b'some bytes'
    below = context.local()
    assert below.submit(os.getppid).result(60) == context.submit(os.getpid).result(60)
    below.close()


@pytest.mark.deadline(120)
@pytest.mark.parametrize('version', VERSIONS)
def test_a_copy_of_a_context_waits_for_no_lock(
    broker: econtext.Broker, tmp_path: pathlib.Path, version: str
) -> None:
    """Whatever a thread of the context held as the context was copied."""
    base = broker.local(python=pythons.interpreter(version))
    use_all(base, tmp_path)
    left = base.open(str(tmp_path / 'put'), 'rb')
    # Who copies a context holds this one; else an interruption would end the copy.
    names = base.call(forking.lock_all, ['child.ending.TELLING'])
    try:
        assert set(names) >= OURS
        copy = base.fork()
        assert copy.submit(forking.locked).result(60) == []
        use_all(copy, tmp_path)
        again = copy.fork()
        assert again.submit(forking.locked).result(60) == []
    finally:
        base.call(forking.unlock_all)
    assert left.read(4) == b'some'
    left.close()
    use_all(base, tmp_path)


@pytest.mark.parametrize('version', VERSIONS)
def test_a_forked_process_finds_no_lock_held(
    broker: econtext.Broker, tmp_path: pathlib.Path, version: str
) -> None:
    base = broker.local(python=pythons.interpreter(version))
    use_all(base, tmp_path)
    closed = base.call(forking.closed)
    names = base.call(forking.lock_all)
    try:
        assert set(names) >= OURS
        assert base.call(forking.wait_in_fork) == repr(([], closed + 1))
        assert base.call(forking.locked) == names
    finally:
        base.call(forking.unlock_all)


@pytest.mark.parametrize('version', VERSIONS)
def test_a_forked_process_removes_no_draft_of_its_context(
    broker: econtext.Broker, tmp_path: pathlib.Path, version: str
) -> None:
    context = broker.local(python=pythons.interpreter(version))
    context.put(b'some bytes', tmp_path / 'put')
    assert context.call(forking.draft_left, str(tmp_path).encode()) == (0, True)


@pytest.mark.parametrize('version', VERSIONS)
def test_a_copy_takes_along_what_it_began(broker: econtext.Broker, tmp_path: pathlib.Path, version: str) -> None:
    """And nothing of the context that it is a copy of."""
    base = broker.local(python=pythons.interpreter(version))
    use_all(base, tmp_path)
    draft, command = base.call(forking.begin, str(tmp_path).encode())
    copy = base.fork()
    its_draft, its_command = copy.submit(forking.begin, str(tmp_path).encode()).result(60)
    copy.close()
    eventually(lambda: not leaks.alive(its_command) and not os.path.exists(its_draft), 10)
    assert leaks.alive(command)
    assert os.path.exists(draft)
    base.close()
    eventually(lambda: not leaks.alive(command) and not os.path.exists(draft), 10)


CONTROLLERS = {
    'child.channels.BEGINNING', 'child.ending.TELLING', 'parent.process.HIDING', 'controller.files.copying.IN_ORDER',
    'controller.modules.packer.ALONE', 'controller.modules.parser.QUIET', 'controller.session.futures.GUARD',
}  # fmt: skip


def use_both(broker: econtext.Broker, folder: pathlib.Path) -> None:
    """Do with contexts of `broker` what needs each of them, and loads its module."""
    one, two = broker.local(), broker.local()
    use_all(one, folder)
    assert two.submit(lambda: 6 * 7).result(60) == 42
    two.put(one.path(str(folder / 'put')), folder / 'from one')
    assert (folder / 'from one').read_bytes() == b'some bytes'
    two.get(str(folder / 'put'), folder / 'got')


@pytest.mark.filterwarnings('ignore:.*fork.*:DeprecationWarning')
def test_a_fork_of_the_controller_waits_for_no_lock(tmp_path: pathlib.Path) -> None:
    """Whatever a thread of the program held, the forked process uses a broker of its own."""
    with econtext.Broker() as first:
        use_both(first, tmp_path)

    def use() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(60)
        assert forking.locked() == []
        with econtext.Broker() as own:
            use_both(own, tmp_path)

    names = forking.lock_all()
    try:
        assert set(names) >= CONTROLLERS
        status = in_fork(use)
    finally:
        forking.unlock_all()
    assert status == 0


@pytest.mark.filterwarnings('ignore:.*fork.*:DeprecationWarning')
def test_a_fork_of_the_controller_by_a_thread(broker: econtext.Broker) -> None:
    """The thread is the main one of the forked process, whose signals and warnings are the program's own."""
    handler, filters = signal.getsignal(signal.SIGINT), warnings.filters
    assert isinstance(handler, signals.Deferred)
    statuses: list[int] = []

    def use() -> None:
        assert threading.get_ident() == signals.MAIN
        assert signal.getsignal(signal.SIGINT) is handler.handler
        assert warnings.filters is filters
        with econtext.Broker():
            assert isinstance(signal.getsignal(signal.SIGINT), signals.Deferred)
        assert signal.getsignal(signal.SIGINT) is handler.handler

    # As the thread forks, another one parses.
    with parser.quiet():
        thread = threading.Thread(target=lambda: statuses.append(in_fork(use)))
        thread.start()
        thread.join()
    assert statuses == [0]
    assert warnings.filters is filters
    assert signal.getsignal(signal.SIGINT) is handler
