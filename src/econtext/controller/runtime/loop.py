"""
The controller's loop: deadlines, timers, and a place for the user's own code.

Invariants, beside those of ``core.loop``:

* Nothing of the user's runs while a thread leads: handlers of log records,
  callbacks of futures and password functions.
* What a context prints, logs and asks is handled in its order, by one thread at a time: one
  that waits for that very context, or else the thread for `events`.  No other caller
  handles that.
* `events` are begun in the order they came, by the thread for them; while one of them takes
  longer than STUCK, another such thread goes on with the rest.
* `chores` are our own work that may take its time, such as reading modules from
  disk.  They wait for no event.  However many there are, frames are read in between.
  Who has what it waited for leaves them to others.
* An event or chore that fails, such as a log handler of the program, ends neither
  the loop nor the call that happened to run it: its traceback is shown.
* What fails in a turn, in our own code or for lack of memory or descriptors, is logged as
  an InternalError, and the loop goes on: it comes out of nobody's wait, and no thread ends of it.
* A visitor, such as the loop of asyncio, has waiting of its own: it leads for a turn that waits for nothing, whenever
  the poller has something.  Where it finds another thread leading it stays away, and is recalled when
  that thread leaves and appoints nobody.  What a visitor waits for is never parked: it is told.

The argument that nothing is left lying: what a context says is put into its queue first,
and then ``summon`` looks for a thread.  If a thread leads that may handle the queue, that thread
looks at the queue behind each turn; if such a thread is parked, it is called up under
`lock`; else the queue becomes an event.  Who stops handling, and who stops waiting, looks
once more at the queue, and summons again.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import heapq
import itertools
import logging
import os
import select
import threading
import time
from collections.abc import Callable
from threading import get_ident
from typing import Any, Protocol, runtime_checkable

from econtext.child.bulk import Bulk
from econtext.controller.errors import EcontextError, InternalError, internal_error, show_exception
from econtext.controller.runtime.deadlines import Expired
from econtext.controller.runtime.log import say
from econtext.controller.runtime.signals import (
    MAIN,
    PENDING,
    by_new_handler,
    by_signal,
    interruptible,
    let_signals_run,
    run_pending,
    wrap_handlers,
)
from econtext.core.loop import TICK, Loop, Reader, Waiter, harden

log: logging.Logger = logging.getLogger('econtext')

Action = Callable[[], object]

LONGEST = 86400.0   # seconds to wait in one go: pollers take no more than some days
MOMENT = 0.1    # seconds after which who waits for another thread sees to Ctrl-C
STUCK = 0.25    # seconds that an event takes, from which another thread runs the rest
MOST_WORKERS = 16   # threads for events
IDLE = 1.0      # seconds, after which a thread for events ends
PARTING = 2.0   # seconds that events have at the end
EACH_FAILURE = 1.0  # seconds between failures of ours that are logged


@runtime_checkable
class Closable(Protocol):
    """A watcher that has descriptors of its own to close."""

    def close(self) -> None: ...


class Work(Protocol):
    """What is to be handled in order, by one thread at a time."""

    posted: bool    # is its turn() among the events?

    def is_due(self, me: int) -> bool:
        """Is there something that thread `me` may handle now?"""

    def handle(self) -> None:
        """Handle some of it, unless another thread does."""

    def turn(self) -> None:
        """The same, as an event; leave the rest to whoever may handle that."""


class Visitor(Protocol):
    """Leads by turns that wait for nothing, between waits of its own."""

    def recall(self) -> None:
        """Nobody leads any more. Any thread."""

    def end(self) -> None:
        """The loop is closed. Any thread."""


class Wait(Waiter):
    """A waiter with a deadline on the monotonic clock, or None."""
    looks = True    # for handlers that are new; not who did so before
    own: tuple[Work, ...] = ()  # what its thread handles while it waits
    settles = False     # does its thread see to that once it is done?

    def __init__(self, loop: ControllerLoop, deadline: float | None = None) -> None:
        super().__init__(loop)
        self.deadline = deadline


class Told(Wait):
    """A waiter that nobody leads for and nobody parks on: `tell` is called once there is nothing to wait for."""

    def __init__(self, loop: ControllerLoop, tell: Action) -> None:
        super().__init__(loop)
        self.tell = tell


class Timer:
    """What is to happen at a time; with no `action`, nothing any more."""

    __slots__ = ('action', 'order', 'when')

    def __init__(self, when: float, order: int, action: Action) -> None:
        self.when: float = when
        self.order: int = order
        self.action: Action | None = action

    def __lt__(self, other: Timer) -> bool:
        return (self.when, self.order) < (other.when, other.order)


class ControllerLoop(Loop):
    led: bool
    turns: int
    waker: int

    def __init__(self) -> None:
        super().__init__()
        self.events: collections.deque[Action] = collections.deque()
        self.chores: collections.deque[Action] = collections.deque()
        # Threads that run handlers of the program now -> what they handle, the outermost first.
        self.busy: dict[int, tuple[Work, ...]] = {}
        self.timers: list[Timer] = []
        self.crowded: int = 64       # timers, from which those without an action are dropped
        self.timing: threading.Lock = threading.Lock()
        self.order: itertools.count[int] = itertools.count()
        self.leader: int = 0     # the thread that led last
        self.chief: Any = None      # the waiter that leads
        self.relief: Any = Wait(self)
        # Descriptors on which something happened since somebody looked.
        self.stirred: dict[int, bool] = {}
        self.parked: dict[Any, bool] = {}   # waiters of ours
        self.visitors: tuple[Visitor, ...] = ()
        # Rung where the spare thread is to run chores.
        self.bell: threading.Lock = threading.Lock()
        self.bell.acquire()
        self.milliseconds: bool = not hasattr(select, 'epoll')
        read, self.waker = os.pipe()
        harden(self.waker)
        self.alarm: Reader = Reader(self, read, lambda data: None)
        self.closed: bool = False
        # The threads for events.
        self.workers: list[Worker] = []
        self.watching: bool = False       # is a timer to look whether they are stuck?
        self.disowned: str = ''         # why nothing may be waited for: this process was forked
        self.parted: bool = False     # has it been closed, so that no thread runs what is posted?
        self.failed: float = 0.0       # when something of ours failed last
        self.failures: int = 0       # how often it did since that was told
        self.helper: threading.Thread = threading.Thread(target=self.spare, name='econtext', daemon=True)
        self.helper.start()

    def wait(self, waiter: Any) -> None:
        """Return when `waiter` is done; raise Expired at its deadline."""
        if self.disowned:
            raise EcontextError(self.disowned)
        me = get_ident()
        if me == MAIN and waiter.looks:
            wrap_handlers()
        if me in self.busy:
            self.wait_within(me, waiter)
        elif not waiter.own:
            self.wait_as(me, waiter)
        else:
            try:
                self.wait_as(me, waiter)
            finally:
                if not (waiter.settles and waiter.done):
                    self.hand_on(waiter)
        if PENDING:
            run_pending()

    def wait_within(self, me: int, waiter: Any) -> None:
        """A handler waits: what its thread is in the middle of is nobody else's to go on with."""
        waiter.own = (*waiter.own, *self.busy[me])
        worker = next((work for work in self.busy[me] if isinstance(work, Worker)), None)
        before = worker and worker.nested
        try:
            if worker:
                worker.nested = waiter
            self.wait_as(me, waiter)
        finally:
            if worker:
                worker.nested = before
            self.hand_on(waiter)

    def waiter(self, deadline: float | None) -> Wait:
        return Wait(self, deadline)

    def hand_on(self, waiter: Any) -> None:
        """`waiter` waits no more: leave what it would have handled to others."""
        for work in waiter.own:
            if work.is_due(0) and not isinstance(work, Worker):
                self.summon(work)

    def wait_as(self, me: int, waiter: Any) -> None:
        own = waiter.own
        # Asked in each turn: for one, as a rule, without a step in between.
        is_due = own[0].is_due if len(own) == 1 else functools.partial(self.is_due, own)
        while True:
            if not waiter.done:
                self.turns += 1
                try:
                    self.enter(waiter)
                    if waiter.leads:
                        # Before the look at what there is: who adds to it from now on wakes us.
                        self.leader = me
                    while waiter.leads and not (self.chores or waiter.done or is_due(me)):
                        self.turn(waiter)
                finally:
                    # Spelled out: a handler may raise as a function is entered, before its own `try`.
                    try:
                        self.leave(waiter)
                    except BaseException:
                        self.leave(waiter)
                        raise
            if waiter.done:
                return
            self.run_chores()
            for work in own:
                if work.is_due(me):
                    work.handle()
            if self.chores or is_due(me):
                self.glance(me, waiter)

    @staticmethod
    def is_due(own: tuple[Work, ...], me: int) -> bool:
        """Is there something in `own` that thread `me` is to handle?"""
        for work in own:  # noqa: SIM110 -- a generator takes twice the time, in each turn
            if work.is_due(me):
                return True
        return False

    def glance(self, me: int, waiter: Any) -> None:
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

    def enter(self, waiter: Any) -> None:
        with self.lock:
            parks = self.led and not (waiter.done or (waiter.own and self.is_due(waiter.own, get_ident())))
            if parks:
                waiter.gate = threading.Lock()
                waiter.gate.acquire()
                self.parked[waiter] = True
            elif not (waiter.done or self.led):
                waiter.leads = self.led = True
                self.chief = waiter
        if parks:
            self.park(waiter)

    def leave(self, waiter: Any) -> None:
        recalled: tuple[Visitor, ...] = ()
        with self.lock:
            self.parked.pop(waiter, None)
            if waiter.leads:
                waiter.leads = self.led = False
                self.chief = None
                recalled = self.visitors
            if self.parked and not self.led:
                recalled = ()
                heir = next(reversed(self.parked))
                heir.leads = self.led = True
                self.chief = heir
                del self.parked[heir]
                heir.gate.release()
        for visitor in recalled:
            visitor.recall()

    # For visitors.

    def visit(self, waiter: Wait) -> bool:
        """
        Lead for one turn that waits for nothing; False if another thread leads, or the loop is closed.

        `waiter` is that of a visitor, and stays the same.  Any thread that does not lead.
        """
        with self.lock:
            if self.led or self.closed:
                return False
            waiter.leads = self.led = True
            self.chief = waiter
        try:
            self.turns += 1
            self.leader = get_ident()
            self.glimpse()
        finally:
            try:
                self.leave(waiter)
            except BaseException:
                self.leave(waiter)
                raise
        return True

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
        if self.timers:
            for action in self.due(time.monotonic()):
                try:
                    action()
                except Exception as error:
                    self.endure(error)

    def make_way(self) -> None:
        """A visitor is at work again: let it lead, and not the spare thread. Any thread."""
        if self.relief.leads:
            self.relief.done = True

    def have_chores_run(self) -> None:
        """Have the spare thread run chores, if it neither leads nor waits to. Any thread."""
        if self.chores:
            with contextlib.suppress(RuntimeError):
                self.bell.release()

    def summon(self, work: Work) -> None:
        """Have `work` handled: by a thread that waits and may do so, or else as an event. Any thread."""
        with self.lock:
            chief = self.chief
            if chief is not None and work in chief.own:
                waiter = chief
            else:
                waiter = next((each for each in self.parked if work in each.own), None)
                if waiter is not None:
                    # It neither leads nor is done: it handles, and waits on.
                    del self.parked[waiter]
                    waiter.gate.release()
        if waiter is None:
            if not work.posted:
                work.posted = True
                self.call_in_order(work.turn)
        elif waiter is chief and self.leader != get_ident():
            self.wake()

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
        elif isinstance(waiter, Told):
            waiter.tell()

    def call_in_order(self, event: Action) -> None:
        """Have `event` run, in order, by a thread that does not lead. Any thread."""
        self.events.append(event)
        self.ring()

    def call_soon(self, chore: Action) -> None:
        """Have `chore` run by a thread that does not lead. Any thread."""
        self.chores.append(chore)
        if self.leader != get_ident():
            self.wake()

    def run_chores(self) -> None:
        """Run the chores that are due. Any thread that does not lead."""
        # Not those that come meanwhile: a context can see to it that there are always more.
        for _ in range(len(self.chores)):
            try:
                chore = self.chores.popleft()
            except IndexError:
                break
            attempt(chore)

    def run_callbacks(self) -> None:
        """Run the chores and events that are due. Any thread that does not lead."""
        self.run_chores()
        for _ in range(len(self.events)):
            try:
                event = self.events.popleft()
            except IndexError:
                break
            attempt(event)

    def ring(self) -> None:
        """There is an event: see to it that a thread runs it. Any thread."""
        nested = None
        if self.parted:
            return
        with self.timing:
            for worker in self.workers:
                if not worker.running:
                    worker.ring()
                    return
                nested = nested or worker.nested
            if len(self.workers) < MOST_WORKERS and (not self.workers or self.is_stuck()):
                with contextlib.suppress(RuntimeError):
                    self.workers.append(Worker(self))
                    return
                # No thread is to be had: soon, maybe.
            watch = not self.watching
            self.watching = True
        if nested is not None:
            self.call_up(nested)
        if watch:
            self.call_at(time.monotonic() + STUCK, self.look_at_workers)

    def call_up(self, waiter: Any) -> None:
        """There is something for the thread of `waiter`, which may be parked. Any thread."""
        with self.lock:
            if waiter in self.parked:
                del self.parked[waiter]
                waiter.gate.release()
        if waiter.leads and self.leader != get_ident():
            self.wake()

    def is_stuck(self) -> bool:
        """Is each thread for events busy with the same one for long?"""
        late = time.monotonic() - STUCK
        return all(worker.since <= late for worker in self.workers)

    def look_at_workers(self) -> None:
        """A while ago all of them were busy. Leading."""
        with self.timing:
            self.watching = False
        if self.events and not self.closed:
            self.ring()

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

    @interruptible
    def park(self, waiter: Waiter) -> None:
        if PENDING:
            run_pending()
        deadline = getattr(waiter, 'deadline', None)
        if deadline is None:
            waiter.gate.acquire()
        elif not waiter.gate.acquire(timeout=min(threading.TIMEOUT_MAX, max(0.0, deadline - time.monotonic()))):
            raise Expired

    def turn(self, waiter: Waiter) -> None:
        deadline: float | None = getattr(waiter, 'deadline', None)
        self.patience: float = -1
        if self.timers or deadline is not None:
            self.patience = self.until(deadline)
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
            for action in self.due(time.monotonic()):
                try:
                    action()
                except Exception as error:
                    self.endure(error)
        if deadline is not None and not waiter.done and deadline <= time.monotonic():
            raise Expired

    def endure(self, error: Exception) -> None:
        """Part of a turn has failed, and may fail again at once: go on, but not in a hurry."""
        if by_signal(error) or by_new_handler(error):
            raise error
        self.fail('the loop was led', error)
        time.sleep(TICK)

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

    @interruptible
    def pause(self) -> list[tuple[int, int]]:
        if PENDING:
            run_pending()
        events: list[tuple[int, int]] = self.poller.poll(self.patience)
        return events

    def call_at(self, when: float, action: Action) -> Timer:
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
        self.workers.clear()
        # Not ended: their descriptors are those of a loop that another process runs.
        self.visitors = ()
        self.parted = True
        self.disowned = why
        self.timing = threading.Lock()

    def close(self) -> None:
        """
        Stop the spare thread and let go of all descriptors.

        Events that are left are run first, for PARTING seconds at most; a handler that does
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
            self.part()
        finally:
            self.let_go()

    def part(self) -> None:
        """Have the threads for events run what is left, and end."""
        end = time.monotonic() + PARTING
        me = threading.current_thread()
        if self.events:
            self.ring()
        while time.monotonic() < end:
            with self.timing:
                others = [worker for worker in self.workers if worker.thread is not me]
                for worker in others:
                    worker.ring()
            if not others:
                break
            others[0].thread.join(MOMENT)
            let_signals_run()
            if self.events and self.is_stuck():
                self.ring()
        self.parted = True
        if not any(worker.thread is not me for worker in self.workers):
            self.run_callbacks()

    def let_go(self) -> None:
        visitors, self.visitors = self.visitors, ()
        for visitor in visitors:
            visitor.end()
        for watcher in set(self.watched.values()):
            if isinstance(watcher, Bulk):
                watcher.link.close()
            elif isinstance(watcher, Closable):
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
        show_exception()


class Worker:
    """
    A thread that runs events; it is `Work` to itself, where one of them waits.

    It is started for the first event, and ends once none has come for IDLE seconds.
    """

    def __init__(self, loop: ControllerLoop) -> None:
        self.loop = loop
        self.running: bool = True
        self.since: float = time.monotonic()   # when the event that runs was begun
        self.nested: Any = None     # what the event that runs waits for
        self.posted = True
        self.bell: threading.Lock = threading.Lock()
        self.bell.acquire()
        self.thread: threading.Thread = threading.Thread(target=self.work, name='econtext events', daemon=True)
        self.thread.start()

    def ring(self) -> None:
        """Have it look for events. Whoever holds `timing`."""
        with contextlib.suppress(RuntimeError):
            self.bell.release()

    def work(self) -> None:
        loop = self.loop
        while True:
            self.turn()
            with loop.timing:
                if loop.events:
                    continue
                if loop.closed or len(loop.workers) > 1:
                    loop.workers.remove(self)
                    return
                self.running = False
            if not self.bell.acquire(timeout=IDLE):
                with loop.timing:
                    # Whoever rings holds this lock: the bell rings by now, or nobody counts on this thread.
                    if not (loop.events or self.bell.acquire(blocking=False)):
                        loop.workers.remove(self)
                        return
            self.running = True

    def is_due(self, me: int) -> bool:
        return bool(self.loop.events)

    def handle(self) -> None:
        self.turn()

    def turn(self) -> None:
        """Run the events that have come by now."""
        loop, me = self.loop, get_ident()
        before = loop.busy.get(me, ())
        loop.busy[me] = (*before, self)
        try:
            for _ in range(len(loop.events)):
                try:
                    event = loop.events.popleft()
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
                loop.busy[me] = before
            else:
                loop.busy.pop(me, None)
