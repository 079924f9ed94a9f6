"""Programs that make it hard for a context they run in: it goes on, or says why it does not."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from stops import nuisance

import econtext
from lab import eventually, leaks, pythons
from lab.hearing import Texts, hearing

VERSIONS = ('2.7', '3.6', '3.13')
SYSTEM = '/usr/bin/python3'  # one that every user may execute
NOBODY = 65534
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason='only root becomes others')


@pytest.fixture
def texts() -> Iterator[Texts]:
    with hearing(Texts()) as handler:
        yield handler


# -- exceptions --------------------------------------------------------------


@pytest.mark.parametrize('name', ['number', 'text', 'arguments', 'errno'])
def test_an_exception_that_cannot_be_shown(broker: econtext.Broker, python: pythons.Interpreter, name: str) -> None:
    child = broker.local(python=python)
    with pytest.raises(econtext.CallError):
        child.call(nuisance.fail, name)
    assert child.call(len, 'abc') == 3


@pytest.mark.parametrize('version', ['3.6', '3.13'])
def test_a_signal_s_handler_that_raises_between_calls(
    broker: econtext.Broker, version: str, texts: Texts
) -> None:
    """It ends the context, as it would end a program; but not without a word."""
    child = broker.local(python=pythons.interpreter(version))
    pid = child.call(nuisance.raise_by_signal)
    child.call(len, 'abc')  # what came behind the first call was carried out before this one
    # The main thread holds nothing any more.
    eventually(lambda: leaks.asleep(pid))
    os.kill(pid, signal.SIGUSR1)
    eventually(lambda: 'stderr: ValueError: a stale alarm' in texts.all)
    with pytest.raises(econtext.ContextLost):
        child.call(len, 'abc')


# -- called away -------------------------------------------------------------


@pytest.mark.parametrize('version', VERSIONS)
def test_garbage_that_logs_while_something_is_sent(broker: econtext.Broker, version: str, texts: Texts) -> None:
    child = broker.local(python=pythons.interpreter(version))
    channel = child.channel(window=1 << 24)
    done = child.options(timeout=60).submit(nuisance.litter_and_send, channel, 300, 30000)
    assert sum(1 for _ in channel) == 300
    done.result(60)

    def arrived() -> bool:
        # What the thread that leads collected, it may say behind the result.
        assert child.call(len, 'abc') == 3
        return len([text for text in texts.all if 'unclosed' in text]) >= 300

    eventually(arrived)
    assert [text for text in texts.all if 'unclosed' in text] == ['nuisance: unclosed'] * 300


@pytest.mark.parametrize('version', [*VERSIONS, '3.15'])
def test_a_signal_s_handler_that_logs_more_than_there_is_credit(
    broker: econtext.Broker, version: str, texts: Texts
) -> None:
    """It may run in the very thread that is to take the next grant. All of it is there after a further call."""
    context = broker.local(python=pythons.interpreter(version))
    pid = context.call(nuisance.log_by_signal, 3000)
    child = context.options(timeout=60)

    def arrived(count: int) -> bool:
        return child.call(len, 'abc') == 3 and len(texts.all) == count

    for count in 3000, 6000, 9000:
        assert child.call(len, 'abc') == 3
        os.kill(pid, signal.SIGUSR1)
        eventually(lambda count=count: arrived(count))  # type: ignore[misc]


@pytest.mark.parametrize('version', VERSIONS)
def test_a_signal_s_handler_that_logs_more_than_is_kept(
    broker: econtext.Broker, version: str, texts: Texts
) -> None:
    """While nobody calls: it may be lost where that thread is to take the grant, and how much was is told."""
    number = 12000
    context = broker.local(python=pythons.interpreter(version))
    pid = context.call(nuisance.log_by_signal, number)
    child = context.options(timeout=60)
    assert child.call(len, 'abc') == 3
    os.kill(pid, signal.SIGUSR1)

    def told() -> int:
        assert child.call(len, 'abc') == 3
        words = [text.split() for text in texts.all if 'records were lost' in text]
        return len(texts.all) - len(words) + sum(int(each[1]) for each in words)

    eventually(lambda: told() == number)


# -- used up -----------------------------------------------------------------


@pytest.mark.parametrize('version', VERSIONS)
def test_no_descriptor_is_left(broker: econtext.Broker, version: str) -> None:
    child = broker.local(python=pythons.interpreter(version)).options(timeout=60)
    child.call(nuisance.use_up_descriptors)
    for _ in range(3):
        assert child.call(len, 'abc') == 3
    child.call(nuisance.free_descriptors)


@ROOT
def test_no_thread_is_left_to_start_a_child(broker: econtext.Broker) -> None:
    child = broker.local(python=SYSTEM, user=NOBODY)
    child.call(nuisance.use_up_threads)
    for _ in range(2):
        with pytest.raises(econtext.ConnectError):
            child.local(connect_timeout=60).call(len, 'abc')
        assert child.options(timeout=60).call(len, 'abc') == 3


@ROOT
def test_no_thread_is_left_to_end_a_context(broker: econtext.Broker, texts: Texts) -> None:
    """It ends all the same when its link does, though its function sleeps."""
    hop = broker.local()
    child = hop.local(python=SYSTEM, user=NOBODY)
    pid = child.call(os.getpid)
    waiting = child.submit(nuisance.use_up_threads_and_sleep, 900)
    eventually(lambda: 'stdout: asleep' in texts.all)
    os.kill(hop.call(os.getpid), signal.SIGKILL)
    with pytest.raises(econtext.ContextLost):
        waiting.result(60)
    eventually(lambda: not leaks.alive(pid))


# -- channels ----------------------------------------------------------------


def test_a_channel_that_was_handed_twice(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    """One that is kept is not closed when the first call lets it go."""
    child = broker.local(python=python)
    channel = child.channel().keep()
    child.call(nuisance.keep, channel)
    child.call(nuisance.send_one, channel, 1)
    child.call(nuisance.send_on_kept, 2)
    assert [next(channel), next(channel)] == [1, 2]


# -- imports and forks -------------------------------------------------------


@pytest.mark.parametrize('version', ['3.6', '3.13'])
@pytest.mark.parametrize('at', [0, 2, 3])
def test_a_finder_that_asks_all_others(broker: econtext.Broker, version: str, at: int) -> None:
    child = broker.local(python=pythons.interpreter(version))
    assert child.call(nuisance.ask_all, at) == 'colorsys'


@pytest.mark.parametrize('version', VERSIONS)
def test_a_fork_with_a_terminal(broker: econtext.Broker, version: str) -> None:
    child = broker.local(python=pythons.interpreter(version)).options(timeout=60)
    assert child.call(nuisance.fork_a_terminal) == 'in the context'
    assert child.call(len, 'abc') == 3
