"""
A broker, for asyncio.

Invariants:

* Nothing of the event loop blocks but for what starts a local program; closing has a thread, and waits for it.
* After ``close()`` the event loop watches nothing of ours.

The thread of the event loop enters.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from econtext.controller import broker as plain
from econtext.controller.aio import errands
from econtext.controller.aio.context import Context
from econtext.controller.connect.connectors import Connectors
from econtext.controller.errors import lacks, stays
from econtext.controller.runtime import signals
from econtext.controller.text import counted

if TYPE_CHECKING:
    from econtext.controller.aio.fleet import Fleet
    from econtext.controller.connect.options import ConnectRequest
    from econtext.controller.fleet.relays import Relays
    from econtext.controller.fleet.requests import Connector
    from econtext.controller.fleet.sources import Hosts
    from econtext.controller.session.callbacks import Function


class Broker(Connectors[Context]):
    """
    Owns the contexts of a program, for asyncio; use it in an ``async with`` statement.

    `forward`, `installed`, `allow_modules` and `deny_modules`, and the errors, are those of econtext.Broker.  With
    `blocking`, an econtext.Broker, it shares the contexts of that.  Any number of event loops may use it.

    Example::

        async with econtext.aio.Broker() as broker:
            web = broker.ssh('web1')
            print(await web.call(os.getloadavg))
    """

    __reduce_ex__: Callable[..., Any] = stays

    def __init__(
        self, *, forward: Iterable[str] = (), installed: Iterable[str] = (),
        allow_modules: Iterable[str] | None = None, deny_modules: Iterable[str] = (),
        blocking: plain.Broker | None = None,
    ) -> None:
        super().__init__()
        #: The econtext.Broker that it stands for.
        self.blocking: plain.Broker = made(blocking, forward, installed, allow_modules, deny_modules)

    if not TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any:
            raise lacks(self, name, Context)

    def __repr__(self) -> str:
        tree = self.blocking._tree
        state = 'closed' if tree.closed else counted(len(tree.contexts), 'context')
        return f'<econtext.aio.Broker {state}>'

    def _repr_html_(self) -> str:
        return self.blocking._repr_html_()

    def _start(self, request: ConnectRequest) -> Context:
        return Context(self.blocking._start(request))

    def _prefix(self) -> str:
        return self.blocking._prefix()

    def allow(self, *functions: Function) -> None:
        """
        Let code in all contexts call `functions` of the program.

        As the allow() of econtext.Broker; each runs in a thread of its own.  Raises what that does.

        Example::

            broker.allow(report_progress)
        """
        self.blocking.allow(*functions)

    def fleet(
        self, hosts: Hosts, *, connector: Connector = 'ssh', connect_limit: int = 64, connect_retries: int = 0,
        retry_delay: float = 1.0, relays: Relays = None, **options: Any,
    ) -> Fleet:
        """
        Return a fleet: many hosts, on which the same is done.

        `hosts`, `connector`, `connect_limit`, `connect_retries`, `retry_delay`, `relays` and `options` are those of the
        fleet() of econtext.Broker; for a context of this broker as a relay give its `blocking`.  Raises what that does.

        Example::

            fleet = broker.fleet(['web1', 'web2'], username='deploy')
            print((await fleet.call(os.getloadavg)).successes)
        """
        from econtext.controller.aio.fleet import Fleet

        return Fleet(self.blocking.fleet(
            hosts, connector=connector, connect_limit=connect_limit, connect_retries=connect_retries,
            retry_delay=retry_delay, relays=relays, **options))

    def listen(self, path: str | os.PathLike[str] | None = None) -> str:
        """
        Let other programs of this user attach, and use the contexts; return the path.

        `path` are those of the listen() of econtext.Broker.  Raises what that does.

        Example::

            print('attach to', broker.listen())
        """
        return self.blocking.listen(path)

    async def close(self) -> None:
        """
        End every context, within seconds; further calls get ContextLost.

        Leaving the ``async with`` statement does this.  A task that is cancelled meanwhile is so behind the end.
        Raises nothing.

        Example::

            broker = econtext.aio.Broker()
            try:
                ...
            finally:
                await broker.close()
        """
        try:
            await errands.finish(self.blocking.close)
        finally:
            # The thread that closes may not give signals back.
            signals.restore(self.blocking._tree)

    async def __aenter__(self) -> Broker:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()


def made(broker: plain.Broker | None, *options: Any) -> plain.Broker:
    """Return `broker`, or a new one with these options."""
    if broker is not None:
        return broker
    forward, installed, allow_modules, deny_modules = options
    return plain.Broker(
        forward=forward, installed=installed, allow_modules=allow_modules, deny_modules=deny_modules)
