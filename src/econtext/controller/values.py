"""
Values on their way down: ``marshal``, as the Python of the context reads it.

Python 2.4 reads no binary floats, which are ``marshal`` version 2, and no sets in any
version.  So until a context has said what Python it has, it is sent what 2.4 reads:
version 1, and sets taken apart.

Invariants:

* What is sent before HELLO, or to a Python before 2.5, every Python reads.

* What may not cross raises TypeError before anything is sent.
* No code object is ever sent as a value: between versions it would crash the
  interpreter that reads it.
"""

from __future__ import annotations

import marshal
import sys
import types
from typing import Any

from econtext.controller import classes
from econtext.core import rich
from econtext.core.face import TYPES

CODE = b'c'
FIRST = 1   # version of marshal that every Python reads
BINARY = 2  # the one with binary floats, which Python 2.5 brought


VERSION = sys.version_info[:3]
# What is seen at a glance to be no code object.
PLAIN = frozenset((type(None), bool, int, float, str, bytes))


def encode_call(
    module: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], context: Any = None
) -> bytes:
    """Return the body of a CALL frame for `context`."""
    value = module, name, args, kwargs
    version = FIRST if context is None else context.marshal_version
    try:
        data = marshal.dumps(value, version)
        if (CODE not in data or not (holds_code(args) or holds_code(kwargs))) and (
                version != FIRST or not holds_sets(value)):
            return data
    except ValueError:
        # Not all of it is plain.
        pass
    return encode(value, f'{module}.{name}', context)


def encode(value: Any, what: str, context: Any = None) -> bytes:
    """Return `value` for the way down to `context`; `what` names it in errors."""
    version = FIRST if context is None else context.marshal_version
    try:
        data = marshal.dumps(value, version)
        if not is_marked(value) and (CODE not in data or not holds_code(value)) and (
                version != FIRST or not holds_sets(value)):
            return data
    except ValueError:
        # Not all of it is plain.
        pass
    met: list[Any] = []
    try:
        flat = rich.flat(value, met.append)
        if version == FIRST:
            flat = rich.without_sets(flat)
        for item in met:
            if type(item) in TYPES:
                classes.provide(context, type(item))
            else:
                item.hand_to(context)
    except TypeError as error:
        raise TypeError(f'{what}: {error}') from error.__cause__
    except RecursionError:
        raise too_deep(what) from None
    try:
        return marshal.dumps((Ellipsis, flat), version)
    except ValueError:
        raise too_deep(what) from None


def is_marked(value: Any) -> bool:
    """Would `value` be taken for what was taken apart?"""
    return type(value) is tuple and value != () and value[0] is Ellipsis


def too_deep(what: str) -> ValueError:
    return ValueError(f'{what}: a value is nested too deeply, or contains itself: send it in parts')


def plainest(value: Any) -> bytes:
    """Return our own `value`, without sets, for a context of any Python."""
    return marshal.dumps(value, FIRST)


def version_for(python: tuple[int, ...]) -> int:
    """Return the version of marshal for that Python; for (), which one it is is unknown."""
    return FIRST if python < (2, 5) else BINARY


def holds_sets(value: Any) -> bool:
    """Is there a set in `value`, which marshal took as plain?"""
    kind = type(value)
    if kind is tuple or kind is list:
        items = value
    elif kind is dict:
        items = (*value, *value.values())
    else:
        return kind is set or kind is frozenset
    return any(type(item) not in PLAIN and holds_sets(item) for item in items)


def holds_code(value: Any) -> bool:
    """Is there a code object in `value`, which marshal took as plain?"""
    kind = type(value)
    if kind is tuple or kind is list or kind is set or kind is frozenset:
        items = value
    elif kind is dict:
        items = (*value, *value.values()) if value else ()
    else:
        return kind is types.CodeType
    for item in items:  # noqa: SIM110 -- a generator takes twice the time, and this is done for most calls
        if type(item) not in PLAIN and holds_code(item):
            return True
    return False
