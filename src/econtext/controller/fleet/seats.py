"""
A context as one piece of work of a fleet uses it: what the work opens there can be ended from elsewhere.

Invariants:

* After stop() no channel of the seat is open, its calls are interrupted, and nothing more is begun there.

Any thread may enter.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from econtext.controller.errors import EcontextError

if TYPE_CHECKING:
    from econtext.controller.context import Context
    from econtext.controller.session.calls import Options
    from econtext.controller.session.channels import Channel
    from econtext.controller.session.futures import Future


class Seat:
    """What commands and files need of a context, for one piece of work."""

    def __init__(self, context: Context, timeout: float | None, grace: float) -> None:
        self.name: str = context.name
        self.context = context
        self.options: Options = context.options(timeout=timeout, grace=grace)
        self.lock: threading.Lock = threading.Lock()
        self.opened: list[Channel] = []
        self.sent: list[Future[Any]] = []
        self.stopped: float | None = None

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return self.submit(function, *args, **kwargs).result()

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.check()
        future = self.options.submit(function, *args, **kwargs)
        with self.lock:
            self.sent.append(future)
            stopped = self.stopped
        if stopped is not None:
            future.interrupt(stopped)
        return future

    def channel(self, **options: Any) -> Channel:
        self.check()
        channel = self.context.channel(**options)
        with self.lock:
            self.opened.append(channel)
            stopped = self.stopped
        if stopped is not None:
            channel.close()
        return channel

    def check(self) -> None:
        if self.stopped is not None:
            raise EcontextError(f'{self.name}: it was interrupted')

    def stop(self, grace: float) -> None:
        """End all that was begun here."""
        with self.lock:
            self.stopped = grace
            opened, sent = list(self.opened), list(self.sent)
        for channel in opened:
            channel.close()
        for future in sent:
            if not future.done():
                future.interrupt(grace)
