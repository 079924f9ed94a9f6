"""
The contexts of another program, for asyncio.

Invariants:

* Nothing of the event loop blocks: to attach, to ask for a context and to leave have a thread while they last; a call
  of a function of the other program has none.
* An attachment that nobody awaits any more is left: a task that is cancelled meanwhile leaves no link behind.

The thread of the event loop enters.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from econtext.controller.aio import errands
from econtext.controller.aio.bridge import Signal, bridge_of
from econtext.controller.aio.context import Context, Starting, wrap
from econtext.controller.attach import client
from econtext.controller.connect.connectors import Connectors
from econtext.controller.errors import EcontextError, stays
from econtext.controller.runtime import signals

if TYPE_CHECKING:
    from econtext.controller.aio.fleet import Fleet
    from econtext.controller.connect.options import ConnectRequest
    from econtext.controller.fleet.relays import Relays
    from econtext.controller.fleet.requests import Connector
    from econtext.controller.fleet.sources import Hosts

P = ParamSpec('P')
T = TypeVar('T')


def attach(path: str | os.PathLike[str] | None = None) -> Attachment:
    """
    Use the contexts of a broker that another program of the same user has, and start others there.

    `path` is that of econtext.attach().  Use what is returned in an ``async with`` statement, or await it: then it is
    attached.  Raises what that does, there.

    Example::

        async with econtext.aio.attach() as other:
            print(await other.local(name='builder').call(os.getcwd))
    """
    return Attachment(path)


class Attachment(Connectors[Context]):
    """
    The contexts of another program, for asyncio; made by attach().

    It has the names of econtext.Attachment, awaited.  A connector returns at once.  What it returns is awaited,
    ``box = await other.local(name='box')``, or used by its awaited methods, ``await other.local(name='box').call(f)``.
    `blocking` is the econtext.Attachment that it stands for, once it is attached.

    Example::

        async with econtext.aio.attach() as other:
            web = await other.ssh('web1', idle_timeout=600)
            print(await web.call(os.getloadavg))
    """

    __reduce_ex__: Callable[..., Any] = stays

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        self._wanted: str | os.PathLike[str] | None = path
        self._attached: client.Attachment | None = None

    def __repr__(self) -> str:
        if self._attached is None:
            return '<econtext.aio.Attachment not attached>'
        state = ' closed' if self._attached._session.closed else ''
        return f'<econtext.aio.Attachment {self.path}{state}>'

    @property
    def blocking(self) -> client.Attachment:
        """The econtext.Attachment that it stands for."""
        if self._attached is None:
            raise EcontextError('this Attachment is not attached yet: use it in `async with`, or await it')
        return self._attached

    @property
    def path(self) -> str:
        """The socket of the other program."""
        return self.blocking.path

    def _start(self, request: ConnectRequest) -> Context:
        attached = self.blocking
        return Starting(lambda: attached._start(request), request.name or request.common.get('name') or '')

    def _prefix(self) -> str:
        return ''

    async def contexts(self) -> list[Context]:
        """
        Return the contexts that there are now.

        Raises ContextLost if the program is gone.

        Example::

            names = [context.name for context in await other.contexts()]
        """
        attached = self.blocking
        return [Context(context) for context in await errands.begin(lambda: attached.contexts)]

    async def context(self, name: str) -> Context:
        """
        Return the context called `name`.

        As the context() of econtext.Attachment; raises what that does.

        Example::

            web = await other.context('web1')
        """
        attached = self.blocking
        return Context(await errands.begin(lambda: attached.context(name)))

    async def call(self, function: Callable[P, T] | str, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Run ``function(*args, **kwargs)`` in the other program and return its result.

        `function`, `args`, `kwargs` are those of the call() of econtext.Attachment.  If the task is cancelled, the
        function goes on there, and nobody gets its result.  Raises what that does.

        Example::

            task = await other.call('tasks.next_task', 'web1')
        """
        session = self.blocking._session
        bridge = bridge_of(session.loop)
        signal = Signal(bridge)
        session.begin_run(function, args, kwargs, signal)
        await bridge.wait(signal)
        result: T = wrap(session.end_run(signal))
        return result

    def fleet(
        self, hosts: Hosts, *, connector: Connector = 'ssh', connect_limit: int = 64, connect_retries: int = 0,
        retry_delay: float = 1.0, relays: Relays = None, **options: Any,
    ) -> Fleet:
        """
        Return a fleet: many hosts, on which the same is done.

        `hosts`, `connector`, `connect_limit`, `connect_retries`, `retry_delay`, `relays` and `options` are those of the
        fleet() of econtext.Attachment.  Raises what that does.

        Example::

            fleet = other.fleet(['web1', 'web2'], username='deploy')
            print((await fleet.call(os.getloadavg)).successes)
        """
        from econtext.controller.aio.fleet import Fleet

        return Fleet(self.blocking.fleet(
            hosts, connector=connector, connect_limit=connect_limit, connect_retries=connect_retries,
            retry_delay=retry_delay, relays=relays, **options))

    async def close(self) -> None:
        """
        Leave; calls that have not ended are given up, and contexts whose last user this was end.

        Leaving the ``async with`` statement does this.  A task that is cancelled meanwhile is so behind the end.
        Raises nothing.

        Example::

            await other.close()
        """
        attached = self._attached
        if attached is None:
            return
        try:
            await errands.finish(attached.close)
        finally:
            # The thread that closes may not give signals back.
            signals.restore(attached._session)

    async def _attach(self) -> Attachment:
        if self._attached is None:
            attaching = Attaching(self._wanted)
            try:
                self._attached = await errands.begin(attaching.attach)
            except asyncio.CancelledError:
                attaching.leave()
                raise
            signals.defer(self._attached._session)
        return self

    def __await__(self) -> Generator[Any, None, Attachment]:
        return self._attach().__await__()

    async def __aenter__(self) -> Attachment:
        return await self._attach()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()


class Attaching:
    """A thread attaches; the task that awaits it may be cancelled meanwhile, at any moment."""

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.path: str | os.PathLike[str] | None = path
        self.lock: threading.Lock = threading.Lock()
        self.left: bool = False
        self.made: client.Attachment | None = None

    def attach(self) -> client.Attachment:
        made = client.attach(self.path)
        with self.lock:
            self.made = made
            left = self.left
        if left:
            made.close()
        return made

    def leave(self) -> None:
        """Nobody awaits it any more."""
        with self.lock:
            self.left = True
            made = self.made
        if made is not None:
            threading.Thread(target=made.close, name='econtext aio', daemon=True).start()
