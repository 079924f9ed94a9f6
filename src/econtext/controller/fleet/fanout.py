"""
One piece of work on each host of a fleet.

Invariants:

* Every host's future ends, also if the fleet is closed or the work is given up.
* What is given up is interrupted where it runs, and begun nowhere else.
* A host that fails or hangs holds up no other, but for its place in the limit and its batch.

Only the coordinator's thread enters, but for `start`.
"""

from __future__ import annotations

import concurrent.futures
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from econtext.controller.errors import ContextLost
from econtext.controller.fleet.futures import HostFuture
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
        self.members: dict[str, Member] = {member.host.name: member for member in members}
        self.operation = operation
        self.schedule = schedule
        #: Does it take the place of a call?
        self.occupies = occupies
        self.futures: dict[str, HostFuture[Any]] = {
            name: HostFuture[Any](name, pool.callbacks) for name in self.members}
        self.lost_before: dict[str, int] = {}

    def start(self) -> None:
        """Begin. Any thread."""
        self.pool.work.add(self)
        for future in self.futures.values():
            future.listen(self.ended_by)
        if not self.pool.post(self.begin):
            self.abandon()

    def begin(self) -> None:
        self.take(self.schedule.begin())

    def ended_by(self, future: HostFuture[Any]) -> None:
        """A future has ended: if somebody cancelled it, its turn is to be given to others. Any thread."""
        if future.cancelled():
            # In our own thread `end` is at work on it.
            self.pool.post(functools.partial(self.end, future.host, SKIPPED))

    def take(self, steps: Steps) -> None:
        """Do what is next."""
        for name in steps.skip:
            self.futures[name].cancel()
            notify_cancelled(self.futures[name])
        for name in steps.connect:
            self.pool.want(self.members[name], functools.partial(self.connected, name))
        for name in steps.run:
            run = functools.partial(self.run, name)
            if self.occupies:
                self.pool.occupy(self.members[name], run)
            else:
                run()
        if self.schedule.is_over():
            self.pool.work.discard(self)

    def connected(self, name: str, error: Exception | None) -> None:
        if error is None:
            self.take(self.schedule.ready(name))
        else:
            self.settle(name, None, error)

    def run(self, name: str) -> None:
        """Send the call of a host that is connected, and free for it."""
        member, future = self.members[name], self.futures[name]
        if future.cancelled():
            self.free(member)
            self.pool.post(functools.partial(self.end, name, SKIPPED))
            return
        if not member.is_alive() and self.lost_before.get(name, 0) < AGAIN:
            self.lost_before[name] = self.lost_before.get(name, 0) + 1
            self.free(member)
            self.pool.post(functools.partial(self.connect_again, name))
            return
        if not future.set_running_or_notify_cancel():
            self.free(member)
            self.pool.post(functools.partial(self.end, name, SKIPPED))
            return
        try:
            if member.context is None:
                raise ContextLost(f'{name}: it was lost again and again before anything could be sent')
            call = self.operation(member.context, name)
        except BaseException as error:
            # Not at once: there may be many, and each has the next one tried.
            self.pool.post(functools.partial(self.finish, name, None, error))
            return
        future.began(call)
        call.add_done_callback(lambda done: self.pool.post(functools.partial(self.called, name, done)))

    def free(self, member: Member) -> None:
        if self.occupies:
            self.pool.free(member)

    def connect_again(self, name: str) -> None:
        if self.futures[name].cancelled():
            self.end(name, SKIPPED)
            return
        self.take(self.schedule.again(name))
        self.pool.want(self.members[name], functools.partial(self.connected, name))

    def called(self, name: str, done: concurrent.futures.Future[Any]) -> None:
        try:
            value, error = done.result(), None
        except BaseException as raised:
            value, error = None, raised
        self.finish(name, value, error)

    def finish(self, name: str, value: Any, error: BaseException | None) -> None:
        self.free(self.members[name])
        self.settle(name, value, error)

    def settle(self, name: str, value: Any, error: BaseException | None) -> None:
        """The work on a host has ended."""
        future = self.futures[name]
        try:
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
        except concurrent.futures.InvalidStateError:
            # Somebody cancelled it.
            pass
        self.end(name, SKIPPED if future.cancelled() else DONE if error is None else FAILED)

    def end(self, name: str, how: str) -> None:
        if how == SKIPPED:
            # Those who wait hear of it.
            notify_cancelled(self.futures[name])
        self.take(self.schedule.finished(name, how))

    def abandon(self) -> None:
        """The fleet is closed: nothing more comes of this."""
        for name, future in self.futures.items():
            if future.done():
                notify_cancelled(future)
            else:
                try:
                    future.set_exception(ContextLost(f'{name}: the fleet was closed'))
                except concurrent.futures.InvalidStateError:
                    notify_cancelled(future)


def notify_cancelled(future: concurrent.futures.Future[Any]) -> None:
    """Wake those who wait for a future that was cancelled, unless they were."""
    with future._condition:
        due = future._state == 'CANCELLED'
    if due:
        future.set_running_or_notify_cancel()
