"""
Waiting on several channels and streams in one thread.

Any thread may enter.
"""

from __future__ import annotations

import collections
import concurrent.futures
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from econtext.controller.runtime.deadlines import Expired
from econtext.controller.runtime.loop import Wait
from econtext.controller.runtime.signals import by_signal, interruptible
from econtext.controller.session.channels import Channel, check_timeout, forget
from econtext.controller.session.streams import Stream

S = TypeVar('S', bound=Channel | Stream[Any])


def select(channels: Iterable[S], timeout: float | None = None) -> Iterator[tuple[S, Any]]:
    """
    Wait on many channels and streams in one thread; yield (channel, value) as values come.

    Ends when all of `channels` are closed.  One whose context is gone yields its
    ContextLost or ConnectError in place of a value, once; and a stream what its function
    raised, or CallTimeout at its deadline.  Raises TimeoutError if nothing comes for
    `timeout` seconds; TypeError for what is neither a channel nor a stream.

    Example::

        for channel, line in econtext.select(channels):
            print(channel.context.name, line)
    """
    if isinstance(channels, (Channel, Stream)):
        raise TypeError('select() takes a list of channels or streams: for a single one iterate over it')
    waiting = list(channels)
    for source in waiting:
        check_source(source)
    if timeout is not None:
        check_timeout(timeout)
    if len({ways(source)._channels for source in waiting}) > 1:
        raise ValueError('select() takes channels of one broker only')
    return events(waiting, timeout)


def check_source(source: object) -> None:
    """Raise TypeError for what select() cannot wait on."""
    if isinstance(source, (Channel, Stream)):
        return
    remedy = 'open a channel by channel() of a context, or make a stream by its stream()'
    if isinstance(source, concurrent.futures.Future):
        remedy = 'for futures there is concurrent.futures.as_completed()'
    raise TypeError(f'select() takes channels and streams, not a {type(source).__name__}: {remedy}')


def ways(source: Channel | Stream[Any]) -> Channel:
    """Return the channel by which the values of `source` come."""
    return source if isinstance(source, Channel) else source._channel


def events(waiting: list[S], timeout: float | None) -> Iterator[tuple[S, Any]]:
    """Yield what select() does, of one source or more."""
    while waiting:
        came = False
        for source in list(waiting):
            for event in looked_at(source, waiting):
                came = True
                yield event
        if waiting and not came:
            pause(waiting, timeout)


def looked_at(source: S, waiting: list[S]) -> Iterator[tuple[S, Any]]:
    """Yield what there is of `source`, one value at most; take it out of `waiting` if it has ended."""
    channel = ways(source)
    # One at a time: what was taken and not looked at would be lost with the loop of the reader.
    body = channel._end.take()
    if body is not None:
        yield source, channel._decode(body)
        return
    over = not (channel._end.inbox or channel.open())
    if isinstance(source, Stream):
        over, error = source._ended(over)
    else:
        error = channel._lost() if over and channel._end.reason is not None else None
    if over:
        waiting.remove(source)
    if error is not None:
        yield source, error


class Selection(Generic[S]):
    """
    Sources that become more while somebody waits for them: select() for who does not know them all yet.

    What a source sends that cannot be decoded ends that source alone, and is yielded as why.
    Any thread may add; one at a time may read.
    """

    def __init__(self) -> None:
        self.lock: threading.Lock = threading.Lock()
        self.added: collections.deque[S] = collections.deque()
        self.waiting: list[S] = []
        self.waiter: Wait | None = None
        # Rings while there is nothing to wait on.
        self.bell: threading.Semaphore = threading.Semaphore(0)

    def add(self, source: S) -> None:
        """Have what comes of `source` read, too. Any thread."""
        self.added.append(source)
        self.wake()

    def wake(self) -> None:
        """Have the reader return from look(). Any thread."""
        with self.lock:
            waiter = self.waiter
            self.bell.release()
        if waiter is not None:
            waiter.loop.finish(waiter)

    def look(self, timeout: float | None = None) -> Iterator[tuple[S, Any]]:
        """Yield what has come, as select() does; if nothing has, nor ended, wait: until wake(), or `timeout`."""
        came = False
        while self.added:
            self.waiting.append(self.added.popleft())
        before = len(self.waiting)
        for source in list(self.waiting):
            for event in self.events_of(source):
                came = True
                yield event
        if not came and len(self.waiting) == before:
            self.wait(timeout)

    def events_of(self, source: S) -> list[tuple[S, Any]]:
        """Return what there is of `source`, one value at most."""
        try:
            return list(looked_at(source, self.waiting))
        except Exception as error:
            if by_signal(error):
                raise
            # Of its values, or of its end: what would come behind it is worth nothing.
            if source in self.waiting:
                self.waiting.remove(source)
            source.close()
            return [(source, error)]

    @interruptible
    def wait(self, timeout: float | None) -> None:
        if self.bell.acquire(blocking=not self.waiting, timeout=None if self.waiting else timeout):
            return
        if not self.waiting:
            return
        waiter = Wait(ways(self.waiting[0])._channels.loop)
        with self.lock:
            self.waiter = waiter
        try:
            # Who rings from now on ends the wait; who did before is heard here.
            if not self.bell.acquire(blocking=False):
                pause(self.waiting, timeout, waiter)
        except TimeoutError:
            pass
        finally:
            with self.lock:
                self.waiter = None


def pause(sources: Sequence[Channel | Stream[Any]], timeout: float | None, waiter: Wait | None = None) -> None:
    """Return once something has happened on one of `sources`, or `waiter` is done."""
    channels = [ways(source) for source in sources]
    loop = channels[0]._channels.loop
    limit = None if timeout is None else time.monotonic() + timeout
    deadlines = [source._deadline for source in sources if isinstance(source, Stream)]
    waiter = waiter or Wait(loop)
    waiter.deadline = min((each for each in [limit, *deadlines] if each is not None), default=None)
    for channel in channels:
        channel._end.waiters.append(waiter)
    try:
        if not any(channel._end.inbox or not channel.open() for channel in channels):
            loop.wait(waiter)
    except Expired:
        if limit is not None and time.monotonic() >= limit:
            raise TimeoutError(f'nothing came within {timeout:g} s') from None
    finally:
        forget(waiter, channels)
