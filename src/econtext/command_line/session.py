"""
A program that runs in a context with our own streams: a terminal or pipes, signals, and its exit status.

The strategy: ``child.sessions`` in the context of the host holds the near ends of the streams; a script runs in a
second context beside that one, which opens the far ends, so that whatever the script does, even its death, costs no
output.

Invariants:

* A handler of a signal only notes the signal: a thread sends it on.  The third Ctrl-C leaves at once.
* A process of the session server starts no thread for a command: on a busy machine a new one waits for milliseconds.
* Our own terminal is as it was before, however the session ends.
* Once our own terminal is closed, this process ends within LEFT seconds, whatever it waits for, and whatever the
  program does.  Only a session without a terminal of its own goes on, if SIGHUP is ignored here (``nohup``).
* No signal is lost that comes before the program is there.
* A program whose time is over is told to end, and killed GRACE seconds later, as a command of ``exec`` is.

Entered by the main thread; sessions of many hosts by a thread each.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import queue
import select
import signal
import struct
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import econtext
from econtext.child import running as tags
from econtext.child import scripts, sessions
from econtext.child.transfer import as_bytes
from econtext.command_line import output
from econtext.command_line.connecting import WARM, end_beside, start_beside
from econtext.controller.commands.running import STREAMS, Command

BLOCK = 1 << 15
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
LEAVES = 3      # so many times Ctrl-C leaves at once
LEFT = 5.0      # seconds that a program has to end once our terminal is closed

Sink = Callable[[str, bytes], object]


class Thread:
    """A thread that does what it is given, one thing after the other, until its end. It waits without being woken."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        threading.Thread(target=self.work, name='econtext session', daemon=True).start()

    def work(self) -> None:
        while (task := self.queue.get()) is not None:
            task()

    def do(self, task: Callable[[], object]) -> None:
        """Have `task` done behind what was given before. Handlers of signals may enter."""
        self.queue.put(task)

    def end(self) -> None:
        """Let the thread end behind what it was given."""
        self.queue.put(None)


#: Threads that wait for a command: those of a process of the session server; see ``prepare_threads``.
PREPARED: list[Thread] = []
WANTED = 4      # threads of a command with a program: for signals, for the terminal, for its input, and for its end


def prepare_threads() -> None:
    """Have the threads ready that a command is going to want."""
    PREPARED.extend(Thread() for _ in range(WANTED - len(PREPARED)))


def take_thread() -> Thread:
    """Return a thread that waits; who takes it ends it."""
    return PREPARED.pop() if PREPARED else Thread()


def in_thread(task: Callable[[], object]) -> None:
    """Have `task` done by a thread that ends with it."""
    thread = take_thread()
    thread.do(task)
    thread.end()


class Terminal:
    """Our own terminal, or None in its place: how large it is, and raw while a session has it."""

    @staticmethod
    def size() -> tuple[int, int]:
        """Return rows and columns."""
        try:
            rows, columns, _, _ = struct.unpack('HHHH', fcntl.ioctl(0, termios.TIOCGWINSZ, b'\0' * 8))
        except OSError:
            return 24, 80
        return rows or 24, columns or 80

    @staticmethod
    @contextlib.contextmanager
    def raw() -> Iterator[None]:
        """Pass each key on as it is typed."""
        before = termios.tcgetattr(0)
        try:
            # What was typed already is for the program there, as with ssh.
            tty.setraw(0, termios.TCSADRAIN)
            yield
        finally:
            # It may be closed.
            with contextlib.suppress(termios.error):
                termios.tcsetattr(0, termios.TCSADRAIN, before)

    @staticmethod
    def own() -> int | None:
        """Return the first of our standard streams that is a terminal; None if none is."""
        return next((fd for fd in range(3) if os.isatty(fd)), None)


