"""
Isolated calls: a call that runs in a fork of its context, with output and a status of its own.

The strategy: the call is one of ``child.separate.run``, which forks there, and answers with all that there is to tell.
What came of the function is a body in that answer, which is read as the answer of any call.

Invariants:

* The result, what the function raised, deadlines, interruption and the end of the context are those of any call.  What
  differs is told beside: what the process wrote, and its status.
* A call that is given up ends its process there, within the grace.  Its context is ended only if it does not say so
  PATIENCE later: the process may ignore SIGTERM, and the context is free for others behind its end.
* Of a context nothing is believed but bytes and numbers.

Any thread may enter.
"""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, TypeVar, overload

from econtext.child import separate
from econtext.child.labels import seen
from econtext.controller.errors import CallTimeout, CorruptStream, EcontextError, ForkExited
from econtext.controller.protocol import values
from econtext.controller.raised import CallError
from econtext.controller.runtime.deadlines import Expired
from econtext.controller.runtime.signals import interruptible
from econtext.controller.session.calls import Caller, check_isolation
from econtext.controller.session.cancellation import label
from econtext.controller.session.futures import Future
from econtext.controller.session.results import outcome
from econtext.core.wire import ERROR, RESULT

if TYPE_CHECKING:
    from econtext.controller.session.interfaces import Peer
    from econtext.controller.session.streams import Home

P = ParamSpec('P')
T = TypeVar('T')

MOST = 16 << 20     # bytes of output
MOST_GRACE = 1e9    # seconds; a longer grace is as good as this
PATIENCE = 5.0      # seconds beyond the grace, for the context to say that the process has ended
BODIES = {separate.RETURNED: RESULT, separate.RAISED: ERROR}


@dataclasses.dataclass(frozen=True)
class ForkResult(Generic[T]):
    """
    What came of an isolated call; made by ``context.options(fork=True).call()``.

    `value` is what the function returned, `stdout` and `stderr` are the bytes that its process wrote to descriptors 1
    and 2, and `returncode` is the status with which the process ended: 0, or below 0 for a signal; None if somebody
    else in the context was told the status.
    """

    value: T
    stdout: bytes
    stderr: bytes
    returncode: int | None


class Isolation:
    """How the calls of one set of options are isolated."""

    def __init__(self, grace: float, max_output: int | None, capture: bool) -> None:
        check_isolation(True, max_output, capture)
        self.grace: float = grace
        self.settings: dict[str, Any] = {
            'grace': min(float(grace), MOST_GRACE), 'most': MOST if max_output is None else max_output,
            'capture': bool(capture)}

    def patience(self) -> float:
        """Return for how many seconds to wait for a call that was given up."""
        return self.grace + PATIENCE

    def pack(self, context: Home, function: Callable[..., Any], args: Any, kwargs: Any) -> tuple[Any, ...]:
        """Return the arguments of ``separate.run``, having sent the modules that the function needs."""
        place: Any = context.broker.place_of(function)
        module, name = place
        if type(place) is tuple:
            context.broker.modules.policy.check(module)
            context.push(module)
        else:
            # A function that no module holds, see ``protocol.captured``.
            args, kwargs = (place.told, args, kwargs), {}
            context.push(*place.modules)
        return module, name, list(args), dict(kwargs), self.settings

    def send(
        self, send: Callable[..., Any], context: Home, function: Callable[..., Any], args: tuple[Any, ...],
        kwargs: dict[str, Any], called: object,
    ) -> Any:
        """Return what `send` does with the call of ``separate.run``; errors name the function itself."""
        packed = self.pack(context, function, args, kwargs)
        try:
            return send(separate.run, packed, {}, called or function)
        except (TypeError, ValueError) as error:
            raise named(error, context, packed) from error.__cause__


class ForkCaller(Caller):
    """Sends the isolated calls of a context, with one set of options."""

    def __init__(self, context: Home, timeout: float | None, isolation: Isolation) -> None:
        super().__init__(context, timeout, isolation.patience())
        self.isolation = isolation

    def run(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], called: object = None,
    ) -> Any:
        deadline = None if self.timeout is None else time.monotonic() + self.timeout
        answer = self.isolation.send(super().run, self.context, function, args, kwargs, called)
        try:
            return opened(self.context, called or function, answer, deadline)
        except Expired:
            raise CallTimeout(
                f'{self.context.name}: {label(called or function)} ended in time, but its result is not decoded '
                f'within {self.timeout:g} s: give it more time with timeout=, or have less sent') from None

    def launch(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], called: object = None,
    ) -> Future[Any]:
        if called is None:
            self.check_open()
        answer: Future[Any] = self.isolation.send(super().launch, self.context, function, args, kwargs, called)
        return answer

    def new_future(self) -> Future[Any]:
        return ForkFuture(self.context, self.isolation)


