"""
Blocking work of ours, awaited: commands, files, and the end of contexts.

The strategy: such work is many calls and channels, one after the other, so each piece of work has a thread while it
lasts; calls have none.  What the work has begun is noted, so that a task that is cancelled ends that there.

Invariants:

* A task that is cancelled has the channels of its work closed, by which commands and transfers end, and the call that
  the work waits for interrupted.  Nobody waits for the thread, which then ends by itself, its cleanup included.
* What ends contexts is never left: a task that is cancelled meanwhile is so behind the end.

``run`` and ``finish`` are entered by the thread of the event loop, ``Errand`` by the thread of the work, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from econtext.child.channels import WINDOW
from econtext.controller.session.calls import GRACE

if TYPE_CHECKING:
    from econtext.controller.session.channels import Channel
    from econtext.controller.session.futures import Future

T = TypeVar('T')


class Errand:
    """A context, in the place of that: it notes what was begun."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.channels: list[Channel] = []
        self.waits_for: Future[Any] | None = None
        self.cancelled: bool = False

    @property
    def name(self) -> str:
        return str(self.context.name)

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = self.context.submit(function, *args, **kwargs)
        return future

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self.waits_for = future = self.submit(function, *args, **kwargs)
        if self.cancelled:
            future.interrupt(GRACE)
        try:
            return future.result()
        finally:
            self.waits_for = None

    def channel(self, *, window: int = WINDOW) -> Channel:
        channel: Channel = self.context.channel(window=window)
        self.channels.append(channel)
        if self.cancelled:
            channel.close()
        return channel

    def cancel(self) -> None:
        """End what was begun, and what will be."""
        self.cancelled = True
        for channel in self.channels:
            channel.close()
        future = self.waits_for
        if future is not None:
            future.interrupt(GRACE)


def awaitable(error: BaseException) -> BaseException:
    """Return an error that a future of asyncio takes: before Python 3.12 it refuses a StopIteration, and never ends."""
    if not isinstance(error, StopIteration):
        return error
    # As where one leaves a coroutine.
    stands_for = RuntimeError('what was awaited raised StopIteration')
    stands_for.__cause__ = error
    return stands_for


def begin(work: Callable[[], T]) -> asyncio.Future[T]:
    """Begin `work` in a thread of its own, and return its result as a future."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def carry_out() -> None:
        result: Any = None
        failed: BaseException | None = None
        try:
            result = work()
        except BaseException as error:
            failed = awaitable(error)
        # A loop that has ended: nobody waits there any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, failed)

    threading.Thread(target=carry_out, name='econtext aio', daemon=True).start()
    return done


async def run(context: Any, work: Callable[[Any], T]) -> T:
    """Return what `work` does with `context`; if the task is cancelled, end that there."""
    errand = Errand(context)
    try:
        return await begin(lambda: work(errand))
    except asyncio.CancelledError:
        errand.cancel()
        raise


async def finish(work: Callable[[], T]) -> T:
    """Return what `work` does, which is not left before its end."""
    done = begin(work)
    cancelled: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.shield(done)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return done.result()
