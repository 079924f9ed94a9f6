"""
Ctrl-C, at a moment when it does no harm.

Python raises KeyboardInterrupt between any two instructions of the main thread,
also half-way through a frame.  While a broker is open, an interrupt that comes
inside of econtext is put off, by sending the signal again a moment later, until
the main thread is where it may be left: waiting, or in the program's own code.

Only the default handler is replaced; a program's own stays as it is.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from econtext.controller.broker import Broker

F = TypeVar('F', bound=Callable[..., Any])
AGAIN = 0.001   # seconds until the signal comes again

# Where it may be the wrong moment.  What else is ours but hands the program's own on: `econtext.utils`.
INSIDE = tuple(f'econtext.{ring}.' for ring in ('core', 'parent', 'connectors', 'controller'))

OPEN: set[int] = set()
HEARD = [0]     # how often the signal came to the main thread
SAFE: set[types.CodeType] = set()


def safe(function: F) -> F:
    """Mark a function as one that an interrupt may leave at any point."""
    SAFE.add(cast('Any', function).__code__)
    return function


@safe
def breathe() -> None:
    """Let an interrupt come that was put off: for who waits where it may not."""
    time.sleep(2 * AGAIN)


def defer(broker: Broker) -> None:
    """From now on put interrupts off where they would do harm."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, on_interrupt)
    if signal.getsignal(signal.SIGINT) is on_interrupt:
        OPEN.add(id(broker))


def restore(broker: Broker) -> None:
    """Give the signal back when the last broker has closed."""
    OPEN.discard(id(broker))
    if (
        not OPEN
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is on_interrupt
    ):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def on_interrupt(signum: int, frame: types.FrameType | None) -> None:
    HEARD[0] += 1
    while frame is not None:
        if str(frame.f_globals.get('__name__')).startswith(INSIDE):
            if frame.f_code not in SAFE:
                threading.Thread(target=again, name='econtext interrupt', daemon=True).start()
                return
            break
        frame = frame.f_back
    raise KeyboardInterrupt


def again() -> None:
    """
    Send the signal until it is heard.

    One that comes as the main thread is about to wait in the kernel does not end that wait, and
    Python hears of it only behind it.
    """
    heard, pause = HEARD[0], AGAIN
    time.sleep(pause)
    while heard == HEARD[0] and (OPEN or pause == AGAIN):
        os.kill(os.getpid(), signal.SIGINT)
        pause = min(4 * pause, 0.1)
        time.sleep(pause)
