"""
Runs a command in a context: its output goes through a channel while it runs, its input comes through it.

A message from here is a tag and bytes as they were read: OUT or ERR; or STARTED alone, before the
output of a command that has a timeout.  A message to here is a tag too: INPUT and bytes, or NO_MORE.
How the command ended is the answer of the call, in values.

Invariants:

* Bytes pass as they are: nothing is decoded here.  No shell reads a list of words.
* The command is the leader of a session of its own.  However the call ends, but by the command's own end,
  its whole process group is told to end (SIGTERM) and, after GRACE, killed.  So it is at its timeout, also
  while nobody reads what it prints.
* If this process is killed, the guard does the same: see ``groups``.
* A reader that does not read stops the command where it writes; a command that does not read stops
  who sends input.
* Once the command itself has ended, what others leave in its pipes is read, and nobody waits for more
  than LINGER without any: a daemon that keeps them open holds up nothing.

Fetched with the first command.  Entered by whoever carries out calls; input has a thread of its own, and
so has a timeout.
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
import subprocess
import sys
import time

from econtext.child import ending, groups
from econtext.child.groups import now
from econtext.child.transfer import as_bytes
from econtext.core.loop import allocate_lock, start_new_thread

OUT, ERR, STARTED, INPUT, NO_MORE = [letter.encode('ascii') for letter in 'O E S I N'.split()]
BLOCK = (1 << 16) - 64      # bytes of output in one message
FULL = 32           # blocks that the pipes hold at most
GRACE = 2.0         # seconds from SIGTERM to SIGKILL
LINGER = 0.2        # seconds without output, after which the pipes of a command that has ended are left
TICK = 0.1          # seconds between two looks at what no descriptor tells


class Gone(Exception):
    """Nobody wants the command any more."""


def run(channel, words, options):
    # type: (Any, Any, dict[str, Any]) -> tuple[Any, ...]
    """Run `words`; return ('done', status), ('expired', status), ('gone', status), or what stood in the way."""
    options = dict([(str(key), options[key]) for key in options])
    words = [as_bytes(word) for word in words]
    folder = as_bytes(options['cwd'])
    if folder is not None:
        try:
            folder = os.path.expanduser(folder)
            # Python 2 has the same error for this and for the program.  As one that enters it sees it.
            os.stat(os.path.join(folder, '.'.encode('ascii')))
        except OSError:
            error = sys.exc_info()[1]  # type: Any
            return 'cwd', errno.errorcode.get(error.errno, 'EIO'), error.strerror, folder
    try:
        process = start(words, folder, environment(options['env'], options['extend']), options['input'])
    except (OSError, ValueError):
        error = sys.exc_info()[1]
        number = getattr(error, 'errno', None) or errno.EIO
        return 'program', errno.errorcode.get(number, 'EIO'), getattr(error, 'strerror', None) or str(error), words[0]
    return Running(channel, process, options['timeout']).run()


def environment(variables, extend):
    # type: (Any, bool) -> Any
    """Return the environment of a command; None for that of this process."""
    if variables is None:
        return None
    found = {}  # type: dict[Any, Any]
    if extend:
        found = dict(getattr(os, 'environb', os.environ))
    for name, value in variables:
        if value is None:
            found.pop(as_bytes(name), None)
        else:
            found[as_bytes(name)] = as_bytes(value)
    return found


def coerced():
    # type: () -> list[str]
    """Return the names of variables that this Python itself has put into its environment, for a locale with UTF-8."""
    name = 'LC_CTYPE'
    if name not in os.environ:
        return []
    try:
        file = open('/proc/self/environ', 'rb')
        try:
            began = file.read()
        finally:
            file.close()
    except (IOError, OSError):
        return []
    if began.startswith(as_bytes(name + '=')) or as_bytes('\0' + name + '=') in began:
        return []
    return [name]


def start(words, folder, env, has_input):
    # type: (list[bytes], Any, Any, bool) -> Any
    how = dict(groups.APART, stdout=subprocess.PIPE, stderr=subprocess.PIPE, close_fds=True, bufsize=0)
    nothing = None
    if has_input:
        how['stdin'] = subprocess.PIPE
    else:
        nothing = how['stdin'] = os.open('/dev/null', os.O_RDONLY)
    groups.STARTING.acquire()
    try:
        groups.prepare()
        process = ending.apart(subprocess.Popen, words, cwd=folder, env=env, **how)
        groups.enter(process.pid)
        return process
    finally:
        groups.STARTING.release()
        if nothing is not None:
            os.close(nothing)


class Running(object):
    """A command that was started."""

    def __init__(self, channel, process, timeout):
        # type: (Any, Any, Any) -> None
        self.channel = channel
        self.process = process
        self.deadline = None  # type: Any
        if timeout is not None:
            self.deadline = now() + timeout
        self.tags = {process.stdout.fileno(): OUT, process.stderr.fileno(): ERR}  # type: dict[int, bytes]
        self.files = dict([(each.fileno(), each) for each in (process.stdout, process.stderr)])  # type: dict[int, Any]
        self.poller = select.poll()  # type: select.poll
        for fd in self.tags:
            self.poller.register(fd, select.POLLIN)
        self.pause = 0.0002  # type: float  # seconds between looks at a command that has closed its output
        # Whether nobody follows it any more; and its group was told to end.
        self.over = False  # type: bool
        self.told = False  # type: bool
        # Whether it took too long; and has had all signals.
        self.late = False  # type: bool
        self.given_up = False  # type: bool
        self.reaping = allocate_lock()  # type: LockType

    def run(self):
        # type: () -> tuple[str, int]
        verdict = 'gone'
        try:
            if self.process.stdin is not None:
                start_new_thread(self.feed, ())
            try:
                if self.deadline is not None:
                    start_new_thread(self.keep_time, ())
                    self.send(STARTED)
                self.follow()
                verdict = 'done'
                if self.late:
                    verdict = 'expired'
            except Gone:
                pass
        finally:
            self.close(verdict)
        return verdict, self.process.returncode

    def close(self, verdict):
        # type: (str) -> None
        self.over = True
        if not self.told and (self.process.returncode is None or verdict != 'done'):
            self.signal_group()
        while self.late and not self.given_up:
            time.sleep(0.01)
        groups.leave(self.process.pid)
        for fd in list(self.files):
            self.forget(fd)

    # Output.

    def follow(self):
        # type: () -> None
        """Send what the command prints until it has ended."""
        quiet = None    # type: Any
        while self.tags or not self.reap():
            if not self.channel.open() or self.ends_here():
                raise Gone
            if self.given_up:
                # What a pipe holds, and no more: a command of another user may go on.
                for _ in range(FULL):
                    if not self.tags or not self.step(0):
                        break
                break
            if self.step(TICK):
                quiet = None
                continue
            if self.reap():
                if quiet is None:
                    quiet = now()
                elif now() - quiet > LINGER:
                    break

    def step(self, pause):
        # type: (float) -> bool
        """Send what there is within `pause` seconds; tell whether there was any."""
        if not self.tags:
            # The command has closed its output, and goes on.
            time.sleep(min(pause, self.pause))
            self.pause = min(2 * self.pause, 0.01)
            return False
        try:
            found = self.poller.poll(pause * 1000)
        except select.error:
            if sys.exc_info()[1].args[0] != errno.EINTR:  # type: ignore[union-attr]
                raise
            return False
        for fd, _ in found:
            data = os.read(fd, BLOCK)
            if data:
                self.send(self.tags[fd] + data)
            else:
                self.forget(fd)
        return bool(found)

    def send(self, data):
        # type: (bytes) -> None
        try:
            self.channel.send(data)
        except sys.modules['econtext'].EcontextError:
            raise Gone

    def forget(self, fd):
        # type: (int) -> None
        if fd in self.tags:
            self.poller.unregister(fd)
            del self.tags[fd]
        self.files.pop(fd).close()

    # Its end.

    def ends_here(self):
        # type: () -> bool
        """Does this process end?"""
        return bool(self.channel.home.supervisor.ended)

    def keep_time(self):
        # type: () -> None
        """End the command at its deadline, whatever the thread that follows it waits for."""
        left = self.deadline - now()
        while left > 0 and not self.over:
            time.sleep(min(left, TICK))
            left = self.deadline - now()
        if not self.over and self.process.returncode is None:
            self.late = True
            try:
                self.signal_group()
            finally:
                self.given_up = True

    def signal_group(self):
        # type: () -> None
        """End the process group: gently, then not."""
        self.told = True
        group = self.process.pid
        if groups.tell(group, signal.SIGTERM):
            # One that was stopped hears nothing.
            groups.tell(group, signal.SIGCONT)
        deadline = now() + GRACE
        pause = 0.001
        while not (self.reap() and not groups.runs(group)):
            if now() >= deadline:
                # Only now: the number of a group that has ended may be another's.
                groups.tell(group, signal.SIGKILL)
                break
            if self.ends_here():
                deadline = min(deadline, now() + groups.LAST)
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
        # One of another user may stay.
        deadline = now() + GRACE
        while not self.reap() and now() < deadline:
            time.sleep(pause)

    def reap(self):
        # type: () -> bool
        """Tell whether the command has ended."""
        self.reaping.acquire()
        try:
            return self.process.poll() is not None
        finally:
            self.reaping.release()

    # Input.

    def feed(self):
        # type: () -> None
        """Hand on what comes through the channel."""
        try:
            fd = self.process.stdin.fileno()
            for data in self.channel:
                data = as_bytes(data)
                if data[:1] != INPUT or not self.write(fd, data[1:]):
                    break
        finally:
            self.process.stdin.close()
            # What comes is thrown away: who sends it would wait for nobody.
            for _ in self.channel:
                pass

    def write(self, fd, data):
        # type: (int, bytes) -> bool
        """Write all of `data`; False if the command reads no more."""
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)
        poller = select.poll()
        poller.register(fd, select.POLLOUT)
        while data and self.channel.open() and not self.over:
            try:
                if poller.poll(TICK * 1000):
                    data = data[os.write(fd, data):]
            except (OSError, select.error):
                if sys.exc_info()[1].args[0] not in (errno.EINTR, errno.EAGAIN):  # type: ignore[union-attr]
                    return False
        return not data
