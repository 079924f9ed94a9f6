"""
The controller's ends of channels.

Invariants, beside those of ``core.channels``:

* What arrives for a channel is believed from the context it was handed to, and
  from those below it, and from no other.
* Who waits on a channel of a context that is gone is woken with ContextLost.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from threading import get_ident
from typing import TYPE_CHECKING, Any

from econtext.controller import claims, values
from econtext.controller.answers import clock
from econtext.controller.errors import EcontextError, internal_error, stays
from econtext.controller.interrupt import MAIN, look
from econtext.controller.loop import Expired, Wait
from econtext.controller.records import harmless
from econtext.core.channels import WINDOW, End
from econtext.core.wire import CLOSE, CREDIT, DATA, BadFrame
from econtext.parent.values import Unusable, decode

if TYPE_CHECKING:
    from econtext.controller.broker import Broker
    from econtext.controller.context import Context


class Channels:
    """All channels of a broker, by handle."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.loop = broker.loop
        self.router = broker.router
        self.open_channels: dict[int, Channel] = {}
        self.handles = itertools.count(1)
        self.last = 0       # the handle that was given out last
        self.handlers: dict[int, Callable[[int, int, bytes], None]] = {
            kind: self.handler(kind) for kind in (DATA, CLOSE, CREDIT)
        }

    def waiter(self, deadline: float | None) -> Wait:
        return Wait(self.loop, deadline)

    def handler(self, kind: int) -> Callable[[int, int, bytes], None]:
        return lambda src, handle, body: self.receive(kind, src, handle, body)

    def receive(self, kind: int, src: int, handle: int, body: bytes) -> None:
        channel = self.open_channels.get(handle)
        if channel is None:
            # Closed and forgotten: what was on its way is late.
            return
        if not self.broker.contexts[src].within(channel.context.id):
            raise BadFrame('a value for the channel of another context')
        if kind == CREDIT:
            claims.credit(body)
        try:
            channel.end.receive(kind, body)
        except ValueError as error:
            raise BadFrame(str(error)) from None
        if not (channel.end.ours or channel.end.theirs):
            self.open_channels.pop(handle, None)

    def open(self, context: Context, window: int = WINDOW) -> Channel:
        handle = self.last = next(self.handles)
        channel = self.open_channels[handle] = Channel(self, context, handle, window)
        if context.error is not None:
            # Nobody will tell it so any more.
            self.drop(context)
        return channel

    def known(self, context: Context, owner: Any, handle: Any, _window: Any = None) -> Channel:
        """Return the channel that a value sent by `context` speaks of."""
        channel = self.open_channels.get(handle)
        if owner != 0 or channel is None or not context.within(channel.context.id):
            raise ValueError('a channel that was not handed to its sender')
        return channel

    def drop(self, context: Context) -> None:
        """`context` is gone."""
        for handle, channel in list(self.open_channels.items()):
            if channel.end.peer == context.id:
                self.open_channels.pop(handle, None)
                channel.end.break_off(context)


