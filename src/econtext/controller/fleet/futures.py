"""
What comes of some work on each host, as futures.

Invariants:

* A future ends once, and whatever becomes of its host: with a result, an exception, or cancelled.
* It runs from when its call is about to be sent; until then it can be cancelled.
* Callbacks that the application adds run in a thread of their own: the fleet waits for none, and drops none.

Any thread may enter.
"""

from __future__ import annotations

import concurrent.futures
import queue
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures._base import CANCELLED, PENDING, RUNNING
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from econtext.controller import notebook
from econtext.controller.errors import CallTimeout, stays
from econtext.controller.fleet.results import Results
from econtext.controller.runtime.signals import interruptible
from econtext.controller.session.futures import Future as CallFuture

if TYPE_CHECKING:
    from econtext.controller.fleet.coordinator import Coordinator
    from econtext.controller.fleet.progress import Display

T = TypeVar('T')
GRACE = 1.0     # seconds that an interrupted function has to stop


class HostFuture(concurrent.futures.Future[T], Generic[T]):
    """
    A ``concurrent.futures.Future`` for the work on one host.

    `host` is its name; '' for work of an executor that no host has taken yet.
    """

    __reduce_ex__: Callable[..., Any] = stays

    def __init__(self, host: str, callbacks: Coordinator) -> None:
        super().__init__()
        self.host = host
        self._thread_of_callbacks = callbacks
        self._call: concurrent.futures.Future[Any] | None = None
        self._gave_up: float | None = None
        self._listeners: list[Callable[[HostFuture[T]], object]] = []
        #: Told that it was interrupted, and is not over by that: code of ours, which waits for nothing.
        self._on_interrupt: Callable[[], object] | None = None

    def _listen(self, listener: Callable[[HostFuture[T]], object]) -> None:
        """Have `listener` called at the end, or now if that has come: code of ours, which waits for nothing."""
        with self._condition:
            if not self._done_unlocked():
                self._listeners.append(listener)
                return
        listener(self)

    def _done_unlocked(self) -> bool:
        """Tell whether it is over, for who has its condition."""
        return bool(self._state not in (PENDING, RUNNING))

    def _invoke_callbacks(self) -> None:
        # Of the base: it has just been settled. Not by who settles it: callbacks may take long, or wait for us.
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener(self)
        invoke: Callable[[], None] = super()._invoke_callbacks  # type: ignore[misc]  # a private part of the base
        if vars(self)['_done_callbacks']:
            self._thread_of_callbacks.post(invoke)

    @property
    def _given_up(self) -> bool:
        """Was it interrupted?"""
        return self._gave_up is not None

    def _may_begin(self) -> bool:
        """Tell whether its call is to be sent now; if so it cannot be cancelled from here on."""
        with self._condition:
            if self._state != PENDING:
                return False
            return self.set_running_or_notify_cancel()

    def _settle(self, value: Any, error: BaseException | None) -> None:
        """End it, unless it is over."""
        if not settle(self, value, error):
            self._notify_cancelled()

    def _notify_cancelled(self) -> None:
        """Wake those who wait for it if it was cancelled, unless they were."""
        with self._condition:
            if self._state == CANCELLED:
                self.set_running_or_notify_cancel()

    def _began(self, call: concurrent.futures.Future[Any]) -> None:
        """It is sent to its host, as `call`."""
        self._call = call
        if self._gave_up is not None:
            interrupt(call, self._gave_up)

    def interrupt(self, grace: float = GRACE) -> bool:
        """
        Stop the work there: cancel it if it was not sent, else interrupt the function where it stands.

        `grace` is as for Future.interrupt(). Returns at once; False if it is over already.
        Raises nothing.

        Example::

            fleet.submit(install_app)['web1'].interrupt()
        """
        if self.done():
            return False
        self._gave_up = grace
        call = self._call
        if not self.cancel():
            if call is not None:
                interrupt(call, grace)
            if self._on_interrupt is not None:
                self._on_interrupt()
        return True


def settle(future: concurrent.futures.Future[Any], value: Any, error: BaseException | None) -> bool:
    """End `future` with `error`, or with `value` if that is None, unless it is over; return whether it was not."""
    try:
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
    except concurrent.futures.InvalidStateError:
        return False
    return True


def interrupt(call: concurrent.futures.Future[Any], grace: float) -> None:
    """Stop `call`, by the means that its kind of future has."""
    stop: Callable[[float], object] | None = getattr(call, 'interrupt', None)
    if stop is not None:
        stop(grace)
    else:
        call.cancel()


