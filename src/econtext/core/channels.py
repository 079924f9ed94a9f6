"""
Streams of values between two contexts, with credit.

A channel belongs to the context that opened it, its *owner*, which gave it a
handle; the other end, the *holder*, is whoever was handed it as an argument.

Invariants:

* Who sends holds credit: bytes that the other end still takes without growing.
  It sends while the credit is positive, so that one value larger than the
  window passes, and a reader that does not read stops its writer.
* Values arrive whole, in order, and all of those sent before a close.
* An end is forgotten once both sides have said CLOSE.
* A holder that nobody refers to any more is closed.

Follows the preamble; imported when the first channel comes or goes.  ``receive``
is entered by the thread that leads, the rest by any.
"""
import sys

from econtext.core import bulk
from econtext.core.loop import Waiter
from econtext.core.wire import CLOSE, CREDIT, DATA, EMPTY, BadFrame

WINDOW = 1 << 20    # bytes


class End(object):
    """One end of a channel; `home` has the loop and the router."""

    def __init__(self, home, peer, handle):
        # type: (Any, int, int) -> None
        self.home = home
        self.peer = peer
        self.handle = handle
        self.inbox = []         # type: list[bytes]
        self.credit = WINDOW    # what we may send
        self.granted = WINDOW   # what the peer may send
        self.taken = 0          # what was taken and not granted again
        self.ours = True        # we may send
        self.theirs = True      # they may send
        # Why it ended, if not by a close.
        self.reason = None  # type: Any
        self.waiters = []       # type: list[Any]

    def is_open(self):
        # type: () -> bool
        return self.ours and self.theirs

    def wait(self, deadline=None):
        # type: (Any) -> Any
        """Return a waiter for whatever happens next; look once more before it waits."""
        waiter = self.home.waiter(deadline)
        self.waiters.append(waiter)
        return waiter

    def wake(self):
        # type: () -> None
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            self.home.loop.finish(waiter)

    def send(self, body, data=EMPTY):
        # type: (bytes, bytes) -> bool
        """Send a value, once there is credit; False if the channel is closed.

        Large `data` comes apart from `body`, the tag before it.
        """
        while self.is_open() and self.credit <= 0:
            waiter = self.wait()
            if self.is_open() and self.credit <= 0:
                self.home.loop.wait(waiter)
        if not self.is_open():
            return False
        self.credit -= len(body) + len(data)
        if data:
            bulk.send(self.home.router, DATA, self.peer, self.handle, body, data)
        else:
            self.home.router.send(DATA, self.peer, self.handle, body)
        return True

    def take(self):
        # type: () -> bytes
        """Return the next value of the inbox, which is not empty."""
        body = self.inbox.pop(0)
        self.taken += len(body)
        if self.taken * 2 > WINDOW and self.theirs:
            taken, self.taken = self.taken, 0
            self.granted += taken
            self.home.router.send(
                CREDIT, self.peer, self.handle, ('%x' % taken).encode('ascii'))
        return body

    def get(self):
        # type: () -> Any
        """Return the next value, None at the end."""
        while 1:
            waiter = self.wait()
            if self.inbox:
                return self.take()
            if not self.is_open():
                return None
            self.home.loop.wait(waiter)

    def close(self):
        # type: () -> None
        """Send no more, and take no more but what is here."""
        if self.ours:
            self.ours = False
            self.home.router.send(CLOSE, self.peer, self.handle, EMPTY)
            self.wake()

    def receive(self, kind, body):
        # type: (int, bytes) -> None
        if kind == DATA:
            if self.granted <= 0:
                raise BadFrame('a value beyond the credit of its channel')
            self.granted -= len(body)
            if self.ours:
                self.inbox.append(body)
        elif kind == CREDIT:
            self.credit += int(body, 16)
        else:
            self.theirs = False
            self.close()
        self.wake()

    def break_off(self, reason):
        # type: (Any) -> None
        """The other end is gone for `reason`."""
        if self.is_open():
            self.reason = reason
        self.ours = self.theirs = False
        self.wake()


class Holders(object):
    """The ends that a child holds."""

    def __init__(self, child):
        # type: (Child) -> None
        self.child = child
        self.loop = child.loop
        self.router = child.router
        # (owner, handle) -> our end, and frames that came before it was made.
        self.ends = {}  # type: dict[tuple[int, int], End]
        self.orphans = {}  # type: dict[tuple[int, int], list[tuple[int, bytes]]]
        self.dropped = []  # type: list[End]
        flush = child.logs.flush

        def flush_all():
            # type: () -> None
            # A call has ended, and with it the use of what it was handed.
            # Python 2 remembers an exception, and what its frames held.
            getattr(sys, 'exc_clear', int)()
            while self.dropped:
                self.dropped.pop().close()
            flush()
        child.logs.flush = flush_all
        handlers = dict([(kind, self.handler(kind)) for kind in (DATA, CLOSE, CREDIT)])
        child.link.lock.acquire()
        try:
            child.router.handle(handlers)
        finally:
            child.link.lock.release()

    def waiter(self, deadline):
        # type: (Any) -> Waiter
        return Waiter(self.loop)

    def handler(self, kind):
        # type: (int) -> Callable[[int, int, bytes], Any]
        return lambda src, handle, body: self.receive(kind, src, handle, body)

    def receive(self, kind, src, handle, body):
        # type: (int, int, int, bytes) -> None
        end = self.ends.get((src, handle))
        if end is None:
            self.orphans.setdefault((src, handle), []).append((kind, body))
            return
        end.receive(kind, body)
        if not (end.ours or end.theirs):
            self.ends.pop((src, handle), None)

    def hold(self, owner, handle):
        # type: (int, int) -> End
        """Return our end of the channel that was handed to us."""
        key = owner, handle
        end = self.ends.get(key)
        if end is None:
            end = self.ends[key] = End(self, owner, handle)
            for kind, body in self.orphans.pop(key, ()):
                self.receive(kind, owner, handle, body)
        # One that was closed before it came is not in `ends` any more.
        return end


def hold(child, owner, handle):
    # type: (Child, int, int) -> Any
    """Make the channel that an argument speaks of."""
    if not hasattr(child, 'holders'):
        child.holders = Holders(child)
    channel = sys.modules['econtext'].Channel()
    channel.begin(child, child.holders.hold(owner, handle))
    return channel
