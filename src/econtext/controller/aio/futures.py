"""
The answer to a call, as a future of asyncio.

Invariants:

* A future ends once, in the thread of its event loop; its answer is decoded there.
* A future that is cancelled has its function interrupted, or its call withdrawn if it has not begun.  The grace is that
  of its options; nobody waits for the interruption.
* An answer comes behind the handlers of what the function printed before.

The thread of the event loop enters; ``Answer`` also takes what the thread that leads says.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from econtext.controller.aio import errands
from econtext.controller.aio.bridge import Bridge
from econtext.controller.errors import stays
from econtext.controller.session import futures

if TYPE_CHECKING:
    from econtext.controller.session.interfaces import Peer

T = TypeVar('T')
# Types of values that nothing stands for.
PLAIN = frozenset((type(None), bool, int, float, str, bytes, tuple, list, dict))


class Answer(futures.Future[Any]):
    """The answer to a call, which `_arrived` is told of in the thread of asyncio."""

    _arrived: Callable[[], object] = bool

    def __init__(self, context: Peer, bridge: Bridge) -> None:
        # As the base has it, without a step in between.
        self._context = context
        self._waiters: list[Any] = []
        self._done_callbacks: list[Any] = []
        self._askers: list[Any] = []
        self._bridge = bridge

    def _set_outcome(
        self, compute: Callable[..., Any], tell: Callable[[Callable[[], object]], None] | None = None
    ) -> None:
        if self._settled:
            return
        super()._set_outcome(compute, tell)
        self._announce(late=tell is not None)

    def _announce(self, late: bool = False) -> None:
        """Have asyncio told, behind the handlers of what was printed before; at once if the answer is too `late`."""
        lines = self._context.lines
        if self._mark and not late and lines.is_open(self._mark):
            lines.put(functools.partial(self._bridge.post, self._arrived))
        else:
            self._bridge.post(self._arrived)


class Future(asyncio.Future[T], Generic[T]):
    """
    The result of a call that is to come: an ``asyncio.Future``; made by ``submit()`` of a context.

    Await it.  Cancelling it, or the task that awaits it, interrupts the function in the context.
    """

    __reduce_ex__: Callable[..., Any] = stays

    _answer: Answer | None = None

    def __init__(
        self, bridge: Bridge, grace: float, wrap: Callable[[Any], Any], answer: Any = None
    ) -> None:
        super().__init__(loop=bridge.loop)
        self._bridge = bridge
        self._grace = grace
        self._wrap = wrap
        bridge.awaited += 1
        if not bridge.watching:
            bridge.watch()
        if answer is not None:
            self._attend(answer)

    def _send(self, launch: Callable[[], futures.Future[Any]]) -> None:
        """Send the call now, which had to wait for something."""
        if self.done():
            # Cancelled before it could be sent.
            self._bridge.over()
            return
        try:
            answer = launch()
        except Exception as error:
            self._fail(error)
        else:
            self._attend(answer)

    def _fail(self, error: BaseException) -> None:
        """The call cannot be sent."""
        self._bridge.over()
        if not self.done():
            self.set_exception(errands.awaitable(error))

    def _attend(self, answer: Any) -> None:
        """Take the `answer` of a call that was sent."""
        self._answer = answer
        answer._arrived = self._arrive
        if answer._settled:
            # Before it knew whom to tell.
            answer._announce()

    def _arrive(self) -> None:
        answer = self._answer
        if answer is None:
            # Told twice.
            return
        self._answer = None
        self._bridge.awaited -= 1
        if self.done():
            # Cancelled: nobody looks at the answer.
            return
        value, error = answer._outcome()
        if error is None:
            self.set_result(value if type(value) in PLAIN else self._wrap(value))
        elif isinstance(error, concurrent.futures.CancelledError):
            super().cancel()
        else:
            self.set_exception(error)

    def cancel(self, msg: Any = None) -> bool:
        """
        Cancel the call; tell whether it had not ended.

        Its function is interrupted where it stands, as by interrupt(); a call that has not begun is
        withdrawn.  `msg` is that of the CancelledError.  Returns at once, and raises nothing.

        Example::

            future.cancel()
        """
        if not super().cancel(msg):
            return False
        self.interrupt(self._grace)
        return True

    def interrupt(self, grace: float = 1.0) -> bool:
        """
        Stop the call: its function is interrupted where it stands.

        As ``econtext.Future.interrupt()``: what the function then raises is what awaiting the future raises.  If
        the function has not stopped after `grace` seconds, its context is ended.  Returns at once; False if
        the answer is here already.  Raises nothing.

        Example::

            future = web.submit(install_app)
            if not wanted():
                future.interrupt()
        """
        answer = self._answer
        if answer is None or not answer.interrupt(grace):
            return False
        self._bridge.controller.have_chores_run()
        return True