class Channel:
    """
    One end of a stream of values to and from a context.

    Made by ``context.channel()`` and handed to a function there, or in a context
    further down, as an argument.  Iterate over it for what comes; ``send()``
    what is to go.  Iteration ends when the other end closes, and raises
    ContextLost or ConnectError if its context is gone.  Leaving the loop early
    closes nothing.
    """

    crosses_as = 'econtext'
    __reduce_ex__ = stays

    def __init__(self, channels: Channels, context: Context, handle: int, window: int) -> None:
        self.channels = channels
        #: The context it was opened with.
        self.context = context
        self.holder = context
        self.end = End(channels, context.id, handle, window)
        self.handed = False

    def __repr__(self) -> str:
        state = 'open' if self.open() else 'closed'
        return f'<econtext.Channel {self.end.handle} to {self.holder.name} {state}>'

    def open(self) -> bool:
        """
        Tell whether both ends are open. Raises nothing.

        Example::

            while channel.open():
                channel.send(os.getloadavg())
        """
        return bool(self.end.is_open())

    def send(self, value: Any) -> None:
        """
        Send `value`; wait while the other end does not keep up.

        Raises EcontextError if the channel is closed, ContextLost or ConnectError
        if its context is gone, TypeError or ValueError for what cannot cross.

        Example::

            channel.send({'path': '/var/log/messages'})
        """
        if get_ident() == MAIN:
            look()
        body = values.encode(value, 'channel', self.holder)
        if not self.handed and self.end.credit <= 0:
            raise EcontextError(
                'the channel is full, and nobody reads it: hand it to a function first'
            )
        if not self.end.send(body):
            self.check()
            raise EcontextError(
                'the channel is closed: if the function that had it has ended, its future tells why; else '
                'ask open() before send()')

    def close(self) -> None:
        """
        Tell the other end that nothing more will come; take no more either.

        What has arrived can still be read.  Raises nothing.

        Example::

            channel.close()
        """
        self.end.close()
        if not self.handed:
            self.end.theirs = False
            self.channels.open_channels.pop(self.end.handle, None)

    def get(self, timeout: float | None = None) -> Any:
        """
        Return the next value.

        Raises EOFError when the other end has closed, TimeoutError after
        `timeout` seconds, ContextLost or ConnectError if the context is gone;
        ValueError for a value that cannot be taken, behind which others may come.

        Example::

            line = channel.get(timeout=5)
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            waiter = self.end.wait(deadline)
            if not self.holder.ready:
                waiter.own = self.holder.ways()
            body = self.end.take()
            if body is not None:
                return self.decode(body, deadline)
            if not (self.end.inbox or self.end.is_open()):
                self.check()
                raise EOFError('the channel is closed')
            try:
                self.channels.loop.wait(waiter)
            except Expired:
                raise TimeoutError(f'no value within {timeout:g} s') from None
            finally:
                forget(waiter, [self])

    def decode(self, body: bytes, deadline: float | None = None) -> Any:
        try:
            return decode(body, self.holder, clock(deadline, len(body)))
        except Expired:
            raise TimeoutError(
                f'{self.holder.name}: a value of {len(body):,} bytes is not decoded in time, and was dropped: '
                'give get() more time, or have less sent at a time') from None
        except Unusable as error:
            raise ValueError(
                f'{self.holder.name}: a value {harmless(str(error))}'
            ) from error.cause
        except BadFrame as error:
            self.channels.broker.corrupt(self.holder, str(error))
            raise self.holder.reason() from None
        except Exception as error:
            raise internal_error(f'{self.holder.name}: a value could not be taken in', error) from error

    def check(self) -> None:
        """Raise ContextLost if that is why the channel ended."""
        if self.end.reason is not None:
            raise self.lost()

    def lost(self) -> EcontextError:
        reason: EcontextError = self.holder.reason()
        return reason

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return self.get()
        except EOFError:
            raise StopIteration from None

    def hand_to(self, context: Context | None) -> None:
        """It is about to be sent to `context`, which will hold the other end."""
        if context is None:
            raise TypeError('a channel goes to a context as an argument of a call')
        if not context.within(self.context.id):
            raise TypeError(
                f'a channel of {self.context.name} cannot go to {context.name}, which is not '
                f'below it: use {context.name}.channel()'
            )
        if self.handed and context is not self.holder:
            raise TypeError(
                f'this channel was handed to {self.holder.name} already: open another one'
            )
        self.holder = context
        self.end.peer = context.id
        self.handed = True
        if not self.end.ours:
            # It has ended, and who holds it from now on was not told.
            self.channels.router.send(CLOSE, self.end.peer, self.end.handle, b'')

    def cross(self) -> tuple[int, int, int]:
        return 0, self.end.handle, self.end.window


def select(
    channels: Iterable[Channel], timeout: float | None = None
) -> Iterator[tuple[Channel, Any]]:
    """
    Wait on many channels in one thread; yield (channel, value) as values come.

    Ends when all of `channels` are closed.  One whose context is gone yields its
    ContextLost or ConnectError in place of a value, once.  Raises TimeoutError if
    nothing comes for `timeout` seconds.

    Example::

        for channel, line in econtext.select(channels):
            print(channel.context.name, line)
    """
    waiting = list(channels)
    if len({channel.channels for channel in waiting}) > 1:
        raise ValueError('select() takes channels of one broker only')
    while waiting:
        came = False
        for channel in list(waiting):
            # One at a time: what was taken and not looked at would be lost with this loop.
            body = channel.end.take()
            if body is not None:
                came = True
                yield channel, channel.decode(body)
            elif not (channel.end.inbox or channel.open()):
                waiting.remove(channel)
                if channel.end.reason is not None:
                    came = True
                    yield channel, channel.lost()
        if waiting and not came:
            pause(waiting, timeout)


def pause(channels: list[Channel], timeout: float | None) -> None:
    """Return once something has happened on one of `channels`."""
    loop = channels[0].channels.loop
    waiter = Wait(loop, None if timeout is None else time.monotonic() + timeout)
    for channel in channels:
        channel.end.waiters.append(waiter)
    try:
        if not any(channel.end.inbox or not channel.open() for channel in channels):
            loop.wait(waiter)
    except Expired:
        raise TimeoutError(f'nothing came within {timeout:g} s') from None
    finally:
        forget(waiter, channels)


def forget(waiter: Wait, channels: Iterable[Channel]) -> None:
    """Have nobody wake `waiter` any more: a channel on which nothing happens would keep it."""
    for channel in channels:
        with contextlib.suppress(ValueError):
            channel.end.waiters.remove(waiter)
