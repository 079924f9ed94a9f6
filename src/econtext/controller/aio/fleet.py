"""
A fleet, for asyncio.

Invariants:

* Calls on all hosts cost no thread beside those of the fleet; commands, transfers and streams have one for all hosts.
* A task that is cancelled interrupts what runs on all hosts.

The thread of the event loop enters.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from econtext.child.labels import seen
from econtext.controller.aio import errands
from econtext.controller.aio.context import Context
from econtext.controller.aio.pumps import Pump
from econtext.controller.connect.connectors import Connectors
from econtext.controller.errors import stays
from econtext.controller.fleet import fleet as blocking
from econtext.controller.fleet.futures import Futures, HostFuture, outcome_of
from econtext.controller.fleet.results import Results
from econtext.controller.text import counted

if TYPE_CHECKING:
    from econtext.controller.connect.options import ConnectRequest
    from econtext.controller.fleet.fanout import Operation
    from econtext.controller.fleet.hosts import Host
    from econtext.controller.fleet.progress import Wanted
    from econtext.controller.fleet.schedule import Amount
    from econtext.controller.fleet.streams import FleetStream

P = ParamSpec('P')
T = TypeVar('T')
A = TypeVar('A')
AHEAD = 100     # values of a stream


class Fleet(Connectors['Fleet'], Sequence[str]):
    """
    Many hosts, on which the same is done, awaited.

    Made by ``broker.fleet()``.  It is a sequence of the names of its hosts, with the slices, patterns and sets of
    econtext.Fleet, and its connectors.  As an asynchronous context manager it ends its contexts with its block.
    `blocking` is the econtext.Fleet that it stands for.
    """

    __reduce_ex__: Callable[..., Any] = stays

    def __init__(self, fleet: blocking.Fleet) -> None:
        self.blocking: blocking.Fleet = fleet

    def __repr__(self) -> str:
        return f'<econtext.aio.Fleet of {counted(len(self), "host")}>'

    def _repr_html_(self) -> str:
        return self.blocking._repr_html_()

    # What it consists of.

    @property
    def hosts(self) -> tuple[Host, ...]:
        """The hosts, each with its options, groups and variables."""
        return self.blocking.hosts

    def __len__(self) -> int:
        return len(self.blocking)

    def __iter__(self) -> Iterator[str]:
        return iter(self.blocking)

    def __contains__(self, name: object) -> bool:
        return name in self.blocking

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice | str) -> Fleet: ...
    def __getitem__(self, index: int | slice | str) -> str | Fleet:
        found = self.blocking[index]
        return found if isinstance(found, str) else Fleet(found)

    def __eq__(self, other: object) -> bool:
        return self.blocking == other.blocking if isinstance(other, Fleet) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.blocking)

    def __or__(self, other: Fleet) -> Fleet:
        return Fleet(self.blocking | other.blocking)

    def __and__(self, other: Iterable[str]) -> Fleet:
        return Fleet(self.blocking & other)

    def __sub__(self, other: Iterable[str]) -> Fleet:
        return Fleet(self.blocking - other)

    def __xor__(self, other: Fleet) -> Fleet:
        return Fleet(self.blocking ^ other.blocking)

    def filter(self, wanted: str | Callable[[Host], object]) -> Fleet:
        """
        Return the fleet of those hosts that `wanted` selects.

        `wanted` are those of the filter() of econtext.Fleet.  Raises what that does.

        Example::

            fleet.filter('web*')
        """
        return Fleet(self.blocking.filter(wanted))

    def options(
        self, *, timeout: float | None = None, grace: float | None = None, limit: int | None = None,
        batch: Amount | Sequence[Amount] | None = None, stop_after: Amount | None = None,
        progress: Wanted = None, fork: bool | None = None, max_output: int | None = None,
        capture: bool | None = None,
    ) -> Fleet:
        """
        Return the same fleet with these options for what it does.

        `timeout`, `grace`, `limit`, `batch`, `stop_after`, `progress`, `fork`, `max_output` and `capture` are those of
        the options() of econtext.Fleet.  Raises what that does.

        Example::

            rolling = fleet.options(batch=[1, '10%', '25%'], stop_after='5%', timeout=300)
            (await rolling.call(deploy, '2.1')).raise_for_failures()
        """
        return Fleet(self.blocking.options(
            timeout=timeout, grace=grace, limit=limit, batch=batch, stop_after=stop_after, progress=progress,
            fork=fork, max_output=max_output, capture=capture))

    def _start(self, request: ConnectRequest) -> Fleet:
        return Fleet(self.blocking._start(request))

    def _prefix(self) -> str:
        return self.blocking._prefix()

    # Work.

    @overload
    async def call(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Results[T]: ...
    @overload
    async def call(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Results[T]: ...

    async def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Results[Any]:
        """
        Run ``function(*args, **kwargs)`` on each host, and return the Results once all have ended.

        `function`, `args`, `kwargs` are those of the call() of econtext.Fleet.  If the task is cancelled, the functions
        are interrupted.  Raises what that does.

        Example::

            results = await fleet.call(os.getloadavg)
            for host, load in results.successes.items():
                print(host, load)
        """
        return await results_of(self.blocking.submit(function, *args, **kwargs))

    @overload
    def submit(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> dict[str, asyncio.Future[T]]: ...
    @overload
    def submit(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> dict[str, asyncio.Future[T]]: ...

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> dict[str, asyncio.Future[Any]]:
        """
        Begin to run ``function(*args, **kwargs)`` on each host, and return futures by the names of the hosts.

        `function`, `args`, `kwargs` are those of the submit() of econtext.Fleet.  Await the futures, or give them to
        the functions of asyncio; one that is cancelled interrupts the function on its host.  Raises what that does.

        Example::

            futures = fleet.submit(os.getloadavg)
            print(await futures['web1'])
        """
        begun = self.blocking.submit(function, *args, **kwargs)
        return {host: HostResult(future, self.blocking._work_options.grace) for host, future in begun.items()}

    @overload
    async def map(
        self, function: Callable[[A], Coroutine[Any, Any, T]], arguments: Mapping[str, A] | Iterable[A]
    ) -> Results[T]: ...
    @overload
    async def map(
        self, function: Callable[[A], T], arguments: Mapping[str, A] | Iterable[A]
    ) -> Results[T]: ...

    async def map(self, function: Callable[[Any], Any], arguments: Mapping[str, Any] | Iterable[Any]) -> Results[Any]:
        """
        Run `function` with one argument each: ``function(argument)``; return the Results once all have ended.

        `function`, `arguments` are those of the map() of econtext.Fleet.  Raises what that does.

        Example::

            await fleet.map(set_hostname, {'web1': 'alpha', 'web2': 'beta'})
        """
        return await results_of(self.blocking._begin_map(function, arguments))

    def stream(
        self, function: Callable[P, Iterable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> HostStream[T]:
        """
        Iterate over what ``function(*args, **kwargs)`` yields on all hosts, by ``async for``: (host, value).

        `function`, `args`, `kwargs`, the values are those of the stream() of econtext.Fleet.  Use ``async with``: the
        end of the block ends the functions.  Raises what that does.

        Example::

            async with fleet.stream(follow, '/var/log/messages') as lines:
                async for host, line in lines:
                    print(host, line)
        """
        return HostStream(self.blocking.stream(function, *args, **kwargs))

    async def run(self, argv: Any, /, **options: Any) -> Results[Any]:
        """
        Run a command on each host; return the Results, each a ``subprocess.CompletedProcess``.

        `argv`, `options` are those of the run() of econtext.Fleet; an ``on_line`` is called in a thread of its own.  If
        the task is cancelled, the commands are ended.  Raises what that does.

        Example::

            results = await fleet.run(['git', 'pull'], cwd='/srv/app', check=True)
        """
        return await self._work(lambda fleet: fleet.run(argv, **options))

    async def put(self, local: Any, remote: Any, **options: Any) -> Results[Any]:
        """
        Copy a file or a folder of this program to each host; return the Results, each what was done there.

        `local`, `remote`, `options` are those of the put() of econtext.Fleet.  Raises what that does.

        Example::

            (await fleet.put('site', '/srv/site', delete=True)).raise_for_failures()
        """
        return await self._work(lambda fleet: fleet.put(local, remote, **options))

    async def get(self, remote: Any, local: Any, **options: Any) -> Results[Any]:
        """
        Copy a file or a folder of each host to this program; return the Results, each what was done.

        `remote`, `local`, `options` are those of the get() of econtext.Fleet.  Raises what that does.

        Example::

            await fleet.get('/var/log/syslog', 'logs')
        """
        return await self._work(lambda fleet: fleet.get(remote, local, **options))

    async def _work(self, work: Callable[[Noting], Results[Any]]) -> Results[Any]:
        fleet = Noting(self.blocking)
        try:
            return await errands.begin(lambda: work(fleet))
        except asyncio.CancelledError:
            fleet.cancel()
            raise

    async def connect_all(self) -> Results[Context]:
        """
        Connect all hosts, and return the Results: the context of each. Raises nothing.

        Example::

            reachable = fleet & (await fleet.connect_all()).successes
        """
        found = await results_of(self.blocking._launch(blocking.got, occupies=False))
        return Results(
            list(self), {host: Context(context) for host, context in found.successes.items()}, dict(found.failures))

    async def context(self, host: str) -> Context:
        """
        Return the context of the `host` of that name, connected if it was not.

        Raises KeyError for another name, and what kept it from being connected.

        Example::

            async with asyncio.TaskGroup() as group:
                for host in fleet:
                    web = await fleet.context(host)
                    group.create_task(web.call(install_app))
        """
        if host not in self:
            raise KeyError(f'no host of the fleet is called {seen(host)}')
        found = await results_of(self.blocking.filter(host)._launch(blocking.got, occupies=False))
        return Context(found[host])

    # End.

    async def shutdown(self, wait: bool = True) -> None:
        """
        Wait for what was begun here, unless not to `wait`; then end the contexts, and take no more work.

        Raises nothing.

        Example::

            await fleet.shutdown()
        """
        await errands.finish(lambda: self.blocking.shutdown(wait))

    async def close(self) -> None:
        """
        End the contexts at once; what runs there fails with ContextLost. Raises nothing.

        Example::

            await fleet.close()
        """
        await self.shutdown(wait=False)

    async def __aenter__(self) -> Fleet:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.shutdown(wait=exc_info[0] is None)


async def results_of(futures: Futures[T]) -> Results[T]:
    """Return the results of work on hosts; if the task is cancelled, interrupt it."""
    loop = asyncio.get_running_loop()
    try:
        if futures._display is not None:
            # It shows while a thread waits.
            return await errands.begin(futures.results)
        left = len(futures)
        ended: asyncio.Future[None] = loop.create_future()

        def count() -> None:
            nonlocal left
            left -= 1
            if not left and not ended.done():
                ended.set_result(None)

        for future in futures.values():
            future._listen(lambda _: loop.call_soon_threadsafe(count))
        if left:
            await ended
        return futures.results()
    except asyncio.CancelledError:
        futures.interrupt()
        raise


class HostResult(asyncio.Future[T], Generic[T]):
    """The result of the work on one host, which is to come: cancelling it interrupts the function there."""

    __reduce_ex__: Callable[..., Any] = stays

    def __init__(self, future: HostFuture[T], grace: float) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop=loop)
        self.host: str = future.host
        self._future = future
        self._grace = grace
        future._listen(lambda _: loop.call_soon_threadsafe(self._arrive))

    def _arrive(self) -> None:
        if self.done():
            return
        value, error = outcome_of(self._future)
        if error is None:
            self.set_result(value)
        elif isinstance(error, concurrent.futures.CancelledError):
            super().cancel()
        else:
            self.set_exception(errands.awaitable(error))

    def cancel(self, msg: Any = None) -> bool:
        """
        Cancel the work; tell whether it had not ended. `msg` is that of the CancelledError. Raises nothing.

        Example::

            fleet.submit(install_app)['web1'].cancel()
        """
        if not super().cancel(msg):
            return False
        self._future.interrupt(self._grace)
        return True


class Noting(blocking.Fleet):
    """A fleet that notes what was begun, so that another thread can interrupt it."""

    def __init__(self, fleet: blocking.Fleet) -> None:
        super().__init__(fleet._pool, fleet._members.values(), fleet._check_function, fleet._work_options)
        self.begun: list[Futures[Any]] = []
        self.cancelled: bool = False

    def _launch(self, operation: Operation, occupies: bool = True, limit: int | None = None) -> Futures[Any]:
        futures = super()._launch(operation, occupies, limit)
        self.begun.append(futures)
        if self.cancelled:
            futures.interrupt()
        return futures

    def cancel(self) -> None:
        self.cancelled = True
        for futures in self.begun:
            futures.interrupt()


class HostStream(AsyncIterator[tuple[str, Any]], Generic[T]):
    """
    The values of a function on all hosts of a fleet; made by ``fleet.stream()``.

    Use ``async for``: it yields (host, value).  `failures` are the exceptions of hosts that have failed so far.
    """

    __reduce_ex__: Callable[..., Any] = stays

    def __init__(self, stream: FleetStream[T]) -> None:
        self._stream = stream
        self._pump: Pump[tuple[str, Any]] = Pump(stream, AHEAD)

    @property
    def failures(self) -> Mapping[str, BaseException]:
        """The exceptions of hosts that have failed so far."""
        return self._stream.failures

    async def __anext__(self) -> tuple[str, Any]:
        return await self._pump.get()

    async def aclose(self) -> None:
        """
        End the functions where they stand; what has come is dropped. Raises nothing.

        Example::

            await lines.aclose()
        """
        self._pump.leave()
        self._stream.close()

    async def __aenter__(self) -> HostStream[T]:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()
