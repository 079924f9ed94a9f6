"""
Start a program with clean pipes, and beside them a terminal to ask questions on.

What ssh and sudo ask a person they ask on their controlling terminal.  They get
one that is ours, so that prompts can be read and answered apart from the data
on descriptors 0, 1 and 2, and never reach the terminal of the user.

Invariants:

* The program has a session of its own, and of all our descriptors the three
  pipes only.
* It starts with no signal blocked, and those ignored here act by default.
* A program that cannot be executed is an OSError from ``spawn()``, and leaves
  neither a descriptor nor a process behind.
* Our ends are not inherited by any other program.
* What is open beyond the limit of this process, since the limit was lowered after, hinders
  no start, and is not inherited either.
* The terminal echoes nothing, changes no byte of what the program prints, and
  lasts until ``close()``: closing it hangs up on the whole session.
* No signal is sent to a process that has been waited for.

One thread at a time may enter a Process; ``spawn()`` may run in any.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Iterable, Sequence
    from typing import Any

import errno
import fcntl
import os
import sys
try:
    # Sooner there than `signal`.
    import _signal as signal
except ImportError:
    import signal

from econtext.child import ending, renewal
from econtext.core.loop import allocate_lock
from econtext.parent.command import encoded
from econtext.parent.terminal import above, close, control, open_terminal

try:
    from os import (  # novm
        POSIX_SPAWN_CLOSE, POSIX_SPAWN_DUP2, POSIX_SPAWN_OPEN, posix_spawn)
except ImportError:
    posix_spawn = None  # type: ignore[assignment]
# Since Python 3.3.
pthread_sigmask = getattr(signal, 'pthread_sigmask', None)  # type: Any
SET_MASK = getattr(signal, 'SIG_SETMASK', None)

# Handlers do not survive the start of a program, but what is ignored stays so.
# Python itself ignores SIGPIPE and SIGXFSZ (SIGXFZ is its old misspelling).
NAMES = ('SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGPIPE', 'SIGCHLD',
         'SIGXFSZ', 'SIGXFZ')
SIGNALS = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]

# Linux makes a terminal the controlling one as a session leader opens it; other
# kernels want an ioctl(), for which posix_spawn() has no words.
FAST = sys.platform.startswith('linux') and posix_spawn is not None

# The action that closes all descriptors from one on, in a tuple that may be empty.
CLOSE_FROM = [getattr(os, name) for name in ('POSIX_SPAWN_CLOSEFROM',)
              if hasattr(os, name)]

# What Python opens since 3.4 is not inherited.
BORN_PRIVATE = hasattr(os, 'get_inheritable')

# The descriptors that were open at the last look, and those that were made here since.
SEEN = set()  # type: set[int]
# Terminals of programs that run: private from the beginning, and forgotten before they are closed.
PRIVATE = set()  # type: set[int]

# Held while descriptors are private that are not so else; how often that began and ended.
HIDING = allocate_lock()  # type: LockType
HIDES = [0, 0]
HIDDEN = []  # type: list[int]

# What stands in a status beside the number of a signal, where a core was left.
CORE = 128
# What waitpid() cannot tell any more, since somebody else did it for us.
UNKNOWN = 255


class Process(object):
    """A running program, and our ends of what joins us to it."""

    def __init__(self, pid, stdin, stdout, stderr, terminal):
        # type: (int, int, int, int, tuple[int, int] | None) -> None
        self.pid = pid
        self.stdin = stdin  # type: int | None
        self.stdout = stdout  # type: int | None
        self.stderr = stderr  # type: int | None
        self.tty = None  # type: int | None
        # Held open, for a terminal that nobody has open reads as an error.
        self.slave = None  # type: int | None
        if terminal:
            self.tty, self.slave = terminal
        self.status = None  # type: int | None

    def poll(self):
        # type: () -> int | None
        """
        Return the exit status, or None while the program runs.

        It is negative for a signal, and UNKNOWN where others waited for it, or
        where SIGCHLD is ignored.
        """
        if self.status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except OSError:
                if why() != errno.ECHILD:
                    raise
                self.status = UNKNOWN
            else:
                if pid:
                    self.status = meaning(status)
        return self.status

    def kill(self, signum):
        # type: (int) -> None
        """
        Send a signal to the program and to what it started in its session.

        A program that runs as another user (sudo) ignores us: close() hangs up.
        """
        if self.poll() is None:
            try:
                os.killpg(self.pid, signum)
            except OSError:
                if why() not in (errno.EPERM, errno.ESRCH):
                    raise

    def close(self):
        # type: () -> None
        """Close those of our ends that are still ours (not None)."""
        PRIVATE.difference_update([self.tty, self.slave])  # type: ignore[list-item]
        close([self.stdin, self.stdout, self.stderr, self.tty, self.slave])
        self.stdin = self.stdout = self.stderr = self.tty = self.slave = None


def spawn(argv, tty=False, environ=None, ours=()):
    # type: (Sequence[str], bool, dict[str, str | None] | None, Any) -> Process
    """
    Start the program `argv` and return it, or raise OSError.

    `environ` is what differs from our own environment (None: not set there).
    With `tty` it gets a terminal, if the machine has one to give.  `ours` are
    open descriptors that are known not to be inherited, a set.
    """
    environment = changed(environ or {})
    words = [encoded(word) for word in argv]
    # As a shell has it; a user that is not known leaves it as it is, and no such program is found.
    words[0] = os.path.expanduser(words[0])
    path = find(words[0], environment)
    terminal = None
    fds = []  # type: list[int]
    try:
        for _ in range(3):
            fds.extend(pipe())
        if tty:
            terminal = open_terminal()
        SEEN.update(fds)
        SEEN.update(terminal or ())
        PRIVATE.update(terminal or ())
        # 0 is read there; 1 and 2 are written.
        theirs = [fds[0], fds[3], fds[5]]
        if FAST:
            pid = ending.apart(start_fast, path, words, environment, theirs, terminal, ours)
        else:
            pid = ending.apart(start_anywhere, path, words, environment, theirs, terminal)
    except:
        close(fds)
        PRIVATE.difference_update(terminal or ())
        close(terminal or ())
        raise
    close(theirs)
    return Process(pid, fds[1], fds[2], fds[4], terminal)


def start_fast(path, words, environment, theirs, terminal, ours=()):
    # type: (bytes, list[bytes], dict[bytes, bytes], list[int], tuple[int, int] | None, Any) -> int
    """Start the program by posix_spawn(), which copies nothing of ours."""
    if CLOSE_FROM:
        # Since 3.13; before, a look at each descriptor, which many contexts feel.
        return start_closing([], path, words, environment, theirs, terminal)
    ended = HIDES[1]
    closed = inheritable(ours)
    if HIDES[0] == ended and not beyond(closed):
        return start_closing(closed, path, words, environment, theirs, terminal)
    HIDING.acquire()
    try:
        HIDES[0] += 1
        closed = inheritable(ours)
        high = HIDDEN[:] = beyond(closed)
        share(high, False)
        try:
            closed = [fd for fd in closed if fd not in high]
            return start_closing(closed, path, words, environment, theirs, terminal)
        finally:
            share(high, True)
            del HIDDEN[:]
            HIDES[1] += 1
    finally:
        HIDING.release()


@renewal.register
def after_fork():
    # type: () -> None
    """No other thread starts a program here."""
    global HIDING
    HIDING = allocate_lock()
    HIDES[:] = [0, 0]
    # The forked process may close them in its own way.
    PRIVATE.clear()
    share(HIDDEN, True)
    del HIDDEN[:]


def beyond(fds):
    # type: (list[int]) -> list[int]
    """Return those of `fds` that are above our limit: posix_spawn() refuses to close these."""
    if not fds:
        return []
    limit = os.sysconf('SC_OPEN_MAX')
    return [fd for fd in fds if fd >= limit >= 0]


def share(fds, inherited):
    # type: (list[int], bool) -> None
    """Let programs inherit `fds`, or not. No other can be opened under these numbers meanwhile."""
    for fd in fds:
        try:
            kept = fcntl.fcntl(fd, fcntl.F_GETFD) & ~fcntl.FD_CLOEXEC
            if not inherited:
                kept |= fcntl.FD_CLOEXEC
            fcntl.fcntl(fd, fcntl.F_SETFD, kept)
        except (IOError, OSError):
            # Closed.
            pass


def start_closing(closed, path, words, environment, theirs, terminal):
    # type: (list[int], bytes, list[bytes], dict[bytes, bytes], list[int], tuple[int, int] | None) -> int
    """Start the program without the descriptors `closed`."""
    actions = [(POSIX_SPAWN_CLOSE, fd) for fd in closed]  # type: list[tuple[Any, ...]]
    actions += [(POSIX_SPAWN_DUP2, theirs[fd], fd) for fd in range(3)]
    if terminal:
        name, slave = os.ttyname(terminal[1]), terminal[1]
        actions.append((POSIX_SPAWN_OPEN, slave, name, os.O_RDWR, 0))
        actions.append((POSIX_SPAWN_CLOSE, slave))
    if CLOSE_FROM:
        actions.append((CLOSE_FROM[0], 3))
    try:
        return posix_spawn(path, words, environment, file_actions=actions,
                           setsid=True, setsigmask=[], setsigdef=SIGNALS)
    except OSError:
        raise failed(why(), path)


def start_anywhere(path, words, environment, theirs, terminal):
    # type: (bytes, list[bytes], dict[bytes, bytes], list[int], tuple[int, int] | None) -> int
    """
    Start the program by fork().

    What fails in the new process is told on one more pipe, which a successful
    execve() closes.
    """
    said, tell = pipe()
    try:
        pid = os.fork()
    except:
        close([said, tell])
        raise
    if not pid:
        try:
            become(path, words, environment, theirs, terminal, tell)
        finally:
            os._exit(UNKNOWN)
    close([tell])
    failure = read(said)
    close([said])
    if failure:
        bury(pid)
        raise failed(int(failure), path)
    return pid


def become(path, words, environment, theirs, terminal, tell):
    # type: (bytes, list[bytes], dict[bytes, bytes], list[int], tuple[int, int] | None, int) -> None
    """Turn this new process into the program; tell the errno if that fails."""
    try:
        os.setsid()
        for signum in SIGNALS:
            signal.signal(signum, signal.SIG_DFL)
        if pthread_sigmask is not None:
            pthread_sigmask(SET_MASK, [])
        if terminal:
            control(os.open(os.ttyname(terminal[1]), os.O_RDWR))
        for fd in range(3):
            os.dup2(theirs[fd], fd)
        close(inheritable())
        os.execve(path, words, environment)
    except:
        os.write(tell, str(why()).encode())


def bury(pid):
    # type: (int) -> None
    """Wait for a process that is about to end, unless SIGCHLD is ignored."""
    while True:
        try:
            os.waitpid(pid, 0)
            return
        except OSError:
            if why() != errno.EINTR:
                return


def pipe():
    # type: () -> tuple[int, int]
    """Return the reading and the writing end of a pipe, which programs do not inherit."""
    reading, writing = os.pipe()
    if BORN_PRIVATE and reading > 2 and writing > 2:
        return reading, writing
    return above(reading), above(writing)


def inheritable(ours=()):
    # type: (Any) -> list[int]
    """
    Return the descriptors above 2 that programs would inherit from us.

    Each that is open is looked at, each time: the application may have made anything
    inheritable since.  What was hardened (`ours`, and our terminals), and is forgotten before
    it is closed, need not be.  To list them takes the kernel long where there are many.  So they are
    listed only if there are others than those that were there at the last look: if as
    many of these are open as there are in all.
    """
    ours = PRIVATE.union(ours)
    found = looked_at(SEEN.difference(ours))
    if len(ours) + len(found) != count():
        fds = range(4096)  # type: Iterable[int]
        for directory in '/proc/self/fd', '/dev/fd':
            if os.path.isdir(directory):
                fds = map(int, os.listdir(directory))
                break
        found = looked_at(set(fds).difference(ours))
        SEEN.clear()
        SEEN.update(found)
    return [fd for fd in found if found[fd] and fd > 2]


def count():
    # type: () -> int
    """Return how many descriptors are open; -1 where nobody says (Linux does since 6.2)."""
    try:
        return os.stat('/proc/self/fd').st_size or -1
    except OSError:
        return -1


def looked_at(fds):
    # type: (Iterable[int]) -> dict[int, bool]
    """Return of those of `fds` that are open whether programs inherit them."""
    found = {}
    for fd in fds:
        try:
            found[fd] = inherited(fd)
        except (IOError, OSError):
            # Closed.
            pass
    return found


def inherited(fd):
    # type: (int) -> bool
    return not fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


# The same in a third of the time, which counts with a thousand contexts.
inherited = getattr(os, 'get_inheritable', inherited)


def read(fd, size=4096):
    # type: (int, int) -> bytes
    """Return what comes until end of file, or `size` bytes."""
    found = ''.encode()
    while len(found) < size:
        try:
            part = os.read(fd, size - len(found))
        except OSError:
            if why() != errno.EINTR:
                raise
        else:
            if not part:
                break
            found += part
    return found


def find(program, environment):
    # type: (bytes, dict[bytes, bytes]) -> bytes
    """Return the path of `program`, as execvp() would find it."""
    slash = '/'.encode()
    if slash in program:
        return program
    found = errno.ENOENT
    path = environment.get('PATH'.encode()) or os.defpath.encode()
    for directory in path.split(':'.encode()):
        name = directory + slash + program
        if not directory:
            name = program
        if os.path.isfile(name):
            if os.access(name, os.X_OK):
                return name
            found = errno.EACCES
    raise failed(found, program)


def changed(changes):
    # type: (dict[str, str | None]) -> dict[bytes, bytes]
    """Return our environment after `changes`."""
    # What os.environ keeps are the bytes; it decodes each of them on the way out.
    kept = getattr(os.environ, '_data', None)  # type: Any
    environment = dict(kept or getattr(os, 'environb', os.environ))
    for key, value in changes.items():
        if value is None:
            environment.pop(encoded(key), None)
        else:
            environment[encoded(key)] = encoded(value)
    return environment


def why():
    # type: () -> int
    """Return the errno of the exception that is being handled."""
    return getattr(sys.exc_info()[1], 'errno', None) or errno.EINVAL


def failed(number, program):
    # type: (int, bytes) -> OSError
    """Return the error that says why `program` cannot be executed."""
    return OSError(number, os.strerror(number), program.decode('utf-8', 'replace'))


def meaning(status):
    # type: (int) -> int
    """Return the exit status in what waitpid() returned: for a signal negative, with CORE if it left a core."""
    if os.WIFSIGNALED(status):
        return -(os.WTERMSIG(status) | CORE * os.WCOREDUMP(status))
    return os.WEXITSTATUS(status)
