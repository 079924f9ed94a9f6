"""
Hold what is printed and logged here to what the controller takes.

Each context has a window of bytes that it may have on the way; the controller
grants them again as it has handled them.  Without credit the pipes behind
descriptors 1 and 2 are not read, so that whoever prints waits in its own
write, and whoever logs waits in its own call, see ``records``.  All other frames go on.

Invariants:

* Output is sent while there is credit, and the last piece may be larger than it:
  on the way is less than the window and one piece.
* What was printed before ``flush`` is on its way when it returns, or was sent before.
* A thread that leads never waits here: it alone could take the grant.
* Once the link is gone nobody waits.

Follows the preamble.  ``ready`` and ``granted`` are entered by the thread that
leads, the rest by any.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Sequence
    from typing import Any

    from econtext.child.interfaces import Home
    from econtext.core.logs import Logs
    from econtext.core.loop import Reader

import select
import sys

from econtext.core.loop import Waiter, allocate_lock, get_ident, make_poller
from econtext.core.wire import EMPTY

WINDOW = 1 << 20    # bytes, unless the settings say otherwise
COST = 128          # bytes that a piece counts for beyond its own: what it takes to hold it
LINE = 32           # bytes that a line counts for beyond its own: what it takes to handle it
NEWLINE = '\n'.encode()
# Where a thread waits for others, or holds what it may not want twice.
BUSY = ['econtext.' + name for name in ('core.loop', 'child.watch', 'child.bulk')]


def weight(data):
    # type: (bytes) -> int
    """Return what printed bytes count for: each line in them is a record at the other end."""
    return len(data) + LINE * data.count(NEWLINE)


class Credit(object):
    """Bytes that may still be sent.  Pure."""

    def __init__(self, window):
        # type: (int) -> None
        self.left = window  # type: int

    def spend(self, size):
        # type: (int) -> bool
        """Take what a piece of `size` bytes costs; False if there is no credit."""
        if self.left <= 0:
            return False
        self.left -= size + COST
        return True

    def grant(self, size):
        # type: (int) -> bool
        """Take in a grant; tell whether there is credit now."""
        self.left += size
        return self.left > 0


class Flow(object):
    """The output of one context."""

    def __init__(self, home, logs):
        # type: (Home, Logs) -> None
        self.home = home
        self.credit = Credit(home.settings['window'])  # type: Credit
        self.lock = allocate_lock()  # type: LockType
        self.holder = None  # type: Any
        self.gone = False  # type: bool
        self.waiters = []  # type: list[Waiter]
        # Pipes that are not watched for lack of credit.
        self.held = []  # type: list[int]
        # What sends log records, once the application has imported ``logging``.
        self.records = None  # type: Any
        self.pipes = make_poller()[0]  # type: Any
        # Only of epoll may two threads ask at a time.
        self.shared = hasattr(self.pipes, 'close')  # type: bool
        self.readers = logs.readers  # type: dict[int, Reader]
        for fd in self.readers:
            self.pipes.register(fd, select.POLLIN)
            home.loop.watched[fd] = self
        logs.sender = self

    def send(self, kind, dst, fd, data):
        # type: (int, int, int, bytes) -> None
        """Send what was read from a pipe. Whoever holds the lock."""
        if self.credit.spend(weight(data)):
            self.home.router.send(kind, dst, fd, data)

    def enter(self):
        # type: () -> bool
        """Take the lock; False if this thread has it, and is here once more."""
        me = get_ident()
        if self.holder == me:
            return False
        self.lock.acquire()
        self.holder = me
        return True

    def leave(self):
        # type: () -> None
        self.holder = None
        self.lock.release()

    def ready(self, fd):
        # type: (int) -> None
        """There is something in a pipe: send it, or look away till there is credit."""
        if self.enter():
            try:
                if self.credit.left > 0 or self.gone:
                    self.readers[fd].ready(fd)
                elif fd not in self.held:
                    self.home.loop.forget(fd)
                    self.held.append(fd)
            finally:
                self.leave()

    def flush(self):
        # type: () -> None
        """Send all that was printed by now."""
        for stream in sys.stdout, sys.stderr:
            try:
                stream.flush()
            except Exception:
                # The application's own stream, closed or broken: its affair.
                pass
        if self.records:
            self.records.send_later()
        if self.shared and not self.pipes.poll(0) and self.holder is None:
            # In this order: whoever had read something by then has sent it.  Without the lock,
            # for this stands before each answer.
            return
        # A read takes up to 64 KiB; no more than that can wait in a pipe.
        for fd in self.full():
            while not self.drain(fd) and self.wait():
                pass

    def full(self):
        # type: () -> list[int]
        """Return the pipes that hold something; what was read from them is sent."""
        if not self.enter():
            return []
        try:
            return [fd for fd, _ in self.pipes.poll(0)]
        finally:
            self.leave()

    def drain(self, fd):
        # type: (int) -> bool
        """Send what a pipe holds; False if there is no credit."""
        if not self.enter():
            return True
        try:
            if self.credit.left <= 0 and not self.gone:
                return False
            self.readers[fd].ready(fd)
            return True
        finally:
            self.leave()

    def wait(self):
        # type: () -> bool
        """Return once there may be credit; False if this thread cannot wait."""
        if is_busy():
            return False
        waiter = Waiter(self.home.loop)
        if self.enter():
            self.waiters.append(waiter)
            waiter.done = self.credit.left > 0 or self.gone
            self.leave()
            self.home.loop.wait(waiter)
        return True

    def granted(self, src, size, body):
        # type: (int, int, bytes) -> None
        """The controller has handled `size` bytes."""
        self.enter()
        waiters = []  # type: list[Waiter]
        if self.credit.grant(size) or self.gone:
            if self.records:
                self.records.catch_up()
            while self.held:
                fd = self.held.pop()
                if self.readers[fd].fd is not None:
                    self.home.loop.watch(fd, self)
            waiters, self.waiters = self.waiters, waiters
        self.leave()
        for waiter in waiters:
            self.home.loop.finish(waiter)

    def release(self):
        # type: () -> None
        """The link is gone: what has no credit is dropped from now on."""
        self.gone = True
        self.granted(0, 0, EMPTY)


def is_busy(but=()):
    # type: (Sequence[str]) -> bool
    """Was this thread called away from the middle of waiting or sending, `but` these functions?"""
    frame = sys._getframe()  # type: Any
    while frame:
        if frame.f_globals.get('__name__') in BUSY and frame.f_code.co_name not in but:
            return True
        frame = frame.f_back
    return False
