"""
What is remembered of how a context behaves.

Invariants:

* It is small, whatever the context does.

Entered by the thread that leads; ``wanted``, ``waiting`` and ``served`` by any.
"""

from __future__ import annotations

import collections

from econtext.controller.session.admission import STARTED
from econtext.controller.session.charges import Account
from econtext.parent.judge import Unread


class Counters:
    """How one context behaves."""

    def __init__(self) -> None:
        # It sent what no honest one sends: nothing of it is believed any more.
        self.rejected = False
        # What it has here that was not handled yet.
        self.account: Account = Account()
        # What its parent has told of it, if that is a context.
        self.life = STARTED
        # How often its start asked for a password.
        self.questions = 0
        # The handles of what it has asked for and was not sent yet.
        self.wanted: set[int] = set()
        # Those of them that are not taken up, and whether somebody is about to.
        self.waiting: collections.deque[tuple[int, str, str | bool, int]] = collections.deque()
        self.served = False
        # What it was sent of that since its link was last idle.
        self.unread: Unread = Unread()
