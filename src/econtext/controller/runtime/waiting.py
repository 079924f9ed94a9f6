"""
What threads wait for, and what they handle meanwhile.

Invariants:

* A waiter that is done stays done: ``leading`` alone ends a wait, by ``finish``.
* Work is handled in its order, by one thread at a time, and never by the thread that leads.

Any thread may make a waiter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from econtext.core.loop import Loop, Waiter

Action = Callable[[], object]

if TYPE_CHECKING:
    from typing import Protocol

    class Work(Protocol):
        """What is to be handled in order, by one thread at a time."""

        posted: bool    # is its turn() among the events?

        def is_due(self, me: int) -> bool:
            """Is there something that thread `me` may handle now?"""

        def handle(self) -> None:
            """Handle some of it, unless another thread does."""

        def turn(self) -> None:
            """The same, as an event; leave the rest to whoever may handle that."""


    class Visitor(Protocol):
        """Leads by turns that wait for nothing, between waits of its own."""

        def recall(self) -> None:
            """Nobody leads any more. Any thread."""

        def end(self) -> None:
            """The loop is closed. Any thread."""


class Wait(Waiter):
    """A waiter with a deadline on the monotonic clock, or None."""
    looks = True    # for handlers that are new; not who did so before
    own: tuple[Work, ...] = ()  # what its thread handles while it waits
    settles = False     # does its thread see to that once it is done?

    def __init__(self, loop: Loop, deadline: float | None = None) -> None:
        super().__init__(loop)
        self.deadline = deadline


class Told(Wait):
    """A waiter that nobody leads for and nobody parks on: `tell` is called once there is nothing to wait for."""

    def __init__(self, loop: Loop, tell: Action) -> None:
        super().__init__(loop)
        self.tell = tell
