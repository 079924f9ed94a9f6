"""
A command that runs in a context, as its program hears it.

The strategy: a function there starts the command (``child.running``), its output comes through a channel,
input goes through the same one, and how the command ended is the answer of the call.

Invariants:

* What a user got wrong is raised before anything is sent.
* However a command is left, its channel is closed, by which its process group there is ended.
* Without capture no more of the output is kept than a window of bytes, and of each stream one line or piece of one.
* A command that has started is left PATIENCE after its timeout, whatever its context does, or the callback that
  hears its lines did: behind the timeout no line is handed over but of a command that ended in time.
* Of a context nothing is believed but bytes and numbers.

One thread for each command; its input has a thread of its own.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from econtext.child import running as there
from econtext.child.labels import seen
from econtext.child.transfer import as_bytes
from econtext.controller.commands.lines import BytesLine, Line, Splitter, StreamName, decode, line_of, newlines
from econtext.controller.errors import ContextLost, CorruptStream, EcontextError
from econtext.controller.files.answers import text_of
from econtext.controller.runtime.deadlines import is_seconds
from econtext.controller.session.contract import Answer, Home, Port
from econtext.controller.text import harmless

WINDOW = 1 << 20    # bytes on their way
BLOCK = (1 << 16) - 64
PATIENCE = 5.0      # seconds for the other end to end the command
LONGEST = 1e9       # seconds; a longer timeout is none
SHELL = '/bin/sh'
STREAMS: dict[bytes, StreamName] = {there.OUT: 'stdout', there.ERR: 'stderr'}

AnyLine = TypeVar('AnyLine', Line, BytesLine)


class Request:
    """What run() is asked for, checked."""

    def __init__(
        self, argv: Any, check: bool, capture: bool, input: Any, env: Any, extend_env: bool, cwd: Any, timeout: Any,
        text: bool, home: Home | None = None,
    ) -> None:
        self.argv: Any = argv
        self.check: bool = bool(check)
        self.capture: bool = bool(capture)
        self.text: bool = bool(text)
        self.words: list[bytes] = words_of(argv, home)
        self.input: Any = check_input(input)
        self.timeout: Any = timeout
        if timeout is not None and not is_seconds(timeout):
            raise ValueError(f'timeout= must be a number of seconds, not {seen(timeout)}')
        if env is not None and not isinstance(env, Mapping):
            raise TypeError(f'env= must be a mapping of names to values, not {seen(env)}')
        self.options: dict[str, Any] = {
            'env': None if env is None else [variable(name, value, home) for name, value in env.items()],
            'extend': bool(extend_env),
            'cwd': None if cwd is None else word(cwd, 'cwd=', home),
            'timeout': None if timeout is None else min(float(timeout), LONGEST), 'input': input is not None,
        }


def words_of(argv: Any, home: Home | None) -> list[bytes]:
    """Return the words of a command in `home`, None for a fleet: a text is for the shell."""
    if isinstance(argv, str):
        text = word(argv, 'a command', home)
        # The shell would take what begins so for an option.
        return [os.fsencode(SHELL), b'-c', *([b'--'] if text[:1] in (b'-', b'+') else []), text]
    if isinstance(argv, os.PathLike) or hasattr(argv, '__econtext_path__'):
        argv = [argv]
    if isinstance(argv, (bytes, bytearray)) or not isinstance(argv, Iterable):
        raise TypeError(f"a command must be a list of words, or a text for the shell, not {seen(argv)}")
    words = [word(each, 'a word of a command', home) for each in argv]
    if not words or not words[0]:
        raise ValueError('a command must have words, of which the first is the program')
    return words


def word(value: Any, what: str, home: Home | None) -> bytes:
    if hasattr(value, '__econtext_path__'):
        value = text_of(home, value)
    if not isinstance(value, (str, bytes, os.PathLike)):
        hint = ': write str()' if type(value) in (int, float) else ''
        raise TypeError(f'{what} must be a text, bytes or a path, not {seen(value)}{hint}')
    raw = os.fspath(value)
    data = raw if isinstance(raw, bytes) else encode(raw)
    if b'\0' in data:
        raise ValueError(f'{what} must not hold a NUL')
    return data


def encode(text: str) -> bytes:
    return text.encode('utf-8', 'surrogateescape')


def variable(name: Any, value: Any, home: Home | None) -> tuple[bytes, bytes | None]:
    key = word(name, 'a name in env=', home)
    if not key or b'=' in key:
        raise ValueError('a name in env= must not be empty, and must not hold a =')
    return key, None if value is None else word(value, 'a value in env=', home)


def check_input(input: Any) -> Any:
    if isinstance(input, str):
        return encode(input)
    if input is None or isinstance(input, (bytes, bytearray, memoryview)) or hasattr(input, 'read'):
        return input
    if isinstance(input, Iterable) and not isinstance(input, Mapping):
        return input
    raise TypeError(f'input= must be a text, bytes, a file or what yields them, not {seen(input)}')


def pieces(input: Any) -> Iterator[bytes]:
    """Yield the bytes of an input, in pieces."""
    if isinstance(input, (bytes, bytearray, memoryview)):
        source: Iterable[Any] = (input,)
    elif hasattr(input, 'read'):
        source = iter(lambda: input.read(BLOCK) or None, None)
    else:
        source = input
    for each in source:
        if isinstance(each, str):
            each = encode(each)
        elif not isinstance(each, (bytes, bytearray, memoryview)):
            raise TypeError(f'input= must yield texts or bytes, not {seen(each)}')
        view = memoryview(each).cast('B')
        for at in range(0, len(view), BLOCK):
            yield bytes(view[at:at + BLOCK])


class Command:
    """A command that was started."""

    def __init__(self, home: Home, request: Request) -> None:
        self.home: Home = home
        self.request: Request = request
        self.fault: BaseException | None = None
        self.pump: threading.Thread | None = None
        self.deadline: float | None = None      # by our clock, which began later than that there
        self.given_up: bool = False
        self.channel: Port = home.channel(window=WINDOW)
        self.future: Answer = home.submit(there.run, self.channel, request.words, request.options)
        if request.input is not None:
            if isinstance(request.input, bytes) and len(request.input) <= BLOCK:
                self.feed()
            else:
                self.pump = threading.Thread(target=self.feed, name='econtext input', daemon=True)
                self.pump.start()

    def feed(self) -> None:
        """Send the input."""
        try:
            for piece in pieces(self.request.input):
                self.channel.send(there.INPUT + piece)
            self.channel.send(there.NO_MORE)
        except EcontextError:
            # The command has ended.
            pass
        except BaseException as error:
            self.fault = error
            self.channel.close()

    def pieces(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the output, as pairs of a tag and bytes."""
        while True:
            try:
                data = self.channel.get(None if self.deadline is None else self.left())
            except EOFError:
                return
            except TimeoutError:
                self.given_up = True
                return
            except ValueError as error:
                raise self.nonsense(str(error)) from None
            piece = self.check(data)
            if piece is not None:
                yield piece

    def check(self, data: Any) -> tuple[bytes, bytes] | None:
        """Return a message as a tag and bytes, None for the one that it has started; or raise CorruptStream."""
        if not isinstance(data, (bytes, str)):
            raise self.nonsense('a message that is no bytes')
        raw = as_bytes(data)
        if raw == there.STARTED and self.request.timeout is not None and self.deadline is None:
            self.deadline = time.monotonic() + min(self.request.timeout, LONGEST)
            return None
        if raw[:1] not in STREAMS:
            raise self.nonsense('output of no kind')
        return raw[:1], raw[1:]

    def left(self) -> float:
        """Return for how many seconds to wait for what comes."""
        assert self.deadline is not None, 'asked of commands with a timeout'
        if self.future.done():
            # All that there is has come.
            return PATIENCE
        left = self.deadline + PATIENCE - time.monotonic()
        if left < 0:
            raise TimeoutError
        return left

    def is_late(self) -> bool:
        """Is the timeout over?"""
        return self.deadline is not None and time.monotonic() > self.deadline

    def ended_in_time(self) -> bool:
        """Has it, as far as is known, ended before its timeout? Raises nothing."""
        if self.given_up:
            return False
        try:
            return self.answer()[0]
        except Exception:
            return True

    def nonsense(self, what: str) -> CorruptStream:
        return CorruptStream(f'{self.home.name}: it sent what makes no sense ({harmless(what)}): start it again')

    def answer(self) -> tuple[bool, int]:
        """Return whether the command ended by itself, and its status; raise why it could not be run."""
        if self.given_up:
            return False, 0
        answer = self.future.result()
        if self.fault is not None:
            raise self.fault
        if type(answer) is not tuple or len(answer) not in (2, 4) or not isinstance(answer[0], str):
            raise self.nonsense('an answer of no kind')
        if answer[0] in ('cwd', 'program') and len(answer) == 4:
            raise self.refusal(*answer)
        if answer[0] == 'gone':
            raise ContextLost(f'{self.home.name}: the command was ended, since nobody could hear it: start it again')
        if answer[0] == 'expired':
            return False, 0
        if answer[0] != 'done' or type(answer[1]) is not int:
            raise self.nonsense('an answer of no kind')
        return True, answer[1]

    def refusal(self, what: str, code: Any, text: Any, name: Any) -> OSError | CorruptStream:
        if not isinstance(code, str) or not isinstance(text, str) or not isinstance(name, (bytes, str)):
            return self.nonsense('an answer of no kind')
        number = getattr(errno, code, errno.EIO)
        path = decode(as_bytes(name))
        subject, hint = 'the directory cwd=' if what == 'cwd' else 'the program', ''
        if what == 'program' and ' ' in path and len(self.request.words) == 1 and number == errno.ENOENT:
            hint = ': a line for a shell is a text, without the brackets of a list'
        return OSError(number, f'{self.home.name}: {subject} cannot be used: {harmless(text)}{hint}', path)

    def leave(self, wait: bool) -> None:
        """End the command, if it has not ended."""
        self.channel.close()
        if wait and not self.given_up:
            with contextlib.suppress(Exception, concurrent.futures.CancelledError):
                self.future.exception(PATIENCE)
            if self.pump is not None:
                self.pump.join(0.2)


