"""
Say in plain values what went wrong in a call.

Follows the preamble; imported when the first call fails.  Nothing that user
code raises may keep the answer from being sent.
"""
import sys
import traceback

from econtext.core.codec import Text, encode

BUILTINS = len.__module__
OWN = 'econtext.core.calls', 'econtext.core.supervisor'
ENCODER = 'econtext.core.codec'
WAYS = [Text, str, repr]    # to the text of an exception


def describe(kind, error, trace):
    # type: (Any, Any, Any) -> bytes
    """Encode (type name, message, traceback, built-in types, arguments)."""
    types = built_in_types(kind)
    text = message(error)
    if is_refusal(trace):
        # Ours: no TypeError or RecursionError of the function.
        types = []
        if isinstance(error, RuntimeError):
            text = 'the result is nested too deeply, or contains itself'
    said = type_name(kind), text, trace_text(kind, error, trace), types
    try:
        return encode(said + (plain_arguments(error),))
    except:
        # They are a property that fails, or cannot be shown, such as a number too long.
        return encode(said + ((),))


def is_refusal(trace):
    # type: (Any) -> bool
    """Did the function return, and its result could not be encoded?"""
    inner = trace and trace.tb_next
    return bool(inner) and inner.tb_frame.f_globals.get('__name__') == ENCODER


def type_name(kind):
    # type: (Any) -> str
    name = getattr(kind, '__name__', None) or str(kind)
    module = getattr(kind, '__module__', None)
    if not isinstance(module, str) or module in (BUILTINS, 'exceptions'):
        return name
    return '%s.%s' % (module, name)


def message(error):
    # type: (Any) -> Any
    for convert in WAYS:
        try:
            return convert(error)
        except:
            pass
    return '<no message: __str__ and __repr__ fail>'


def trace_text(kind, error, trace):
    # type: (Any, Any, Any) -> Any
    # What lies between us and the function called tells the caller nothing.
    while trace and trace.tb_next and trace.tb_frame.f_globals.get('__name__') in OWN:
        trace = trace.tb_next
    for shown in trace, None:
        try:
            lines = traceback.format_exception(kind, error, shown)
            return ''.join(lines)
        except:
            pass
    return 'Traceback lost: %s while it was written' % type_name(sys.exc_info()[0])


def built_in_types(kind):
    # type: (Any) -> list[str]
    """The names of the built-in exceptions among the bases of `kind`."""
    return [base.__name__ for base in getattr(kind, '__mro__', None) or lineage(kind)
            if getattr(base, '__module__', None) in (BUILTINS, 'exceptions')]


def lineage(kind):
    # type: (Any) -> list[Any]
    """A class and its bases, where it is of the old kind, as all exceptions are before 2.5."""
    found = [kind]
    for base in getattr(kind, '__bases__', ()):
        found += lineage(base)
    return found


def plain_arguments(error):
    # type: (Any) -> tuple[Any, ...]
    """The arguments of `error` if all are plain, such as an errno."""
    arguments = getattr(error, 'args', ())
    if isinstance(error, EnvironmentError):
        arguments = error.errno, error.strerror, error.filename
    if not isinstance(arguments, tuple):
        return ()
    for value in arguments:
        if not isinstance(value, (int, str, Text, type(None))):
            return ()
    if len(repr(arguments)) > 4096:
        return ()
    return arguments
