"""
What a function in a context yields, awaited.

Invariants, beside those of ``session.streams``:

* A task that is cancelled while it waits for a value has taken none.  A stream that nothing refers to is closed, so
  the function ends with the ``async for`` that a cancelled task leaves: no frame of ours keeps the stream.

The thread of the event loop enters, one task at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, TypeVar

from econtext.controller.aio import channels
from econtext.controller.aio.bridge import Bridge
from econtext.controller.aio.futures import Future
from econtext.controller.errors import stays
from econtext.controller.session import streams

T = TypeVar('T')


class Stream(AsyncIterator[T], Generic[T]):
    """
    The values of a function in a context; made by ``context.stream()``.

    Use ``async for``.  It is an asynchronous context manager, and closed when it is left, garbage included.
    """

    __reduce_ex__: Callable[..., Any] = stays

    def __init__(self, inner: streams.Stream[T], bridge: Bridge, wrap: Callable[[Any], Any]) -> None:
        self._inner = inner
        self._bridge = bridge
        self._wrap = wrap
        # What the function has raised, once its values have ended.
        self._last: Future[Any] | None = None

    def __repr__(self) -> str:
        state = 'over' if self._inner._over else 'open'
        return f'<econtext.aio.Stream from {self._inner._channel.context.name} {state}>'

    async def __anext__(self) -> T:
        inner, bridge = self._inner, self._bridge
        try:
            if inner._over:
                raise StopAsyncIteration
            try:
                value: T = self._wrap(await channels.get(bridge, inner._channel, inner._left()))
                return value
            except EOFError:
                inner._over = True
            except TimeoutError:
                inner._over = True
                inner._channel.close()
                raise inner._late() from None
            await self._outcome()
            raise StopAsyncIteration
        finally:
            # Nor does the traceback keep them.
            del self, inner

    def _outcome(self) -> Future[Any]:
        """Return the future of what the function has raised; there are no more values."""
        if self._last is None:
            self._last = Future(self._bridge, self._inner._grace, bool, self._inner._future)
            # A reader may leave before it looks.
            self._last.add_done_callback(lambda last: last.cancelled() or last.exception())
        return self._last

    def _ended(self, over: bool) -> tuple[bool, BaseException | None]:
        """
        Tell whether no more values will come, and what is raised for it, as by __anext__; wait for nothing.

        `over` says that its channel has ended, and all of it was read.
        """
        inner, error = self._inner, None
        if inner._over:
            return True, None
        if over:
            last = self._outcome()
            if not last.done():
                return False, None
            error = asyncio.CancelledError() if last.cancelled() else last.exception()
        elif inner._left() == 0:
            inner._channel.close()
            error = inner._late()
        else:
            return False, None
        inner._over = True
        return True, error

    async def aclose(self) -> None:
        """
        End the function where it stands; what has come is dropped.

        Its cleanup runs there.  Returns at once, and raises nothing.

        Example::

            await lines.aclose()
        """
        self._inner.close()
        self._bridge.controller.have_chores_run()

    async def __aenter__(self) -> Stream[T]:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()
