"""
What a function in a context yields, here as it comes.

The strategy: the function is iterated over there, its values come through a
channel, and how it ends is the answer of a call.  That answer comes behind the
values, so that whoever reads has had them all when it is raised.

Invariants:

* A reader that does not read stops the function; a window of values is kept here.
* However a stream is left, its function is ended, and its context free again.
* At its deadline the function is ended whether or not somebody reads; who does has
  what came in time, and then CallTimeout.

Any thread may enter, one at a time.
"""

from __future__ import annotations

import concurrent.futures
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from econtext.child import streams
from econtext.controller.errors import CallTimeout, EcontextError, stays
from econtext.controller.session.channels import Channel
from econtext.controller.session.futures import Future

if TYPE_CHECKING:
    from econtext.controller.runtime.loop import ControllerLoop
    from econtext.controller.session.interfaces import Peer

T = TypeVar('T')


if TYPE_CHECKING:
    class Home(Peer, Protocol):
        """A context that makes channels."""

        def channel(self) -> Channel: ...


    class Launcher(Protocol):
        """What sends the call of a stream, with its options."""

        @property
        def context(self) -> Home: ...
        @property
        def timeout(self) -> float | None: ...
        @property
        def grace(self) -> float: ...

        def too_late(self, function: object) -> EcontextError: ...
        def launch(
            self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], called: object = None,
        ) -> Future[Any]: ...


class Stream(Iterator[T], Generic[T]):
    """
    The values of a function in a context; made by ``context.stream()``.

    Iterate over it.  It is a context manager, and closed when it is left, garbage
    included.
    """

    __reduce_ex__: Callable[..., Any] = stays

    def __init__(
        self, options: Launcher, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        self._over: bool = True
        context = options.context
        self._grace: float = options.grace
        place = context.broker.place_of(function, streamed=True)
        module, name = place
        if type(place) is tuple:
            context.broker.modules.policy.check(module)
            context.push(module)
        else:
            # A function that no module holds, see ``protocol.captured``.
            found: Any = place
            args, kwargs = (found.told, args, kwargs), {}
            context.push(*found.modules)
        self._loop: ControllerLoop = context.broker.loop
        self._channel: Channel = context.channel()
        self._late: Callable[[], EcontextError] = lambda: options.too_late(function)
        self._deadline: float | None = None if options.timeout is None else time.monotonic() + options.timeout
        self._future: Future[Any] = options.launch(
            streams.pour, (self._channel, module, name, list(args), dict(kwargs)), {}, function)
        self._over = False
        # Where the function did not get as far as its channel, nobody else closes it.
        self._future.add_done_callback(ending(self._channel))

    def __repr__(self) -> str:
        return f'<econtext.Stream from {self._channel.context.name} {"over" if self._over else "open"}>'

    def __next__(self) -> T:
        if self._over:
            raise StopIteration
        try:
            value: T = self._channel.get(self._left())
        except EOFError:
            self._over = True
        except TimeoutError:
            # The future says so too, but behind what log handlers have yet to do.
            self._over = True
            self._channel.close()
            raise self._late() from None
        else:
            return value
        error = self._outcome()
        if error is None:
            raise StopIteration
        try:
            raise error
        finally:
            del error   # no cycle through the traceback

    def _ended(self, over: bool) -> tuple[bool, BaseException | None]:
        """
        Tell whether no more values will come, and what is raised for it, as by __next__.

        `over` says that its channel has ended, and all of it was read.
        """
        if self._over:
            return True, None
        if over:
            self._over = True
            return True, self._outcome()
        if self._left() == 0:
            self._over = True
            self._channel.close()
            return True, self._late()
        return False, None

    def _outcome(self) -> BaseException | None:
        """Return what the function raised, behind what it printed; at the deadline, that its time is over."""
        try:
            return self._future.exception(self._left())
        except concurrent.futures.TimeoutError:
            if not self._future.done():
                return self._late()
            return CallTimeout(
                f'{self._channel.context.name}: the function ended in time, but handlers of logging have not taken '
                'what it printed: give it more time with timeout=, or have it print less')

    def _left(self) -> float | None:
        """Return the seconds that are left, None for any number."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def close(self) -> None:
        """
        End the function where it stands; what has come is dropped.

        Its cleanup runs, and the context is free once it has.  Raises nothing.

        Example::

            lines.close()
        """
        if not self._over:
            self._over = True
            give_up(self._channel, self._future, self._grace)

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._over and not self._loop.closed:
            # Not at once: we may be inside of anything.
            channel, future, grace, loop = self._channel, self._future, self._grace, self._loop
            loop.chores.append(lambda: give_up(channel, future, grace))
            try:
                os.write(loop.waker, b'.')
            except OSError:
                pass


def ending(channel: Any) -> Callable[[object], None]:
    return lambda future: channel.close()


def give_up(channel: Any, future: Any, grace: float) -> None:
    channel.close()
    channel._end.inbox.clear()
    if not future.done():
        future.interrupt(grace)
