"""
A process that the application forks off a context is no context.

Invariants:

* It holds no descriptor of the link, so it neither disturbs nor keeps it; commands of the context are not its own.
* What is closed is forgotten: a copy of a context (``parent.forking``) still has what
  watched forks for the one before it, and another file may have that number by then.
* What it prints is heard as before; what it would ask others is refused.
* It ends as it likes, and takes along nothing but itself.
* SIGTERM and SIGHUP end it at any moment, by the system, as they end any program that has no handler for them:
  a handler of ours would run late, or never, if the signal came in the moment before a thread waits in the kernel.
  From before the fork until it has let go of all they wait.  A handler of the application stays.
* What threads that are not here had locked is open.
* All that it may need of ours was loaded before it was forked: it shows tracebacks with
  their sources, imports what was sent by then, and of the rest hears why it cannot.

No method of ours is replaced: ``Nobody`` takes the slots ``Link.owner``, ``Link.transport`` and
``Loop.ways``.

Sent behind HELLO; loaded before the first fork.  Entered by the thread that forks.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from econtext.child.interfaces import Home
    from econtext.core.loop import Link, Waiter

import os
import sys
try:
    import _signal as signal
except ImportError:
    import signal

# Tracebacks ask for it, and a forked process could not fetch it.
from econtext.child import renewal, resources  # noqa: F401
from econtext.child.pull import Loader, Pull
from econtext.core.loop import allocate_lock, get_ident
from econtext.core.wire import DATA, EMPTY, EXPECTANT


ENDS = signal.SIGTERM, signal.SIGHUP
# Thread -> what each fork that it is about has yet to call to let signals through again.
HELD = {}  # type: dict[int, list[Callable[[], Any]]]


class Nobody(object):
    """The owner of all links in the forked process, their transport, and how threads wait there."""
    restraint = outlet = None  # type: Any

    def lost(self, link, reason):
        # type: (Link, str) -> None
        pass

    def send(self, kind, dst, src, handle, body, tag=EMPTY):
        # type: (int, int, int, int, Any, bytes) -> None
        # Only what says that something is over, or was taken, can be left unsaid.
        if kind == DATA or kind in EXPECTANT:
            refuse()

    def close(self):
        # type: () -> None
        pass

    def grant(self, dst, handle):
        # type: (int, int) -> None
        pass

    def forget(self, who):
        # type: (int) -> None
        pass

    def within(self):
        # type: () -> bool
        return False

    def flush(self):
        # type: () -> None
        pass

    def ready(self, fd):
        # type: (int) -> None
        pass

    def turn(self, waiter):
        # type: (Waiter) -> None
        refuse()

    def park(self, waiter):
        # type: (Waiter) -> None
        refuse()


class Unreachable(object):
    """A finder behind all others: says why a module cannot be had."""

    def find_spec(self, name, path=None, target=None):
        # type: (str, Any, Any) -> Any
        # Who only asks whether there is such a module is told that there is none.
        if sys._getframe(1).f_back.f_code.co_name[:14] == '_find_and_load':  # type: ignore[union-attr]
            raise missing(name)

    def find_module(self, name, path=None):
        # type: (str, Any) -> None
        """Nothing: there the words of a finder are lost."""


def missing(name):
    # type: (str) -> Any
    """Return the error for an import of `name`, which says what to do."""
    if name[:9] == 'econtext.':
        refuse()
    kind = getattr(sys.modules['builtins'], 'ModuleNotFoundError', ImportError)
    return kind(
        'No module named %s: this process was started from a context, and is sent no modules: let the '
        'context import it before' % name, name=name)


# Signals.

def block():
    # type: () -> Callable[[], Any]
    """Have the signals that end us wait, in this thread; return what lets them through again."""
    if hasattr(signal, 'pthread_sigmask'):
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
        return lambda: signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    # Before Python 3.3.
    try:
        import ctypes
    except ImportError:
        return int
    libc = ctypes.CDLL(None)
    begin, put_back = 1, 3
    if sys.platform[:5] == 'linux':
        begin, put_back = 0, 2
    # As much as any system has for a set of signals.
    ends, before = ctypes.create_string_buffer(256), ctypes.create_string_buffer(256)
    libc.sigemptyset(ends)
    for number in ENDS:
        libc.sigaddset(ends, number)
    if libc.pthread_sigmask(begin, ends, before):
        return int
    return lambda: libc.pthread_sigmask(put_back, before, None)


def hold_off(home):
    # type: (Home) -> None
    """This thread is about to fork: signals that end a process wait till each of both knows which it is."""
    try:
        undo = block()
    except Exception:
        # Neither this Python nor `ctypes` can: a signal in that moment may be lost.
        undo = int
    HELD.setdefault(get_ident(), []).append(undo)


def let_through(home):
    # type: (Home) -> None
    """Take back what the last ``hold_off`` of this thread did, if it is not yet."""
    held = HELD.get(get_ident())
    if held:
        held.pop()()


# The fork.

def fork(home, system):
    # type: (Home, Callable[[], Any]) -> Any
    """Fork by `system`, before Python 3.7, which has no hooks for that: ``os.fork`` or ``os.forkpty``."""
    hold_off(home)
    try:
        result = system()
        if result == 0 or type(result) is tuple and result[0] == 0:
            # Without an import: before 2.6 the lock of imports may be held for ever by then.
            forked(home)
    finally:
        let_through(home)
    return result


def forked(home):
    # type: (Home) -> None
    """This process was just forked off the context of `home`."""
    home.forked_off = home.supervisor.ended = True
    for number in ENDS:
        if signal.getsignal(number) == home.stop:
            signal.signal(number, signal.SIG_DFL)
    try:
        renew(home)
        let_go(home)
    finally:
        let_through(home)


def renew(home):
    # type: (Home) -> None
    """Open what other threads had locked, for they are not here; nobody leads or is parked any more."""
    renewal.renew()
    loop, flow = home.loop, home.flow
    loop.lock, loop.led = allocate_lock(), False
    loop.parked.clear()
    flow.lock, flow.holder = allocate_lock(), None
    home.supervisor.lock = allocate_lock()
    for link in links_of(home):
        link.lock, link.writing = allocate_lock(), allocate_lock()
    if home.holders:
        home.holders.lock = allocate_lock()
        for end in list(home.holders.ends.values()):
            end.lock = allocate_lock()


def links_of(home):
    # type: (Home) -> list[Link]
    return [home.link] + [link for link in home.router.links.values() if link]


def let_go(home):
    # type: (Home) -> None
    """Close what is the context's, and have all that asks others hear why that is in vain."""
    nobody = Nobody()
    close(list(home.loop.watched))
    for poller in home.loop.poller, home.flow.pipes:
        if hasattr(poller, 'close'):
            # Others have no descriptor.
            poller.close()
    home.loop.watched.clear()
    home.loop.ways = nobody
    for link in links_of(home):
        # One that is paused is not among those that are watched.
        close([link.out, link.fd])
        link.out, link.fd = -1, None
        link.owner = link.transport = nobody
        link.bulk = link.bulk and nobody
    del home.supervisor.before_answer[:]
    for finder in sys.meta_path:
        if isinstance(finder, Pull):
            finder.hooks.pop('logging', None)
    cut_off()
    if 'logging' in sys.modules:
        root = sys.modules['logging'].getLogger()
        root.handlers[:] = [
            handler for handler in root.handlers
            if type(handler).__module__ != 'econtext.child.records']


def cut_off():
    # type: () -> None
    """Whoever wants what is not here hears why."""
    sys.meta_path.append(Unreachable())
    # A traceback shows sources that are here; of files that stay with the program it has none.
    # A copy of a context begins anew, with another loader.
    for finder in sys.meta_path:
        if isinstance(finder, Loader):
            finder.cut_off = True


def close(fds):
    # type: (Any) -> None
    for fd in fds:
        try:
            if fd is not None and fd > 2:
                os.close(fd)
        except OSError:
            # Closed already.
            pass


def refuse(*args):
    # type: (Any) -> None
    raise sys.modules['econtext'].EcontextError(
        'this process was started from a context, and reaches nobody: let the context '
        'itself do what needs other contexts, modules or channels')
