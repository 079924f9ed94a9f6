"""
Start children, and stay with them until their programs have ended.

The same code serves the controller and every context that starts another.

Invariants:

* Whatever happens, the one who asked hears of it once: ready, or failed with a
  kind and a detail; and once it was ready, that it was lost.
* What is sent to a child before it is ready waits in its link, in order.
* A program that was started is waited for, whatever becomes of the child; one
  that does not end by itself is made to.

``Child`` objects of ``core.main`` and the controller's broker are *homes*: they
have ``loop``, ``router`` and ``preamble``.  A Birth is entered by the thread that
leads and by threads of its own; ``lock`` keeps them apart.
"""
import binascii
import errno
import fcntl
import marshal
import os
import signal
import sys
import time
try:
    from _thread import allocate_lock, start_new_thread
except ImportError:
    from thread import allocate_lock, start_new_thread

from econtext.core import bulk
from econtext.core.codec import encode
from econtext.core.loop import Reader
from econtext.core.wire import DEAD, EMPTY, MARK, REPORT, STOP, TYPED
from econtext.parent import process
from econtext.parent.handshake import ASK, Handshake

REST = 0.1          # seconds of silence after which a terminal waits for us
PATIENCE = 3.0      # seconds a program has to end once its link has
SET_PIPE_SIZE = 1031    # F_SETPIPE_SZ of Linux, which fcntl knows since 3.10
IN_LINE = 90000     # bytes: in base64 below what one argument may have, 128 KiB
ROOM = 1 << 20      # bytes in a pipe: fewer turns between two processes
clock = getattr(time, 'monotonic', time.time)


class Birth(object):
    """One child, from the start of a program to its end."""

    def __init__(self, home, link, connector, options, answers, report):
        # type: (Any, Link, Any, dict[str, Any], dict[str, Any], Callable[..., Any]) -> None
        self.home = home
        self.link = link
        self.connector = connector
        self.options = options
        self.report = report
        self.lock = allocate_lock()
        self.handshake = Handshake(
            MARK, connector.PROMPTS, connector.FAILURES, answers,
            lacking=connector.lacking(options))
        self.process = None  # type: Any
        self.ready = False
        self.over = self.ending = self.begun = False
        self.signum = None  # type: Optional[int]
        self.heard = 0
        self.readers = []
        link.owner = self
        link.receive = self.listener('out')

    def begin(self):
        # type: () -> None
        """Start the program, if nobody stopped it yet; what follows is reported."""
        try:
            if not self.over:
                self.launch()
        finally:
            self.lock.acquire()
            self.begun, late = True, self.ending
            self.lock.release()
            if late:
                start_new_thread(self.bury, (self.signum,))

    def launch(self):
        # type: () -> None
        if self.options.get('one_trip'):
            argv, tty, environ = self.connector.plan(self.options, self.in_line())
        else:
            argv, tty, environ = self.connector.plan(self.options)
        try:
            self.process = process.spawn(argv, tty, environ)
        except OSError:
            error = sys.exc_info()[1]
            kind = 'ended'
            if error.errno in (errno.ENOENT, errno.EACCES, errno.ENOEXEC):
                kind = self.connector.MISSING
            self.fail(kind, '%s: %s' % (argv[0], error.strerror))
            return
        program = self.process
        loop = self.home.loop
        self.readers.append(Reader(loop, program.stderr, self.listener('err')))
        if program.tty is not None:
            self.readers.append(Reader(
                loop, os.dup(program.tty), self.listener('tty')))
            start_new_thread(self.attend, ())
        for fd in program.stdin, program.stdout:
            try:
                fcntl.fcntl(fd, SET_PIPE_SIZE, ROOM)
            except (IOError, OSError):
                # Another system, or its limit for this user is reached.
                pass
        stdout, program.stdout = program.stdout, None
        stdin, program.stdin = program.stdin, None
        program.stderr = None
        self.link.writing.acquire()
        # What was sent by now goes out in one piece.
        self.link.queue[:] = [EMPTY.join(self.link.queue)]
        self.link.writing.release()
        self.link.open(stdout, stdin)

    def in_line(self):
        # type: () -> Any
        """Take what was sent by now, in base64, if a command line can hold it."""
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
            if self.ready or self.over:
                events = []
                if data and source != 'out':
                    self.report('said', source, data)
            elif data:
                events = self.handshake.feed(source, data)
            else:
                events = []
                if source == 'out':
                    # Its status tells why; the other outputs may still speak.
                    ended = True
        finally:
            self.lock.release()
        self.obey(events)
        if ended:
            self.end(None)

    def obey(self, events):
        # type: (list[tuple[Any, ...]]) -> None
        for event in events:
            if event[0] == 'type':
                if self.process.tty is not None:
                    os.write(self.process.tty, event[1])
            elif event[0] == 'ask':
                self.report('ask', event[1], event[2])
            elif event[0] == 'ready':
                self.ready = True
                self.link.receive = self.link.decode
                bulk.accelerate(self.link)
                self.report('ready')
                if event[1]:
                    self.link.decode(event[1])
            else:
                self.fail(event[1], event[2])

    def attend(self):
        # type: () -> None
        """See when the terminal rests at a question that no table knows."""
        while not (self.handshake.done or self.over):
            heard = self.heard
            time.sleep(REST)
            events = []
            self.lock.acquire()
            try:
                if heard == self.heard and self.handshake.pending():
                    events = self.handshake.rested()
            finally:
                self.lock.release()
            self.obey(events)

    def answer(self, key, text):
        # type: (str, Any) -> None
        """The controller answers a question."""
        self.lock.acquire()
        try:
            events = self.handshake.answer(key, text)
        finally:
            self.lock.release()
        self.obey(events)

    def fail(self, kind, detail):
        # type: (str, str) -> None
        """There will be no child."""
        if not self.over:
            self.over = True
            self.link.hang_up()
            self.report('failed', kind, detail)
            self.end(signal.SIGTERM)

    def lost(self, link, reason):
        # type: (Link, str) -> None
        """The link to a child that was ready has ended."""
        if not self.over:
            self.over = True
            self.report('lost', reason)
            self.end(None)

    def stop(self):
        # type: () -> None
        """End the child: the end of its input tells it."""
        self.link.hang_up()
        if self.ready:
            self.end(None)
        else:
            self.fail('ended', 'closed while it was starting')

    def end(self, signum):
        # type: (Optional[int]) -> None
        """See to it, in a thread of its own, that the program ends."""
        self.lock.acquire()
        first, self.ending = not self.ending, True
        if first:
            self.signum = signum
        first = first and self.begun
        self.lock.release()
        if first:
            start_new_thread(self.bury, (signum,))

    def bury(self, signum):
        # type: (Optional[int]) -> None
        """Wait for the program; make it end if it does not; let go of all."""
        status = None
        program = self.process
        if program:
            for number, patience in (
                    (signum, PATIENCE), (signal.SIGTERM, 1.0), (signal.SIGKILL, 1.0)):
                if number and program.poll() is None:
                    program.kill(number)
                deadline = clock() + patience
                pause = 0.0005
                while program.poll() is None and clock() < deadline:
                    time.sleep(pause)
                    pause = min(2 * pause, 0.05)
            status = program.poll()
        for reader in self.readers:
            # All it said is in the pipes; take it before they are closed.
            for _ in range(64):
                if reader.fd is not None:
                    reader.ready(reader.fd)
        if not (self.ready or self.over):
            self.lock.acquire()
            try:
                kind, detail = self.handshake.ended(status)
            finally:
                self.lock.release()
            self.fail(kind, detail)
        for reader in self.readers + [self.link]:
            reader.lock.acquire()
            try:
                reader.close()
            finally:
                reader.lock.release()
        self.link.hang_up()
        if program:
            program.close()
        self.report('buried', status)


