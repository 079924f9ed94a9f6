"""
Blocking work of ours, awaited: commands, files, and the end of contexts.

The strategy: such work is many calls and channels, one after the other, so each piece of work has a thread while it
lasts; calls have none.  What the work has begun is noted, so that a task that is cancelled ends that there.

Invariants:

* A task that is cancelled has the channels of its work closed, by which commands and transfers end, and the call that
  the work waits for interrupted.  Nobody waits for the thread, which then ends by itself, its cleanup included.
* What ends contexts is never left: a task that is cancelled meanwhile is so behind the end.
* Nor is a method of an open file, but what it waits for there is interrupted.

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
        return self.wait(self.context.submit(function, *args, **kwargs))

    def wait(self, future: Future[Any]) -> Any:
        self.waits_for = future
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


class Kept(Errand):
    """The context of an open file, each of whose methods is an errand; the file is closed in any case."""

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.writes: list[Future[Any]] = []

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        future = super().submit(function, *args, **kwargs)
        if args[0] == 'write':
            # Nobody may wait for it when it is too late.
            self.writes = [*(each for each in self.writes if not each.done()), future]
            if self.cancelled:
                future.interrupt(GRACE)
        return Noted(self, future)

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if args[0] == 'close':
            return self.context.call(function, *args, **kwargs)
        return super().call(function, *args, **kwargs)

    def cancel(self) -> None:
        super().cancel()
        for future in self.writes:
            future.interrupt(GRACE)


class Noted:
    """The answer to a call of a file, for which one of its methods waits."""

    def __init__(self, kept: Kept, future: Future[Any]) -> None:
        self.kept = kept
        self.future = future

    def result(self) -> Any:
        return self.kept.wait(self.future)


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
    errand = context if isinstance(context, Errand) else Errand(context)
    try:
        return await begin(lambda: work(errand))
    except asyncio.CancelledError:
        errand.cancel()
        raise


async def finish(work: Callable[[], T], kept: Kept | None = None) -> T:
    """Return what `work` does, which is not left before its end; if the task is cancelled, `kept` ends it there."""
    done = begin(work)
    cancelled: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError as error:
            cancelled = error
            if kept is not None:
                kept.cancel()
    if kept is not None:
        kept.cancelled = False
    if cancelled is not None:
        # Whatever it raises: it was called away, as a rule.
        done.exception()
        raise cancelled
    return done.result()
