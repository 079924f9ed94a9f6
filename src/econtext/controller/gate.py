"""
What the controller believes of what comes up to it.

Invariants:

* A frame is judged by its header, before its body is awaited: where it came in,
  whom it claims to be from, its kind, and its length.
* What an honest context cannot send ends the context that sent it; the contexts
  beside it go on.

Entered by the thread that leads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from econtext.core.router import LIMIT, Router
from econtext.core.wire import (
    CLOSE,
    CREDIT,
    DATA,
    DEAD,
    ERROR,
    HELLO,
    LOG,
    REPORT,
    RESULT,
    STDIO,
    WANT,
    BadFrame,
)

if TYPE_CHECKING:
    from econtext.controller.broker import Broker

# The kinds that contexts send to the controller, and how long each may be.
LIMITS = {
    HELLO: 1 << 14,
    RESULT: LIMIT,
    ERROR: LIMIT,
    DEAD: 1 << 12,
    WANT: 1 << 14,
    LOG: 1 << 26,
    STDIO: 1 << 16,
    REPORT: 1 << 17,
    DATA: LIMIT,
    CLOSE: 0,
    CREDIT: 1 << 5,
}


class Gate(Router):
    """The controller's router."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(0)
        self.broker = broker

    def accepts(self, link: Any, kind: int, src: int, size: int) -> bool:
        return size <= LIMITS.get(kind, -1) and self.links.get(src) is link

    def route(self, link: Any, kind: int, dst: int, src: int, handle: int, body: bytes) -> None:
        context = self.broker.contexts.get(src)
        if context is None:
            # It has just been given up; what it still says is late.
            return
        try:
            if dst != 0:
                raise BadFrame(f'a frame for context {dst}, to which it has no way')
            super().route(link, kind, dst, src, handle, body)
        except Exception as error:
            # Whatever a frame provokes here is its sender's doing.
            reason = f'{type(error).__name__}: {error}'
            if context.via is None:
                raise BadFrame(reason) from None
            self.broker.loop.delegate(lambda: self.broker.corrupt(context, reason))
