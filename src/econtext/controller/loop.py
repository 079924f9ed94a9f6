"""
The controller's loop: deadlines, timers, and a place for the user's own code.

Invariants, beside those of ``core.loop``:

* Nothing of the user's runs while a thread leads: handlers of log records,
  callbacks of futures and password functions are `events`, run in the order
  they came, by one thread at a time, after the lead was passed on.
* While one thread runs events, others lead on: a handler that takes its time holds
  up nobody but those who need it, through ``drainer``.
* `chores` are our own work that may take its time, such as reading modules from
  disk.  They wait for no event.  However many there are, frames are read in between.
* An event or chore that fails, such as a log handler of the program, ends neither
  the loop nor the call that happened to run it: its traceback is shown.
"""

from __future__ import annotations

import collections
import contextlib
import heapq
import itertools
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from threading import get_ident
from typing import Any

from econtext.controller.errors import EcontextError
from econtext.controller.interrupt import MAIN, PENDING, breathe, by_signal, deliver, look, safe
from econtext.core.loop import TICK, Loop, Reader, Waiter, harden

Action = Callable[[], object]

LONGEST = 86400.0   # seconds to wait in one go: pollers take no more than some days
MOMENT = 0.1    # seconds after which who waits for another thread sees to Ctrl-C


class Expired(Exception):
    """A waiter's deadline has passed."""


class Wait(Waiter):
    """A waiter with a deadline on the monotonic clock, or None."""
    looks = True    # for handlers that are new; not who did so before

    def __init__(self, loop: ControllerLoop, deadline: float | None = None) -> None:
        super().__init__(loop)
        self.deadline = deadline


class Timer:
    """What is to happen at a time; with no `action`, nothing any more."""

    __slots__ = ('action', 'order', 'when')

    def __init__(self, when: float, order: int, action: Action) -> None:
        self.when = when
        self.order = order
        self.action: Action | None = action

    def __lt__(self, other: Timer) -> bool:
        return (self.when, self.order) < (other.when, other.order)


