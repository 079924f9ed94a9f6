"""
The one thread of a fleet: it runs actions in order, and timers.

The strategy: all that a fleet knows of its hosts is read and changed by this thread alone, so
nothing of that needs a lock.  Everybody else posts.  What takes time is handed to ``crew``.

Invariants:

* Actions run in the order in which they were posted, one at a time.
* No action runs code of the application, waits for anything, or runs the next action itself: it posts that.
* An action that was posted is run, also after end().  If it raises, its `failed` is called with the error,
  and fails the futures that wait for the action.
* The thread is there while it is held, while there is something to do, and a second longer.
  Without a thread to be had, hold() raises before anything is begun; else whoever posts runs the actions.

Any thread may enter.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable

from econtext.controller.errors import internal_error, show_exception
from econtext.controller.runtime.signals import interruptible

Action = Callable[[], object]
Failed = Callable[[BaseException], object]
IDLE = 1.0      # seconds without anything to do, after which the thread ends


class Alarm:
    """An action at a time; with no `action`, nothing any more."""

    __slots__ = ('action', 'failed')

    def __init__(self, action: Action, failed: Failed | None) -> None:
        self.action: Action | None = action
        self.failed: Failed | None = failed


class Coordinator:
    """Runs actions in a thread of its own; a daemon, so that it holds up no exit."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.changed: threading.Condition = threading.Condition(threading.Lock())
        self.actions: deque[tuple[Action, Failed | None]] = deque()
        self.alarms: list[tuple[float, int, Alarm]] = []
        self.order: itertools.count[int] = itertools.count()
        self.thread: threading.Thread | None = None
        self.held: int = 0
        self.ending: bool = False

    def post(self, action: Action, failed: Failed | None = None) -> None:
        """Have `action` run; if it raises, have `failed` called with the error."""
        with self.changed:
            self.actions.append((action, failed))
            if self._attend():
                return
            # Nobody else can: from here on this thread is ours.
            self.thread = threading.current_thread()
        self._run(False)

    def at(self, seconds: float, action: Action, failed: Failed | None = None) -> Alarm:
        """Have `action` run in `seconds`: for who holds the thread, or is it."""
        alarm = Alarm(action, failed)
        with self.changed:
            heapq.heappush(self.alarms, (time.monotonic() + seconds, next(self.order), alarm))
            self._attend()
        return alarm

    def cancel(self, alarm: Alarm) -> None:
        """Have nothing happen at that time."""
        with self.changed:
            alarm.action = None
            self.changed.notify_all()

    def hold(self) -> None:
        """Keep the thread until release(); raise RuntimeError if no thread is to be had."""
        with self.changed:
            self.held += 1
            if not self._attend():
                self.held -= 1
                raise RuntimeError(f'{self.name}: no thread is to be had: see the limits of this process')

    def release(self) -> None:
        """End what hold() began."""
        with self.changed:
            self.held -= 1
            self.changed.notify_all()

    def attend(self) -> bool:
        """See to it that the thread looks; tell whether there is one."""
        with self.changed:
            return self._attend()

    def _attend(self) -> bool:
        """See to it that the thread looks; tell whether there is one. With the lock."""
        if self.thread is None:
            thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
            self.thread = thread
        else:
            self.changed.notify_all()
        return True

    def is_mine(self) -> bool:
        """Is the caller this thread?"""
        return threading.current_thread() is self.thread

    @interruptible
    def end(self, patience: float) -> None:
        """Return once all that was posted is done and the thread has ended, after `patience` seconds at most."""
        deadline = time.monotonic() + patience
        with self.changed:
            # What is posted later has a thread that ends at once.
            self.ending = True
            self.changed.notify_all()
            while self.thread is not None and not self.is_mine() and time.monotonic() < deadline:
                self.changed.wait(max(0.0, deadline - time.monotonic()))

    def _run(self, stays: bool = True) -> None:
        """Run what there is; then wait for more, if this thread `stays`."""
        while True:
            with self.changed:
                found = self._next(stays)
                if found is None:
                    self.thread = None
                    self.changed.notify_all()
                    return
            attempt(*found)
            # What it refers to is not to live on while we wait.
            del found

    def _next(self, stays: bool) -> tuple[Action, Failed | None] | None:
        """Return what is to be run next, None if nothing came for long. With the lock."""
        idle_until = time.monotonic() + IDLE
        while True:
            now = time.monotonic()
            if self.alarms and self.alarms[0][0] <= now:
                alarm = heapq.heappop(self.alarms)[2]
                if alarm.action is not None:
                    return alarm.action, alarm.failed
                continue
            if self.actions:
                return self.actions.popleft()
            while self.alarms and self.alarms[0][2].action is None:
                heapq.heappop(self.alarms)
            if not stays:
                return None
            if self.alarms:
                self.changed.wait(max(0.0, self.alarms[0][0] - now))
            elif self.held:
                self.changed.wait()
            elif self.ending or now >= idle_until:
                return None
            else:
                self.changed.wait(idle_until - now)


def attempt(action: Action, failed: Failed | None) -> None:
    """Run `action`; whatever it raises fails those who wait for it, and ends no thread."""
    try:
        action()
    except BaseException as error:
        show_exception()
        if failed is not None:
            try:
                failed(internal_error('a fleet went on', error))
            except BaseException:
                show_exception()
