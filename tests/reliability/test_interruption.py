"""Deadlines and interruption: the caller is freed in time, the function stops where it stands."""

from __future__ import annotations

import concurrent.futures
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from stops import work

import econtext
from econtext.controller.session import futures
from lab import eventually, leaks, pythons

VERSIONS = ('2.7', '3.6', '3.13')
# Seconds within which a function begins whose module is there; the later ones for a machine that was held up just then.
BEGUN = 2.0, 10.0, 30.0
SLACK = 60.0  # seconds that a loaded machine may add; far below what a call lasts that is not interrupted
WAYS = (work.sleep, work.compute, work.system, work.program)


@pytest.fixture(params=VERSIONS)
def child(request: pytest.FixtureRequest, broker: econtext.Broker) -> econtext.Context:
    return broker.local(python=pythons.interpreter(request.param), name='web').wait_ready()


class Busy(logging.Handler):
    """Tells when a function of `work` is at it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = threading.Semaphore(0)

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == 'stdout: busy':
            self.count.release()

    def wait(self) -> None:
        assert self.count.acquire(timeout=60)

    def has_been(self) -> bool:
        return self.count.acquire(blocking=False)


@pytest.fixture
def busy() -> Any:
    handler = Busy()
    logger = logging.getLogger('econtext.ctx')
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.mark.parametrize('way', WAYS, ids=lambda way: way.__name__)
def test_a_call_ends_at_its_deadline(child: econtext.Context, way: Any, busy: Busy) -> None:
    child.call(work.cleaned)
    for seconds in BEGUN:
        began = time.monotonic()
        with pytest.raises(econtext.CallTimeout, match=f'web: {way.__name__} did not end within {seconds:g} s'):
            child.options(timeout=seconds, grace=60).call(way)
        assert seconds <= time.monotonic() - began < seconds + SLACK
        # The context is free again, the function has cleaned up, and nothing it started is left.
        cleaned = child.options(timeout=60).call(work.cleaned)
        if busy.has_been():
            break
        assert cleaned == []    # it had not begun, and was dropped
    assert cleaned == [way.__name__]
    below = leaks.descendants(child.call(os.getpid))
    eventually(lambda: [entry for entry in leaks.descendants(child.pid) if entry.state != 'Z'] == [], what=str(below))


@pytest.mark.parametrize('way', WAYS, ids=lambda way: way.__name__)
def test_interrupt(child: econtext.Context, way: Any, busy: Busy) -> None:
    future = child.submit(way)
    busy.wait()
    assert future.interrupt(grace=60)
    with pytest.raises(econtext.CallError) as caught:
        future.result(60)
    # subprocess of 3.6 kills what it was waiting for, and may find that it has ended.
    assert caught.value.type_name in ('econtext.Interrupted', 'ProcessLookupError')
    # What waited for a program may have returned, since that was ended first.
    assert f'in {way.__name__}' in caught.value.remote_traceback or 'as it returned' in caught.value.message
    assert not future.cancelled()
    assert not future.interrupt()
    assert child.call(work.cleaned) == [way.__name__]


def test_interrupt_what_is_not_written_in_python(child: econtext.Context) -> None:
    with pytest.raises(econtext.CallTimeout):
        child.options(timeout=0.3, grace=60).call(time.sleep, 900)
    assert child.options(timeout=60).call(len, 'web') == 3


def test_interrupt_one_who_waits_for_a_channel(child: econtext.Context, busy: Busy) -> None:
    channel = child.channel()
    future = child.submit(work.receive, channel)
    busy.wait()
    assert future.interrupt(grace=60)
    with pytest.raises(econtext.CallError, match='Interrupted'):
        future.result(60)
    assert child.call(work.cleaned) == ['receive']
    assert list(channel) == []


def test_a_function_that_will_not_stop_ends_its_context(child: econtext.Context, busy: Busy) -> None:
    pid = child.call(os.getpid)
    child.call(work.cleaned)
    for seconds in BEGUN:
        with pytest.raises(econtext.CallTimeout):
            child.options(timeout=seconds, grace=0.3).call(work.stubborn)
        queued = child.submit(os.getpid)
        error = queued.exception(60)
        if busy.has_been():
            break
        assert error is None    # it had not begun, and was dropped
    told = rf'stubborn did not end within {seconds:g} s, and did not heed .* 0\.3'
    with pytest.raises(econtext.ContextLost, match=told):
        queued.result(60)
    with pytest.raises(econtext.ContextLost, match='stubborn'):
        child.call(os.getpid)
    eventually(lambda: not leaks.alive(pid))


def test_a_stopped_context_is_given_up(broker: econtext.Broker) -> None:
    """SIGSTOP: nobody there takes the hint."""
    child = broker.local()
    pid = child.call(os.getpid)
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(econtext.CallTimeout):
        child.options(timeout=0.2, grace=0.2).call(os.getpid)
    assert time.monotonic() - began < 0.2 + SLACK
    eventually(lambda: child._node.error is not None)
    with pytest.raises(econtext.ContextLost, match='getpid did not end'):
        child.call(os.getpid)
    child.close()
    eventually(lambda: not leaks.alive(pid))


class Left(Exception):
    """What the handler of a signal raises."""


@pytest.fixture
def leaving(busy: Busy) -> Any:
    """Have the main thread leave what it waits for by this exception, once a function is at it."""

    def plan(error: type[BaseException]) -> None:
        left = threading.Event()

        def leave(number: int, frame: object) -> None:
            if not left.is_set():
                times.append(time.monotonic())
                left.set()
                raise error

        def waits() -> bool:
            return sys._current_frames()[main].f_code.co_name in ('pause', 'park')

        def kill() -> None:
            busy.wait()
            # It may have handled that record itself: what is raised in a handler is the handler's failure.
            eventually(waits)
            # Python sees no signal that comes in the moment before it waits for a lock, but the next one.
            while not left.wait(0.1):
                os.kill(os.getpid(), signal.SIGUSR1)

        signal.signal(signal.SIGUSR1, leave)
        threads.append(threading.Thread(target=kill))
        threads[-1].start()

    main = threading.get_ident()
    threads: list[threading.Thread] = []
    times: list[float] = []
    plan.times = times  # type: ignore[attr-defined]
    before = signal.getsignal(signal.SIGUSR1)
    yield plan
    for thread in threads:
        thread.join()
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize('error', [KeyboardInterrupt, Left])
def test_a_call_that_is_left_is_given_up(child: econtext.Context, leaving: Any, error: type[BaseException]) -> None:
    """The exception waits for nothing; the context is free, and the function has cleaned up."""
    leaving(error)
    with pytest.raises(error):
        child.options(grace=60).call(work.sleep)
    assert child.options(timeout=60).call(work.cleaned) == ['sleep']


def test_a_call_that_is_left_and_will_not_stop_ends_its_context(child: econtext.Context, leaving: Any) -> None:
    leaving(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        child.options(grace=3).call(work.stubborn)
    # A machine that was held up for so long just then says nothing.
    assert child._node.error is None or time.monotonic() - leaving.times[0] >= 3, 'nobody waits for the grace'
    with pytest.raises(econtext.ContextLost, match=r'stubborn was left by KeyboardInterrupt .* did not heed .* 3 s'):
        child.call(work.cleaned)


def test_a_future_that_is_left_is_still_there(child: econtext.Context, leaving: Any) -> None:
    channel = child.channel()
    future = child.submit(work.wait_for_word, channel)
    leaving(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        future.result()
    channel.send('go on')
    assert future.result(60) == 'go on'


def test_a_call_in_the_queue_is_dropped(
    child: econtext.Context, busy: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The context answers at once, but for a machine that is held up.
    monkeypatch.setattr(futures, 'ANSWER', 60.0)
    first = child.submit(work.sleep)
    busy.wait()
    late = child.options(timeout=0.2, grace=0.3).submit(work.append, 'late')
    cancelled = child.submit(work.append, 'cancelled')
    interrupted = child.submit(work.append, 'interrupted')
    with pytest.raises(econtext.CallTimeout):
        late.result(60)
    assert cancelled.cancel()
    assert cancelled.cancelled()
    assert cancelled.done()
    assert interrupted.interrupt(grace=60)
    for future in cancelled, interrupted:
        with pytest.raises(concurrent.futures.CancelledError):
            future.result(60)
        with pytest.raises(concurrent.futures.CancelledError):
            future.exception(60)
    assert concurrent.futures.wait([cancelled, interrupted], 60).not_done == set()
    assert not first.done()
    assert not first.cancel()  # it has begun
    assert first.interrupt(grace=60)
    with pytest.raises(econtext.CallError, match='Interrupted'):
        first.result(60)
    assert child.call(work.cleaned) == ['sleep']
    assert not first.cancel()


def test_time_that_passes_before_the_context_is_there(broker: econtext.Broker, tmp_path: Path) -> None:
    """What was given up while the context started never runs, and does not end it."""
    os.mkfifo(tmp_path / 'go')
    with broker.local(python=['sh', '-c', f'read go < {tmp_path}/go; exec "$0" "$@"', 'python3']) as child:
        with pytest.raises(econtext.CallTimeout):
            child.options(timeout=0.1, grace=0.1).call(work.append, 'late')
        (tmp_path / 'go').write_text('\n')
        assert child.options(timeout=60).call(work.cleaned) == []


def test_a_deadline_behind_a_hop(broker: econtext.Broker, busy: Busy) -> None:
    hop = broker.local(name='hop')
    child = hop.local(name='web', python=pythons.interpreter('2.7'))
    child.call(work.cleaned)
    for seconds in BEGUN:
        with pytest.raises(econtext.CallTimeout, match='web: system'):
            child.options(timeout=seconds, grace=60).call(work.system)
        cleaned = child.options(timeout=60).call(work.cleaned)
        if busy.has_been():
            break
    assert cleaned == ['system']
    for seconds in BEGUN:
        with pytest.raises(econtext.CallTimeout):
            child.options(timeout=seconds, grace=0.2).call(work.stubborn)
        child.submit(os.getpid).exception(60)
        if busy.has_been():
            break
    with pytest.raises(econtext.ContextLost, match='stubborn'):
        child.options(timeout=60).call(os.getpid)
    assert hop.options(timeout=60).call(work.cleaned) == []


def test_many_interruptions_do_no_harm(child: econtext.Context) -> None:
    """Wherever the function is: also as it begins, and as it ends."""
    for number in range(60):
        future = child.submit(work.nap, 0.002)
        if number % 3 == 0:
            time.sleep(0.0007 * (number % 5))
        future.interrupt(grace=60)
        try:
            assert future.result(60) == 'slept'
        except econtext.CallError as error:
            assert error.type_name == 'econtext.Interrupted'  # noqa: PT017 -- it may also just have slept
        except concurrent.futures.CancelledError:
            assert future.cancelled()
    assert child.options(timeout=60).call(work.nap, 0) == 'slept'


@pytest.mark.parametrize(('version', 'start'), [('2.7', 'local'), ('3.6', 'local'), ('3.6', 'fork'), ('3.13', 'fork')])
def test_a_context_that_starts_meanwhile_is_not_of_the_call(
    broker: econtext.Broker, version: str, start: str, tmp_path: Path
) -> None:
    """An interruption ends the programs that the call started: a new context is none, though still in their group."""
    context = broker.local(python=pythons.interpreter(version), threads=2)
    context.call(work.leave_late, str(tmp_path / 'leaving'))
    below = getattr(context, start)()
    eventually((tmp_path / 'leaving').is_symlink)
    with pytest.raises(econtext.CallTimeout):
        context.options(timeout=0.1, grace=60).call(work.system)
    assert below.call(len, 'abc') == 3


def test_grace_is_judged(child: econtext.Context) -> None:
    for grace in (-1, float('nan')):
        with pytest.raises(ValueError, match='grace= must be'):
            child.options(grace=grace)


def test_interrupted_is_the_same_name_there(child: econtext.Context) -> None:
    assert issubclass(econtext.Interrupted, KeyboardInterrupt)
    assert child.call(work.knows_interrupted)


def test_asyncio_gives_up_a_call(child: econtext.Context, busy: Busy) -> None:
    import asyncio

    first = child.submit(work.sleep)
    busy.wait()

    async def main() -> None:
        future = child.submit(work.append, 'asyncio')
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(future), 0.1)
        assert future.cancelled()

    asyncio.run(main())
    first.interrupt(grace=60)
    with pytest.raises(econtext.CallError):
        first.result(60)
    assert child.call(work.cleaned) == ['sleep']


def test_who_holds_the_condition_of_a_future_waits_for_no_handler(broker: econtext.Broker) -> None:
    """So does concurrent.futures.wait(…, FIRST_EXCEPTION), and a handler's thread may want that condition."""
    child = broker.local().wait_ready()
    asked = threading.Event()

    def handle() -> None:
        assert child._node.lines.take()
        before = child._node.lines.begin()
        asked.set()
        released.wait(600)
        child._node.lines.stop(before)

    released = threading.Event()
    thread = threading.Thread(target=handle)
    thread.start()
    try:
        assert asked.wait(60)
        future = child.submit(os.system, 'echo said')
        eventually(lambda: future.done() and child._node.lines.queue)
        with future._condition:
            assert future.exception() is None
    finally:
        released.set()
        thread.join()
