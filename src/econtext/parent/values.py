"""
Make values again from what a child sent: hostile until proved otherwise.

The counterpart of ``core.codec.encode`` and the encoding half of ``child.rich``.

Invariants:

* Nothing but listed types is built, and classes that were registered in this very
  process; the bytes choose among tables, and nothing is imported for them.
* Memory and time are bounded by a small multiple of the bytes received, and who gives a
  clock is asked between any STEP values whether there is time for more.
* Whatever is wrong with the bytes is one exception, ``BadFrame``; what an honest
  child may send and we do not take is the ``Unusable`` among these.  Any other
  exception is none of the sender's: memory that is not to be had, a defect of ours.

Pure: no descriptors, threads or clocks.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

import struct
import sys

from econtext.core.codec import NONE, Long
from econtext.child.registry import TYPES
from econtext.child.labels import DEEPEST, message
from econtext.core.wire import EMPTY, BadFrame

LONGEST = 1000  # characters of an address; the name of a link may be in it
CROWDED = 32    # keys with which each may collide, on the average
STEP = 500      # values, between which the clock is looked at
# What makers raise for arguments that they do not take.
WRONG = ValueError, TypeError, LookupError, ArithmeticError, AttributeError, struct.error
PYTHON2 = isinstance('', type(''.encode()))
COLON = ':'.encode()
PLAIN = 'b'.encode()
BYTES = type(COLON)


class Unusable(BadFrame):
    """
    A value that an honest child may send, too: an error of a call, and no more.

    Its text tells what the value is or has; `kind` is a name for the error.
    """
    kind = 'ValueError'
    cause = None    # type: Any


class TooDeep(Unusable):
    """Nested without end."""


class Refused(Unusable):
    """Of a class that was not registered here, or refused by what makes such values."""

    def __init__(self, text, kind='TypeError', cause=None):
        # type: (str, str, Any) -> None
        Unusable.__init__(self, text)
        self.kind = kind
        self.cause = cause


class Decoder(object):
    """
    Decodes one body; `owner.make(name, ...)` makes contexts and channels.

    `clock`, if not None, is called now and then, and raises when there is no more time.
    """

    def __init__(self, data, owner, clock=None):
        # type: (bytes, Any, Any) -> None
        self.data = data
        self.owner = owner
        self.clock = clock
        self.left = STEP  # type: int
        self.at = 0  # type: int
        self.depth = 0  # type: int

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
        if not count:
            return []
        # The least a value takes is three bytes.
        if count < 0 or count * 3 > len(self.data) - self.at:
            raise ValueError('more values than bytes')
        self.depth += 1
        if self.depth > DEEPEST:
            raise TooDeep('is nested more than %d levels deep: send it in parts' % DEEPEST)
        if self.clock is None:
            values = [self.value() for _ in range(count)]
        else:
            values = self.in_steps(count)
        self.depth -= 1
        return values

    def in_steps(self, count):
        # type: (int) -> list[Any]
        """Return the next `count` values, with a look at the clock in between."""
        values = []  # type: list[Any]
        while count:
            size = min(count, STEP)
            count -= size
            self.left -= size
            if self.left < 0:
                self.left = STEP
                self.clock()
            values.extend([self.value() for _ in range(size)])
        return values

    def pairs(self, count):
        # type: (int) -> dict[Any, Any]
        if not count:
            return {}
        if count % 2:
            raise ValueError('a key without a value')
        flat = self.series(count)
        spread(flat[::2])
        return dict(zip(flat[::2], flat[1::2]))

    def rich(self, count):
        # type: (int) -> Any
        parts = self.series(count)
        if self.clock is not None:
            self.clock()
        spread(parts)
        if parts[0] == 'type' and self.owner is not None:
            return registered(*parts[1:])
        # Here and below: most programs get plain values alone.
        from econtext.child import rich
        check(*parts)
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
    # As they are: each call in between counts towards the depth that the interpreter allows.
    ('l', Decoder.series),
    ('d', Decoder.pairs),
    ('x', Decoder.rich),
)])  # type: dict[bytes, Callable[[Any, int], Any]]


if sys.version_info < (2, 5):
    from econtext.child import ancient
    READERS['f'.encode()] = lambda self, size: ancient.unpack(self.take(size))


# Made of numbers: of bytes, some of these types would make what crashes its user.
MEASURED = 'complex', 'datetime', 'time', 'date', 'timedelta'
# Made of one text.
WRITTEN = 'decimal', 'uuid', 'path', 'posixpath', 'windowspath', 'secret'
TEXTS = str, type(EMPTY.decode('ascii'))
INTEGERS = int, Long
PLAIN_ITEMS = INTEGERS + TEXTS + (BYTES, float, type(None))


def check(name, *args):
    # type: (str, Any) -> None
    """Refuse arguments that `name` is never taken apart into."""
    from econtext.child import rich
    for argument in args:
        if name in MEASURED and isinstance(argument, (BYTES,) + TEXTS):
            raise ValueError('%s made of text or bytes' % name)
    if (name in WRITTEN or name in rich.NETWORK) and not (len(args) == 1 and isinstance(args[0], TEXTS)):
        raise ValueError('%s made of other than a text' % name)
    if name in rich.NETWORK and len(args[0]) > LONGEST:
        raise ValueError('%s made of a long text' % name)
    sound = SOUND.get(name)
    if name in rich.STRUCTURES:
        sound = structure
    if sound and not sound(*args):
        raise ValueError('%s made of what it is not taken apart into' % name)


def plain(items):
    # type: (Any) -> bool
    """Is every one a number, a text or None, or a list of such?"""
    for item in items:
        if not (isinstance(item, PLAIN_ITEMS) or type(item) is list and plain(item)):
            return False
    return True


def whole(*numbers):
    # type: (Any) -> bool
    return [number for number in numbers if not isinstance(number, INTEGERS)] == []


def bounded(*numbers):
    # type: (Any) -> bool
    from econtext.child import rich
    return whole(*numbers) and not max([abs(number) for number in numbers]) >> rich.MOST_BITS


SOUND = {
    'range': lambda start, stop, step: bounded(start, stop, step),
    'fraction': lambda above, below: bounded(above, below),
    'completed': lambda args, status, out, err: whole(status) and plain((out, err)),
    'usage': lambda total, used, free: whole(total, used, free),
    'uname': lambda *items: len(items) == 6 and plain(items),
}   # type: dict[str, Callable[..., bool]]


def structure(items, extra):
    # type: (Any, Any) -> bool
    """Is this what a tuple with names is taken apart into?"""
    return type(items) is tuple and plain(items) and type(extra) is dict and plain(extra.values())


def registered(module, name, state, _home=None):
    # type: (Any, Any, Any, Any) -> Any
    """Return a value of a class that the application registered in this process."""
    if not (isinstance(module, TEXTS) and isinstance(name, TEXTS)):
        raise ValueError('a class whose name is no text')
    entry = TYPES.get((module, name))
    if entry is None:
        raise Refused(
            'holds a value of the class %r, which is not registered here: import the module '
            'whose econtext.register names it, or have a dict sent' % (module + '.' + name)[:200])
    from econtext.child import fields, named
    try:
        return named.build(entry, state)
    except Exception:
        error = sys.exc_info()[1]   # type: Any
        raise Refused('holds a value that %s refuses: %s' % (
            fields.label(entry[0]), message(error)), type(error).__name__, error)


def spread(keys):
    # type: (list[Any]) -> None
    """Refuse keys chosen to fall on each other: a table of them takes for ever."""
    if len(keys) <= CROWDED:
        return
    hashes = [hash(key) for key in keys]
    counts = dict.fromkeys(hashes, 0)
    if len(counts) == len(keys):
        return
    for number in hashes:
        counts[number] += 1
    # How often keys are compared while a table of them is made.
    if sum([count * count for count in counts.values()]) > CROWDED * len(keys):
        raise ValueError('keys that were chosen to collide')


def decode(data, owner=None, clock=None):
    # type: (Any, Any, Any) -> Any
    """Return the value that `data` says, or raise BadFrame, or what `clock()` raises."""
    if not isinstance(data, BYTES):
        # A large frame, still in the buffer it was read into.
        start = data[:32].tobytes()
        size = start.find(COLON) + 1
        if start[:1] == PLAIN and start[1:size - 1] == ('%x' % (len(data) - size)).encode():
            return data[size:].tobytes()
        data = data.tobytes()
    if data == NONE:
        return None
    decoder = Decoder(data, owner, clock)
    try:
        value = decoder.value()
    except Unusable:
        raise
    except RuntimeError:
        # RecursionError, which depends on how deep the caller stands.
        raise TooDeep('is nested too deeply: send it in parts')
    except WRONG:
        raise BadFrame('no value: %s: %s' % sys.exc_info()[:2])
    if decoder.at != len(data):
        raise BadFrame('%d bytes behind a value' % (len(data) - decoder.at))
    return value