class Controls:
    """Sends what happens here to each session that runs: signals, and another size of the terminal."""

    def __init__(self, sized: bool) -> None:
        self.lock: threading.Lock = threading.Lock()
        self.channels: list[Any] = []
        #: The signals so far, for channels that are added later.
        self.sent: list[Any] = []
        self.sized = sized
        # The watch of our terminal ends when this is closed.
        self.watching: int | None = None
        self.interrupts: int = 0
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Controls:
        self.thread: Thread = take_thread()
        for number in (*PASSED_ON, *([signal.SIGWINCH] if self.sized else [])):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self.before[number] = signal.signal(number, self.note)
        terminal = Terminal.own()
        if terminal is not None and (self.sized or signal.SIGHUP in self.before):
            over, self.watching = os.pipe()
            in_thread(functools.partial(self.watch, terminal, over))
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        # Not before: a hangup counts for the watch if SIGHUP was caught, and from now on SIGHUP ends this process.
        if self.watching is not None:
            os.close(self.watching)
        self.thread.end()

    def watch(self, terminal: int, over: int) -> None:
        """Wait until `terminal` is closed, or the other end of `over`; after the former end this process."""
        poller = select.poll()
        for fd in terminal, over:
            # A hangup is told in any case.
            poller.register(fd, 0)
        found = dict(poller.poll())
        os.close(over)
        if found.get(terminal, 0) & select.POLLHUP:
            if (sessions.SIGNAL, 'SIGHUP') not in self.sent:
                # It is ignored here, or goes to another process alone.
                self.pass_on(signal.SIGHUP)
            time.sleep(LEFT)
            os._exit(128 + signal.SIGHUP)

    def note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            self.interrupts += 1
            if self.interrupts >= LEAVES:
                raise KeyboardInterrupt
        self.thread.do(functools.partial(self.pass_on, signal.Signals(number)))

    def pass_on(self, number: signal.Signals) -> None:
        message: Any = (sessions.SIGNAL, number.name)
        if number == signal.SIGWINCH:
            message = (sessions.SIZE, Terminal.size())
        with self.lock:
            channels = list(self.channels)
            if number != signal.SIGWINCH:
                self.sent.append(message)
        for channel in channels:
            with contextlib.suppress(econtext.EcontextError):
                channel.send(message)

    def add(self, channel: Any) -> None:
        """Send to `channel` from now on, and what has come before."""
        with self.lock:
            self.channels.append(channel)
            messages = list(self.sent)
        if self.sized:
            messages.append((sessions.SIZE, Terminal.size()))
        for message in messages:
            with contextlib.suppress(econtext.EcontextError):
                channel.send(message)


