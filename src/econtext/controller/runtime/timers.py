"""
What is to happen at a time.

Invariants:

* An action is returned once by `due`, in the order of times; actions of one time come in the order in which they were
  added.
* A timer without an action is dropped sooner or later: at its time, or once there are many timers.
* Nothing runs in here: whoever leads runs what `due` returns.

Any thread may add a timer, and take the action from one.  `patience` and `due` are for the thread that leads.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time

from econtext.controller.runtime.waiting import Action

LONGEST = 86400.0   # seconds to wait in one go: pollers take no more than some days
FEW = 64    # timers, of which those without an action may stay


class Timer:
    """What is to happen at a time; with no `action`, nothing any more."""

    __slots__ = ('action', 'order', 'when')

    def __init__(self, when: float, order: int, action: Action) -> None:
        self.when: float = when
        self.order: int = order
        self.action: Action | None = action

    def __lt__(self, other: Timer) -> bool:
        return (self.when, self.order) < (other.when, other.order)


class Timers:
    """All timers of a loop, whose poller counts `second` units in a second."""

    def __init__(self, second: int) -> None:
        self.second = second
        # Asked in each turn whether there is one.
        self.heap: list[Timer] = []
        self.crowded: int = FEW      # timers, from which those without an action are dropped
        self.order: itertools.count[int] = itertools.count()
        self.lock: threading.Lock = threading.Lock()

    def add(self, when: float, action: Action) -> Timer:
        """Have `action` returned by `due` at `when`, on the monotonic clock. Any thread."""
        timer = Timer(when, next(self.order), action)
        with self.lock:
            if len(self.heap) >= self.crowded:
                self.heap = [each for each in self.heap if each.action is not None]
                heapq.heapify(self.heap)
                self.crowded = max(FEW, 2 * len(self.heap))
            heapq.heappush(self.heap, timer)
        return timer

    def patience(self, deadline: float | None) -> float:
        """Return how long to wait for an event until the next timer or `deadline`, in the poller's units."""
        with self.lock:
            while self.heap and self.heap[0].action is None:
                heapq.heappop(self.heap)
            times = [timer.when for timer in self.heap[:1]]
        if deadline is not None:
            times.append(deadline)
        if not times:
            return -1
        return min(LONGEST, max(0.0, min(times) - time.monotonic())) * self.second

    def due(self, now: float) -> list[Action]:
        """Return the actions whose time has come, and forget them."""
        actions = []
        with self.lock:
            while self.heap and self.heap[0].when <= now:
                action = heapq.heappop(self.heap).action
                if action is not None:
                    actions.append(action)
        return actions

    def disown(self) -> None:
        """This process was forked, maybe while another thread had the lock."""
        self.lock = threading.Lock()
