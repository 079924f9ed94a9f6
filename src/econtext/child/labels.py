"""
What errors call things: classes by their names, exceptions by their texts, values by
their types.

Invariants:

* Nothing that is named here runs code of its own, but for the text of an exception.
* All of it has a bound; what a value holds is not shown.

Sent behind HELLO, beside what needs it.  Pure.  Any thread may enter.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import sys

from econtext.core.codec import Long, Text

DEEPEST = 200       # levels of nesting of a value that crosses, see ``parent.values``
MESSAGE = 1 << 20   # characters of the text of an exception
NAME = 200          # characters of the name of a class
TOO_DEEP = 'is nested too deeply (more than %d levels), or contains itself: send it in parts' % DEEPEST
BUILTINS = len.__module__
#: What is raised by a call of a context that is not below the caller's.
NOT_BELOW = '%s: it is not below this context, or not any more'
#: What is raised by a name of econtext that only the controller has.
ELSEWHERE = ('econtext.%s works only where the program was started, not in a context: keep it out of the functions '
             'called there, and put what starts the program under "if __name__ == \'__main__\'"')


def of_class(kind, name):
    # type: (Any, str) -> Any
    """Return an attribute that every class has: as it is, not as a metaclass says."""
    found = type.__dict__.get(name)
    if found is not None and isinstance(kind, type):
        return found.__get__(kind)
    return getattr(kind, name, None)


def place(kind):
    # type: (Any) -> tuple[Any, Any]
    """Return the module of a class, '' for the built-in ones, None for no class, and its name there."""
    name, module = of_class(kind, '__qualname__') or of_class(kind, '__name__'), of_class(kind, '__module__')
    if not isinstance(name, (str, Text)):
        name = str(kind)
    if not isinstance(module, (str, Text)):
        return None, exact(name)[:NAME]
    if module in (BUILTINS, 'exceptions'):
        module = ''
    return exact(module)[:NAME], exact(name)[:NAME]


def type_name(kind):
    # type: (Any) -> str
    try:
        module, name = place(kind)
    except:
        return 'Exception'
    name = name.split('.')[-1]
    if module:
        name = '%s.%s' % (module, name)
    return name


def sole(error):
    # type: (Any) -> Any
    """Return the text of the one argument of `error`."""
    argument, = error.args
    return Text(argument)


# To the text of an exception.
WAYS = [Text, str, repr]  # type: list[Any]
if sys.version_info < (2, 6):
    # ``unicode()`` gives no such text there.
    WAYS = [str, sole, repr]


def message(error):
    # type: (Any) -> Any
    for convert in WAYS:
        try:
            return exact(convert(error))
        except:
            pass
    return '<no message: __str__ and __repr__ fail>'


def exact(text):
    # type: (Any) -> Any
    """Return a text that is of no subclass, whose methods could be anything."""
    for kind in str, Text:
        if isinstance(text, kind):
            return kind.__getitem__(text, slice(None)) + kind()
    raise TypeError('no text')


def cut(text, most):
    # type: (Any, int) -> Any
    """Return `text` without its middle if it is longer than `most`, and so much said in its place."""
    if len(text) <= most:
        return text
    note = ' ... (%d characters are left out) ... ' % (len(text) - most)
    if not isinstance(text, (str, Text)):
        note = note.encode('ascii')     # type: ignore[assignment]
    return text[:most - most // 4] + note + text[-(most // 4):]


def seen(value):
    # type: (Any) -> str
    """
    Say for an error what `value` is, which may be anything: its type, and its name if it has one.

    What it holds is not shown: a secret may be in it, and its own code would run.  Numbers
    and short texts, of no subclass, are shown, and are not to be given where they are secret.
    """
    kind = type(value)
    if kind in (int, Long, float, bool, type(None)) and not (kind in (int, Long) and abs(value) >> 64):
        return repr(value)
    if kind in (str, Text) and len(value) <= NAME:
        return repr(value)
    name = type_name(kind)
    if name in ('type', 'classobj'):
        return 'the class ' + type_name(value)
    if name in ('method', 'instancemethod', 'builtin_function_or_method', 'method-wrapper'):
        owner = type(value).__dict__['__self__'].__get__(value)
        if owner is not None and type(owner).__name__ not in ('module', 'type'):
            return 'a bound method of ' + type_name(type(owner))
    return 'a ' + name
