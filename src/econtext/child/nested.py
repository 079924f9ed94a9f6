"""
The exceptions that an exception holds: the members of a group, the reason of a URLError.

An attribute that is an exception, or a tuple or list of exceptions alone, is told as what ``particulars`` tells of
these: in a dict by the name of the attribute, a description or a list of descriptions.

Invariants:

* At most MOST exceptions are told of, LEVELS deep, in ROOM bytes, and as many more that say how many are left out of
  a list: a group never has fewer members in silence.
* One that cannot be described costs itself, and not the others.
* What is made of it here is made of the classes that `find` knows, by no constructor but that of a group.

Fetched when the first such exception is raised.  Any thread may enter.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from econtext.child import particulars
from econtext.child.labels import cut, message, type_name
from econtext.core.codec import encode

MOST = 1000     # exceptions within one
LEVELS = 20     # of exceptions within exceptions
ROOM = 1 << 22  # bytes
TEXT = 4000     # characters of one for which there is little room


def inner(kind, error, entries):
    # type: (Any, Any, Any) -> dict[Any, Any]
    """Return what `error` holds; with the tracebacks that `entries` gives, if that is not None."""
    return Teller(entries).inner(kind, error, LEVELS)


class Teller(object):
    """Tells of exceptions within one, within the bounds."""

    def __init__(self, entries):
        # type: (Any) -> None
        self.entries = entries
        self.left = MOST  # type: int
        self.room = ROOM  # type: int

    def inner(self, kind, error, levels):
        # type: (Any, Any, int) -> dict[Any, Any]
        found = {}
        if levels:
            for name, value in sorted(particulars.errors(kind, error).items()):
                if isinstance(value, (tuple, list)):
                    told = self.several(value, levels - 1)  # type: Any
                else:
                    told = self.one(value, levels - 1)
                if told:
                    found[name] = told
        return found

    def several(self, errors, levels):
        # type: (Any, int) -> list[Any]
        told = []
        for error in errors:
            one = self.one(error, levels)
            if one is None:
                break
            told.append(one)
        missing = len(errors) - len(told)
        if told and missing:
            told.append(('Exception', '%d more exceptions are left out' % missing, '', [], None, {}, {}))
        return told

    def one(self, error, levels):
        # type: (Any, int) -> Any
        """Return the description of `error`; None where there is no room for it."""
        if not self.left:
            return None
        self.left -= 1
        kind = type(error)
        for attempt in self.whole, self.bare:
            try:
                told = attempt(kind, error)
                size = len(encode(told))
            except Exception:
                continue
            if size <= self.room:
                self.room -= size
                return told + (self.inner(kind, error, levels),)
        return None

    def whole(self, kind, error):
        # type: (Any, Any) -> tuple[Any, ...]
        text = cut(message(error), particulars.ONE)
        lines = ''
        if self.entries:
            lines = particulars.written(self.trace(kind, error, getattr(error, '__traceback__', None)))
        return (type_name(kind), text, lines, particulars.types_of(kind)) + particulars.plainly(kind, error, text)

    def trace(self, kind, error, trace):
        # type: (Any, Any, Any) -> list[Any]
        """Return the traceback of `error`, of a group without its members: each of them is told of, and has its own."""
        if particulars.of_group(error, 'exceptions') is None:
            return self.entries(kind, error, trace)     # type: ignore[no-any-return]
        # Not by what formats exceptions, which looks at all members, of the same group each time it is met.
        import traceback
        return traceback.format_tb(trace) + ['%s: %s\n' % (type_name(kind), cut(message(error), TEXT))]

    def bare(self, kind, error):
        # type: (Any, Any) -> tuple[Any, ...]
        return type_name(kind), cut(message(error), TEXT), '', particulars.types_of(kind), None, {}


def made(told, make):
    # type: (Any, Any) -> dict[Any, Any]
    """Return the exceptions that were told of, each as `make` makes it of its description; a list as a tuple."""
    found = {}
    for name in told:
        if isinstance(told[name], list):
            found[name] = tuple([make(each) for each in told[name]])
        else:
            found[name] = make(told[name])
    return found
