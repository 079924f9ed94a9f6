"""
What a child settles down with, and how it ends.

``settle`` is the first cast a child receives; it runs in the main thread before
any code of the application.

Invariants:

* When the link ends, the process ends, and with it its process group.  The call
  that runs is interrupted once (SystemExit), never what already ends: cleanup,
  functions of ``atexit``, threads and the programs of the group, which get SIGTERM,
  have GRACE seconds to end; what is left is killed.  What has ended is not waited for.
* The programs of contexts below have ended, or were made to, before this process ends.
* SIGTERM and SIGHUP, which sudo passes on, end the context as a lost link does; who
  waits for the process sees that signal.
* Once the link has ended, nobody waits for an answer from the other end.

``lost`` is entered by the thread that leads, ``fade`` by one of its own, ``end`` by
that and the main thread, the rest by the main thread.
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

from econtext.core import face, flow
from econtext.core.codec import Text, encode, native
from econtext.core.kinds import BEAT, INTERRUPT
from econtext.core.loop import Link, Reader
from econtext.core.pull import Pull
from econtext.core.supervisor import Supervisor
from econtext.core.watch import Watch
from econtext.core.wire import CALL, DEAD, EMPTY, HELLO, LEVEL, MODULE, PASS, REPORT, RESULT, ROUTE, START

GRACE = 1.0     # seconds
LATER = ['econtext.core.bulk']      # comes when the child has settled down
if sys.version_info < (3, 2):
    # Who waits for a lock there hears no signal.
    LATER.insert(0, 'econtext.core.older')


def settle(child, settings):
    # type: (Child, dict[str, Any]) -> None
    """
    Furnish `child` and tell the controller that it is here.

    `settings`: ``argv``, the program's arguments; ``level``, of records that are
    wanted; ``title``, what ``ps`` is to show, or nothing; ``parent``, the context that
    started this one; ``heartbeat`` and ``gil_limit``, in seconds, 0 for none;
    ``threads``, how many calls may run at once; ``window``, how
    many bytes of output may be on the way.
    """
    child.settings = dict([(native(key), settings[key]) for key in settings])
    argv, title = child.settings['argv'], child.settings['title']
    flow.install(child)
    life = Life(child)
    child.make = life.make
    child.link.owner = life
    supervisor = Supervisor(child)
    watch = Watch(child, supervisor, child.settings)
    for number in signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, life.stop)
    life.watch_forks()
    try:
        os.setsid()
    except OSError:
        # We lead a process group already.
        pass
    if str is not Text:
        argv = [word.encode('utf-8') for word in argv]  # type: ignore[misc]
    sys.argv = list(argv)
    face.furnish(sys.modules['econtext'])
    sys.modules['econtext'].program = face.Context(child, 0, 'program')  # type: ignore[attr-defined]
    child.importer.child = child
    # Whole, since no thread but this one has imported anything; from now on Pull hooks it.
    logging = sys.modules.get('logging')
    sys.meta_path.insert(1, Pull(child, {'logging': life.hook, 'multiprocessing.spawn': life.see_spawn}))
    if sys.version_info < (2, 6) or sys.version_info[:2] == (3, 3):
        from econtext.core import ancient
        ancient.install(child, everybody())
    child.link.lock.acquire()
    try:
        supervisor.take_over()
        child.router.handle({
            MODULE: life.receive, LEVEL: life.set_level, START: life.start, ROUTE: life.route,
            PASS: life.pass_on, INTERRUPT: supervisor.interrupt,
            BEAT: watch.beat})
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
    if 'Graal' in sys.version:
        # The controller refuses and ends us; until it does no call is to run.
        signal.pause()
    if logging:
        life.hook(logging)


class Life(object):
    # What the ``nursery`` does, and ``ending``, once they are there.
    below = farewell = int  # type: Callable[..., Any]
    may_leave = bool    # type: Any
    insist = time.sleep     # type: Any
    # Which signal ends it; the call that the main thread was called away from; the root logger, once
    # it is hooked; whether LATER has come.
    number = away = root = quick = None  # type: Any
    # Whether the main thread stood where nothing may be raised when the signal came.
    deaf = False
    # Of the end, where no thread is to be had that sees to it.
    deadline = None  # type: Any

    def __init__(self, child):
        # type: (Child) -> None
        self.child = child
        self.level = child.settings['level']

    def hook(self, logging):
        # type: (Any) -> None
        """`logging` has been imported: forward what its root logger receives."""
        from econtext.core import records
        self.root = records.hook(self.child, logging, self.level)

    def receive(self, src, handle, body):
        # type: (int, int, bytes) -> None
        """Take in modules."""
        self.child.importer.receive(src, handle, body)
        if not self.quick and LATER[-1] in self.child.importer.units:
            self.quick = True
            # The main thread shall import it: the leader must not, and another
            # thread would take memory of its own for that.
            for name in LATER:
                self.child.router.handlers[CALL](
                    src, 0, marshal.dumps((name, 'settle', (), {})))

    def watch_forks(self):
        # type: () -> None
        """Have processes that are forked from here let go of the link."""
        if hasattr(os, 'register_at_fork'):
            os.register_at_fork(before=self.forks, after_in_child=self.forked)
            return
        for name, pid in ('fork', int), ('forkpty', lambda result: result[0]):
            if hasattr(os, name):
                setattr(os, name, self.watched(getattr(os, name), pid))

    def watched(self, fork, pid):
        # type: (Callable[[], Any], Callable[[Any], int]) -> Callable[[], Any]
        """Return what forks as `fork` does, in whose result is a `pid`."""
        def fork_off():
            # type: () -> Any
            forks = self.forks()
            result = fork()
            if not pid(result):
                # Without an import: before 2.6 the lock of imports may be held for ever by then.
                forks.forked(self.child)
            return result
        return fork_off

    def forks(self):
        # type: () -> Any
        """Return what forked processes need; before the fork, for they can fetch nothing."""
        from econtext.core import forks
        return forks

    def forked(self):
        # type: () -> None
        self.forks().forked(self.child)

    def see_spawn(self, spawn):
        # type: (Any) -> None
        """`multiprocessing` is about to start processes by `spawn`, its module."""
        from econtext.core import spawning
        spawning.hook(self.child, spawn)

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
        try:
            # A thread of its own: it imports, which the leader must never do.
            start_new_thread(self.beget, (link, src, handle, body))
        except:
            self.miscarry(src, handle)

    def route(self, src, handle, body):
        # type: (int, int, bytes) -> None
        """Context `handle` is reached through that in `body`, or no more."""
        # What is below is forgotten by the ``nursery``, which is there by then.
        links = self.child.router.links
        if body and int(body) in links:
            links[handle] = links[int(body)]

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
            from econtext.parent import nursery
            nursery.start(self.child, link, src, who, body)
        except:
            self.miscarry(src, who)

    def miscarry(self, src, who):
        # type: (int, int) -> None
        """Tell why, by the exception that is being handled, there will be no child."""
        error = sys.exc_info()
        self.child.router.send(REPORT, src, who, encode((
            'failed', 'ended', '%s: %s' % (error[0].__name__, error[1]))))
        self.child.router.send(REPORT, src, who, encode(('buried', None)))

    def stop(self, *signal):
        # type: (Any) -> None
        """A signal ends this context; at the end of the link it is our own."""
        if not self.child.dispatcher.ended:
            self.number = signal
            self.begin_to_end()
        call = self.call_to_leave()
        if call:
            self.deaf = not self.may_leave(signal[1])
            if not self.deaf:
                self.away = call
                sys.exit(1)

    def call_to_leave(self):
        # type: () -> Any
        """Return the call that the main thread carries out, unless it was called away from that."""
        for call, thread in list(self.child.supervisor.running.items()):
            if thread == self.child.supervisor.main and call[1] and call != self.away:
                return call

    def begin_to_end(self):
        # type: () -> None
        """Take no more calls; all is over in a while."""
        self.child.dispatcher.ended = True
        try:
            start_new_thread(self.fade, ())
        except:
            # This system has no more threads to give; the signal calls the main one away.
            self.deadline = time.time() + GRACE
            self.fade()

    def lost(self, link, reason):
        # type: (Link, Any) -> None
        router = self.child.router
        # In this order: who is answered begins nothing more; who is not in ``asked`` yet finds no link.
        self.child.dispatcher.ended = True
        router.up = None
        for number, asked in list(router.asked.items()):
            router.answer(asked[0], number, DEAD, EMPTY)
        self.child.flow.release()
        self.begin_to_end()
        self.child.loop.finish(self.child.dispatcher.waiter)

    silent = lost

    def fade(self):
        # type: () -> None
        """Tell all here and below to end; when their time is over, end them."""
        # By this thread, and not by one that then starts it: the kernel has whoever
        # starts a thread take a pending signal, and the main thread would sleep on.
        if not self.farewell():
            os.kill(everybody(), signal.SIGTERM)
        self.child.loop.finish(self.child.dispatcher.waiter)
        try:
            # Is it the main thread that leads? It sleeps on, unless there is something to read.
            read, write = os.pipe()
            os.close(write)
            Reader(self.child.loop, read, bool)
        except:
            pass
        self.below(False)
        self.insist(GRACE)
        self.end()

    def leave(self):
        # type: () -> None
        """The last act of the main thread."""
        import atexit
        try:
            # Where it has not come nothing was done yet that would need it.
            if 'econtext.core.ending' in self.child.importer.units:
                from econtext.core import ending
                ending.leave(self)
            self.stop()
            atexit._run_exitfuncs()
        finally:
            self.end()

    def end(self):
        # type: () -> None
        """End this process and what is left of its group, once what is below has ended."""
        self.below(True)
        os.kill(everybody(), signal.SIGKILL)
        # Still here: the first process of a container, which no signal of its own kills.
        os._exit(1)


def everybody():
    # type: () -> int
    """
    Return what os.kill calls our process group, if it is ours to end.

    For the first process of a container that name, -1, means all others.
    """
    pid = os.getpid()
    if os.getpgrp() == pid != 1:
        return -pid
    return pid
