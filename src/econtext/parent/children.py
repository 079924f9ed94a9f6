"""
Start children, and stay with them until their programs have ended.

The same code serves the controller and every context that starts another.

Invariants:

* Whatever happens, the one who asked hears of it once: ready, or failed with a
  kind and a detail; and once it was ready, that it was lost.
* What is sent to a child before it is ready waits in its link, in order.
* A program that was started is waited for, whatever becomes of the child; one
  that does not end by itself is made to.  A child that has contexts below it has a second
  more for each level of them: it has to do the same.
* Where a start is, `state` says; ``advance`` alone moves it, by the table of ``start``.
* A start whose time is over is told so by the end of its input, and heard for LAST_WORDS more if it had read that.
* While the handshake's ``gate`` is held, the link is not open.  What is typed on standard input until then is
  written under ``lock``, under which the gate opens: so nothing is typed behind it.

A context's ``nursery`` and the controller's broker are *homes*: they
have ``loop``, ``router``, ``preamble``, ``height()`` and ``attend()``.  A Birth is entered by the thread that
leads and by threads of its own; ``lock`` keeps them apart.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable
    from typing import Any, Protocol

    from econtext.core.loop import Link, Loop
    from econtext.core.router import Router

    class Home(Protocol):
        """Whose children they are: a ``nursery``, or the controller's broker."""

        @property
        def loop(self) -> Loop: ...
        @property
        def router(self) -> Router: ...
        @property
        def preamble(self) -> bytes: ...
        def height(self, who: int) -> int: ...
        def attend(self, who: int, link: Link, interval: float) -> None: ...

import errno
import fcntl
import operator
import os
import struct
import sys
import time
try:
    # `signal` itself has classes made for its numbers, which takes longer than to start a program.
    import _signal as signal
except ImportError:
    import signal

from econtext.child import bulk, undone
from econtext.core.loop import TRANSIENT, Reader, allocate_lock, harden, start_new_thread
from econtext.core.wire import EMPTY, MARK, BadFrame
from econtext.parent import command, process, start
from econtext.parent.handshake import Handshake
from econtext.parent.terminal import close

REST = 0.1          # seconds of silence after which a terminal waits for us
LONG_REST = 1.0     # and where what stands there does not look like a question
MOMENT = 0.1        # seconds within which what is no frame has come
STATUS = 1.0        # seconds between the end of a link and that of the program, at most: as a rule a moment
MOST_WORDS = 4096   # bytes that are heard of what is no frame
LAST_WORDS = 1.0    # seconds a program has to say why there is no child, once its time to start is over
PATIENCE = 3.0      # seconds a program has to end once its link has
FIRMNESS = 1.0      # and then once it was told to, and once it was killed
BRISKLY = 0.5       # the same if we end ourselves
MOST_LEVELS = 3     # of contexts below, for which one waits longer
SET_PIPE_SIZE = 1031    # F_SETPIPE_SZ of Linux, which fcntl knows since 3.10
IN_LINE = 90000     # bytes: in base64 below what one argument may have, 128 KiB
ROOM = 1 << 20      # bytes in a pipe: fewer turns between two processes
clock = getattr(time, 'monotonic', time.time)  # type: Callable[[], float]
# What a link is written to, and what stands there where that is nothing.
written_to = operator.attrgetter('out')  # type: Any
NONE = None, -1
# What it means that a program cannot be started; else it is 'ended'.
FULL = errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM
ABSENT = (errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR, errno.ELOOP, errno.EISDIR,
          errno.ENAMETOOLONG)


