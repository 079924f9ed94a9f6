"""
Say in plain values what went wrong in a call.

Follows the preamble; imported when the first call fails.

Invariants:

* ``describe`` returns, whatever was raised: user code that fails while it is asked
  costs what it was asked for, and no more.
* What it returns has a bound, whatever the exception holds: see the numbers below,
  and ``particulars``.  A long text is in it once.

Any thread may enter.
"""
import traceback

from econtext.core.codec import Text, encode

BUILTINS = len.__module__
OWN = 'econtext.core.calls', 'econtext.core.supervisor'
ENCODER = 'econtext.core.codec'
DEEPEST = 200       # levels of nesting of a value that crosses, see ``parent.values``
MESSAGE = 1 << 20   # characters of the text of an exception
TRACE = 1 << 18     # of a traceback
ENTRY = 4000        # of a line in it, or of the text at its end
FIRST, LAST = 30, 70    # frames of a traceback: those between are left out
NAME = 200          # characters of the name of a class
TYPES = 50          # classes of which one is made
TOO_DEEP = 'is nested too deeply (more than %d levels), or contains itself: send it in parts' % DEEPEST
LOST = 'Traceback lost: it could not be written'


def describe(kind, error, trace):
    # type: (Any, Any, Any) -> bytes
    """Encode (type name, message, traceback, types, arguments, attributes)."""
    for attempt in whole, bare:
        try:
            return attempt(kind, error, trace)
        except:
            # Of an attribute, or ours as memory is out, or by a signal.
            pass
    return encode(('Exception', 'it cannot be described', LOST, [], None, {}))


def whole(kind, error, trace):
    # type: (Any, Any, Any) -> bytes
    from econtext.core import particulars
    name, text, lines = said(kind, error, trace)
    if not is_refusal(trace):
        return encode((name, text, lines, types_of(kind)) + particulars.plainly(kind, error, text))
    # Ours: no TypeError or RecursionError of the function.
    if isinstance(error, RuntimeError):
        name, text = 'ValueError', 'the result ' + TOO_DEEP
    return encode((name, text, lines, [], None, {}))


def bare(kind, error, trace):
    # type: (Any, Any, Any) -> bytes
    return encode(said(kind, error, trace) + (types_of(kind), None, {}))


def said(kind, error, trace):
    # type: (Any, Any, Any) -> tuple[Any, Any, Any]
    return type_name(kind), cut(message(error), MESSAGE), trace_text(kind, error, trace)


def is_refusal(trace):
    # type: (Any) -> bool
    """Did the function return, and its result could not be encoded?"""
    inner = trace and trace.tb_next
    return bool(inner) and inner.tb_frame.f_globals.get('__name__') == ENCODER


def of_class(kind, name):
    # type: (Any, str) -> Any
    """Return an attribute that every class has: as it is, not as a metaclass says."""
    found = type.__dict__.get(name)
    if found is not None and isinstance(kind, type):
        return found.__get__(kind)
    return getattr(kind, name, None)


def place(kind):
    # type: (Any) -> tuple[Any, Any]
    """Return the module of a class, '' for the built-in ones, None for no class, and its name there."""
    name, module = of_class(kind, '__qualname__') or of_class(kind, '__name__'), of_class(kind, '__module__')
    if not isinstance(name, (str, Text)):
        name = str(kind)
    if not isinstance(module, (str, Text)):
        return None, exact(name)[:NAME]
    if module in (BUILTINS, 'exceptions'):
        module = ''
    return exact(module)[:NAME], exact(name)[:NAME]


def type_name(kind):
    # type: (Any) -> str
    try:
        module, name = place(kind)
    except:
        return 'Exception'
    name = name.split('.')[-1]
    if module:
        name = '%s.%s' % (module, name)
    return name


def message(error):
    # type: (Any) -> Any
    for convert in Text, str, repr:
        try:
            return exact(convert(error))
        except:
            pass
    return '<no message: __str__ and __repr__ fail>'


def exact(text):
    # type: (Any) -> Any
    """Return a text that is of no subclass, whose methods could be anything."""
    for kind in str, Text:
        if isinstance(text, kind):
            return kind.__getitem__(text, slice(None)) + kind()
    raise TypeError('no text')


def cut(text, most):
    # type: (Any, int) -> Any
    """Return `text` without its middle if it is longer than `most`, and so much said in its place."""
    if len(text) <= most:
        return text
    note = ' ... (%d characters are left out) ... ' % (len(text) - most)
    if not isinstance(text, (str, Text)):
        note = note.encode('ascii')     # type: ignore[assignment]
    return text[:most - most // 4] + note + text[-(most // 4):]


def trace_text(kind, error, trace):
    # type: (Any, Any, Any) -> Any
    # What lies between us and the function called tells the caller nothing.
    while trace and trace.tb_next and trace.tb_frame.f_globals.get('__name__') in OWN:
        trace = trace.tb_next
    for shown in trace, None:
        try:
            return written(traceback.format_exception(kind, error, shown))
        except:
            pass
    return LOST


def written(lines):
    # type: (list[Any]) -> Any
    """Return a traceback of these entries: of many frames the first and the last."""
    found, frames = [], []  # type: list[Any], list[Any]
    for line in lines + ['']:
        if line.lstrip(' |+-').startswith('File "'):
            frames.append(cut(line, ENTRY))
            continue
        if len(frames) > FIRST + LAST:
            frames[FIRST:-LAST] = ['  ... %d more calls are left out ...\n' % (len(frames) - FIRST - LAST)]
        found += frames
        found.append(cut(line, ENTRY))
        frames = []
    return cut(exact(''.join(found)), TRACE)


def types_of(kind):
    # type: (Any) -> list[Any]
    """Name a class and its bases: a built-in one by its name, another by (module, name)."""
    try:
        bases = of_class(kind, '__mro__') or lineage(kind)
        places = [place(base) for base in bases[:TYPES]]
        return [module and (module, name) or name for module, name in places if module is not None]
    except:
        return []


def built_in_types(kind):
    # type: (Any) -> list[str]
    """The names of the built-in exceptions among the bases of `kind`."""
    return [name for name in types_of(kind) if not isinstance(name, tuple)]


def lineage(kind):
    # type: (Any) -> list[Any]
    """A class and its bases, where it is of the old kind, as all exceptions are before 2.5."""
    found = [kind]
    for base in getattr(kind, '__bases__', ()):
        found += lineage(base)
    return found
