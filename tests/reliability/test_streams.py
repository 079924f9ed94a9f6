"""Remote generators: values as they come, the exception behind them, and an end whenever one leaves."""

from __future__ import annotations

import concurrent.futures
import gc
import logging
import os
import signal
import threading
import time
from pathlib import Path

import floods
import pytest
import sources

import econtext
from econtext.child.channels import WINDOW
from lab import SOON, eventually, pythons


def test_values_come_as_they_are_made(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    context = broker.local(python=python)
    assert list(context.stream(sources.count, 1000)) == list(range(1000))
    assert list(context.stream(range, 2, 5)) == [2, 3, 4]
    failing = context.stream(sources.count_and_fail, number=3)
    assert [next(failing) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match='after 3'):
        next(failing)
    assert list(failing) == []
    assert context.call(abs, -1) == 1


def test_leaving_early_ends_the_function(
    broker: econtext.Broker, python: pythons.Interpreter, tmp_path: Path
) -> None:
    context = broker.local(python=python)
    path = tmp_path / 'ended'
    for value in context.stream(sources.for_ever, str(path)):
        if value == 10:
            break
    gc.collect()
    assert context.options(timeout=60).call(abs, -1) == 1
    assert path.read_text() == 'ended'
    path.unlink()
    with context.stream(sources.then_wait, str(path)) as stream:
        assert next(stream) == 'one'
    assert context.options(timeout=60).call(abs, -1) == 1
    assert path.read_text() == 'ended'
    assert list(stream) == []


@pytest.mark.parametrize('threads', [1, 2])
def test_cleanup_that_the_end_of_the_channel_began_is_not_interrupted(
    broker: econtext.Broker, python: pythons.Interpreter, tmp_path: Path, threads: int
) -> None:
    # Much longer than cleanup takes, also on a loaded machine.
    context = broker.local(python=python, threads=threads).options(grace=100)
    path = tmp_path / 'ended'
    for _ in range(5):
        with context.stream(sources.cleaned_by_a_program, str(path)) as stream:
            assert next(stream) == 'one'
        assert concurrent.futures.wait([stream._future], SOON).not_done == set()
        assert path.read_text() == 'ended'
        path.unlink()


def test_who_does_not_read_stops_the_function(broker: econtext.Broker) -> None:
    hop = broker.local()
    context = hop.local()
    stream = context.stream(sources.large, 10_000, 1000)
    next(stream)
    eventually(lambda: stream._channel._end.granted <= 0, what='the function used all its credit')
    assert sum(map(len, stream._channel._end.inbox)) < WINDOW + 11_000
    assert hop.call(abs, -1) == 1
    assert len(list(stream)) == 999


def test_a_context_that_is_lost(broker: econtext.Broker) -> None:
    context = broker.local()
    stream = context.stream(sources.count, 1 << 30)
    next(stream)
    os.kill(context.pid, signal.SIGKILL)
    with pytest.raises(econtext.ContextLost):
        list(stream)


# -- deadlines ---------------------------------------------------------------


# Seconds: a function that is warm has begun by then, also where the machine gives nobody a turn for some of them.
DEADLINE = 8


def warm(context: econtext.Context) -> econtext.Context:
    """Return it once all that streams need is there, so that short times are enough."""
    assert list(context.options(timeout=60).stream(sources.count, 3)) == [0, 1, 2]
    return context


def test_a_deadline_is_that_of_the_whole_run(
    broker: econtext.Broker, python: pythons.Interpreter, tmp_path: Path
) -> None:
    """It frees who reads, though values came all the time, and ends the function; the context goes on."""
    context = warm(broker.local(python=python))
    path = tmp_path / 'ended'
    began = time.monotonic()
    seen: list[int] = []
    with pytest.raises(econtext.CallTimeout, match=f'for_ever did not end within {DEADLINE} s'):
        seen.extend(context.options(timeout=DEADLINE, grace=100).stream(sources.for_ever, str(path)))
    assert DEADLINE <= time.monotonic() - began < SOON
    assert seen == list(range(len(seen)))
    assert seen
    assert context.options(timeout=60).call(abs, -1) == 1
    assert path.read_text() == 'ended'


def test_a_deadline_comes_though_nobody_reads(broker: econtext.Broker, tmp_path: Path) -> None:
    """The function is ended; what had come in time is still there, and then the error, once."""
    context = warm(broker.local())
    path = tmp_path / 'ended'
    stream = context.options(timeout=DEADLINE, grace=100).stream(sources.then_wait, str(path))
    assert next(stream) == 'one'
    eventually(path.exists, what='the function is ended')
    with pytest.raises(econtext.CallTimeout):
        next(stream)
    assert list(stream) == []
    stream = context.options(timeout=DEADLINE, grace=100).stream(sources.then_wait, str(path))
    eventually(lambda: stream._future.done(), what='the deadline')
    assert next(stream) == 'one'
    with pytest.raises(econtext.CallTimeout):
        next(stream)


@pytest.mark.parametrize('ends', [False, True])
def test_a_deadline_frees_the_reader_whatever_log_handlers_do(
    broker: econtext.Broker, tmp_path: Path, ends: bool
) -> None:
    """Also one whose function has ended in time, behind what is not handled."""
    context = warm(broker.local(name='stuck'))
    entered, go_on = threading.Event(), threading.Event()
    handler = logging.Handler()
    handler.emit = lambda record: (entered.set(), go_on.wait(100))  # type: ignore[method-assign, assignment]
    logger = logging.getLogger('econtext.ctx.stuck')
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        context.submit(floods.say, 'a line\n')
        assert entered.wait(60)
        began = time.monotonic()
        options = context.options(timeout=DEADLINE, grace=100)
        stream = options.stream(sources.count, 3) if ends else options.stream(
            sources.then_wait, str(tmp_path / 'ended'))
        with pytest.raises(econtext.CallTimeout, match='handlers of logging' if ends else 'did not end within'):
            list(stream)
        assert time.monotonic() - began < SOON
    finally:
        go_on.set()
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def test_who_does_not_heed_the_deadline_is_ended(broker: econtext.Broker, tmp_path: Path) -> None:
    """Also when the stream was left before, with the grace that was given."""
    for leaves in False, True:
        context = warm(broker.local())
        stream = context.options(timeout=100 if leaves else DEADLINE, grace=0.2).stream(
            sources.then_resist, str(tmp_path / 'resists'))
        assert next(stream) == 'one'
        if leaves:
            stream.close()
        else:
            with pytest.raises(econtext.CallTimeout):
                next(stream)
        with pytest.raises(econtext.ContextLost, match='then_resist'):
            context.options(timeout=60).call(abs, -1)


def test_a_stream_of_a_module_that_may_not_leave() -> None:
    with econtext.Broker(deny_modules=['sources']) as broker:
        context = broker.local()
        with pytest.raises(econtext.NotAllowed):
            context.stream(sources.count, 3)
        assert context.call(abs, -1) == 1


def test_what_is_no_stream(broker: econtext.Broker) -> None:
    context = broker.local()
    with pytest.raises(TypeError):
        list(context.stream(abs, -1))
    with pytest.raises(TypeError):
        context.stream(eval('lambda: [1]'))
    assert context.call(abs, -1) == 1
