"""
Values on their way down: ``marshal`` version 2, readable by every Python.

Invariants:

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


class Handing(bytes):
    """A body that speaks of `channels`: who sends it hands them over, see ``channels.Holding``."""

    channels: list[Any]


VERSION = sys.version_info[:3]
# What is seen at a glance to be no code object.
PLAIN = frozenset((type(None), bool, int, float, str, bytes))


def encode_call(
    module: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], context: Any = None
) -> bytes:
    """Return the body of a CALL frame for `context`."""
    value = module, name, args, kwargs
    try:
        data = marshal.dumps(value, 2)
        if CODE not in data or not (holds_code(args) or holds_code(kwargs)):
            return data
    except ValueError:
        # Not all of it is plain.
        pass
    return encode(value, f'{module}.{name}', context)


def encode(value: Any, what: str, context: Any = None) -> bytes:
    """Return `value` for the way down to `context`; `what` names it in errors."""
    try:
        data = marshal.dumps(value, 2)
        if not is_marked(value) and (CODE not in data or not holds_code(value)):
            return data
    except ValueError:
        # Not all of it is plain.
        pass
    met: list[Any] = []
    handed: list[Any] = []
    try:
        flat = rich.flat(value, met.append)
        for item in met:
            if type(item) in TYPES:
                classes.provide(context, type(item))
            else:
                item.check_handing(context)
                handed.append(item)
    except TypeError as error:
        raise TypeError(f'{what}: {error}') from error.__cause__
    except RecursionError:
        raise too_deep(what) from None
    try:
        data = marshal.dumps((Ellipsis, flat), 2)
        if handed:
            data = Handing(data)
            data.channels = handed
        return data
    except ValueError:
        raise too_deep(what) from None


def is_marked(value: Any) -> bool:
    """Would `value` be taken for what was taken apart?"""
    return type(value) is tuple and value != () and value[0] is Ellipsis


def too_deep(what: str) -> ValueError:
    return ValueError(f'{what}: a value is nested too deeply, or contains itself: send it in parts')


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
