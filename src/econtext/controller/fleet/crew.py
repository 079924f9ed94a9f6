"""
Threads for what may take its time: the coordinator of a fleet hands it to them.

They start contexts, send calls (which encodes arguments, packs modules, and may wait for room), copy files,
and run the application's own functions.

The strategy: one thread is enough for tasks that take no time, whatever their number.  Others are added only
where the tasks in line have not moved for two looks: so as many tasks as there are may wait, and none holds up another.

Invariants:

* Tasks are begun in the order in which they were handed over.
* A task that takes long holds up those behind it for three looks at most.
* There are no more threads than there were tasks at a time, however seldom they have their turn.
* What a task raises is posted to its `failed`.
* Threads end when there has been nothing to do for a second, or at once after end().

Any thread may enter.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from econtext.controller.fleet.coordinator import Coordinator, Failed
from econtext.controller.runtime.signals import interruptible

IDLE = 1.0      # seconds without anything to do, after which a thread ends
LOOK = 0.02     # seconds between two looks at tasks that do not move


class Task(NamedTuple):
    """Something that may take its time."""

    run: Callable[[], object]
    failed: Failed
    #: How many seconds end() waits for it.
    patience: float


class Crew:
    """The threads of one pool."""

    def __init__(self, coordinator: Coordinator) -> None:
        self.coordinator = coordinator
        self.changed: threading.Condition = threading.Condition(threading.Lock())
        self.line: deque[Task] = deque()
        self.running: dict[threading.Thread, Task] = {}
        self.threads: int = 0
        self.idle: int = 0
        self.taken: int = 0     # tasks so far
        self.watching: bool = False
        self.ending: bool = False

    def hand(self, run: Callable[[], object], failed: Failed, patience: float = 0.0, alone: bool = False) -> None:
        """Have `run` called by one of the threads; one more if it takes long for sure, and so is to be `alone`."""
        task = Task(run, failed, patience)
        with self.changed:
            self.line.append(task)
            if len(self.line) <= self.idle:
                self.changed.notify()
                return
            if alone or self.ending or not self.threads:
                self._add(1)
            lost = self._hopeless()
            watch = bool(self.line) and not self.watching
            self.watching = self.watching or watch
        for each in lost:
            error = RuntimeError('no thread is to be had: see the limits of this process')
            self.coordinator.post(functools.partial(each.failed, error))
        if watch:
            self.coordinator.at(LOOK, functools.partial(self._look, self.taken, 0))

    def _add(self, number: int) -> None:
        """Add threads, as far as there are any. With the lock."""
        for _ in range(number):
            thread = threading.Thread(target=self._work, name='econtext fleet work', daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return
            self.threads += 1

    def _hopeless(self) -> list[Task]:
        """Take out what no thread will ever come for. With the lock."""
        if self.threads:
            return []
        lost = list(self.line)
        self.line.clear()
        return lost

    def _look(self, taken: int, misses: int) -> None:
        """See whether the tasks in line move. The coordinator."""
        with self.changed:
            if not self.line:
                self.watching = False
                return
            misses = misses + 1 if taken == self.taken else 0
            if misses >= 2:
                # Those that have begun and had no turn yet come for what is in line, like those that are idle.
                self._add(max(0, len(self.line) - (self.threads - len(self.running))))
                misses = 0
            taken = self.taken
        self.coordinator.at(LOOK, functools.partial(self._look, taken, misses))

    def _work(self) -> None:
        me = threading.current_thread()
        while True:
            with self.changed:
                self.running.pop(me, None)
                if not self._wait():
                    self.threads -= 1
                    self.changed.notify_all()
                    return
                task = self.running[me] = self.line.popleft()
                self.taken += 1
            try:
                task.run()
            except BaseException as error:
                self.coordinator.post(functools.partial(task.failed, error))
            # What it refers to is not to live on while we wait.
            del task

    def _wait(self) -> bool:
        """Wait for a task; return whether there is one. With the lock."""
        idle_until = time.monotonic() + IDLE
        if self.ending:
            # Somebody may wait for what ran.
            self.changed.notify_all()
        self.idle += 1
        try:
            while not self.line:
                left = idle_until - time.monotonic()
                if self.ending or left <= 0:
                    return False
                self.changed.wait(left)
            return True
        finally:
            self.idle -= 1

    @interruptible
    def end(self) -> None:
        """Have the threads end once they have nothing to do; wait for each task as long as its `patience` says."""
        began = time.monotonic()
        with self.changed:
            self.ending = True
            self.changed.notify_all()
            while True:
                tasks = [*self.running.values(), *self.line]
                left = began + max((task.patience for task in tasks), default=0.0) - time.monotonic()
                if left <= 0:
                    return
                self.changed.wait(left)
