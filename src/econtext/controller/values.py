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
from collections.abc import Iterator
from typing import Any

from econtext.core import rich

CODE = b'c'


VERSION = sys.version_info[:3]
# What is seen at a glance to be no code object.
PLAIN = frozenset((type(None), bool, int, float, str, bytes))


def encode_call(
    module: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], context: Any = None
) -> bytes:
    """Return the body of a CALL frame for `context`."""
    return encode((module, name, args, kwargs), f'{module}.{name}', context)


def encode(value: Any, what: str, context: Any = None) -> bytes:
    """Return `value` for the way down to `context`; `what` names it in errors."""
    try:
        data = marshal.dumps(value, 2)
        if CODE not in data or not holds_code(value):
            return data
    except ValueError:
        # Not all of it is plain.
        pass
    try:
        for channel in channels_in(value):
            channel.hand_to(context)
        return marshal.dumps((Ellipsis, rich.flat(value)), 2)
    except TypeError as error:
        raise TypeError(f'{what}: {error}') from None
    except (RecursionError, ValueError):
        raise ValueError(
            f'{what}: a value is nested too deeply, or contains itself: send it in parts'
        ) from None


def channels_in(value: Any) -> Iterator[Any]:
    """Find the channels in `value`."""
    if isinstance(value, (tuple, list, set, frozenset)):
        for item in value:
            yield from channels_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from channels_in(item)
    elif hasattr(value, 'hand_to'):
        yield value


def holds_code(value: Any) -> bool:
    """Is there a code object in `value`, which marshal took as plain?"""
    kind = type(value)
    if kind is tuple or kind is list or kind is set or kind is frozenset:
        items = value
    elif kind is dict:
        items = (*value, *value.values())
    else:
        return kind is types.CodeType
    for item in items:  # noqa: SIM110 -- a generator takes twice the time, and this is done for most calls
        if type(item) not in PLAIN and holds_code(item):
            return True
    return False
