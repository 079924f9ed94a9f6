"""
What Python before 3.2 needs: a wait that a signal can end.

There a thread that waits for a lock heeds no signal.  So the main thread waits for
a byte in a pipe.

Invariants:

* The gate is exchanged under the loop's lock, so whoever opens it opens the one
  that is waited for.

Sent once the context has settled down.  Entered by the main thread.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from econtext.child.interfaces import Home
    from econtext.core.loop import Loop

import errno
import os
import sys

from econtext.core.loop import get_ident


class Gate(object):
    """Opened once."""

    def __init__(self):
        # type: () -> None
        pipe = os.pipe()
        self.read = pipe[0]  # type: int
        self.write = pipe[1]  # type: int

    def release(self):
        # type: () -> None
        os.write(self.write, '.'.encode())

    def stand(self):
        # type: () -> None
        """Wait. A thread may be called away from here, see ``interruption``."""
        while 1:
            try:
                os.read(self.read, 1)
                return
            except OSError:
                if sys.exc_info()[1].args[0] != errno.EINTR:  # type: ignore[union-attr]
                    raise


class Pipes(object):
    """Parks the main thread, which makes it, at a pipe; all others as the loop does."""

    def __init__(self, loop):
        # type: (Loop) -> None
        self.loop = loop
        self.main = get_ident()  # type: int

    def park(self, waiter):
        # type: (Any) -> None
        loop = self.loop
        if get_ident() != self.main:
            loop.park(waiter)
            return
        try:
            gate = Gate()
        except OSError:
            # No descriptor is left: signals are heard later.
            loop.park(waiter)
            return
        try:
            loop.lock.acquire()
            parks = waiter in loop.parked
            if parks:
                waiter.gate = gate
            loop.lock.release()
            if parks:
                gate.stand()
        finally:
            loop.lock.acquire()
            loop.parked.pop(waiter, None)
            os.close(gate.read)
            os.close(gate.write)
            loop.lock.release()


def settle(home):
    # type: (Home) -> None
    """From its next wait on, have the main thread, which calls this, wait where signals reach it."""
    home.watch.parking = Pipes(home.loop)
