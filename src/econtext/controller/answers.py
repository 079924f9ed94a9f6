"""
What an answer says: a value, or what to raise.

Invariants:

* An answer that makes no sense ends the context that gave it.

Any thread may enter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from econtext.controller import readable
from econtext.controller.errors import CallError, CorruptStream, EcontextError
from econtext.controller.raised import call_error
from econtext.controller.text import shown
from econtext.core.wire import ERROR, RESULT
from econtext.parent.values import Unusable, decode

if TYPE_CHECKING:
    from econtext.controller.context import Context

def outcome(context: Context, kind: int | None, body: Any) -> Any:
    """Return or raise what an answer says."""
    try:
        if kind == RESULT:
            return decode(body, context)
        if kind == ERROR:
            described = decode(body, context)
            raise call_error(context.name, described, readable.hint(context, described))
    except Unusable as error:
        # What a constructor raised is the cause.
        raise CallError(context.name, error.kind, f'the result {error}', '') from error.cause
    except EcontextError:
        raise
    except Exception as error:
        # What it said was no description of an exception.
        context.broker.corrupt(context, str(error))
        raise CorruptStream(
            f'{context.name}: its answer makes no sense ({shown(str(error))}); the context was ended'
        ) from None
    raise context.reason()
