"""
What each kind of frame costs its sender, and who keeps the account.

Whatever a context sends takes memory here until it was handled, and some of it makes us
send something back.  So each frame is paid for before it is kept, by its bytes and by
what it takes to hold one at all, and what it cost is given back when it was handled.

Invariants:

* Each kind that may come up stands in CHARGES.
* What one context has here unhandled is at most the windows of its charges, one frame
  beyond each, and the answers that the program asked it for.
* What is owed to a context that does not read is bounded as well, see ``parent.judge``.

Pure.  Any thread may enter.
"""

# Annotations are evaluated here: as texts, typing would compile each of them for the class below, as a broker starts.
import threading
from typing import NamedTuple

from econtext.child.channels import LEAST
from econtext.child.flow import COST
from econtext.child.kinds import ASKED, BEAT, BEGUN, PART
from econtext.core.wire import CLOSE, CREDIT, DATA, DEAD, ERROR, HELLO, LOG, REPORT, RESULT, STDIO, WANT

# Who pays.
LIFE = 'life'           # the context, once
QUESTION = 'question'   # the question that it answers, which the program asked
CAST = 'cast'           # a cast of ours, of which it says that it failed
OUTPUT = 'output'       # the window of output, which is granted again
CHANNEL = 'channel'     # the window of a channel, the same
HELD = 'held'           # what it may have here at a time
WHOLE = 'whole'         # the frame that it is a part of
NOTHING = 'nothing'     # nobody: it is handled at once, and nothing of it is kept

# What becomes of a frame beyond that.
ENDED, REFUSED, LEFT_OUT = 'ended', 'refused', 'left out'


class Charge(NamedTuple):
    """What a frame of one kind costs."""

    payer: str
    #: Bytes that a frame counts for beside its body; of a channel, that it counts for at least.
    each: int = 0
    #: Bytes that may be held before the next is too many; 0 where the payer says.
    window: int = 0
    #: Frames that may be held at a time; 0 for any number.
    frames: int = 0
    beyond: str = ENDED


CHARGES: dict[int, Charge] = {
    HELLO: Charge(LIFE, frames=1),
    RESULT: Charge(QUESTION, frames=1),
    ERROR: Charge(QUESTION, frames=1),      # with handle 0: OF_A_CAST
    DEAD: Charge(QUESTION, frames=1),
    WANT: Charge(HELD, 1 << 7, 1 << 20, 1000),
    LOG: Charge(OUTPUT, COST),
    STDIO: Charge(OUTPUT, COST),
    REPORT: Charge(HELD, COST, 1 << 20, 0, LEFT_OUT),
    DATA: Charge(CHANNEL, LEAST),
    CLOSE: Charge(NOTHING),
    CREDIT: Charge(NOTHING),
    BEAT: Charge(NOTHING),
    PART: Charge(WHOLE),
    ASKED: Charge(HELD, 1 << 10, 1 << 26, 16, REFUSED),
    BEGUN: Charge(NOTHING),
}
OF_A_CAST = Charge(CAST, 0, 1 << 20, 1)


class Account:
    """What one context has here that was not handled yet."""

    def __init__(self) -> None:
        self.lock: threading.Lock = threading.Lock()
        self.frames: dict[int, int] = dict.fromkeys(CHARGES, 0)
        self.bytes: dict[int, int] = dict.fromkeys(CHARGES, 0)
        #: Casts that it was sent, and did not say of that they failed.
        self.casts: int = 0

    def has_room(self, kind: int) -> bool:
        """May another frame of this kind be held?"""
        charge = CHARGES[kind]
        if charge.frames and self.frames[kind] >= charge.frames:
            return False
        return not charge.window or self.bytes[kind] < charge.window

    def take(self, kind: int, size: int) -> bool:
        """Charge a frame with a body of `size` bytes; False if there is no room for it."""
        with self.lock:
            if not self.has_room(kind):
                return False
            self.frames[kind] += 1
            self.bytes[kind] += size + CHARGES[kind].each
            return True

    def give_back(self, kind: int, size: int) -> None:
        """A frame that was taken has been handled."""
        with self.lock:
            self.frames[kind] -= 1
            self.bytes[kind] -= size + CHARGES[kind].each

    def cast(self, count: int = 1) -> None:
        """It was sent so many casts more."""
        with self.lock:
            self.casts += count

    def failed(self) -> bool:
        """It says that a cast has failed; False if it was sent no more of them."""
        with self.lock:
            self.casts -= 1
            return self.casts >= 0
