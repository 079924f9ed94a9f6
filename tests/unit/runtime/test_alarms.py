"""The handler of a signal raises right behind a system call: what it raises is no fault of the link."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from econtext.child import bulk, watch
from econtext.controller.runtime.deadlines import Expired
from econtext.controller.runtime.loop import ControllerLoop
from econtext.controller.runtime.waiting import Wait
from econtext.core.loop import Link, Loop
from econtext.core.router import Router
from econtext.core.wire import RESULT, Decoder

ALARMS = TimeoutError(), TimeoutError('alarm'), ValueError('alarm')


class Alarmed:
    """A function after which a handler raises, once."""

    def __init__(self, function: Callable[..., Any], error: BaseException) -> None:
        self.function = function
        self.error: BaseException | None = error

    def __call__(self, *args: Any) -> Any:
        result = self.function(*args)
        error, self.error = self.error, None
        if error is not None:
            raise error
        return result


@pytest.fixture
def ends() -> Iterator[tuple[Link, int]]:
    """Yield a quick link, and what its frames are read from."""
    loop = Loop()
    there, out = os.pipe()
    read, here = os.pipe()
    link = Link(loop, Router(0), None)  # type: ignore[arg-type]
    link.open(read, out)
    bulk.accelerate(link, link.router)  # type: ignore[arg-type]
    yield link, there
    for fd in (there, out, read, here):
        os.close(fd)
    loop.poller.close()


def bodies(fd: int) -> list[bytes]:
    return [frame[4] for frame in Decoder(lambda *_: True).feed(os.read(fd, 1 << 16))]


@pytest.mark.parametrize('error', ALARMS, ids=repr)
def test_a_frame_is_written_once(ends: tuple[Link, int], error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    link, there = ends
    with monkeypatch.context() as patch:
        patch.setattr(bulk.os, 'write', Alarmed(os.write, error))
        with pytest.raises(type(error)):
            link.send(RESULT, 0, 0, 1, b'first')
    link.send(RESULT, 0, 0, 2, b'second')
    assert bodies(there) == [b'first', b'second']


@pytest.mark.parametrize('error', ALARMS, ids=repr)
@pytest.mark.parametrize('step', ['write', 'writev'])
def test_what_was_queued_is_written_once(
    ends: tuple[Link, int], step: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, there = ends
    frame = bulk.pack(RESULT, 0, 0, 1, 1)
    link.queue += [frame, b'1', frame, b'2'] if step == 'writev' else [frame + b'1']
    with monkeypatch.context() as patch:
        patch.setattr(bulk, 'writev', Alarmed(os.writev, error))
        patch.setattr(bulk.os, 'write', Alarmed(os.write, error))
        with pytest.raises(type(error)):
            link.write()
    link.send(RESULT, 0, 0, 2, b'last')
    assert bodies(there) == ([b'1', b'2', b'last'] if step == 'writev' else [b'1', b'last'])
    assert not link.writing.locked()


@pytest.mark.parametrize('error', ALARMS, ids=repr)
def test_a_link_is_not_broken_by_it(ends: tuple[Link, int], error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    link, _ = ends

    def fail(*_args: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(bulk.os, 'read', fail)
        with pytest.raises(type(error)):
            link.ready(link.fd)  # type: ignore[arg-type]
    assert link.fd is not None
    assert not link.lock.locked()


@pytest.mark.parametrize('error', ALARMS, ids=repr)
def test_who_leads_is_told(error: Exception) -> None:
    class Poller:
        def poll(self, _pause: float) -> Any:
            raise error

    one = watch.Watch.__new__(watch.Watch)
    one.running, one.armed, one.seldom = {}, False, -1
    one.loop = Loop()
    poller = one.loop.poller
    one.loop.poller = Poller()
    with pytest.raises(type(error)):
        one.turn(None)
    poller.close()


class Alarm(Exception):
    pass


def raise_alarm(*_event: Any) -> None:
    raise Alarm


@pytest.mark.slow
def test_the_loop_is_led_on_whenever_a_handler_raises() -> None:
    """At thousands of random moments: a lock that stays held, or a leader that is gone, shows."""
    loop = ControllerLoop()
    before = signal.signal(signal.SIGALRM, raise_alarm)
    try:
        for _ in range(4000):
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 6e-5))
                try:
                    loop.wait(Wait(loop, time.monotonic()))
                except Expired:
                    pass
                signal.sigtimedwait([], 1e-3)  # it is over for sure
            except Alarm:
                pass
            assert loop.lock.acquire(timeout=60)
            loop.lock.release()
        waiter = Wait(loop, time.monotonic() + 5)
        loop.call_at(time.monotonic() + 0.01, lambda: loop.finish(waiter))
        loop.wait(waiter)
    finally:
        signal.signal(signal.SIGALRM, before)
        if not loop.lock.locked():
            loop.close()