class ControllerLoop(Loop):
    def __init__(self) -> None:
        super().__init__()
        self.events: collections.deque[Action] = collections.deque()
        self.chores: collections.deque[Action] = collections.deque()
        self.draining = threading.RLock()
        self.drained_by = 0     # the thread that runs events
        self.begun = 0          # events, by now
        self.depth = 0          # how often that thread has taken it
        self.nested: Waiter | None = None   # what its handler waits for
        self.wanted = 0         # threads that wait for `draining`
        self.timers: list[Timer] = []
        self.crowded = 64       # timers, from which those without an action are dropped
        self.timing = threading.Lock()
        self.order = itertools.count()
        self.leader = 0     # the thread that led last
        # Descriptors on which something happened since somebody looked.
        self.stirred: dict[int, bool] = {}
        self.milliseconds = not hasattr(select, 'epoll')
        read, self.waker = os.pipe()
        harden(self.waker)
        self.alarm = Reader(self, read, lambda data: None)
        self.closed = False
        # Runs events when only the spare thread is there.
        self.worker: threading.Thread | None = None
        self.more_work = False
        self.helper = threading.Thread(target=self.spare, name='econtext', daemon=True)
        self.helper.start()

    def wait(self, waiter: Any) -> None:
        """Return when `waiter` is done; raise Expired at its deadline."""
        me = get_ident()
        if me == MAIN and waiter.looks:
            look()
        if self.drained_by != me:
            self.wait_as(me, waiter)
        else:
            before, self.nested = self.nested, waiter
            try:
                self.wait_as(me, waiter)
            finally:
                self.nested = before
        if PENDING:
            deliver()

    def wait_as(self, me: int, waiter: Waiter) -> None:
        while True:
            if not waiter.done:
                self.turns += 1
                try:
                    self.enter(waiter)
                    if waiter.leads:
                        # Before the look at what there is: who adds to it from now on wakes us.
                        self.leader = me
                    while not (self.chores or (self.events and self.may_drain(me)) or waiter.done):
                        self.turn(waiter)
                finally:
                    # Spelled out: a handler may raise as a function is entered, before its own `try`.
                    try:
                        self.leave(waiter)
                    except BaseException:
                        self.leave(waiter)
                        raise
            # What ends the wait from now on may have had events before it.
            done = waiter.done
            self.run_due()
            if done:
                return
            if self.chores:
                self.glance(me, waiter)

    def glance(self, me: int, waiter: Waiter) -> None:
        """There is more to do: see first what else has come."""
        self.turns += 1
        try:
            self.enter(waiter)
            if waiter.leads:
                self.leader = me
                # There is something to read, so that this turn does not wait.
                self.wake()
                self.turn(waiter)
        finally:
            try:
                self.leave(waiter)
            except BaseException:
                self.leave(waiter)
                raise

    # As in the base; but what a signal's handler raises leaves no lock held, and nobody parked
    # for ever: it comes behind calls only, and none stands between what belongs together.

    def enter(self, waiter: Waiter) -> None:
        with self.lock:
            parks = self.led and not waiter.done
            if parks:
                waiter.gate = threading.Lock()
                waiter.gate.acquire()
                self.parked[waiter] = True
            elif not waiter.done:
                waiter.leads = self.led = True
        if parks:
            self.park(waiter)

    def leave(self, waiter: Waiter) -> None:
        with self.lock:
            self.parked.pop(waiter, None)
            if waiter.leads:
                waiter.leads = self.led = False
            if self.parked and not self.led:
                heir = next(reversed(self.parked))
                heir.leads = self.led = True
                del self.parked[heir]
                heir.gate.release()

    def finish(self, waiter: Waiter) -> None:
        """`waiter` is done. Any thread: one that leads the loop asleep is woken."""
        # Before the look at who leads: one that begins to sees it, and does not sleep.
        waiter.done = True
        if waiter.leads and self.leader == get_ident():
            # It is our own: nobody is parked on it.
            return
        with self.lock:
            if waiter in self.parked:
                del self.parked[waiter]
                # That thread is at work again: let it lead its next wait.
                if self.relief.leads:
                    self.relief.done = True
                waiter.gate.release()
        if waiter.leads and self.leader != get_ident():
            self.wake()

    def post(self, event: Action) -> None:
        """Have `event` run, in order, by a thread that does not lead. Any thread."""
        self.events.append(event)
        if self.leader != get_ident():
            self.wake()

    def delegate(self, chore: Action) -> None:
        """Have `chore` run by a thread that does not lead. Any thread."""
        self.chores.append(chore)
        if self.leader != get_ident():
            self.wake()

    def run_due(self) -> None:
        """Run the chores and events that are due. Any thread that does not lead."""
        # Not those that come meanwhile: a context can see to it that there are always more.
        for _ in range(len(self.chores)):
            try:
                chore = self.chores.popleft()
            except IndexError:
                break
            attempt(chore)
        if self.events and self.may_drain(get_ident()):
            with self.drainer(polite=True) as mine:
                goal = len(self.events) + self.begun
                while mine and self.events and self.begun < goal and not self.yields():
                    self.begun += 1
                    attempt(self.events.popleft())

    def may_drain(self, me: int) -> bool:
        """Is it for thread `me`, which has seen events, to run them?"""
        if self.drained_by == me:
            return True
        if self.drained_by:
            return self.is_stuck()
        if self.wanted:
            return False
        if me != self.helper.ident:
            return True
        # The spare thread leads, for nobody else may: let another wait for handlers.
        with self.timing:
            self.more_work = True
            if self.worker is None and not self.closed:
                self.worker = threading.Thread(target=self.work, name='econtext events', daemon=True)
                self.worker.start()
        return False

    def is_stuck(self) -> bool:
        """Is the thread that runs events parked? Then it is the next to lead, and runs the rest."""
        with self.lock:
            stuck = self.nested in self.parked
            if stuck:
                self.parked[self.nested] = self.parked.pop(self.nested)
        return stuck

    def work(self) -> None:
        """Run the events that come while the application computes, and end with them."""
        while True:
            with self.timing:
                if not self.more_work:
                    self.worker = None
                    return
                self.more_work = False
            try:
                self.run_due()
            except BaseException:
                # A log handler or callback wants to leave; this is not its thread.
                sys.excepthook(*sys.exc_info())

    def yields(self) -> bool:
        """Shall who runs events leave the rest to another thread that wants to?"""
        return self.wanted > 0 and self.depth < 2

    @contextlib.contextmanager
    def drainer(self, polite: bool = False) -> Iterator[bool]:
        """Be the one that runs events; if `polite`, False if another is."""
        mine: bool = self.draining.acquire(blocking=False)
        if not (mine or polite):
            with self.timing:
                self.wanted += 1
            try:
                while not mine:
                    mine = self.draining.acquire(timeout=MOMENT)
                    if not mine:
                        breathe()
            finally:
                with self.timing:
                    self.wanted -= 1
        if not mine:
            yield False
            return
        before, self.drained_by = self.drained_by, get_ident()
        self.depth += 1
        try:
            yield True
        finally:
            self.depth -= 1
            self.drained_by = before
            self.draining.release()
            if self.events and not before:
                # They may be nobody's now.
                self.wake()

    @safe
    def park(self, waiter: Waiter) -> None:
        if PENDING:
            deliver()
        deadline = getattr(waiter, 'deadline', None)
        if waiter is self.nested and self.events:
            # The one that leads is to see that it is stuck.
            self.wake()
        if deadline is None:
            waiter.gate.acquire()
        elif not waiter.gate.acquire(timeout=min(threading.TIMEOUT_MAX, max(0.0, deadline - time.monotonic()))):
            raise Expired

    def turn(self, waiter: Waiter) -> None:
        deadline: float | None = getattr(waiter, 'deadline', None)
        self.patience = -1
        if self.timers or deadline is not None:
            self.patience = self.until(deadline)
        for fd, _ in self.pause():
            self.stirred[fd] = True
            watcher = self.watched.get(fd)
            if watcher:
                watcher.ready(fd)
        if self.patience >= 0:
            now = time.monotonic()
            for action in self.due(now):
                action()
            if deadline is not None and deadline <= now and not waiter.done:
                raise Expired

    def until(self, deadline: float | None) -> float:
        """Return how long to wait for an event, in the poller's units."""
        with self.timing:
            while self.timers and self.timers[0].action is None:
                heapq.heappop(self.timers)
            times = [timer.when for timer in self.timers[:1]]
        if deadline is not None:
            times.append(deadline)
        if not times:
            return -1
        patience = min(LONGEST, max(0.0, min(times) - time.monotonic()))
        return patience * 1000 if self.milliseconds else patience

    @safe
    def pause(self) -> list[tuple[int, int]]:
        if PENDING:
            deliver()
        events: list[tuple[int, int]] = self.poller.poll(self.patience)
        return events

    def at(self, when: float, action: Action) -> Timer:
        """Run `action` at `when`, on the monotonic clock, leading. Any thread."""
        timer = Timer(when, next(self.order), action)
        with self.timing:
            if len(self.timers) >= self.crowded:
                self.timers = [each for each in self.timers if each.action is not None]
                heapq.heapify(self.timers)
                self.crowded = max(64, 2 * len(self.timers))
            heapq.heappush(self.timers, timer)
        self.wake()
        return timer

    def due(self, now: float) -> list[Action]:
        actions = []
        with self.timing:
            while self.timers and self.timers[0].when <= now:
                action = heapq.heappop(self.timers).action
                if action is not None:
                    actions.append(action)
        return actions

    def wake(self) -> None:
        """Let the leader look again at what it waits for. Any thread."""
        with self.timing:
            # Once closed, the number may be another file's.
            if self.waker >= 0:
                try:
                    os.write(self.waker, b'.')
                except OSError as error:
                    if error.errno is None:
                        # A signal handler's.
                        raise

    def spare(self) -> None:
        """Lead while nobody waits, until the loop is closed."""
        while not self.closed:
            seen = self.turns
            time.sleep(TICK)
            if seen == self.turns and not self.closed:
                self.relief.done = False
                self.wait(self.relief)

    def disown(self, fds: list[int], why: str) -> None:
        """This process was forked: let go of `fds` and all that is watched, and wait for nothing more."""
        self.closed = True
        for fd in {*self.watched, *fds, self.waker}:
            try:
                os.close(fd)
            except OSError:
                # Closed already, or none.
                pass
        if not self.milliseconds:
            self.poller.close()
        self.watched.clear()
        self.waker = -1

        def refuse(waiter: Waiter) -> None:
            raise EcontextError(why)

        self.wait = refuse  # type: ignore[method-assign]
        self.timing = threading.Lock()

    def close(self) -> None:
        """Stop the spare thread and let go of all descriptors."""
        self.closed = True
        while self.helper.is_alive() and self.helper is not threading.current_thread():
            self.finish(self.relief)
            self.wake()
            self.helper.join(0.05)
        try:
            worker = self.worker
            if worker is not None and worker is not threading.current_thread():
                worker.join(MOMENT)
                while worker.is_alive():
                    breathe()
                    worker.join(MOMENT)
            self.run_due()
        finally:
            self.let_go()

    def let_go(self) -> None:
        for watcher in set(self.watched.values()):
            watcher.close()
        with self.timing:
            waker, self.waker = self.waker, -1
            os.close(waker)
        if not self.milliseconds:
            self.poller.close()


def attempt(action: Action) -> None:
    """Run `action`; show why it failed, if it does."""
    try:
        action()
    except Exception as error:
        if by_signal(error):
            raise
        sys.excepthook(*sys.exc_info())
