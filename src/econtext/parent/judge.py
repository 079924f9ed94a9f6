"""
What may come up a link, and how long it may be: one table for the controller and for every hop.

A hop that let through what the controller refuses would be ended in the place
of the one that sent it, and all beside it too.

Invariants:

* What the table does not name is refused at the hop next to its sender.
* A hop takes for itself, from below, only answers to what it has asked, and heartbeats.
* A report that passes a hop is about a context behind the same link as who tells it.
* Who asks for more than it reads is ended, before much of that is kept for it.

Pure; entered by the thread that leads.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from econtext.core.loop import Link
    from econtext.core.router import Router

from econtext.child.kinds import ASKED, BEAT, BEGUN, GRANT, PART
from econtext.child.parts import LARGEST
from econtext.core.router import LIMIT
from econtext.core.wire import (
    ANSWERS, CLOSE, CREDIT, DATA, DEAD, ERROR, HELLO, LOG, MODULE, REPORT, RESULT, STDIO, WANT)

# The kinds that contexts send up, and how many bytes each may have.
LIMITS = {
    HELLO: 1 << 14,
    RESULT: LIMIT,
    ERROR: LIMIT,
    DEAD: 1 << 12,
    WANT: 1 << 14,
    LOG: (1 << 20) + (1 << 14),     # what ``child.records`` cuts its texts to, in UTF-8
    STDIO: 1 << 16,
    REPORT: 1 << 17,
    DATA: LIMIT,
    CLOSE: 1,
    CREDIT: 1 << 5,
    ASKED: LIMIT,
    BEAT: 0,
    BEGUN: 0,
    PART: LARGEST,
}

# What a hop takes for itself from below: answers, and what is said between neighbours.
FOR_A_HOP = ANSWERS + (BEAT, BEGUN, PART)


class Admission(object):
    """Judges the headers that come in on links from below to the `router` of a hop."""

    def __init__(self, router):
        # type: (Router) -> None
        self.router = router

    def accepts(self, link, kind, dst, src, handle, size):
        # type: (Any, int, int, int, int, int) -> bool
        router = self.router
        if size > LIMITS.get(kind, -1):
            return False
        if dst == router.me:
            if kind not in FOR_A_HOP:
                return False
            late = kind == DEAD and src not in router.links
            if kind in ANSWERS and not late and router.asked.get(handle, (None,))[0] != src:
                return False
        elif kind == BEAT:
            # Between neighbours alone: who answered it for others would keep the answers.
            return False
        elif kind == REPORT and router.links.get(handle, link) is not link:
            # Of one that is reached by another way.
            return False
        return bool(router.accepts(link, kind, dst, src, handle, size))


MOST_UNREAD = 1 << 26   # bytes
EACH = 1 << 15          # that an answer counts beside its body
UNREAD = 'it asks for modules, and does not read what it gets'
BRIEF = 1 << 7          # that what it was owed without asking counts beside its body

# What a context is sent because of what it sends itself: grants, credit, signs of life, that parts have come.
OWED = GRANT, CREDIT, BEAT, PART


class Unread(object):
    """How much a context was given, on its request, since the link to it was last idle."""

    def __init__(self):
        # type: () -> None
        self.size = 0  # type: int

    def grows(self, link):
        # type: (Link | None) -> bool
        """Is it more than an honest context leaves unread?"""
        if not (link and link.queue):
            self.size = 0
        return self.size > MOST_UNREAD

    def add(self, size):
        # type: (int) -> None
        self.size += size + EACH

    def note(self, size):
        # type: (int) -> None
        """It was owed something brief."""
        self.size += size + BRIEF


class Restraint(Unread):
    """Ends the child of a hop that asks, and does not read what it is given."""

    def refuses(self, link, kind, body):
        # type: (Link, int, bytes) -> bool
        """Note what is sent on `link`; end it, and tell so, where that is more than it may leave unread."""
        asked = kind in (RESULT, ERROR, MODULE)
        if asked or kind in OWED and (kind != PART or not body):
            if self.grows(link):
                link.hang_up()
                link.owner.lost(link, UNREAD)
                return True
            if asked:
                self.add(len(body))
            else:
                self.note(len(body))
        return False
