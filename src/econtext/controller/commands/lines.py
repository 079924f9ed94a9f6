"""
The lines of a command's output, from the pieces in which it comes.

Invariants:

* However the output is cut into pieces, its lines are the same.
* The ends of lines are those of subprocess. Of a text: a newline, a carriage return, or both (universal newlines).
  Of bytes: a newline; a carriage return before it does not belong to the line either.
* No line is longer than LIMIT bytes: a longer one comes in pieces, of which the last alone has ``ended``. A piece of a
  text ends between two characters.
* Each byte of a line survives: what is no UTF-8 becomes surrogates, as os.fsencode() takes them back.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

StreamName = Literal['stdout', 'stderr']
LIMIT = 1 << 20     # bytes


class Line(str):
    """
    A line of a command's output, without its end.

    Made by ``context.run_lines()``, and for ``on_line`` of ``context.run()``.  `stream` is ``'stdout'`` or
    ``'stderr'``.  `ended` tells whether the line has an end: False for the last line if it lacks one, and for the
    pieces of a line longer than 1 MiB, but the last.  A line of ``fleet.run()`` has a `host`, the name of its host.
    """

    __slots__ = ('ended', 'stream')
    stream: StreamName
    ended: bool


class BytesLine(bytes):
    """
    A line of a command's output as bytes, without its end.

    Made as Line is, with ``text=False``, and with the same attributes.
    """

    stream: StreamName
    ended: bool


class Splitter:
    """Cuts one stream into lines: pairs of their bytes, and whether they ended."""

    def __init__(self, text: bool, limit: int = LIMIT) -> None:
        self.text: bool = text
        self.limit: int = limit
        self.rest: list[bytes] = []
        self.size: int = 0
        self.returned: bool = False     # the last byte was a carriage return, which has ended its line

    def feed(self, data: bytes) -> list[tuple[bytes, bool]]:
        """Return the lines that end within `data`, and pieces of one that is too long."""
        if self.text:
            data = self.translate(data)
        *lines, rest = data.split(b'\n')
        found: list[tuple[bytes, bool]] = []
        if lines:
            lines[0] = b''.join([*self.rest, lines[0]])
            self.rest, self.size = [], 0
            for line in lines:
                whole = line if self.text else line.removesuffix(b'\r')
                if len(whole) > self.limit:
                    *pieces, whole = self.cut(whole, self.limit)
                    found += [(piece, False) for piece in pieces]
                found.append((whole, True))
        if rest:
            self.rest.append(rest)
            self.size += len(rest)
            # One byte more may be the carriage return of an end.
            if self.size > self.limit + 1:
                *pieces, last = self.cut(b''.join(self.rest), self.limit + 1)
                found += [(piece, False) for piece in pieces]
                self.rest, self.size = [last], len(last)
        return found

    def flush(self) -> list[tuple[bytes, bool]]:
        """Return the line that has no end, if there is one."""
        rest, self.rest, self.size = b''.join(self.rest), [], 0
        return [(piece, False) for piece in self.cut(rest, self.limit)] if rest else []

    def translate(self, data: bytes) -> bytes:
        """Return `data` with newlines as the only ends of lines."""
        if self.returned and data[:1] == b'\n':
            data = data[1:]
            self.returned = False
        if data:
            self.returned = data.endswith(b'\r')
        return newlines(data)

    def cut(self, data: bytes, most: int) -> Iterator[bytes]:
        """Yield pieces of `limit` bytes while there are more than `most`, and the rest."""
        at = 0
        while len(data) - at > most:
            end = self.edge(data, at + self.limit)
            yield data[at:end]
            at = end
        yield data[at:]

    def edge(self, data: bytes, at: int) -> int:
        """Return where to cut: at `at`, or before the character of a text around it."""
        if self.text:
            for end in range(at, at - 4, -1):
                if data[end] & 0xc0 != 0x80:
                    return end
        return at


def newlines(data: bytes) -> bytes:
    """Return `data` with the ends of lines of a text, as subprocess has them."""
    return data.replace(b'\r\n', b'\n').replace(b'\r', b'\n') if b'\r' in data else data


def decode(data: bytes) -> str:
    return data.decode('utf-8', 'surrogateescape')


def line_of(data: bytes, ended: bool, stream: StreamName, text: bool) -> Line | BytesLine:
    line = Line(decode(data)) if text else BytesLine(data)
    line.stream, line.ended = stream, ended
    return line
