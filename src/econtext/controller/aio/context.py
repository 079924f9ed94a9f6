"""
A context, for asyncio.

Invariants:

* Each stands for one context of a broker, and has no state of its own but what its event loops await.
* Awaiting a context waits until it is ready.  Where another program is asked for it, nothing here waits for the answer
  but what is awaited.
* A call that is awaited costs no thread; commands, files and the end of a context have one while they last.

The thread of the event loop enters.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, overload

from econtext.child import interpreter
from econtext.child.channels import WINDOW
from econtext.controller import context as blocking
from econtext.controller.aio import calls, errands
from econtext.controller.aio.bridge import Signal, bridge_of
from econtext.controller.aio.calls import Options, Visits
from econtext.controller.aio.channels import Channel
from econtext.controller.aio.commands import Commands
from econtext.controller.aio.files import Files
from econtext.controller.connect.connectors import Connectors
from econtext.controller.connect.options import check_path
from econtext.controller.errors import CallTimeout, EcontextError, stays
from econtext.controller.session import channels
from econtext.controller.session.calls import GRACE

if TYPE_CHECKING:
    from econtext.controller.aio.forks import ForkOptions
    from econtext.controller.aio.futures import Future
    from econtext.controller.aio.streams import Stream
    from econtext.controller.connect.options import ConnectRequest
    from econtext.controller.session.callbacks import Function

P = ParamSpec('P')
T = TypeVar('T')


class Context(Connectors['Context'], Commands, Files):
    """
    A place where functions of this program run, awaited.

    Made by a connector: ``broker.ssh('web1')``, ``context.sudo()``, which return at once; awaiting what they return, as
    in ``web = await broker.ssh('web1')``, is wait_ready().  As an asynchronous context manager it ends with its block.
    `blocking` is the econtext.Context that it stands for.
    """

    _crosses_as = 'econtext'
    __reduce_ex__: Callable[..., Any] = stays

    def __init__(self, context: blocking.Context) -> None:
        self.blocking: blocking.Context = context
        self._visits: Visits = Visits(context._node, wrap)

    def __repr__(self) -> str:
        state = 'lost' if self.blocking._node.error else 'ready' if self.blocking._node.ready else 'starting'
        return f'<econtext.aio.Context {self.name} {state}>'

    def _repr_html_(self) -> str:
        return self.blocking._node.as_table('econtext.aio.Context')

    def __eq__(self, other: object) -> bool:
        return self.blocking is other.blocking if isinstance(other, Context) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.blocking)

    def _cross(self) -> tuple[Any, ...]:
        return self.blocking._cross()

    @property
    def name(self) -> str:
        """What logs and errors call it."""
        return self.blocking.name

    @property
    def via(self) -> Context | None:
        """The context that started it; None if this program did."""
        return None if self.blocking.via is None else Context(self.blocking.via)

    @property
    def python_version(self) -> tuple[int, ...]:
        """The version of the interpreter there; empty until it is ready."""
        return self.blocking.python_version

    @property
    def executable(self) -> str:
        """The path of that interpreter."""
        return self.blocking.executable

    @property
    def pid(self) -> int:
        """The number of the process there."""
        return self.blocking.pid

    # Contexts below.

    def _start(self, request: ConnectRequest) -> Context:
        above = self.blocking
        if above._node.broker.asks_to_start:
            return Starting(lambda: above._start(request), request.name or request.common.get('name') or '')
        return Context(above._start(request))

    def _prefix(self) -> str:
        return self.blocking._prefix()

    def allow(self, *functions: Function) -> None:
        """
        Let code in this context, and in those below, call `functions` of the program.

        As the allow() of econtext.Context; each runs in a thread of its own.  Raises what that does.

        Example::

            web.allow(report_progress)
        """
        self.blocking.allow(*functions)

    # Calls.

    @overload
    async def call(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    async def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...

    async def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """
        Run ``function(*args, **kwargs)`` there and return its result.

        `function`, `args`, `kwargs` are as for the call() of econtext.Context.  A coroutine function runs on an event
        loop there: several at once, beside the other calls.  That takes Python 3.7 there, and raises CallError on
        others.

        If the task is cancelled, the function is interrupted where it stands; a coroutine function is cancelled.  If
        it has not stopped after 1 second, see options(), the context is ended.

        Example::

            load = await web.call(os.getloadavg)
        """
        __tracebackhide__ = True
        return await self._visits.here().plainly.begin(function, args, kwargs, function)

    @overload
    def submit(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]: ...
    @overload
    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """
        Send the call, and return an ``asyncio.Future`` at once.

        `function`, `args` and `kwargs` are as for call().  While 64 MiB of calls of the context are unanswered, calls
        are kept and sent later.  Raises what call() does before anything is sent, and RuntimeError after shutdown()
        or close(); all else is raised where the future is awaited.

        Example::

            futures = [web.submit(install, 'app') for web in webs]
            results = await asyncio.gather(*futures)
        """
        return self._visits.here().plainly.begin(function, args, kwargs)

    @overload
    def options(
        self, *, timeout: float | None = None, grace: float = GRACE, fork: Literal[False] = False
    ) -> Options: ...
    @overload
    def options(
        self, *, timeout: float | None = None, grace: float = GRACE, fork: Literal[True],
        max_output: int | None = None, capture: bool = True,
    ) -> ForkOptions: ...

    def options(
        self, *, timeout: float | None = None, grace: float = GRACE, fork: bool = False,
        max_output: int | None = None, capture: bool = True,
    ) -> Options | ForkOptions:
        """
        Return what has ``call``, ``submit`` and ``stream`` with these options.

        `timeout`, `grace`, `fork`, `max_output` and `capture` are as for the options() of econtext.Context; the grace
        is also that of a task that is cancelled.  Raises what that does.

        Example::

            await web.options(timeout=5).call(install_app)
        """
        # Checked there.
        choose: Any = self.blocking.options
        chosen = choose(timeout=timeout, grace=grace, fork=fork, max_output=max_output, capture=capture)
        if fork:
            from econtext.controller.aio import forks
            return forks.ForkOptions(self._visits, timeout, chosen._caller.isolation)
        return Options(self._visits, timeout, grace)

    def stream(
        self, function: Callable[P, Iterable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Stream[T]:
        """
        Iterate over what ``function(*args, **kwargs)`` yields there, by ``async for``.

        `function`, `args`, `kwargs` are as for the stream() of econtext.Context.  Leaving the loop, or cancelling the
        task, ends the function; with a name for the stream, use ``async with``.  Raises what that does.

        Example::

            async for line in web.stream(follow, '/var/log/messages'):
                print(line)
        """
        return calls.stream(self._visits.here().plainly, function, args, kwargs)

    def channel(self, *, window: int = WINDOW) -> Channel:
        """
        Return a channel, one end here, the other for a function called there.

        `window` are as for the channel() of econtext.Context.  Raises what that does.

        Example::

            channel = web.channel()
            following = web.submit(tail_log_file, channel, '/var/log/messages')
            async for chunk in channel:
                ...
        """
        return Channel(self.blocking.channel(window=window), wrap)

    # Life.

    async def same_interpreter(self, python: str | os.PathLike[str]) -> bool:
        """
        Return whether `python`, a path there or a name, is the interpreter of this context.

        As same_interpreter() of econtext.Context.  Raises what that does.

        Example::

            if not await web.same_interpreter('/usr/bin/python3'):
                web = web.local(python='/usr/bin/python3')
        """
        same: bool = await self.call(interpreter.is_same, check_path('python', python))
        return same

    async def wait_ready(self, timeout: float | None = None) -> Context:
        """
        Wait until the context has answered, and return it.

        Raises ConnectError if it could not be started, ContextLost if it has ended since, CallTimeout after `timeout`
        seconds.

        Example::

            root = await web.sudo().wait_ready()
        """
        context = self.blocking._node
        bridge = bridge_of(context.broker.loop)
        signal = Signal(bridge)
        context.launch_deferred()
        context.waits.append(signal)
        try:
            if not (context.ready or context.error) and not await bridge.wait(signal, timeout):
                raise CallTimeout(f'{self.name}: not ready within {timeout:g} s')
        finally:
            with contextlib.suppress(ValueError):
                context.waits.remove(signal)
        if context.error:
            raise context.reason()
        return self

    async def shutdown(self) -> None:
        """
        Take no more calls, let those that were sent finish, then end the context.

        The end of a block does this, or close() if by an exception.  Raises nothing.

        Example::

            await web.shutdown()
        """
        await errands.finish(self.blocking.shutdown)

    async def close(self) -> None:
        """
        End the context and all below it, within seconds; calls get ContextLost. Raises nothing.

        Example::

            await root.close()
        """
        await errands.finish(self.blocking.close)

    def __await__(self) -> Generator[Any, None, Context]:
        return self.wait_ready().__await__()

    async def __aenter__(self) -> Context:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await (self.shutdown() if exc_info[0] is None else self.close())


def behind(name: str) -> Callable[..., Any]:
    """Return the method `name` of a context, behind its start."""
    async def method(self: Starting, /, *args: Any, **kwargs: Any) -> Any:
        await self._begin()
        return await getattr(Context, name)(self, *args, **kwargs)

    return method


class Starting(Context):
    """
    A context that another program is asked for, see ``attach``: what is awaited of it waits for the answer.

    A thread asks, for the other program may take its time.
    """

    def __init__(self, start: Callable[[], blocking.Context], name: str) -> None:
        self._called = name
        self._answer: asyncio.Future[blocking.Context] = errands.begin(start)

    def __getattr__(self, name: str) -> Any:
        if name in ('blocking', '_visits'):
            raise EcontextError(
                f'{self._called or "the context"}: the other program has not answered yet: await it first, as in '
                '`box = await other.local()`')
        raise AttributeError(name)

    def __repr__(self) -> str:
        return super().__repr__() if 'blocking' in vars(self) else f'<econtext.aio.Context {self._called} starting>'

    async def _begin(self, timeout: float | None = None) -> None:
        if 'blocking' not in vars(self):
            done, _ = await asyncio.wait((self._answer,), timeout=timeout)
            if not done:
                raise CallTimeout(f'{self._called or "the context"}: not ready within {timeout:g} s')
            answer = self._answer.result()
            if 'blocking' not in vars(self):
                # No other task was sooner.
                super().__init__(answer)

    async def wait_ready(self, timeout: float | None = None) -> Context:
        end = None if timeout is None else time.monotonic() + timeout
        await self._begin(timeout)
        return await super().wait_ready(None if end is None else max(0.0, end - time.monotonic()))

    async def __aenter__(self) -> Context:
        await self._begin()
        return self

    if not TYPE_CHECKING:
        call, run, put, get, shutdown, close = map(behind, ('call', 'run', 'put', 'get', 'shutdown', 'close'))


def wrap(value: Any) -> Any:
    """Return what stands for `value` here, if that is a context or channel."""
    if isinstance(value, blocking.Context):
        return Context(value)
    return Channel(value, wrap) if isinstance(value, channels.Channel) else value
