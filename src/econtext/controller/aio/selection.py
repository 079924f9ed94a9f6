"""
Waiting on several channels, streams and futures in one task.

The strategy: each source in turn is looked at without waiting, see ``session.selection``.  Where nothing has come, the
task awaits one alarm, which all sources ring: a waiter at each channel, a callback at each future.

Invariants:

* Each source has its turn, for one value: a source that sends without end keeps no other from being read.
* No thread is started.  What is looked at never blocks: what a function has raised is awaited as a source is.
* A value is taken only to be yielded: a task that is cancelled has taken none, and what is left in a source that was
  removed is read there next.
* Sources come and go while the reader waits, by any task of the event loop.

The thread of the event loop enters; one task at a time reads.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Generic, TypeVar

from econtext.controller.aio.bridge import Bridge, bridge_of
from econtext.controller.aio.channels import Channel
from econtext.controller.aio.streams import Stream
from econtext.controller.errors import EcontextError, stays
from econtext.controller.runtime.waiting import Told
from econtext.controller.session import channels
from econtext.controller.session.channels import check_timeout, forget

S = TypeVar('S', bound=Channel[Any] | Stream[Any] | asyncio.Future[Any])


def select(sources: Iterable[S] = (), timeout: float | None = None, *, keep: bool = False) -> Selection[S]:
    """
    Wait on many channels, streams and futures in one task; ``async for`` gives (source, value) as values come.

    As the select() of econtext, for what ``econtext.aio`` makes: `sources` are its channels, streams and futures, and
    any ``asyncio.Future``, tasks too; `timeout` and `keep` are the same.  Sources of several brokers may be among
    them.  ``add()`` and ``remove()`` change them meanwhile, by any task.  A task that is cancelled has taken no value.
    Raises TypeError for what is no channel, stream or future, ValueError for a `timeout` that makes no sense; and
    while it is iterated what that does.

    Example::

        async for channel, line in econtext.aio.select(channels):
            print(channel.context.name, line)
    """
    if isinstance(sources, (Channel, Stream, asyncio.Future)):
        raise TypeError('select() takes a list: for a single channel or stream use `async for`')
    if timeout is not None:
        check_timeout(timeout)
    selection: Selection[S] = Selection(timeout, keep)
    for source in list(sources):
        selection.add(source)
    return selection


class Alarm:
    """What one wait of a reader ends by."""

    def __init__(self) -> None:
        self.rung: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def ring(self, _: object = None) -> None:
        if not self.rung.done():
            self.rung.set_result(None)


class Selection(AsyncIterator[tuple[S, Any]], Generic[S]):
    """
    Channels, streams and futures that one task waits on; made by ``econtext.aio.select()``.

    Use ``async for``, in one task at a time.  Any task of the event loop may add and remove.
    """

    __reduce_ex__: Callable[..., Any] = stays

    def __init__(self, timeout: float | None, keep: bool) -> None:
        self._timeout = timeout
        self._keep = keep
        self._closed = False
        # In the order in which they came.
        self._waiting: dict[Any, None] = {}
        # Who is still to be looked at in this round, and whether anything came in it.
        self._turn: collections.deque[S] = collections.deque()
        self._came = False
        self._alarm: Alarm | None = None

    def __repr__(self) -> str:
        return f'<econtext.aio.Selection of {len(self._waiting)}>'

    def add(self, source: S) -> None:
        """
        Wait on `source`, too: a channel, a stream or a future. Any task of the event loop may call it.

        Raises TypeError for anything else, EcontextError after close().

        Example::

            selection.add(web2.stream(follow, '/var/log/syslog'))
        """
        if not isinstance(source, (Channel, Stream, asyncio.Future)):
            raise TypeError(
                f'select() takes channels, streams and futures of econtext.aio, not a {type(source).__name__}: open a '
                'channel by channel() of a context, make a stream by its stream(), or a future by its submit()')
        if self._closed:
            raise EcontextError('the selection is closed: make another one by econtext.aio.select()')
        self._waiting[source] = None
        self._wake()

    def remove(self, source: S) -> None:
        """
        Wait on `source` no more; it stays as it is. Any task of the event loop may call it.

        Raises nothing, also for a source that has ended or was never added.

        Example::

            selection.remove(channel)
        """
        self._waiting.pop(source, None)
        self._wake()

    def close(self) -> None:
        """
        End the iteration, at once; its sources stay as they are. Any task may call it. Raises nothing.

        Example::

            selection.close()
        """
        self._closed = True
        self._wake()

    async def __aenter__(self) -> Selection[S]:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()

    async def __anext__(self) -> tuple[S, Any]:
        limit = None if self._timeout is None else time.monotonic() + self._timeout
        while not self._closed:
            event = self._next()
            if event is not None:
                return event
            if not (self._waiting or self._keep):
                break
            came, self._came = self._came, False
            if not came:
                await self._wait(limit)
            self._turn.extend(self._waiting)
        raise StopAsyncIteration

    def _next(self) -> tuple[S, Any] | None:
        """Return what has come of the next source of this round that has something, None behind the last one."""
        while self._turn:
            source = self._turn.popleft()
            if source in self._waiting:
                for event in self._looked_at(source):
                    self._came = True
                    return source, event
        return None

    def _wake(self) -> None:
        if self._alarm is not None:
            self._alarm.ring()

    def _looked_at(self, source: Any) -> list[Any]:
        """Return what there is of `source`, one value at most; drop it if it has ended."""
        if isinstance(source, asyncio.Future):
            if not source.done():
                return []
            self._waiting.pop(source, None)
            return [outcome_of(source)]
        channel = way(source)
        # One at a time: what was taken and not looked at would be lost with the loop of the reader.
        body = channel._end.take()
        if body is not None:
            return [source._wrap(channel._decode(body))]
        over = not (channel._end.inbox or channel._end.is_open())
        if isinstance(source, Stream):
            over, error = source._ended(over)
        else:
            error = channel._lost() if over and channel._end.reason is not None else None
        if over:
            self._waiting.pop(source, None)
        return [] if error is None else [error]

    async def _wait(self, limit: float | None) -> None:
        """Return once something may have happened; raise TimeoutError if nothing did before `limit`."""
        self._alarm = alarm = Alarm()
        try:
            with contextlib.ExitStack() as undo:
                times = [limit, *(watch(source, alarm, undo) for source in self._waiting)]
                first = min((each for each in times if each is not None), default=None)
                if first is not None:
                    timer = asyncio.get_running_loop().call_later(max(0.0, first - time.monotonic()), alarm.ring)
                    undo.callback(timer.cancel)
                await alarm.rung
            if limit is not None and time.monotonic() >= limit and not self._has_come():
                raise TimeoutError(f'nothing came within {self._timeout:g} s')
        finally:
            self._alarm = None

    def _has_come(self) -> bool:
        """Is there something to look at? Then its time is not over."""
        return self._closed or any(has_come(source) for source in self._waiting)


def way(source: Channel[Any] | Stream[Any]) -> channels.Channel:
    """Return the channel by which the values of `source` come."""
    return source._channel if isinstance(source, Channel) else source._inner._channel


def outcome_of(future: asyncio.Future[Any]) -> Any:
    """Return the result of a future that is done, or what it raises."""
    if future.cancelled():
        return asyncio.CancelledError()
    error = future.exception()
    return future.result() if error is None else error


def has_come(source: Any) -> bool:
    if isinstance(source, asyncio.Future):
        return source.done()
    channel = way(source)
    if channel._end.inbox:
        return True
    if isinstance(source, Stream):
        return not channel._end.is_open() and source._outcome().done()
    return not channel._end.is_open()


def watch(source: Any, alarm: Alarm, undo: contextlib.ExitStack) -> float | None:
    """Have `source` ring from now on, once at least; return when its own time is over, None if it has none."""
    if has_come(source):
        alarm.ring()
        return None
    if isinstance(source, asyncio.Future):
        source.add_done_callback(alarm.ring)
        undo.callback(source.remove_done_callback, alarm.ring)
        return None
    channel = way(source)
    if isinstance(source, Stream) and not channel._end.is_open():
        # Its values were read; what its function has raised is on its way.
        ended = source._outcome()
        ended.add_done_callback(alarm.ring)
        undo.callback(ended.remove_done_callback, alarm.ring)
        return None
    bridge: Bridge = bridge_of(channel._channels.loop)
    waiter = Told(bridge.controller, lambda: bridge.post(alarm.ring))
    bridge.begin()
    undo.callback(bridge.over)
    channel._end.waiters.append(waiter)
    undo.callback(forget, waiter, [channel])
    if has_come(source):
        # Before it knew whom to tell.
        alarm.ring()
    return source._inner._deadline if isinstance(source, Stream) else None
