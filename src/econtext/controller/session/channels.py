"""
The controller's ends of channels.

Invariants, beside those of ``child.channels``:

* What arrives for a channel is believed from the context it was handed to, and
  from those below it, and from no other.
* Who waits on a channel of a context that is gone is woken with ContextLost.
* A channel ends as the last call that was handed it is over: answered, withdrawn or
  lost.  What was sent before is read first; who waits on it is told.  Neither what
  still refers to it there nor what the function does can put that off, but keep().
* A call that is not sent was handed nothing.

What arrives is entered by the thread that leads, all else by any thread.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from threading import get_ident
from typing import TYPE_CHECKING, Any, Generic, NoReturn

from econtext.child.channels import FREE, KEEP, WINDOW, End
from econtext.child.kinds import BEGUN
from econtext.child.labels import seen
from econtext.controller.errors import EcontextError, internal_error, stays
from econtext.controller.protocol import messages, values
from econtext.controller.protocol.values import Handing
from econtext.controller.runtime.deadlines import Expired, is_seconds
from econtext.controller.runtime.signals import MAIN, wrap_handlers
from econtext.controller.runtime.waiting import Wait
from econtext.controller.session.results import clock
from econtext.controller.text import harmless
from econtext.core.wire import CLOSE, CREDIT, DATA, BadFrame
from econtext.parent.values import Unusable, decode

if TYPE_CHECKING:
    from econtext.controller.runtime.loop import ControllerLoop
    from econtext.controller.session.contract import Home
    from econtext.controller.session.interfaces import Owner, Peer
    from econtext.core.router import Router


if TYPE_CHECKING:
    # Its default is for annotations that name no type, as those of before.
    from typing_extensions import TypeVar

    T = TypeVar('T', default=Any)
else:
    from typing import TypeVar

    T = TypeVar('T')


class Channels:
    """All channels of a broker, by handle."""

    def __init__(self, broker: Owner) -> None:
        self.broker = broker
        self.loop: ControllerLoop = broker.loop
        self.router: Router = broker.router
        self.open_channels: dict[int, Channel] = {}
        # Held while it changes which calls hold which channels.
        self.lock: threading.RLock = threading.RLock()
        self.handles: itertools.count[int] = itertools.count(1)
        self.last: int = 0       # the handle that was given out last
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
        if not self.broker.contexts[src].within(channel._opener.id):
            raise BadFrame('a value for the channel of another context')
        if kind == CLOSE and body:
            channel._told(bytes(body))
            return
        if kind == CREDIT:
            messages.credit(body)
        try:
            channel._end.receive(kind, body)
        except ValueError as error:
            raise BadFrame(str(error)) from None
        if not (channel._end.ours or channel._end.theirs):
            self.open_channels.pop(handle, None)

    def reserve(self, count: int) -> list[int]:
        """Return handles that no channel here is going to have."""
        found = [next(self.handles) for _ in range(count)]
        self.last = max(self.last, *found)
        return found

    def open(self, context: Peer, window: int = WINDOW) -> Channel:
        handle = self.last = next(self.handles)
        channel = self.open_channels[handle] = Channel(self, context, handle, window)
        if context.error is not None:
            # Nobody will tell it so any more.
            self.drop(context)
        return channel

    def known(self, context: Peer, owner: Any, handle: Any, _window: Any = None) -> Channel:
        """Return the channel that a value sent by `context` speaks of."""
        channel = self.open_channels.get(handle)
        if owner != 0 or channel is None or not context.within(channel._opener.id):
            raise ValueError('a channel that was not handed to its sender')
        return channel

    def drop(self, context: Peer) -> None:
        """`context` is gone."""
        for channel in list(self.open_channels.values()):
            if channel._end.peer == context.id:
                self.forget(channel, context)

    def forget(self, channel: Channel, context: Peer) -> None:
        """The other end of `channel` is gone with `context`."""
        self.open_channels.pop(channel._end.handle, None)
        channel._end.break_off(context)


class Channel(Generic[T]):
    """
    One end of a stream of values to and from a context.

    Made by ``context.channel()`` and handed to a function there, or in a context
    further down, as an argument.  Iterate over it for what comes; ``send()``
    what is to go.  Iteration ends when the other end closes, and raises
    ContextLost or ConnectError if its context is gone.  Leaving the loop early
    closes nothing.  To type checkers ``Channel[int]`` is one of numbers, both ways.
    """
    _free: bool
    _kept: bool
    _lasting: bool

    _crosses_as = 'econtext'
    __reduce_ex__: Callable[..., Any] = stays

    def __init__(self, channels: Channels, context: Peer, handle: int, window: int) -> None:
        self._channels = channels
        #: The context it was opened with.
        self.context: Home = context.facade
        self._opener: Peer = context
        self._holder: Peer = context
        self._end: End = End(channels, context.id, handle, window)
        self._handed: bool = False
        # The calls that were handed it and are not over; the channels that were sent through it.
        self._holdings: set[Holding] = set()
        self._carried: list[Channel] = []
        # It outlives its calls: by the word of the program, of a function; nothing there refers to it.
        self._lasting = self._kept = self._free = False

    def __repr__(self) -> str:
        state = 'open' if self.open() else 'closed'
        return f'<econtext.Channel {self._end.handle} to {self._holder.name} {state}>'

    def open(self) -> bool:
        """
        Tell whether both ends are open. Raises nothing.

        Example::

            while channel.open():
                channel.send(os.getloadavg())
        """
        return bool(self._end.is_open())

    def send(self, value: T) -> None:
        """
        Send `value`; wait while the other end does not keep up.

        Raises EcontextError if the channel is closed, ContextLost or ConnectError
        if its context is gone, TypeError or ValueError for what cannot cross.

        Example::

            channel.send({'path': '/var/log/messages'})
        """
        body = self._prepare(value)
        sent = self._end.send(body)
        self._conclude(body, sent)
        if not sent:
            self._refuse()

    def _prepare(self, value: Any) -> bytes:
        """Return the body of `value`, having handed over the channels that it speaks of."""
        if get_ident() == MAIN:
            wrap_handlers()
        body = values.encode(value, 'channel', self._holder)
        self._check_room()
        if isinstance(body, Handing):
            body.fresh = [channel for channel in body.channels if not channel._handed]
            hand_over(body, self._holder)
        return body

    def _check_room(self) -> None:
        if not self._handed and self._end.credit <= 0:
            raise EcontextError(
                'the channel is full, and nobody reads it: hand it to a function first'
            )

    def _send_bytes(self, data: bytes) -> None:
        """Send many bytes as one value, without a copy of them."""
        if get_ident() == MAIN:
            wrap_handlers()
        self._check_room()
        if not self._end.send(values.head_of_bytes(len(data)), data):
            self._refuse()

    def _conclude(self, body: bytes, sent: bool) -> None:
        """A value was sent, or could not be."""
        if isinstance(body, Handing):
            if sent:
                self._carry(body.channels)
            else:
                for channel in body.fresh:
                    channel._handed = False

    def _refuse(self) -> NoReturn:
        """Raise why nothing can be sent any more."""
        self._check()
        raise EcontextError(
            'the channel is closed: if the function that had it has ended, its future tells why; else '
            'ask open() before send()')

    def _carry(self, inner: list[Channel]) -> None:
        """The calls that hold this channel hold also those that were sent through it."""
        with self._channels.lock:
            self._carried = [channel for channel in self._carried if channel.open()] + inner
            for holding in self._holdings:
                for channel in inner:
                    holding.take(channel)
            if self._kept or self._lasting:
                for channel in inner:
                    channel._told(KEEP)

    def _told(self, word: bytes) -> None:
        """Take what its holder says of it."""
        with self._channels.lock:
            if word == KEEP:
                self._kept, self._free = True, False
                for channel in self._carried:
                    channel._told(word)
            elif word == FREE:
                self._free = True
            else:
                raise BadFrame('a close of no kind')
        self._release()

    def _release(self) -> None:
        """End the channel if no call holds it, and nobody kept it."""
        with self._channels.lock:
            held = self._lasting or self._holdings or (self._kept and not self._free)
        if not held:
            self._channels.open_channels.pop(self._end.handle, None)
            self._end.finish()

    def keep(self) -> Channel[T]:
        """
        Leave the channel open beyond the end of the calls that were handed it; return it.

        Without it a channel ends with the last of them, whatever still refers to it
        there.  Said in the program, it stays open until either end closes it: one
        channel for calls that follow each other.  Said by a function there, such as one
        that starts a thread and returns, it stays open until either end closes it, or
        nothing there refers to it any more.  Raises EcontextError if it is closed.

        Example::

            def watch(channel, path):
                threading.Thread(target=follow, args=(channel.keep(), path), daemon=True).start()
        """
        if not self.open():
            self._check()
            raise EcontextError('the channel is closed: keep() it before its call ends')
        self._lasting = True
        return self

    def close(self) -> None:
        """
        Tell the other end that nothing more will come; take no more either.

        What has arrived can still be read.  Raises nothing.

        Example::

            channel.close()
        """
        self._end.close()
        if not self._handed:
            self._end.theirs = False
            self._channels.open_channels.pop(self._end.handle, None)

    def get(self, timeout: float | None = None) -> T:
        """
        Return the next value.

        Raises EOFError when the other end has closed, TimeoutError after
        `timeout` seconds, ContextLost or ConnectError if the context is gone;
        ValueError for a value that cannot be taken, behind which others may come.

        Example::

            line = channel.get(timeout=5)
        """
        deadline = None if timeout is None else time.monotonic() + check_timeout(timeout)
        while True:
            waiter = self._end.wait(deadline)
            if not self._holder.ready:
                waiter.own = self._holder.ways()
            body = self._end.take()
            if body is not None:
                value: T = self._decode(body, deadline)
                return value
            if not (self._end.inbox or self._end.is_open()):
                self._check()
                raise EOFError('the channel is closed')
            try:
                self._channels.loop.wait(waiter)
            except Expired:
                raise TimeoutError(f'no value within {timeout:g} s') from None
            finally:
                forget(waiter, [self])

    def _decode(self, body: bytes, deadline: float | None = None) -> Any:
        try:
            if deadline is None:
                return decode(body, self._holder)
            return decode(body, self._holder, clock(deadline, len(body)))
        except Expired:
            raise TimeoutError(
                f'{self._holder.name}: a value of {len(body):,} bytes is not decoded in time, and was dropped: '
                'give get() more time, or have less sent at a time') from None
        except Unusable as error:
            raise ValueError(
                f'{self._holder.name}: a value {harmless(str(error))}'
            ) from error.cause
        except BadFrame as error:
            self._channels.broker.corrupt(self._holder, str(error))
            raise self._holder.reason() from None
        except Exception as error:
            raise internal_error(f'{self._holder.name}: a value could not be taken in', error) from error

    def _check(self) -> None:
        """Raise ContextLost if that is why the channel ended."""
        if self._end.reason is not None:
            raise self._lost()

    def _lost(self) -> EcontextError:
        reason: EcontextError = self._holder.reason()
        return reason

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            return self.get()
        except EOFError:
            raise StopIteration from None

    def _check_handing(self, context: Peer | None) -> Channel:
        """Return what is to be handed to `context`; raise TypeError if it cannot be."""
        if context is None:
            raise TypeError('a channel goes to a context as an argument of a call')
        if context.broker is not self._channels.broker:
            raise TypeError(
                f'a channel of {self._opener.name} cannot go to {context.name}, which another broker or program '
                f'has: use {context.name}.channel()'
            )
        if not context.within(self._opener.id):
            raise TypeError(
                f'a channel of {self._opener.name} cannot go to {context.name}, which is not '
                f'below it: use {context.name}.channel()'
            )
        if self._handed and context is not self._holder:
            raise TypeError(
                f'this channel was handed to {self._holder.name} already: open another one'
            )
        return self

    def _hand_to(self, context: Peer) -> None:
        """It is about to be sent to `context`, which will hold the other end."""
        with self._channels.lock:
            self._holder = context
            self._end.peer = context.id
            self._handed = True
            self._free = False
        if not self._end.ours:
            # It has ended, and who holds it from now on was not told.
            self._channels.router.send(CLOSE, self._end.peer, self._end.handle, b'')

    def _cross(self) -> tuple[int, int, int]:
        return 0, self._end.handle, self._end.window


def hand_over(body: bytes, context: Peer) -> bytes:
    """Hand what `body` speaks of to `context`, to which it is about to be sent; return it."""
    if isinstance(body, Handing):
        for channel in body.channels:
            channel._hand_to(context)
    return body


class Holding:
    """A call that is sent with channels: `settle` takes its answer, behind their end."""

    # As that of a future.
    _hears_begun = True

    def __init__(self, context: Peer, settle: Callable[[int, bytes], object], body: bytes) -> None:
        self.context = context
        self.answer = settle
        self.channels: set[Channel] = set()
        self.lock: Any = threading.RLock()
        if isinstance(body, Handing):
            if body.channels:
                self.lock = body.channels[0]._channels.lock
            hand_over(body, context)
            for channel in body.channels:
                self.take(channel)

    def take(self, channel: Channel) -> None:
        """The call was handed `channel`, and with it what was sent through that."""
        with self.lock:
            if channel not in self.channels:
                self.channels.add(channel)
                channel._holdings.add(self)
                for each in channel._carried:
                    self.take(each)

    def _set_answer(self, kind: int, body: bytes) -> None:
        """Take what is said to the call. As its context's answer, leading."""
        if kind != BEGUN:
            self.end()
        self.answer(kind, body)

    def end(self) -> None:
        """The call is over."""
        with self.lock:
            channels, self.channels = self.channels, set()
            for channel in channels:
                channel._holdings.discard(self)
        for channel in channels:
            if self.context.error is not None:
                channel._channels.forget(channel, self.context)
            else:
                channel._release()


def check_timeout(timeout: float) -> float:
    """Return `timeout`; raise ValueError where it is no number of seconds."""
    if not is_seconds(timeout):
        raise ValueError(f'timeout= must be a number of seconds, not {seen(timeout)}')
    return timeout


def forget(waiter: Wait, channels: Iterable[Channel]) -> None:
    """Have nobody wake `waiter` any more: a channel on which nothing happens would keep it."""
    for channel in channels:
        with contextlib.suppress(ValueError):
            channel._end.waiters.remove(waiter)
