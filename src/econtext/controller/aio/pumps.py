"""
Values of an iterator that blocks, awaited.

Invariants:

* Each value is handed over once, in order, and what ends the iterator behind them all.
* No more than `ahead` values wait here; then the thread that takes them waits, and so does whoever sends them.
* Once it is left, the thread ends with the next value.

``get`` and ``leave`` are entered by the thread of the event loop, ``take`` by the thread that blocks.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

from econtext.controller.aio import errands

T = TypeVar('T')


class Pump(Generic[T]):
    """Takes what `values` yields, in a thread of its own from when the first value is wanted."""

    def __init__(self, values: Iterator[T], ahead: int) -> None:
        self.values = values
        self.ahead = ahead
        self.come: collections.deque[T] = collections.deque()
        self.room: threading.Semaphore = threading.Semaphore(ahead)
        self.reader: asyncio.Future[None] | None = None
        self.waits: asyncio.Future[None] | None = None
        self.told: bool = False     # is `wake` among the callbacks of the event loop?
        self.over: bool = False

    async def get(self) -> T:
        """Return the next value; raise StopAsyncIteration behind the last one, or what ended the iterator."""
        while not self.come and not self.over:
            if self.reader is None:
                self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
                self.reader = errands.begin(self.take)
                self.reader.add_done_callback(lambda reader: self.wake())
            if self.reader.done():
                self.over = True
                self.reader.result()
                break
            self.waits = self.loop.create_future()
            await self.waits
        if not self.come:
            raise StopAsyncIteration
        self.room.release()
        return self.come.popleft()

    def take(self) -> None:
        for value in self.values:
            self.room.acquire()
            if self.over:
                return
            self.come.append(value)
            if not self.told:
                self.told = True
                # A loop that has ended: nobody waits there any more.
                with contextlib.suppress(RuntimeError):
                    self.loop.call_soon_threadsafe(self.wake)

    def wake(self) -> None:
        # Before the look at what has come.
        self.told = False
        if self.waits is not None and not self.waits.done():
            self.waits.set_result(None)

    def leave(self) -> None:
        """Nothing more is wanted."""
        self.over = True
        self.come.clear()
        self.room.release(self.ahead + 1)
        if self.reader is not None:
            # What ends the iterator now is nobody's.
            self.reader.add_done_callback(lambda reader: reader.cancelled() or reader.exception())
