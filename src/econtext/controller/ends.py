"""
Why a context came to an end that nobody ordered, in words.

Invariants:

* What a context or the program that started it says of its end is data: it is
  searched for what we know, and quoted.

Pure; any thread may enter.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from econtext.controller.errors import EcontextError
from econtext.controller.wishes import GIL_LIMIT
from econtext.core.watch import MISSES

if TYPE_CHECKING:
    from econtext.controller.context import Context

#: What faulthandler writes where the next frame would stand, as ``repr`` shows it.
STACK = 'Stack (most recent call first)'
LINE = re.compile(r'File "([^"\\]*)", line (\d+) in ([\w<>]+)')


def of_link(context: Context, reason: Any, status: Any = None) -> Callable[[], EcontextError]:
    """Its link has ended; `reason` is what came that was no frame, `status` its program's."""
    reason = str(reason)
    if status == -signal.SIGPROF or STACK in reason:
        limit = context.common.get('gil_limit', GIL_LIMIT)
        line = LINE.search(reason)
        where = ': ' + ', line {1} of {0}, in {2}'.format(*line.groups())[2:] if line else ''
        return context.lost(
            f'its code held the interpreter lock for longer than gil_limit={limit:g} s of processor time, '
            f'so it was ended{where}; start it again, with a higher gil_limit= if that code is to be so slow'
        )
    if reason:
        return context.corrupted(reason[:120])
    return context.lost('its link was lost, and what it printed last may be missing: start it again')


def of_silence(context: Context, interval: Any) -> Callable[[], EcontextError]:
    """It answers no heartbeat."""
    seconds = MISSES * float(interval)
    return context.lost(
        f'nothing was heard of it for more than {seconds:g} s, so its link was given up: check the network between, '
        'and start it again; heartbeat= sets how long it may be silent'
    )
