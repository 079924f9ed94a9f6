"""
The children of a context that is not the controller.

Invariants:

* Whoever waits for an answer from below hears of it when none can come.
* A child that is stopped before it was begun is never started.

Entered by the thread that leads, ``start`` by a thread of its own for each child.
"""
import marshal
import sys

from econtext.core.codec import encode, native
from econtext.core.wire import DEAD, EMPTY, REPORT, STOP, TYPED
from econtext.parent import judge
from econtext.parent.backlog import Backlog
from econtext.parent.children import Birth
from econtext.parent.handshake import ASK


def lose(router, link, reason=EMPTY):
    # type: (Router, Link, bytes) -> list[int]
    """Forget what lies behind `link`; wake all who wait for an answer from there."""
    gone = [who for who in list(router.links) if router.links[who] is link]
    for who in gone:
        router.links.pop(who, None)
        if hasattr(router, 'parts'):
            router.parts.forget(link, who)
    for handle, asked in list(router.asked.items()):
        if asked[0] in gone:
            router.answer(asked[0], handle, DEAD, reason)
    return gone


class Nursery(object):
    """The children of a context that is not the controller."""

    def __init__(self, child):
        # type: (Child) -> None
        self.child = child
        self.births = {}
        # Those to be stopped before they were begun.
        self.stopped = []  # type: list[int]
        child.backlog = Backlog(child)
        child.router.accepts = judge.guard(child.router)
        child.router.handle({STOP: self.stop, TYPED: self.typed})

    def start(self, link, src, who, body):
        # type: (Link, int, int, bytes) -> None
        name, options, answers, asked, heartbeat = marshal.loads(body)
        for key in asked:
            answers[key] = ASK

        def report(event, *details):
            # type: (str, Any) -> None
            if event == 'ready':
                judge.restrain(link)
            if event in ('failed', 'lost', 'silent', 'buried'):
                lose(self.child.router, link)
            if event == 'buried':
                self.births.pop(who, None)
            self.child.router.send(REPORT, src, who, encode((event,) + details))
        birth = Birth(self.child, link, connector(native(name)), options, answers, report)
        birth.who, birth.heartbeat = who, heartbeat
        self.child.link.lock.acquire()
        self.births[who] = birth
        self.child.link.lock.release()
        if who in self.stopped:
            self.stopped.remove(who)
            birth.stop()
        birth.begin()

    def stop(self, src, who, body):
        # type: (int, int, bytes) -> None
        if who in self.births:
            self.births[who].stop()
        elif who in self.child.router.links:
            self.stopped.append(who)

    def typed(self, src, who, body):
        # type: (int, int, bytes) -> None
        if who in self.births:
            self.births[who].answer(*marshal.loads(body))


def connector(name):
    # type: (str) -> Any
    """Return the connector that is module `name`."""
    __import__(name)
    return sys.modules[name]


def start(child, *request):
    # type: (Child, Any) -> None
    """Start a child of `child`."""
    # What comes from above meanwhile waits, and so does another start.
    child.link.lock.acquire()
    try:
        if not hasattr(child, 'nursery'):
            child.nursery = Nursery(child)
    finally:
        child.link.lock.release()
    try:
        child.nursery.start(*request)
    except:
        error = sys.exc_info()
        detail = '%s: %s' % (error[0].__name__, error[1])
        for report in ('failed', 'ended', detail), ('buried', None):
            child.router.send(REPORT, request[1], request[2], encode(report))
