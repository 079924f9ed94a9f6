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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from econtext.controller.broker import Broker

AGAIN = 0.001   # seconds until the signal comes again

OPEN: set[int] = set()
SAFE: set[types.CodeType] = set()


def safe(function: Any) -> Any:
    """Mark a function as one that an interrupt may leave at any point."""
    SAFE.add(function.__code__)
    return function


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
    while frame is not None:
        if str(frame.f_globals.get('__name__')).startswith('econtext.'):
            if frame.f_code not in SAFE:
                threading.Thread(target=again, name='econtext interrupt', daemon=True).start()
                return
            break
        frame = frame.f_back
    raise KeyboardInterrupt


def again() -> None:
    time.sleep(AGAIN)
    os.kill(os.getpid(), signal.SIGINT)
