"""
What a child settles down with, and how it ends.

``settle`` is the first cast a child receives; it runs in the main thread before
any code of the application.

Invariants:

* When the link ends, the process ends, and with it its process group: at once
  if no call runs; else the call is interrupted (SystemExit, so that its cleanup
  runs) and what is left after GRACE seconds is killed.
* SIGTERM and SIGHUP, which sudo passes on, end the context as a lost link does.

``lost`` is entered by the thread that leads, the rest by the main thread.
"""
import marshal
import os
import sys
import time
import zlib
try:
    import _signal as signal
except ImportError:
    import signal
try:
    from _thread import start_new_thread
except ImportError:
    from thread import start_new_thread
try:
    from _frozen_importlib_external import MAGIC_NUMBER
except ImportError:
    import imp
    MAGIC_NUMBER = imp.get_magic()  # type: ignore[misc]

from econtext.core import bulk, face
from econtext.core.codec import Text, encode, native
from econtext.core.loop import Link
from econtext.core.pull import Pull
from econtext.core.wire import HELLO, LEVEL, MODULE, PASS, REPORT, RESULT, ROUTE, START

GRACE = 1.0     # seconds


def settle(child, argv, level, title):
    # type: (Child, list[str], int, Optional[bytes]) -> None
    """Furnish `child` and tell the controller that it is here."""
    life = Life(child, level)
    child.make = life.make
    child.link.owner = life
    bulk.accelerate(child.link)
    for number in signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, life.stop)
    try:
        os.setsid()
    except OSError:
        # We lead a process group already.
        pass
    if str is not Text:
        argv = [word.encode('utf-8') for word in argv]  # type: ignore[misc]
    sys.argv = list(argv)
    face.furnish(sys.modules['econtext'])
    child.importer.child = child
    sys.meta_path.insert(1, Pull(child, life.hook))
    child.link.lock.acquire()
    try:
        child.router.handle({
            LEVEL: life.set_level, START: life.start, ROUTE: life.route,
            PASS: life.pass_on})
    finally:
        child.link.lock.release()
    trouble = None
    if title:
        try:
            from econtext.core import title as shown
            shown.rename(title)
        except:
            trouble = str(sys.exc_info()[1])
    child.router.send(HELLO, 0, 0, encode((
        sys.version, tuple(sys.version_info)[:3], MAGIC_NUMBER, sys.executable,
        os.getpid(), trouble)))
    if 'logging' in sys.modules:
        life.hook(sys.modules['logging'])


class Life(object):
    def __init__(self, child, level):
        # type: (Child, int) -> None
        self.child = child
        self.level = level
        self.root = None

    def hook(self, logging):
        # type: (Any) -> None
        """`logging` has been imported: forward what its root logger receives."""
        from econtext.core import records
        self.root = records.hook(self.child, logging, self.level)

    def set_level(self, src, level, body):
        # type: (int, int, bytes) -> None
        self.level = level
        if self.root:
            self.root.setLevel(level)

    def make(self, what, *args):
        # type: (str, Any) -> Any
        """Make the context or channel that an argument speaks of."""
        if what == 'channel':
            from econtext.core import channels
            return channels.hold(self.child, *args)
        return face.Context(self.child, *args)

    def start(self, src, handle, body):
        # type: (int, int, bytes) -> None
        """Start a child of ours, `handle` its id."""
        link = Link(self.child.loop, self.child.router, None)
        link.queue.append(self.child.preamble)
        self.child.router.links[handle] = link
        # A thread of its own: it imports, which the leader must never do.
        start_new_thread(self.beget, (link, src, handle, body))

    def route(self, src, handle, body):
        # type: (int, int, bytes) -> None
        """Context `handle` is reached through that in `body`, or no more."""
        links = self.child.router.links
        if body and int(body) in links:
            links[handle] = links[int(body)]
        else:
            links.pop(handle, None)

    def pass_on(self, src, who, body):
        # type: (int, int, bytes) -> None
        """Give context `who`, below us, units that we have, as `src` would."""
        # Version 0: from 1 on Python 2 refers to strings in a way that 3 cannot read.
        names, handle = marshal.loads(body)
        units = [(name, self.child.importer.units.get(native(name))) for name in names]
        kind = MODULE
        if handle:
            kind = RESULT
        if who in self.child.router.links:
            self.child.router.links[who].send(
                kind, who, src, handle, zlib.compress(marshal.dumps(units, 0)))

    def beget(self, link, src, who, body):
        # type: (Link, int, int, bytes) -> None
        try:
            from econtext.parent import children
            children.start(self.child, link, src, who, body)
        except:
            error = sys.exc_info()
            self.child.router.send(REPORT, src, who, encode((
                'failed', 'ended', '%s: %s' % (error[0].__name__, error[1]))))
            self.child.router.send(REPORT, src, who, encode(('buried', None)))

    def stop(self, *signal):
        # type: (Any) -> None
        if not self.child.dispatcher.ended:
            self.child.dispatcher.ended = True
            start_new_thread(end, (GRACE,))
        sys.exit(1)

    def lost(self, link, reason):
        # type: (Link, str) -> None
        self.child.dispatcher.ended = True
        start_new_thread(end, (GRACE, signal.SIGTERM))
        self.child.loop.finish(self.child.dispatcher.waiter)

    def leave(self):
        # type: () -> None
        """The last act of the main thread."""
        import atexit
        try:
            atexit._run_exitfuncs()
        finally:
            end(0)


def everybody():
    # type: () -> int
    """Return what os.kill calls our process group, if it is ours to end."""
    pid = os.getpid()
    if os.getpgrp() == pid:
        return -pid
    return pid


def end(delay, *signals):
    # type: (float, int) -> None
    """Send `signals` to our process group; after `delay` kill what is left of it."""
    # By this thread, and not by one that then starts it: the kernel has whoever
    # starts a thread take a pending signal, and the main thread would sleep on.
    for number in signals:
        os.kill(everybody(), number)
    time.sleep(delay)
    os.kill(everybody(), signal.SIGKILL)
