"""
Read what a context says of itself: a flat list of texts, bytes and numbers.

The thread that leads reads these messages, so they are read by a reader of their
own.  The caller says which tags may stand at which place; the reader looks at a tag
before it makes anything of what stands behind the tag.

Invariants:

* Nothing is made but what was asked for: no table, no set, no rich value, no number
  of more than DIGITS digits.
* The time is linear in the bytes, and little more than that of copying them.
* Whatever is wrong with the bytes is ``BadFrame``.

Pure; any thread may enter.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from econtext.core.wire import BadFrame

DIGITS = 18     # hexadecimal ones of a number, or of a length
TEXT = b'us'
BYTES = b'bs'
NOTHING = b'n'
FLAG = b'o'
INTEGER = b'io'
NUMBER = b'iof'


class Reader:
    """Reads one body from its beginning to its end."""

    def __init__(self, body: Any) -> None:
        self.data: bytes = bytes(body)
        self.at: int = 0

    def head(self, tags: bytes) -> tuple[int, int]:
        """Return the next tag, which must be one of `tags`, and its number."""
        start = self.at
        colon = self.data.find(b':', start + 1, start + 2 + DIGITS)
        if colon < 0:
            raise BadFrame('a message that breaks off, or has a number that is too long')
        tag = self.data[start]
        if tag not in tags:
            raise BadFrame('a message of other types')
        try:
            number = int(self.data[start + 1:colon], 16)
        except ValueError:
            raise BadFrame('a message with a length that is no number') from None
        self.at = colon + 1
        return tag, number

    def series(self, tag: bytes, least: int, most: int) -> int:
        """Return how many values follow: from `least` to `most`."""
        count = self.head(tag)[1]
        if not least <= count <= most:
            raise BadFrame('a message of another form')
        return count

    def value(self, tags: bytes) -> Any:
        """Return the next value, which must have one of `tags`."""
        tag, number = self.head(tags)
        if tag == ord('n'):
            return None
        if tag == ord('o'):
            return bool(number)
        if tag == ord('i'):
            return number
        return MAKERS[tag](self.take(number))

    def take(self, size: int) -> bytes:
        end = self.at + size
        if size < 0 or end > len(self.data):
            raise BadFrame('a message that breaks off')
        data = self.data[self.at:end]
        self.at = end
        return data

    def end(self) -> None:
        if self.at != len(self.data):
            raise BadFrame(f'{len(self.data) - self.at} bytes behind a message')


def text(data: bytes) -> str:
    try:
        return data.decode('utf-8', 'surrogatepass')
    except UnicodeError:
        raise BadFrame('a text that is none') from None


def real(data: bytes) -> float:
    if len(data) != 8:
        raise BadFrame('a number of another length')
    number: float = struct.unpack('>d', data)[0]
    return number


MAKERS: dict[int, Callable[[bytes], Any]] = {
    ord('u'): text,
    # A str of Python 2: text, or bytes kept in it without loss.
    ord('s'): lambda data: data.decode('utf-8', 'surrogateescape'),
    ord('b'): bytes,
    ord('f'): real,
}


def read(body: Any, *shape: bytes | tuple[bytes, ...]) -> list[Any]:
    """Return the values of a tuple of this `shape`: the tags for each, a tuple of such for a tuple."""
    reader = Reader(body)
    reader.series(b't', len(shape), len(shape))
    values: list[Any] = []
    for tags in shape:
        if isinstance(tags, tuple):
            reader.series(b't', len(tags), len(tags))
            values.append(tuple([reader.value(each) for each in tags]))
        else:
            values.append(reader.value(tags))
    reader.end()
    return values
