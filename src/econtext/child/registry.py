"""
The classes that the application registered, whose values may cross.

Invariants:

* One table for the process: each class stands in it by itself and by its name.
* What a name on the wire stands for is looked up here alone.

Follows the preamble.  Any thread may enter.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import sys

# Classes that the application registered, by themselves and by (module, name):
# (class, module, name, the module that registers it, reduce, restore).
TYPES = {}  # type: dict[Any, Any]


def register(kind, reduce=None, restore=None):
    # type: (Any, Any, Any) -> Any
    """Let values of the class `kind` cross; what it may be the program has judged."""
    enter(kind, kind.__module__, sys._getframe(1).f_globals['__name__'], reduce, restore)
    return kind


def enter(kind, module, home, reduce, restore):
    # type: (Any, str, str, Any, Any) -> None
    name = getattr(kind, '__qualname__', kind.__name__)
    TYPES[kind] = TYPES[module, name] = kind, module, name, home, reduce, restore
