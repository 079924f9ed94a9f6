"""
Commands on each host of a fleet, heard by whoever waits for them.

The strategy: a command begins as one of a context does; its output is read from the channels of all hosts by the one
thread that waits, so that no host needs a thread, and lines come one at a time.

Invariants:

* What a context does for a command alone is done here: the same result, the same errors, the same end.
* A reader that does not read stops the commands where they write.
* A host that fails, hangs, or sends what makes no sense holds up no other, and ends its own command.
* However it is left, the commands are ended.

The crew begins commands; whoever waits does the rest.
"""

from __future__ import annotations

import concurrent.futures
import functools
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from econtext.child.labels import seen
from econtext.controller.commands.lines import BytesLine, Line
from econtext.controller.commands.running import Listening, Request, check_input, pieces
from econtext.controller.fleet.futures import outcome_of, settle
from econtext.controller.fleet.seats import Seat
from econtext.controller.session.selection import Turns

if TYPE_CHECKING:
    from econtext.controller.context import Context
    from econtext.controller.fleet.futures import Futures, HostFuture
    from econtext.controller.fleet.options import WorkOptions
    from econtext.controller.session.channels import Channel

    Callback = Callable[[Any], object]


class HostLine(Line):
    """A line of a command's output, without its end."""

    __slots__ = ('host',)
    #: The name of the host that it comes from.
    host: str


class HostBytesLine(BytesLine):
    """A line of a command's output as bytes, without its end."""

    #: The name of the host that it comes from.
    host: str


def tagged(line: Line | BytesLine, host: str) -> HostLine | HostBytesLine:
    made: HostLine | HostBytesLine = HostLine(line) if isinstance(line, str) else HostBytesLine(line)
    made.stream, made.ended, made.host = line.stream, line.ended, host
    return made


def shared(input: Any) -> Any:
    """Return an input that each host can read, as bytes: one that can be read once is read here, whole."""
    return None if check_input(input) is None else b''.join(pieces(input))


def check_callbacks(**functions: object) -> None:
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise TypeError(f'{name}= must be a function, not {seen(function)}')


class HostCommand(concurrent.futures.Future[Any]):
    """The command of one host: what the schedule of the fleet waits for."""

    def __init__(self, host: str, seat: Seat, listening: Listening) -> None:
        super().__init__()
        self.host = host
        self.seat = seat
        self.listening = listening
        self.channel: Channel = cast('Channel', listening.command.channel)
        #: Was all of its output read?
        self.heard: bool = False

    def interrupt(self, grace: float) -> None:
        """End it there. Any thread."""
        self.seat.stop(grace)
        self.settle(lambda: None)

    def settle(self, result: Callable[[], Any]) -> None:
        """End it here, with what `result` returns or raises, unless it has ended."""
        if not self.done():
            try:
                value, error = result(), None
            except Exception as raised:
                value, error = None, raised
            # It may have been interrupted meanwhile.
            settle(self, value, error)


class Reader:
    """Hears the commands of all hosts."""

    def __init__(
        self, request: Request, options: WorkOptions, on_line: Callback | None, on_end: Callback | None
    ) -> None:
        self.request = request
        self.options = options
        self.on_line = on_line
        self.on_end = on_end
        self.selection: Turns[Channel] = Turns()
        self.open: dict[Channel, HostCommand] = {}
        #: Commands whose calls are over; hosts that are.
        self.answered: deque[HostCommand] = deque()
        self.ended: deque[HostFuture[Any]] = deque()

    def begin(self, context: Context, host: str) -> HostCommand:
        """Begin the command of `host`. The crew."""
        seat = Seat(context, self.options.timeout, self.options.grace)
        listening = Listening(seat, self.request, self.on_line is not None)
        command = HostCommand(host, seat, listening)
        self.open[command.channel] = command
        self.selection.add(command.channel)
        seat.sent[0].add_done_callback(functools.partial(self.answer, command))
        return command

    def answer(self, command: HostCommand, done: concurrent.futures.Future[Any]) -> None:
        """The call of a command is over. Any thread."""
        self.answered.append(command)
        self.selection.wake()

    def end(self, future: HostFuture[Any]) -> None:
        """A host is over. Any thread."""
        self.ended.append(future)
        self.selection.wake()

    def read_all(self, futures: Futures[Any]) -> None:
        """Hear all until all are over."""
        for future in futures.values():
            future._listen(self.end)
        left = len(futures)
        while left:
            if not self.ended:
                self.read(futures._display.show() if futures._display is not None else None)
            while self.ended:
                left -= 1
                future = self.ended.popleft()
                if self.on_end is not None:
                    self.on_end(future)

    def read(self, tick: float | None) -> None:
        """Hear what has come; wait if nothing has, for `tick` seconds at most."""
        while self.answered:
            self.take_answer(self.answered.popleft())
        for channel, value in self.selection.look(tick):
            command = self.open.get(channel)
            if command is not None:
                self.hear(command, value)
        for command in [each for each in list(self.open.values()) if is_over(each.channel)]:
            self.all_heard(command)

    def hear(self, command: HostCommand, value: Any) -> None:
        listening = command.listening
        try:
            if isinstance(value, BaseException):
                raise value
            piece = listening.command.check(value)
            lines = list(listening.hear(*piece)) if piece is not None else []
        except Exception as error:
            self.open.pop(command.channel, None)
            # What it has heard of its context tells more.
            failed = outcome_of(command.seat.sent[0])[1] if command.seat.sent[0].done() else None
            command.seat.stop(self.options.grace)
            command.settle(functools.partial(raise_, failed or error))
            return
        self.tell(command, lines)

    def tell(self, command: HostCommand, lines: list[Any]) -> None:
        for line in lines:
            assert self.on_line is not None, 'lines are cut for a callback alone'
            self.on_line(tagged(line, command.host))

    def all_heard(self, command: HostCommand) -> None:
        """Its output has ended."""
        self.open.pop(command.channel, None)
        self.tell(command, list(command.listening.rest()))
        command.heard = True
        if command.seat.sent[0].done():
            command.settle(command.listening.result)

    def take_answer(self, command: HostCommand) -> None:
        """Its call is over: with what it has to say once all was heard, or because nothing more will be."""
        if command.heard:
            command.settle(command.listening.result)
        elif outcome_of(command.seat.sent[0])[1] is not None and not command.done():
            self.open.pop(command.channel, None)
            command.seat.stop(self.options.grace)
            command.settle(command.listening.result)


def is_over(channel: Channel) -> bool:
    return not (channel._end.inbox or channel.open())


def raise_(error: BaseException) -> Any:
    raise error
