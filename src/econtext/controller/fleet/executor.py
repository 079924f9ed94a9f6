"""
A fleet as an executor: each piece of work goes to one host, whichever is free.

Invariants:

* Work is begun in the order in which it was submitted.
* A host that cannot be connected takes no part; work fails only once no host is left.
* Work whose context was lost is begun elsewhere as often as `retries` says, and no more: it may have run.

Any thread may submit; all else is the coordinator's.
"""

from __future__ import annotations

import concurrent.futures
import functools
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from econtext.controller.errors import ContextLost, stays
from econtext.controller.fleet.futures import GRACE, HostFuture
from econtext.controller.runtime.signals import interruptible

if TYPE_CHECKING:
    from econtext.controller.context import Context
    from econtext.controller.fleet.members import Member, Pool

P = ParamSpec('P')
T = TypeVar('T')


class Job:
    """One piece of work, and how often it may still be begun elsewhere."""

    def __init__(self, begin: Callable[[Context], concurrent.futures.Future[Any]], future: HostFuture[Any],
                 retries: int) -> None:
        self.begin = begin
        self.future = future
        self.retries = retries


class FleetExecutor(concurrent.futures.Executor):
    """
    A ``concurrent.futures.Executor`` of all hosts of a fleet: work goes to whoever is free.

    Made by ``fleet.executor()``.  The `host` of a future is the one that has it.  As a context manager it
    waits for its work at the end of the block, and interrupts it if an exception leaves that.
    """

    __reduce_ex__: Callable[..., Any] = stays

    def __init__(self, pool: Pool, members: Iterable[Member], retries: int, timeout: float | None, grace: float,
                 check_function: Callable[[Any], object]) -> None:
        self.pool = pool
        self.retries = retries
        self.timeout = timeout
        self.grace = grace
        self.check_function = check_function
        self.members: list[Member] = list(members)
        self.wanted: set[Member] = set()    # those that are being connected for this
        self.there: set[Member] = set()     # connected, as far as is known
        self.absent: dict[Member, Exception] = {}
        self.line: deque[Job] = deque()
        self.futures: dict[HostFuture[Any], None] = {}
        self.shut: bool = False
        pool.work.add(self)
        pool.hears_free.add(self.look)

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> HostFuture[T]:
        """
        Have ``function(*args, **kwargs)`` run on whichever host is free first; return its future at once.

        `function`, `args` and `kwargs` are as for Context.call().  Raises TypeError for what cannot be
        called, RuntimeError after shutdown().

        Example::

            with fleet.executor(retries=2) as executor:
                futures = [executor.submit(convert, path) for path in paths]
        """
        self.check_function(function)
        if self.shut:
            raise RuntimeError('the executor of the fleet was shut down, and takes no more work: make another one')
        future: HostFuture[T] = HostFuture('', self.pool.callbacks)

        def begin(context: Context) -> concurrent.futures.Future[Any]:
            return context.options(timeout=self.timeout, grace=self.grace).submit(function, *args, **kwargs)

        self.futures[future] = None
        future.listen(lambda done: self.futures.pop(done, None))
        if not self.pool.post(functools.partial(self.enqueue, Job(begin, future, self.retries))):
            self.abandon()
        return future

    def enqueue(self, job: Job) -> None:
        self.line.append(job)
        self.dispatch()

    def look(self) -> None:
        """A host is free that other work had, maybe."""
        if self.line:
            self.pool.post(self.dispatch)

    def dispatch(self) -> None:
        """Give work to those that are free, and connect more while there is work for them."""
        for member in self.members:
            while self.line and member in self.there and member.busy < member.threads:
                job = self.line.popleft()
                if job.future.cancelled():
                    notify(job.future)
                    continue
                member.busy += 1
                self.run(member, job)
        unconnected = [member for member in self.members if member not in self.there and member not in self.absent]
        for member in unconnected:
            if len(self.wanted) >= len(self.line):
                break
            if member not in self.wanted:
                self.wanted.add(member)
                self.pool.want(member, functools.partial(self.post_connected, member))
        if self.line and not self.wanted and len(self.absent) == len(self.members):
            self.give_up()

    def post_connected(self, member: Member, error: Exception | None) -> None:
        # Not at once: it may be in the middle of dispatch().
        self.pool.post(functools.partial(self.connected, member, error))

    def connected(self, member: Member, error: Exception | None) -> None:
        self.wanted.discard(member)
        if error is None:
            self.there.add(member)
        else:
            self.absent[member] = error
        self.dispatch()

    def give_up(self) -> None:
        """No host can be connected: nothing that waits can be done."""
        why = next(iter(self.absent.values()), None) or ContextLost('the fleet has no hosts')
        while self.line:
            fail(self.line.popleft().future, why)

    def run(self, member: Member, job: Job) -> None:
        if not member.is_alive() or member.context is None:
            self.there.discard(member)
            self.line.appendleft(job)
            self.pool.free(member)
            self.pool.post(self.dispatch)
            return
        if not job.future.running() and not job.future.set_running_or_notify_cancel():
            self.pool.free(member)
            self.pool.post(self.dispatch)
            return
        job.future.host = member.host.name
        try:
            call = job.begin(member.context)
        except BaseException as error:
            self.pool.post(functools.partial(self.over, member, job, None, error))
            return
        job.future.began(call)
        call.add_done_callback(lambda done: self.pool.post(functools.partial(self.called, member, job, done)))

    def called(self, member: Member, job: Job, done: concurrent.futures.Future[Any]) -> None:
        try:
            self.over(member, job, done.result(), None)
        except BaseException as error:
            self.over(member, job, None, error)

    def over(self, member: Member, job: Job, value: Any, error: BaseException | None) -> None:
        self.pool.free(member)
        if isinstance(error, ContextLost) and job.retries > 0 and not member.closed and not job.future.given_up:
            job.retries -= 1
            self.line.appendleft(job)
        elif error is not None:
            fail(job.future, error)
        else:
            job.future.set_result(value)
        self.dispatch()

    def abandon(self) -> None:
        """The fleet is closed: nothing more comes of this."""
        for future in list(self.futures):
            fail(future, ContextLost(f'{future.host or "the fleet"}: the fleet was closed'))

    @interruptible
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """
        Take no more work; the contexts stay with the fleet.

        With `wait` it returns once what was submitted is over; with `cancel_futures` what has not begun is
        cancelled.  Raises nothing.

        Example::

            executor.shutdown(cancel_futures=True)
        """
        self.shut = True
        left = list(self.futures)
        if cancel_futures:
            for future in reversed(left):
                future.cancel()
            self.pool.post(self.dispatch)
        if wait:
            concurrent.futures.wait(left)
            self.pool.work.discard(self)
            self.pool.hears_free.discard(self.look)

    def __exit__(self, *exc_info: Any) -> None:
        if exc_info[0] is not None:
            for future in reversed(list(self.futures)):
                future.interrupt(GRACE)
            self.pool.post(self.dispatch)
        self.shutdown()


def notify(future: HostFuture[Any]) -> None:
    """Wake those who wait for a future that was cancelled, unless they were."""
    with future._condition:
        due = future._state == 'CANCELLED'
    if due:
        future.set_running_or_notify_cancel()


def fail(future: HostFuture[Any], error: BaseException) -> None:
    try:
        future.set_exception(error)
    except concurrent.futures.InvalidStateError:
        notify(future)
