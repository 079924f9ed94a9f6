"""
Call functions in contexts below this one.

The controller does the same with more comfort; here is what code in a context
has, for a Context that it was handed as an argument.

Invariants:

* Only what lies below is called: nothing is sent that the parent would refuse.
* An answer is decoded as hostile, as everywhere above a child.
"""
import marshal
import sys

from econtext.core import rich
from econtext.core.codec import BYTES, Text
from econtext.core.loop import Waiter
from econtext.core.wire import CALL, EMPTY, ERROR, RESULT, BadFrame
from econtext.parent.values import Unusable, decode


def call(child, who, name, function, args, kwargs):
    # type: (Any, int, str, Any, tuple[Any, ...], dict[str, Any]) -> Any
    """Run `function` in context `who`, called `name`; return its result."""
    package = sys.modules['econtext']
    if who not in child.router.links:
        raise package.ContextLost(
            '%s: it is not below this context, or not any more' % name)
    module = function.__module__
    path = getattr(function, '__qualname__', function.__name__)
    if '<' in path:
        raise TypeError('%s: make it a function of a module' % path)
    # As the Pythons that read least read it: version 0, and no sets.
    body = marshal.dumps((Ellipsis, texts(rich.without_sets(rich.flat(
        (module, path, args, kwargs))))), 0)
    waiter = Waiter(child.loop)
    child.router.ask(CALL, who, body, waiter.settle)
    child.loop.wait(waiter)
    try:
        if waiter.kind == RESULT:
            return decode(waiter.body or EMPTY, child)
        if waiter.kind == ERROR:
            described = decode(waiter.body or EMPTY, child)
            raise package.CallError('%s: %s\n\nIn context %s:\n%s' % (
                described[0], described[1], name, described[2]))
    except Unusable:
        error = sys.exc_info()[1]
        raise package.CallError('%s: the result %s' % (name, error))
    except BadFrame:
        raise package.CorruptStream('%s: its answer makes no sense' % name)
    raise package.ContextLost('%s: it was lost before it answered' % name)


def texts(value):
    # type: (Any) -> Any
    """Return `value` with each str of Python 2 as the text that it is."""
    kind = type(value)
    if kind in (tuple, list):
        return kind([texts(item) for item in value])
    if kind is dict:
        return dict([(texts(key), texts(value[key])) for key in value])
    if kind is str and str is not Text and BYTES == 's':
        try:
            return value.decode('utf-8')
        except UnicodeError:
            # Not text: it arrives as bytes.
            pass
    return value
