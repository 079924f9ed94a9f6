"""
What waits in the way up from a hop: who fills it is not read until it has gone.

A hop that read all that its children send would have to keep what its own parent does
not take as quickly.  So a child is not listened to once SHARE bytes of it have come
since the way up was last empty, until that is empty again.  Its own writing then stops
it, as would a pipe that nobody reads; what lies below it is stopped in the same way,
hop by hop.

Invariants:

* Of each child at most SHARE bytes and what is read in one step wait here.
* Nobody waits for what another sends: each child has a share of its own.
* While nothing waits in the way up everybody is listened to.

The argument for the last: who pauses a link looks once more whether something waits, with
the link noted before; who has emptied the way up looks whether a link is noted, having
emptied it before.  So one of both sees the other.

``consider`` is entered by who reads from a link, holding its lock, ``emptied`` by any
thread, which holds that of the way up; nothing else is waited for within ``lock``.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from typing import Any

    from econtext.child.interfaces import Home, Pulses
    from econtext.core.loop import Link, Loop


from econtext.child import bulk
from econtext.child.watch import SELDOM
from econtext.core.loop import allocate_lock

SHARE = 1 << 18     # bytes


class Backlog(object):
    """The way up of one context, and those that are not listened to meanwhile."""

    def __init__(self, home):
        # type: (Home) -> None
        self.loop = home.loop  # type: Loop
        self.watch = home.watch  # type: Pulses
        self.up = home.link  # type: Link
        self.lock = allocate_lock()  # type: LockType
        # What came of each since the way up was last empty.
        self.came = {}  # type: dict[Any, int]
        self.paused = {}  # type: dict[Any, bool]
        bulk.quicken(home)
        self.up.bulk.outlet = self  # type: ignore[union-attr]

    def consider(self, link, size):
        # type: (Any, int) -> None
        """`size` bytes were read from `link`: shall more be, now?"""
        if not self.up.queue:
            return
        self.lock.acquire()
        try:
            self.came[link] = self.came.get(link, 0) + size
            if self.came[link] >= SHARE and link.fd is not None and link not in self.paused:
                self.loop.forget(link.fd)
                self.paused[link] = link.paused = True
                # It is to hear of us, and cannot ask.
                self.watch.mask = 0
        finally:
            self.lock.release()
        if not self.up.queue:
            self.emptied()

    def emptied(self):
        # type: () -> None
        """All that waited in the way up was taken."""
        if not (self.came or self.paused):
            return
        self.lock.acquire()
        try:
            self.came.clear()
            while self.paused:
                link = self.paused.popitem()[0]
                link.paused = False
                if link.fd is not None:
                    self.loop.watch(link.fd, getattr(link, 'transport', link))
            self.watch.mask = SELDOM
        finally:
            self.lock.release()

    def forget(self, link):
        # type: (Any) -> None
        """The descriptor of `link` is about to be closed."""
        self.lock.acquire()
        self.came.pop(link, None)
        if self.paused.pop(link, None):
            link.paused = False
        self.lock.release()
