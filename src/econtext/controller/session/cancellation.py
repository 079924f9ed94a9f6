"""
Giving a call up: its function is interrupted, and its context ended if that does not help.

Any thread may enter.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Protocol

from econtext.child.kinds import INTERRUPT
from econtext.child.labels import seen
from econtext.controller.modules import manifest
from econtext.controller.runtime.log import say
from econtext.controller.runtime.timers import Timer

if TYPE_CHECKING:
    from econtext.controller.session.interfaces import Peer


if TYPE_CHECKING:
    class Overdue(Protocol):
        """A call whose context is ended when its `overdue` timer goes off."""

        _overdue: Timer | None


def label(function: object) -> str:
    """Return what errors call `function`."""
    name = getattr(function, '__qualname__', None)
    return name if type(name) is str else seen(function)


def give_up(
    context: Peer, call: Overdue, handle: int, grace: float, what: str
) -> None:
    """Interrupt a call; end the context if it has not stopped after `grace` seconds. Any thread."""
    loop, began = context.broker.loop, context.ready

    def overdue() -> None:
        nonlocal began
        if handle not in context.broker.router.asked:
            return
        if began:
            context.broker.stop(context, context.lost(
                f'{what}, and did not heed its interruption for {grace:g} s, so the context was '
                'ended: start it again'))
        else:
            # It is only starting, and will find the call given up before it begins.
            began = context.ready
            watch()

    def watch() -> None:
        call._overdue = loop.call_at(time.monotonic() + grace, lambda: loop.call_soon(overdue))

    watch()
    # By a thread that does not lead: modules are read from disk.
    loop.call_soon(lambda: send_interrupt(context, handle))


def send_interrupt(context: Peer, handle: int) -> None:
    """Tell a context to give up a call."""
    if handle in context.broker.router.asked:
        context.lines.put(lambda: say(context.lines.logger, logging.DEBUG, '> interrupt'))
        context.push(*manifest.FOR_INTERRUPTIONS)
        context.broker.router.send(INTERRUPT, context.id, handle, b'')
