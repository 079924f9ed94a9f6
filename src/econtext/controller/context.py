"""
A context, as the program sees it.

Invariants:

* A call returns, raises what the function raised, or raises why no answer can
  come; it never waits for a context that is gone.
* Bad input is refused before anything is sent.
* What a context prints or logs during a call is logged before the call returns.

Any thread may enter.
"""

from __future__ import annotations

import concurrent.futures
import logging
import marshal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import MAGIC_NUMBER
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from econtext.controller import values
from econtext.controller.connect import Origin, Secret, Wish
from econtext.controller.errors import (
    CallError,
    CallTimeout,
    ConnectError,
    ContextLost,
    CorruptStream,
    EcontextError,
    call_error,
)
from econtext.controller.futures import Future
from econtext.controller.loop import Expired, Timer, Wait
from econtext.controller.modules import Unit, pack_units
from econtext.controller.records import Lines, harmless
from econtext.controller.remedies import explain
from econtext.core.wire import CALL, ERROR, LEVEL, MODULE, PASS, RESULT, BadFrame
from econtext.parent.values import TooDeep, decode

if TYPE_CHECKING:
    from econtext.controller.broker import Broker
    from econtext.controller.channels import Channel
    from econtext.parent.children import Birth

HERE = '.'.join(str(part) for part in values.VERSION)
P = ParamSpec('P')
T = TypeVar('T')


class Call(Wait):
    """One call whose caller waits for it."""

    def __init__(self, context: Context, deadline: float | None) -> None:
        self.loop = context.broker.loop
        self.context = context
        self.deadline = deadline

    def settle(self, kind: int, body: bytes) -> None:
        if self.context.talked:
            self.context.end_of_call()
        super().settle(kind, body)


