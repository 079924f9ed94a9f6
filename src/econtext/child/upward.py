"""
Call functions of the program that started all this, where it allowed them.

Invariants:

* The answer is taken from the controller alone.
* Whoever asks gets what the function returned, or hears why not: by a CallError that
  is also of the type that was raised, where that is built in, registered, or of a
  module that is loaded here, with its arguments and attributes.

Fetched when first used.  Any thread may enter.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from econtext.child.interfaces import Home

import marshal
import sys

from econtext.core.codec import encode, native
from econtext.child.registry import TYPES
from econtext.child.labels import TOO_DEEP
from econtext.child.kinds import ASKED
from econtext.core.loop import Waiter, get_ident
from econtext.core.wire import ERROR, RESULT

BUILTINS = sys.modules[len.__module__]
GROUP = getattr(BUILTINS, 'BaseExceptionGroup', None)
HEAP = 1 << 9   # in the flags of a class: a `class` statement made it
STORED = 'member_descriptor', 'getset_descriptor'
CALL_IT = '__call__'    # Python 3.0 and 3.1 have no callable()
MADE = {}       # type: dict[Any, Any]
# What would be taken for something of this process: the end of its loop, a time or a future of its own.
NEVER = ['StopIteration', 'StopAsyncIteration', 'TimeoutError', ('asyncio.exceptions', 'TimeoutError')]  # type: list[Any]
NEVER.extend([('concurrent.futures._base', name) for name in ('TimeoutError', 'CancelledError', 'BrokenExecutor')])


def call(home, function, args, kwargs):
    # type: (Home, Any, tuple[Any, ...], dict[str, Any]) -> Any
    """Run `function`, or what has that dotted name, in the program; return its result."""
    module, name = place(function)
    # The controller tells by it whether calls would wait for each other.
    holds = get_ident() in list(home.supervisor.running.values())
    try:
        body = encode((module, name, args, kwargs, holds))
    except RuntimeError:
        # RecursionError, which is one of these.
        raise ValueError('%s.%s: an argument %s' % (module, name, TOO_DEEP))
    waiter = Waiter(home.loop)
    home.router.ask(ASKED, 0, body, waiter.settle)
    home.loop.wait(waiter)
    if waiter.kind == RESULT:
        return home.restore(marshal.loads(waiter.body))  # type: ignore[arg-type]
    package = sys.modules['econtext']  # type: Any
    if waiter.kind == ERROR:
        told = home.restore(marshal.loads(waiter.body))     # type: ignore[arg-type]
        if told[0]:
            raise package.NotAllowed(own(told[1]))
        raise made(package.CallError, told[2], own(told[1]), told[3], told[4], known, told[5:])
    raise package.ContextLost('the program was lost before it answered')


def place(function):
    # type: (Any) -> tuple[str, str]
    """Return the module and the name in it that say where `function` is found."""
    if hasattr(function, 'rfind'):
        dot = function.rfind('.')
        return function[:dot], function[dot + 1:]
    return function.__module__, getattr(function, '__qualname__', function.__name__)


def own(text):
    # type: (Any) -> str
    """Return a text that came as what this Python calls str."""
    if not isinstance(text, str):
        text = text.encode('utf-8')
    return text     # type: ignore[no-any-return]


def built_in(name):
    # type: (Any) -> Any
    """Return the built-in type of that name; None if there is none, or it is of no such name."""
    if isinstance(name, tuple):
        return None
    return getattr(BUILTINS, native(name), None)


def known(name):
    # type: (Any) -> Any
    """Return the type that is called so by the program, which is trusted, if it is here."""
    if not isinstance(name, tuple):
        return built_in(name)
    place = native(name[0]), native(name[1])
    if place in TYPES:
        return TYPES[place][0]
    return getattr(sys.modules.get(place[0]), place[1], None)


def made(kind, types, text, arguments, attributes, find, inner=()):
    # type: (Any, Any, str, Any, dict[str, Any], Any, Any) -> Any
    """Return an error with that text: a `kind`, and of the first of `types` that `find` knows.

    `inner` has, if anything, what ``nested`` tells of the exceptions in it.
    """
    held = {}   # type: dict[str, Any]
    if inner:
        from econtext.child import nested
        held = nested.made(inner[0], lambda told: made(kind, told[3], headed(told), told[4], told[5], find, told[6:]))
    members = held.get('exceptions')
    both = None
    for name in types:
        base = find(name)
        if base is Exception or name in NEVER:
            break
        if isinstance(base, type) and (issubclass(base, Exception) or is_group(base)):
            if not is_group(base) or isinstance(members, tuple):
                both = of_both(kind, base)
        if both:
            break
    form = both or of_both(kind, None) or kind
    error = blank(form, text, arguments, members)
    error.__dict__['text'] = text
    if not isinstance(arguments, tuple):
        arguments = (text,)
    if not is_group(form):
        error.args = arguments
    for found in attributes, held:
        for name in found:
            give(error, native(name), found[name])
    return error


def headed(told):
    # type: (Any) -> str
    return own('%s: %s' % (told[0], told[1]))


def is_group(kind):
    # type: (Any) -> bool
    return GROUP is not None and issubclass(kind, GROUP)


def blank(kind, text, arguments, members):
    # type: (Any, str, Any, Any) -> Any
    """Return an error of the class `kind`, made not by its constructor, which may want more."""
    form = kind
    while getattr(form, '__flags__', 0) & HEAP:
        form = form.__base__
    if is_group(kind):
        if arguments:
            text = arguments[0]
        return form.__new__(kind, text, list(members))
    try:
        return form.__new__(kind)
    except AttributeError:
        # Before 2.5.
        return kind(text)


def of_both(kind, base):
    # type: (Any, Any) -> Any
    """Return the class that is both, or if `base` is None just shows its text; None if there is none."""
    if (kind, base) not in MADE:
        bases = [kind, base]
        if base is None:
            bases = bases[:1]
        try:
            # Before Python 2.5 exceptions are classes of the old kind.
            MADE[kind, base] = type(kind)('CallError', tuple(bases), {
                '__module__': 'econtext', '__str__': shown, '__setattr__': Exception.__setattr__})
        except (AttributeError, TypeError):
            # Its layout fits no other.
            MADE[kind, base] = None
    return MADE[kind, base]


def shown(error):
    # type: (Any) -> Any
    return error.__dict__['text']


def give(error, name, value):
    # type: (Any, str, Any) -> None
    """Set an attribute, where it is none that a class has for a purpose."""
    for base in getattr(type(error), '__mro__', ()):
        if name in base.__dict__:
            member = base.__dict__[name]
            if type(member).__name__ in STORED:
                try:
                    member.__set__(error, value)
                except (AttributeError, TypeError, ValueError, OverflowError):
                    # Of a type that no honest one has.
                    pass
                return
            if hasattr(member, CALL_IT):
                return
            break
    error.__dict__[name] = value
