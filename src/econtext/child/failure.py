"""
Answer a call that failed, whatever it is that was raised.

Follows the preamble; imported when the first call fails.  It is sent ahead of the
first call, so it is short: ``particulars`` says what went wrong.

Invariants:

* ``describe`` returns: user code that fails while it is asked, memory that is out, a
  signal, or a link over which nothing more can be fetched cost what is told, and
  not the answer.

Any thread may enter.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import traceback

from econtext.core.codec import encode

# Of the supervisor, of what it calls functions by, and of `awaiting`.
OWN = 'econtext.child.s', 'econtext.child.a'
TRACE = 1 << 18     # characters of a traceback


def describe(kind, error, trace):
    # type: (Any, Any, Any) -> bytes
    """Encode (type name, message, traceback, types, arguments, attributes)."""
    for attempt in whole, bare:
        try:
            return attempt(kind, error, trace)
        except:
            pass
    return encode(('Exception', 'it cannot be described', '', [], None, {}))


def whole(kind, error, trace):
    # type: (Any, Any, Any) -> bytes
    from econtext.child import particulars
    inner = ()  # type: tuple[Any, ...]
    if particulars.errors(kind, error):
        try:
            from econtext.child import nested
            inner = nested.inner(kind, error, entries),
        except:
            pass
    return particulars.describe(kind, error, trace, entries(kind, error, trace), inner)


def bare(kind, error, trace):
    # type: (Any, Any, Any) -> bytes
    text = trace_text(kind, error, trace)[-TRACE:]
    return encode(('Exception', 'it cannot be described', text, [], None, {}))


def trace_text(kind, error, trace):
    # type: (Any, Any, Any) -> Any
    return ''.join(entries(kind, error, trace))


def entries(kind, error, trace):
    # type: (Any, Any, Any) -> list[Any]
    # What lies between us and the function called tells the caller nothing.
    while trace and trace.tb_next and trace.tb_frame.f_globals.get('__name__')[:16] in OWN:
        trace = trace.tb_next
    for shown in trace, None:
        try:
            return traceback.format_exception(kind, error, shown)
        except:
            pass
    return ['Traceback lost']
