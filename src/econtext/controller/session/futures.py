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
import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures._base import FINISHED, RUNNING
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from econtext.child import renewal
from econtext.child.kinds import BEGUN, INTERRUPT, WITHDRAW
from econtext.controller.errors import stays
from econtext.controller.runtime.deadlines import Expired
from econtext.controller.runtime.signals import PENDING, interruptible, run_pending
from econtext.controller.runtime.timers import Timer
from econtext.controller.runtime.waiting import Wait
from econtext.controller.session.cancellation import give_up, label
from econtext.controller.session.results import outcome
from econtext.core.wire import DEAD

if TYPE_CHECKING:
    from econtext.controller.session.interfaces import Peer

T = TypeVar('T')

GUARD = threading.Lock()
ANSWER = 1.0    # seconds that a context has to say whether a call has begun


@renewal.register
def after_fork() -> None:
    global GUARD
    GUARD = threading.Lock()


class Future(concurrent.futures.Future[T], Generic[T]):
    """
    A ``concurrent.futures.Future`` for a call in a context.

    ``running()`` is true as soon as it was sent; whether its function has begun
    the context alone knows, and ``cancel()`` asks it.
    """

    # Wants BEGUN too, for those who ask.
    _hears_begun = True
    __reduce_ex__: Callable[..., Any] = stays
    #: Its number on the wire, and what was called.
    _handle = 0
    _function: object = None
    _timer: Timer | None = None
    # Ends the context if the call does not heed that it was given up.
    _overdue: Timer | None = None
    # What most have no need of costs them nothing here.
    _state = RUNNING
    _result: Any = None
    _exception: BaseException | None = None
    _watch: threading.Condition | None = None
    _compute: Callable[..., Any] | None = None
    _given_up = _dropped = _settled = False
    # The answer is decoded; who watches may not be told yet.
    _opened = False
    _waits: tuple[Wait, ...] = ()
    # What was printed before the answer, see ``output``.
    _mark = 0

    def __init__(self, context: Peer) -> None:
        # Not the base's __init__: it makes the condition.
        self._context = context
        self._waiters: list[Any] = []
        self._done_callbacks: list[Any] = []
        # Those who ask whether it has begun.
        self._askers: list[Wait] = []

    # For type checkers the base's attribute, as `as_completed` wants it; a property that makes it when wanted.
    if not TYPE_CHECKING:
        @property
        def _condition(self):
            behind = False
            with GUARD:
                if self._watch is None:
                    # Whoever watches from now on is told behind what was printed before the answer.
                    behind = self._state == FINISHED and self._context.lines.is_open(self._mark)
                    if behind:
                        self._state = RUNNING
                    self._watch = threading.Condition()
                watch = self._watch
            if behind:
                # Not to be waited for here: `wait` and `as_completed` hold the conditions of others meanwhile.
                self._context.lines.put(self._tell)
            return watch

    def _set_answer(self, kind: int, body: bytes) -> None:
        """The answer is here. Leading."""
        context = self._context
        if kind == BEGUN:
            self._tell_askers()
            return
        # Not where its time was over: until the context has answered it is a burden.
        context.pending.discard(self)
        if self._overdue is not None:
            self._overdue.action = None
        if context.talked:
            context.end_of_call()
        lines = context.lines
        # Whose time was over waits for no handler any more.
        if not self._settled and (lines.queue or lines.running or lines.lines):
            self._mark = lines.mark()
        if kind == DEAD and self._given_up and context.error is None:
            self._dropped = True
            self._set_outcome(drop)
            return
        self._set_outcome(functools.partial(outcome, context, kind, body))

    def _set_outcome(
        self, compute: Callable[..., Any], tell: Callable[[Callable[[], object]], None] | None = None
    ) -> None:
        """The answer is what `compute` returns or raises; it may be given a deadline. Leading."""
        if self._settled:
            # Its time was over; it has stopped now.
            return
        self._settled = True
        context = self._context
        if self._timer is not None:
            self._timer.action = None
        with GUARD:
            self._compute = compute
            waits, self._waits = self._waits, ()
            watched = self._watch is not None or bool(self._done_callbacks)
            if not watched:
                self._state = FINISHED
        if watched:
            # Behind what was printed before, unless its time was over.
            (tell or context.lines.put)(self._tell)
        for wait in waits:
            context.broker.loop.finish(wait)
        if self._askers:
            self._tell_askers()

    def _tell_askers(self) -> None:
        askers, self._askers = self._askers, []
        for wait in askers:
            self._context.broker.loop.finish(wait)

    @interruptible
    def _tell(self) -> None:
        """Settle before those who watch."""
        self._open()
        if self._exception is not None:
            self.set_exception(self._exception)
        else:
            self.set_result(self._result)

    def _open(self, deadline: float | None = None) -> None:
        """Decode the answer, up to `deadline`. Two threads at once do it twice, to the same end."""
        __tracebackhide__ = True
        compute = self._compute
        if compute is not None:
            try:
                self._result = compute() if deadline is None else compute(deadline)
            except Expired:
                raise concurrent.futures.TimeoutError(
                    f'{self._context.name}: the answer arrived, but was not decoded in time: give more time') from None
            except BaseException as error:
                self._exception = error
            # In this order: whoever sees no answer to decode sees that it was decoded.
            self._opened = True
            self._compute = None

    def _outcome(self) -> tuple[Any, BaseException | None]:
        """Return value and exception of a call that is over; waits for nothing, not for what was printed before."""
        self._open()
        return self._result, self._exception

    def _is_answered(self) -> bool:
        return self._state != RUNNING or self._compute is not None or self._opened

    def _lead(self, deadline: float | None) -> None:
        """Run the loop until the answer is here, and all that was said before it."""
        context = self._context
        if self._state != RUNNING or self._compute is not None or self._opened:
            lines = context.lines
            # concurrent.futures.wait asks with all conditions held: who handles the lines may want one of them.
            if (lines.queue or lines.running or lines.lines) and (
                    self._watch is None or not self._watch._is_owned()):  # type: ignore[attr-defined]
                self._settle(deadline)
            return
        loop = context.broker.loop
        wait = Wait(loop, deadline)
        wait.settles = True
        if deadline is None or not self._context.ready:
            wait.own = self._context.ways()
        with GUARD:
            if self._is_answered():
                # By now.
                wait.done = True
            else:
                self._waits += (wait,)
        try:
            if self._context.broker.callbacks.running:
                self._context.broker.callbacks.enter(self._context, wait)
            loop.wait(wait)
        except BaseException as error:
            # Its time is over, or Ctrl-C: nobody waits here any more.
            wait.done = True
            with GUARD:
                self._waits = tuple(each for each in self._waits if each is not wait)
            self._context.lines.pass_on()
            if isinstance(error, Expired):
                raise concurrent.futures.TimeoutError from None
            raise
        self._settle(deadline)

    def _settle(self, deadline: float | None) -> None:
        """Return when what was printed before the answer is handled."""
        try:
            self._context.lines.settle(self._mark, deadline)
        except Expired:
            raise concurrent.futures.TimeoutError(
                f'{self._context.name}: the answer is here, but handlers of logging have not taken '
                'what was printed before it') from None

    def cancel(self) -> bool:
        """
        Withdraw the call if its function has not begun; tell whether it was withdrawn.

        The context is asked, so this takes one round trip; False also if it does not
        answer within a second.  Then result() raises ``concurrent.futures.CancelledError``.
        What has begun goes on: see interrupt().  Raises nothing.

        Example::

            if not future.cancel():
                future.interrupt()
        """
        loop = self._context.broker.loop
        if not self._settled:
            wait = Wait(loop, time.monotonic() + ANSWER)
            self._given_up = True
            self._askers.append(wait)
            if self._handle not in self._context.broker.router.asked:
                wait.done = True
            else:
                self._context.broker.router.send(
                    INTERRUPT, self._context.id, self._handle, WITHDRAW)
            try:
                loop.wait(wait)
            except Expired:
                pass
        return self._dropped

    def cancelled(self) -> bool:
        """
        Tell whether the call was given up before its function began. Raises nothing.

        Example::

            left = [future for future in futures if not future.cancelled()]
        """
        return self._dropped

    def interrupt(self, grace: float = 1.0) -> bool:
        """
        Stop the call: its function is interrupted where it stands.

        The programs it has started are told to end, then ``econtext.Interrupted`` is
        raised there, and result() raises the CallError of that; or whatever else the
        function then does.  If it has not stopped after `grace` seconds, its context is
        ended, and calls of it raise ContextLost.  A call that has not begun is
        cancelled.  Returns at once; False if the answer is here already.  Raises
        nothing.

        Example::

            future = web.submit(install_app)
            if not wanted():
                future.interrupt()
        """
        if self._settled:
            return False
        self._given_up = True
        give_up(self._context, self, self._handle, grace, f'{label(self._function)} was interrupted')
        return True

    def done(self) -> bool:
        """
        Tell whether the answer is here. Raises nothing.

        Example::

            if future.done():
                print(future.result())
        """
        return self._settled or bool(self._state == FINISHED)

    def result(self, timeout: float | None = None) -> T:
        """
        Return what the function returned, or raise what it raised.

        Raises what Context.call does, and TimeoutError if the answer is not here
        after `timeout` seconds.

        Example::

            print(web.submit(os.getloadavg).result(timeout=5))
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self._lead(deadline)
        if self._compute is not None:
            self._open(deadline)
        if PENDING:
            run_pending()
        if self._exception is not None:
            try:
                raise self._exception
            finally:
                self = None  # type: ignore[assignment]  # no cycle through the traceback
        result: T = self._result
        return result

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """
        Return what result() would raise, None if the function returned.

        Raises TimeoutError if the answer is not here after `timeout` seconds.

        Example::

            failed = [future for future in futures if future.exception()]
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self._lead(deadline)
        self._open(deadline)
        if PENDING:
            run_pending()
        if self._dropped:
            raise concurrent.futures.CancelledError
        return self._exception


def drop(*_deadline: float) -> None:
    raise concurrent.futures.CancelledError
