"""
Values of classes that the application registered: taken apart, and made again.

``econtext.register`` enters a class in ``registry.TYPES``, by itself and by its name.
On the wire such a value is its module, its name and its *state*: a dict of the
constructor's arguments, a tuple of them, the name of a member of an Enum, or the number of a Flag.

Invariants:

* A value is made by its constructor, or by the function that was registered for
  it: what these refuse is never there.
* Nothing is lost: what the constructor does not take is refused, not left out.
* An instance of a subclass is of another class.
* ``build`` imports nothing of the application; ``receive``, which does, is for what comes from above.
* Values of a Flag, which its class keeps for ever, are at most MOST, each of so many bits.

Pure.  Sent ahead where the program has registered a class.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from econtext.child.fields import REMEDY, TEXTS, Fields, check_whole, label
from econtext.core.codec import Long, native
from econtext.child.registry import TYPES

MOST = 1 << 16      # values of a Flag that have no name of their own
BITS = 1 << 10      # of such a value
WAYS = {}       # type: dict[Any, Any]


class Items(object):
    """Those of a named tuple."""

    def __init__(self, kind):
        # type: (Any) -> None
        self.kind = kind

    def apart(self, value):
        # type: (Any) -> tuple[Any, ...]
        # On Python 2.7 it has a dict of these, which is made when asked for.
        check_whole(value, self.kind, self.kind._fields)
        return tuple(value)

    def build(self, state):
        # type: (Any) -> Any
        return self.kind(*arguments(state))


class Member(object):
    """The name of a member of an Enum."""

    def __init__(self, kind):
        # type: (Any) -> None
        self.kind = kind

    def apart(self, value):
        # type: (Any) -> Any
        if value.name not in self.kind.__members__:
            raise TypeError('a %s cannot cross between contexts: it is no member of its class: %s' % (
                label(self.kind), REMEDY))
        return value.name

    def build(self, state):
        # type: (Any) -> Any
        if not isinstance(state, TEXTS) or state not in self.kind.__members__:
            raise TypeError('no member of it')
        return self.kind[native(state)]


class Bits(object):
    """The number of a Flag: several members together have no name."""

    def __init__(self, kind):
        # type: (Any) -> None
        self.kind = kind

    def apart(self, value):
        # type: (Any) -> Any
        return number(value.value)

    def build(self, state):
        # type: (Any) -> Any
        known = self.kind._value2member_map_
        if number(state) not in known and len(known) >= MOST:
            raise TypeError('one of too many values')
        found = self.kind(state)
        if not isinstance(found, self.kind):
            raise TypeError('a number of no member')
        return found


def number(value):
    # type: (Any) -> Any
    if type(value) not in (int, Long) or abs(value) >> BITS:
        raise TypeError('no number of at most %d bits' % BITS)
    return value


class Pair(object):
    """What the application's own function returns, for another one, or for the class."""

    def __init__(self, kind, reduce, restore):
        # type: (Any, Any, Any) -> None
        self.kind = kind
        self.reduce = reduce
        self.restore = restore or kind  # type: Any

    def apart(self, value):
        # type: (Any) -> tuple[Any, ...]
        state = self.reduce(value)
        if type(state) is not tuple:
            from econtext.child import labels
            raise TypeError('reduce= of %s must return a tuple of arguments, not %s' % (
                label(self.kind), labels.seen(state)))
        return state

    def build(self, state):
        # type: (Any) -> Any
        return self.restore(*arguments(state))


def way(entry):
    # type: (Any) -> Any
    """Return what takes apart and builds values of an entry of TYPES."""
    found = WAYS.get(entry)
    if found is None:
        kind, reduce, restore = entry[0], entry[4], entry[5]
        if reduce:
            found = Pair(kind, reduce, restore)
        elif is_flag(kind):
            found = Bits(kind)
        elif hasattr(kind, '__members__'):
            found = Member(kind)
        elif hasattr(kind, '_fields') and issubclass(kind, tuple):
            found = Items(kind)
        else:
            found = by_constructor(kind)
        WAYS[entry] = found
    return found


def is_flag(kind):
    # type: (Any) -> bool
    """Is `kind` a Flag of ``enum``?"""
    if hasattr(kind, '__members__'):
        for base in kind.__mro__:
            if (base.__module__, base.__name__) == ('enum', 'Flag'):
                return True
    return False


def by_constructor(kind):
    # type: (Any) -> Any
    """Return what takes apart and builds values by what the constructor takes."""
    for mark in '__attrs_attrs__', '__pydantic_fields__', '__fields__':
        if hasattr(kind, mark):
            from econtext.child import models
            found = models.way(kind)
            if found:
                return found
    return Fields(kind)


def take_apart(value, kind):
    # type: (Any, Any) -> tuple[Any, ...]
    """Return (module, name, state), and behind it who registers it if it is another module."""
    entry = TYPES[kind]
    parts = entry[1], entry[2], way(entry).apart(value)
    if entry[3] != entry[1]:
        return parts + (entry[3],)
    return parts


def build(entry, state):
    # type: (Any, Any) -> Any
    """Make a value again; raises whatever its constructor does, TypeError for another state."""
    return way(entry).build(state)


def receive(module, name, state, home=None):
    # type: (Any, Any, Any, Any) -> Any
    """Make a value that came from above: the modules that register it are imported."""
    key = native(module), native(name)
    for place in native(home or module), key[0]:
        if key not in TYPES:
            __import__(place)
    if key not in TYPES:
        raise TypeError(
            '%s.%s is registered where it was sent, and not in this context: call '
            'econtext.register at the top of a module, which both import' % key)
    return build(TYPES[key], state)


def arguments(state):
    # type: (Any) -> Any
    if type(state) is not tuple:
        raise TypeError('no tuple of arguments')
    return state