class Birth(object):
    """One child, from the start of a program to its end."""

    def __init__(self, home, link, connector, options, answers, report):
        # type: (Home, Link, Any, dict[str, Any], dict[str, Any], Callable[..., Any]) -> None
        self.home = home
        self.link = link
        self.connector = connector
        self.options = options
        # What the connector's plan says, if whoever asks for the child has made it already; until the launch.
        self.planned = None  # type: tuple[list[str], bool, dict[str, str | None]] | None
        self.report = report
        self.lock = allocate_lock()  # type: LockType
        lacking = None
        if hasattr(connector, 'lacking'):
            lacking = connector.lacking(options)
        self.handshake = Handshake(
            MARK, connector.PROMPTS, connector.FAILURES, answers, lacking=lacking,
            held=bool(options.get('stdin_answers')),
            statuses=getattr(connector, 'STATUSES', None))  # type: Handshake
        # A program that may ask gets a terminal to ask on, unless its options say otherwise.
        self.asks = 'question' in answers and options.get('tty') is None  # type: bool
        # While the gate is held: what reads standard output.
        self.early = None  # type: Reader | None
        self.process = None  # type: Any
        # Where it is in its start, see ``start``; only advance() writes it, under the lock.
        self.state = start.NEW  # type: str
        # The program is to end; begin() has done its part. Whoever brings the second has the end waited for.
        self.ending = False  # type: bool
        self.begun = False  # type: bool
        self.signum = None  # type: int | None
        # The time to start is over.
        self.late = False  # type: bool
        self.patience = PATIENCE  # type: float
        self.firmness = FIRMNESS  # type: float
        # Levels of contexts below the child.
        self.levels = 0  # type: int
        # The child's number, and how often its link is heard from, in seconds.
        self.who = 0  # type: int
        self.heartbeat = 0.0  # type: float
        # Why the link ended, to be told with the status of the program.
        self.words = EMPTY  # type: bytes
        self.parting = None  # type: str | None
        # Did it end within a frame?
        self.cut = False  # type: bool
        self.heard = 0  # type: int
        # Told of what is said before the child speaks, and of what comes later beside the link: a network may
        # bring one output sooner than the other.
        self.watch = None  # type: Callable[[str, bytes], None] | None
        # What it says beside the link: source -> reader.
        self.sources = {}  # type: dict[str, Reader]
        link.owner = self
        link.receive = self.listener('out')

    def begin(self):
        # type: () -> None
        """Start the program, if nobody stopped it yet; what follows is reported."""
        state = self.advance(start.LAUNCH)[1]
        try:
            if state == start.STARTING:
                self.launch()
        finally:
            self.lock.acquire()
            self.begun, late = True, self.ending
            self.lock.release()
            if late:
                self.bury_apart(self.signum)

    def advance(self, event):
        # type: (str) -> tuple[str, str]
        """Go on in the start; return the state before, and the state now. Whoever has not the lock."""
        self.lock.acquire()
        try:
            before = self.state
            self.state = start.transition(before, event)
            return before, self.state
        finally:
            self.lock.release()

    def launch(self):
        # type: () -> None
        planned, self.planned = self.planned, None
        if self.options.get('one_trip'):
            argv, tty, environ = self.connector.plan(self.options, self.in_line())
        else:
            argv, tty, environ = planned or self.connector.plan(self.options)
        if environ is command.ENGLISH:
            environ = {'LANGUAGE': undone.KEPT + os.environ.get('LANGUAGE', '')}
        try:
            if hasattr(self.connector, 'begin'):
                self.process = self.connector.begin(self.home)
            else:
                self.process = process.spawn(argv, tty or self.asks, environ, self.hardened())
        except OSError:
            error = sys.exc_info()[1]
            kind = 'ended'
            if error.errno in ABSENT:  # type: ignore[union-attr]
                kind = self.connector.MISSING
            elif error.errno in FULL:  # type: ignore[union-attr]
                kind = 'limits'
            detail = '%s: %s' % (argv[0], error.strerror)  # type: ignore[union-attr]
            if kind == 'limits':
                detail = '%s could not be started: %s' % (argv[0], error.strerror)  # type: ignore[union-attr]
            elif '/' not in argv[0]:
                detail += ' on PATH=%s' % os.environ.get('PATH', os.defpath)
            self.fail(kind, detail)
            return
        program = self.process
        loop = self.home.loop
        self.sources['err'] = Reader(loop, program.stderr, self.listener('err'))
        if program.tty is not None:
            self.sources['tty'] = Reader(loop, os.dup(program.tty), self.listener('tty'))
        held = self.handshake.gate.held
        if held or program.tty is not None:
            start_new_thread(self.attend, ())
        else:
            self.handshake.terminal = False
        for fd in program.stdin, program.stdout:
            try:
                fcntl.fcntl(fd, SET_PIPE_SIZE, ROOM)
            except (IOError, OSError):
                # Another system, or its limit for this user is reached.
                pass
        program.stderr = None
        if held:
            harden(program.stdin)
            # What it hears waits for the lock: so it is known by then.
            self.lock.acquire()
            try:
                self.early = Reader(loop, os.dup(program.stdout), self.listener('out'))
            finally:
                self.lock.release()
        else:
            self.open(EMPTY)

    def open(self, preface):
        # type: (bytes) -> None
        """Join the link to the program, which gets `preface` and what was sent by now in one piece."""
        program = self.process
        self.lock.acquire()
        stdout, program.stdout = program.stdout, None
        stdin, program.stdin = program.stdin, None
        self.lock.release()
        if stdin is None:
            # The program is being ended.
            close([stdout])
            return
        self.link.writing.acquire()
        self.link.queue[:] = [EMPTY.join([preface] + self.link.queue)]
        self.link.writing.release()
        self.link.open(stdout, stdin)

    def hardened(self):
        # type: () -> set[int]
        """Return descriptors that no program inherits: those of the loop, and what links are written to."""
        # No loop of ours goes over them: there may be many, and this is done at each start.
        links = filter(None, list(self.home.router.links.values()))
        found = set(map(written_to, links))
        found.update(list(self.home.loop.watched))
        found.difference_update(NONE)
        return found

    def in_line(self):
        # type: () -> Any
        """Take what was sent by now, in base64, if a command line can hold it."""
        import binascii  # for this alone, and each import delays the first child
        self.link.writing.acquire()
        try:
            data = EMPTY.join(self.link.queue)
            if len(data) > IN_LINE:
                return None
            # Not empty, so that what is sent meanwhile is kept.
            self.link.queue[:] = [EMPTY]
            return binascii.b2a_base64(data).decode('ascii').rstrip()
        finally:
            self.link.writing.release()

    def listener(self, source):
        # type: (str) -> Callable[[bytes], None]
        return lambda data: self.hear(source, data)

    def hear(self, source, data):
        # type: (str, bytes) -> None
        """Take what the program said on `source`."""
        ended = False
        self.lock.acquire()
        try:
            self.heard += 1
            if self.state not in start.UNDECIDED:
                events = []
                if data and source != 'out':
                    if self.watch:
                        self.watch(source, data)
                    self.report('said', source, data)
            elif data:
                if self.watch:
                    self.watch(source, data)
                events = self.entered(self.handshake.feed(source, data))
            else:
                events = []
                if source == 'out':
                    # Its status tells why; the other outputs may still speak.
                    ended = True
        finally:
            self.lock.release()
        self.obey(events)
        if hasattr(self.home, 'backlog') and source in self.sources:
            # No other one: its lock is not held here.
            self.home.backlog.consider(self.sources[source], len(data))
        if ended:
            self.advance(start.CLOSE)
            self.end(None)

    def entered(self, events):
        # type: (list[tuple[Any, ...]]) -> list[tuple[Any, ...]]
        """Write to standard input what is to be typed there; return the other events. The lock is held."""
        for event in events:
            if event[0] == 'enter' and self.process.stdin is not None:
                try:
                    os.write(self.process.stdin, event[1])
                except OSError:
                    # Nobody reads any more: the program's end tells why.
                    pass
        return [event for event in events if event[0] != 'enter']

    def obey(self, events):
        # type: (list[tuple[Any, ...]]) -> None
        for event in events:
            if event[0] == 'type':
                if self.process.tty is not None:
                    os.write(self.process.tty, event[1])
            elif event[0] == 'open':
                if self.state in start.UNDECIDED:
                    # By the thread that reads it, and so has its lock.
                    self.early.close()  # type: ignore[union-attr]
                    self.open(event[1])
            elif event[0] == 'ask':
                self.report('ask', event[1], event[2])
            elif event[0] == 'ready' and self.late:
                self.fail('timeout', self.handshake.detail())
            elif event[0] == 'ready':
                if self.advance(start.MARK)[1] != start.READY:
                    # Another thread has stopped it meanwhile.
                    return
                self.link.receive = self.link.decode
                self.judge = self.link.decoder.accepts  # type: Callable[..., bool]
                bulk.accelerate(self.link, self.home.router, getattr(self.home, 'backlog', None), self.hear_out)
                self.report('ready')
                if self.heartbeat:
                    self.home.attend(self.who, self.link, self.heartbeat)
                if event[1]:
                    self.link.decode(event[1])
            else:
                self.fail(event[1], event[2])

    def attend(self):
        # type: () -> None
        """See when the terminal rests at a question that no table knows."""
        since = 0.0
        while not self.handshake.done and self.state in start.UNDECIDED:
            heard = self.heard
            time.sleep(REST)
            since += REST
            events = []
            self.lock.acquire()
            try:
                if heard != self.heard:
                    since = 0.0
                elif self.handshake.pending(since >= LONG_REST):
                    events = self.entered(self.handshake.rested(since >= LONG_REST))
            finally:
                self.lock.release()
            self.obey(events)

    def answer(self, key, text):
        # type: (str, Any) -> None
        """The controller answers a question."""
        self.lock.acquire()
        try:
            events = self.entered(self.handshake.answer(key, text))
        finally:
            self.lock.release()
        self.obey(events)

    def fail(self, kind, detail):
        # type: (str, str) -> None
        """There will be no child."""
        before, state = self.advance(start.FAIL)
        if state != before:
            self.give_up(kind, detail)

    def give_up(self, kind, detail):
        # type: (str, str) -> None
        """The start has failed, by what this thread did or saw: report that, and end the program."""
        self.link.hang_up()
        if kind in ('no-python', 'broken-python'):
            detail += '\n' + command.tried(self.options.get('python') or None)
        self.report('failed', kind, detail.strip())
        self.end(signal.SIGTERM)

    def lost(self, link, reason):
        # type: (Link, str) -> None
        """The link to a child that was ready has ended."""
        before, state = self.advance(start.LOSE)
        if state != before:
            if self.words and reason[-1:] == repr(EMPTY)[-1:]:
                # As if it had come in one piece.
                reason = reason[:-1] + repr(self.words)[len(repr(EMPTY)) - 1:]
            self.parting = reason
            self.cut = link.bulk is not None and link.bulk.within()
            if not self.end(None):
                # Somebody was about to end it anyway.
                self.report('lost', reason, None, self.cut)

    def hear_out(self):
        # type: () -> None
        """The link is about to end; if it does with what is no frame, hear all of it."""
        link = self.link
        deadline = clock() + MOMENT
        bad = link.decoder.accepts is not self.judge or sys.exc_info()[0] is BadFrame
        while bad and link.fd is not None and len(self.words) < MOST_WORDS:
            try:
                data = os.read(link.fd, MOST_WORDS)
            except OSError:
                if sys.exc_info()[1].args[0] not in TRANSIENT or clock() > deadline:  # type: ignore[union-attr]
                    break
                time.sleep(0.001)
                continue
            if not data:
                break
            self.words += data

    def silent(self, link, interval):
        # type: (Link, float) -> None
        """Nothing is heard of a child that was ready."""
        before, state = self.advance(start.LOSE)
        if state != before:
            link.hang_up()
            self.report('silent', interval)
            self.end(signal.SIGTERM)

    def stop(self):
        # type: () -> None
        """End the child: the end of its input tells it."""
        self.link.hang_up()
        before, state = self.advance(start.STOP)
        if state == start.STOPPING:
            self.end(None)
        elif state != before:
            self.give_up('ended', 'closed while it was starting')

    def expire(self):
        # type: () -> None
        """The time to start is over: the reason is reported."""
        self.late = True
        read = self.state in start.UNDECIDED and self.has_read()
        if not read:
            self.run_out(0)
            return
        # Who waits for the end of what is to be Python's input says now what it has read, or ends.
        self.link.hang_up()
        try:
            start_new_thread(self.run_out, (LAST_WORDS,))
        except RuntimeError:
            self.run_out(0)

    def run_out(self, seconds):
        # type: (float) -> None
        """Give the start up after some seconds, unless it has failed by then."""
        deadline = clock() + seconds
        while self.state in start.UNDECIDED and clock() < deadline:
            time.sleep(0.01)
        before, state = self.advance(start.STOP)
        if state != before:
            self.lock.acquire()
            self.handshake.done, detail = True, self.handshake.detail()
            self.lock.release()
            self.give_up('timeout', detail)

    def has_read(self):
        # type: () -> bool
        """Has the program read all that was written for the child? Where nobody can tell, it has."""
        self.link.writing.acquire()
        try:
            if self.link.out < 0 or self.link.queue:
                return False
            return not unread(self.link.out)
        finally:
            self.link.writing.release()

    def end(self, signum):
        # type: (int | None) -> bool
        """See to it, in a thread of its own if one is to be had, that the program ends; False if one does."""
        # Now, for soon nobody knows any more what is below.
        self.levels = self.levels or min(MOST_LEVELS, self.home.height(self.who))
        self.lock.acquire()
        first, self.ending = not self.ending, True
        if first:
            self.signum = signum
        first = first and self.begun
        self.lock.release()
        if first:
            self.bury_apart(signum)
        return first

    def bury_apart(self, signum):
        # type: (int | None) -> None
        """
        Wait for the program in a thread of its own; in this one, if no thread is to be had.

        None is where the limit of processes is reached.  Nor does Python 3.12 start one when the
        program has come to its end, and that is when contexts end that the program forgot to end.
        """
        try:
            start_new_thread(self.bury, (signum,))
        except RuntimeError:
            self.bury(signum)

    def hurry(self, patience):
        # type: (float) -> None
        """We end ourselves: have `patience` with the program, and no more."""
        self.patience, self.firmness = patience, BRISKLY

    def tell(self):
        # type: () -> None
        """Report that the link has ended, and what the program says of it, if it does."""
        deadline = clock() + STATUS
        pause = 0.0005
        while self.process.poll() is None and clock() < deadline:
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        self.report('lost', self.parting, self.process.poll(), self.cut)

    def wait_for(self, step):
        # type: (int) -> float
        """Return for how many seconds to wait for the end of the program, at first and from step 1 on."""
        if step:
            return self.firmness
        return self.patience + self.levels

    def bury(self, signum):
        # type: (int | None) -> None
        """Wait for the program; make it end if it does not; let go of all."""
        status, forced = None, False
        program = self.process
        if self.parting is not None:
            self.tell()
        if program and self.early:
            # Still ours, if the child never began: a program that waits for an answer reads the end.
            self.lock.acquire()
            stdin, program.stdin = program.stdin, None
            self.lock.release()
            close([stdin])
        if program:
            for step, number in enumerate((signum, signal.SIGTERM, signal.SIGKILL)):
                if number and program.poll() is None:
                    program.kill(number)
                    forced = True
                began = clock()
                pause = 0.0005
                while program.poll() is None and clock() < began + self.wait_for(step):
                    time.sleep(pause)
                    pause = min(2 * pause, 0.05)
            status = program.poll()
        readers = list(self.sources.values())
        for reader in readers:
            # All it said is in the pipes; take it before they are closed.
            for _ in range(64):
                if reader.fd is not None:
                    reader.ready(reader.fd)
        if self.state == start.CLOSED:
            told = status
            if forced:
                told = None
            self.lock.acquire()
            try:
                kind, detail = self.handshake.ended(told, self.late)
            finally:
                self.lock.release()
            self.fail(kind, detail)
        if self.early:
            readers.append(self.early)
        for reader in readers + [self.link]:
            reader.lock.acquire()
            try:
                if hasattr(self.home, 'backlog'):
                    self.home.backlog.forget(reader)
                reader.close()
            finally:
                reader.lock.release()
        self.link.hang_up()
        if program:
            program.close()
        self.advance(start.BURY)
        self.report('buried', status)


def unread(fd):
    # type: (int) -> int
    """Return how many bytes of those written to pipe `fd` nobody has read; none, where the system does not tell."""
    try:
        import termios  # for this alone, and some installations have none
        return struct.unpack('i', fcntl.ioctl(fd, termios.FIONREAD, struct.pack('i', 0)))[0]  # type: ignore[no-any-return]
    except (ImportError, AttributeError, IOError, OSError):
        return 0