class Limit:
    """Ends the program of a session once its time is over; for ever, without an end, if that is None."""

    def __init__(self, control: Any, seconds: float | None) -> None:
        self.control = control
        self.seconds = seconds
        self.passed: bool = False
        self.over: threading.Event = threading.Event()

    def __enter__(self) -> Limit:
        if self.seconds is not None:
            # With the session server, too: who wants that has time for a thread.
            threading.Thread(target=self.wait, args=(self.seconds,), name='econtext session', daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()

    def wait(self, seconds: float) -> None:
        for number, pause in (signal.SIGTERM, seconds), (signal.SIGKILL, tags.GRACE):
            if self.over.wait(min(pause, threading.TIMEOUT_MAX)):
                return
            self.passed = True
            with contextlib.suppress(econtext.EcontextError):
                self.control.send((sessions.SIGNAL, number.name))

    def check(self) -> None:
        """Raise CallTimeout if the time was over."""
        if self.passed:
            raise econtext.CallTimeout(late(self.seconds))


@contextlib.contextmanager
def only(host: str) -> Iterator[None]:
    """Have `host`, the only one of the command, named where its time was over."""
    try:
        yield
    except econtext.CallTimeout as error:
        raise econtext.CallTimeout(f'{host}: {error}') from None


def late(seconds: float | None) -> str:
    """Return what is told of a program whose time was over."""
    return f'ended after --timeout {seconds:g}'


def feed(data: Any, reads: bool) -> None:
    """Send what there is on standard input to a session, as it comes."""
    with contextlib.suppress(econtext.EcontextError):
        # A terminal that is closed cannot be read: that is an end, too.
        with contextlib.suppress(OSError):
            while reads and (piece := os.read(0, BLOCK)):
                data.send(piece)
        data.send(b'')


def hear(data: Any, sink: Sink) -> None:
    """Hand what a session prints to `sink` until all of that is here."""
    for message in data:
        piece = as_bytes(message) if isinstance(message, (bytes, str)) else b''
        if piece == sessions.CLOSED:
            return
        if piece[:1] not in STREAMS:
            raise econtext.CorruptStream('a session sent output of no kind')
        sink(STREAMS[piece[:1]], piece[1:])


def start_input(data: Any, reads: bool) -> None:
    if reads:
        in_thread(functools.partial(feed, data, True))
    else:
        feed(data, False)


def run_command(
    context: econtext.Context, request: Any, sink: Sink, controls: Controls, reads: bool
) -> int:
    """Run a command in a terminal of its own; return its status as `subprocess` has it. Raise CallTimeout."""
    data, control = context.channel(), context.channel()
    options = {**request.options, 'size': Terminal.size()}
    served = context.submit(sessions.serve, data, control, request.words, options)
    controls.add(control)
    with Limit(control, request.timeout) as limit:
        start_input(data, reads)
        hear(data, sink)
        answer = served.result()
    limit.check()
    if answer[0] != 'done':
        raise Command.refusal(Named(context), *answer)  # type: ignore[arg-type]
    return int(answer[1])


class Named:
    """What ``Command.refusal`` needs of a command."""

    def __init__(self, home: Any) -> None:
        self.home = home


def run_program(
    context: econtext.Context, begin: Callable[[econtext.Context], Any], sink: Sink, controls: Controls,
    terminal: bool, reads: bool, timeout: float | None = None,
) -> Any:
    """
    Run what `begin` submits to a context of its own; return what it returns.

    A program that ended without an answer, by a signal or by ``os._exit()``, raises Ended; one whose time was over
    CallTimeout.
    """
    far = take_prepared(context, terminal)
    beside = start_beside(context) if far is None else far.beside
    try:
        if far is None:
            far = FarStreams(context, beside, terminal)
        # At once behind the opening of its streams, which saves a trip: without these it would not begin.
        program = begin(beside)
        far.control.send((sessions.OPENED, far.opened.result()))
        controls.add(far.control)
        # No callback of the program: the thread that runs callbacks would be started for that.
        in_thread(functools.partial(far.close_behind, program))
        with Limit(far.control, timeout) as limit:
            start_input(far.data, reads)
            hear(far.data, sink)
            far.end()
            try:
                value = program.result()
            except econtext.ContextLost:
                status = beside._node.exit_status
                if status is None or far.near._node.error is not None:
                    raise
                limit.check()
                raise Ended(status) from None
        limit.check()
        return value
    finally:
        end_beside(beside)


class FarStreams:
    """The streams of a program of `beside`, whose near ends are in `near`; no program has them yet."""

    def __init__(self, near: econtext.Context, beside: econtext.Context, terminal: bool) -> None:
        self.near: econtext.Context = near
        self.beside: econtext.Context = beside
        self.data: Any = near.channel()
        self.control: Any = near.channel()
        self.served: Any = near.submit(
            sessions.serve, self.data, self.control, None, {'size': Terminal.size() if terminal else None})
        try:
            names = self.control.get()
        except EOFError:
            # The call that has the channel tells why.
            self.served.result()
            raise
        kind = os.environ.get('TERM', 'dumb') if terminal else None
        self.opened: Any = beside.submit(scripts.open_streams, names, kind)

    def close_behind(self, program: Any) -> None:
        """Wait for the end of the program: what others leave in its streams is not waited for any longer."""
        with contextlib.suppress(Exception):
            program.exception()
        self.control.close()

    def end(self) -> None:
        """Wait for the end of the session, unless the context ends with this process."""
        if not WARM:
            self.served.result()


def take_prepared(context: econtext.Context, terminal: bool) -> FarStreams | None:
    """Return the streams that the session server has made ready for a program of `context` itself, if there are any."""
    found: FarStreams | None = WARM[0].streams(context) if WARM and not terminal else None
    return found


class Ended(Exception):
    """A program ended without an answer, with this status of its process."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        # A core that was written counts for nothing here.
        self.status: int = 128 + (-status & 127) if status < 0 else status


def can_have_terminal(wanted: bool) -> bool:
    """Is a terminal wanted, and standard input one? Say so if it is not."""
    if wanted and not os.isatty(0):
        sys.stderr.write('econtext: no terminal there, since standard input is none here\n')
        return False
    return wanted


def with_own_streams(terminal: bool) -> contextlib.ExitStack:
    """Return what gives a session our terminal."""
    stack = contextlib.ExitStack()
    if terminal:
        stack.enter_context(Terminal.raw())
    return stack


def own(stream: str, data: bytes) -> None:
    """Write what a session prints to our own output."""
    output.write(stream, data)


assert tags.OUT in STREAMS, 'sessions speak as commands do'
