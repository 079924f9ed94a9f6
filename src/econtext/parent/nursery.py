"""
The children of a context that is not the controller.

Invariants:

* Whoever waits for an answer from below hears of it when none can come.
* A child that is stopped before it was begun is never started.
* While this context ends, it reports nothing of its children: they end because this context does, and the reason
  for that is what their callers are told.
* When this context ends it ends its children's programs first, also those that do not
  heed the end of their input: within HURRY seconds, one more for each level of contexts
  that they have below them, so that these have the time to do the same.

Entered by the thread that leads, ``start`` by a thread of its own for each child,
``close`` and ``wait`` by those that end this context.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from econtext.child.interfaces import Below, Home
    from econtext.core.loop import Link, Loop
    from econtext.core.router import Router

import marshal
import sys
import time
try:
    import _signal as signal
except ImportError:
    import signal

from econtext.core.codec import encode, native
from econtext.core.wire import DEAD, EMPTY, REPORT, ROUTE, STOP, TYPED
from econtext.parent import judge
from econtext.parent.backlog import Backlog
from econtext.parent.children import MOST_LEVELS, Birth, clock
from econtext.parent.handshake import ASK

HURRY = 1.5     # seconds, more than a context's own grace, until a program is told to end
MOMENTS = 1.5   # further seconds until it is killed, and waited for


def lose(router, link, reason=EMPTY):
    # type: (Router, Link, bytes) -> list[int]
    """Forget what lies behind `link`; wake all who wait for an answer from there."""
    gone = [who for who in list(router.links) if router.links[who] is link]
    for who in gone:
        router.links.pop(who, None)
        if router.parts:
            router.parts.forget(link, who)
    for handle, asked in list(router.asked.items()):
        if asked[0] in gone:
            router.answer(asked[0], handle, DEAD, reason)
    return gone


class Nursery(object):
    """The children of a context that is not the controller; the home of their births."""

    def __init__(self, home):
        # type: (Home) -> None
        self.home = home
        self.loop = home.loop  # type: Loop
        self.router = home.router  # type: Router
        self.preamble = home.preamble  # type: bytes
        self.births = {}  # type: dict[int, Birth]
        # Those to be stopped before they were begun, and whether because their time is over.
        self.stopped = {}  # type: dict[int, bytes]
        self.backlog = Backlog(home)  # type: Backlog
        self.closed = False  # type: bool
        self.deadline = 0.0  # type: float
        self.admission = judge.Admission(self.router)  # type: judge.Admission
        self.pass_route = self.router.handlers[ROUTE]  # type: Callable[[int, int, bytes], Any]
        # Who started whom, below our children.
        self.parents = {}  # type: dict[int, int]
        self.router.handle({STOP: self.stop, TYPED: self.typed, ROUTE: self.route})

    def start(self, link, src, who, body):
        # type: (Link, int, int, bytes) -> None
        """Start context `who`, whose link will be `link`; what becomes of it is reported to `src`."""
        name, options, answers, asked, heartbeat = marshal.loads(body)
        for key in asked:
            answers[key] = ASK

        def report(event, *details):
            # type: (str, Any) -> None
            if event == 'ready':
                link.bulk.restraint = judge.Restraint()  # type: ignore[union-attr]
            if event in ('silent', 'buried'):
                # It may still speak: what comes behind the report would be refused.
                lose(self.router, link)
            if event == 'buried':
                self.births.pop(who, None)
            if not self.closed:
                self.router.send(REPORT, src, who, encode((event,) + details))
            if event in ('failed', 'lost'):
                # Behind the report: a call that finds no way is answered, but the report says why.
                lose(self.router, link)
        link.admission = self.admission
        birth = Birth(self, link, connector(native(name)), options, answers, report)
        birth.who, birth.heartbeat = who, heartbeat
        self.home.link.lock.acquire()
        self.births[who] = birth
        self.home.link.lock.release()
        if who in self.stopped:
            self.give_up(birth, self.stopped.pop(who))
        elif self.closed:
            birth.hurry(HURRY)
            birth.stop()
        birth.begin()

    def call(self, *request):
        # type: (Any) -> Any
        """Call a function in a context below, see ``caller``."""
        from econtext.parent import caller
        return caller.call(self.home, *request)

    def fork(self):
        # type: () -> Any
        """Return the process of a child that is a copy of this context."""
        from econtext.parent import forking
        return forking.fork(self.home)

    def attend(self, who, link, interval):
        # type: (int, Link, float) -> None
        """Ask context `who`, at the other end of `link`, whenever it is silent for so long."""
        self.home.watch.attend(who, link, interval)

    def stop(self, src, who, body):
        # type: (int, int, bytes) -> None
        if who in self.births:
            self.give_up(self.births[who], body)
        elif who in self.router.links:
            self.stopped[who] = body

    def give_up(self, birth, late):
        # type: (Birth, bytes) -> None
        """End a child, or, if its time to start is over, find out why it did not start."""
        if late:
            birth.expire()
        else:
            birth.stop()

    def route(self, src, who, body):
        # type: (int, int, bytes) -> None
        """Context `who` is reached through that in `body`, or no more."""
        router = self.router
        self.parents.pop(who, None)
        if body and int(body) in router.links:
            self.parents[who] = int(body)
            self.pass_route(src, who, body)
            return
        link = router.links.pop(who, None)
        for number, asked in list(router.asked.items()):
            if asked[0] == who:
                router.answer(who, number, DEAD, EMPTY)
        if router.parts:
            router.parts.forget(link, who)

    def height(self, who):
        # type: (int) -> int
        """Return how many levels of contexts there are below context `who`."""
        found, level = 0, [who]
        while 1:
            level = [below for below, parent in list(self.parents.items()) if parent in level]
            if not level:
                return found
            found += 1

    def end(self, wait):
        # type: (bool) -> None
        """End what is below, or `wait` until it has."""
        if not self.closed:
            self.close()
        if wait:
            self.wait()

    def close(self):
        # type: () -> None
        """This context ends: see to it that its children's programs do."""
        self.deadline = clock() + HURRY + MOMENTS + MOST_LEVELS
        self.closed = True
        for birth in list(self.births.values()):
            birth.hurry(HURRY)
            try:
                birth.stop()
            except:
                # No thread to be had: it is killed in the end.
                pass
        forking = sys.modules.get('econtext.parent.forking')
        if forking:
            forking.give_up()

    def wait(self):
        # type: () -> None
        """Return once they have ended; kill what has not."""
        pause = 0.0005
        while self.births and clock() < self.deadline:
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
        for birth in list(self.births.values()):
            if birth.process:
                birth.process.kill(signal.SIGKILL)

    def typed(self, src, who, body):
        # type: (int, int, bytes) -> None
        if who in self.births:
            self.births[who].answer(*marshal.loads(body))


def connector(name):
    # type: (str) -> Any
    """Return the connector that is module `name`."""
    __import__(name)
    return sys.modules[name]


def of(home):
    # type: (Home) -> Below
    """Return the children of the context of `home`."""
    # What comes from above meanwhile waits, and so does another start.
    home.link.lock.acquire()
    try:
        if not home.nursery:
            home.nursery = Nursery(home)
        return home.nursery
    finally:
        home.link.lock.release()
