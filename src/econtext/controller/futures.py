"""
The answer to a call that nobody waits for yet.

A thread that waits for it in ``result()`` leads the loop; one that waits through
``concurrent.futures.wait`` cannot, and is served by the spare thread.
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from econtext.controller.interrupt import safe
from econtext.controller.loop import ControllerLoop, Expired, Wait

T = TypeVar('T')


class Future(concurrent.futures.Future[T], Generic[T]):
    """
    A ``concurrent.futures.Future`` for a call in a context.

    It is running as soon as it was sent, so ``cancel()`` returns False.
    """

    def __init__(self, loop: ControllerLoop) -> None:
        super().__init__()
        self._loop = loop
        self._waits: list[Wait] = []
        self._guard = threading.Lock()
        self._settled = False
        self.set_running_or_notify_cancel()

    def settle(self, compute: Callable[[], T]) -> None:
        """The answer is here: `compute` decodes or raises it, apart from the loop."""
        self._loop.post(lambda: self._complete(compute))
        with self._guard:
            self._settled = True
            waits, self._waits = self._waits, []
        for wait in waits:
            self._loop.finish(wait)

    @safe
    def _complete(self, compute: Callable[[], T]) -> None:
        try:
            value = compute()
        except BaseException as error:
            self.set_exception(error)
        else:
            self.set_result(value)

    def _lead(self, timeout: float | None) -> float | None:
        """Run the loop until the answer is here; return the time that is left."""
        if self.done():
            return timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        wait = Wait(self._loop, deadline)
        with self._guard:
            if not self._settled:
                self._waits.append(wait)
            else:
                wait.done = True
        try:
            self._loop.wait(wait)
        except Expired:
            raise concurrent.futures.TimeoutError from None
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    def result(self, timeout: float | None = None) -> T:
        """Return what the function returned, or raise what it raised."""
        return super().result(self._lead(timeout))

    def exception(self, timeout: float | None = None) -> Any:
        """Return what the function raised, None if it returned."""
        return super().exception(self._lead(timeout))
