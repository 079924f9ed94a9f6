"""
What a function yields on each host of a fleet, here as it comes, tagged by host.

Invariants:

* Values are read by whoever iterates, in its thread: one that does not read stops the functions.
* A host whose connection takes long, that fails, or that sends what cannot be decoded holds up the values of no
  other: each is the end of that host's stream alone, and yielded as why.
* However it is left, the functions are ended: it is over only where all of them are.

Any thread may enter, one at a time.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from econtext.controller.errors import stays
from econtext.controller.fleet.futures import settle
from econtext.controller.session.selection import Turns

if TYPE_CHECKING:
    from econtext.controller.context import Context
    from econtext.controller.fleet.fanout import Operation
    from econtext.controller.fleet.futures import Futures, HostFuture
    from econtext.controller.fleet.options import WorkOptions
    from econtext.controller.fleet.progress import Display
    from econtext.controller.session.streams import Stream

    class Fleet(Protocol):
        """What a stream needs of a fleet."""

        _work_options: WorkOptions
        _check_function: Callable[..., object]

        def _launch(self, operation: Operation) -> Futures[Any]: ...

T = TypeVar('T')


class End(concurrent.futures.Future[None]):
    """The end of the stream of one host: what the schedule of the fleet waits for."""

    def __init__(self, stream: Stream[Any]) -> None:
        super().__init__()
        self.stream = stream

    def interrupt(self, grace: float) -> None:
        """End the function there. Any thread."""
        self.stream.close()
        # It may have been read to its end meanwhile.
        settle(self, None, None)


class Reader:
    """What the crew hands to who reads; it knows nothing of the latter, who may be gone."""

    def __init__(self) -> None:
        self.selection: Turns[Stream[Any]] = Turns()
        self.open: dict[Stream[Any], tuple[str, End]] = {}
        #: Of these nothing is told here: their streams tell.
        self.begun: set[str] = set()
        #: Hosts that are over, one after the other, each with why it failed before its stream was there.
        self.ended: deque[tuple[str, BaseException | None]] = deque()
        self.told: int = 0

    def add(self, host: str, stream: Stream[Any]) -> End:
        """The function of `host` runs. The crew."""
        end = End(stream)
        self.begun.add(host)
        self.open[stream] = host, end
        self.selection.add(stream)
        return end

    def end(self, future: HostFuture[Any]) -> None:
        """A host is over. Any thread."""
        failed = not future.cancelled() and future.host not in self.begun
        self.ended.append((future.host, future.exception() if failed else None))
        self.selection.wake()

    def read(self) -> Iterator[tuple[str, Any, bool]]:
        """Yield what has come, as (host, value, whether it is why the host failed); wait if nothing has."""
        if self.ended:
            # And wait for nothing: it may have been the last.
            self.told += 1
            host, error = self.ended.popleft()
            if error is not None:
                yield host, error, True
            return
        for stream, value in self.selection.look():
            host, end = self.open[stream]
            failed = stream._over and isinstance(value, BaseException)
            if failed:
                settle(end, None, value)
            yield host, value, failed
        for stream in [each for each in list(self.open) if each._over]:
            settle(self.open.pop(stream)[1], None, None)


class FleetStream(Iterator[tuple[str, Any]], Generic[T]):
    """
    The values of a function on all hosts of a fleet; made by ``fleet.stream()``.

    Iterate over it: it yields (host, value).  It is a context manager, and closed when it is left,
    garbage included.  `failures` are the exceptions of hosts that have failed so far.
    """

    __reduce_ex__: Callable[..., Any] = stays

    def __init__(
        self, fleet: Fleet, function: Callable[..., Iterable[T]], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        self._over = True
        self.failures: dict[str, BaseException] = {}
        fleet._check_function(function, streamed=True)
        options = fleet._work_options
        options.refuse_fork('stream()')
        self._reader = reader = Reader()

        def operation(context: Context, host: str) -> End:
            chosen = context.options(timeout=options.timeout, grace=options.grace)
            return reader.add(host, chosen.stream(function, *args, **kwargs))

        self._futures = fleet._launch(operation)
        self._over = False
        self._values = values_of(reader, self._futures, self._futures._display)
        for future in self._futures.values():
            future._listen(reader.end)

    def __repr__(self) -> str:
        return f'<econtext.FleetStream of {len(self._futures)} hosts {"over" if self._over else "open"}>'

    def __next__(self) -> tuple[str, T | BaseException]:
        if self._over:
            raise StopIteration
        try:
            host, value, failed = next(self._values)
        except StopIteration:
            self._over = True
            raise
        except BaseException:
            # Ctrl-C, or a defect: nobody can read on.
            self.close()
            raise
        if failed:
            self.failures[host] = value
        return host, value

    def close(self) -> None:
        """
        End the functions where they stand; what has come is dropped.

        Raises nothing.

        Example::

            lines.close()
        """
        if not self._over:
            self._over = True
            self._futures.interrupt()

    def __enter__(self) -> FleetStream[T]:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._over:
            # Elsewhere: we may be inside of anything, with any lock.
            with contextlib.suppress(RuntimeError):
                start_new_thread(self._futures.interrupt, ())


def values_of(
    reader: Reader, futures: Futures[Any], display: Display | None
) -> Iterator[tuple[str, Any, bool]]:
    """Yield (host, value, whether it is why the host failed) until all are over."""
    try:
        while reader.told < len(futures):
            if display is not None:
                display.show()
            yield from reader.read()
    finally:
        if display is not None:
            display.finish()
