"""
What an answer says: a value, or what to raise.

Invariants:

* An answer that makes no sense ends the context that gave it; what fails here for
  another reason is an InternalError, and ends nobody.
* An answer is decoded by who wants the answer, and not beyond the deadline of that caller.

Any thread may enter.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from econtext.child import nested
from econtext.controller.errors import CorruptStream, EcontextError, internal_error
from econtext.controller.raised import CallError, call_error
from econtext.controller.runtime.deadlines import Expired
from econtext.controller.session import import_check, syntax_check
from econtext.controller.text import shown
from econtext.core.wire import ERROR, RESULT, BadFrame
from econtext.parent.values import Unusable, decode

if TYPE_CHECKING:
    from econtext.controller.session.interfaces import Peer

SHORT = 1 << 12     # bytes that are decoded at once, whatever they say
FAILED = -1     # in the place of a kind: we could not take the answer in, and the body says why


def clock(deadline: float | None, size: int) -> Callable[[], None] | None:
    """Return what raises Expired once `deadline` has passed, None where `size` bytes need none."""
    if deadline is None or size <= SHORT:
        return None
    last = deadline

    def look() -> None:
        if time.monotonic() > last:
            raise Expired

    return look


def outcome(context: Peer, kind: int | None, body: Any, deadline: float | None = None) -> Any:
    """Return or raise what an answer says; raise Expired if that takes beyond `deadline`."""
    __tracebackhide__ = True
    try:
        if kind == RESULT:
            if deadline is None:
                return decode(body, context)
            return decode(body, context, clock(deadline, len(body)))
        if kind == ERROR:
            described = description(decode(body, context, clock(deadline, len(body))))
            hint = syntax_check.hint(context, described) or import_check.hint(described)
            raise call_error(context.name, described, hint)
        if kind == FAILED:
            raise body
    except Unusable as error:
        # What a constructor raised is the cause.
        raise CallError(context.name, error.kind, f'the result {error}', '') from error.cause
    except (EcontextError, Expired):
        raise
    except BadFrame as error:
        context.broker.corrupt(context, str(error))
        raise CorruptStream(
            f'{context.name}: its answer makes no sense ({shown(str(error))}); the context was ended'
        ) from None
    except Exception as error:
        raise internal_error(f'{context.name}: its answer could not be taken in', error) from error
    raise context.reason()


def description(value: Any) -> Any:
    """Return what is a description of an exception; raise BadFrame for what is none."""
    if not is_description(value, nested.LEVELS, [nested.MOST * 2]):
        raise BadFrame('no description of an exception')
    return value


def is_description(value: Any, levels: int, left: list[int]) -> bool:
    """Is `value` one, of so many levels of exceptions within it, of which so many are `left`?"""
    if not (type(value) is tuple and len(value) in (5, 6, 7) and all(isinstance(text, str) for text in value[:3])
            and isinstance(value[3], (list, tuple)) and all(is_type_name(name) for name in value[3][:50])
            and (value[4] is None or type(value[4]) is tuple) and type((*value, {})[5]) is dict):
        return False
    inner = value[6] if len(value) > 6 else {}
    if type(inner) is not dict or not all(isinstance(name, str) for name in inner):
        return False
    for told in inner.values():
        several = told if type(told) is list else [told]
        left[0] -= len(several)
        if levels <= 0 or left[0] < 0 or not all(is_description(each, levels - 1, left) for each in several):
            return False
    return True


def is_type_name(name: Any) -> bool:
    """Is `name` that of a built-in type, or a module with the name of a type in that module?"""
    return isinstance(name, str) or (
        isinstance(name, (list, tuple)) and len(name) == 2 and all(isinstance(part, str) for part in name))
