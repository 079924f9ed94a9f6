"""A context is a `concurrent.futures.Executor`, and what it returns a `Future`: the contract, as far as it applies."""

from __future__ import annotations

import concurrent.futures
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from travel import calls

import econtext
from lab import SOON, eventually

WAIT = SOON


@pytest.fixture
def context(broker: econtext.Broker) -> Iterator[econtext.Context]:
    made = broker.local(name='executor')
    assert isinstance(made, concurrent.futures.Executor)
    yield made
    made.close()


def held(context: econtext.Context) -> tuple[econtext.Channel, Any]:
    """Have a call run till it is told to end; return how, and its future."""
    channel = context.channel()
    future = context.submit(calls.bounce, channel)
    channel.send(b'begun')
    assert channel.get(timeout=WAIT) == b'begun'
    return channel, future


@pytest.mark.parametrize('how', ['shutdown', 'shutdown at once', 'close', 'with', 'broker'])
def test_nothing_is_submitted_after_shutdown(how: str) -> None:
    with econtext.Broker() as broker:
        context = broker.local()
        assert context.submit(abs, -1).result(WAIT) == 1
        if how == 'with':
            with context:
                pass
        elif how == 'broker':
            broker.close()
        else:
            getattr(context, how.split()[0])(**({'wait': False} if 'at once' in how else {}))
        for submit in context.submit, context.options(timeout=3).submit:
            with pytest.raises(RuntimeError, match='takes no more calls'):
                submit(abs, -1)
        with pytest.raises(RuntimeError):
            list(context.map(abs, [1]))
        context.shutdown()


def test_a_lost_context_is_a_broken_executor(context: econtext.Context) -> None:
    future = context.submit(os._exit, 3)
    with pytest.raises(concurrent.futures.BrokenExecutor) as caught:
        future.result(WAIT)
    assert isinstance(caught.value, econtext.ContextLost)
    assert isinstance(context.submit(abs, -1).exception(WAIT), concurrent.futures.BrokenExecutor)


def test_shutdown_waits_for_what_was_submitted(context: econtext.Context) -> None:
    futures = [context.submit(abs, -number) for number in range(50)]
    context.shutdown(wait=True)
    assert [future.result(0) for future in futures] == list(range(50))


def test_shutdown_without_waiting_lets_it_finish(context: econtext.Context) -> None:
    channel, running = held(context)
    behind = context.submit(abs, -2)
    context.shutdown(wait=False)
    assert not running.done()
    assert context._node.error is None
    channel.close()
    running.result(WAIT)
    assert behind.result(WAIT) == 2
    eventually(lambda: context._node.error is not None, WAIT, 'it ends behind the last call')


def test_shutdown_cancels_what_has_not_begun(context: econtext.Context) -> None:
    channel, running = held(context)
    behind = [context.submit(abs, -number) for number in range(5)]
    ended = threading.Thread(target=lambda: context.shutdown(cancel_futures=True))
    ended.start()
    for future in behind:
        with pytest.raises(concurrent.futures.CancelledError):
            future.result(WAIT)
        assert future.cancelled()
    assert not running.done()
    channel.close()
    running.result(WAIT)
    ended.join(WAIT)
    assert not ended.is_alive()


def test_with_an_exception_it_ends_at_once(broker: econtext.Broker) -> None:
    context = broker.local()
    channel, running = held(context)
    with pytest.raises(KeyError), context:
        raise KeyError
    assert channel
    with pytest.raises(econtext.ContextLost):
        running.result(WAIT)


def test_map(context: econtext.Context) -> None:
    assert list(context.map(pow, range(10), range(10))) == [number ** number for number in range(10)]
    assert list(context.map(abs, [-1, 2, -3], chunksize=2)) == [1, 2, 3]
    results = context.map(divmod, [1, 1, 1], [1, 0, 1])
    assert next(results) == (1, 0)
    with pytest.raises(ZeroDivisionError):
        next(results)
    channel, running = held(context)
    with pytest.raises(TimeoutError):
        list(context.map(abs, [1], timeout=0.1))
    channel.close()
    running.result(WAIT)
    assert list(context.map(abs, [])) == []


def test_the_life_of_a_future(context: econtext.Context) -> None:
    channel, running = held(context)
    behind = context.submit(abs, -1)
    assert running.running()
    assert not running.done()
    assert not running.cancel(), 'it has begun'
    assert behind.cancel()
    assert behind.cancel(), 'again'
    assert behind.cancelled()
    assert behind.done()
    assert not behind.running()
    for ask in behind.result, behind.exception:
        with pytest.raises(concurrent.futures.CancelledError):
            ask(WAIT)
    for ask in running.result, running.exception:
        with pytest.raises(TimeoutError):
            ask(timeout=0.01)
    channel.close()
    assert running.exception(WAIT) is None
    assert not running.cancel()
    assert not running.cancelled()
    failed = context.submit(calls.fail, 'KeyError', 'k')
    assert isinstance(failed.exception(WAIT), KeyError)
    with pytest.raises(KeyError):
        failed.result(WAIT)
    with pytest.raises(KeyError):
        failed.result(WAIT)


def test_callbacks(context: econtext.Context, caplog: pytest.LogCaptureFixture) -> None:
    channel, running = held(context)
    seen: list[Any] = []

    def fail(future: Any) -> None:
        seen.append('fails')
        raise ValueError('of the callback')

    running.add_done_callback(lambda future: seen.append(future is running))
    running.add_done_callback(fail)
    running.add_done_callback(lambda future: seen.append(3))
    behind = context.submit(abs, -1)
    behind.add_done_callback(lambda future: seen.append(future.cancelled()))
    assert behind.cancel()
    channel.close()
    running.result(WAIT)
    eventually(lambda: len(seen) == 4, WAIT)
    assert seen == [True, True, 'fails', 3]
    assert 'of the callback' in caplog.text
    running.add_done_callback(lambda future: seen.append('late'))
    assert seen[-1] == 'late', 'at once, where it is done'
    with pytest.raises(concurrent.futures.InvalidStateError):
        running.set_result(None)


def test_waiting_for_several(context: econtext.Context) -> None:
    channel, running = held(context)
    failed, behind = context.submit(calls.fail, 'KeyError', 'k'), context.submit(abs, -1)
    assert concurrent.futures.wait([running, behind], timeout=0.05).done == set()
    with pytest.raises(TimeoutError):
        list(concurrent.futures.as_completed([running], timeout=0.05))
    channel.close()
    done = concurrent.futures.wait([running, failed, behind], WAIT, concurrent.futures.FIRST_EXCEPTION).done
    assert failed in done
    assert set(concurrent.futures.as_completed([running, failed, behind, failed], WAIT)) == {running, failed, behind}
    assert concurrent.futures.wait([running, failed, behind], WAIT).not_done == set()
    assert 'finished' in repr(behind)
