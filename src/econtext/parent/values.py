"""
Make values again from what a child sent: hostile until proved otherwise.

The counterpart of ``core.codec.encode`` and the encoding half of ``core.rich``.

Invariants:

* Nothing but listed types is built; the bytes choose among a table of makers.
* Memory and time are bounded by a small multiple of the bytes received.
* Whatever is wrong with the bytes is one exception: ``BadFrame``.

Pure: no descriptors, threads or clocks.
"""
import struct
import sys

from econtext.core import rich
from econtext.core.wire import BadFrame

DEEPEST = 200   # levels of nesting
PYTHON2 = isinstance('', type(''.encode()))
COLON = ':'.encode()
PLAIN = 'b'.encode()
BYTES = type(COLON)


class TooDeep(BadFrame):
    """A value of an honest child may be that, too."""


class Decoder(object):
    """Decodes one body; `owner.make(name, ...)` makes contexts and channels."""

    def __init__(self, data, owner):
        # type: (bytes, Any) -> None
        self.data = data
        self.owner = owner
        self.at = 0
        self.depth = 0

    def value(self):
        # type: () -> Any
        start = self.at
        colon = self.data.index(COLON, start, start + (1 << 20))
        self.at = colon + 1
        number = int(self.data[start + 1:colon], 16)
        return READERS[self.data[start:start + 1]](self, number)

    def take(self, size):
        # type: (int) -> bytes
        end = self.at + size
        if size < 0 or end > len(self.data):
            raise ValueError('a length beyond the end')
        data = self.data[self.at:end]
        self.at = end
        return data

    def series(self, count):
        # type: (int) -> list[Any]
        # The least a value takes is three bytes.
        if count < 0 or count * 3 > len(self.data) - self.at:
            raise ValueError('more values than bytes')
        self.depth += 1
        if self.depth > DEEPEST:
            raise TooDeep('nested more than %d levels deep' % DEEPEST)
        values = [self.value() for _ in range(count)]
        self.depth -= 1
        return values

    def pairs(self, count):
        # type: (int) -> dict[Any, Any]
        if count % 2:
            raise ValueError('a key without a value')
        flat = self.series(count)
        spread(flat[::2])
        return dict(zip(flat[::2], flat[1::2]))

    def rich(self, count):
        # type: (int) -> Any
        parts = self.series(count)
        spread(parts)
        return rich.make(self.owner, parts[0], parts[1:])

    def text(self, size):
        # type: (int) -> Any
        data = self.take(size)
        try:
            return data.decode('utf-8')
        except UnicodeError:
            return data.decode('utf-8', 'surrogatepass')

    def foreign(self, size):
        # type: (int) -> Any
        """A str of Python 2: text, or bytes kept in it without loss."""
        data = self.take(size)
        if PYTHON2:
            return data
        return data.decode('utf-8', 'surrogateescape')


READERS = dict([(tag.encode(), reader) for tag, reader in (
    ('n', lambda self, number: None),
    ('o', lambda self, number: bool(number)),
    ('i', lambda self, number: number),
    ('f', lambda self, size: struct.unpack('>d', self.take(size))[0]),
    ('b', lambda self, size: self.take(size)),
    ('s', lambda self, size: self.foreign(size)),
    ('u', lambda self, size: self.text(size)),
    ('t', lambda self, count: tuple(self.series(count))),
    ('l', lambda self, count: self.series(count)),
    ('d', lambda self, count: self.pairs(count)),
    ('x', lambda self, count: self.rich(count)),
)])


def spread(keys):
    # type: (list[Any]) -> None
    """Refuse keys chosen to fall on each other: a table of them takes for ever."""
    if len(keys) > 1000 and len(dict.fromkeys([hash(key) for key in keys])) * 2 < len(keys):
        raise ValueError('keys that were chosen to collide')


def decode(data, owner=None):
    # type: (Any, Any) -> Any
    """Return the value that `data` says, or raise BadFrame."""
    if not isinstance(data, BYTES):
        # A large frame, still in the buffer it was read into.
        start = data[:32].tobytes()
        size = start.find(COLON) + 1
        if start[:1] == PLAIN and start[1:size - 1] == ('%x' % (len(data) - size)).encode():
            return data[size:].tobytes()
        data = data.tobytes()
    decoder = Decoder(data, owner)
    try:
        value = decoder.value()
    except TooDeep:
        raise
    except RuntimeError:
        # RecursionError, which depends on how deep the caller stands.
        raise TooDeep('nested too deeply')
    except Exception:
        raise BadFrame('no value: %s: %s' % sys.exc_info()[:2])
    if decoder.at != len(data):
        raise BadFrame('%d bytes behind a value' % (len(data) - decoder.at))
    return value
