"""
Calls of a context that are awaited.

Invariants:

* A call is sent before ``submit`` returns, in the order of the submits; but where too much of what its
  context was sent is unanswered, as soon as there is room, in that order still.
* A coroutine function runs there on the one event loop of its context, see ``child.awaiting``.  The first such call
  waits until that loop runs.

The thread of the event loop enters.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from econtext.child import awaiting
from econtext.child.labels import seen
from econtext.controller.aio.bridge import Bridge, bridge_of, hold
from econtext.controller.aio.futures import Answer, Future
from econtext.controller.aio.streams import Stream
from econtext.controller.protocol.names import COROUTINE, is_coroutine_function
from econtext.controller.session import calls, streams
from econtext.controller.session.calls import GRACE

if TYPE_CHECKING:
    from econtext.controller.session.futures import Future as CallFuture
    from econtext.controller.session.streams import Home

P = ParamSpec('P')
T = TypeVar('T')

Launch = Callable[[], 'CallFuture[Any]']


class Launcher(calls.Caller):
    """Sends calls whose answers an event loop takes."""

    def __init__(self, visited: Visited, timeout: float | None, grace: float) -> None:
        super().__init__(visited.context, timeout, grace)
        self.visited = visited

    def new_future(self) -> Answer:
        return Answer(self.context, self.visited.bridge)

    def wait_for_room(self, deadline: float | None) -> None:
        """Nothing: the event loop has seen to that, and may not block."""

    def begin(
        self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], called: object = None
    ) -> Future[Any]:
        """Send a call, now or as soon as it may be sent; one that is `called` may come behind a shutdown()."""
        code = getattr(function, '__code__', None)
        if (code is None or code.co_flags & COROUTINE) and is_coroutine_function(function):
            return self.begin_coroutine(function, args, kwargs)
        visited = self.visited
        if visited.crowd or self.context.backlog.is_full():
            return visited.send(self.grace, lambda: self.launch(function, args, kwargs, called))
        # As that would do, without steps in between.
        bridge = visited.bridge
        if not bridge.busy:
            bridge.busy = True
        elif bridge.watching:
            link = self.context.broker.router.links.get(self.context.id)
            if link is not None and not link.queue:
                hold(link)
        answer: Any = self.launch(function, args, kwargs, called)
        return Future(bridge, self.grace, visited.wrap, answer)

    def begin_coroutine(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        context, visited = self.context, self.visited
        served = context.broker.coroutine_of(function)
        context.push(*served.modules)

        def launch() -> CallFuture[Any]:
            return self.launch(awaiting.run, (served.told, list(args), dict(kwargs)), {}, function)

        if visited.runs_coroutines:
            return visited.send(self.grace, launch)
        future = visited.new_future(self.grace)
        visited.held.append((future, launch))
        if len(visited.held) == 1:
            starting = visited.send(GRACE, lambda: visited.plainly.launch(awaiting.begin, (), {}, function))
            starting.add_done_callback(visited.began)
        return future


class Visited:
    """A context, as one event loop has to do with it; what it returns is given to `wrap`."""

    def __init__(self, context: Home, bridge: Bridge, wrap: Callable[[Any], Any]) -> None:
        self.context = context
        self.bridge = bridge
        self.wrap = wrap
        self.plainly: Launcher = Launcher(self, None, GRACE)
        # Calls that wait until there is room for them; those that wait for the event loop there.
        self.crowd: collections.deque[tuple[Future[Any], Launch]] = collections.deque()
        self.held: list[tuple[Future[Any], Launch]] = []
        self.runs_coroutines: bool = False

    def new_future(self, grace: float) -> Future[Any]:
        return Future(self.bridge, grace, self.wrap)

    def send(self, grace: float, launch: Launch) -> Future[Any]:
        """Send a call if there is room for it, or else later; return its future."""
        if self.crowd or self.context.backlog.is_full():
            future = self.new_future(grace)
            self.crowd.append((future, launch))
            if len(self.crowd) == 1:
                self.ask_for_room()
            return future
        return Future(self.bridge, grace, self.wrap, launch())

    def ask_for_room(self) -> None:
        self.context.backlog.tell(lambda: self.bridge.post(self.send_more))

    def send_more(self) -> None:
        """There is room for some of the crowd."""
        while self.crowd and not self.context.backlog.is_full():
            future, launch = self.crowd.popleft()
            future._send(launch)
        if self.crowd:
            self.ask_for_room()

    def began(self, starting: Any) -> None:
        """The event loop of the context runs, or cannot."""
        held, self.held = self.held, []
        error = starting.exception()
        self.runs_coroutines = error is None
        for future, launch in held:
            if error is None:
                future._send(launch)
            else:
                future._fail(error)


class Visits:
    """A context, as all event loops have to do with it."""

    def __init__(self, context: Home, wrap: Callable[[Any], Any]) -> None:
        self.context = context
        self.wrap = wrap
        self.known: tuple[Visited, ...] = ()

    def here(self) -> Visited:
        """Return what the event loop that runs here has to do with the context."""
        bridge = bridge_of(self.context.broker.loop)
        for visited in self.known:
            if visited.bridge is bridge:
                return visited
        visited = Visited(self.context, bridge, self.wrap)
        self.known = (*(each for each in self.known if not each.bridge.loop.is_closed()), visited)
        return visited


class Options:
    """``call``, ``submit`` and ``stream`` of a context, with options of their own."""

    def __init__(self, visits: Visits, timeout: float | None, grace: float) -> None:
        self._visits = visits
        self._timeout = timeout
        self._grace = grace

    def __repr__(self) -> str:
        return (f'<econtext.aio.Options of {self._visits.context.name} '
                f'timeout={seen(self._timeout)} grace={seen(self._grace)}>')

    def _launcher(self) -> Launcher:
        return Launcher(self._visits.here(), self._timeout, self._grace)

    @overload
    async def call(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    async def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...

    async def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """
        Call as Context.call does.

        `function`, `args`, `kwargs` are the same; also raises CallTimeout, at the deadline.

        Example::

            await web.options(timeout=5).call(install_app)
        """
        return await self._launcher().begin(function, args, kwargs, function)

    @overload
    def submit(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]: ...
    @overload
    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """
        Submit as Context.submit does.

        `function`, `args` and `kwargs` are the same.  The future also raises CallTimeout, at the deadline.

        Example::

            future = web.options(timeout=5).submit(install_app)
        """
        return self._launcher().begin(function, args, kwargs)

    def stream(
        self, function: Callable[P, Iterable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Stream[T]:
        """
        Iterate as Context.stream does.

        `function`, `args`, `kwargs` are the same.  The deadline is that of the whole run of the function; at the
        deadline the function is interrupted, and the reader gets CallTimeout.  Raises what that does.

        Example::

            async for line in web.options(timeout=60).stream(follow, '/var/log/messages'):
                print(line)
        """
        return stream(self._launcher(), function, args, kwargs)


def stream(launcher: Launcher, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Stream[Any]:
    """Begin to iterate over what `function` yields there."""
    visited = launcher.visited
    inner: streams.Stream[Any] = streams.Stream(launcher, function, args, kwargs)
    return Stream(inner, visited.bridge, visited.wrap)
