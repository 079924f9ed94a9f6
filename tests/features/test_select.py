"""select() over channels and streams that become more and fewer while somebody waits; fair, and within its time."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from errands import streams

import econtext
from lab import pythons


@pytest.fixture
def child(broker: econtext.Broker) -> econtext.Context:
    return broker.local(name='child')


@pytest.fixture
def beside() -> Iterator[Callable[[Callable[[], object]], threading.Thread]]:
    """Run something in a thread beside the test, until the test is over."""
    threads: list[threading.Thread] = []

    def run(function: Callable[[], object]) -> threading.Thread:
        thread = threading.Thread(target=function, daemon=True)
        threads.append(thread)
        thread.start()
        return thread

    yield run
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def begin(waiting: threading.Event, selection: Any) -> list[Any]:
    """Read all of `selection`, having said that it begins."""
    waiting.set()
    return list(selection)


@pytest.mark.parametrize('python', ['2.7', '3.6', '3.15'], indirect=True)
def test_a_channel_that_is_added_while_somebody_waits_is_read(
    broker: econtext.Broker, python: pythons.Interpreter, beside: Any
) -> None:
    idle, busy = (broker.local(python=python).channel() for _ in range(2))
    idle.context.submit(streams.hold, idle)
    assert next(idle) == 'here'
    busy.context.submit(streams.count_and_close, busy, 3)
    waiting = threading.Event()
    selection = econtext.select([idle])

    def change() -> None:
        waiting.wait(60)
        selection.add(busy)

    beside(change)
    got = []
    waiting.set()
    for channel, value in selection:
        got.append((channel, value))
        if len(got) == 3:
            selection.remove(idle)
    assert got == [(busy, number) for number in range(3)]
    assert idle.open(), 'one that was removed stays as it is'
    idle.close()


def test_the_last_one_removed_ends_it(child: econtext.Context, beside: Any) -> None:
    channel = child.channel()
    child.submit(streams.hold, channel)
    assert next(channel) == 'here'
    selection = econtext.select([channel], timeout=60)
    waiting = threading.Event()
    beside(lambda: (waiting.wait(60), selection.remove(channel)))
    assert begin(waiting, selection) == []
    selection.remove(channel)   # again: nothing happens
    channel.close()


def test_one_that_is_kept_waits_for_more_until_it_is_closed(child: econtext.Context, beside: Any) -> None:
    channel = child.channel()
    child.submit(streams.count_and_close, channel, 2)
    waiting = threading.Event()
    with econtext.select(keep=True) as selection:
        beside(lambda: (waiting.wait(60), selection.add(channel)))
        waiting.set()
        assert [next(selection)[1] for _ in range(2)] == [0, 1]
        beside(selection.close)
        assert list(selection) == []
    with pytest.raises(econtext.EcontextError, match='the selection is closed'):
        selection.add(child.channel())
    selection.close()


def test_streams_and_channels_together(child: econtext.Context, broker: econtext.Broker) -> None:
    stream = broker.local().stream(range, 5)
    channel = child.channel()
    child.submit(streams.count_and_close, channel, 5)
    got: dict[Any, list[Any]] = {stream: [], channel: []}
    sources: list[Any] = [stream]
    selection = econtext.select(sources)
    selection.add(channel)
    selection.add(channel)  # once is enough
    for source, value in selection:
        got[source].append(value)
    assert list(got.values()) == [list(range(5))] * 2


def test_each_has_its_turn(broker: econtext.Broker) -> None:
    """All values are here: each source gives one, and then the next."""
    channels = [broker.local().channel() for _ in range(3)]
    for channel in channels:
        channel.context.submit(streams.count_and_close, channel, 50).result(60)
    got = []
    for channel, value in econtext.select(channels):
        got.append((channels.index(channel), value))
    assert got == [(index, value) for value in range(50) for index in range(3)]


def test_it_goes_on_behind_a_time_that_is_over(child: econtext.Context) -> None:
    channel = child.channel()
    future = child.submit(streams.hold, channel)
    assert next(channel) == 'here'
    before = len(channel._end.waiters)
    selection = econtext.select([channel], timeout=0.02)
    for _ in range(3):
        with pytest.raises(TimeoutError, match=r'nothing came within 0\.02 s'):
            next(selection)
    assert len(channel._end.waiters) <= before
    channel.close()
    assert list(selection) == []
    future.result(60)
    empty = econtext.select(timeout=0.01, keep=True)
    with pytest.raises(TimeoutError):
        next(empty)


def test_many_threads_add_and_remove(broker: econtext.Broker, beside: Any) -> None:
    context = broker.local()
    channels = [context.channel() for _ in range(24)]
    for channel in channels:
        context.submit(streams.count_and_close, channel, 10)
    selection = econtext.select(keep=True)
    for number in range(4):
        def change(mine: Any = channels[number::4]) -> None:
            for channel in mine:
                selection.add(channel)
                selection.remove(channel)
                selection.add(channel)
        beside(change)
    got: dict[Any, list[int]] = {channel: [] for channel in channels}
    for channel, value in selection:
        got[channel].append(value)
        if sum(map(len, got.values())) == 240:
            break
    assert list(got.values()) == [list(range(10))] * 24


def test_no_thread_is_started(child: econtext.Context) -> None:
    channel = child.channel()
    child.submit(streams.count_and_close, channel, 3)
    before = threading.active_count()
    for _ in econtext.select([channel]):
        assert threading.active_count() <= before


def test_futures_too(child: econtext.Context, beside: Any) -> None:
    """Each once: what it returned, or why not."""
    channel = child.channel()
    counting = child.submit(streams.count_and_close, channel, 3)
    failing = child.submit(int, 'no number')
    selection = econtext.select([channel, counting, failing])
    got: dict[Any, list[Any]] = {channel: [], counting: [], failing: []}
    for source, value in selection:
        got[source].append(value)
    assert got[channel] == [0, 1, 2]
    assert got[counting] == ['closed']
    assert isinstance(got[failing][0], ValueError)
    assert isinstance(got[failing][0], econtext.CallError)
    # One that is done already, and one that is cancelled.
    cancelled: concurrent.futures.Future[int] = concurrent.futures.Future()
    cancelled.cancel()
    found = dict(econtext.select([counting, cancelled], timeout=60))
    assert found[counting] == 'closed'
    assert isinstance(found[cancelled], concurrent.futures.CancelledError)


def test_a_future_ends_a_wait_for_a_channel(child: econtext.Context, broker: econtext.Broker, beside: Any) -> None:
    """Whoever ends it, and whoever is waited for beside it."""
    idle = child.channel()
    child.submit(streams.hold, idle)
    assert next(idle) == 'here'
    selection = econtext.select([idle], timeout=60)
    future: concurrent.futures.Future[str] = concurrent.futures.Future()
    selection.add(future)
    waiting = threading.Event()
    beside(lambda: (waiting.wait(60), future.set_result('done')))
    waiting.set()
    assert next(selection) == (future, 'done')
    of_context = broker.local().submit(sorted, [2, 1])
    selection.add(of_context)
    assert next(selection) == (of_context, [1, 2])
    with broker.fleet(['a'], connector=lambda broker, host: broker.local()) as fleet:
        (of_fleet,) = fleet.submit(sorted, [2, 1]).values()
        selection.add(of_fleet)
        assert next(selection) == (of_fleet, [1, 2])
    idle.close()
    assert list(selection) == []


def test_futures_alone_that_come_and_go(child: econtext.Context, beside: Any) -> None:
    futures: list[concurrent.futures.Future[int]] = [concurrent.futures.Future() for _ in range(20)]
    selection = econtext.select(futures[:10], timeout=60)
    waiting = threading.Event()

    def end() -> None:
        waiting.wait(60)
        for future in futures[10:]:
            selection.add(future)
        selection.remove(futures[0])
        for number, future in enumerate(futures):
            future.set_result(number)

    beside(end)
    got = begin(waiting, selection)
    assert sorted(value for _, value in got) == list(range(1, 20))
    with pytest.raises(TimeoutError):
        next(econtext.select([concurrent.futures.Future()], timeout=0.01))


def test_wrong_use_is_told(child: econtext.Context, broker: econtext.Broker) -> None:
    channel = child.channel()
    selection = econtext.select([channel])
    with pytest.raises(TypeError, match='channels, streams and futures, not a int'):
        selection.add(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match='takes a list'):
        econtext.select(channel)
    with pytest.raises(ValueError, match='number of seconds'):
        econtext.select([channel], timeout='x')  # type: ignore[arg-type]
    with econtext.Broker() as other, pytest.raises(ValueError, match='one broker only'):
        selection.add(other.local().channel())
    with pytest.raises(TypeError, match='bound to this process'):
        selection.__reduce_ex__(2)
