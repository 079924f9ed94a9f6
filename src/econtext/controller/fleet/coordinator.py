"""
The one thread of a fleet: it runs actions in order, and timers.

The strategy: all that a fleet knows of its hosts is read and changed by this thread alone, so
nothing of that needs a lock.  Callbacks of futures only put an action into its queue.  No code of
the application runs in it, and nothing in it waits for a host.

Invariants:

* Actions run in the order in which they were posted, one at a time.
* There is a thread only while there is something to do, and a second longer.
* After close() no action runs, and the thread ends.

Any thread may enter.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable

from econtext.controller.errors import show_exception
from econtext.controller.runtime.signals import interruptible

Action = Callable[[], object]
IDLE = 1.0      # seconds without anything to do, after which the thread ends


class Alarm:
    """An action at a time; with no `action`, nothing any more."""

    __slots__ = ('action',)

    def __init__(self, action: Action) -> None:
        self.action: Action | None = action


class Coordinator:
    """Runs actions in a thread of its own; a daemon, so that it holds up no exit."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.changed: threading.Condition = threading.Condition(threading.Lock())
        self.actions: deque[Action] = deque()
        self.alarms: list[tuple[float, int, Alarm]] = []
        self.order: itertools.count[int] = itertools.count()
        self.thread: threading.Thread | None = None
        self.closed: bool = False

    def post(self, action: Action) -> bool:
        """Have `action` run; tell whether it will, False after close()."""
        with self.changed:
            if self.closed:
                return False
            self.actions.append(action)
            self._attend()
        return True

    def at(self, seconds: float, action: Action) -> Alarm:
        """Have `action` run in `seconds`."""
        alarm = Alarm(action)
        with self.changed:
            heapq.heappush(self.alarms, (time.monotonic() + seconds, next(self.order), alarm))
            self._attend()
        return alarm

    def _attend(self) -> None:
        """See to it that the thread looks. With the lock."""
        if self.thread is None:
            thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            thread.start()
            # Only now: without a thread to be had, the next one tries again.
            self.thread = thread
        else:
            self.changed.notify()

    def is_mine(self) -> bool:
        """Is the caller this thread?"""
        return threading.current_thread() is self.thread

    @interruptible
    def close(self, last: Action, patience: float) -> None:
        """Run no action any more but `last`, and return once the thread has ended, after `patience` seconds at most."""
        with self.changed:
            if self.closed:
                return
            self.closed = True
            self.actions.clear()
            self.alarms.clear()
            self.actions.append(last)
            self._attend()
            thread = self.thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(patience)

    def _run(self) -> None:
        while True:
            with self.changed:
                action = self._next()
                if action is None:
                    self.thread = None
                    return
            try:
                action()
            except BaseException:
                # A defect of ours: the other hosts go on.
                show_exception()
            # What it refers to is not to live on while we wait.
            del action

    def _next(self) -> Action | None:
        """Return what is to be run next, None if nothing came for long. With the lock."""
        idle_until = time.monotonic() + IDLE
        while True:
            now = time.monotonic()
            if self.alarms and self.alarms[0][0] <= now:
                action = heapq.heappop(self.alarms)[2].action
                if action is not None:
                    return action
                continue
            if self.actions:
                return self.actions.popleft()
            if self.closed:
                return None
            while self.alarms and self.alarms[0][2].action is None:
                heapq.heappop(self.alarms)
            if self.alarms:
                self.changed.wait(max(0.0, self.alarms[0][0] - now))
            elif now >= idle_until:
                return None
            else:
                self.changed.wait(idle_until - now)
