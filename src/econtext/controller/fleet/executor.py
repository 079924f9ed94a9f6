"""
A fleet as an executor: each piece of work goes to one host, whichever is free.

Invariants:

* Work is begun in the order in which it was submitted.
* A host that cannot be connected takes no part; work fails only once no host is left.
* Work whose context was lost is begun elsewhere as often as `retries` says, and no more: it may have run.
* Work that was interrupted is begun nowhere any more; if it is at no host just then, it ends at once.
* A job that has ended is first settled, then its place is freed, then others are begun.
* The fleet knows of an executor while it has work, and no longer; shutdown() waits for all that submit() took.

Any thread may submit, interrupt and shut down; the crew sends; all else is the coordinator's.
"""

from __future__ import annotations

import concurrent.futures
import functools
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from econtext.controller.errors import ContextLost, stays
from econtext.controller.fleet.futures import GRACE, HostFuture, outcome_of
from econtext.controller.fleet.members import attempt_all
from econtext.controller.runtime.signals import interruptible

if TYPE_CHECKING:
    from econtext.controller.context import Context
    from econtext.controller.fleet.coordinator import Coordinator
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
        #: Where it is; None while it is in line.
        self.member: Member | None = None
        #: Why its last attempt failed.
        self.failure: BaseException | None = None


class Jobs:
    """The work of an executor, and the hosts that take the work."""

    def __init__(self, pool: Pool, members: Iterable[Member]) -> None:
        self.pool = pool
        self.members: list[Member] = list(members)
        self.wanted: set[Member] = set()    # those that are being connected for this
        self.there: set[Member] = set()     # connected, as far as is known
        self.absent: dict[Member, Exception] = {}
        self.line: deque[Job] = deque()
        self.lock: threading.Lock = threading.Lock()
        #: What has not ended, and whether more may come: both with the lock.
        self.jobs: dict[HostFuture[Any], Job] = {}
        self.shut: bool = False

    def add(self, job: Job) -> None:
        """Take a job; raise RuntimeError if no more are taken. Any thread."""
        failed = functools.partial(job.future._settle, None)
        job.future._on_interrupt = lambda: self.pool.post(functools.partial(self.interrupted, job), failed)
        with self.lock:
            if self.shut:
                raise RuntimeError('the executor of the fleet was shut down, and takes no more work: make another one')
            self.pool.open(self)
            self.jobs[job.future] = job
        job.future._listen(self.ended)
        self.pool.post(functools.partial(self.enqueue, job), failed)

    def close(self) -> list[HostFuture[Any]]:
        """Take no more jobs; return the futures of those that have not ended, the last one first. Any thread."""
        with self.lock:
            self.shut = True
            return list(reversed(self.jobs))

    def ended(self, future: HostFuture[Any]) -> None:
        """A job has ended. Any thread."""
        with self.lock:
            self.jobs.pop(future, None)
            rests = not self.jobs
        if future.cancelled() or rests:
            self.pool.post(functools.partial(self.see_end, future))

    def see_end(self, future: HostFuture[Any]) -> None:
        # Those who wait hear of it.
        future._notify_cancelled()
        with self.lock:
            if not self.jobs:
                self.pool.hears_free.pop(self.serve, None)
                self.pool.over(self)

    def enqueue(self, job: Job) -> None:
        if self.pool.closed:
            # It came behind the end of all others.
            job.future._settle(None, ContextLost('the fleet was closed'))
            return
        self.pool.hears_free[self.serve] = self.broke
        self.line.append(job)
        self.dispatch()

    def dispatch(self) -> None:
        """Give work to those that are free, and connect more while there is work for them."""
        for member in self.members:
            if not self.line:
                return
            if member in self.there:
                self.serve(member)
        for member in self.members:
            if len(self.wanted) >= len(self.line):
                return
            if member not in self.there and member not in self.absent and member not in self.wanted:
                self.wanted.add(member)
                self.pool.want(member, self)
        if self.line and not self.wanted and len(self.absent) == len(self.members):
            self.give_up()

    def serve(self, member: Member) -> None:
        """Give work to `member`, if it is ours and free."""
        while member in self.there and self.next_job() is not None and self.pool.take(member):
            if not member.is_alive():
                self.there.discard(member)
                self.pool.free(member)
                self.pool.post(self.dispatch, self.broke)
                return
            self.run(member, self.line.popleft())

    def next_job(self) -> Job | None:
        """Return the first job in line that is still wanted."""
        while self.line and self.line[0].future.done():
            self.line.popleft()
        return self.line[0] if self.line else None

    # As who wants a member.

    def is_wanted(self) -> bool:
        return True

    def connected(self, member: Member, error: Exception | None) -> None:
        self.wanted.discard(member)
        if error is None:
            self.there.add(member)
        else:
            self.absent[member] = error
        self.dispatch()

    def begin(self, member: Member) -> None:
        raise AssertionError('it takes places that are free, and waits for none')

    def broke(self, error: BaseException) -> None:
        """We have a defect: fail all."""
        for future in list(self.jobs):
            future._settle(None, error)

    # Jobs.

    def give_up(self) -> None:
        """No host can be connected: nothing that waits can be done."""
        why = next(iter(self.absent.values()), None) or ContextLost('the fleet has no hosts')
        while self.line:
            self.line.popleft().future._settle(None, why)

    def run(self, member: Member, job: Job) -> None:
        """Have a job sent to `member`, where it has a place."""
        job.member = member
        context = member.context
        assert context is not None, 'it is alive'
        self.pool.crew.hand(
            functools.partial(self.send, job, member, context), functools.partial(self.over, job, member, None))

    def send(self, job: Job, member: Member, context: Context) -> None:
        """Send a job. The crew."""
        future = job.future
        if not (future._may_begin() or future.running()) or future._given_up:
            self.post_over(job, member, None, job.failure or concurrent.futures.CancelledError())
            return
        future.host = member.host.name
        call = job.begin(context)
        future._began(call)
        call.add_done_callback(lambda done: self.post_over(job, member, *outcome_of(done)))

    def post_over(self, job: Job, member: Member, value: Any, error: BaseException | None) -> None:
        self.pool.post(
            functools.partial(self.over, job, member, value, error), functools.partial(job.future._settle, None))

    def over(self, job: Job, member: Member, value: Any, error: BaseException | None) -> None:
        """An attempt at a job has ended."""
        job.member = None
        job.failure = error
        again = isinstance(error, ContextLost) and job.retries > 0 and not self.pool.closed
        if again and not job.future._given_up and not job.future.done():
            job.retries -= 1
            self.line.appendleft(job)
            settle: Callable[[], object] = bool
        else:
            settle = functools.partial(job.future._settle, value, error)
        attempt_all(settle, functools.partial(self.pool.free, member), self.dispatch)

    def interrupted(self, job: Job) -> None:
        """A job was interrupted that had begun once: if it is at no host, nothing more comes of it."""
        if job.member is None:
            job.future._settle(None, job.failure or concurrent.futures.CancelledError())

    def left_at(self, members: Iterable[Member]) -> list[concurrent.futures.Future[Any]]:
        """Return the futures of what has not ended at any of `members`, or below, or could be begun nowhere else."""
        wanted = set(members)
        nowhere_else = all(member.is_within(wanted) for member in self.members)
        with self.lock:
            jobs = list(self.jobs.values())
        return [job.future for job in jobs if (
            nowhere_else if (member := job.member) is None else member.is_within(wanted))]

    def abandon(self) -> None:
        """The fleet is closed: nothing more comes of this."""
        self.line.clear()
        for future in list(self.jobs):
            future._settle(None, ContextLost(f'{future.host or "the fleet"}: the fleet was closed'))


