"""aio.select() over channels, streams and futures that become more and fewer while a task waits."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from errands import awaited

import econtext
from econtext import aio
from lab import pythons

ENOUGH = 100.0  # seconds for anything


def run(main: Callable[[aio.Broker], Coroutine[Any, Any, Any]]) -> Any:
    """Run `main` with a broker; hold that it leaves no task."""

    async def whole() -> Any:
        async with aio.Broker() as broker:
            result = await asyncio.wait_for(main(broker), ENOUGH)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return asyncio.run(whole())


async def until(path: Path, line: str) -> None:
    """Wait until `path` has `line`."""
    while not path.exists() or line not in path.read_text().splitlines():
        await asyncio.sleep(0.005)


async def begun(selection: Any) -> asyncio.Task[Any]:
    """Return a task that waits for the next value of `selection`."""
    task = asyncio.ensure_future(anext(selection))
    while selection._alarm is None:
        await asyncio.sleep(0)
    return task


def test_streams_channels_and_futures_together(python: pythons.Interpreter) -> None:
    async def main(broker: aio.Broker) -> None:
        web, other = broker.local(python=python), broker.local()
        channel, stream, future = other.channel(), web.stream(awaited.two), other.submit(len, 'abc')
        echoes = other.submit(awaited.echo, channel)
        await channel.send('x')
        came: list[tuple[Any, Any]] = []
        async for source, value in aio.select([channel, stream, future]):
            came.append((source, value))
            if source is channel:
                channel.close()
        assert [value for source, value in came if source is stream] == [1, 2]
        assert [value for source, value in came if source is channel] == ['x']
        assert [value for source, value in came if source is future] == [3]
        await echoes

    run(main)


def test_no_thread_is_started() -> None:
    async def main(broker: aio.Broker) -> None:
        web = await broker.local()
        channel = web.channel()
        echoes = web.submit(awaited.echo, channel)
        await channel.send('warm')
        assert await channel.get() == 'warm'
        before = set(threading.enumerate())
        selection = aio.select([channel])
        for number in range(20):
            task = await begun(selection)
            await channel.send(number)
            assert await task == (channel, number)
        assert set(threading.enumerate()) <= before
        channel.close()
        await echoes

    run(main)


def test_sources_come_and_go_while_a_task_waits() -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local(threads=2)
        quiet, lively = web.channel(), web.channel()
        echoes = [web.submit(awaited.echo, channel) for channel in (quiet, lively)]
        selection = aio.select([quiet])
        task = await begun(selection)
        selection.add(lively)
        await lively.send('added')
        assert await task == (lively, 'added')
        task = await begun(selection)
        selection.remove(lively)
        await lively.send('later')
        assert await lively.get() == 'later', 'what comes of a source that was removed is read there'
        assert not task.done()
        selection.remove(quiet)
        with pytest.raises(StopAsyncIteration):
            await task
        quiet.close()
        lively.close()
        await asyncio.gather(*echoes)

    run(main)


def test_a_source_that_was_removed_in_its_round_gives_nothing() -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local(threads=2)
        one, two = web.channel(), web.channel()
        echoes = [web.submit(awaited.echo, channel) for channel in (one, two)]
        for channel in one, two:
            await channel.send('x')
            while not channel._channel._end.inbox:
                await asyncio.sleep(0.001)
        selection = aio.select([one, two], timeout=0.02)
        assert await anext(selection) == (one, 'x')
        selection.remove(two)
        with pytest.raises(TimeoutError):
            await anext(selection)
        assert await two.get() == 'x'
        one.close()
        two.close()
        await asyncio.gather(*echoes)

    run(main)


def test_nothing_is_left_at_a_future_that_is_awaited_no_more() -> None:
    async def main(broker: aio.Broker) -> None:
        never = asyncio.get_running_loop().create_future()
        channel = broker.local().channel()
        selection = aio.select([never, channel], timeout=0.001)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await anext(selection)
        assert not never._callbacks
        assert not channel._channel._end.waiters
        assert channel._bridge().awaited == 0

    run(main)


def test_one_that_is_kept_waits_for_more_until_it_is_closed() -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local()
        async with aio.select(keep=True) as selection:
            task = await begun(selection)
            selection.add(web.stream(awaited.two))
            assert (await task)[1] == 1
            assert (await anext(selection))[1] == 2
            task = await begun(selection)
            selection.close()
            with pytest.raises(StopAsyncIteration):
                await task
            with pytest.raises(econtext.EcontextError, match='closed'):
                selection.add(web.channel())

    run(main)


def test_sources_of_several_brokers() -> None:
    async def main(broker: aio.Broker) -> None:
        async with aio.Broker() as second:
            streams = [each.local().stream(awaited.two) for each in (broker, second)]
            came = [(source, value) async for source, value in aio.select(streams)]
            assert sorted(value for _, value in came) == [1, 1, 2, 2]

    run(main)


def test_what_a_function_raises_comes_behind_its_values_and_a_lost_context_once() -> None:
    async def main(broker: aio.Broker) -> None:
        web, doomed = broker.local(), broker.local()
        stream, channel = web.stream(awaited.fail_behind), doomed.channel()
        left = doomed.submit(awaited.leave_with, channel)
        came: list[tuple[Any, Any]] = []
        async for source, value in aio.select([stream, channel]):
            came.append((source, value))
        assert [type(value) for source, value in came if source is channel] == [econtext.ContextLost]
        first, second = [value for source, value in came if source is stream]
        assert first == 1
        assert isinstance(second, ValueError)
        with pytest.raises(econtext.ContextLost):
            await left
        future = web.submit(awaited.fail)
        assert [type(value).__mro__[1] async for _, value in aio.select([future])] == [econtext.CallError]

    run(main)


def test_each_has_its_turn(tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        busy, calm = broker.local(), broker.local()
        endless, short = busy.stream(awaited.values, str(tmp_path / 'busy')), calm.stream(awaited.two)
        # It has begun: what was left before that has nothing to end.
        assert await anext(endless) == 0
        came: list[Any] = []
        async for source, value in aio.select([endless, short]):
            if source is short:
                came.append(value)
            if len(came) == 2:
                break
        await endless.aclose()
        assert came == [1, 2]
        await until(tmp_path / 'busy', 'ended')

    run(main)


def test_it_goes_on_behind_a_time_that_is_over() -> None:
    async def main(broker: aio.Broker) -> None:
        web = await broker.local()
        channel = web.channel()
        echoes = web.submit(awaited.echo, channel)
        selection = aio.select([channel], timeout=0.02)
        with pytest.raises(TimeoutError, match=r'0\.02 s'):
            await anext(selection)
        selection._timeout = ENOUGH
        await channel.send('x')
        assert await anext(selection) == (channel, 'x')
        channel.close()
        await echoes

    run(main)


def test_the_deadline_of_a_stream(tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        web = await broker.local()
        stream = web.options(timeout=0.05).stream(awaited.wait_to_yield, str(tmp_path / 'said'))
        came = [value async for _, value in aio.select([stream])]
        assert [type(value) for value in came] == [econtext.CallTimeout]
        await until(tmp_path / 'said', 'interrupted')

    run(main)


def test_a_cancelled_task_has_taken_nothing() -> None:
    async def main(broker: aio.Broker) -> None:
        web = await broker.local()
        channel = web.channel()
        echoes = web.submit(awaited.echo, channel)
        for number in range(50):
            task = await begun(aio.select([channel]))
            await channel.send(number)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                # It had come before.
                assert await task == (channel, number)
                continue
            assert await channel.get() == number
        channel.close()
        await echoes

    run(main)


def test_a_cancelled_reader_ends_the_functions_of_its_streams(tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        path = tmp_path / 'said'
        web = await broker.local()

        async def read() -> None:
            async for _ in aio.select([web.stream(awaited.wait_to_yield, str(path))]):
                pass

        task = asyncio.ensure_future(read())
        await until(path, 'begun')
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(path, 'interrupted')

    run(main)


def test_tasks_too() -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local()
        call = asyncio.ensure_future(web.call(len, 'abc'))
        never = asyncio.get_running_loop().create_future()
        never.cancel()
        came = {source: value async for source, value in aio.select([call, never])}
        assert came[call] == 3
        assert isinstance(came[never], asyncio.CancelledError)

    run(main)


def test_wrong_use_is_told() -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local()
        channel = web.channel()
        wrong: Any = channel
        with pytest.raises(TypeError, match='takes a list'):
            aio.select(wrong)
        wrong = [channel.get]
        with pytest.raises(TypeError, match='not a method'):
            aio.select(wrong)
        wrong = [web.blocking.channel()]
        with pytest.raises(TypeError, match=r'econtext\.aio'):
            aio.select(wrong)
        with pytest.raises(ValueError, match='timeout'):
            aio.select([channel], timeout=-1)
        assert [each async for each in aio.select()] == []
        assert repr(aio.select([channel])) == '<econtext.aio.Selection of 1>'

    run(main)
