"""
The controller's loop: deadlines, timers, and a place for the user's own code.

Invariants, beside those of ``core.loop``:

* Nothing of the user's runs while a thread leads: handlers of log records,
  callbacks of futures and password functions are `events`, run in the order
  they came, by one thread at a time, after the lead was passed on.
* Whoever returns from ``wait`` has seen every event run that came before what it
  waited for: a call's lines are logged before the call returns.
* `chores` are our own work that may take its time, such as reading modules from
  disk.  They wait for no event.
* An event or chore that fails, such as a log handler of the program, ends neither
  the loop nor the call that happened to run it: its traceback is shown.
"""

from __future__ import annotations

import collections
import heapq
import itertools
import os
import select
import sys
import threading
import time
from collections.abc import Callable

from econtext.controller.interrupt import safe
from econtext.core.loop import Loop, Reader, Waiter, harden

Action = Callable[[], object]


class Expired(Exception):
    """A waiter's deadline has passed."""


class Wait(Waiter):
    """A waiter with a deadline on the monotonic clock, or None."""

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
        self.timers: list[Timer] = []
        self.crowded = 64       # timers, from which those without an action are dropped
        self.timing = threading.Lock()
        self.order = itertools.count()
        self.leader = 0     # the thread that led last
        self.milliseconds = not hasattr(select, 'epoll')
        read, self.waker = os.pipe()
        harden(self.waker)
        self.alarm = Reader(self, read, lambda data: None)
        self.closed = False
        self.helper = threading.Thread(target=self.spare, name='econtext', daemon=True)
        self.helper.start()

    def wait(self, waiter: Waiter) -> None:
        """Return when `waiter` is done; raise Expired at its deadline."""
        while not waiter.done:
            self.turns += 1
            try:
                self.enter(waiter)
                if waiter.leads:
                    # Before the look at what there is: who adds to it from now on wakes us.
                    self.leader = threading.get_ident()
                while not (self.events or self.chores or waiter.done):
                    self.turn(waiter)
            finally:
                self.leave(waiter)
            self.run_due()
        self.run_due()

    def finish(self, waiter: Waiter) -> None:
        """`waiter` is done. Any thread: one that leads the loop asleep is woken."""
        super().finish(waiter)
        if waiter.leads and self.leader != threading.get_ident():
            self.wake()

    def post(self, event: Action) -> None:
        """Have `event` run, in order, by a thread that does not lead. Any thread."""
        self.events.append(event)
        if self.leader != threading.get_ident():
            self.wake()

    def delegate(self, chore: Action) -> None:
        """Have `chore` run by a thread that does not lead. Any thread."""
        self.chores.append(chore)
        if self.leader != threading.get_ident():
            self.wake()

    def run_due(self) -> None:
        """Run the chores and events that are due. Any thread that does not lead."""
        while self.chores:
            try:
                chore = self.chores.popleft()
            except IndexError:
                break
            attempt(chore)
        with self.draining:
            while self.events:
                attempt(self.events.popleft())

    @safe
    def park(self, waiter: Waiter) -> None:
        deadline = getattr(waiter, 'deadline', None)
        if deadline is None:
            waiter.gate.acquire()
        elif not waiter.gate.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise Expired

    def turn(self, waiter: Waiter) -> None:
        deadline: float | None = getattr(waiter, 'deadline', None)
        self.patience = -1
        if self.timers or deadline is not None:
            self.patience = self.until(deadline)
        for fd, _ in self.pause():
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
        patience = max(0.0, min(times) - time.monotonic())
        return patience * 1000 if self.milliseconds else patience

    @safe
    def pause(self) -> list[tuple[int, int]]:
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
                except OSError:
                    pass

    def spare(self) -> None:
        """Lead while nobody waits, until the loop is closed."""
        while not self.closed:
            seen = self.turns
            time.sleep(0.005)
            if seen == self.turns and not self.closed:
                self.relief.done = False
                try:
                    self.wait(self.relief)
                except SystemExit:
                    # A log handler or callback wants to leave; this is not its thread.
                    sys.excepthook(*sys.exc_info())

    def close(self) -> None:
        """Stop the spare thread and let go of all descriptors."""
        self.closed = True
        while self.helper.is_alive() and self.helper is not threading.current_thread():
            self.finish(self.relief)
            self.wake()
            self.helper.join(0.05)
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
    except Exception:
        sys.excepthook(*sys.exc_info())
