"""Contexts for asyncio: what is awaited, cancelled, and left."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from errands import awaited, coroutines, work

import econtext
from econtext import aio
from econtext.controller import lifecycle
from econtext.parent import children
from lab import SOON, eventually, pythons

ENOUGH = 100.0  # seconds for anything
Main = Callable[[aio.Broker], Coroutine[Any, Any, Any]]


def run(main: Main) -> Any:
    """Run `main` with a broker; hold that it leaves no task."""

    async def whole() -> Any:
        async with aio.Broker() as broker:
            result = await asyncio.wait_for(main(broker), ENOUGH)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return asyncio.run(whole())


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


async def until(path: Path, line: str) -> None:
    """Wait until `path` has `line`."""
    while line not in lines(path):
        await asyncio.sleep(0.005)


async def read_into(seen: list[Any], values: aio.Stream[Any]) -> None:
    async for value in values:
        seen.append(value)  # noqa: PERF401 -- what came before an error counts


# -- calls -------------------------------------------------------------------


def test_calls_on_each_python(python: pythons.Interpreter) -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local(python=python)
        assert await web.call(awaited.say_it_twice, 'ab') == 'abab'
        with pytest.raises(ValueError, match='no such thing') as caught:
            await web.call(awaited.fail)
        assert isinstance(caught.value, econtext.CallError)
        assert [value async for value in web.stream(awaited.two)] == [1, 2]
        assert await web.submit(len, 'abc') == 3
        assert web.python_version[:2] == python.version[:2]

    run(main)


def test_wrong_use_is_refused_before_anything_is_sent() -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local()
        with pytest.raises(TypeError, match='source is nowhere'):
            await web.call(eval('lambda: None'))
        with pytest.raises(TypeError):
            web.submit(len, object())
        with pytest.raises(ValueError, match='timeout='):
            web.options(timeout=-1)
        assert await web.call(len, 'abc') == 3

    run(main)


def test_what_is_stopped_with_crosses_a_coroutine() -> None:
    """A StopIteration cannot leave a coroutine: it is a plain CallError."""
    async def main(broker: aio.Broker) -> None:
        with pytest.raises(econtext.CallError, match='StopIteration'):
            await broker.local().call(awaited.stop)

    run(main)


def test_a_lost_context_and_one_that_cannot_start() -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local()
        with pytest.raises(econtext.ContextLost):
            await web.call(awaited.leave)
        with pytest.raises(econtext.ContextLost):
            await web.call(len, 'abc')
        with pytest.raises(econtext.ConnectError):
            await broker.local(python='/nonexistent/python').wait_ready()
        with pytest.raises(econtext.ConnectError):
            await broker.local(python='/nonexistent/python').call(len, 'abc')

    run(main)


def test_a_thousand_in_flight_take_no_thread() -> None:
    async def main(broker: aio.Broker) -> None:
        web = await broker.local().wait_ready()
        before = set(threading.enumerate())
        lengths = await asyncio.gather(*(web.call(len, 'x' * number) for number in range(1000)))
        assert lengths == list(range(1000))
        futures = [web.submit(len, 'x' * number) for number in range(1000)]
        assert [await future for future in futures] == list(range(1000))
        assert set(threading.enumerate()) <= before

    run(main)


def test_more_than_may_be_unanswered_is_kept_and_sent_in_order() -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local()
        data = b'x' * (1 << 23)
        futures = [web.submit(len, data[number:]) for number in range(20)]
        beside = asyncio.create_task(asyncio.sleep(0))
        await beside
        assert [await future for future in futures] == [len(data) - number for number in range(20)]

    run(main)


def test_lines_are_logged_before_the_call_returns(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main(broker: aio.Broker) -> None:
        web = broker.local()
        for number in range(20):
            await web.call(awaited.say, f'line {number}')
            assert f'line {number}' in caplog.messages[-1]

    run(main)


def test_a_callback_that_raises_harms_nothing() -> None:
    async def main(broker: aio.Broker) -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        web = broker.local()

        def fail(future: asyncio.Future[int]) -> None:
            raise ZeroDivisionError

        future = web.submit(len, 'abc')
        future.add_done_callback(fail)
        assert await future == 3
        assert await web.call(len, 'ab') == 2
        assert [type(context.get('exception')) for context in told] == [ZeroDivisionError]

    run(main)


# -- cancelled ---------------------------------------------------------------


def test_cancelling_a_task_interrupts_the_function(python: pythons.Interpreter, tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local(python=python)
        task = asyncio.create_task(web.options(grace=SOON).call(awaited.wait, str(tmp_path / 'log')))
        await until(tmp_path / 'log', 'begun')
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(tmp_path / 'log', 'interrupted')
        assert await web.call(len, 'free') == 4

    run(main)


def test_a_timeout_of_asyncio_interrupts_the_function(tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        web = await broker.local().wait_ready()
        task = asyncio.create_task(web.options(grace=SOON).call(awaited.wait, str(tmp_path / 'log')))
        await until(tmp_path / 'log', 'begun')
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(task, 0.05)
        await until(tmp_path / 'log', 'interrupted')
        assert await web.call(len, 'free') == 4

    run(main)


def test_a_call_that_has_not_begun_is_withdrawn(tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local()
        patient = web.options(grace=SOON)
        first = patient.submit(awaited.wait, str(tmp_path / 'first'))
        second = patient.submit(awaited.wait, str(tmp_path / 'second'))
        await until(tmp_path / 'first', 'begun')
        second.cancel()
        first.cancel()
        assert await web.call(len, 'free') == 4
        assert not (tmp_path / 'second').exists()

    run(main)


def test_a_function_that_does_not_heed_ends_its_context_after_the_grace(tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local()
        future = web.options(grace=0.2).submit(awaited.stubborn, str(tmp_path / 'log'))
        await until(tmp_path / 'log', 'begun')
        future.cancel()
        with pytest.raises(econtext.ContextLost, match='did not heed'):
            await web.call(len, 'abc')

    run(main)


def test_the_deadline_of_options(tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local()
        assert await web.call(awaited.say_it_twice, 'a') == 'aa'    # all that the other call needs is there
        with pytest.raises(econtext.CallTimeout):
            await web.options(timeout=5, grace=60).call(awaited.wait, str(tmp_path / 'log'))
        await until(tmp_path / 'log', 'interrupted')

    run(main)


# -- streams and channels ----------------------------------------------------


def test_the_error_of_a_stream_comes_behind_its_values() -> None:
    async def main(broker: aio.Broker) -> None:
        seen: list[int] = []
        with pytest.raises(ValueError, match='no such thing'):
            await read_into(seen, broker.local().stream(awaited.fail_behind))
        assert seen == [1]

    run(main)


def test_leaving_a_stream_ends_its_function(tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local()
        patient = web.options(grace=SOON)
        async for value in patient.stream(awaited.values, str(tmp_path / 'left')):
            if value == 3:
                break
        await until(tmp_path / 'left', 'ended')
        async with patient.stream(awaited.values, str(tmp_path / 'block')) as numbers:
            assert await numbers.__anext__() == 0
        await until(tmp_path / 'block', 'ended')

    run(main)


def test_a_cancelled_reader_ends_the_function_of_its_stream(tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local()
        begun = asyncio.Event()

        async def read() -> None:
            async for _ in web.options(grace=SOON).stream(awaited.values, str(tmp_path / 'log')):
                begun.set()

        task = asyncio.create_task(read())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(tmp_path / 'log', 'ended')

    run(main)


def test_a_stream_has_the_deadline_of_its_options(tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local()
        assert [value async for value in web.stream(awaited.two)] == [1, 2]     # all that the other one needs is there
        seen: list[int] = []
        with pytest.raises(econtext.CallTimeout):
            await read_into(seen, web.options(timeout=5).stream(awaited.values, str(tmp_path / 'log')))
        assert seen[:2] == [0, 1]

    run(main)


def test_a_channel_both_ways_and_below() -> None:
    async def main(broker: aio.Broker) -> None:
        below = broker.local().local()
        channel = below.channel()
        echoing = below.submit(awaited.echo, channel)
        for value in (1, 'two', [3.0]):
            await channel.send(value)
            assert await channel.get() == value
        with pytest.raises(TimeoutError):
            await channel.get(timeout=0.05)
        channel.close()
        assert await echoing is None
        assert [value async for value in channel] == []

    run(main)


def test_a_cancelled_reader_of_a_channel_takes_nothing() -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local()
        channel = web.channel()
        echoing = web.submit(awaited.echo, channel)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(channel.get(), 0.05)
        for value in range(100):
            await channel.send(value)
        assert [await channel.get() for _ in range(100)] == list(range(100))
        channel.close()
        await echoing

    run(main)


def test_a_full_channel_lets_other_tasks_run(tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local()
        channel = web.channel(window=65536)
        waiting = web.submit(awaited.hold, channel, str(tmp_path / 'log'))
        sending = asyncio.create_task(send_all(channel))
        await until(tmp_path / 'log', 'begun')
        assert not sending.done()
        waiting.cancel()
        with pytest.raises(econtext.EcontextError):
            await sending

    async def send_all(channel: aio.Channel) -> None:
        for _ in range(100):
            await channel.send(b'x' * 10000)

    run(main)


# -- coroutine functions -----------------------------------------------------

MODERN = [name for name in ('3.7', '3.8', '3.11', '3.13', '3.14') if name in pythons.wanted()]


@pytest.mark.parametrize('python', MODERN, indirect=True)
def test_coroutine_functions_run_on_one_loop_at_once(python: pythons.Interpreter) -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local(python=python)
        waiting = [web.submit(coroutines.wait_for, 'go') for _ in range(10)]
        first, second = await asyncio.gather(web.call(coroutines.where), web.call(coroutines.where))
        assert first == second
        # A plain function runs beside them.
        assert await web.call(len, 'abc') == 3
        await web.call(coroutines.allow, 'go')
        assert await asyncio.gather(*waiting) == ['go'] * 10
        with pytest.raises(KeyError) as caught:
            await web.call(coroutines.fail, key='other')
        assert caught.value.args == ('other',)

    run(main)


@pytest.mark.parametrize('python', MODERN, indirect=True)
def test_cancelling_a_task_cancels_the_coroutine(python: pythons.Interpreter, tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local(python=python)
        future = web.options(grace=SOON).submit(coroutines.nap, str(tmp_path / 'log'))
        await until(tmp_path / 'log', 'begun')
        future.cancel()
        await until(tmp_path / 'log', 'cancelled')
        assert (await web.call(coroutines.where))[0] == web.pid

    run(main)


def test_an_event_loop_that_fails_answers_all_its_calls() -> None:
    """Code of the application has closed what the loop waits with, so that the loop cannot wait any more."""
    async def main(broker: aio.Broker) -> None:
        web = broker.local()
        await web.call(coroutines.allow, 'ready')
        waiting = web.submit(coroutines.wait_for, 'never')
        with pytest.raises(ValueError, match='closed'):
            await web.call(coroutines.break_loop)
        with pytest.raises(ValueError, match='closed'):
            await waiting
        with pytest.raises(econtext.EcontextError, match='does not run'):
            await web.call(coroutines.where)
        # The context itself goes on.
        assert await web.call(len, 'abc') == 3

    run(main)


def test_coroutines_are_cancelled_at_the_end_of_their_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Time enough on a machine with other work, for the context and for us.
    monkeypatch.setattr(children, 'PATIENCE', SOON)
    monkeypatch.setattr(lifecycle, 'CLOSING', SOON)

    async def main(broker: aio.Broker) -> None:
        web = broker.local()
        future = web.submit(coroutines.nap, str(tmp_path / 'log'))
        await until(tmp_path / 'log', 'begun')
        await web.call(work.be_patient, SOON)
        await web.close()
        with pytest.raises(econtext.ContextLost):
            await future
        assert lines(tmp_path / 'log') == ['begun', 'cancelled']

    run(main)


@pytest.mark.parametrize('python', [name for name in ('2.7', '3.6') if name in pythons.wanted()], indirect=True)
def test_an_old_python_says_that_it_runs_no_coroutine_functions(python: pythons.Interpreter) -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local(python=python)
        with pytest.raises((econtext.EcontextError, SyntaxError), match=r'3\.7|async'):
            await web.call(coroutines.where)
        assert await web.call(len, 'abc') == 3

    run(main)


# -- coroutine functions that nobody awaits here ---------------------------------


@pytest.mark.parametrize('python', MODERN, indirect=True)
def test_a_blocking_call_runs_a_coroutine_function_to_its_end(
    broker: econtext.Broker, python: pythons.Interpreter
) -> None:
    context = broker.local(python=python)
    assert context.call(coroutines.add, 2, third=3) == 6
    assert [future.result() for future in [context.submit(coroutines.add, number) for number in range(3)]] == [1, 2, 3]
    assert context.call(functools.partial(coroutines.add, 1, third=5), 2) == 8
    assert context.call(coroutines.Counter.name, 4) == ('Counter', 4)
    assert context.call(coroutines.Counter.double, 4) == 8
    assert list(context.map(coroutines.add, [1, 2])) == [2, 3]
    step = 3

    async def typed(number):  # type: ignore[no-untyped-def]
        await asyncio.sleep(0)
        return number + step

    assert context.call(typed, 1) == 4
    with pytest.raises(KeyError) as caught:
        context.call(coroutines.fail, key='other')
    assert caught.value.args == ('other',)
    assert 'coroutines.py' in str(caught.value)
    assert 'awaiting' not in str(caught.value)
    with pytest.raises(TypeError, match=r'call\('):
        context.stream(coroutines.add, 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match='async function'):
        context.allow(coroutines.add)
    assert context.call(coroutines.add, 1) == 2


@pytest.mark.parametrize('python', MODERN, indirect=True)
def test_coroutine_functions_that_no_module_holds_are_awaited(python: pythons.Interpreter) -> None:
    step = 3

    async def typed(number):  # type: ignore[no-untyped-def]
        await asyncio.sleep(0)
        return number + step

    async def main(broker: aio.Broker) -> None:
        web = broker.local(python=python)
        assert await asyncio.gather(*(web.call(typed, number) for number in range(5))) == [3, 4, 5, 6, 7]
        assert await web.call(functools.partial(typed, 1)) == 4
        assert await web.call(functools.partial(coroutines.add, 1), 5) == 6
        async with broker.fleet(['a', 'b'], connector=lambda broker, host: broker.local(python=python)) as fleet:
            assert dict((await fleet.call(typed, 1)).successes) == {'a': 4, 'b': 4}
            assert await fleet.submit(coroutines.add, 1)['a'] == 2

    run(main)


@pytest.mark.parametrize('python', MODERN, indirect=True)
def test_a_deadline_cancels_a_coroutine_function(
    broker: econtext.Broker, python: pythons.Interpreter, tmp_path: Path
) -> None:
    context = broker.local(python=python)
    future = context.submit(coroutines.nap_and_tell, str(tmp_path / 'log'))
    eventually(lambda: lines(tmp_path / 'log') == ['begun'], what='it begins')
    future.interrupt(SOON)
    with pytest.raises(econtext.CallError) as caught:
        future.result(SOON)
    assert caught.value.type_name == 'econtext.Interrupted'
    assert lines(tmp_path / 'log') == ['begun', 'cancelled']
    assert context.call(len, 'free again') == 10


def test_a_fleet_runs_coroutine_functions(broker: econtext.Broker) -> None:
    with broker.fleet(['a', 'b'], connector=lambda broker, host: broker.local()) as fleet:
        assert dict(fleet.call(coroutines.add, 1).successes) == {'a': 2, 'b': 2}
        assert dict(fleet.map(coroutines.add, [1, 2]).successes) == {'a': 2, 'b': 3}
        assert fleet.submit(functools.partial(coroutines.add, 1)).results()['b'] == 2
        with fleet.executor() as executor:
            assert list(executor.map(coroutines.add, range(4))) == [1, 2, 3, 4]
        with pytest.raises(TypeError):
            fleet.stream(coroutines.add, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize('python', [name for name in ('2.7', '3.6') if name in pythons.wanted()], indirect=True)
def test_an_old_python_says_so_to_blocking_calls(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    with pytest.raises((econtext.EcontextError, SyntaxError), match=r'3\.7|async'):
        broker.local(python=python).call(coroutines.where)


# -- commands, files, fleets -------------------------------------------------


def test_commands_and_their_lines(tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local()
        done = await web.run(['echo', 'hello'])
        assert done.stdout == 'hello\n'
        with pytest.raises(subprocess.CalledProcessError):
            await web.run('exit 3', check=True)
        with pytest.raises(FileNotFoundError):
            await web.run(['/nonexistent'])
        async with web.run_lines('for number in 1 2 3; do echo $number; done') as found:
            assert [str(line).strip() async for line in found] == ['1', '2', '3']
        assert found.result is not None
        assert found.result.returncode == 0
        told: list[str] = []
        await web.run('echo one; echo two', on_line=lambda line: told.append(threading.current_thread().name))
        assert told == ['MainThread'] * 2

    run(main)


def test_cancelling_a_task_ends_its_command(tmp_path: Path) -> None:
    file = tmp_path / 'pid'
    words = ['sh', '-c', f'echo $$ > {file}.new; mv {file}.new {file}; exec sleep 60']

    async def main(broker: aio.Broker) -> None:
        web = broker.local()
        task = asyncio.create_task(web.run(words))
        while not file.exists():
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        pid = int(file.read_text())
        while Path(f'/proc/{pid}').exists():
            await asyncio.sleep(0.01)
        assert await web.call(len, 'free') == 4

    run(main)


def test_files(tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        web = broker.local()
        await web.put(b'one\ntwo\n', str(tmp_path / 'there'))
        await web.get(str(tmp_path / 'there'), str(tmp_path / 'here'))
        assert (tmp_path / 'here').read_text() == 'one\ntwo\n'
        async with web.open(str(tmp_path / 'there'), 'a+') as file:
            assert await file.write('three\n') == 6
            await file.flush()
            await file.seek(0)
            assert [line async for line in file] == ['one\n', 'two\n', 'three\n']
        for opening in web.open(str(tmp_path / 'there')), asyncio.create_task(web.open(str(tmp_path / 'there'))):
            file = await opening
            assert await file.readline() == 'one\n'
            await file.close()
        with pytest.raises(FileNotFoundError):
            async with web.open(str(tmp_path / 'missing')):
                pass
        with pytest.raises(FileNotFoundError):
            await web.open(str(tmp_path / 'missing'))

    run(main)


def test_work_that_raises_stop_iteration_ends(tmp_path: Path) -> None:
    """No future of asyncio takes a StopIteration before Python 3.12: whoever awaited it waited for ever."""
    def stop(progress: object) -> None:
        raise StopIteration

    async def main(broker: aio.Broker) -> None:
        with pytest.raises(RuntimeError, match='StopIteration'):
            await broker.local().put(b'x', str(tmp_path / 'x'), progress=stop)
        fleet = broker.fleet(['one'], connector=lambda of, host: next(iter(())))
        for future in fleet.submit(len, 'abc').values():
            with pytest.raises(RuntimeError, match='StopIteration'):
                await future
        await fleet.close()

    run(main)


def test_a_fleet() -> None:
    async def main(broker: aio.Broker) -> None:
        async with broker.fleet(['a', 'b', 'c'], connector='local') as fleet:
            assert len(set((await fleet.call(os.getpid)).successes.values())) == 3
            assert (await fleet.map(len, ['x', 'xx', 'xxx'])).successes == {'a': 1, 'b': 2, 'c': 3}
            assert set((await fleet.call(awaited.fail)).failures) == {'a', 'b', 'c'}
            assert await fleet.submit(len, 'abc')['b'] == 3
            assert {done.stdout for done in (await fleet['a'].run(['echo', 'x'])).successes.values()} == {'x\n'}
            async with fleet.stream(awaited.two) as values:
                assert sorted([each async for each in values]) == sorted(
                    (host, number) for host in 'abc' for number in (1, 2))
            assert sorted((await fleet.connect_all()).successes) == ['a', 'b', 'c']

    run(main)


@pytest.mark.skipif(sys.version_info < (3, 11), reason='asyncio.TaskGroup is of Python 3.11')
def test_a_task_group_over_a_fleet(tmp_path: Path) -> None:
    """One host fails: the functions on the others are interrupted."""
    async def main(broker: aio.Broker) -> None:
        async with broker.fleet(['a', 'b'], connector='local') as fleet:
            slow, quick = await fleet.context('a'), await fleet.context('b')

            async def both() -> None:
                async with asyncio.TaskGroup() as group:
                    group.create_task(slow.options(grace=SOON).call(awaited.wait, str(tmp_path / 'log')))
                    await until(tmp_path / 'log', 'begun')
                    group.create_task(quick.call(awaited.fail))

            with pytest.raises(Exception, match='unhandled errors in a TaskGroup') as caught:
                await both()
            errors: Any = caught.value
            assert [type(error).__name__ for error in errors.exceptions] == ['CallError']
            await until(tmp_path / 'log', 'interrupted')

    run(main)


def test_cancelling_the_call_of_a_fleet(tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        fleet = broker.fleet(['a', 'b'], connector='local')
        task = asyncio.create_task(fleet.options(grace=SOON).call(awaited.wait, str(tmp_path / 'log')))
        while lines(tmp_path / 'log') != ['begun'] * 2:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while lines(tmp_path / 'log').count('interrupted') < 2:
            await asyncio.sleep(0.005)

    run(main)


# -- threads and loops -------------------------------------------------------


def test_a_blocking_thread_leads_meanwhile() -> None:
    """Awaited calls are answered while a thread waits for a long one, and go on when that thread has left."""
    async def main(broker: aio.Broker) -> None:
        slow, quick = broker.local(), broker.local()
        await quick.call(len, '')
        for seconds in (0.02, 0.1, 0.3):
            blocking = asyncio.create_task(asyncio.to_thread(slow.blocking.call, awaited.nap, seconds))
            while not blocking.done():
                assert await quick.call(len, 'abc') == 3
            await blocking
            begun = time.monotonic()
            assert await quick.call(awaited.nap, 0.05)
            assert time.monotonic() - begun < SOON

    run(main)


def test_an_event_loop_that_computes_holds_up_no_context(caplog: pytest.LogCaptureFixture) -> None:
    """Frames are read while the thread of asyncio is busy: the spare thread does that."""
    caplog.set_level(logging.INFO)

    async def main(broker: aio.Broker) -> None:
        web = await broker.local().wait_ready()
        future = web.submit(awaited.say, 'meanwhile')
        # As a function that computes: nothing of asyncio runs until the line is here.
        eventually(lambda: any('meanwhile' in message for message in caplog.messages))
        await future

    run(main)


def test_several_event_loops_share_a_broker(broker: econtext.Broker) -> None:
    shared = aio.Broker(blocking=broker)
    web = shared.local()
    results: list[int] = []

    async def many() -> None:
        results.extend(await asyncio.gather(*(web.call(len, 'x' * number) for number in range(200))))

    threads = [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(list(range(200)) * 3)


def test_an_event_loop_may_end_before_its_broker(broker: econtext.Broker, tmp_path: Path) -> None:
    shared = aio.Broker(blocking=broker)
    web = shared.local()

    async def leave() -> None:
        assert await web.call(len, 'abc') == 3
        web.submit(awaited.nap, 0.2)     # nobody waits for its answer

    for _ in range(3):
        asyncio.run(leave())
    assert web.blocking.call(len, 'abcd') == 4
    assert len(broker._tree.loop.visitors) <= 2


def test_a_broker_that_is_closed_by_another_thread(broker: econtext.Broker, tmp_path: Path) -> None:
    async def main() -> None:
        web = aio.Broker(blocking=broker).local()
        future = web.submit(awaited.wait, str(tmp_path / 'log'))
        await until(tmp_path / 'log', 'begun')
        await asyncio.to_thread(broker.close)
        with pytest.raises(econtext.ContextLost):
            await future
        with pytest.raises(econtext.EcontextError):
            await web.call(len, 'abc')

    asyncio.run(main())


def test_uvloop(tmp_path: Path) -> None:
    uvloop = pytest.importorskip('uvloop')

    async def main() -> None:
        async with aio.Broker() as broker:
            web = broker.local()
            assert await asyncio.gather(*(web.call(len, 'x' * number) for number in range(100))) == list(range(100))
            future = web.options(grace=SOON).submit(awaited.wait, str(tmp_path / 'log'))
            await until(tmp_path / 'log', 'begun')
            future.cancel()
            await until(tmp_path / 'log', 'interrupted')

    uvloop.run(main())


PROGRAM = '''
import asyncio, os, sys, time
from econtext import aio

def wait(path):
    with open(path, 'w') as file:
        file.write(str(os.getpid()))
    time.sleep(60)

async def main():
    async with aio.Broker() as broker:
        await broker.local().call(wait, sys.argv[1])

if __name__ == '__main__':
    asyncio.run(main())
'''


def test_ctrl_c_leaves_the_program_and_ends_its_contexts(tmp_path: Path) -> None:
    (tmp_path / 'program.py').write_text(PROGRAM)
    program = subprocess.Popen(
        [sys.executable, str(tmp_path / 'program.py'), str(tmp_path / 'pid')], stderr=subprocess.PIPE, text=True,
        env={**os.environ, 'PYTHONPATH': str(Path(econtext.__file__).parents[1])})
    with program:
        try:
            pid = int(eventually(lambda: (tmp_path / 'pid').exists() and (tmp_path / 'pid').read_text()))
            program.send_signal(signal.SIGINT)
            errors = program.communicate(timeout=60)[1]
        finally:
            program.kill()
    assert errors.rstrip().endswith('KeyboardInterrupt')
    assert program.returncode == -signal.SIGINT
    eventually(lambda: not Path(f'/proc/{pid}').exists())


FORKS = '''
import asyncio, os
import econtext
from econtext import aio

async def main():
    async with aio.Broker() as broker:
        web = broker.local()
        print(await web.call(len, 'abc'))
        pid = os.fork()
        if not pid:
            code = 1
            try:
                asyncio.run(web.call(len, 'abc'))
            except econtext.EcontextError as error:
                code = 7 if 'forked' in str(error) else 2
            finally:
                os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        print(await web.call(len, 'abcd'))

if __name__ == '__main__':
    asyncio.run(main())
'''


def test_what_a_handler_leaves_for_the_event_loop_is_heard_at_once() -> None:
    """The kernels of Jupyter cancel a cell so: by a callback that does not wake the loop."""

    async def main(broker: aio.Broker) -> None:
        loop, main_thread = asyncio.get_running_loop(), threading.get_ident()
        heard = loop.create_future()
        before = signal.signal(signal.SIGUSR1, lambda *_: loop.call_soon(heard.set_result, 'heard'))

        def waits() -> bool:
            frame = sys._current_frames()[main_thread]
            return frame.f_code.co_name == 'select' and frame.f_globals['__name__'] == 'selectors'

        def strike() -> None:
            eventually(waits, what='the event loop waits')
            os.kill(os.getpid(), signal.SIGUSR1)

        try:
            web = broker.local()
            # From now on the signal is seen to.
            assert await web.call(len, 'abc') == 3
            thread = threading.Thread(target=strike)
            thread.start()
            begun = time.monotonic()
            assert await heard == 'heard'
            assert time.monotonic() - begun < SOON, 'not only as the time of the test is over'
            thread.join()
        finally:
            signal.signal(signal.SIGUSR1, before)

    run(main)


def test_a_forked_process_gets_an_error_and_harms_nothing(tmp_path: Path) -> None:
    (tmp_path / 'program.py').write_text(FORKS)
    done = subprocess.run(
        [sys.executable, str(tmp_path / 'program.py')], capture_output=True, text=True, timeout=60,
        env={**os.environ, 'PYTHONPATH': str(Path(econtext.__file__).parents[1])})
    assert done.stdout.split() == ['3', '7', '4'], done.stderr


def test_importing_econtext_imports_no_asyncio() -> None:
    done = subprocess.run(
        [sys.executable, '-c', 'import econtext, sys; econtext.Broker; print("asyncio" in sys.modules)'],
        capture_output=True, text=True, timeout=60,
        env={**os.environ, 'PYTHONPATH': str(Path(econtext.__file__).parents[1])})
    assert done.stdout.strip() == 'False', done.stderr
