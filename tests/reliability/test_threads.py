"""`threads=`: a context runs several calls at once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stops import late, work

import econtext
from lab import eventually, pythons

VERSIONS = ('2.7', '3.6', '3.13')


@pytest.fixture(params=VERSIONS)
def child(request: pytest.FixtureRequest, broker: econtext.Broker) -> econtext.Context:
    return broker.local(python=pythons.interpreter(request.param), threads=3, name='web')


def test_so_many_run_at_once_and_no_more(child: econtext.Context) -> None:
    inside = [child.channel() for _ in range(5)]
    futures = [child.submit(work.meet, channel) for channel in inside]
    first = [next(channel) for channel in inside[:3]]
    assert len(set(first)) == 3, 'each in a thread of its own'
    assert not any(future.done() for future in futures)
    assert futures[4].cancel()  # it has not begun
    for channel in inside[:3]:
        channel.send('go')
    assert next(inside[3]) in first
    inside[3].send('go')
    assert [future.result(60) for future in futures[:4]] == ['met'] * 4


def test_one_alone_runs_in_the_main_thread(child: econtext.Context) -> None:
    assert child.call(work.in_main_thread)


def test_many_calls_each_answered_once(child: econtext.Context) -> None:
    futures = [child.submit(work.echo, number) for number in range(300)]
    results: list[int] = []
    callers = [threading.Thread(target=lambda: results.append(child.call(work.echo, -1))) for _ in range(8)]
    for caller in callers:
        caller.start()
    assert [future.result(60) for future in futures] == list(range(300))
    for caller in callers:
        caller.join()
    assert results == [-1] * 8


def test_interrupt_in_a_thread(child: econtext.Context) -> None:
    holding = child.channel()
    first = child.submit(work.meet, holding)
    next(holding)
    second = child.submit(work.compute)
    assert not second.cancel() or second.cancelled()
    if not second.cancelled():
        assert second.interrupt(grace=100)
        with pytest.raises(econtext.CallError, match='Interrupted'):
            second.result(60)
    holding.send('go')
    assert first.result(60) == 'met'
    assert child.call(os.getpid) == child.pid


def test_a_thread_that_cannot_be_interrupted_ends_the_context(child: econtext.Context) -> None:
    holding = child.channel()
    child.submit(work.meet, holding)
    next(holding)
    with pytest.raises(econtext.CallTimeout):
        child.options(timeout=10, grace=0.3).call(time.sleep, 900)  # long enough to begin
    eventually(lambda: child._node.error is not None)
    with pytest.raises(econtext.ContextLost, match='sleep did not end'):
        child.options(timeout=60).call(os.getpid)


def test_it_is_a_number_of_calls(broker: econtext.Broker) -> None:
    for threads in (0, -1, 1.5, True, 'two'):
        with pytest.raises(ValueError, match='threads='):
            broker.local(threads=threads)  # type: ignore[arg-type]


@pytest.mark.every_python
def test_cleanup_runs_whichever_thread_was_first_to_import_threading(
    broker: econtext.Broker, python: pythons.Interpreter, tmp_path: Path
) -> None:
    """Some versions of Python take that thread for the main one, and wait for it."""
    context = broker.local(python=python, threads=2)
    channel = context.channel()
    held = context.submit(late.hold, channel)  # has the main thread
    context.call(late.import_threading, str(tmp_path / 'seen'))
    channel.send('go')
    assert held.result(60) == 'go'
    context.close()
    assert (tmp_path / 'seen').read_text() == 'done'


COROUTINES = '''
    import asyncio

    async def wait(channel, cleaned):
        channel.send('begun')
        try:
            await asyncio.sleep(600)
        finally:
            await asyncio.sleep(0)
            channel.send(cleaned)
'''


@pytest.mark.parametrize('version', ['3.7', '3.8', '3.13'])
def test_a_coroutine_function_in_a_thread_is_cancelled(
    broker: econtext.Broker, version: str, program: Callable[..., Any],
) -> None:
    """Its event loop waits outside of Python, where nothing can be raised; its cleanup runs."""
    module = program({'awaited.py': COROUTINES}, 'awaited')
    child = broker.local(python=pythons.interpreter(version), threads=3)
    channels = [child.channel() for _ in range(3)]
    futures = [child.submit(module.wait, channel, number) for number, channel in enumerate(channels)]
    for channel in channels:
        assert next(channel) == 'begun'
    for number in 1, 0, 2:
        futures[number].interrupt(grace=60)
        assert next(channels[number]) == number
        with pytest.raises(econtext.CallError, match='Interrupted'):
            futures[number].result(60)
    assert child.call(len, 'free again') == 10
