"""
Calls of a context: sent, waited for, given up.

Invariants:

* A call returns, raises what the function raised, or raises why no answer can
  come; at its deadline at the latest.
* A call that was given up is interrupted there; a context in which that does not
  help is ended.  Its caller waits for none of that.
* A blocking call that an exception of the program leaves, such as that of Ctrl-C, was
  given up: nobody can get its result any more.  One with a future was not.

Any thread may enter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from econtext.child.labels import seen
from econtext.controller.errors import CallTimeout, EcontextError
from econtext.controller.runtime.deadlines import Expired
from econtext.controller.runtime.signals import PENDING, interruptible, run_pending
from econtext.controller.runtime.timers import Timer
from econtext.controller.runtime.waiting import Wait
from econtext.controller.session.backpressure import MOST
from econtext.controller.session.cancellation import give_up, label
from econtext.controller.session.channels import Holding
from econtext.controller.session.futures import Future
from econtext.controller.session.results import outcome
from econtext.core.wire import CALL

if TYPE_CHECKING:
    from econtext.controller.runtime.loop import ControllerLoop
    from econtext.controller.runtime.waiting import Work
    from econtext.controller.session.interfaces import Peer
    from econtext.controller.session.streams import Home, Stream

GRACE = 1.0     # seconds that an interrupted function has to stop
P = ParamSpec('P')
T = TypeVar('T')


class Call(Wait):
    """One call whose caller waits for it."""

    looks = False
    settles = True
    own: tuple[Work, ...] = ()
    kind: int | None = None
    mark: int = 0    # what was printed before the answer, see ``output``

    def __init__(self, context: Peer, deadline: float | None, function: object) -> None:
        self.loop: ControllerLoop = context.broker.loop
        self.context = context
        self.deadline = deadline
        self.function = function
        self._overdue: Timer | None = None
        if not context.ready:
            self.own = context.ways()
        elif deadline is None:
            # As that would say.
            self.own = (context.lines,)

    def _set_answer(self, kind: int, body: bytes) -> None:
        if self._overdue is not None:
            self._overdue.action = None
        if self.context.talked:
            self.context.end_of_call()
        lines = self.context.lines
        if lines.queue or lines.running or lines.lines:
            self.mark = lines.mark()
        # As the base has it, without a step in between.
        self.kind = kind
        self.body = body
        self.loop.finish(self)


class Caller:
    """Sends the calls of a context, with one set of options."""

    def __init__(self, context: Home, timeout: float | None, grace: float = GRACE) -> None:
        self.context = context
        self.timeout = timeout
        self.grace = grace

    def run(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], called: object = None,
    ) -> Any:
        """Carry out a call, which errors name `called` if that is not the `function` itself."""
        # Of no use to those who read what their function raised: IPython and pytest leave the frame out.
        __tracebackhide__ = True
        context = self.context
        body = context.request(function, args, kwargs)
        deadline = None if self.timeout is None else time.monotonic() + self.timeout
        if context.backlog.is_full():
            self.wait_for_room(deadline)
        called = called or function
        call = Call(context, deadline, called)
        if context.broker.callbacks.running:
            context.broker.callbacks.enter(context, call)
        set_answer = call._set_answer if type(body) is bytes else Holding(context, call._set_answer, body)._set_answer
        handle = context.broker.router.ask(CALL, context.id, body, set_answer)
        if context.deferred is not None:
            context.launch_deferred()
        try:
            context.broker.loop.wait(call)
        except BaseException as error:
            answered, call.done = call.done, True
            context.lines.pass_on()
            if isinstance(error, Expired):
                raise self.late(call, handle, called) from None
            if not answered:
                left = f'{label(called)} was left by {type(error).__name__} in the program'
                give_up(context, call, handle, self.grace, left)
            raise
        try:
            settled = False
            if call.mark or context.lines.queue:
                context.lines.settle(call.mark, deadline)
            settled = True
            return outcome(context, call.kind, call.body, deadline)
        except Expired:
            what = 'handlers of logging have not taken what it printed'
            if settled:
                what = f'its result of {len(call.body or b""):,} bytes is not decoded'
            raise CallTimeout(
                f'{context.name}: {label(called)} ended in time, but {what} within {self.timeout:g} s: '
                'give it more time with timeout=, or have less sent') from None
        finally:
            if PENDING:
                run_pending()

    def launch(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any],
        called: object = None,
    ) -> Future[Any]:
        """Send a call, which errors name `called` if that is not the `function` itself."""
        context = self.context
        if called is None:
            self.check_open()
        future = self.new_future()
        future._function = called = called or function
        try:
            body = context.request(function, args, kwargs)
        except EcontextError:
            if context.error is None:
                raise
            # When a start fails is chance: with futures for many hosts, it is one of them that fails.
            future._set_outcome(lambda *_: raise_(context.reason()))
            return future
        if context.backlog.is_full():
            self.wait_for_room(None if self.timeout is None else time.monotonic() + self.timeout)
        context.pending.add(future)
        set_answer = future._set_answer
        if type(body) is not bytes:
            set_answer = Holding(context, set_answer, body)._set_answer
        handle = future._handle = context.broker.router.ask(CALL, context.id, body, set_answer)
        if context.deferred is not None:
            context.launch_deferred()
        if self.timeout is not None:
            def expire() -> None:
                if handle in context.broker.router.asked:
                    late = self.late(future, handle, called)
                    future._set_outcome(lambda *_: raise_(late), context.broker.loop.call_in_order)

            future._timer = context.broker.loop.call_at(time.monotonic() + self.timeout, expire)
            if future.done():
                future._timer.action = None
        return future

    def check_open(self) -> None:
        """Raise RuntimeError if the context takes no more calls."""
        context, broker = self.context, self.context.broker
        if context.shut or (broker.closed and not broker.disowned):
            raise RuntimeError(f'{context.name}: it was shut down, and takes no more calls: start another context')

    def new_future(self) -> Future[Any]:
        """Return what is to take the answer of a call."""
        return Future(self.context)

    def wait_for_room(self, deadline: float | None) -> None:
        """Wait while too much of what the context was sent is unanswered."""
        try:
            self.context.backlog.wait(deadline)
        except Expired:
            raise CallTimeout(
                f'{self.context.name}: it answers nothing, and {MOST >> 20} MiB of calls wait for it: '
                'send less at a time, or close the context'
            ) from None

    def late(self, call: Call | Future[Any], handle: int, function: object) -> CallTimeout:
        """The time is over: interrupt the function; return what the caller gets to hear."""
        give_up(self.context, call, handle, self.grace, self.excess(function))
        return self.too_late(function)

    def too_late(self, function: object) -> CallTimeout:
        return CallTimeout(
            f'{self.context.name}: {self.excess(function)}, and is being interrupted: '
            'give it more time with timeout='
        )

    def excess(self, function: object) -> str:
        return f'{label(function)} did not end within {self.timeout:g} s'


class Options:
    """``call``, ``submit`` and ``stream`` of a context, with options of their own."""

    def __init__(self, context: Home, timeout: float | None, grace: float = GRACE) -> None:
        self._caller: Caller = Caller(context, timeout, grace)

    def __repr__(self) -> str:
        caller = self._caller
        return f'{caller.context!r}.options(timeout={seen(caller.timeout)}, grace={seen(caller.grace)})'

    @overload
    def call(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...

    @interruptible
    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """
        Call as Context.call does.

        `function`, `args`, `kwargs` and the errors are the same; also raises
        CallTimeout, at the deadline.

        Example::

            web.options(timeout=5).call(install_app)
        """
        return self._caller.run(function, args, kwargs)

    @overload
    def submit(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]: ...
    @overload
    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """
        Submit as Context.submit does.

        `function`, `args` and `kwargs` are the same.  The future also raises
        CallTimeout, at the deadline.

        Example::

            future = web.options(timeout=5).submit(install_app)
        """
        return self._caller.launch(function, args, kwargs)

    def stream(
        self, function: Callable[P, Iterable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Stream[T]:
        """
        Iterate as Context.stream does.

        `function`, `args`, `kwargs` and the errors are the same.  The deadline is that
        of the whole run of the function, from here to its end, and so also the time that
        the reader takes between values counts.  At the deadline the function is
        interrupted, read or not; for the reader that raises CallTimeout, behind the values
        that came in time.

        Example::

            for line in web.options(timeout=60).stream(follow, '/var/log/messages'):
                print(line)
        """
        from econtext.controller.session import streams  # most programs stream nothing

        return streams.Stream(self._caller, function, args, kwargs)


def check_isolation(fork: bool, max_output: int | None, capture: bool) -> None:
    """Raise ValueError for options that make no sense together."""
    if not fork and (max_output is not None or not capture):
        raise ValueError('max_output= and capture= are for isolated calls: give fork=True as well')
    if max_output is not None and (type(max_output) is not int or max_output < 0):
        raise ValueError(f'max_output= must be a number of bytes, not {seen(max_output)}')


def raise_(error: BaseException) -> Any:
    raise error
