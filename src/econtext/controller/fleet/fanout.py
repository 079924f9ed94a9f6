"""
One piece of work on each host of a fleet.

Invariants:

* Every host's future ends, also if the fleet is closed, the work is given up, or we have a defect.
* What is given up is interrupted where it runs, and begun nowhere else.
* A host that fails or hangs holds up no other, but for its place in the limit and its batch.
* A host that has ended is first settled, then its place is freed, then others get their turn.
* The call is sent by the crew: it may take its time.  Up to there the host can be skipped.

Only the coordinator's thread enters, but for `start` and `left_at`, and what the crew does.
"""

from __future__ import annotations

import concurrent.futures
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from econtext.controller.errors import ContextLost, internal_error
from econtext.controller.fleet.futures import HostFuture, outcome_of
from econtext.controller.fleet.members import attempt_all
from econtext.controller.fleet.schedule import DONE, FAILED, SKIPPED, Schedule, Steps

if TYPE_CHECKING:
    from econtext.controller.context import Context
    from econtext.controller.fleet.members import Member, Pool

    #: Begins the work at a context, and returns its future.
    Operation = Callable[[Context, str], concurrent.futures.Future[Any]]

AGAIN = 3   # times that a context may be lost between its connection and its call


class FanOut:
    """Work on `members`, in the order that `schedule` has."""

    def __init__(
        self, pool: Pool, members: Sequence[Member], operation: Operation, schedule: Schedule, occupies: bool = True,
    ) -> None:
        self.pool = pool
        self.operation = operation
        self.schedule = schedule
        #: Does it take the place of a call?
        self.occupies = occupies
        self.tasks: dict[str, HostTask] = {member.host.name: HostTask(self, member) for member in members}
        self.futures: dict[str, HostFuture[Any]] = {name: task.future for name, task in self.tasks.items()}

    def start(self) -> None:
        """Begin; raises RuntimeError if no thread is to be had. Any thread."""
        if not self.tasks:
            return
        self.pool.open(self)
        for task in self.tasks.values():
            task.future._listen(task.ended)
        self.pool.post(self.begin, self.broke)

    def begin(self) -> None:
        self.take(self.schedule.begin())

    def take(self, steps: Steps) -> None:
        """Do what is next."""
        # First: none of these is to begin meanwhile. It ends as its future tells that it has.
        for name in steps.skip:
            self.futures[name].cancel()
        for name in steps.connect:
            self.pool.want(self.tasks[name].member, self.tasks[name])
        for name in steps.run:
            task = self.tasks[name]
            if self.occupies:
                self.pool.occupy(task.member, task)
            else:
                self.pool.post(functools.partial(task.begin, task.member), task.broke)
        if self.schedule.is_over():
            self.pool.over(self)

    def end(self, name: str, how: str) -> None:
        """The work on a host has ended."""
        try:
            self.take(self.schedule.finished(name, how))
        except BaseException as error:
            # It is not known any more who is next.
            self.broke(internal_error('a fleet went on', error))
            raise

    def broke(self, error: BaseException) -> None:
        """We have a defect: fail all."""
        for future in self.futures.values():
            if future.running():
                future.interrupt()
            future._settle(None, error)
        self.pool.over(self)

    def left_at(self, members: Iterable[Member]) -> list[concurrent.futures.Future[Any]]:
        """Return the futures of what has not ended at any of `members`, or below. Any thread."""
        wanted = set(members)
        return [task.future for task in self.tasks.values()
                if not task.future.done() and task.member.is_within(wanted)]

    def abandon(self) -> None:
        """The fleet is closed: nothing more comes of this."""
        for name, future in self.futures.items():
            future._settle(None, ContextLost(f'{name}: the fleet was closed'))


class HostTask:
    """The work on one host."""

    __slots__ = ('future', 'has_place', 'lost_before', 'member', 'sending', 'work')

    def __init__(self, work: FanOut, member: Member) -> None:
        self.work: FanOut = work
        self.member: Member = member
        self.future: HostFuture[Any] = HostFuture(member.host.name, work.pool.callbacks)
        self.has_place: bool = False
        #: Does the crew, or the call, have it?
        self.sending: bool = False
        self.lost_before: int = 0

    def is_wanted(self) -> bool:
        return not self.future.done()

    def ended(self, future: HostFuture[Any]) -> None:
        """Its future has ended: if somebody cancelled it, its turn is to be given to others. Any thread."""
        if future.cancelled():
            self.work.pool.post(self.skipped, self.broke)

    def skipped(self) -> None:
        # Those who wait hear of it.
        self.future._notify_cancelled()
        if not self.sending:
            self.leave()
        self.work.end(self.member.host.name, SKIPPED)

    def connected(self, member: Member, error: Exception | None) -> None:
        if error is not None:
            self.finish(None, error)
        else:
            self.work.take(self.work.schedule.ready(member.host.name))

    def begin(self, member: Member) -> None:
        """Have the call sent to the host, which is connected, and free for it."""
        self.has_place = self.work.occupies
        if self.future.done():
            self.leave()
        elif member.is_alive() and member.context is not None:
            self.sending = True
            self.work.pool.crew.hand(functools.partial(self.send, member.context), self.unsent)
        elif self.lost_before < AGAIN:
            self.lost_before += 1
            self.leave()
            self.work.take(self.work.schedule.lost(member.host.name))
        else:
            self.finish(None, ContextLost(
                f'{member.host.name}: it was lost again and again before anything could be sent'))

    def send(self, context: Context) -> None:
        """Send the call. The crew."""
        post = self.work.pool.post
        if not self.future._may_begin():
            # It was given up before, and is told as skipped.
            post(self.leave, self.broke)
            return
        post(functools.partial(self.work.schedule.sent, self.member.host.name), self.broke)
        call = self.work.operation(context, self.member.host.name)
        self.future._began(call)
        call.add_done_callback(lambda done: post(functools.partial(self.finish, *outcome_of(done)), self.broke))

    def unsent(self, error: BaseException) -> None:
        """The call could not be sent."""
        self.finish(None, error)

    def finish(self, value: Any, error: BaseException | None) -> None:
        """The work here has ended."""
        attempt_all(
            functools.partial(self.future._settle, value, error), self.leave, functools.partial(self.end, error))

    def end(self, error: BaseException | None) -> None:
        how = SKIPPED if self.future.cancelled() else DONE if error is None else FAILED
        self.work.end(self.member.host.name, how)

    def leave(self) -> None:
        """Free the place of the call, if it has one."""
        self.sending = False
        if self.has_place:
            self.has_place = False
            self.work.pool.free(self.member)

    def broke(self, error: BaseException) -> None:
        """A defect of ours stood in the way."""
        if self.sending:
            # Its place is freed as it ends.
            self.future.interrupt()
            attempt_all(functools.partial(self.future._settle, None, error), functools.partial(self.end, error))
        else:
            self.finish(None, error)
