"""
What of an exception crosses beside its text: its arguments and its attributes.

Invariants:

* They are read as they are stored: no property, and no ``__getattr__``, is asked.
* Only plain values are sent, and those of the standard library that are made of
  them: no context, channel or Secret, nothing of a registered class.
* Each takes at most ONE bytes, all together ALL: of a text or bytes the middle is
  left out, any other value as a whole.

Follows the preamble; imported when the first call fails.
"""
from econtext.core import failure
from econtext.core.codec import Long, Text, encode
from econtext.core.failure import cut, of_class
from econtext.core.wire import EMPTY

try:
    ARGUMENTS = BaseException.__dict__['args']  # type: Any
except NameError:
    ARGUMENTS = None

ONE, ALL = 1 << 20, 1 << 22     # bytes
MOST = 100      # attributes
ITEMS = 10000   # in one value
DEPTH = 20
ATOMS = type(None), bool, int, Long, float, complex
TEXTS = str, Text, type(EMPTY)
# What else of ``rich`` is made of plain values alone, whatever it is.
MADE = ('date datetime time timedelta decimal uuid range fraction bytes posixpath windowspath '
        'complex set frozenset').split()
STORED = 'member_descriptor', 'getset_descriptor'
# The arguments go apart, and the message is the text; the object in which an attribute is
# missed may be the whole program; what was to be imported of a module Python would import,
# where it shows the exception, to guess at what was meant.
APART = 'args', 'message', 'obj', 'name_from'


def plainly(kind, error, text):
    # type: (Any, Any, Any) -> tuple[Any, dict[str, Any]]
    """Return the arguments and attributes of `error`, whose text is `text`, as plain values."""
    left = ALL
    found = {}  # type: dict[Any, Any]
    for name, value in [(None, arguments(error, text))] + sorted(attributes(kind, error).items())[:MOST]:
        try:
            value = Plain().copy(value, DEPTH)
            size = len(encode(value))
        except:
            # It does not cross, or fails where it is looked at.
            continue
        # What is cut has so many characters, each of up to four bytes.
        if size <= min(left, ONE * 4 + 100):
            left -= size
            found[name] = value
    return found.pop(None, None), found


class Plain(object):
    """Makes plain copies, of so many items at most."""

    def __init__(self):
        # type: () -> None
        self.left = ITEMS

    def copy(self, value, depth):
        # type: (Any, int) -> Any
        """Return a copy of `value`, of no subclass; raise TypeError if it is not plain."""
        kind = type(value)
        self.left -= 1
        if depth < 0 or self.left < 0:
            raise TypeError('too large')
        if kind in ATOMS:
            return value
        if kind in TEXTS:
            return cut(value, ONE)
        if kind in (tuple, list, set, frozenset):
            return kind([self.copy(item, depth - 1) for item in value])
        if kind is dict:
            return dict([(self.copy(key, depth - 1), self.copy(value[key], depth - 1)) for key in value])
        from econtext.core import rich
        for base in of_class(kind, '__mro__'):
            found = rich.listed(base)
            if found:
                if found[0] in MADE:
                    return value
                break
            if base in rich.SIMPLE:
                return cut_text(rich.SIMPLE[base](value))
        raise TypeError('not plain')


def cut_text(value):
    # type: (Any) -> Any
    if isinstance(value, TEXTS):
        return cut(value, ONE)
    return value


def arguments(error, text):
    # type: (Any, Any) -> Any
    """Return the arguments of `error`; None if it is its text alone."""
    try:
        found = ARGUMENTS.__get__(error)
    except (AttributeError, TypeError):
        # Before 2.5 they are an attribute like others; a text may be raised, too.
        found = getattr(error, 'args', None)
    if type(found) is not tuple:
        return None
    if len(found) == 1 and type(found[0]) is type(text) and cut(found[0], failure.MESSAGE) == text:
        return None
    return found


def attributes(kind, error):
    # type: (Any, Any) -> dict[str, Any]
    """Return what `error` has by name."""
    found = {}
    for base in of_class(kind, '__mro__') or ():
        members = of_class(base, '__dict__')
        for name in list(members):
            if type(members[name]).__name__ in STORED and usable(name):
                try:
                    found[name] = members[name].__get__(error, kind)
                except:
                    # It was not set.
                    pass
    try:
        stored = object.__getattribute__(error, '__dict__')
    except:
        stored = getattr(error, '__dict__', {})
    for name in list(stored):
        if usable(name):
            found[name] = stored[name]
    return found


def usable(name):
    # type: (Any) -> bool
    return type(name) is str and name[:1] != '_' and name not in APART and len(name) <= failure.NAME
