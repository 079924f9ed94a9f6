"""
What went wrong in a call, in plain values: the text and the traceback of an exception,
its types by name, its arguments and attributes.

Invariants:

* All of it has a bound, whatever the exception holds; a long text is in it once.
* Arguments and attributes are read as they are stored: no property, and no
  ``__getattr__``, is asked.
* Only plain values are sent, and those of the standard library that are made of
  them: no context, channel or Secret, nothing of a registered class.  Exceptions that
  it holds are told in the same form, by ``nested``.
* Each takes at most ONE bytes, all together ALL: of a text or bytes the middle is
  left out, any other value as a whole.

Follows the preamble; imported when the first call fails.  Any thread may enter.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import sys

from econtext.core.codec import Long, Text, encode
from econtext.child.labels import BUILTINS, MESSAGE, NAME, TOO_DEEP, cut, exact, message, of_class, place, type_name
from econtext.core.wire import EMPTY

try:
    ARGUMENTS = BaseException.__dict__['args']  # type: Any
    ERRORS = BaseException  # type: Any
except NameError:
    ARGUMENTS, ERRORS = None, Exception

GROUP = getattr(sys.modules[BUILTINS], 'BaseExceptionGroup', None)

ENCODER = 'econtext.core.codec'
TRACE = 1 << 18     # characters of a traceback
ENTRY = 4000        # of a line in a traceback, or of the text at its end
FIRST, LAST = 30, 70    # frames of a traceback: those between are left out
TYPES = 50          # classes of which one is made
ONE, ALL = 1 << 20, 1 << 22     # bytes
MOST = 100      # attributes
ITEMS = 10000   # in one value
DEPTH = 20
BITS = 14000    # of a number: of one with more than 4,300 digits Python makes no text
ATOMS = type(None), bool, int, Long, float, complex
TEXTS = str, Text, type(EMPTY)
# What else of ``rich`` is made of plain values alone, whatever it is.
MADE = ('date datetime time timedelta decimal uuid range fraction bytes path posixpath '
        'windowspath complex set frozenset').split()
STORED = 'member_descriptor', 'getset_descriptor'
NOTES = '__notes__'     # what add_note() of Python 3.11 has added
# The arguments go apart, and the message is the text; the object in which an attribute is
# missed may be the whole program; what was to be imported of a module Python would import,
# where it shows the exception, to guess at what was meant.
APART = 'args', 'message', 'obj', 'name_from'


def describe(kind, error, trace, lines, inner):
    # type: (Any, Any, Any, list[Any], tuple[Any, ...]) -> bytes
    """Encode (type name, message, traceback, types, arguments, attributes), and what ``nested`` tells, if anything.

    `lines` is the traceback, as the module of that name has it.  This module does not import that one, for a hop
    that just starts a context is to do without: while one thread first imports `collections.abc` on 3.13 another
    gets an empty one.
    """
    name, text = type_name(kind), cut(message(error), MESSAGE)
    lines = written(lines)
    if not is_refusal(trace):
        return encode((name, text, lines, types_of(kind)) + plainly(kind, error, text) + inner)
    # Ours: no TypeError or RecursionError of the function.
    if isinstance(error, RuntimeError):
        name, text = 'ValueError', 'the result ' + TOO_DEEP
    return encode((name, text, lines, [], None, {}))


def errors(kind, error):
    # type: (Any, Any) -> dict[str, Any]
    """Return those attributes of `error` that are exceptions, or lists or tuples of these; for a group its members."""
    found = {}
    try:
        for name, value in list(attributes(kind, error).items()) + [('exceptions', of_group(error, 'exceptions'))]:
            items = [value]
            if type(value) in (tuple, list):
                items = value
            if items and not [item for item in items if not isinstance(item, ERRORS)]:
                found[name] = value
    except:
        # It fails where it is looked at.
        pass
    return found


def of_group(error, name):
    # type: (Any, str) -> Any
    """Return the `exceptions` or the `message` of a group; None if it is none."""
    for base in of_class(type(error), '__mro__') or ():
        if base is GROUP:
            return of_class(base, '__dict__')[name].__get__(error)
        if place(base) == ('exceptiongroup', 'BaseExceptionGroup'):
            # Before Python 3.11, of the package from PyPI.
            return object.__getattribute__(error, '__dict__').get('_' + name)


def is_refusal(trace):
    # type: (Any) -> bool
    """Did the function return, and its result could not be encoded?"""
    inner = trace and trace.tb_next
    return bool(inner) and inner.tb_frame.f_globals.get('__name__') == ENCODER


def written(lines):
    # type: (list[Any]) -> Any
    """Return a traceback of these entries: of many frames the first and the last."""
    found, frames = [], []  # type: list[Any], list[Any]
    for line in lines + ['']:
        if line.lstrip(' |+-').startswith('File "'):
            frames.append(cut(line, ENTRY))
            continue
        if len(frames) > FIRST + LAST:
            frames[FIRST:-LAST] = ['  ... %d more calls are left out ...\n' % (len(frames) - FIRST - LAST)]
        found += frames
        found.append(cut(line, ENTRY))
        frames = []
    return cut(exact(''.join(found)), TRACE)


def types_of(kind):
    # type: (Any) -> list[Any]
    """Name a class and its bases: a built-in one by its name, another by (module, name)."""
    try:
        bases = of_class(kind, '__mro__') or lineage(kind)
        places = [place(base) for base in bases[:TYPES]]
        return [module and (module, name) or name for module, name in places if module is not None]
    except:
        return []


def lineage(kind):
    # type: (Any) -> list[Any]
    """A class and its bases, where it is of the old kind, as all exceptions are before 2.5."""
    found = [kind]
    for base in getattr(kind, '__bases__', ()):
        found += lineage(base)
    return found


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
        self.left = ITEMS  # type: int

    def copy(self, value, depth):
        # type: (Any, int) -> Any
        """Return a copy of `value`, of no subclass; raise TypeError if it is not plain."""
        kind = type(value)
        self.left -= 1
        if depth < 0 or self.left < 0:
            raise TypeError('too large')
        if kind in (int, Long) and abs(value) >> BITS:
            raise TypeError('a number that cannot be shown')
        if kind in ATOMS:
            return value
        if kind in TEXTS:
            return cut(value, ONE)
        if kind in (tuple, list, set, frozenset):
            return kind([self.copy(item, depth - 1) for item in value])
        if kind is dict:
            return dict([(self.copy(key, depth - 1), self.copy(value[key], depth - 1)) for key in value])
        from econtext.child import rich
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
    """Return the arguments of `error`, of a group its message; None if it is its text alone."""
    try:
        found = ARGUMENTS.__get__(error)
    except (AttributeError, TypeError):
        # Before 2.5 they are an attribute like others; a text may be raised, too.
        found = getattr(error, 'args', None)
    if type(found) is not tuple:
        return None
    if of_group(error, 'exceptions'):
        return of_group(error, 'message'),
    if len(found) == 1 and type(found[0]) in TEXTS[:2] and cut(found[0], MESSAGE) == text:
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
        if usable(name) or name == NOTES:
            found[name] = stored[name]
    return found


def usable(name):
    # type: (Any) -> bool
    return type(name) is str and name[:1] != '_' and name not in APART and len(name) <= NAME
