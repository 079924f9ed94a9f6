"""
Leadership in the program: which thread leads the loop, which threads are parked, and what each handles while it waits.

Invariants, beside those of ``core.loop``:

* Nothing of the user's runs while a thread leads.
* What a context prints, logs and asks is `Work`: handled in its order, by one thread at a time: one
  that waits for that very context, or else a thread for ``events``.  No other caller
  handles that.
* `chores` are our own work that may take its time, such as reading modules from
  disk.  They wait for no event.  However many there are, frames are read in between.
  Who has what it waited for leaves them to others.
* A visitor, such as the loop of asyncio, has waiting of its own: it leads for a turn that waits for nothing, whenever
  the poller has something.  Where it finds another thread leading it stays away, and is recalled when
  that thread leaves and appoints nobody.  What a visitor waits for is never parked: it is told.

The argument that nothing is left lying: what a context says is put into its queue first,
and then ``summon`` looks for a thread.  If a thread leads that may handle the queue, that thread
looks at the queue behind each turn; if such a thread is parked, it is called up under
`lock`; else the queue becomes an event.  Who stops handling, and who stops waiting, looks
once more at the queue, and summons again.

``loop`` says what a turn does.  Any thread may enter `wait`, `finish`, `wake`, and what hands work to others: `summon`,
`call_at`, `call_soon`, `call_in_order`, `call_up`.  The other methods say who may enter.
"""

from __future__ import annotations

import collections
import functools
import os
import select
import threading
import time
from threading import get_ident
from typing import TYPE_CHECKING, Any

from econtext.controller.errors import EcontextError
from econtext.controller.runtime.deadlines import Expired
from econtext.controller.runtime.events import Events, Worker, attempt
from econtext.controller.runtime.signals import MAIN, PENDING, interruptible, run_pending, wrap_handlers
from econtext.controller.runtime.timers import Timer, Timers
from econtext.controller.runtime.waiting import Told, Wait
from econtext.core.loop import Loop, Reader, Waiter, harden

if TYPE_CHECKING:
    from econtext.controller.runtime.waiting import Action, Visitor, Work


class Leading(Loop):
    """A loop that the program's threads lead, each while it waits."""

    led: bool
    turns: int
    waker: int

    def __init__(self) -> None:
        super().__init__()
        self.chores: collections.deque[Action] = collections.deque()
        # Threads that run handlers of the program now -> what they handle, the outermost first.
        self.busy: dict[int, tuple[Work, ...]] = {}
        self.leader: int = 0     # the thread that led last
        self.chief: Any = None      # the waiter that leads
        self.relief: Any = Wait(self)
        self.parked: dict[Any, bool] = {}   # waiters of ours
        self.visitors: tuple[Visitor, ...] = ()
        self.milliseconds: bool = not hasattr(select, 'epoll')
        self.timers: Timers = Timers(1000 if self.milliseconds else 1)
        self.events: Events = Events(self)
        self.closed: bool = False
        self.parted: bool = False     # has it been closed, so that no thread runs what is posted?
        self.disowned: str = ''         # why nothing may be waited for: this process was forked
        read, self.waker = os.pipe()
        harden(self.waker)
        self.waking: threading.Lock = threading.Lock()
        self.alarm: Reader = Reader(self, read, lambda data: None)

    def glimpse(self) -> None:
        """Do what is to be done by now, as a turn does, and wait for nothing. Leading."""
        raise NotImplementedError

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

    def hand_on(self, waiter: Any) -> None:
        """`waiter` waits no more: leave what it would have handled to others."""
        for work in waiter.own:
            if work.is_due(0) and not isinstance(work, Worker):
                self.summon(work)

    def wait_as(self, me: int, waiter: Any) -> None:
        own = waiter.own
        # Asked in each turn: for one, as a rule, without a step in between.
        is_due = own[0].is_due if len(own) == 1 else functools.partial(self.is_due, own)
        glance = False      # is there more to handle, so that a turn is to see first what else has come?
        while glance or not waiter.done:
            self.turns += 1
            try:
                self.enter(waiter)
                if waiter.leads:
                    # Before the look at what there is: who adds to it from now on wakes us.
                    self.leader = me
                    if glance:
                        # There is something to read, so that this turn does not wait.
                        self.wake()
                        self.turn(waiter)
                    else:
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
            glance = bool(self.chores or is_due(me))

    @staticmethod
    def is_due(own: tuple[Work, ...], me: int) -> bool:
        """Is there something in `own` that thread `me` is to handle?"""
        for work in own:  # noqa: SIM110 -- a generator takes twice the time, in each turn
            if work.is_due(me):
                return True
        return False

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

    def make_way(self) -> None:
        """A visitor is at work again: let it lead, and not the spare thread. Any thread."""
        if self.relief.leads:
            self.relief.done = True

    # For who has something for another thread.

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

    def has_event_threads(self) -> bool:
        """Does another thread handle what is summoned? Any thread."""
        return self.events.has_threads()

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

    def call_up(self, waiter: Any) -> None:
        """There is something for the thread of `waiter`, which may be parked. Any thread."""
        with self.lock:
            if waiter in self.parked:
                del self.parked[waiter]
                waiter.gate.release()
        if waiter.leads and self.leader != get_ident():
            self.wake()

    def call_at(self, when: float, action: Action) -> Timer:
        """Run `action` at `when`, on the monotonic clock, leading. Any thread."""
        timer = self.timers.add(when, action)
        self.wake()
        return timer

    def call_in_order(self, event: Action) -> None:
        """Have `event` run, in order, by a thread that does not lead. Any thread."""
        self.events.queue.append(event)
        self.events.ring()

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

    @interruptible
    def park(self, waiter: Waiter) -> None:
        if PENDING:
            run_pending()
        deadline = getattr(waiter, 'deadline', None)
        if deadline is None:
            waiter.gate.acquire()
        elif not waiter.gate.acquire(timeout=min(threading.TIMEOUT_MAX, max(0.0, deadline - time.monotonic()))):
            raise Expired

    def wake(self) -> None:
        """Let the leader look again at what it waits for. Any thread."""
        with self.waking:
            # Once closed, the number may be another file's.
            if self.waker >= 0:
                try:
                    os.write(self.waker, b'.')
                except OSError as error:
                    if error.errno is None:
                        # A signal handler's.
                        raise

    def lead_no_more(self, why: str) -> None:
        """This process was forked: nothing may be waited for, and no lock is one that another thread held."""
        self.disowned = why
        self.parted = True
        # Not ended: their descriptors are those of a loop that another process runs.
        self.visitors = ()
        self.waker = -1
        self.waking = threading.Lock()
        self.timers.disown()
        self.events.disown()
