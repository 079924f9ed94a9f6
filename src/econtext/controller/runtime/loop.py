"""
The controller's loop: what a turn does, the spare thread, and the end of the loop.

``leading`` decides which thread takes the turns, ``timers`` holds what is to happen at a time, and ``events`` runs the
user's own code.

Invariants:

* What fails in a turn, in our own code or for lack of memory or descriptors, is logged as
  an InternalError, and the loop goes on: it comes out of nobody's wait, and no thread ends of it.
* The spare thread ends with the loop, and by nothing else.
* A loop that is closed leads no more and has no descriptor; what is posted to it is kept, and run by nobody.

Any thread may enter `fail`, `have_chores_run` and `close`.  A turn is for the thread that leads.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from econtext.child.bulk import Bulk
from econtext.controller.errors import InternalError, internal_error
from econtext.controller.runtime.deadlines import Expired
from econtext.controller.runtime.leading import Leading
from econtext.controller.runtime.log import say
from econtext.controller.runtime.signals import PENDING, by_new_handler, by_signal, interruptible, run_pending
from econtext.controller.runtime.waiting import Wait
from econtext.core.loop import TICK, Waiter

if TYPE_CHECKING:
    from econtext.controller.runtime.waiting import Visitor

log: logging.Logger = logging.getLogger('econtext')

EACH_FAILURE = 1.0  # seconds between failures of ours that are logged


class ControllerLoop(Leading):
    """What a broker waits by."""

    closed: bool
    parted: bool
    visitors: tuple[Visitor, ...]
    waker: int

    def __init__(self) -> None:
        super().__init__()
        # Descriptors on which something happened since somebody looked.
        self.stirred: dict[int, bool] = {}
        # Rung where the spare thread is to run chores.
        self.bell: threading.Lock = threading.Lock()
        self.bell.acquire()
        self.failed: float = 0.0       # when something of ours failed last
        self.failures: int = 0       # how often it did since that was told
        self.helper: threading.Thread = threading.Thread(target=self.spare, name='econtext', daemon=True)
        self.helper.start()

    def waiter(self, deadline: float | None) -> Wait:
        return Wait(self, deadline)

    # A turn.

    def turn(self, waiter: Waiter) -> None:
        deadline: float | None = getattr(waiter, 'deadline', None)
        self.patience: float = -1
        if self.timers.heap or deadline is not None:
            self.patience = self.timers.patience(deadline)
        try:
            ready = self.pause()
        except OSError as error:
            if error.errno is None or by_signal(error) or self.closed:
                raise
            ready = []
            self.endure(error)
        for fd, _ in ready:
            self.stirred[fd] = True
            watcher = self.watched.get(fd)
            if watcher:
                try:
                    watcher.ready(fd)
                except Exception as error:
                    self.endure(error)
        if self.patience >= 0:
            self.run_timers()
        if deadline is not None and not waiter.done and deadline <= time.monotonic():
            raise Expired

    def glimpse(self) -> None:
        """Do what is to be done by now, as a turn does. Leading."""
        self.patience = 0
        for fd, _ in self.pause():
            self.stirred[fd] = True
            watcher = self.watched.get(fd)
            if watcher:
                try:
                    watcher.ready(fd)
                except Exception as error:
                    self.endure(error)
        if self.timers.heap:
            self.run_timers()

    def run_timers(self) -> None:
        for action in self.timers.due(time.monotonic()):
            try:
                action()
            except Exception as error:
                self.endure(error)

    @interruptible
    def pause(self) -> list[tuple[int, int]]:
        if PENDING:
            run_pending()
        events: list[tuple[int, int]] = self.poller.poll(self.patience)
        return events

    def endure(self, error: Exception) -> None:
        """Part of a turn has failed, and may fail again at once: go on, but not in a hurry."""
        if by_signal(error) or by_new_handler(error):
            raise error
        self.fail('the loop was led', error)
        time.sleep(TICK)

    def fail(self, what: str, error: BaseException) -> InternalError:
        """Something of ours has failed while `what`: have that logged, and return what it is. Any thread."""
        found = internal_error(what, error)
        now = time.monotonic()
        self.failures += 1
        if now - self.failed >= EACH_FAILURE:
            self.failed, number, self.failures = now, self.failures, 0
            more = f' ({number - 1} more since the last that was logged)' if number > 1 else ''
            self.call_in_order(lambda: say(log, logging.ERROR, '%s', f'{found}{more}'))
        return found

    # The spare thread.

    def spare(self) -> None:
        """Lead while nobody waits, until the loop is closed."""
        while not self.closed:
            seen = self.turns
            if self.bell.acquire(timeout=TICK):
                self.run_chores()
            elif seen == self.turns and not self.closed:
                self.relief.done = False
                try:
                    self.wait(self.relief)
                except BaseException as error:
                    # Nothing ends this thread but the end of the loop.
                    if not self.closed:
                        self.fail('the spare thread led the loop', error)

    def have_chores_run(self) -> None:
        """Have the spare thread run chores, if it neither leads nor waits to. Any thread."""
        if self.chores:
            with contextlib.suppress(RuntimeError):
                self.bell.release()

    # The end.

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
        self.lead_no_more(why)

    def close(self) -> None:
        """
        Stop the spare thread and let go of all descriptors.

        Events that are left are run first, for ``events.PARTING`` seconds at most; a handler that does
        not return keeps its thread, and nothing else.
        """
        self.closed = True
        while self.helper.is_alive() and self.helper is not threading.current_thread():
            self.finish(self.relief)
            self.wake()
            with contextlib.suppress(RuntimeError):
                # It may wait for chores.
                self.bell.release()
            self.helper.join(0.05)
        try:
            self.run_chores()
            alone = self.events.part()
            self.parted = True
            if alone:
                self.run_callbacks()
        finally:
            self.let_go()

    def run_callbacks(self) -> None:
        """Run the chores and events that are due, in this thread. Any thread that does not lead."""
        self.run_chores()
        self.events.run()

    def let_go(self) -> None:
        visitors, self.visitors = self.visitors, ()
        for visitor in visitors:
            visitor.end()
        for watcher in set(self.watched.values()):
            if isinstance(watcher, Bulk):
                watcher.link.close()
            elif hasattr(watcher, 'close'):
                # It has descriptors of its own.
                watcher.close()
        with self.waking:
            waker, self.waker = self.waker, -1
            os.close(waker)
        if not self.milliseconds:
            self.poller.close()
