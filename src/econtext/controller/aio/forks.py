"""
Isolated calls, awaited: each runs in a fork of its context.

Invariants:

* What ``session.forks`` says holds here; a task that is cancelled has the process of its call ended.

The thread of the event loop enters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from econtext.child.labels import seen
from econtext.controller.aio.calls import Launcher, Visited, Visits
from econtext.controller.aio.futures import Answer, Future
from econtext.controller.session.forks import ForkFuture, ForkResult, Isolation

if TYPE_CHECKING:
    from econtext.controller.session.interfaces import Peer

P = ParamSpec('P')
T = TypeVar('T')


class ForkAnswer(ForkFuture, Answer):
    """The answer to an isolated call."""

    def __init__(self, context: Peer, visited: Visited, isolation: Isolation) -> None:
        Answer.__init__(self, context, visited.bridge)
        self._isolation = isolation
        self._wrap = visited.wrap

    def _finished(self, result: ForkResult[Any]) -> ForkResult[Any]:
        return dataclasses.replace(result, value=self._wrap(result.value))


class ForkLauncher(Launcher):
    """Sends isolated calls whose answers an event loop takes."""

    def __init__(self, visited: Visited, timeout: float | None, isolation: Isolation) -> None:
        super().__init__(visited, timeout, isolation.patience())
        self.isolation = isolation

    def new_future(self) -> ForkAnswer:
        return ForkAnswer(self.context, self.visited, self.isolation)

    def begin(
        self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], called: object = None
    ) -> Future[Any]:
        if called is None:
            self.check_open()
        future: Future[Any] = self.isolation.send(super().begin, self.context, function, args, kwargs, called)
        return future


class ForkOptions:
    """``call`` and ``submit`` of a context, in a fork of the context."""

    def __init__(self, visits: Visits, timeout: float | None, isolation: Isolation) -> None:
        self._visits = visits
        self._timeout = timeout
        self._isolation = isolation

    def __repr__(self) -> str:
        return (f'<econtext.aio.ForkOptions of {self._visits.context.name} '
                f'timeout={seen(self._timeout)} grace={seen(self._isolation.grace)}>')

    def _launcher(self) -> ForkLauncher:
        return ForkLauncher(self._visits.here(), self._timeout, self._isolation)

    @overload
    async def call(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> ForkResult[T]: ...
    @overload
    async def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> ForkResult[T]: ...

    async def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """
        Run ``function(*args, **kwargs)`` in a fork of the context, and return an ``econtext.ForkResult``.

        `function`, `args`, `kwargs` are as for the call() of econtext.Context.
        If the task is cancelled, the process is ended, with its process group.  Raises what the ``call`` of
        ``econtext.Context.options(fork=True)`` does.

        Example::

            done = await web.options(fork=True).call(install_app)
            print(done.value, done.stdout)
        """
        return await self._launcher().begin(function, args, kwargs, function)

    @overload
    def submit(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[ForkResult[T]]: ...
    @overload
    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[ForkResult[T]]: ...

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """
        Submit as Context.submit does; the result of the future is an ``econtext.ForkResult``.

        `function`, `args` and `kwargs` are the same.  The future also raises what call() does.

        Example::

            future = web.options(fork=True, timeout=60).submit(install_app)
            print((await future).stdout)
        """
        return self._launcher().begin(function, args, kwargs)
