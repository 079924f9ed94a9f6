"""
Waiting on several channels and streams in one thread.

Any thread may enter.
"""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from econtext.controller.runtime.deadlines import Expired
from econtext.controller.runtime.loop import Wait
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
    if len({ways(source).channels for source in waiting}) > 1:
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
    return source if isinstance(source, Channel) else source.channel


def events(waiting: list[S], timeout: float | None) -> Iterator[tuple[S, Any]]:
    """Yield what select() does, of one source or more."""
    while waiting:
        came = False
        for source in list(waiting):
            channel = ways(source)
            # One at a time: what was taken and not looked at would be lost with this loop.
            body = channel.end.take()
            if body is not None:
                came = True
                yield source, channel.decode(body)
                continue
            over = not (channel.end.inbox or channel.open())
            if isinstance(source, Stream):
                over, error = source.ended(over)
            else:
                error = channel.lost() if over and channel.end.reason is not None else None
            if over:
                waiting.remove(source)
            if error is not None:
                came = True
                yield source, error
        if waiting and not came:
            pause(waiting, timeout)


def pause(sources: Sequence[Channel | Stream[Any]], timeout: float | None) -> None:
    """Return once something has happened on one of `sources`."""
    channels = [ways(source) for source in sources]
    loop = channels[0].channels.loop
    limit = None if timeout is None else time.monotonic() + timeout
    deadlines = [source.deadline for source in sources if isinstance(source, Stream)]
    waiter = Wait(loop, min((each for each in [limit, *deadlines] if each is not None), default=None))
    for channel in channels:
        channel.end.waiters.append(waiter)
    try:
        if not any(channel.end.inbox or not channel.open() for channel in channels):
            loop.wait(waiter)
    except Expired:
        if limit is not None and time.monotonic() >= limit:
            raise TimeoutError(f'nothing came within {timeout:g} s') from None
    finally:
        forget(waiter, channels)
