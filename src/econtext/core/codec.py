"""
Values on their way up, from a child to a context that does not trust it.

A value is a tag, a hexadecimal number, a colon; then, as the tag says, that
many bytes or that many values.  Whoever decodes them (``parent.values``) builds
nothing but the types listed there.  The way down is trusted and has a faster
form, ``marshal``, in the version that the Python there reads.

Invariants:

* What ``encode`` does not raise for, the other end can decode.
* Nothing is lost: a Python 2 ``str`` and a text with lone surrogates arrive
  whole, whatever they hold.

Pure: no descriptors, threads or clocks.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

import struct

from econtext.core.wire import EMPTY

Text = type(EMPTY.decode('ascii'))  # type: Any
try:
    Long = long  # type: type[int]  # type: ignore[name-defined]
    BYTES = 's'     # to whoever wrote it, a Python 2 str is text
    native = lambda text: text.encode('utf-8')  # type: Any
except NameError:
    Long = int
    BYTES = 'b'
    native = Text


def tagged(tag, number, data=EMPTY):
    # type: (str, int, bytes) -> bytes
    return ('%s%x:' % (tag, number)).encode('ascii') + data


def sized(tag, data):
    # type: (str, bytes) -> bytes
    return tagged(tag, len(data), data)


def series(tag, values):
    # type: (str, Iterable[Any]) -> bytes
    parts = [encode(value) for value in values]
    return tagged(tag, len(parts), EMPTY.join(parts))


def text(value):
    # type: (Any) -> bytes
    try:
        data = value.encode('utf-8')
    except UnicodeError:
        data = value.encode('utf-8', 'surrogatepass')
    return sized('u', data)


def pairs(value):
    # type: (dict[Any, Any]) -> bytes
    flat = []
    for key in value:
        flat.append(key)
        flat.append(value[key])
    return series('d', flat)


NONE = tagged('n', 0)
# What encodes all other values stands under None: ``rich`` enters it, and ``life`` what fetches that.
ENCODERS = {
    type(None): lambda value: NONE,
    bool: lambda value: tagged('o', value),
    int: lambda value: tagged('i', value),
    Long: lambda value: tagged('i', value),
    float: lambda value: sized('f', struct.pack('>d', value)),
    type(EMPTY): lambda value: sized(BYTES, value),
    Text: text,
    tuple: lambda value: series('t', value),
    list: lambda value: series('l', value),
    dict: pairs,
}  # type: dict[Any, Callable[[Any], bytes]]


def encode(value):
    # type: (Any) -> bytes
    """Return `value` in bytes; raise TypeError for what may not cross."""
    return (ENCODERS.get(type(value)) or ENCODERS[None])(value)
