"""
Servers of a cluster as ``SpecCluster`` of distributed wants them: objects that are awaited and closed.

Invariants:

* The event loop never waits for a context: `Server.start` and `Server.stop` run in the threads of the cluster.
* A worker that ends unasked, or does not start again, is told to the cluster once.

The event loop of the cluster enters; `Process.ended` is called by any thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from econtext.controller.dask.bases import ProcessInterface, Status

if TYPE_CHECKING:
    from econtext.controller.dask.server import Server

T = TypeVar('T')


class Process(ProcessInterface):
    """A server in a context."""

    address: str | None
    status: Any
    #: Called with the process and why it has ended, by the event loop.
    lost: Callable[[Process, BaseException | None], object]

    def __init__(self, scheduler: str | None = None, *, make: Callable[[str | None], Server], threads: Any,
                 lost: Callable[[Process, BaseException | None], object], closed: Callable[[Process], object],
                 at_once: Callable[[], bool], name: object = None, **known: object) -> None:
        # What else is `known` of a worker is for those who scale by cores or memory.
        super().__init__(scheduler=scheduler, name=name)
        self.name = name
        self.server: Server = make(scheduler)
        self.lost = lost
        #: Called once it is closed, by the event loop.
        self.closed: Callable[[Process], object] = closed
        self.threads: concurrent.futures.ThreadPoolExecutor = threads
        #: Does it return before the server has started?
        self.at_once = at_once
        self.starting: asyncio.Task[None] | None = None
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()

    async def start(self) -> None:
        """Start the server, or begin to."""
        if self.at_once():
            self.starting = asyncio.ensure_future(self.begin_again())
        else:
            await self.begin()
        await super().start()

    async def begin(self) -> None:
        address: str = await self.waited(self.server.start, self.ended)
        self.address = address

    async def begin_again(self) -> None:
        try:
            await self.begin()
        except Exception as error:
            self.over(error)

    async def waited(self, function: Callable[..., T], *args: object) -> T:
        """Return what `function` does, run by a thread that may wait."""
        return await self.loop.run_in_executor(self.threads, function, *args)

    def ended(self, error: BaseException | None) -> None:
        """The server has ended. Any thread."""
        try:
            self.loop.call_soon_threadsafe(self.over, error)
        except RuntimeError:
            # The event loop has ended before.
            pass

    def over(self, error: BaseException | None) -> None:
        if self.status not in (Status.closing, Status.closed):
            self.lost(self, error)

    async def close(self) -> None:
        """End the server, and its context."""
        if self.status in (Status.closing, Status.closed):
            return
        self.status = Status.closing
        await self.waited(self.server.stop)
        await super().close()
        self.closed(self)
