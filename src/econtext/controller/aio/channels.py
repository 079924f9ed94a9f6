"""
Channels whose values are awaited.

Invariants, beside those of ``session.channels``:

* A task that is cancelled while it waits for a value has taken none: the next reader gets the value.
* A value of which the context was given a part is whole: a task is cancelled before it is sent, or behind that.

The thread of the event loop enters; several tasks may.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Generic

from econtext.controller.aio.bridge import Bridge, Signal, bridge_of
from econtext.controller.errors import stays
from econtext.controller.session import channels
from econtext.controller.session.channels import T, check_timeout, forget

if TYPE_CHECKING:
    from econtext.controller.session.interfaces import Peer


async def get(bridge: Bridge, channel: channels.Channel, timeout: float | None = None) -> Any:
    """Return the next value of `channel`, as its own get() does."""
    deadline = None if timeout is None else time.monotonic() + check_timeout(timeout)
    end = channel._end
    while True:
        signal = None if end.inbox else Signal(bridge)
        if signal is not None:
            end.waiters.append(signal)
        try:
            body = end.take()
            if body is not None:
                return channel._decode(body, deadline)
            if not (end.inbox or end.is_open()):
                channel._check()
                raise EOFError('the channel is closed')
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if signal is not None and not await bridge.wait(signal, left):
                raise TimeoutError(f'no value within {timeout:g} s')
        finally:
            if signal is not None:
                forget(signal, [channel])


async def send(bridge: Bridge, channel: channels.Channel, value: Any) -> None:
    """Send `value` on `channel`, as its own send() does."""
    body = channel._prepare(value)
    end = channel._end
    sent = False
    try:
        while end.is_open():
            if end.spend(body, b''):
                sent = True
                break
            signal = Signal(bridge)
            end.waiters.append(signal)
            try:
                if end.is_open() and end.credit <= 0:
                    await bridge.wait(signal)
            finally:
                forget(signal, [channel])
    finally:
        channel._conclude(body, sent)
    if not sent:
        channel._refuse()


class Channel(Generic[T]):
    """
    One end of a stream of values to and from a context, awaited; made by ``context.channel()``.

    Hand it to a function there, as an argument, and use ``async for`` for what comes.  Several tasks may read, and
    several send.  The rest is as for econtext.Channel.
    """

    _crosses_as = 'econtext'
    __reduce_ex__: Callable[..., Any] = stays

    def __init__(self, channel: channels.Channel, wrap: Callable[[Any], Any]) -> None:
        self._channel: channels.Channel = channel
        self._wrap = wrap

    def __repr__(self) -> str:
        state = 'open' if self.open() else 'closed'
        return f'<econtext.aio.Channel {self._channel._end.handle} to {self._channel._holder.name} {state}>'

    # As an argument it is what it stands for.

    def _cross(self) -> tuple[int, int, int]:
        return self._channel._cross()

    def _check_handing(self, context: Peer | None) -> channels.Channel:
        return self._channel._check_handing(context)

    @property
    def context(self) -> Any:
        """The context that it was opened with."""
        return self._wrap(self._channel.context)

    def _bridge(self) -> Bridge:
        return bridge_of(self._channel._channels.loop)

    def open(self) -> bool:
        """
        Tell whether both ends are open. Raises nothing.

        Example::

            while channel.open():
                await channel.send(os.getloadavg())
        """
        return self._channel.open()

    async def send(self, value: T) -> None:
        """
        Send `value`; wait while the other end does not keep up.

        Raises what the send() of econtext.Channel does.  A task that is cancelled meanwhile has sent nothing.

        Example::

            await channel.send({'path': '/var/log/messages'})
        """
        await send(self._bridge(), self._channel, value)

    async def get(self, timeout: float | None = None) -> T:
        """
        Return the next value.

        Raises what the get() of econtext.Channel does: EOFError at the end, TimeoutError after `timeout` seconds,
        and so on.  A task that is cancelled meanwhile has taken nothing.

        Example::

            line = await channel.get(timeout=5)
        """
        value: T = self._wrap(await get(self._bridge(), self._channel, timeout))
        return value

    def keep(self) -> Channel[T]:
        """
        Leave the channel open beyond the end of the calls that were handed it; return it.

        Raises EcontextError if it is closed.

        Example::

            channel = web.channel().keep()
        """
        self._channel.keep()
        return self

    def close(self) -> None:
        """
        Tell the other end that nothing more will come; take no more either. Raises nothing.

        Example::

            channel.close()
        """
        self._channel.close()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.get()
        except EOFError:
            raise StopAsyncIteration from None
