"""
Log records on their way to the controller, and the handler that takes them.

Invariants:

* What was printed before ``log`` by the same thread is on its way when it returns,
  or was sent before.
* A thread that leads never waits here: it alone could take the grant.
* What is logged while this very thread is sending, by the handler of a signal or by
  what Python calls as it collects garbage, is kept, and sent before the next answer;
  no more than KEPT bytes are, and behind them goes how many records were lost.

Sent behind HELLO; imported when the application first imports ``logging``.  Any thread
may enter; ``catch_up`` with the lock of ``flow`` held.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from econtext.child.interfaces import Home, Output

import time

from econtext.core.codec import Text, encode
from econtext.child.flow import COST, is_busy
from econtext.core.wire import LOG

KEPT = 4 << 20      # bytes of records that could not be sent yet
WARNING = 30        # the level, as `logging` has it
# Where a thread that sends only waits for others.
WAITING = 'spare', 'wait', 'enter', 'park', 'turn'
MOST = 1 << 17      # characters of a text that is sent
LONGEST = 1000      # of the name of a logger
MOST_LEVEL = 1 << 60    # that no level or time reaches


def cut(text, most=MOST):
    # type: (Any, int) -> Any
    """Return `text`, whatever the application made of it, as one that is not too long, and says so."""
    if not isinstance(text, (str, Text)):
        text = '%s' % (text,)
    if len(text) > most:
        text = text[:most] + '... (%d more characters are left out)' % (len(text) - most)
    return text


def number(value):
    # type: (Any) -> Any
    """Return `value` as a plain number, 0 for what is none: an application may have a class of its own for levels."""
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int) and -MOST_LEVEL < value < MOST_LEVEL:
        return int(value)
    return 0


class Records(object):
    """The records of one context."""

    def __init__(self, home):
        # type: (Home) -> None
        self.home = home
        self.flow = home.flow  # type: Output
        # Those of a thread that could not wait.
        self.later = []  # type: list[bytes]
        self.kept = 0  # type: int
        self.lost = 0  # type: int

    def log(self, body):
        # type: (bytes) -> None
        """Send a record behind what was printed before it."""
        if self.home.link.writing.locked() and is_busy(WAITING):
            self.keep(body)
            return
        self.flow.flush()
        while not self.spend(body):
            if not self.flow.wait():
                self.keep(body)
                # A grant may have come before that was there.
                self.send_later()
                return

    def keep(self, body):
        # type: (bytes) -> None
        """Keep a record until there is credit, or it is safe to send it."""
        if self.kept >= KEPT:
            self.lost += 1
            return
        self.kept += len(body) + COST
        self.later.append(body)

    def send_later(self):
        # type: () -> None
        if self.later and self.flow.enter():
            try:
                self.catch_up()
            finally:
                self.flow.leave()

    def spend(self, body):
        # type: (bytes) -> bool
        if not self.flow.enter():
            self.keep(body)
            return True
        try:
            if not self.flow.credit.spend(len(body)):
                return self.flow.gone
        finally:
            self.flow.leave()
        self.home.router.send(LOG, 0, 0, body)
        return True

    def catch_up(self):
        # type: () -> None
        """Send what was kept, as far as there is credit. Whoever holds the lock."""
        while self.later and self.flow.credit.spend(len(self.later[0])):
            body = self.later.pop(0)
            self.kept -= len(body) + COST
            self.home.router.send(LOG, 0, 0, body)
        if self.lost and not self.later:
            lost, self.lost = self.lost, 0
            self.keep(encode((
                'econtext', WARNING, time.time(),
                '%d records were lost, logged by signal handlers or garbage while none could be '
                'sent: log less there' % lost, None)))
            self.catch_up()


def hook(home, logging, level):
    # type: (Home, Any, int) -> Any
    """Send what the root logger receives from `level` on; return that logger.

    What was printed before a record is sent before it.
    """
    class Forwarder(logging.Handler):  # type: ignore[misc]
        def handle(self, record):
            # type: (Any) -> Any
            # Without the handler's lock: who waits for credit would hold it, and
            # the thread that leads may log, in what Python calls by itself.
            if self.filter(record):
                self.emit(record)
            return True

        def emit(self, record):
            # type: (Any) -> None
            try:
                self.format(record)
                trace = record.exc_text and cut(record.exc_text)
                body = encode((
                    cut(record.name, LONGEST), number(record.levelno), number(record.created),
                    cut(record.message), trace))
            except Exception:
                self.handleError(record)
            else:
                records.log(body)

    # Another one, where `logging` is loaded anew, would not know what was kept.
    records = home.flow.records = home.flow.records or Records(home)
    root = logging.getLogger()
    root.addHandler(Forwarder())
    root.setLevel(level)
    return root