class Context(Origin, concurrent.futures.Executor):
    """
    A place where functions of this program run.

    Made by a connector: ``broker.ssh('web1')``, ``context.sudo()``.  It is a
    ``concurrent.futures.Executor``; calls run one after the other in its main
    thread.  As a context manager it ends with its block.
    """

    crosses_as = 'econtext'

    def __init__(self, broker: Broker, number: int, name: str, via: Context | None) -> None:
        self.broker = broker
        self.id = number
        #: The name in logs and errors.
        self.name = name
        #: The context that started this one; None for the controller itself.
        self.via = via
        #: The interpreter there, known once it is ready.
        self.python_version: tuple[int, ...] = ()
        self.executable = ''
        self.pid = 0
        self.version = ''
        self.magic: Any = None
        self.answers: Mapping[str, Secret] = {}
        self.children: dict[int, Context] = {}
        self.lines = Lines(name)
        self.level = self.lines.logger.getEffectiveLevel()
        self.talked = False
        self.timer: Timer | None = None
        self.connect_timeout = 0.0
        # With one_trip: what is started once there is a first call to send along.
        self.unborn: Birth | None = None
        self.sent: set[str] = set()
        self.complete: set[str] = set()
        self.sending = threading.Lock()
        self.ready = False
        self.error: Callable[[], EcontextError] | None = None
        self.seen = False
        self.closing = False
        self.waits: list[Wait] = []
        self.pending: set[Future[Any]] = set()

    def __repr__(self) -> str:
        state = 'lost' if self.error else 'ready' if self.ready else 'starting'
        return f'<econtext.Context {self.name} {state}>'

    def path(self) -> list[Context]:
        """Return the contexts between the controller and this one, this one last."""
        before = self.via.path() if self.via else []
        return [*before, self]

    def within(self, number: int) -> bool:
        """Is context `number` this one, or above it?"""
        return any(context.id == number for context in self.path())

    # Calls.

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Run ``function(*args, **kwargs)`` there and return its result.

        `function` is a function of a module, a class, a static or class method,
        or a built-in.  Its module, and what that imports, is sent along; `args`
        and `kwargs` are values that cross.

        Raises CallError (also of the built-in type that was raised there),
        ConnectError, ContextLost; TypeError or ValueError, before anything is
        sent, for what cannot be.

        Example::

            load = web.call(os.getloadavg)
        """
        result: T = self.run(function, args, kwargs, None)
        return result

    def submit(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """
        Send the call and return a Future at once.

        `function`, `args` and `kwargs` are as for call().  Raises TypeError or
        ValueError for what cannot be sent, ConnectError or ContextLost if the
        context is gone already; all else is raised by the future's result().

        Example::

            futures = [web.submit(install, 'app') for web in webs]
            results = [future.result() for future in futures]
        """
        return self.launch(function, args, kwargs, None)

    def options(self, *, timeout: float | None = None) -> Options:
        """
        Return what has ``call`` and ``submit`` with these options.

        `timeout` is in seconds; at the deadline CallTimeout is raised.  The
        function goes on there, and the context is free once it has ended.
        Raises ValueError for what is no number of seconds.

        Example::

            web.options(timeout=5).call(install_app)
        """
        if timeout is not None and not timeout >= 0:
            raise ValueError(f'timeout= must be a number of seconds, not {timeout!r}')
        return Options(self, timeout)

    def run(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        timeout: float | None,
    ) -> Any:
        body = self.request(function, args, kwargs)
        deadline = None if timeout is None else time.monotonic() + timeout
        call = Call(self, deadline)
        handle = self.broker.router.ask(CALL, self.id, body, call.settle)
        if self.unborn is not None:
            self.bear()
        try:
            self.broker.loop.wait(call)
        except Expired:
            raise self.late(handle, timeout) from None
        return self.outcome(call.kind, call.body)

    def launch(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        timeout: float | None,
    ) -> Future[Any]:
        body = self.request(function, args, kwargs)
        future: Future[Any] = Future(self)
        self.pending.add(future)
        handle = self.broker.router.ask(CALL, self.id, body, future.settle)
        if self.unborn is not None:
            self.bear()
        if timeout is not None:
            def expire() -> None:
                if self.broker.router.asked.pop(handle, None):
                    future.settle_by(lambda: raise_(self.late(handle, timeout)))

            future.timer = self.broker.loop.at(time.monotonic() + timeout, expire)
            if future.done():
                future.timer.action = None
        return future

    def late(self, handle: int, timeout: float | None) -> CallTimeout:
        self.broker.router.asked.pop(handle, None)
        return CallTimeout(
            f'{self.name}: no answer within {timeout:g} s; the function may still be running '
            'there: give it more time, or close the context'
        )

    def request(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> bytes:
        """Return the body of a call, having sent the modules that it needs."""
        if self.error:
            raise self.reason()
        module, name = self.broker.name_of(function)
        body = values.encode_call(module, name, args, dict(kwargs), self)
        if module not in self.complete:
            self.push(module)
        self.follow_level()
        if self.level <= logging.DEBUG:
            self.lines.logger.debug('> call %s.%s', module, name)
        return body

    def bear(self) -> None:
        """Start the context now, if that was put off."""
        with self.sending:
            birth, self.unborn = self.unborn, None
        if birth is not None:
            birth.begin()
            self.broker.set_timer(self)

    def push(self, *modules: str) -> None:
        """Send `modules` and what they need of the program's own, if not there yet."""
        with self.sending:
            units: list[tuple[str, Unit]] = []
            for module in modules:
                units += self.broker.modules.closure(module, self.sent)
            units = [unit for unit in units if not isinstance(unit[1][2], tuple)]
            if units:
                if self.level <= logging.DEBUG:
                    names = ', '.join(name for name, unit in units)
                    self.lines.logger.debug('> modules %s', names)
                self.deliver(units)
            self.complete.update(modules)

    def deliver(self, units: Sequence[tuple[str, Unit | None]], handle: int = 0) -> None:
        """
        Send `units`; with `handle` they are what the context asked for.

        Behind a hop they come from the hop, which gets each but once.
        """
        router = self.broker.router
        if self.via is None or not all(unit for name, unit in units):
            kind = RESULT if handle else MODULE
            router.send(kind, self.id, handle, pack_units(units))
        else:
            self.via.keep(units)
            names = [name for name, unit in units]
            router.send(PASS, self.via.id, self.id, marshal.dumps((names, handle), 2))

    def keep(self, units: Sequence[tuple[str, Unit | None]]) -> None:
        """Have the context keep `units` for those below it."""
        with self.sending:
            lacking = [unit for unit in units if unit[0] not in self.sent]
            self.sent.update(name for name, unit in lacking)
            if lacking:
                self.deliver(lacking)

    def follow_level(self) -> None:
        """Tell the context which records are wanted, if that has changed."""
        level = self.lines.logger.getEffectiveLevel()
        if level != self.level:
            self.level = level
            self.broker.router.send(LEVEL, self.id, level, b'')

    def outcome(self, kind: int | None, body: Any) -> Any:
        """Return or raise what an answer says."""
        try:
            if kind == RESULT:
                return decode(body, self)
            if kind == ERROR:
                described = decode(body, self)
                raise call_error(self.name, described, self.hint(described))
        except TooDeep as error:
            raise CallError(
                self.name, 'ValueError', f'the result is {error}: send it in parts', ''
            ) from None
        except (BadFrame, TypeError, ValueError) as error:
            if isinstance(error, EcontextError):
                raise
            self.broker.corrupt(self, str(error))
            raise CorruptStream(
                f'{self.name}: its answer makes no sense ({error}); the context was ended'
            ) from None
        raise self.reason()

    def hint(self, described: Any) -> str:
        if described[0] not in ('SyntaxError', 'IndentationError', 'TabError'):
            return ''
        there = '.'.join(str(part) for part in self.python_version)
        return (
            f'The context runs Python {there}, this program {HERE}: write the module so that '
            'both can read it, or give the connector another python='
        )

    def make(self, what: str, *args: Any) -> Any:
        """Make the context or channel that a value from there speaks of."""
        if what == 'channel':
            return self.broker.channels.known(self, *args)
        context = self.broker.contexts.get(args[0])
        if context is None or not context.within(self.id):
            raise ValueError('a context that is not below its sender')
        return context

    def cross(self) -> tuple[Any, ...]:
        return self.id, self.name

    # Output.

    def end_of_call(self) -> None:
        """Let the last, unfinished line be logged before the call returns."""
        self.talked = False
        self.broker.loop.post(self.lines.flush)

    def said(self, data: bytes) -> None:
        """Log what the program that started the context says beside the link."""
        for line in data.decode('utf-8', 'backslashreplace').splitlines():
            self.lines.logger.info('%s', harmless(line))

    def fitting(self, name: str, unit: Unit | None) -> Unit | None:
        """Return `unit` if this context can load it: code objects fit one version."""
        if unit is None or not isinstance(unit[2], tuple) or self.magic == MAGIC_NUMBER:
            return unit
        there = self.version.split()[0]
        message = (
            f'module {name} is here as a code object of Python {HERE} '
            f'alone, and Python {there} cannot load it: ship its source'
        )
        return unit[0], unit[1], f'raise ImportError({message!r})\n'.encode()

    # Contexts below.

    def start(self, wish: Wish) -> Context:
        if self.error:
            raise self.reason()
        return self.broker.beget(self, wish)

    def prefix(self) -> str:
        return self.name + '.'

    # Life.

    def wait_ready(self, timeout: float | None = None) -> Context:
        """
        Wait until the context has answered, and return it.

        Raises ConnectError if it could not be started, ContextLost if it has ended
        since, CallTimeout after `timeout` seconds.  Needed by nobody who goes on
        to call.

        Example::

            root = web.sudo().wait_ready()
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        wait = Wait(self.broker.loop, deadline)
        self.bear()
        self.waits.append(wait)
        if self.ready or self.error is not None:
            wait.done = True
        try:
            self.broker.loop.wait(wait)
        except Expired:
            raise CallTimeout(f'{self.name}: not ready within {timeout:g} s') from None
        if self.error:
            raise self.reason()
        return self

    def reason(self) -> EcontextError:
        """Return why no answer can come from here."""
        self.seen = True
        if self.error:
            return self.error()
        return ContextLost(f'{self.name}: it cannot be reached any more: start it again')

    def became_ready(self) -> None:
        self.ready = True
        self.wake()

    def wake(self) -> None:
        """It has become ready, or failed: there is nothing to wait for any more."""
        if self.timer is not None:
            self.timer.action = None
        waits, self.waits = self.waits, []
        for wait in waits:
            self.broker.loop.finish(wait)

    def failed(self, kind: str, detail: str) -> Callable[[], EcontextError]:
        what, remedy = explain(kind)
        return lambda: ConnectError(self.name, kind, what, detail, remedy)

    def lost(self, what: str) -> Callable[[], EcontextError]:
        return lambda: ContextLost(f'{self.name}: {what}')

    def orphaned(self, above: Context) -> Callable[[], EcontextError]:
        """`above`, by which this is reached, is gone: if it never was there, say why."""
        def explain_that() -> EcontextError:
            cause = above.reason()
            if isinstance(cause, ConnectError):
                what = f'{above.name}, by which it is reached, could not be started: {cause.what}'
                return ConnectError(self.name, cause.kind, what, cause.lines, cause.remedy)
            return ContextLost(f'{self.name}: {above.name}, by which it was reached, is gone')
        return explain_that

    def corrupted(self, reason: str) -> Callable[[], EcontextError]:
        return lambda: CorruptStream(
            f'{self.name}: it sent what makes no sense ({reason}), and was ended: start it again'
        )

    def channel(self) -> Channel:
        """
        Return a channel, one end here, the other for a function called there.

        Raises nothing; that the context is gone shows when the channel is used.

        Example::

            channel = web.channel()
            web.submit(tail_log_file, channel, '/var/log/messages')
            for chunk in channel:
                ...
        """
        return self.broker.channels.open(self)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """
        Take no more calls, let those that were sent finish, then end the context.

        With `cancel_futures`, or without `wait`, it ends at once; see close().
        Leaving a ``with`` statement does this.  Raises nothing.

        Example::

            with broker.ssh('web1') as web:
                web.submit(install_app)
        """
        if wait and not cancel_futures and not self.error:
            concurrent.futures.wait(list(self.pending))
        self.close()

    def close(self) -> None:
        """
        End the context and all below it, within seconds; calls get ContextLost.

        Raises nothing; that it did not end in time is logged.

        Example::

            root.close()
        """
        self.broker.end(self)

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown(wait=exc_info[0] is None)


class Options:
    """``call`` and ``submit`` of a context, with options of their own."""

    def __init__(self, context: Context, timeout: float | None) -> None:
        self.context = context
        self.timeout = timeout

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Call as Context.call does.

        `function`, `args`, `kwargs` and the errors are the same; also raises
        CallTimeout, at the deadline.

        Example::

            web.options(timeout=5).call(install_app)
        """
        result: T = self.context.run(function, args, kwargs, self.timeout)
        return result

    def submit(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """
        Submit as Context.submit does.

        `function`, `args` and `kwargs` are the same.  The future also raises
        CallTimeout, at the deadline.

        Example::

            future = web.options(timeout=5).submit(install_app)
        """
        return self.context.launch(function, args, kwargs, self.timeout)


def raise_(error: BaseException) -> Any:
    raise error
