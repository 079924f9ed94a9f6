"""
What contexts print and log, as records of the controller's ``logging``.

Each context has a logger, ``econtext.ctx.NAME``.  A printed line is an INFO
record ``stdout: …`` or ``stderr: …``; a record logged there is one here, with the
name of its logger in front and as ``record.remote_name``.  Where the program has set up no
logging, ``runtime.log`` says what shows.

The strategy: what arrives waits in the queue of its context, no more than the
context has credit for.  It is handled line by line, in order, by whoever waits for that
context, or else as an event of the loop, some at a time: a handler that calls the context
again has the rest of the lines handled before that call returns.  As lines are handled,
credit is granted again; so a slow handler slows those who print, and costs no memory.
A piece counts by its bytes and by its lines, for each line is a record.

Invariants:

* In a notebook lines show below the cell that called the context last, whatever thread handles them: a kernel of
  Jupyter tells the cell by a variable of the thread or task, which is taken along.
* No line is lost, torn or out of order within its stream; one longer than
  LONGEST comes in pieces.  At the end of a context there is a time by which handlers
  must have taken its lines; how many were dropped then is told.
* Who has an answer has handled what came before it, and nothing else; whoever has a
  deadline has others handle that, and goes at the deadline.
* What waits here is at most the window and one piece, see ``child.flow``; a
  context that sends more is ended.
* No control character of theirs reaches a terminal through us, and no line of
  theirs but a record's first begins at the margin, where it could be taken for
  another record.

``put``, ``settle`` and ``finish`` are entered by any thread, ``charge`` by the thread that
leads, all else by one thread at a time, which holds ``lock``.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from econtext.child.flow import COST, WINDOW, weight
from econtext.controller.errors import show_exception
from econtext.controller.runtime import loggers
from econtext.controller.runtime.deadlines import Expired
from econtext.controller.runtime.log import say, show, shows_lines, takes
from econtext.controller.runtime.signals import by_signal, interruptible, let_signals_run
from econtext.controller.session.charges import CHARGES
from econtext.controller.text import MARGIN, harmless, indented
from econtext.core.wire import REPORT, BadFrame

if TYPE_CHECKING:
    import contextvars

    from econtext.controller.runtime.loop import ControllerLoop
    from econtext.controller.runtime.waiting import Wait

LONGEST = 1 << 20   # bytes
SLICE = 0.05    # seconds that lines of one context are handled in one go
MOMENT = 0.1    # seconds after which who waits for another thread sees to Ctrl-C
NESTED = 0.5    # seconds that the thread of a handler waits for another such
SLACK = 1 << 18     # bytes that a child may print before it knows of its window
STREAMS = {1: 'stdout', 2: 'stderr'}


def variables() -> contextvars.Context:
    """Return the variables of the task, or thread, that calls this."""
    import contextvars  # notebooks alone need them

    return contextvars.copy_context()


class Allowance:
    """
    What one context may send, and when to grant it more.  Pure.

    Each number has one writer: the thread that leads, or the one that handles.
    """
    came: int
    granted: int
    owed: int

    def __init__(self, window: int) -> None:
        self.window = window
        self.came = self.granted = self.owed = 0
        #: Was it held back since it last kept up?
        self.pressed: bool = False

    def left(self) -> int:
        """Return the bytes that the context may still send, as far as is known here."""
        return self.window + self.granted - self.came

    def charge(self, size: int) -> None:
        """A piece of `size` bytes has come; raise BadFrame if it may not."""
        left = self.left()
        if left + SLACK <= 0:
            raise BadFrame('more output than it was granted')
        self.came += size + COST
        if left <= size + COST:
            self.pressed = True
        elif left * 2 > self.window:
            self.pressed = False

    def is_pressed(self) -> bool:
        """Is it held back, as far as is known here? Who was, and was granted room since, would have gone on."""
        return self.pressed and self.left() * 2 <= self.window

    def handled(self, cost: int) -> int:
        """So much was handled: return how much to grant now, or nothing yet."""
        self.owed += cost
        if self.owed * 4 < self.window:
            return 0
        grant, self.owed = self.owed, 0
        self.granted += grant
        return grant


class Lines:
    """The records of one context; `grant` sends it credit."""
    told: int
    untold: int

    def __init__(
        self, name: str, loop: ControllerLoop, grant: Callable[[int], object], window: int = WINDOW
    ) -> None:
        self.logger: logging.Logger = loggers.borrow(f'econtext.ctx.{name}')
        self.loop = loop
        self.grant = grant
        self.allowance: Allowance = Allowance(window)
        #: The variables of the task, or thread, that called last; None where this is no notebook.
        self.cell: contextvars.Context | None = variables() if 'ipykernel' in sys.modules else None
        self.partial: dict[int, bytes] = {}
        # What has come: how to handle it, what it cost, and how many lines it has.
        self.queue: collections.deque[tuple[Callable[[], object], int, int]] = collections.deque()
        self.begun: int = 0      # how many of them were taken out of the queue
        self.running: int = 0    # how many of those are not handled yet
        # Held by the thread that handles them, which `holder` says.
        self.lock: threading.RLock = threading.RLock()
        self.holder: int = 0
        self.wanted: int = 0     # threads that wait for `lock`
        self.posted: bool = False     # is the event among the loop's?
        # Who waits until so many were begun and handled.
        self.watchers: list[tuple[int, Wait]] = []
        # What the program that starts the context says, in what it costs: come, handled; in bytes: left out.
        self.told = self.shown = self.untold = 0
        # Complete lines of what is being handled: (stream, line, what to grant then).
        self.lines: collections.deque[tuple[int, bytes, int]] = collections.deque()

    def put(self, action: Callable[[], object], cost: int = 0, lines: int = 0) -> None:
        """Have `action` run, behind all that was put before, and `cost` bytes granted then."""
        self.queue.append((action, cost, lines))
        if not self.holder:
            self.loop.summon(self)

    def is_due(self, me: int) -> bool:
        """Is there something that thread `me` may handle now?"""
        return bool(self.queue or self.lines) and self.holder in (0, me)

    def handle(self) -> None:
        """Handle some of what has come, unless another thread does."""
        if self.lock.acquire(blocking=False):
            before = self.begin()
            try:
                self.drain(None, time.monotonic() + SLICE, polite=True)
            finally:
                self.stop(before)

    def turn(self) -> None:
        """Handle some of what has come, and have the rest handled: the loop's event."""
        self.posted = False
        self.handle()
        self.pass_on()

    def pass_on(self) -> None:
        """Have what is left handled by whoever may."""
        if self.is_due(0):
            self.loop.summon(self)

    def mark(self) -> int:
        """Return what to give to ``settle`` for all that has come by now."""
        waits = len(self.queue)
        return waits + self.begun

    def is_open(self, mark: int) -> bool:
        """Is something that came before `mark` not handled yet?"""
        # In this order, which is that of its way: what has left one of them is in the next.
        if self.begun > mark or not (self.queue or self.running or self.lines):
            return False
        return self.begun < mark or bool(self.lines or self.running)

    def settle(self, mark: int, deadline: float | None = None) -> None:
        """
        Return when what came before `mark` is handled; raise Expired at `deadline`.

        Any thread that does not lead.  One that has a deadline handles nothing itself, unless
        no thread is there that would: the handlers are the program's, and take their time.
        """
        if self.loop.parted:
            # Nobody handles anything any more.
            return
        try:
            if self.is_open(mark):
                if deadline is None or threading.get_ident() in self.loop.busy:
                    if self.take():
                        before = self.begin()
                        try:
                            self.drain(mark, deadline)
                        finally:
                            self.stop(before)
                    if deadline is not None and (self.lines or self.begun < mark) and self.is_open(mark):
                        raise Expired
                else:
                    self.await_others(mark, deadline)
        finally:
            # Also where a handler raised, or the time was over.
            self.pass_on()

    def await_others(self, mark: int, deadline: float) -> None:
        wait = self.loop.waiter(deadline)
        watcher = mark, wait
        self.watchers.append(watcher)
        try:
            self.pass_on()
            if self.is_open(mark):
                if not self.loop.has_event_threads():
                    wait.own = (self,)
                self.loop.wait(wait)
        finally:
            with contextlib.suppress(ValueError):
                self.watchers.remove(watcher)

    def finish(self, deadline: float) -> None:
        """No more will come: have what is left handled until `deadline`, then drop lines, and tell how many."""
        try:
            self.settle(self.mark(), deadline)
        except Expired:
            dropped = self.drop()
            if dropped:
                self.put(lambda: say(
                    self.logger, logging.WARNING,
                    '%d lines were dropped: handlers of logging had not taken them when the time to close was over',
                    dropped))
                with contextlib.suppress(Expired):
                    self.settle(self.mark(), time.monotonic() + SLICE)

    def drop(self) -> int:
        """Drop the lines that wait, and keep all else; return how many lines there were."""
        dropped, kept = 0, []
        with contextlib.suppress(IndexError):
            while True:
                self.lines.popleft()
                dropped += 1
        with contextlib.suppress(IndexError):
            while True:
                item = self.queue.popleft()
                self.begun += 1
                dropped += item[2]
                if not item[2]:
                    kept.append(item)
        for item in kept:
            self.begun -= 1
            self.queue.append(item)
        return dropped

    # By the thread that holds the lock.

    def take(self) -> bool:
        """
        Take the lock, from who handles lines if need be.

        False for the thread of a handler, if no line is handled for NESTED seconds: who has the lock
        may wait for that very handler; and once nobody handles anything any more.
        """
        if self.lock.acquire(blocking=False):
            return True
        nested = threading.get_ident() in self.loop.busy or self.is_in_handler()
        since, seen = time.monotonic(), (self.begun, len(self.lines))
        self.wanted += 1
        try:
            while not self.lock.acquire(timeout=MOMENT):
                let_signals_run()
                if seen != (self.begun, len(self.lines)):
                    since, seen = time.monotonic(), (self.begun, len(self.lines))
                if self.loop.parted or (nested and time.monotonic() - since > NESTED):
                    return False
        finally:
            self.wanted -= 1
        return True

    def is_in_handler(self) -> bool:
        """Does this thread run a handler that lines go to, for a record of the program's own?"""
        logger: logging.Logger | None = self.logger
        while logger is not None:
            for handler in logger.handlers:
                if getattr(handler.lock, '_is_owned', bool)():
                    return True
            logger = logger.parent if logger.propagate else None
        return False

    def disown(self) -> None:
        """This process was forked: whoever handled lines is not here, and they are the other process's."""
        self.queue.clear()
        self.lines.clear()
        self.watchers.clear()
        self.running = self.holder = self.wanted = 0
        self.lock = threading.RLock()

    def begin(self) -> int:
        """The lock was taken: note that; return who held it before, this thread or none."""
        me = threading.get_ident()
        before, self.holder = self.holder, me
        busy = self.loop.busy
        busy[me] = (*busy.get(me, ()), self)
        return before

    def stop(self, before: int) -> None:
        me, busy = threading.get_ident(), self.loop.busy
        rest = busy.get(me, ())[:-1]
        if rest:
            busy[me] = rest
        else:
            busy.pop(me, None)
        self.holder = before
        self.lock.release()
        if self.watchers:
            self.tell()

    def tell(self) -> None:
        for mark, wait in list(self.watchers):
            if not self.is_open(mark):
                self.loop.finish(wait)

    def drain(self, mark: int | None, until: float | None, polite: bool = False) -> None:
        """Handle what came before `mark`, until that time; if `polite`, leave the rest to who wants to."""
        while self.lines or self.queue:
            if mark is not None and (self.begun > mark or (self.begun == mark and not self.lines)):
                break
            if (polite and self.wanted) or (until is not None and time.monotonic() >= until):
                break
            self.running += 1
            try:
                if self.cell is not None:
                    # A copy: another thread may be within this one.
                    self.cell.copy().run(self.handle_next, until, polite)
                else:
                    self.handle_next(until, polite)
            except Exception as error:
                if by_signal(error):
                    raise
                show_exception()
            finally:
                self.running -= 1
            if self.watchers:
                self.tell()

    def handle_next(self, until: float | None, polite: bool) -> None:
        if self.lines:
            self.emit_lines(until, polite)
        else:
            self.take_up()

    def take_up(self) -> None:
        # Before it leaves the queue: a mark that is made between the two is behind it, and never before it.
        self.begun += 1
        try:
            action, cost, _ = self.queue.popleft()
        except IndexError:
            # It was dropped just now.
            self.begun -= 1
            return
        try:
            action()
        finally:
            if cost:
                self.granting(cost)

    def emit_lines(self, until: float | None, polite: bool) -> None:
        lines, clock = self.lines, time.monotonic
        while lines:
            try:
                stream, line, cost = lines.popleft()
            except IndexError:
                # As above.
                return
            try:
                self.emit(stream, line)
            finally:
                if cost:
                    self.granting(cost)
            if (until is not None and clock() >= until) or (polite and self.wanted):
                break

    def granting(self, cost: int) -> None:
        grant = self.allowance.handled(cost)
        if grant:
            self.grant(grant)

    def printed(self, stream: int, data: bytes) -> None:
        """Take in what the context printed."""
        lines = (self.partial.pop(stream, b'') + data).split(b'\n')
        rest = lines.pop()
        while len(rest) > LONGEST:
            lines.append(rest[:LONGEST])
            rest = rest[LONGEST:]
        if rest:
            self.partial[stream] = rest
        if not lines:
            # A line that is not complete is no reason to hold its writer.
            self.granting(weight(data) + COST)
            return
        self.lines.extend([(stream, line, 0) for line in lines[:-1]])
        self.lines.append((stream, lines[-1], weight(data) + COST))

    def flush(self) -> None:
        """A call has ended: what it printed last is a line, complete or not."""
        for stream in sorted(self.partial):
            self.lines.append((stream, self.partial.pop(stream), 0))

    def end(self, cut: bool = False) -> None:
        """
        Nothing more will come: the last line is one, complete or not.

        `cut` says that its link broke off; then, and if it was held back, that is told once.
        """
        pressed = self.allowance.is_pressed()
        self.allowance.pressed = False
        self.put(self.flush)
        if pressed or cut:
            why = 'it ended while its output was held back' if pressed else 'its link broke off in what it said'
            self.put(lambda: say(
                self.logger, logging.WARNING, 'what it printed or logged last may be missing: %s', why))

    def heard(self, data: bytes, show: Callable[[bytes], object]) -> None:
        """Have `show` told what the program that starts the context says, within bounds."""
        charge = CHARGES[REPORT]
        if self.told - self.shown > charge.window:
            self.untold += len(data)
            return
        cost = len(data) + charge.each
        self.told += cost

        def action() -> None:
            self.shown += cost
            show(data)
            if self.untold:
                untold, self.untold = self.untold, 0
                say(self.logger, logging.WARNING,
                    '%d bytes of what the program that starts it prints were left out', untold)
        self.put(action)

    @interruptible
    def emit(self, stream: int, line: bytes) -> None:
        name = STREAMS.get(stream, 'output')
        if line.endswith(b'\r'):
            line = line[:-1]
        text = harmless(line.decode('utf-8', 'backslashreplace'))
        logger = self.logger
        if logger.hasHandlers():
            logger.info('%s: %s', name, text)
        elif shows_lines(logger):
            shown = text if stream == 1 else f'{name}: {text}'
            show(logger.makeRecord(logger.name, logging.INFO, '(remote)', 0, '%s', (shown,), None), logger, plain=True)

    @interruptible
    def logged(self, value: tuple[str, int, float, str, str]) -> None:
        """Take in a record that was logged there, as ``messages.record`` read it."""
        name, level, created, text, trace = value
        if not takes(self.logger, level):
            return
        record = self.logger.makeRecord(
            self.logger.name, level, '(remote)', 0, '%s: %s',
            (name, indented(text)), None,
        )
        record.created = created
        record.msecs = float(int((record.created - int(record.created)) * 1000))
        record.remote_name = name
        if trace:
            record.exc_text = MARGIN + indented(trace)
        if self.logger.hasHandlers():
            self.logger.handle(record)
        else:
            show(record, self.logger)
