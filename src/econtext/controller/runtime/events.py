"""
Events: the user's own code, run in order by threads of its own.

Events are handlers of log records, callbacks of futures and password functions.  They may take any time, and may wait
for contexts, so no thread that leads runs them.

Invariants:

* Events are begun in the order they came, by one thread; while one of them takes longer than STUCK, another such
  thread goes on with the rest.
* An event that fails ends neither its thread nor the loop: its traceback is shown.
* While an event waits for a context, its thread runs the events that come meanwhile.
* Threads for events end once none has come for IDLE seconds, and with the loop.
* Where no thread is to be had, `has_threads` says so: whoever waits for an event then runs it, or waits in vain.

`ring` is entered by any thread, `look` by the one that leads, `part` by the one that closes the loop.
"""

from __future__ import annotations

import collections
import contextlib
import threading
import time
from threading import get_ident
from typing import TYPE_CHECKING, Any

from econtext.controller.errors import show_exception
from econtext.controller.runtime.signals import by_signal, let_signals_run

MOMENT = 0.1    # seconds after which who waits for another thread sees to Ctrl-C
STUCK = 0.25    # seconds that an event takes, from which another thread runs the rest
MOST_WORKERS = 16   # threads for events
IDLE = 1.0      # seconds, after which a thread for events ends
PARTING = 2.0   # seconds that events have at the end

if TYPE_CHECKING:
    from typing import Protocol

    from econtext.controller.runtime.waiting import Action, Work

    class Home(Protocol):
        """The loop whose events they are."""

        closed: bool
        parted: bool
        busy: dict[int, tuple[Work, ...]]

        def call_up(self, waiter: Any) -> None: ...
        def call_at(self, when: float, action: Action) -> object: ...


class Events:
    """The events of a loop that have not begun, and the threads that run them."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.queue: collections.deque[Action] = collections.deque()
        self.workers: list[Worker] = []
        self.watching: bool = False       # is a timer to look whether they are stuck?
        self.refused: bool = False        # was no thread to be had, the last time that one was wanted?
        self.lock: threading.Lock = threading.Lock()

    def ring(self) -> None:
        """There is an event: see to it that a thread runs it. Any thread."""
        nested = None
        if self.home.parted:
            return
        with self.lock:
            for worker in self.workers:
                if not worker.running:
                    worker.ring()
                    return
                nested = nested or worker.nested
            if len(self.workers) < MOST_WORKERS and (not self.workers or self.is_stuck()):
                self.refused = True
                with contextlib.suppress(RuntimeError):
                    self.workers.append(Worker(self))
                    self.refused = False
                    return
                # No thread is to be had: soon, maybe; at the end of a program on Python 3.12, never.
            watch = not self.watching
            self.watching = True
        if nested is not None:
            self.home.call_up(nested)
        if watch:
            self.home.call_at(time.monotonic() + STUCK, self.look)

    def has_threads(self) -> bool:
        """Will a thread run what is posted? Any thread."""
        return bool(self.workers) or not self.refused

    def is_stuck(self) -> bool:
        """Is each thread for events busy with the same one for long?"""
        late = time.monotonic() - STUCK
        return all(worker.since <= late for worker in self.workers)

    def look(self) -> None:
        """A while ago all threads for events were busy. Leading."""
        with self.lock:
            self.watching = False
        if self.queue and not self.home.closed:
            self.ring()

    def run(self) -> None:
        """Run the events that are due, in this thread. Any thread that does not lead."""
        for _ in range(len(self.queue)):
            try:
                event = self.queue.popleft()
            except IndexError:
                break
            attempt(event)

    def part(self) -> bool:
        """Have the threads run what is left, and end; return whether all of them but this one have."""
        end = time.monotonic() + PARTING
        me = threading.current_thread()
        if self.queue:
            self.ring()
        while time.monotonic() < end:
            with self.lock:
                others = [worker for worker in self.workers if worker.thread is not me]
                for worker in others:
                    worker.ring()
            if not others:
                break
            others[0].thread.join(MOMENT)
            let_signals_run()
            if self.queue and self.is_stuck():
                self.ring()
        return not any(worker.thread is not me for worker in self.workers)

    def disown(self) -> None:
        """This process was forked: no thread runs events here."""
        self.workers.clear()
        self.lock = threading.Lock()


def attempt(action: Action) -> None:
    """Run `action`; show why it failed, if it does."""
    try:
        action()
    except Exception as error:
        if by_signal(error):
            raise
        show_exception()


class Worker:
    """
    A thread that runs events; it is `Work` to itself, where one of them waits.

    It is started for the first event, and ends once none has come for IDLE seconds.
    """

    def __init__(self, events: Events) -> None:
        self.events = events
        self.running: bool = True
        self.since: float = time.monotonic()   # when the event that runs was begun
        self.nested: Any = None     # what the event that runs waits for
        self.posted = True
        self.bell: threading.Lock = threading.Lock()
        self.bell.acquire()
        self.thread: threading.Thread = threading.Thread(target=self.work, name='econtext events', daemon=True)
        self.thread.start()

    def ring(self) -> None:
        """Have it look for events. Whoever holds the lock of the events."""
        with contextlib.suppress(RuntimeError):
            self.bell.release()

    def work(self) -> None:
        events = self.events
        while True:
            self.turn()
            with events.lock:
                if events.queue:
                    continue
                if events.home.closed or len(events.workers) > 1:
                    events.workers.remove(self)
                    return
                self.running = False
            if not self.bell.acquire(timeout=IDLE):
                with events.lock:
                    # Whoever rings holds this lock: the bell rings by now, or nobody counts on this thread.
                    if not (events.queue or self.bell.acquire(blocking=False)):
                        events.workers.remove(self)
                        return
            self.running = True

    def is_due(self, me: int) -> bool:
        return bool(self.events.queue)

    def handle(self) -> None:
        self.turn()

    def turn(self) -> None:
        """Run the events that have come by now."""
        queue, busy, me = self.events.queue, self.events.home.busy, get_ident()
        before = busy.get(me, ())
        busy[me] = (*before, self)
        try:
            for _ in range(len(queue)):
                try:
                    event = queue.popleft()
                except IndexError:
                    break
                self.since = time.monotonic()
                try:
                    event()
                except BaseException:
                    # A log handler or callback wants to leave; this is not its thread.
                    show_exception()
        finally:
            if before:
                busy[me] = before
            else:
                busy.pop(me, None)
