"""
Fork this context, in place of starting an interpreter for a new one.

The new process has all that is loaded here, and none of our ties: it begins as any
child does, reads past the preamble that it need not execute, and lives.

Why this is sound in a context, and would not be in the program that has the broker:

* The main thread forks, between two calls: no function of the application is under
  way in it, and nothing that it holds is left locked in the copy.
* Of ours the copy uses nothing that had state: loop, router, link and importer are
  made anew, so it does not matter what another thread of ours held.
* No descriptor of ours is open in the copy, so the end of a link is seen by whoever is
  to see it.  In the place of each stands /dev/null, so that an object which closes its
  number later closes nothing of the copy's.
* What was to happen when this process exits, and who listens to signals and to
  ``logging`` for it, is not inherited.

What the application's own threads held is lost with them, as in every fork.

Invariants:

* Whoever asked for a fork hears of it once, a process or an error; also if this context ends before.

``fork`` is entered by any thread but the main one, the rest by the main thread.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from typing import Any

    from econtext.child.interfaces import Home
    from econtext.core.loop import Loop

import errno
import fcntl
import marshal
import os
import sys
import zlib
try:
    import _signal as signal
except ImportError:
    import signal

from econtext.child import ending, renewal
from econtext.core.codec import Text
from econtext.core.loop import Reader, allocate_lock
from econtext.core.wire import EMPTY
from econtext.parent import process, terminal

MOST = 4096     # descriptors, where nobody lists them


class Request(object):
    """Somebody waits for a fork."""

    def __init__(self):
        # type: () -> None
        self.gate = allocate_lock()  # type: LockType
        self.gate.acquire()
        self.fds = []  # type: list[int]
        self.pid = self.tell = 0
        self.error = None  # type: Any


REQUESTS = {}  # type: dict[int, Request]
KEPT = []  # type: list[Any]


@renewal.register
def after_fork():
    # type: () -> None
    """Whoever waits for a further copy waits in the other process."""
    REQUESTS.clear()


def fork(home):
    # type: (Home) -> Any
    """Return the process that is a copy of this one, or raise OSError."""
    request = Request()
    try:
        for _ in range(3):
            request.fds.extend(process.pipe())
        REQUESTS[id(request)] = request
        home.supervisor.give(0, 0, marshal.dumps(
            (Text(__name__), Text('carry_out'), (id(request),), {}), 2))
        wake(home.loop)
        if home.supervisor.ended:
            # It looked for requests before this one was there.
            give_up()
        request.gate.acquire()
        if request.error:
            raise request.error
    except:
        terminal.close(request.fds)
        raise
    fds = request.fds
    terminal.close([fds[0], fds[3], fds[5]])
    return process.Process(request.pid, fds[1], fds[2], fds[4], None)


def give_up():
    # type: () -> None
    """This context ends: its main thread forks no more, and whoever waits for that hears so."""
    for number in list(REQUESTS):
        request = REQUESTS.pop(number, None)
        if request:
            request.error = OSError(errno.EINTR, 'the context that was to be copied ends')
            request.gate.release()


def wake(loop):
    # type: (Loop) -> None
    """Let whoever leads look again: it may be the main thread, which is wanted elsewhere."""
    end_of_file, other_end = process.pipe()
    os.close(other_end)
    Reader(loop, end_of_file, lambda data: None)


def carry_out(home, number):
    # type: (Home, int) -> None
    """Fork, for the request of that number."""
    request = REQUESTS.pop(number, None)
    if request is None:
        # It was given up.
        return
    home.flow.flush()
    try:
        try:
            request.pid = ending.apart(fork_apart, request)
        except OSError:
            request.error = sys.exc_info()[1]
        if request.pid or request.error:
            return
        try:
            try:
                live_anew(request)
            except Exception:
                # Heard as what a starting program says.
                sys.stderr.write('%s: %s\n' % sys.exc_info()[:2])
                sys.stderr.flush()
        finally:
            os._exit(1)
    finally:
        request.gate.release()


def fork_apart(request):
    # type: (Request) -> int
    """Fork; return in this process once the other one has left our group."""
    said, request.tell = process.pipe()
    try:
        try:
            pid = ending.quiet_fork()
        except:
            os.close(request.tell)
            raise
        if pid:
            os.close(request.tell)
            # A byte, not the end of file: a process that another thread forks may hold the other end as well.
            process.read(said, 1)
        return pid
    finally:
        os.close(said)


def live_anew(request):
    # type: (Request) -> None
    """In the copy: let go of all that was ours, and begin as a child does."""
    os.setsid()
    os.write(request.tell, '.'.encode())
    for signum in process.SIGNALS + [signal.SIGURG]:
        signal.signal(signum, signal.SIG_DFL)
    for fd in range(3):
        os.dup2(request.fds[(0, 3, 5)[fd]], fd)
    cover()
    forget()
    inflated = zlib.decompressobj()
    seen = EMPTY
    while not inflated.unused_data:
        data = os.read(0, 4096)
        if not data:
            os._exit(1)
        seen += data
        inflated.decompress(data)
    from econtext.core import main
    main.main(seen, inflated)


def cover():
    # type: () -> None
    """Put /dev/null in the place of every descriptor above 2."""
    try:
        fds = [int(name) for name in os.listdir('/proc/self/fd')]
    except OSError:
        fds = list(range(MOST))
    null = os.open('/dev/null', os.O_RDWR)
    for fd in fds:
        if fd > 2 and fd != null:
            try:
                flags = fcntl.fcntl(fd, fcntl.F_GETFD)
            except (IOError, OSError):
                # It was the listing's own.
                continue
            os.dup2(null, fd)
            fcntl.fcntl(fd, fcntl.F_SETFD, flags | fcntl.FD_CLOEXEC)
    os.close(null)


def forget():
    # type: () -> None
    """Drop what others keep for this process: it is the other one's."""
    # Not quite: on Python 2 files that nobody has any more are closed, by number.
    KEPT.extend([sys.stdout, sys.stderr])
    ending.forget_exits()
    sys.meta_path[:] = [finder for finder in sys.meta_path if not is_ours(finder)]
    if 'logging' in sys.modules:
        root = sys.modules['logging'].getLogger()
        root.handlers[:] = [handler for handler in root.handlers if not is_ours(handler)]
    # What other threads were importing is imported again.
    for name, module in list(sys.modules.items()):
        if getattr(getattr(module, '__spec__', None), '_initializing', False):
            del sys.modules[name]
    frozen = sys.modules.get('_frozen_importlib')  # type: Any
    for table in '_module_locks', '_blocking_on':
        if hasattr(getattr(frozen, table, None), 'clear'):
            getattr(frozen, table).clear()


def is_ours(thing):
    # type: (Any) -> bool
    return str(type(thing).__module__).startswith('econtext.')
