"""
Send what is printed to the controller.

Descriptors 1 and 2 become pipes that the loop reads, so that programs started
from here are heard too.  The controller cuts what arrives into lines.

Invariants:

* What is printed is sent as it comes, by `sender`: the router at first, and from the first
  cast on ``flow``, which holds it to what the controller takes.

The readers are entered by the thread that leads.  What is logged goes the same
way, see ``records``.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from econtext.core.loop import Loop

    class Sender(Protocol):
        """What sends output: the router, or ``flow.Flow``."""

        def send(self, kind: int, dst: int, handle: int, body: bytes) -> Any: ...

import os
import sys

from econtext.core.codec import Text
from econtext.core.loop import Reader
from econtext.core.wire import STDIO


class Logs(object):
    def __init__(self, loop, router):
        # type: (Loop, Sender) -> None
        self.readers = {}  # type: dict[int, Reader]
        self.sender = router  # type: Sender
        for fd in 1, 2:
            read, write = os.pipe()
            os.dup2(write, fd)
            os.close(write)
            self.readers[read] = Reader(
                loop, read, lambda data, fd=fd: self.sender.send(STDIO, 0, fd, data))  # type: ignore[misc]
        sys.stdout = printer(1, 'surrogateescape')
        sys.stderr = printer(2, 'backslashreplace')


def printer(fd, errors):
    # type: (int, str) -> Any
    """Return a line-buffered text stream that writes to `fd`."""
    if str is Text:
        return open(fd, 'w', 1, 'utf-8', errors, None, False)
    return os.fdopen(fd, 'w', 1)