class FleetExecutor(concurrent.futures.Executor):
    """
    A ``concurrent.futures.Executor`` of all hosts of a fleet: work goes to whoever is free.

    Made by ``fleet.executor()``.  The `host` of a future is the one that has it.  As a context manager it
    waits for its work at the end of the block, and interrupts it if an exception leaves that.
    """

    __reduce_ex__: Callable[..., Any] = stays

    def __init__(self, pool: Pool, members: Iterable[Member], retries: int, timeout: float | None, grace: float,
                 check_function: Callable[[Any], object]) -> None:
        self._jobs: Jobs = Jobs(pool, members)
        self._callbacks: Coordinator = pool.callbacks
        self._retries = retries
        self._timeout = timeout
        self._grace = grace
        self._check_function = check_function

    @overload
    def submit(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> HostFuture[T]: ...
    @overload
    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> HostFuture[T]: ...

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> HostFuture[Any]:
        """
        Have ``function(*args, **kwargs)`` run on whichever host is free first; return its future at once.

        `function`, `args` and `kwargs` are as for Context.call().  Raises TypeError for what cannot be
        called, RuntimeError after shutdown(), or if no thread is to be had.

        Example::

            with fleet.executor(retries=2) as executor:
                futures = [executor.submit(convert, path) for path in paths]
        """
        self._check_function(function)
        future: HostFuture[Any] = HostFuture('', self._callbacks)

        def begin(context: Context) -> concurrent.futures.Future[Any]:
            return context.options(timeout=self._timeout, grace=self._grace).submit(function, *args, **kwargs)

        self._jobs.add(Job(begin, future, self._retries))
        return future

    @interruptible
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """
        Take no more work; the contexts stay with the fleet.

        With `wait` it returns once what was submitted is over; with `cancel_futures` what has not begun is
        cancelled.  Raises nothing.

        Example::

            executor.shutdown(cancel_futures=True)
        """
        left = self._jobs.close()
        if cancel_futures:
            for future in left:
                future.cancel()
        if wait:
            concurrent.futures.wait(left)

    def __exit__(self, *exc_info: Any) -> None:
        try:
            if exc_info[0] is None:
                self.shutdown()
        finally:
            # An exception leaves the block, or Ctrl-C the wait at its end.
            for future in self._jobs.close():
                future.interrupt(GRACE)
            self.shutdown()
