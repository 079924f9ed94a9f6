"""
Send what is printed to the controller.

Descriptors 1 and 2 become pipes that the loop reads, so that programs started
from here are heard too.  The controller cuts what arrives into lines.

Invariants:

* What was printed before ``flush`` is on its way when it returns.

``flush`` is entered by the main thread, the readers by the thread that leads.
What is logged goes the same way, see ``records``.
"""
import os
import select
import sys

from econtext.core.codec import Text
from econtext.core.loop import Reader
from econtext.core.wire import STDIO


class Logs(object):
    def __init__(self, loop, router):
        # type: (Loop, Router) -> None
        self.pipes = select.poll()
        self.readers = {}
        for fd in 1, 2:
            read, write = os.pipe()
            os.dup2(write, fd)
            os.close(write)
            self.pipes.register(read, select.POLLIN)
            self.readers[read] = Reader(
                loop, read, lambda data, fd=fd: router.send(STDIO, 0, fd, data))
        sys.stdout = printer(1, 'surrogateescape')
        sys.stderr = printer(2, 'backslashreplace')

    def flush(self):
        # type: () -> None
        for stream in sys.stdout, sys.stderr:
            try:
                stream.flush()
            except:
                # The application's own stream, closed or broken: its affair.
                pass
        # A read takes up to 64 KiB; no more than that can wait in a pipe.
        for read, _ in self.pipes.poll(0):
            self.readers[read].ready(read)
        # Another thread may have read, and be about to send.
        for reader in self.readers.values():
            reader.lock.acquire()
            reader.lock.release()


def printer(fd, errors):
    # type: (int, str) -> Any
    """Return a line-buffered text stream that writes to `fd`."""
    if str is Text:
        return open(fd, 'w', 1, 'utf-8', errors, None, False)
    return os.fdopen(fd, 'w', 1)
