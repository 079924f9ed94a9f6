"""
An event loop of asyncio, as a visitor of the controller's loop.

The strategy: asyncio watches the descriptor of our poller, as any other.  When there is something to read, the thread
of asyncio leads the controller's loop for one turn that waits for nothing.  The answers that came for its own
tasks in that turn it hands over right behind the turn: no thread is woken, and none is started.  Where another thread
leads, that thread reads the answer, and tells asyncio by ``call_soon_threadsafe``.

Invariants, beside those of ``runtime.leading``:

* Nothing of the user's runs while asyncio leads, and asyncio never blocks here: a turn waits for nothing, chores are
  left to the spare thread, log lines and callbacks to the threads for events.
* While somebody awaits something here, asyncio watches the poller, or another thread leads, or is about to; whoever
  stops leading and appoints nobody recalls asyncio.  The spare thread, which leads after 5 ms without a turn, sees to
  timers, and to a loop of asyncio that computes.
* Whoever finds that another thread leads stops watching: asyncio does not spin while that thread reads.  The look
  whether somebody leads comes once more behind that, so no recall is lost.
* What is posted is run once, in the thread of asyncio, in the order in which it was posted.
* Of the calls that are sent between two looks at what has come, the first is written at once.  The others are queued,
  and written together by whoever leads next, which asyncio does behind the callback that sends them: a thousand calls
  in flight are a few writes.  Where this thread computes, the spare thread writes them after 5 ms.
* Each pair of a broker and an event loop has a bridge of its own, so any number of event loops may use one broker.
* The descriptor that asyncio watches is a duplicate that the bridge alone closes, in the thread of asyncio: no number
  is watched that could be another file's.  It is closed with the broker, or with its event loop, whichever ends first.
* A loop that ended takes no more answers: they are dropped.  After a fork the new process watches nothing here.

``post``, ``recall`` and ``end`` are entered by any thread, all else by the thread that runs the event loop.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import select
from collections.abc import Callable
from threading import get_ident
from typing import Any

from econtext.controller.errors import EcontextError
from econtext.controller.runtime import signals
from econtext.controller.runtime.loop import ControllerLoop
from econtext.controller.runtime.waiting import Told, Wait
from econtext.core.loop import Link

Action = Callable[[], object]


class Bridge:
    """What an event loop of asyncio has to do with the loop of one broker."""

    def __init__(self, controller: ControllerLoop, loop: asyncio.AbstractEventLoop) -> None:
        self.controller = controller
        self.loop = loop
        self.thread: int = get_ident()
        self.visit: Wait = Wait(controller)
        self.posted: collections.deque[Action] = collections.deque()
        self.scheduled: bool = False    # is `run` among the callbacks of asyncio?
        self.visiting: bool = False     # is the thread of asyncio within a turn of ours?
        self.watching: bool = False
        self.busy: bool = False     # was a call sent since it looked at what has come?
        self.ended: bool = controller.closed
        self.awaited: int = 0     # answers and events that are awaited here
        # Where the system has no such poller, other threads lead.
        fileno = getattr(controller.poller, 'fileno', None)
        self.fd: int = -1 if fileno is None or self.ended else os.dup(fileno())

    def __del__(self) -> None:
        # Of a loop that has ended; one that has not refers to us while it watches.
        self.close()

    def begin(self) -> None:
        """Something is awaited from now on."""
        self.awaited += 1
        if not self.watching:
            self.watch()

    def over(self) -> None:
        """Something is awaited no more."""
        self.awaited -= 1

    def watch(self) -> None:
        if self.fd >= 0 and not self.ended:
            self.thread = get_ident()
            self.watching = True
            self.loop.add_reader(self.fd, self.ready)

    def unwatch(self) -> None:
        if self.watching:
            self.watching = False
            self.loop.remove_reader(self.fd)

    def ready(self) -> None:
        """There is something to read: lead for a turn, unless another thread leads."""
        controller = self.controller
        led = self.busy = False
        self.visiting = True
        try:
            led = controller.visit(self.visit)
        except Exception:
            # Closed meanwhile, by another thread.
            if not controller.closed:
                raise
        finally:
            self.visiting = False
            if self.posted:
                self.hand_over()
        if not led:
            self.unwatch()
            if not (controller.led or self.ended) and self.awaited:
                # No more: that thread left before it could see that nobody watches.
                self.watch()
        elif controller.chores:
            controller.have_chores_run()

    def post(self, action: Action) -> None:
        """Have `action` run by the thread of asyncio, behind its turn or soon. Any thread."""
        self.posted.append(action)
        if not (self.visiting and get_ident() == self.thread):
            self.controller.make_way()
            self.call()

    def recall(self) -> None:
        if not self.watching and self.awaited:
            self.call()

    def call(self) -> None:
        if not self.scheduled:
            self.scheduled = True
            # A loop that has ended: nobody waits there any more.
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.run)

    def run(self) -> None:
        # Before the look: who posts from now on has it called again.
        self.scheduled = self.busy = False
        self.hand_over()
        if self.awaited and not self.watching:
            self.watch()

    def hand_over(self) -> None:
        """Run what was posted by now."""
        posted = self.posted
        try:
            for _ in range(len(posted)):
                posted.popleft()()
        finally:
            if posted:
                # Ctrl-C came in between, or more has come.
                self.call()

    async def wait(self, told: Signal, timeout: float | None = None) -> bool:
        """Return once `told` is done; False if that takes longer than `timeout` seconds."""
        if told.done:
            return True
        timer = None if timeout is None else self.loop.call_later(timeout, told.expire)
        self.begin()
        try:
            return await told.future
        finally:
            self.over()
            if timer is not None:
                timer.cancel()

    def end(self) -> None:
        """The broker was closed. Any thread."""
        self.ended = True
        try:
            self.loop.call_soon_threadsafe(self.finish)
        except RuntimeError:
            self.close()

    def finish(self) -> None:
        """Watch nothing any more."""
        self.ended = True
        self.unwatch()
        self.close()

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    disown = close


def hold(link: Link) -> None:
    """Have what is sent on `link` from now on written together, by whoever leads next."""
    with link.writing:
        if link.out >= 0 and not link.queue and link.out not in link.loop.watched:
            # As if nothing more had fit.
            link.queue.append(b'')
            link.loop.watch(link.out, link.transport, select.POLLOUT)


class Signal(Told):
    """What somebody awaits: a channel that has something, a context that is ready."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge.controller, lambda: bridge.post(self.arrive))
        self.future: asyncio.Future[bool] = bridge.loop.create_future()

    def arrive(self) -> None:
        if not self.future.done():
            self.future.set_result(True)

    def expire(self) -> None:
        if not self.future.done():
            self.future.set_result(self.done)


def bridge_of(controller: ControllerLoop) -> Bridge:
    """Return the bridge between `controller` and the event loop that runs here; raise RuntimeError if none runs."""
    loop = asyncio.get_running_loop()
    for visitor in controller.visitors:
        if isinstance(visitor, Bridge) and visitor.loop is loop:
            return visitor
    return build(controller, loop)


def build(controller: ControllerLoop, loop: asyncio.AbstractEventLoop) -> Bridge:
    if controller.disowned:
        raise EcontextError(controller.disowned)
    bridge = Bridge(controller, loop)
    if bridge.thread == signals.MAIN:
        signals.EVENT_LOOPS.add(loop)
    gone: list[Any] = []
    if not bridge.ended:
        with controller.lock:
            gone = [each for each in controller.visitors if isinstance(each, Bridge) and each.loop.is_closed()]
            controller.visitors = (*(each for each in controller.visitors if each not in gone), bridge)
    for each in gone:
        each.close()
    return bridge
