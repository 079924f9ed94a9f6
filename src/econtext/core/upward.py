"""
Call functions of the program that started all this, where it allowed them.

Invariants:

* The answer is taken from the controller alone.
* Whoever asks gets what the function returned, or hears why not.

Fetched when first used.  Any thread may enter.
"""
import marshal
import sys
try:
    from _thread import get_ident
except ImportError:
    from thread import get_ident

from econtext.core.codec import encode
from econtext.core.kinds import ASKED
from econtext.core.loop import Waiter
from econtext.core.wire import ERROR, RESULT

BUILTINS = sys.modules[len.__module__]


def call(child, function, args, kwargs):
    # type: (Any, Any, tuple[Any, ...], dict[str, Any]) -> Any
    """Run `function`, or what has that dotted name, in the program; return its result."""
    module, name = place(function)
    # The controller tells by it whether calls would wait for each other.
    holds = get_ident() in list(child.supervisor.running.values())
    waiter = Waiter(child.loop)
    child.router.ask(ASKED, 0, encode((module, name, args, kwargs, holds)), waiter.settle)
    child.loop.wait(waiter)
    if waiter.kind == RESULT:
        return child.restore(marshal.loads(waiter.body))  # type: ignore[arg-type]
    package = sys.modules['econtext']  # type: Any
    if waiter.kind == ERROR:
        refused, text, bases = marshal.loads(waiter.body)  # type: ignore[arg-type]
        if not isinstance(text, str):
            text = text.encode('utf-8')
        if refused:
            raise package.NotAllowed(text)
        raise error(package.CallError, bases)(text)
    raise package.ContextLost('the program was lost before it answered')


def place(function):
    # type: (Any) -> tuple[str, str]
    """Return the module and the name in it that say where `function` is found."""
    if hasattr(function, 'rfind'):
        dot = function.rfind('.')
        return function[:dot], function[dot + 1:]
    return function.__module__, getattr(function, '__qualname__', function.__name__)


def error(kind, bases):
    # type: (Any, list[str]) -> Any
    """Return `kind` as one that is also the first of the built-in exceptions `bases`."""
    for name in bases:
        base = getattr(BUILTINS, str(name), None)
        if base is not None and base not in (Exception, StopIteration):
            try:
                # Before Python 2.5 exceptions are classes of the old kind.
                return type(kind)('CallError', (kind, base), {'__module__': 'econtext'})
            except TypeError:
                # Its layout fits no other.
                break
    return kind