class ForkFuture(Future[Any]):
    """The answer to an isolated call."""

    def __init__(self, context: Peer, isolation: Isolation) -> None:
        super().__init__(context)
        self._isolation = isolation

    def _set_outcome(
        self, compute: Callable[..., Any], tell: Callable[[Callable[[], object]], None] | None = None
    ) -> None:
        def whole(*deadline: float) -> Any:
            return self._finished(opened(self._context, self._function, compute(*deadline), *deadline))

        super()._set_outcome(whole, tell)

    def _finished(self, result: ForkResult[Any]) -> ForkResult[Any]:
        return result

    def interrupt(self, grace: float = 1.0) -> bool:
        """
        Stop the call: its process is ended, with its whole process group.

        The group gets SIGTERM, and SIGKILL after the ``grace=`` of the options; then result() raises the CallError of
        ``econtext.Interrupted``.  If the context has not said so `grace` seconds and 5 later, it is ended.  A call that
        has not begun is cancelled.  Returns at once; False if the answer is here already.  Raises nothing.

        Example::

            future = web.options(fork=True).submit(install_app)
            if not wanted():
                future.interrupt()
        """
        return super().interrupt(max(grace + PATIENCE, self._isolation.patience()))


class ForkOptions:
    """``call`` and ``submit`` of a context, in a fork of the context."""

    def __init__(
        self, context: Home, timeout: float | None, grace: float, max_output: int | None, capture: bool
    ) -> None:
        isolation = Isolation(grace, max_output, capture)
        self._caller: ForkCaller = ForkCaller(context, timeout, isolation)

    def __repr__(self) -> str:
        caller = self._caller
        return (f'<econtext.ForkOptions of {caller.context.name} timeout={seen(caller.timeout)} '
                f'grace={seen(caller.isolation.grace)}>')

    @overload
    def call(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> ForkResult[T]: ...
    @overload
    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> ForkResult[T]: ...

    @interruptible
    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """
        Run ``function(*args, **kwargs)`` in a fork of the context, and return a ForkResult.

        `function`, `args`, `kwargs` and the errors are those of Context.call(); a CallError tells what was written and
        the status by `fork`, `stdout` and `stderr`.  Also raises ForkExited if the process ended before the function
        did, or wrote more than ``max_output=``; and CallTimeout, at the deadline.

        Example::

            done = web.options(fork=True).call(install_app)
            print(done.value, done.stdout, done.returncode)
        """
        return self._caller.run(function, args, kwargs)

    @overload
    def submit(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[ForkResult[T]]: ...
    @overload
    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[ForkResult[T]]: ...

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """
        Submit as Context.submit does; the result of the future is a ForkResult.

        `function`, `args` and `kwargs` are the same.  The future also raises what call() does; its interrupt() ends
        the process with its process group.

        Example::

            future = web.options(fork=True, timeout=60).submit(install_app)
            print(future.result().stdout)
        """
        return self._caller.launch(function, args, kwargs)


def named(error: Exception, context: Any, packed: tuple[Any, ...]) -> Exception:
    """Return the error of arguments that cannot be sent, by the name of the function that was called."""
    if not isinstance(error, EcontextError):
        module, name, args, kwargs = packed[:4]
        try:
            values.encode_call(module, name, tuple(args), kwargs, context)
        except (TypeError, ValueError) as better:
            better.__context__ = None
            return better
    return error


def opened(context: Peer, function: object, answer: Any, deadline: float | None = None) -> ForkResult[Any]:
    """Return or raise what the `answer` of an isolated call says; raise Expired if that takes beyond `deadline`."""
    if not is_answer(answer):
        nonsense(context, 'an answer of no kind')
    how, status, output, errors, body = answer
    beside: ForkResult[Any] = ForkResult(None, output, errors, status)
    if how in BODIES:
        try:
            value = outcome(context, BODIES[how], body, deadline)
        except CallError as error:
            attach(error, beside)
            raise
        if how != separate.RETURNED:
            nonsense(context, 'an exception of no kind')
        return dataclasses.replace(beside, value=value)
    if how == separate.EXCEEDED:
        what = (f'the process of {label(function)} wrote more than the max_output= of the call, and was ended: '
                'allow more, have it write less, or use capture=False')
    else:
        what = (f'the process of {label(function)} ended {manner(status)} before the function returned: '
                'see the stderr of this error')
    raise ForkExited(context.name, what, status, output, errors)


def is_answer(answer: Any) -> bool:
    return (
        type(answer) is tuple and len(answer) == 5
        and answer[0] in (separate.RETURNED, separate.RAISED, separate.EXITED, separate.EXCEEDED)
        and (answer[1] is None or type(answer[1]) is int) and all(type(part) is bytes for part in answer[2:]))


def nonsense(context: Peer, what: str) -> NoReturn:
    context.broker.corrupt(context, what)
    raise CorruptStream(f'{context.name}: its answer makes no sense ({what}); the context was ended')


def manner(status: int | None) -> str:
    """Return how a process ended, in words."""
    if status is None:
        return 'with a status that somebody else was told,'
    if status >= 0:
        return f'with status {status}'
    try:
        return f'by signal {-status} ({signal.Signals(-status).name})'
    except ValueError:
        return f'by signal {-status}'


def attach(error: CallError, beside: ForkResult[Any]) -> None:
    """Tell with an exception what its process has written, and its status."""
    own = error.__dict__
    own['fork'] = beside
    for name in 'stdout', 'stderr':
        # CalledProcessError has its own.
        if not hasattr(error, name):
            own[name] = getattr(beside, name)