class Listening:
    """Takes the output of a command apart: lines for who wants them, bytes for who wants them."""

    def __init__(self, home: Home, request: Request, lines: bool) -> None:
        self.request: Request = request
        self.kept: dict[bytes, list[bytes]] = {tag: [] for tag in STREAMS}
        self.splitters: dict[bytes, Splitter] = {tag: Splitter(request.text) for tag in STREAMS if lines}
        self.command: Command = Command(home, request)

    def lines(self) -> Iterator[Any]:
        """Yield each line, and none if only bytes are wanted."""
        lines = self.all_lines()
        for line in lines:
            if self.command.is_late():
                # What is on its way is little: the command was ended there.
                rest = [line, *lines]
                if self.command.ended_in_time():
                    yield from rest
                return
            yield line

    def all_lines(self) -> Iterator[Any]:
        for tag, data in self.command.pieces():
            yield from self.hear(tag, data)
        yield from self.rest()

    def hear(self, tag: bytes, data: bytes) -> Iterator[Any]:
        """Take a piece of the output; yield the lines that end in it."""
        if self.request.capture:
            self.kept[tag].append(data)
        if self.splitters:
            for line, ended in self.splitters[tag].feed(data):
                yield line_of(line, ended, STREAMS[tag], self.request.text)

    def rest(self) -> Iterator[Any]:
        """Yield the lines that have no end: all was heard."""
        for tag, splitter in self.splitters.items():
            for line, ended in splitter.flush():
                yield line_of(line, ended, STREAMS[tag], self.request.text)

    def output(self, tag: bytes) -> Any:
        if not self.request.capture:
            return None
        data = b''.join(self.kept[tag])
        return decode(newlines(data)) if self.request.text else data

    def result(self) -> subprocess.CompletedProcess[Any]:
        """Return how the command ended, or raise what it is to raise."""
        request = self.request
        in_time, status = self.command.answer()
        output, errors = self.output(there.OUT), self.output(there.ERR)
        if not in_time:
            raise subprocess.TimeoutExpired(request.argv, request.timeout, output, errors)
        if request.check and status:
            raise subprocess.CalledProcessError(status, request.argv, output, errors)
        return subprocess.CompletedProcess(request.argv, status, output, errors)


