"""
How much a context was sent that it has not answered.

A context that reads nothing, or answers nothing, would have the controller, or
the hop before it, keep all that is sent.  So a caller waits, beyond MOST, until
some of it was answered.

The strategy: small calls are counted by the futures that wait for them, which are
there anyway; only for large ones there is a sum to keep.  A call that somebody
waits for in ``call()`` counts if it is large: of small ones there is one a thread.

Invariants:

* Beside MOST bytes no more is unanswered than one call of each thread.
* Who waits for room is woken by an answer, and by the end of the context; so is who asked to be told.

Any thread may enter.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sized

from econtext.controller.runtime.loop import ControllerLoop
from econtext.controller.runtime.waiting import Wait

MOST = 1 << 26      # bytes
EACH = 1 << 10      # bytes that a small call counts for, with its future
LARGE = EACH        # bytes of arguments, from which a call counts for what it is


class Backlog:
    """The calls of one context that are unanswered; `pending` are its futures."""

    def __init__(self, loop: ControllerLoop, pending: Sized) -> None:
        self.loop = loop
        self.pending = pending
        self.lock: threading.Lock = threading.Lock()
        self.sizes: dict[int, int] = {}     # of large calls, by their handles
        self.total: int = 0
        self.waits: list[Wait | Callable[[], object]] = []
        self.ended: bool = False

    def is_full(self) -> bool:
        return self.total + EACH * len(self.pending) >= MOST and not self.ended

    def add(self, handle: int, size: int) -> None:
        """A large call is about to be sent."""
        with self.lock:
            self.sizes[handle] = size
            self.total += size

    def remove(self, handle: int) -> None:
        """The call `handle` was answered."""
        if handle in self.sizes:
            with self.lock:
                self.total -= self.sizes.pop(handle, 0)
        if self.waits and not self.is_full():
            self.relieve()

    def relieve(self) -> None:
        with self.lock:
            waits, self.waits = self.waits, []
        for wait in waits:
            if isinstance(wait, Wait):
                self.loop.finish(wait)
            else:
                wait()

    def end(self) -> None:
        """The context is gone: nobody need wait."""
        self.ended = True
        self.relieve()

    def tell(self, told: Callable[[], object]) -> None:
        """Call `told` once there is room: at once, or by whoever makes room, who waits for nothing."""
        with self.lock:
            self.waits.append(told)
        if not self.is_full():
            self.relieve()

    def wait(self, deadline: float | None) -> None:
        """Return once there is room for another call; raise Expired at `deadline`."""
        while self.is_full():
            wait = Wait(self.loop, deadline)
            with self.lock:
                self.waits.append(wait)
            # Whoever makes room from now on sees that somebody waits.
            if self.is_full():
                self.loop.wait(wait)
