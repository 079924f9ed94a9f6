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
* The terminal echoes nothing, changes no byte of what the program prints, and
  lasts until ``close()``: closing it hangs up on the whole session.
* No signal is sent to a process that has been waited for.

One thread at a time may enter a Process; ``spawn()`` may run in any.
"""
import errno
import fcntl
import os
import signal
import sys

from econtext.parent.command import encoded

try:
    import termios
except ImportError:
    termios = None  # type: ignore[assignment]
try:
    from os import (  # novm
        POSIX_SPAWN_CLOSE, POSIX_SPAWN_DUP2, POSIX_SPAWN_OPEN, posix_spawn)
except ImportError:
    posix_spawn = None  # type: ignore[assignment]
try:
    from signal import SIG_SETMASK, pthread_sigmask  # novm
except ImportError:
    pthread_sigmask = None  # type: ignore[assignment]

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
        close([self.stdin, self.stdout, self.stderr, self.tty, self.slave])
        self.stdin = self.stdout = self.stderr = self.tty = self.slave = None


def spawn(argv, tty=False, environ=None):
    # type: (Sequence[str], bool, dict[str, str | None] | None) -> Process
    """
    Start the program `argv` and return it, or raise OSError.

    `environ` is what differs from our own environment (None: not set there).
    With `tty` it gets a terminal, if the machine has one to give.
    """
    environment = changed(environ or {})
    words = [encoded(word) for word in argv]
    path = find(words[0], environment)
    terminal = None
    fds = []  # type: list[int]
    try:
        for _ in range(3):
            fds.extend(pipe())
        if tty:
            terminal = open_terminal()
        # 0 is read there; 1 and 2 are written.
        theirs = [fds[0], fds[3], fds[5]]
        if FAST:
            start = start_fast
        else:
            start = start_anywhere
        pid = start(path, words, environment, theirs, terminal)
    except:
        close(fds)
        close(terminal or ())
        raise
    close(theirs)
    return Process(pid, fds[1], fds[2], fds[4], terminal)


def start_fast(path, words, environment, theirs, terminal):
    # type: (bytes, list[bytes], dict[bytes, bytes], list[int], tuple[int, int] | None) -> int
    """Start the program by posix_spawn(), which copies nothing of ours."""
    actions = []  # type: list[tuple[Any, ...]]
    if not CLOSE_FROM:
        actions += [(POSIX_SPAWN_CLOSE, fd) for fd in inheritable()]
    actions += [(POSIX_SPAWN_DUP2, theirs[fd], fd) for fd in range(3)]
    if terminal:
        name, slave = os.ttyname(terminal[1]), terminal[1]
        actions.append((POSIX_SPAWN_OPEN, slave, name, os.O_RDWR, 0))
        actions.append((POSIX_SPAWN_CLOSE, slave))
    if CLOSE_FROM:
        # Since 3.13; before, a look at each descriptor, which many contexts feel.
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
            pthread_sigmask(SIG_SETMASK, [])
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


def control(slave):
    # type: (int) -> None
    """Make a terminal the controlling one of this session."""
    if hasattr(termios, 'TIOCSCTTY'):
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


def open_terminal():
    # type: () -> tuple[int, int] | None
    """
    Return both ends of a new terminal, or None where there is none to be had.

    A program that asks nothing does without; one that asks will say so.
    """
    try:
        ends = os.openpty()
    except OSError:
        return None
    try:
        ends = above(ends[0]), above(ends[1])
        mode = termios.tcgetattr(ends[1])
        mode[1] &= ~termios.OPOST
        mode[3] &= ~(termios.ECHO | termios.ECHONL)
        termios.tcsetattr(ends[1], termios.TCSANOW, mode)
        os.ttyname(ends[1])
    except (OSError, termios.error):
        close(ends)
        return None
    return ends


def pipe():
    # type: () -> tuple[int, int]
    """Return the reading and the writing end of a pipe."""
    reading, writing = os.pipe()
    return above(reading), above(writing)


def above(fd):
    # type: (int) -> int
    """
    Return `fd`, or a copy of it, such that programs do not inherit it.

    Nothing of ours may lie on 0, 1 or 2, not even where those are closed: there
    it would be overwritten on its way to the program.
    """
    if fd < 3:
        low, fd = fd, fcntl.fcntl(fd, fcntl.F_DUPFD, 3)
        os.close(low)
    fcntl.fcntl(fd, fcntl.F_SETFD, flags(fd) | fcntl.FD_CLOEXEC)
    return fd


def inheritable():
    # type: () -> list[int]
    """Return the descriptors above 2 that programs would inherit from us."""
    fds = range(3, 4096)  # type: Iterable[int]
    for directory in '/proc/self/fd', '/dev/fd':
        if os.path.isdir(directory):
            fds = [int(name) for name in os.listdir(directory)]
            break
    return [fd for fd in fds if fd > 2 and inherited(fd)]


def inherited(fd):
    # type: (int) -> bool
    return not flags(fd) & fcntl.FD_CLOEXEC


if hasattr(os, 'get_inheritable'):
    # The same in a third of the time, which counts with a thousand contexts.
    def inherited(fd):
        # type: (int) -> bool
        try:
            return os.get_inheritable(fd)
        except OSError:
            return False


def flags(fd):
    # type: (int) -> int
    """Return the flags of a descriptor; one that is closed is not inherited."""
    try:
        return fcntl.fcntl(fd, fcntl.F_GETFD)
    except (IOError, OSError):
        return fcntl.FD_CLOEXEC


def close(fds):
    # type: (Iterable[int | None]) -> None
    """Close descriptors; None is none."""
    for fd in fds:
        if fd is not None:
            os.close(fd)


def read(fd):
    # type: (int) -> bytes
    """Return all that comes until end of file."""
    parts = []
    while True:
        try:
            part = os.read(fd, 4096)
        except OSError:
            if why() != errno.EINTR:
                raise
        else:
            if not part:
                return ''.encode().join(parts)
            parts.append(part)


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
    """Return the exit status in what waitpid() returned."""
    if os.WIFSIGNALED(status):
        return -os.WTERMSIG(status)
    return os.WEXITSTATUS(status)
