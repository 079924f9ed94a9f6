"""
The answer to a call that nobody waits for yet.

A thread that waits for it in ``result()`` leads the loop; one that waits through
``concurrent.futures.wait`` cannot, and is served by the spare thread.

The strategy: a thousand calls in flight are a thousand of these, so one that
nobody watches costs little: its condition is made when somebody first wants it,
and its answer is decoded by who asks for the result.

Invariants:

* It is settled once.  From then on ``done()`` is true, and the answer stands.
* Callbacks and waiters of ``concurrent.futures`` are told apart from the loop,
  as events: they are the application's own code.
* Under GUARD a future either has no condition, or has one and is told through it:
  no watcher comes between the look and the settling.
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable
from concurrent.futures._base import FINISHED, RUNNING
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from econtext.controller.interrupt import safe
from econtext.controller.loop import Expired, Timer, Wait

if TYPE_CHECKING:
    from econtext.controller.context import Context

T = TypeVar('T')

GUARD = threading.Lock()


class Future(concurrent.futures.Future[T], Generic[T]):
    """
    A ``concurrent.futures.Future`` for a call in a context.

    It is running as soon as it was sent, so ``cancel()`` returns False.
    """

    def __init__(self, context: Context) -> None:
        # Not the base's __init__: it makes the condition.
        self._context = context
        self._state = RUNNING
        self._result: Any = None
        self._exception: Any = None
        self._waiters: list[Any] = []
        self._done_callbacks: list[Any] = []
        self._watch: threading.Condition | None = None
        self._compute: Callable[[], Any] | None = None
        self._waits: list[Wait] = []
        self.timer: Timer | None = None

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]  # made when wanted
        with GUARD:
            if self._watch is None:
                self._watch = threading.Condition()
            return self._watch

    def settle(self, kind: int, body: bytes) -> None:
        """The answer is here. Leading."""
        context = self._context
        if context.talked:
            context.end_of_call()
        self.settle_by(lambda: context.outcome(kind, body))

    def settle_by(self, compute: Callable[[], Any]) -> None:
        """The answer is what `compute` returns or raises. Any thread."""
        context = self._context
        context.pending.discard(self)
        if self.timer is not None:
            self.timer.action = None
        with GUARD:
            self._compute = compute
            waits, self._waits = self._waits, []
            watched = self._watch is not None or bool(self._done_callbacks)
            if not watched:
                self._state = FINISHED
        if watched:
            context.broker.loop.post(self._tell)
        for wait in waits:
            context.broker.loop.finish(wait)

    @safe
    def _tell(self) -> None:
        """Settle before those who watch."""
        self._open()
        if self._exception is not None:
            self.set_exception(self._exception)
        else:
            self.set_result(self._result)

    def _open(self) -> None:
        """Decode the answer. Two threads at once do it twice, to the same end."""
        compute = self._compute
        if compute is not None:
            try:
                self._result = compute()
            except BaseException as error:
                self._exception = error
            self._compute = None

    def _lead(self, timeout: float | None) -> None:
        """Run the loop until the answer is here, and all that was said before it."""
        loop = self._context.broker.loop
        if self._state == FINISHED:
            loop.run_due()
            return
        wait = Wait(loop, None if timeout is None else time.monotonic() + timeout)
        with GUARD:
            if self._compute is None and self._state == RUNNING:
                self._waits.append(wait)
            else:
                wait.done = True
        try:
            loop.wait(wait)
        except Expired:
            raise concurrent.futures.TimeoutError from None

    def done(self) -> bool:
        """
        Tell whether the answer is here. Raises nothing.

        Example::

            if future.done():
                print(future.result())
        """
        return bool(self._state == FINISHED)

    def result(self, timeout: float | None = None) -> T:
        """
        Return what the function returned, or raise what it raised.

        Raises what Context.call does, and TimeoutError if the answer is not here
        after `timeout` seconds.

        Example::

            print(web.submit(os.getloadavg).result(timeout=5))
        """
        self._lead(timeout)
        self._open()
        if self._exception is not None:
            try:
                raise self._exception
            finally:
                self = None  # type: ignore[assignment]  # no cycle through the traceback
        result: T = self._result
        return result

    def exception(self, timeout: float | None = None) -> Any:
        """
        Return what result() would raise, None if the function returned.

        Raises TimeoutError if the answer is not here after `timeout` seconds.

        Example::

            failed = [future for future in futures if future.exception()]
        """
        self._lead(timeout)
        self._open()
        return self._exception
