"""
Streams of values between two contexts, with credit.

A channel belongs to the context that opened it, its *owner*, which gave it a
handle; the other end, the *holder*, is whoever was handed it as an argument.

Invariants:

* Who sends holds credit: bytes that the other end still takes without growing.  A value
  costs its bytes, and LEAST if it has fewer: ones of no bytes use it up as well.
  It sends while the credit is positive, so that one value larger than the
  window passes, and a reader that does not read stops its writer.
* Values arrive whole, in order, and all of those sent before a close.
* Both ends have the same window.  Nobody holds more credit than that.
* An end is forgotten once both sides have said CLOSE.
* The owner knows which calls were handed a channel, and ends it as the last of them
  ends, whatever still refers to it there; but not one that was kept.
* A holder to which no object refers any more says FREE, as its call ends: a kept one is
  ended by that.

Fetched when the first channel comes.  ``receive`` is entered by the thread that leads, the rest by any.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable
    from typing import Any

    from econtext.child.interfaces import Home
    from econtext.core.loop import Loop
    from econtext.core.router import Router

import sys
try:
    # `collections` itself takes long to import.
    from _collections import deque
except ImportError:
    from collections import deque
try:
    from sys import getrefcount as _counted  # noqa: F401
    collect = int
except ImportError:
    # PyPy counts no references: what nobody has any more is to be looked for.
    from gc import collect  # type: ignore[assignment]

from econtext.child import bulk, renewal
from econtext.core.loop import Waiter, allocate_lock
from econtext.core.wire import CLOSE, CREDIT, DATA, EMPTY, BadFrame

LEAST = 64          # bytes that a value counts for at least: what it takes to hold it
BEGINNING = allocate_lock()  # type: LockType  # calls may begin in several threads
WINDOW = 1 << 20    # bytes
# What a CLOSE may have in its body, and then it is no close by who sends it.
OVER = '!'.encode()     # down: no call holds the channel any more
KEEP = '+'.encode()     # up: the channel is to outlive its calls
FREE = '?'.encode()     # up: no object here refers to the channel any more


@renewal.register
def after_fork():
    # type: () -> None
    global BEGINNING
    BEGINNING = allocate_lock()


class End(object):
    """One end of a channel; `home` has the loop and the router."""

    def __init__(self, home, peer, handle, window=WINDOW):
        # type: (Any, int, int, int) -> None
        self.home = home
        self.peer = peer
        self.handle = handle
        self.window = window
        # Held while a number below changes, and until what was paid for is on its way.
        self.lock = allocate_lock()  # type: LockType
        self.inbox = deque()    # type: deque[bytes]
        self.credit = window  # type: int  # what we may send
        self.granted = window  # type: int  # what the peer may send
        self.taken = 0  # type: int  # what was taken and not granted again
        self.ours = True  # type: bool  # we may send
        self.theirs = True  # type: bool  # they may send
        # How many objects stand for it, where it was handed to.
        self.held = 0
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
        while self.is_open():
            if self.spend(body, data):
                return True
            waiter = self.wait()
            if self.is_open() and self.credit <= 0:
                self.home.loop.wait(waiter)
        return False

    def spend(self, body, data):
        # type: (bytes, bytes) -> bool
        """Send a value if there is credit: in the order in which it was spent."""
        self.lock.acquire()
        try:
            if self.credit <= 0:
                return False
            self.credit -= max(len(body) + len(data), LEAST)
            if data:
                bulk.send(self.home.router, DATA, self.peer, self.handle, body, data)
            else:
                self.home.router.send(DATA, self.peer, self.handle, body)
            return True
        finally:
            self.lock.release()

    def take(self):
        # type: () -> bytes | None
        """Return the next value of the inbox, None if another thread was sooner."""
        self.lock.acquire()
        try:
            if not self.inbox:
                return None
            body = self.inbox.popleft()
            size = len(body)
            if size < LEAST:
                size = LEAST
            self.taken += size
            if self.taken * 2 > self.window and self.theirs:
                taken, self.taken = self.taken, 0
                self.granted += taken
                self.home.router.send(
                    CREDIT, self.peer, self.handle, ('%x' % taken).encode('ascii'))
            return body
        finally:
            self.lock.release()

    def get(self):
        # type: () -> Any
        """Return the next value, None at the end."""
        while 1:
            waiter = self.wait()
            body = self.take()
            if body is not None or not (self.inbox or self.is_open()):
                return body
            self.home.loop.wait(waiter)

    def close(self):
        # type: () -> None
        """Send no more, and take no more but what is here."""
        if self.ours:
            self.ours = False
            self.home.router.send(CLOSE, self.peer, self.handle, EMPTY)
            self.wake()

    def keep(self):
        # type: () -> None
        """Have the owner not end it with the calls that hold it."""
        self.home.router.send(CLOSE, self.peer, self.handle, KEEP)

    def finish(self):
        # type: () -> bool
        """Take no more but what is here, and have the holder do so; tell whether it had not closed."""
        told, self.ours, self.theirs = self.theirs, False, False
        if told:
            self.home.router.send(CLOSE, self.peer, self.handle, OVER)
            self.wake()
        return told

    def receive(self, kind, body):
        # type: (int, bytes) -> None
        if kind == CLOSE:
            self.theirs = False
            if body:
                # The owner has forgotten it.
                self.ours = False
            self.close()
        else:
            self.lock.acquire()
            try:
                self.reckon(kind, body)
            finally:
                self.lock.release()
        self.wake()

    def reckon(self, kind, body):
        # type: (int, bytes) -> None
        """Take a value or credit; raise BadFrame for more than there was to have."""
        if kind == DATA:
            if self.granted <= 0:
                raise BadFrame('a value beyond the credit of its channel')
            size = len(body)
            if size < LEAST:
                size = LEAST
            self.granted -= size
            if self.ours:
                self.inbox.append(body)
            return
        amount = int(body, 16)
        if not 0 < amount <= self.window - self.credit:
            raise BadFrame('more credit than was used')
        self.credit += amount

    def break_off(self, reason):
        # type: (Any) -> None
        """The other end is gone for `reason`."""
        if self.is_open():
            self.reason = reason
        self.ours = self.theirs = False
        self.wake()


class Holders(object):
    """The ends that a context holds."""

    def __init__(self, home):
        # type: (Home) -> None
        self.loop = home.loop  # type: Loop
        self.router = home.router  # type: Router
        # (owner, handle) -> our end, and frames that came before it was made.
        self.ends = {}  # type: dict[tuple[int, int], End]
        self.orphans = {}  # type: dict[tuple[int, int], list[tuple[int, bytes]]]
        self.dropped = []  # type: list[End]
        # Held while an end is made, and by who has a frame and no end for it.
        self.lock = allocate_lock()  # type: LockType
        home.supervisor.before_answer.insert(0, self.let_go)
        handlers = dict([(kind, self.handler(kind)) for kind in (DATA, CLOSE, CREDIT)])
        bulk.settle(home)
        home.link.lock.acquire()
        try:
            home.router.handle(handlers)
        finally:
            home.link.lock.release()

    def let_go(self):
        # type: () -> None
        """A call has ended: see which channels it has let go of."""
        # Python 2 remembers an exception, and what its frames held.
        getattr(sys, 'exc_clear', int)()
        if self.ends:
            collect()
        while self.dropped:
            self.drop(self.dropped.pop())

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
            self.lock.acquire()
            end = self.ends.get((src, handle))
            if end is None and kind == CLOSE and body:
                # No call that holds it ever began.
                self.orphans.pop((src, handle), None)
            elif end is None:
                self.orphans.setdefault((src, handle), []).append((kind, body))
            self.lock.release()
            if end is None:
                return
        end.receive(kind, body)
        if not (end.ours or end.theirs):
            self.ends.pop((src, handle), None)

    def hold(self, owner, handle, window):
        # type: (int, int, int) -> End
        """Return our end of the channel that was handed to us."""
        key = owner, handle
        self.lock.acquire()
        try:
            end = self.ends.get(key)
            if end is None:
                end = End(self, owner, handle, window)
                for kind, body in self.orphans.pop(key, ()):
                    end.receive(kind, body)
                # One that was closed before it came needs no more frames.
                if end.ours or end.theirs:
                    self.ends[key] = end
            end.held += 1
            return end
        finally:
            self.lock.release()

    def drop(self, end):
        # type: (End) -> None
        """One object less stands for `end`."""
        self.lock.acquire()
        end.held -= 1
        last = not end.held
        self.lock.release()
        if last and end.is_open():
            self.router.send(CLOSE, end.peer, end.handle, FREE)


def hold(home, owner, handle, window):
    # type: (Home, int, int, int) -> Any
    """Make the channel that an argument speaks of."""
    BEGINNING.acquire()
    try:
        if not home.holders:
            home.holders = Holders(home)
    finally:
        BEGINNING.release()
    channel = sys.modules['econtext'].Channel()
    channel.begin(home, home.holders.hold(owner, handle, window))
    return channel
