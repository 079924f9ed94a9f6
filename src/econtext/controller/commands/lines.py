"""
The lines of a command's output, from the pieces in which it comes.

Invariants:

* However the output is cut into pieces, its lines are the same.
* A line ends with a newline, or a carriage return and a newline, which do not belong to it; the last one may lack it.
* Each byte of a line survives: what is no UTF-8 becomes surrogates, as os.fsencode() takes them back.

Pure.
"""

from __future__ import annotations

from typing import Literal

StreamName = Literal['stdout', 'stderr']


class Line(str):
    """A line of output, without its end."""

    __slots__ = ('stream',)
    #: ``'stdout'`` or ``'stderr'``.
    stream: StreamName


class BytesLine(bytes):
    """A line of output as bytes, without its end."""

    #: ``'stdout'`` or ``'stderr'``.
    stream: StreamName


class Splitter:
    """Cuts one stream into lines."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that end within `data`."""
        *ended, rest = data.split(b'\n')
        if ended:
            ended[0] = b''.join([*self.pieces, ended[0]])
            self.pieces = []
        if rest:
            self.pieces.append(rest)
        return [line.removesuffix(b'\r') for line in ended]

    def flush(self) -> list[bytes]:
        """Return the line that has no end, if there is one."""
        rest, self.pieces = b''.join(self.pieces), []
        return [rest] if rest else []


def decode(data: bytes) -> str:
    return data.decode('utf-8', 'surrogateescape')


def line_of(data: bytes, stream: StreamName, text: bool) -> Line | BytesLine:
    line = Line(decode(data)) if text else BytesLine(data)
    line.stream = stream
    return line
