"""
Values that are what their constructor was given: each of its parameters is an attribute.

Invariants:

* A value is made by its constructor, which gets what it takes, no more and no less.
* Nothing is lost: what the constructor does not take is refused, not left out.
* Of slots nothing is asked but what stands in them.

Pure.  Sent ahead where the program has registered a class.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from econtext.core.codec import Text, native

TEXTS = str, Text
VARIABLE = 12   # in the flags of a function's code: it takes *args or **kwargs
REMEDY = 'give econtext.register() a reduce= and a restore= for it'


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
            try:
                # Not by its name: attrs fills the slot of a cached property that is asked for.
                base.__dict__[name].__get__(value, kind)
                found.append(name)
            except (AttributeError, KeyError):
                pass
    return found


def label(kind):
    # type: (Any) -> str
    return '%s.%s' % (kind.__module__, getattr(kind, '__qualname__', kind.__name__))