def lose(router, link, reason=EMPTY):
    # type: (Router, Link, bytes) -> list[int]
    """Forget what lies behind `link`; wake all who wait for an answer from there."""
    gone = [who for who in list(router.links) if router.links[who] is link]
    for who in gone:
        router.links.pop(who, None)
    for handle, asked in list(router.asked.items()):
        if asked[0] in gone:
            router.answer(asked[0], handle, DEAD, reason)
    return gone


class Nursery(object):
    """The children of a context that is not the controller."""

    def __init__(self, child):
        # type: (Child) -> None
        self.child = child
        self.births = {}
        # Those to be stopped before they were begun.
        self.stopped = []  # type: list[int]
        child.router.handle({STOP: self.stop, TYPED: self.typed})

    def start(self, link, src, who, body):
        # type: (Link, int, int, bytes) -> None
        name, options, answers, asked = marshal.loads(body)
        for key in asked:
            answers[key] = ASK

        def report(event, *details):
            # type: (str, Any) -> None
            if event in ('failed', 'lost', 'buried'):
                lose(self.child.router, link)
            if event == 'buried':
                self.births.pop(who, None)
            self.child.router.send(REPORT, src, who, encode((event,) + details))
        birth = Birth(self.child, link, connector(name), options, answers, report)
        self.child.link.lock.acquire()
        self.births[who] = birth
        self.child.link.lock.release()
        if who in self.stopped:
            self.stopped.remove(who)
            birth.stop()
        birth.begin()

    def stop(self, src, who, body):
        # type: (int, int, bytes) -> None
        if who in self.births:
            self.births[who].stop()
        elif who in self.child.router.links:
            self.stopped.append(who)

    def typed(self, src, who, body):
        # type: (int, int, bytes) -> None
        if who in self.births:
            self.births[who].answer(*marshal.loads(body))


def connector(name):
    # type: (str) -> Any
    """Return the connector module `name`."""
    module = 'econtext.connectors.' + name
    __import__(module)
    return sys.modules[module]


def start(child, *request):
    # type: (Child, Any) -> None
    """Start a child of `child`."""
    # What comes from above meanwhile waits, and so does another start.
    child.link.lock.acquire()
    try:
        if not hasattr(child, 'nursery'):
            child.nursery = Nursery(child)
    finally:
        child.link.lock.release()
    try:
        child.nursery.start(*request)
    except:
        error = sys.exc_info()
        detail = '%s: %s' % (error[0].__name__, error[1])
        for report in ('failed', 'ended', detail), ('buried', None):
            child.router.send(REPORT, request[1], request[2], encode(report))
