"""
The near end of a session: pipes or a terminal for a program of this machine, and what passes through them.

A session is a call of ``serve``, with two channels.  Through `data` goes what the program reads, in bytes, and comes
what it prints: a tag, OUT or ERR, and bytes; no bytes are the end of the input.  Through `control` come messages, a
tag and a value: SIZE of the terminal, a SIGNAL to send.  The program is a command, or a context beside this one, which
opens its streams itself: their names go through `control`, and the OPENED that comes back brings its process.

Invariants:

* Bytes pass as they are: nothing is decoded here.
* A program that does not read stops its input, and no message: these have a channel of their own.  A reader that
  does not read stops the program where it writes.
* However the call ends, the process group of a command is told to end and then killed, as in ``running``.
* Once the program has ended, what others leave in its pipes is read, and nobody waits longer than LINGER without any.

Sent with the first session.  Entered by whoever carries out calls; input and control have a thread each.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from typing import Any

import errno
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
try:
    import termios
except ImportError:
    termios = None  # type: ignore[assignment]

from econtext.child import ending, groups, running
from econtext.child.groups import now
from econtext.child.running import BLOCK, ERR, LINGER, OUT, TICK
from econtext.child.transfer import as_bytes
from econtext.core.loop import allocate_lock, start_new_thread

SIZE, SIGNAL, OPENED = 'size', 'signal', 'opened'
CLOSED = 'C'.encode('ascii')    # all output of a context has been sent, and none follows
END_OF_FILE = '\x04'.encode('ascii')    # what a terminal takes for the end of its input
PAUSE, LONGEST = 0.0005, 0.01     # seconds between looks at a program that has closed its output; they grow
# Where the descriptors of a process have names.
DESCRIPTORS = '/proc/self/fd'


def serve(data, control, words, options):
    # type: (Any, Any, Any, dict[str, Any]) -> tuple[Any, ...]
    """Carry out a session; return ('done', status), or what stood in the way as ``running.run`` does."""
    options = dict([(str(key), options[key]) for key in options])
    session = Session(data, control, options['size'])
    try:
        if words is None:
            return session.of_context()
        return session.of_command([as_bytes(word) for word in words], options)
    finally:
        session.close()


def set_size(fd, rows, columns):
    # type: (int, int, int) -> None
    """Tell a terminal how large it is."""
    request = getattr(termios, 'TIOCSWINSZ', None)
    if request is not None and rows > 0 and columns > 0:
        fcntl.ioctl(fd, request, struct.pack('HHHH', rows & 0xffff, columns & 0xffff, 0, 0))


def control_terminal(fd):
    # type: (int) -> None
    """Make a terminal the controlling one of this session, if the system wants to be told."""
    request = getattr(termios, 'TIOCSCTTY', None)
    if request is not None:
        fcntl.ioctl(fd, request, 0)


def keep(fd):
    # type: (int) -> int
    """Return `fd`, which no program inherits."""
    fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.fcntl(fd, fcntl.F_GETFD) | fcntl.FD_CLOEXEC)
    return fd


class Session(object):
    """One session: what it has open here, and the process it is about."""

    def __init__(self, data, control, size):
        # type: (Any, Any, Any) -> None
        self.data = data
        self.control = control
        self.pid = 0  # type: int
        self.process = None  # type: Any
        # Whether the program has ended, as far as the other end knows.
        self.over = False  # type: bool
        # The ends of the program: standard input, output and error; and names of those that are files.
        self.theirs = []  # type: list[int]
        self.folder = None  # type: str | None
        self.tags = {}  # type: dict[int, bytes]
        # Held while the input is written, or closed.
        self.writing = allocate_lock()  # type: LockType
        self.input = -1  # type: int
        self.master = -1  # type: int
        if size is not None:
            self.open_terminal(size)
        else:
            self.open_pipes()
        self.poller = select.poll()  # type: select.poll
        for fd in self.tags:
            self.poller.register(fd, select.POLLIN)

    def open_terminal(self, size):
        # type: (Any) -> None
        self.master, slave = os.openpty()
        keep(self.master)
        set_size(self.master, *size)
        self.input = self.master
        self.theirs = [keep(slave)]
        self.tags[self.master] = OUT

    def open_pipes(self):
        # type: () -> None
        reading, self.input = os.pipe()
        output, writing = os.pipe()
        errors, writing_errors = os.pipe()
        self.theirs = [reading, writing, writing_errors]
        self.tags = {output: OUT, errors: ERR}
        for fd in self.theirs + [self.input, output, errors]:
            keep(fd)

    def names(self):
        # type: () -> list[str]
        """Return the names by which another process of this user opens its ends."""
        if self.master >= 0:
            return [os.ttyname(self.theirs[0])] * 3
        if os.path.isdir(DESCRIPTORS):
            return ['/proc/%d/fd/%d' % (os.getpid(), fd) for fd in self.theirs]
        return self.named_pipes()

    def named_pipes(self):
        # type: () -> list[str]
        """Put pipes that have names in the place of those that have none; return the names."""
        self.release()
        for fd in list(self.tags):
            self.forget(fd)
        os.close(self.input)
        import tempfile
        folder = self.folder = tempfile.mkdtemp('', 'econtext-')
        found = [os.path.join(folder, name) for name in ('0', '1', '2')]
        for name in found:
            os.mkfifo(name, 384)    # 0600
        for name, tag in zip(found[1:], (OUT, ERR)):
            fd = keep(os.open(name, os.O_RDONLY | os.O_NONBLOCK))
            self.tags[fd] = tag
        # One that both reads and writes, or whoever opens it would wait.
        self.input = keep(os.open(found[0], os.O_RDWR | os.O_NONBLOCK))
        return found

    # Of a context.

    def of_context(self):
        # type: () -> tuple[Any, ...]
        self.control.send(self.names())
        # Its ends may change until the program has them, so the input is not handed on before that.
        self.obey()
        if self.pid:
            self.listen()
            for fd in self.tags:
                self.poller.register(fd, select.POLLIN)
            self.follow()
        return 'done', 0

    def opened(self, pid):
        # type: (int) -> None
        """The context has opened its streams."""
        if self.folder:
            name = os.path.join(self.folder, '0')
            both, self.input = self.input, keep(os.open(name, os.O_WRONLY))
            os.close(both)
            self.remove_folder()
        self.release()
        self.pid = pid

    # Of a command.

    def of_command(self, words, options):
        # type: (list[bytes], dict[str, Any]) -> tuple[Any, ...]
        folder = as_bytes(options['cwd'])
        try:
            if folder is not None:
                folder = os.path.expanduser(folder)
                os.stat(os.path.join(folder, '.'.encode('ascii')))
        except OSError:
            return running_error('cwd', folder)
        try:
            self.start(words, folder, running.environment(options['env'], options['extend']))
        except (OSError, ValueError):
            return running_error('program', words[0])
        self.release()
        self.listen()
        self.follow()
        if self.process.poll() is None:
            self.end_command()
        return 'done', self.process.returncode

    def start(self, words, folder, env):
        # type: (list[bytes], Any, Any) -> None
        streams = self.theirs
        if self.master >= 0:
            streams = self.theirs * 3

        def begin():
            # type: () -> None
            groups.apart()
            if self.master >= 0:
                control_terminal(0)
        groups.STARTING.acquire()
        try:
            if not groups.GUARDS:
                groups.GUARDS.append(groups.guard())
            self.process = ending.apart(
                subprocess.Popen, words, stdin=streams[0], stdout=streams[1], stderr=streams[2], cwd=folder, env=env,
                preexec_fn=begin, close_fds=True)
            self.pid = self.process.pid
            groups.enter(self.pid)
        finally:
            groups.STARTING.release()

    def end_command(self):
        # type: () -> None
        """Nobody follows the command any more: end its process group."""
        groups.tell(self.pid, signal.SIGHUP)
        for number in signal.SIGTERM, signal.SIGKILL:
            if groups.tell(self.pid, number):
                groups.tell(self.pid, signal.SIGCONT)
            deadline = now() + running.GRACE
            while now() < deadline:
                if self.process.poll() is not None and not groups.runs(self.pid):
                    # Its number may be another's from now on.
                    return
                select.select([], [], [], 0.01)

    # What passes.

    def listen(self):
        # type: () -> None
        start_new_thread(self.feed, ())
        start_new_thread(self.obey, ())

    def follow(self):
        # type: () -> None
        """Send what the program prints until it has ended."""
        quiet = None  # type: Any
        while self.tags:
            if not self.data.open() or self.control.home.supervisor.ended:
                return
            if self.step():
                quiet = None
            elif self.has_ended():
                if quiet is None:
                    quiet = now()
                elif now() - quiet > LINGER:
                    return
        if self.process is None:
            # The other end hears from the context itself how the program ended: it need not wait for us.
            self.send(CLOSED)
        pause = PAUSE
        while self.data.open() and not self.has_ended() and not self.control.home.supervisor.ended:
            # The program has closed its output, and goes on: no descriptor tells when it ends.
            select.select([], [], [], pause)
            pause = min(2 * pause, LONGEST)

    def has_ended(self):
        # type: () -> bool
        return self.over or (self.process is not None and self.process.poll() is not None)

    def step(self):
        # type: () -> bool
        """Send what there is; tell whether there was any."""
        try:
            found = self.poller.poll(TICK * 1000)
        except select.error:
            if sys.exc_info()[1].args[0] != errno.EINTR:  # type: ignore[union-attr]
                raise
            return False
        for fd, _ in found:
            try:
                piece = os.read(fd, BLOCK)
            except OSError:
                # A terminal whose last program has ended is not at its end: reading it fails.
                if sys.exc_info()[1].errno in (errno.EAGAIN, errno.EINTR):  # type: ignore[union-attr]
                    continue
                piece = ''.encode('ascii')
            if piece:
                self.send(self.tags[fd] + piece)
            else:
                self.forget(fd)
        return bool(found)

    def send(self, piece):
        # type: (bytes) -> None
        try:
            self.data.send(piece)
        except sys.modules['econtext'].EcontextError:
            # Seen by ``follow``.
            pass

    def feed(self):
        # type: () -> None
        """Hand on the input."""
        for piece in self.data:
            self.writing.acquire()
            try:
                if not self.write(as_bytes(piece)):
                    break
            finally:
                self.writing.release()
        # What comes is thrown away: who sends it would wait for nobody.
        for _ in self.data:
            pass

    def write(self, piece):
        # type: (bytes) -> bool
        """Write all of `piece`, of which none is the end of the input; False if nothing reads any more."""
        fd = self.input
        if fd < 0:
            return False
        if not piece:
            if self.master < 0:
                self.input = -1
                os.close(fd)
                return False
            piece = END_OF_FILE
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)
        poller = select.poll()
        poller.register(fd, select.POLLOUT)
        while piece and not self.has_ended() and self.data.open():
            try:
                if poller.poll(TICK * 1000):
                    piece = piece[os.write(fd, piece):]
            except (OSError, select.error):
                if sys.exc_info()[1].args[0] not in (errno.EINTR, errno.EAGAIN):  # type: ignore[union-attr]
                    return False
        return not piece

    def obey(self):
        # type: () -> None
        """Do what the messages say, to the last of them; but for a context return once it has opened its streams."""
        for tag, value in self.control:
            if tag == OPENED:
                self.opened(value)
                return
            if tag == SIZE and self.master >= 0:
                set_size(self.master, *value)
            elif tag == SIGNAL and self.pid:
                self.signal(getattr(signal, str(value), None))
        self.over = True

    def signal(self, number):
        # type: (Any) -> None
        """Send a signal to the program, and to what it has started in its process group."""
        if number is None or self.has_ended():
            return
        try:
            if os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
        except OSError:
            # It has ended just now.
            pass

    # Its end.

    def forget(self, fd):
        # type: (int) -> None
        if fd != self.master:
            del self.tags[fd]
            try:
                self.poller.unregister(fd)
            except (AttributeError, KeyError):
                # Before there is one, or it was never in.
                pass
            os.close(fd)
        else:
            del self.tags[fd]
            self.poller.unregister(fd)

    def release(self):
        # type: () -> None
        """Close the ends that are the program's."""
        theirs, self.theirs = self.theirs, []
        for fd in theirs:
            os.close(fd)

    def remove_folder(self):
        # type: () -> None
        folder, self.folder = self.folder, None
        if folder:
            for name in '0', '1', '2':
                os.unlink(os.path.join(folder, name))
            os.rmdir(folder)

    def close(self):
        # type: () -> None
        self.over = True
        if self.process is not None:
            if self.process.poll() is None:
                self.end_command()
            groups.leave(self.pid)
        self.release()
        self.remove_folder()
        for fd in list(self.tags):
            self.forget(fd)
        self.writing.acquire()
        try:
            for fd in set([self.input, self.master]):
                if fd >= 0:
                    os.close(fd)
            self.input = self.master = -1
        finally:
            self.writing.release()


def running_error(what, name):
    # type: (str, Any) -> tuple[Any, ...]
    """Return what stood in the way, as ``running.run`` does."""
    error = sys.exc_info()[1]  # type: Any
    number = getattr(error, 'errno', None) or errno.EIO
    return what, errno.errorcode.get(number, 'EIO'), getattr(error, 'strerror', None) or str(error), name