def outcome_of(done: concurrent.futures.Future[Any]) -> tuple[Any, BaseException | None]:
    """
    Return the value of a future that tells that it is done, and its exception: for a callback of it.

    Nothing is waited for, nor is anything else run: futures of calls, when asked, see to what was printed before.
    """
    if isinstance(done, CallFuture):
        return done._outcome()
    try:
        error = done.exception(0)
        return (None, error) if error is not None else (done.result(0), None)
    except concurrent.futures.CancelledError as cancelled:
        return None, cancelled


def state_of(future: HostFuture[Any]) -> str:
    """Return the word for where the work on a host is."""
    if future.cancelled():
        return 'skipped'
    if future.done():
        return 'failed' if future.exception() else 'succeeded'
    return 'running' if future.running() else 'waiting'


class Futures(Mapping[str, HostFuture[T]], Generic[T]):
    """
    Work on each host of a fleet, under way: a mapping from names of hosts to futures.

    Made by ``fleet.submit()``.  As a context manager it interrupts what is not over when the
    block is left.
    """

    __reduce_ex__: Callable[..., Any] = stays

    def __init__(
        self, futures: Mapping[str, HostFuture[T]], display: Display | None = None, grace: float = GRACE
    ) -> None:
        self._futures = dict(futures)
        self._grace = grace
        self._display = display

    def __repr__(self) -> str:
        done = sum(future.done() for future in self._futures.values())
        return f'<econtext.Futures: {done} of {len(self._futures)} done>'

    def _repr_html_(self) -> str:
        rows = [(host, state_of(future)) for host, future in self._futures.items()]
        return notebook.table(self.__repr__()[1:-1], ('host', 'state'), rows)

    def __getitem__(self, host: str) -> HostFuture[T]:
        return self._futures[host]

    def __iter__(self) -> Iterator[str]:
        return iter(self._futures)

    def __len__(self) -> int:
        return len(self._futures)

    def as_completed(self, timeout: float | None = None) -> Iterator[tuple[str, HostFuture[T]]]:
        """
        Yield (host, future) as the hosts' work ends; skipped hosts' futures are cancelled.

        Raises CallTimeout if not all have ended after `timeout` seconds.

        Example::

            for host, future in fleet.submit(os.getloadavg).as_completed():
                print(host, future.exception() or future.result())
        """
        for future in self._ends(timeout):
            yield future.host, future

    def results(self, timeout: float | None = None) -> Results[T]:
        """
        Wait until the work on all hosts has ended, and return the Results.

        Raises CallTimeout if it has not after `timeout` seconds; it goes on then.

        Example::

            futures = fleet.submit(install_app)
            print(futures.results().failures)
        """
        for _ in self._ends(timeout):
            pass
        successes: dict[str, T] = {}
        failures: dict[str, Exception] = {}
        for host, future in self._futures.items():
            if future.cancelled():
                continue
            error = future.exception()
            if error is None:
                successes[host] = future.result()
            elif isinstance(error, Exception):
                failures[host] = error
            else:
                raise error
        return Results(list(self._futures), successes, failures)

    def _ends(self, timeout: float | None) -> Iterator[HostFuture[T]]:
        """Yield the futures as they end, and show the progress meanwhile."""
        deadline = None if timeout is None else time.monotonic() + timeout
        ended: queue.SimpleQueue[HostFuture[T]] = queue.SimpleQueue()
        for future in self._futures.values():
            future._listen(ended.put)
        try:
            for number in range(len(self._futures)):
                future = self._end(ended, deadline, timeout, len(self._futures) - number)
                if number == len(self._futures) - 1 and self._display is not None:
                    # The end shows before the caller prints of it.
                    self._display.finish()
                yield future
        finally:
            if self._display is not None:
                self._display.finish()

    @interruptible
    def _end(
        self, ended: queue.SimpleQueue[HostFuture[T]], deadline: float | None, timeout: float | None, left: int,
    ) -> HostFuture[T]:
        while True:
            seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
            if self._display is not None:
                tick = self._display.show()
                seconds = tick if seconds is None else min(tick, seconds)
            try:
                return ended.get(timeout=seconds)
            except queue.Empty:
                if deadline is not None and time.monotonic() >= deadline:
                    raise CallTimeout(
                        f'{left} of {len(self)} hosts did not end within {timeout:g} s: '
                        'give them more time with timeout=, or interrupt() them') from None

    def interrupt(self, grace: float | None = None) -> None:
        """
        Stop all that is not over: cancel what was not sent, interrupt what runs.

        `grace` is as for Future.interrupt(), by default that of the fleet's options. Returns at once. Raises nothing.

        Example::

            futures = fleet.submit(install_app)
            if not wanted():
                futures.interrupt()
        """
        # The last first: none of those before is begun meanwhile for nothing.
        for future in reversed(list(self._futures.values())):
            future.interrupt(self._grace if grace is None else grace)
        if self._display is not None:
            self._display.finish()

    def __enter__(self) -> Futures[T]:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.interrupt()