def run(home: Home, request: Request, on_line: Callable[[Any], object] | None) -> subprocess.CompletedProcess[Any]:
    if on_line is not None and not callable(on_line):
        raise TypeError(f'on_line= must be a function, not {seen(on_line)}')
    listening = Listening(home, request, on_line is not None)
    wait = True
    try:
        for line in listening.lines():
            assert on_line is not None, 'lines are cut for a callback alone'
            on_line(line)
        return listening.result()
    except Exception:
        raise
    except BaseException:
        wait = False
        raise
    finally:
        listening.command.leave(wait)


class RunLines(Iterator[AnyLine], Generic[AnyLine]):
    """
    The lines of a command while it runs, made by ``context.run_lines()``.

    An iterator of Line, or of BytesLine with ``text=False``.  Behind the last one ``result`` is the
    ``subprocess.CompletedProcess``; before, it is None.  The end of the ``with`` block ends a command that still runs.
    """

    def __init__(self, home: Home, request: Request) -> None:
        #: The ``subprocess.CompletedProcess``, once the command has ended.
        self.result: subprocess.CompletedProcess[Any] | None = None
        self._listening = Listening(home, request, True)
        self._lines: Iterator[AnyLine] = self._listening.lines()
        self._over = False

    def __enter__(self) -> RunLines[AnyLine]:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._end(error is None or isinstance(error, Exception))

    def __next__(self) -> AnyLine:
        if self._over:
            raise StopIteration
        for line in self._lines:
            return line
        self._over = True
        self.result = self._listening.result()
        raise StopIteration

    def close(self) -> None:
        """
        End the command, if it still runs: its whole process group. Raises nothing.

        Example::

            lines.close()
        """
        self._end(True)

    def _end(self, wait: bool) -> None:
        self._over = True
        self._listening.command.leave(wait)

