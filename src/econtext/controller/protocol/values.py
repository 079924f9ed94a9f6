"""
Values on their way down: ``marshal``, as the Python of the context reads it.

Python 2.4 reads no binary floats, which are ``marshal`` version 2, and no sets in any
version.  So until a context has said what Python it has, it is sent what 2.4 reads:
version 1, and sets taken apart.

Invariants:

* What is sent before HELLO, or to a Python before 2.5, every Python reads.
* What may not cross raises TypeError before anything is sent, and what is nested too
  deeply ValueError: the limit is that of the way up, which every Python can carry.
* No code object is ever sent as a value: between versions it would crash the
  interpreter that reads it.

Pure; any thread may enter.
"""

from __future__ import annotations

import marshal
import sys
import types
from typing import Any

from econtext.child.labels import DEEPEST, TOO_DEEP
from econtext.child.registry import TYPES
from econtext.controller.protocol import classes

CODE = b'c'
FIRST = 1   # version of marshal that every Python reads
BINARY = 2  # the one with binary floats, which Python 2.5 brought
# No more bytes than this are not deeper: a dict in a dict takes three.
SHALLOW = DEEPEST * 3


class Handing(bytes):
    """A body that speaks of `channels`: who sends it hands them over, see ``channels.Holding``."""

    channels: list[Any]
    fresh: list[Any]    # those of them that were never handed over before


VERSION = sys.version_info[:3]
# What is seen at a glance to be no code object.
PLAIN = frozenset((type(None), bool, int, float, str, bytes))


def encode_call(
    module: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], context: Any = None, label: str = ''
) -> bytes:
    """Return the body of a CALL frame for `context`; errors call the function `label` if that is not its name."""
    value = module, name, args, kwargs
    version = FIRST if context is None else context.marshal_version
    try:
        data = marshal.dumps(value, version)
        if ((CODE not in data and len(data) < SHALLOW) or not (
                holds_code(args, DEEPEST + 1) or holds_code(kwargs, DEEPEST + 1))) and (
                version != FIRST or not holds_sets(value)):
            return data
    except ValueError:
        # Not all of it is plain.
        pass
    except RecursionError:
        raise too_deep(label or f'{module}.{name}') from None
    return encode(value, label or f'{module}.{name}', context, DEEPEST + 2)


def encode(value: Any, what: str, context: Any = None, levels: int = DEEPEST) -> bytes:
    """Return `value`, of so many levels at most, for the way down to `context`; `what` names it in errors."""
    version = FIRST if context is None else context.marshal_version
    try:
        data = marshal.dumps(value, version)
        if not is_marked(value) and (
                (CODE not in data and len(data) < SHALLOW) or not holds_code(value, levels)) and (
                version != FIRST or not holds_sets(value)):
            return data
    except ValueError:
        # Not all of it is plain.
        pass
    except RecursionError:
        raise too_deep(what) from None
    from econtext.child import rich  # most programs send plain values alone

    met: list[Any] = []
    handed: list[Any] = []

    def meet(item: Any) -> tuple[str, str] | None:
        if isinstance(item, rich.FUNCTIONS):
            return classes.place_of(context, item)
        met.append(item)
        return None

    try:
        flat = rich.flat(value, meet)
        holds_code(flat, levels)
        if version == FIRST:
            flat = rich.without_sets(flat)
        for item in met:
            if type(item) in TYPES:
                classes.provide(context, type(item))
            else:
                # What is handed stands for itself, or for another.
                handed.append(item._check_handing(context))
    except TypeError as error:
        raise TypeError(f'{what}: {error}') from error.__cause__
    except RecursionError:
        raise too_deep(what) from None
    data = marshal.dumps((Ellipsis, flat), version)
    if handed:
        data = Handing(data)
        data.channels = handed
    return data


def head_of_bytes(size: int) -> bytes:
    """Return what goes before `size` bytes, for them to be read as one value by any Python."""
    return b's' + size.to_bytes(4, 'little')


def is_marked(value: Any) -> bool:
    """Would `value` be taken for what was taken apart?"""
    return type(value) is tuple and value != () and value[0] is Ellipsis


def too_deep(what: str) -> ValueError:
    return ValueError(f'{what}: a value {TOO_DEEP}')


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
    for item in items:  # noqa: SIM110 -- a generator takes twice the time, for each context that starts
        if type(item) not in PLAIN and holds_sets(item):
            return True
    return False


def holds_code(value: Any, levels: int = DEEPEST) -> bool:
    """
    Is there a code object in `value`, which marshal took as plain?

    Raises RecursionError if more than `levels` containers stand in each other.
    """
    kind = type(value)
    if kind is tuple or kind is list or kind is set or kind is frozenset:
        items = value
    elif kind is dict:
        items = (*value, *value.values()) if value else ()
    else:
        return kind is types.CodeType
    if levels <= 0:
        raise RecursionError
    for item in items:  # noqa: SIM110 -- a generator takes twice the time, and this is done for most calls
        if type(item) not in PLAIN and holds_code(item, levels - 1):
            return True
    return False
