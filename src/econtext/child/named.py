"""
Values of classes that the application registered: taken apart, and made again.

``econtext.register`` enters a class in ``registry.TYPES``, by itself and by its name.
On the wire such a value is its module, its name and its *state*: a dict of the
constructor's arguments, a tuple of them, or the name of a member of an Enum.

Invariants:

* A value is made by its constructor, or by the function that was registered for
  it: what these refuse is never there.
* Nothing is lost: what the constructor does not take is refused, not left out.
* An instance of a subclass is of another class.
* ``build`` imports nothing; ``receive``, which does, is for what comes from above.

Pure.  Sent ahead where the program has registered a class.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from econtext.core.codec import Text, native
from econtext.child.registry import TYPES

VARIABLE = 12   # in the flags of a function's code: it takes *args or **kwargs
REMEDY = 'give econtext.register() a reduce= and a restore= for it'
WAYS = {}       # type: dict[Any, Any]


class Fields(object):
    """The parameters of the constructor, each of them an attribute of the value."""

    def __init__(self, kind):
        # type: (Any) -> None
        self.kind = kind
        self.names = parameters(kind)  # type: tuple[str, ...]

    def apart(self, value):
        # type: (Any) -> dict[str, Any]
        state = {}
        for name in self.names:
            try:
                state[name] = getattr(value, name)
            except AttributeError:
                try:
                    state[name] = getattr(value, '_' + name)
                except AttributeError:
                    raise TypeError(
                        'a %s cannot cross between contexts: its constructor takes %s, and it '
                        'has no such attribute: %s' % (label(self.kind), name, REMEDY))
        check_whole(value, self.kind, state)
        return state

    def build(self, state):
        # type: (Any) -> Any
        if type(state) is not dict or len(state) != len(self.names):
            raise TypeError('other fields than %s' % ', '.join(self.names))
        for name in self.names:
            if name not in state:
                raise TypeError('other fields than %s' % ', '.join(self.names))
        return self.kind(**dict([(native(name), state[name]) for name in self.names]))


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
        return value.name

    def build(self, state):
        # type: (Any) -> Any
        if not isinstance(state, (str, Text)) or state not in self.kind.__members__:
            raise TypeError('no member of it')
        return self.kind[native(state)]


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
        elif hasattr(kind, '__members__'):
            found = Member(kind)
        elif hasattr(kind, '_fields') and issubclass(kind, tuple):
            found = Items(kind)
        else:
            found = Fields(kind)
        WAYS[entry] = found
    return found


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


def parameters(kind):
    # type: (Any) -> tuple[str, ...]
    """Return the names that the constructor of `kind` takes."""
    function = getattr(kind, '__init__', None)
    function = getattr(function, 'im_func', function)
    code = getattr(function, '__code__', None) or getattr(function, 'func_code', None)
    if code is None:
        raise TypeError('%s has no __init__ that tells what it is made of: %s' % (label(kind), REMEDY))
    if code.co_flags & VARIABLE or getattr(code, 'co_posonlyargcount', 0) > 1:
        raise TypeError('%s: its __init__ takes arguments without a name: %s' % (label(kind), REMEDY))
    count = code.co_argcount + getattr(code, 'co_kwonlyargcount', 0)
    return tuple(code.co_varnames[1:count])


def check_whole(value, kind, state):
    # type: (Any, Any, Any) -> None
    """Refuse a value that has attributes of which `state` says nothing."""
    for name in held(value, kind):
        if name in state or name[:2] == '__' == name[-2:]:
            continue
        if name[:1] == '_' and name[1:] in state:
            continue
        if hasattr(getattr(kind, name, None), 'attrname'):
            # A cached property, which is found again.
            continue
        raise TypeError(
            'a %s cannot cross between contexts: it has the attribute %s, and its constructor '
            'does not take it: %s' % (label(kind), name, REMEDY))


def held(value, kind):
    # type: (Any, Any) -> list[str]
    """Return the names of the attributes that `value` itself has."""
    found = list(getattr(value, '__dict__', ()))
    for base in getattr(kind, '__mro__', ()):
        slots = base.__dict__.get('__slots__', ())
        if isinstance(slots, str):
            slots = (slots,)
        for name in slots:
            if name[:2] == '__' != name[-2:]:
                name = '_%s%s' % (base.__name__.lstrip('_'), name)
            if hasattr(value, name):
                found.append(name)
    return found


def label(kind):
    # type: (Any) -> str
    return '%s.%s' % (kind.__module__, getattr(kind, '__qualname__', kind.__name__))
