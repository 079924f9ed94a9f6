"""
What a child settles down with, and how it ends.

``settle`` is the first cast a child receives; it runs in the main thread before
any code of the application, and carries out the calls that follow.  Life is the home of
all that comes behind the preamble: what belongs to one context is declared there.

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
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from econtext.child.interfaces import Below, Call, Holding, Loading

    from econtext.core.main import Child
    from econtext.core.loop import Loop
    from econtext.core.router import Router

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
    from _frozen_importlib_external import MAGIC_NUMBER
except ImportError:
    import imp
    MAGIC_NUMBER = imp.get_magic()  # type: ignore[misc]

from econtext.child import face
from econtext.core.codec import ENCODERS, Text, encode, native
from econtext.child.flow import Flow
from econtext.child.kinds import BEAT, GRANT, INTERRUPT
from econtext.core.loop import Link, Reader, start_new_thread
from econtext.child.pull import Loader, Pull
from econtext.child.supervisor import Supervisor
from econtext.child.watch import Watch, clock
from econtext.core.wire import DEAD, EMPTY, HELLO, LEVEL, MODULE, PASS, REPORT, RESULT, ROUTE, START

GRACE = 1.0     # seconds
PAUSE = 0.0005  # seconds between looks at the main thread; it grows
LONGEST = 0.02
SETTINGS = 'argv level title parent heartbeat gil_limit threads window'.split()


def settle(child, *settings):
    # type: (Child, Any) -> None
    """
    Furnish `child`, tell the controller that it is here, and carry out calls till it ends.

    `settings`, in this order: ``argv``, the program's arguments; ``level``, of records that are
    wanted; ``title``, what ``ps`` is to show, or nothing; ``parent``, the context that
    started this one; ``heartbeat`` and ``gil_limit``, in seconds, 0 for none;
    ``threads``, how many calls may run at once; ``window``, how
    many bytes of output may be on the way.
    """
    life, logging = furnish(child, dict(zip(SETTINGS, settings)))
    try:
        if logging:
            life.hook(logging)
        life.supervisor.serve()
    finally:
        life.leave()


def furnish(child, settings):
    # type: (Child, dict[str, Any]) -> Any
    """Return the Life of `child`, which has said HELLO, and ``logging`` if it was imported before."""
    life = Life(child, settings)
    # Whole, since no thread but this one has imported anything; from now on Pull hooks it.
    logging = sys.modules.get('logging')
    sys.meta_path.insert(1, Pull(life, {'logging': life.hook, 'multiprocessing.spawn': life.see_spawn}))
    supervisor, watch = life.supervisor, life.watch
    argv, title = settings['argv'], settings['title']
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
    sys.modules['econtext'].program = face.Context(life, 0, 'program')  # type: ignore[attr-defined]
    if sys.version_info < (2, 6) or sys.version_info[:2] == (3, 3):
        from econtext.child import ancient
        ancient.install(life, everybody())
    child.link.lock.acquire()
    try:
        child.link.owner = life
        watch.begin()
        supervisor.take_over()
        child.router.handle({
            LEVEL: life.set_level, START: life.start, ROUTE: life.route,
            PASS: life.pass_on, INTERRUPT: supervisor.interrupt,
            BEAT: watch.beat, GRANT: life.flow.granted})
    finally:
        child.link.lock.release()
    trouble = None
    if title:
        try:
            from econtext.child import title as shown
            shown.rename(title)
        except Exception:
            trouble = str(sys.exc_info()[1])
    child.router.send(HELLO, 0, 0, encode((
        sys.version, tuple(sys.version_info)[:3], MAGIC_NUMBER, sys.executable,
        life.pid, trouble)))
    child.greeted = True
    if 'Graal' in sys.version:
        # The controller refuses and ends us; until it does no call is to run.
        signal.pause()
    return life, logging


class Life(object):
    """The home of what follows the preamble: one for each context."""
    # What comes later: contexts below, whether ``ending`` is there, ends of channels.
    nursery = None  # type: Below | None
    ending = False  # type: bool
    holders = None  # type: Holding | None
    # Whether this is a process that the application forked off.
    forked_off = False
    # Which signal ends it; the call that the main thread was called away from; the root logger, once
    # it is hooked.
    number = None  # type: tuple[int, Any] | None
    away = None  # type: Call | None
    root = None  # type: Any
    # Whether the main thread stood where nothing may be raised when the signal came; whether it heard the last one.
    deaf = False  # type: bool
    heard = False  # type: bool
    # Of the end, where no thread is to be had that sees to it.
    deadline = None  # type: float | None

    def __init__(self, child, settings):
        # type: (Child, dict[str, Any]) -> None
        self.settings = settings
        self.pid = os.getpid()  # type: int
        self.preamble = child.preamble  # type: bytes
        self.loop = child.loop  # type: Loop
        self.router = child.router  # type: Router
        self.link = child.link  # type: Link
        self.level = settings['level']  # type: int
        self.flow = Flow(self, child.logs)  # type: Flow
        self.supervisor = Supervisor(self, child.dispatcher)  # type: Supervisor
        self.watch = Watch(self)  # type: Watch
        # Last: a traceback asks it for sources, and who reads these may have to be fetched.
        self.importer = Loader(child.importer, self)  # type: Loading

    def hook(self, logging):
        # type: (Any) -> None
        """`logging` has been imported: forward what its root logger receives."""
        from econtext.child import records
        self.root = records.hook(self, logging, self.level)

    def watch_forks(self):
        # type: () -> None
        """Have processes that are forked from here let go of the link."""
        if hasattr(os, 'register_at_fork'):
            os.register_at_fork(
                before=self.at_fork('hold_off'), after_in_child=self.at_fork('forked'),
                after_in_parent=self.at_fork('let_through'))
            return
        for name in 'fork', 'forkpty':
            if hasattr(os, name):
                setattr(os, name, self.at_fork('fork', getattr(os, name)))

    def at_fork(self, name, *args):
        # type: (str, Any) -> Callable[[], Any]
        """Return what calls that function of ``forks``, which is loaded before the fork: nothing can be behind it."""
        def act():
            # type: () -> Any
            from econtext.child import forks
            return getattr(forks, name)(self, *args)
        return act

    def see_spawn(self, spawn):
        # type: (Any) -> None
        """`multiprocessing` is about to start processes by `spawn`, its module."""
        from econtext.child import spawning
        spawning.hook(self, spawn)

    def set_level(self, src, level, body):
        # type: (int, int, bytes) -> None
        self.level = level
        if self.root:
            self.root.setLevel(level)

    def make(self, what, *args):
        # type: (str, Any) -> Any
        """Make the context or channel that an argument speaks of."""
        if what == 'channel':
            from econtext.child import channels
            return channels.hold(self, *args)
        return face.Context(self, *args)

    def restore(self, value):
        # type: (Any) -> Any
        """Return `value` with what marshal could not carry made again."""
        if type(value) is tuple and Ellipsis in value[:1]:
            from econtext.child import rich
            value = rich.restore(self, value[1])
        return value

    def start(self, src, handle, body):
        # type: (int, int, bytes) -> None
        """Start a child of ours, `handle` its id."""
        link = Link(self.loop, self.router, self)
        link.queue.append(self.preamble)
        self.router.links[handle] = link
        try:
            # A thread of its own: it imports, which the leader must never do.
            start_new_thread(self.beget, (link, src, handle, body))
        except:
            self.miscarry(src, handle)

    def route(self, src, handle, body):
        # type: (int, int, bytes) -> None
        """Context `handle` is reached through that in `body`, or no more."""
        # What is below is forgotten by the ``nursery``, which is there by then.
        links = self.router.links
        if body and int(body) in links:
            links[handle] = links[int(body)]

    def pass_on(self, src, who, body):
        # type: (int, int, bytes) -> None
        """Give context `who`, below us, units that we have, as `src` would."""
        # Version 0: from 1 on Python 2 refers to strings in a way that 3 cannot read.
        names, handle = marshal.loads(body)
        units = [(name, self.importer.units.get(native(name))) for name in names]
        kind = MODULE
        if handle:
            kind = RESULT
        link = self.router.links.get(who)
        if link:
            link.transport.send(
                kind, who, src, handle, zlib.compress(marshal.dumps(units, 0)))

    def beget(self, link, src, who, body):
        # type: (Link, int, int, bytes) -> None
        try:
            self.children().start(link, src, who, body)
        except:
            self.miscarry(src, who)

    def children(self):
        # type: () -> Below
        """Return the contexts below this one, which so becomes a parent: the one way out of this ring."""
        from econtext.parent import nursery
        return nursery.of(self)

    def miscarry(self, src, who):
        # type: (int, int) -> None
        """Tell why, by the exception that is being handled, there will be no child."""
        error = sys.exc_info()
        self.router.send(REPORT, src, who, encode((
            'failed', 'ended', '%s: %s' % (error[0].__name__, error[1]))))  # type: ignore[union-attr]
        self.router.send(REPORT, src, who, encode(('buried', None)))

    def stop(self, *signal):
        # type: (Any) -> None
        """A signal ends this context; at the end of the link it is our own."""
        if os.getpid() != self.pid:
            # Of a process that was forked off, and does not know it yet: it ends, and nothing of ours.
            os._exit(1)
        self.heard = True
        if not self.supervisor.ended:
            self.number = signal
            self.begin_to_end()
        call = self.call_to_leave()
        if call:
            if 'econtext.child.ending' in self.importer.units:
                from econtext.child import ending
                self.deaf = not ending.may_leave(signal[1])
            if not self.deaf:
                self.away = call
                sys.exit(1)

    def call_to_leave(self):
        # type: () -> Call | None
        """Return the call that the main thread carries out, unless it was called away from that."""
        for call, thread in list(self.supervisor.running.items()):
            if thread == self.supervisor.main and call[1] and call != self.away:
                return call
        return None

    def begin_to_end(self):
        # type: () -> None
        """Take no more calls; all is over in a while."""
        self.supervisor.ended = True
        try:
            start_new_thread(self.fade, ())
        except:
            # This system has no more threads to give; the signal calls the main one away.
            self.deadline = time.time() + GRACE
            self.fade()

    def lost(self, link, reason):
        # type: (Link, Any) -> None
        router = self.router
        # In this order: who is answered begins nothing more; who is not in ``asked`` yet finds no link.
        self.supervisor.ended = True
        router.up = None
        for number, asked in list(router.asked.items()):
            router.answer(asked[0], number, DEAD, EMPTY)
        self.flow.release()
        self.begin_to_end()
        self.loop.finish(self.supervisor.waiter)

    silent = lost

    def fade(self):
        # type: () -> None
        """Tell all here and below to end; when their time is over, end them."""
        # Without a call the main thread comes to `leave` by itself.  Before 3.5 a signal ends what cleanup waits
        # for, whatever its handler does.  And cleanup may need others of our group: a pool of processes waits for
        # ever for one that held a lock of it.
        if self.call_to_leave() or not self.ending:
            # By this thread, and not by one that then starts it: the kernel has whoever
            # starts a thread take a pending signal, and the main thread would sleep on.
            self.heard = False
            os.kill(everybody(), signal.SIGTERM)
        self.loop.finish(self.supervisor.waiter)
        try:
            # Is it the main thread that leads? It sleeps on, unless there is something to read.
            read, write = os.pipe()
            os.close(write)
            Reader(self.loop, read, bool)
        except:
            pass
        self.below(False)
        pause = PAUSE
        until = clock() + GRACE
        while clock() < until:
            # As a rule the signal is heard long before the pauses are the longest.
            if self.deaf or (pause == LONGEST and not self.heard):
                self.deaf = self.heard = False
                # A handler of the application's own has it once.
                if self.call_to_leave() and signal.getsignal(signal.SIGTERM) == self.stop:
                    os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST)
        drafts = sys.modules.get('econtext.child.drafts')
        if drafts:
            # A disk may hold up the main thread, which then comes to no function of ``atexit``.
            drafts.sweep()
        self.end()

    def below(self, wait):
        # type: (bool) -> None
        """End what is below, or `wait` until it has."""
        if self.nursery:
            self.nursery.end(wait)

    def leave(self):
        # type: () -> None
        """The last act of the main thread."""
        if self.forked_off:
            # Nothing is to be ended but this process, which does so anyway.
            return
        import atexit
        try:
            # Where it has not come nothing was done yet that would need it.
            if 'econtext.child.ending' in self.importer.units:
                from econtext.child import ending
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


def encode_rich(value):
    # type: (Any) -> bytes
    """Encode what is not plain; ``rich``, once it is there, does so itself."""
    from econtext.child import rich
    return rich.encode(value)


ENCODERS[None] = encode_rich
