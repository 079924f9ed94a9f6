"""
Call functions in contexts below this one.

The controller does the same with more comfort; here is what code in a context
has, for a Context that it was handed as an argument.  Any thread that does not lead may enter.

Invariants:

* Only what lies below is called, see ``face``: nothing is sent that the parent would refuse.
* An answer is decoded as hostile, as everywhere above a home.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from econtext.child.interfaces import Home

import marshal
import sys

from econtext.child import rich, upward
from econtext.core.codec import BYTES, Text
from econtext.child.labels import DEEPEST, TOO_DEEP
from econtext.core.loop import Waiter
from econtext.core.wire import CALL, EMPTY, ERROR, RESULT, BadFrame
from econtext.parent.values import Unusable, decode


def call(home, who, name, function, args, kwargs):
    # type: (Home, int, str, Any, tuple[Any, ...], dict[str, Any]) -> Any
    """Run `function` in context `who`, called `name`; return its result."""
    package = sys.modules['econtext']
    module = function.__module__
    path = getattr(function, '__qualname__', function.__name__)
    if '<' in path:
        raise TypeError('%s: make it a function of a module' % path)
    try:
        # The call itself and its arguments are the first two levels.  As the Pythons that read
        # least read it: version 0, and no sets.
        body = marshal.dumps((Ellipsis, texts(rich.without_sets(rich.flat(
            (module, path, args, kwargs), hold_back)))), 0)
    except RuntimeError:
        # RecursionError, which is one of these.
        raise ValueError('%s.%s: an argument %s' % (module, path, TOO_DEEP))
    waiter = Waiter(home.loop)
    home.router.ask(CALL, who, body, waiter.settle)
    home.loop.wait(waiter)
    try:
        if waiter.kind == RESULT:
            return decode(waiter.body or EMPTY, home)
        if waiter.kind == ERROR:
            raise raised(package, name, decode(waiter.body or EMPTY, home))
    except Unusable:
        error = sys.exc_info()[1]
        raise package.CallError('%s: the result %s' % (name, error))
    except BadFrame:
        raise package.CorruptStream('%s: its answer makes no sense' % name)
    raise package.ContextLost('%s: it was lost before it answered' % name)


def raised(package, name, described):
    # type: (Any, str, Any) -> Any
    """Return the error for what ``child.failure.describe`` sent in context `name`."""
    try:
        kind, text, trace, types, arguments, attributes = described[:6]
        text = upward.own('%s: %s\n\nIn context %s:\n%s' % (kind, text, name, trace))
        # What comes from below has no say in what is looked up here.
        return upward.made(
            package.CallError, types[:50], text, arguments, attributes, upward.built_in, described[6:])
    except Exception:
        raise BadFrame('no description of an exception')


def hold_back(value):
    # type: (Any) -> None
    """Refuse what only the program can hand to another context."""
    if isinstance(value, sys.modules['econtext'].Channel):
        raise TypeError(
            'a channel cannot be handed on from one context to another: have the program open one with '
            'channel() of the context that is to have it, and call the function there itself')


def texts(value, left=DEEPEST + 2):
    # type: (Any, int) -> Any
    """Return `value` with each str of Python 2 as the text that it is; raise RuntimeError if it is too deep."""
    kind = type(value)
    if left <= 0:
        raise RuntimeError
    if kind in (tuple, list):
        return kind([texts(item, left - 1) for item in value])
    if kind is dict:
        return dict([(texts(key, left - 1), texts(value[key], left - 1)) for key in value])
    if kind is str and str is not Text and BYTES == 's':
        try:
            return value.decode('utf-8')
        except UnicodeError:
            # Not text: it arrives as bytes.
            pass
    return value
