"""
Carry out a call in a fork of this context: a process of its own, which is heard to its end.

The strategy: ``run`` finds the function, forks, and waits.  The forked process leads a session of its own, takes pipes
for its descriptors 1 and 2, calls the function, and says last of all what came of that: the encoded value, or the
described exception; see ``separated``.  What it wrote, how it ended and what it said are the answer of the call.

Invariants:

* One answer, whatever the process does: it returns, raises, ends itself, is killed, executes a program, forks, closes
  all descriptors, or leaves them to others.  Its end is what ``waitpid`` tells, and never the end of a pipe: others may
  hold that open.  Once the process has ended, its pipes are read for what is in them, and not waited for.
* Output is taken as it is, and no more of it is kept than the call allows.  A process that writes more is ended.
* A call that is given up ends the whole process group: SIGTERM, the grace, SIGKILL.  Its answer comes behind the end.
  So does a signal that has killed the process.  What a process that ends by itself leaves running goes on.
* The process works only while this context lives.  It begins once ``groups`` knows its group, and waits for that word
  in a pipe that ends with this context: whoever kills this context leaves it to the guard, before that to that pipe.
  So it needs no thread that could stand still, nor a signal that its function could ignore.
* The function changes nothing here.  Its module is imported here, before the fork, as for any call.  For a function of
  econtext's own, another one may be called here before that, with the same arguments: AHEAD.
* What the streams of this context hold back is written before the fork.
* Between the fork and the word of the process, and while it is ended, no signal of ours leaves this code: in ``stand``
  alone it may, see ``ending.WAITING``.

Sent with the first isolated call.  Entered by whoever carries out calls, several at a time with ``threads=``.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from econtext.child.interfaces import Home

import errno
import fcntl
import os
import select
import signal
import sys
import time

# The forked process can fetch none of these, and would compile each anew.
from econtext.child import ending, failure, groups, nested, particulars, renewal, rich  # noqa: F401
from econtext.child.groups import now
from econtext.core.calls import find
from econtext.child.separated import GO, Inside, attempt, flush, read
from econtext.core.codec import ENCODERS, encode, native, tagged
from econtext.core.loop import CHUNK
from econtext.core.wire import EMPTY
if sys.version_info < (3, 2):
    from econtext.child import fixed  # noqa: F401

# How a call ended.
RETURNED, RAISED, EXITED, EXCEEDED = 'returned', 'raised', 'exited', 'exceeded'
ENDS = {'v': RETURNED, 'e': RAISED}     # what the process says of its function, by the first letter of that
HEAD = 17           # bytes before what it says: the letter, and the length in hexadecimal digits
FULL = 32           # reads that a pipe is left with at most, once nobody is there who would have to fill it
TICK = 0.1          # seconds between two looks at what no descriptor tells
SHORT = 0.0002      # the same where the process is about to end; it grows
STUCK = 2.0         # seconds from SIGKILL until nobody waits any more
# The ends of pipes that are this process's own, in no forked one.
OPEN = {}  # type: dict[int, bool]
# What is called here before a fork that calls the function of that module and name.
AHEAD = {}  # type: dict[tuple[str, str], Callable[..., Any]]


@renewal.register
def after_fork():
    # type: () -> None
    """The forks are those of the other process."""
    for fd in list(OPEN):
        os.close(fd)
    OPEN.clear()


class Answer(object):
    """What ``run`` returns: how it ended, a status or None, output, errors, the body of what came of the function."""

    def __init__(self, how, status, *parts):
        # type: (str, Any, bytes) -> None
        self.how = how
        self.status = status
        self.parts = parts

    def encoded(self):
        # type: () -> bytes
        """Return this as a tuple on its way up: bytes are bytes, also where they are the text of Python 2."""
        pieces = [tagged('t', 2 + len(self.parts)), encode(self.how), encode(self.status)]
        for part in self.parts:
            pieces.append(tagged('b', len(part)))
            pieces.append(part)
        return EMPTY.join(pieces)


ENCODERS[Answer] = Answer.encoded


def run(module, name, args, kwargs, settings):
    # type: (Any, Any, Any, dict[str, Any], dict[str, Any]) -> Answer
    """Call function `name` of `module` in a fork."""
    module, name = native(module), native(name)
    function = find(module, name)
    kwargs = dict([(native(key), kwargs[key]) for key in kwargs])
    home = sys.modules['econtext'].program.home  # type: ignore[attr-defined]
    if (module, name) in AHEAD:
        AHEAD[module, name](*args, **kwargs)
    fork = Fork(home, lambda: function(*args, **kwargs), settings)
    fork.start()
    try:
        try:
            fork.follow()
        except:
            # The call was given up, or this context ends.
            fork.end()
            if home.supervisor.ended:
                raise
            fork.called_away = failure.describe(*sys.exc_info())
    finally:
        fork.close()
    return fork.answer()


class Fork(object):
    """A process that carries out a call, as this process has to do with it."""

    def __init__(self, home, work, settings):
        # type: (Home, Callable[[], Any], dict[str, Any]) -> None
        self.home = home
        self.work = work
        self.grace = settings['grace']  # type: float
        self.most = settings['most']  # type: int
        self.captures = settings['capture']  # type: bool
        self.pid = 0  # type: int
        # Whether it has ended, and its status, if nobody else was told that.
        self.ended = False  # type: bool
        self.status = None  # type: int | None
        self.said = -1  # type: int
        self.word = -1  # type: int
        # What can be read from once the process has ended, or -1.
        self.exit = -1  # type: int
        # What comes in: by descriptor, the pieces; and all descriptors of ours.
        self.poller = select.poll()  # type: select.poll
        self.coming = {}  # type: dict[int, list[bytes]]
        self.ours = {}  # type: dict[int, bool]
        # What it says: so many bytes of how many, which is 0 until it is known.
        self.heard = []  # type: list[bytes]
        self.arrived = 0  # type: int
        self.due = 0  # type: int
        self.output = {1: [], 2: []}  # type: dict[int, list[bytes]]
        self.size = 0  # type: int
        self.exceeded = False  # type: bool
        # The described exception by which the thread that waited was called away.
        self.called_away = None  # type: bytes | None

    # Its beginning.

    def start(self):
        # type: () -> None
        """Fork; return once the process is at work."""
        for stream in sys.stdout, sys.stderr:
            flush(stream)
        groups.STARTING.acquire()
        try:
            try:
                groups.prepare()
                ending.apart(self.fork)
                groups.enter(self.pid)
                self.watch()
                # If it has ended by now, that is told in its turn.
                attempt(os.write, self.word, GO)
                self.forget(self.word)
            except:
                # Also the exception of a signal handler of the application's own.
                if self.pid:
                    groups.tell(self.pid, signal.SIGKILL)
                    attempt(os.kill, self.pid, signal.SIGKILL)
                    attempt(os.waitpid, self.pid, 0)
                self.forget_all()
                raise
        finally:
            groups.STARTING.release()

    def fork(self):
        # type: () -> None
        """Fork; return, in this process alone, once the other one has left our group."""
        theirs = []     # type: list[int]
        outputs = []    # type: list[tuple[int, int]]
        try:
            self.said, said = self.pipe(theirs, False)
            word, self.word = self.pipe(theirs, True)
            self.listen(self.said, self.heard)
            if self.captures:
                for fd in 1, 2:
                    ours, end = self.pipe(theirs, False)
                    self.listen(ours, self.output[fd])
                    outputs.append((fd, end))
            me, crowded = os.getpid(), crowd()
            try:
                self.pid = ending.quiet_fork()
                if not self.pid:
                    Inside(self.work, said, outputs, crowded).live(word)
            finally:
                if os.getpid() != me:
                    os._exit(1)
        finally:
            for fd in theirs:
                os.close(fd)
        # A byte, not the end of file: a process that another thread forks may hold the other end as well.
        read(self.said, 1)

    def pipe(self, theirs, down):
        # type: (list[int], bool) -> tuple[int, int]
        """Return a new pipe, which no program inherits; note which end is that of the other process."""
        ends = list(os.pipe())
        try:
            for at in 0, 1:
                if ends[at] < 3:
                    # The application has closed one of the first three, which is to stay free.
                    low, ends[at] = ends[at], fcntl.fcntl(ends[at], fcntl.F_DUPFD, 3)
                    os.close(low)
                fcntl.fcntl(ends[at], fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        except:
            for end in ends:
                os.close(end)
            raise
        theirs.append(ends[not down])
        self.ours[ends[down]] = OPEN[ends[down]] = True
        return ends[0], ends[1]

    def watch(self):
        # type: () -> None
        """Have the poller tell of the end of the process, where Python and the system can."""
        try:
            fd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            # Also where system calls are filtered, or no descriptor is left.
            return
        if fd < 3:
            os.close(fd)
            return
        self.exit = fd
        self.ours[fd] = OPEN[fd] = True
        self.poller.register(fd, select.POLLIN)

    def listen(self, fd, pieces):
        # type: (int, list[bytes]) -> None
        self.coming[fd] = pieces
        self.poller.register(fd, select.POLLIN)

    # What comes.

    def follow(self):
        # type: () -> None
        """Take what comes until the process has ended; end it if it writes too much, or if this context ends."""
        pause = SHORT
        while not self.reap():
            if self.exceeded or self.home.supervisor.ended:
                self.end()
                return
            if self.exit >= 0 or (self.said in self.coming and not self.has_said_all()):
                self.step(self.stand, TICK)
            else:
                # It is about to end, or executes a program.
                self.step(self.stand, pause)
                pause = min(2 * pause, TICK)
        if self.status is not None and os.WIFSIGNALED(self.status):
            # Nothing of its own could end what it has started.
            self.end()

    def stand(self, pause):
        # type: (float) -> Any
        """Wait for what comes, and take nothing: see ``ending.WAITING``, which has this name."""
        if self.coming or self.exit >= 0:
            return self.poller.poll(max(int(pause * 1000), 1))
        time.sleep(pause)
        return ()

    def look(self, pause):
        # type: (float) -> Any
        """The same where nothing may be raised."""
        if self.coming or self.exit >= 0:
            return self.poller.poll(int(pause * 1000))
        time.sleep(pause)
        return ()

    def step(self, wait, pause):
        # type: (Callable[[float], Any], float) -> bool
        """Take what comes within about `pause` seconds; tell whether there was anything."""
        try:
            found = wait(pause)
        except select.error:
            if sys.exc_info()[1].args[0] != errno.EINTR:  # type: ignore[union-attr]
                raise
            return False
        for fd, _ in found:
            self.take(fd)
        return bool(found)

    def take(self, fd):
        # type: (int) -> None
        if fd == self.exit:
            # That of its group, and what others write, may be later.
            self.forget(fd)
            return
        data = read(fd, CHUNK)
        if not data:
            self.forget(fd)
        elif fd == self.said:
            self.hear(data)
        else:
            self.size += len(data)
            excess = self.size - self.most
            if excess > 0:
                self.exceeded = True
                data = data[:max(len(data) - excess, 0)]
            if data:
                self.coming[fd].append(data)

    def hear(self, data):
        # type: (bytes) -> None
        """Take a piece of what it says."""
        self.heard.append(data)
        self.arrived += len(data)
        if not self.due and self.arrived >= HEAD:
            self.heard[:] = [EMPTY.join(self.heard)]
            self.due = HEAD + int(self.heard[0][1:HEAD], 16)

    def has_said_all(self):
        # type: () -> bool
        return 0 < self.due <= self.arrived

    # Its end.

    def reap(self):
        # type: () -> bool
        """Tell whether the process has ended."""
        if not self.ended:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.status = status
                    self.ended = True
            except OSError:
                # Somebody else has waited for it.
                self.ended = sys.exc_info()[1].errno == errno.ECHILD  # type: ignore[union-attr]
        return self.ended

    def end(self):
        # type: () -> None
        """End its process group: gently, then not."""
        if groups.tell(self.pid, signal.SIGTERM):
            # One that was stopped hears nothing.
            groups.tell(self.pid, signal.SIGCONT)
        deadline = now() + self.grace
        pause = 0.001
        while not self.is_gone():
            if self.home.supervisor.ended:
                deadline = min(deadline, now() + groups.LAST)
            if now() >= deadline:
                groups.tell(self.pid, signal.SIGKILL)
                break
            # Its cleanup may write.
            self.step(self.look, pause)
            pause = min(pause * 2, 0.05)
        # One that another user has become may stay.
        deadline = now() + STUCK
        while not self.is_gone() and now() < deadline:
            time.sleep(0.001)

    def is_gone(self):
        # type: () -> bool
        """Tell whether the process has ended, and all of its group."""
        return self.reap() and not groups.runs(self.pid)

    def close(self):
        # type: () -> None
        """Take what is left, and let go of all."""
        if self.ended:
            groups.leave(self.pid)
        for _ in range(FULL):
            if not self.coming or not self.step(self.look, 0):
                break
        self.forget_all()

    def forget(self, fd):
        # type: (int) -> None
        if self.coming.pop(fd, None) is not None or fd == self.exit:
            self.poller.unregister(fd)
        if fd == self.exit:
            self.exit = -1
        if self.ours.pop(fd, None):
            OPEN.pop(fd, None)
            os.close(fd)

    def forget_all(self):
        # type: () -> None
        for fd in list(self.ours):
            self.forget(fd)

    def answer(self):
        # type: () -> Answer
        """Return what is to be told."""
        how, body = EXITED, EMPTY
        if self.called_away is not None:
            how, body = RAISED, self.called_away
        elif self.exceeded:
            how = EXCEEDED
        elif self.has_said_all():
            said = EMPTY.join(self.heard)
            how, body = ENDS[said[:1].decode('ascii')], said[HEAD:]
        return Answer(
            how, returncode(self.status), EMPTY.join(self.output[1]), EMPTY.join(self.output[2]), body)


def crowd():
    # type: () -> bool
    """Are there threads here that may write, beside this one and the one that leads?"""
    return len(getattr(sys, '_current_frames', lambda: range(9))()) > 2


def returncode(status):
    # type: (int | None) -> int | None
    """Return a status as ``subprocess`` has it: below 0 for a signal."""
    if status is None:
        return None
    if os.WIFSIGNALED(status):
        return -os.WTERMSIG(status)
    return os.WEXITSTATUS(status)
