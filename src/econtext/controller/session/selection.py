"""
Waiting on several channels, streams and futures in one thread.

Invariants:

* Each source has its turn, for one value: a source that sends without end keeps no other from being read.
* Nobody polls, and no thread is started: the reader waits as it does on one channel, and what changes wakes it.
* A future is a source of one value.  What ends it rings for the reader: its callback waits for nothing.
* Sources come and go while the reader waits, by any thread.  A value is taken only to be yielded, so what is left in a
  source that was removed, or when the loop was left, is read there next.

Any thread may enter; one at a time reads.
"""

from __future__ import annotations

import collections
import concurrent.futures
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from econtext.controller.errors import EcontextError, stays
from econtext.controller.runtime.deadlines import Expired
from econtext.controller.runtime.signals import by_signal, interruptible
from econtext.controller.runtime.waiting import Wait
from econtext.controller.session.channels import Channel, check_timeout, forget
from econtext.controller.session.streams import Stream

#: What gives values one after the other, by a channel.
Flowing = Channel | Stream[Any]
F = TypeVar('F', bound=Flowing)
S = TypeVar('S', bound=Flowing | concurrent.futures.Future[Any])


def select(sources: Iterable[S] = (), timeout: float | None = None, *, keep: bool = False) -> Selection[S]:
    """
    Wait on many channels, streams and futures in one thread; iterate over it for (source, value) as values come.

    Each source in turn gives one value, so none that sends much keeps others waiting.  It ends
    when all of `sources` have ended; ``add()`` and ``remove()`` change them meanwhile, from any
    thread, and with `keep` it waits for more until ``close()``.  One whose context is gone
    yields its ContextLost or ConnectError in place of a value, once; and a stream what its
    function raised, or CallTimeout at its deadline.  A future yields its result, or what its
    result() raises in place of that, once.  Raises TimeoutError if nothing comes for
    `timeout` seconds, and ValueError for a value that cannot be taken: after either you may go on.
    Raises TypeError for what is no channel, stream or future, ValueError for channels and streams of
    several brokers.

    Example::

        for channel, line in econtext.select(channels):
            print(channel.context.name, line)
    """
    if isinstance(sources, (Channel, Stream, concurrent.futures.Future)):
        raise TypeError('select() takes a list: for a single channel or stream iterate over it')
    if timeout is not None:
        check_timeout(timeout)
    selection: Selection[S] = Selection(timeout, keep)
    for source in list(sources):
        selection.add(source)
    return selection


def check_source(source: object) -> None:
    """Raise TypeError for what select() cannot wait on."""
    if not isinstance(source, (Channel, Stream, concurrent.futures.Future)):
        raise TypeError(
            f'select() takes channels, streams and futures, not a {type(source).__name__}: open a channel by '
            'channel() of a context, make a stream by its stream(), or a future by its submit()')


def flowing(sources: Iterable[object]) -> list[Flowing]:
    """Return those of `sources` whose values come by a channel."""
    return [source for source in sources if isinstance(source, (Channel, Stream))]


def ways(source: Flowing) -> Channel:
    """Return the channel by which the values of `source` come."""
    return source if isinstance(source, Channel) else source._channel


def looked_at(source: S, sources: Sources[S]) -> Iterator[tuple[S, Any]]:
    """Yield what there is of `source`, one value at most; take it out of `sources` if it has ended."""
    if isinstance(source, concurrent.futures.Future):
        if source.done():
            sources.drop(source)
            yield source, outcome_of(source)
        return
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
        sources.drop(source)
    if error is not None:
        yield source, error


def outcome_of(future: concurrent.futures.Future[Any]) -> Any:
    """Return the result of a future that is done, or what it raises."""
    try:
        error = future.exception()
    except concurrent.futures.CancelledError as cancelled:
        return cancelled
    return future.result() if error is None else error


class Sources(Generic[S]):
    """
    What one thread waits on, and any thread may change meanwhile.

    Invariants: who changes them, or ends a future of theirs, wakes the reader, wherever it stands: it looks once
    more before it waits.
    """

    def __init__(self) -> None:
        self.lock: threading.Lock = threading.Lock()
        # In the order in which they came.
        self.waiting: dict[S, None] = {}
        self.waiter: Wait | None = None
        # Rings while there is nothing to wait on.
        self.bell: threading.Semaphore = threading.Semaphore(0)

    def add(self, source: S) -> None:
        """Have what comes of `source` read, too. Any thread."""
        with self.lock:
            self.waiting[source] = None
        self.wake()

    def remove(self, source: S) -> None:
        """Have no more of `source` read. Any thread."""
        self.drop(source)
        self.wake()

    def ended(self, future: object) -> None:
        """A future is done, which may be a source no more. Any thread."""
        self.wake()

    def drop(self, source: S) -> None:
        with self.lock:
            self.waiting.pop(source, None)

    def all(self) -> list[S]:
        with self.lock:
            return list(self.waiting)

    def wake(self) -> None:
        """Have the reader return from its wait. Any thread."""
        with self.lock:
            waiter = self.waiter
            self.bell.release()
        if waiter is not None:
            waiter.loop.finish(waiter)

    @interruptible
    def wait(self, timeout: float | None) -> bool:
        """Wait until something has happened, or wake(); False if nothing did for `timeout` seconds."""
        # Only these lead to a loop; a future may be of anything.
        sources = flowing(self.all())
        if self.bell.acquire(blocking=not sources, timeout=None if sources else timeout):
            return True
        if not sources:
            return False
        waiter = Wait(ways(sources[0])._channels.loop)
        with self.lock:
            self.waiter = waiter
        try:
            # Who rings from now on ends the wait; who did before is heard here.
            if not self.bell.acquire(blocking=False):
                pause(sources, timeout, waiter)
        except TimeoutError:
            return False
        finally:
            with self.lock:
                self.waiter = None
        return True


class Turns(Sources[F]):
    """
    Sources of a fleet: what has come is read in rounds.

    What a source sends that cannot be decoded ends that source alone, and is yielded as why.
    Any thread may add; one at a time may read.
    """

    def look(self, timeout: float | None = None) -> Iterator[tuple[F, Any]]:
        """Yield what has come, as select() does; if nothing has, nor ended, wait: until wake(), or `timeout`."""
        came = False
        before = self.all()
        for source in before:
            for event in self.events_of(source):
                came = True
                yield event
        if not came and self.all() == before:
            self.wait(timeout)

    def events_of(self, source: F) -> list[tuple[F, Any]]:
        """Return what there is of `source`, one value at most."""
        try:
            return list(looked_at(source, self))
        except Exception as error:
            if by_signal(error):
                raise
            # Of its values, or of its end: what would come behind it is worth nothing.
            self.drop(source)
            source.close()
            return [(source, error)]


class Selection(Iterator[tuple[S, Any]], Generic[S]):
    """
    Channels, streams and futures that one thread waits on; made by ``econtext.select()``.

    Iterate over it, in one thread at a time.  Any thread may add and remove.
    """

    __reduce_ex__: Callable[..., Any] = stays

    def __init__(self, timeout: float | None, keep: bool) -> None:
        self._timeout = timeout
        self._keep = keep
        self._closed = False
        self._home: Any = None
        self._sources: Sources[S] = Sources()
        # Who is still to be looked at in this round, and whether anything came in it.
        self._turn: collections.deque[S] = collections.deque()
        self._came = False

    def __repr__(self) -> str:
        return f'<econtext.Selection of {len(self._sources.all())}>'

    def add(self, source: S) -> None:
        """
        Wait on `source`, too: a channel, a stream or a future. Any thread may call it.

        Raises TypeError for anything else, ValueError for a channel or a stream of another broker, EcontextError
        after close().

        Example::

            selection.add(web2.stream(follow, '/var/log/syslog'))
        """
        check_source(source)
        if isinstance(source, (Channel, Stream)):
            channels = ways(source)._channels
            with self._sources.lock:
                if self._home is None:
                    self._home = channels
            if self._home is not channels:
                raise ValueError('select() takes channels of one broker only')
        if self._closed:
            raise EcontextError('the selection is closed: make another one by econtext.select()')
        self._sources.add(source)
        if isinstance(source, concurrent.futures.Future):
            source.add_done_callback(self._sources.ended)

    def remove(self, source: S) -> None:
        """
        Wait on `source` no more; it stays as it is. Any thread may call it.

        A value that the reader takes at that moment is still yielded.  Raises nothing, also for
        a source that has ended or was never added.

        Example::

            selection.remove(channel)
        """
        self._sources.remove(source)

    def close(self) -> None:
        """
        End the iteration, at once; its sources stay as they are. Any thread may call it. Raises nothing.

        Example::

            selection.close()
        """
        self._closed = True
        self._sources.wake()

    def __enter__(self) -> Selection[S]:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __next__(self) -> tuple[S, Any]:
        limit = None if self._timeout is None else time.monotonic() + self._timeout
        while not self._closed:
            while self._turn:
                source = self._turn.popleft()
                if source in self._sources.waiting:
                    for event in looked_at(source, self._sources):
                        self._came = True
                        return event
            sources = self._sources.all()
            if not (sources or self._keep):
                break
            came, self._came = self._came, False
            if not came and not self._sources.wait(None if limit is None else max(0.0, limit - time.monotonic())):
                raise TimeoutError(f'nothing came within {self._timeout:g} s')
            self._turn.extend(self._sources.all())
        raise StopIteration


def pause(sources: Sequence[Flowing], timeout: float | None, waiter: Wait | None = None) -> None:
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
