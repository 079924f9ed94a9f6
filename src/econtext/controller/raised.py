"""
The exception that the caller of a function gets for the one that was raised there.

It is a CallError, and also of the type that was raised, if that is known here: built
in, of the standard library, or registered.  ``child.failure`` tells its types by
name, ``child.particulars`` its arguments and attributes.

The strategy: such a class is made of CallError and that type, once for each type.
An instance is made without that type's constructor, which would want what did not
cross, and would run: its arguments and attributes are set as they came.

Invariants:

* A type is looked up among what is in memory: nothing is imported for a context,
  and of a module no ``__getattr__`` is asked.
* Only exceptions are found, and nothing of theirs runs: no constructor, no property,
  no setter.  What the constructor would refuse may be there.
* What would be taken for something else is a plain CallError: the end of an
  iteration, the caller's own time, a future that was cancelled, a lost context.
* A group of exceptions is a group here, of what its members are here.  It is made by
  the constructor of Python's own group, of CallErrors alone; one without a member is a
  plain CallError.  ``child.nested`` tells of the members: so many, and so deep.

Any thread may enter.
"""

from __future__ import annotations

import builtins
import concurrent.futures
import contextlib
import functools
import sys
from types import GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any

from econtext.child import nested
from econtext.child.labels import of_class
from econtext.child.particulars import MOST, NOTES, usable
from econtext.child.registry import TYPES
from econtext.controller.errors import EcontextError
from econtext.controller.text import harmless_lines


class CallError(EcontextError):
    """
    The function that was called raised an exception.

    `type_name` names its type, `message` is its text, `remote_traceback` the
    traceback as the other Python wrote it.  A CallError is also an instance of
    the exception it stands for, where that is a built-in one, one of the standard
    library that the program has imported, or registered: ``except
    subprocess.CalledProcessError as error`` works.  `args` and what else that
    exception has by name are attributes, so far as these are plain values, or
    exceptions, which are CallErrors then: each up to 1 MiB, without the middle of a
    longer text.  Notes that ``add_note()`` added are here, too.

    For an ``ExceptionGroup`` it is an ``ExceptionGroup`` of CallErrors, from Python 3.11
    on: ``except*`` works.  Before 3.11 `exceptions` is the tuple of these.

    Of an isolated call, see ``Context.options()``, `fork` is its ForkResult without a value; `stdout` and `stderr` are
    what its process has written, unless the exception itself has attributes of these names.
    """

    fork: Any
    stdout: Any
    stderr: Any

    def __init__(
        self, context: str, type_name: str, message: str, remote_traceback: str, hint: str = ''
    ) -> None:
        BaseException.__init__(self, context, type_name, message, remote_traceback, hint)
        self.context = context
        self.type_name = type_name
        self.message = message
        self.remote_traceback = remote_traceback
        self.hint = hint

    def __str__(self) -> str:
        text = harmless_lines(f'{self.type_name}: {self.message}')
        if GROUP is not None and isinstance(self, GROUP):
            count = len(self.exceptions)
            text += f' ({count} sub-exception{"s" if count > 1 else ""})'
        if self.hint:
            text += '\n' + self.hint
        trace = harmless_lines(self.remote_traceback)
        return f'{text}\n\nIn context {self.context}:\n{trace}'.rstrip()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return again, taken_apart(self)

    def __reduce__(self) -> Any:
        return self.__reduce_ex__(2)


NEVER: tuple[Any, ...] = (
    StopIteration, StopAsyncIteration, TimeoutError, concurrent.futures.TimeoutError,
    concurrent.futures.CancelledError, concurrent.futures.BrokenExecutor,
)
# Of 3.11.
GROUP: Any = vars(builtins).get('BaseExceptionGroup')
# Modules that Python 2 calls otherwise, and names that a version has and another not; what older Pythons have of PyPI.
MODULES = {
    'exceptiongroup': 'builtins',
    'ConfigParser': 'configparser', 'Cookie': 'http.cookies', 'HTMLParser': 'html.parser', 'Queue': 'queue',
    'cookielib': 'http.cookiejar', 'httplib': 'http.client', 'urllib2': 'urllib.error', 'xmlrpclib': 'xmlrpc.client',
    'anydbm': 'dbm', 'cPickle': 'pickle', '_pickle': 'pickle', 'sre_constants': 're',
}
NAMES = {
    ('re', 'PatternError'): ('re', 'error'),
    ('asyncio.exceptions', 'TimeoutError'): ('builtins', 'TimeoutError'),
}
# Ours, whatever an exception calls so.
FIELDS = 'context', 'type_name', 'message', 'remote_traceback', 'hint'
OURS = frozenset(FIELDS)
STORED = MemberDescriptorType, GetSetDescriptorType
ARGS: Any = vars(BaseException)['args']
CONTENT: Any = vars(ModuleType)['__dict__']
# What tells a class of C from one that a `class` statement made.
HEAP, IMMUTABLE = 1 << 9, 1 << 8


def known(names: Any) -> Any:
    """Return the first of the types `names` that is known here; None if an instance is to be a plain CallError."""
    for name in names:
        kind = find(name)
        if kind is Exception or kind is BaseException:
            break
        if not is_exception(kind):
            continue
        if made_of(kind) is not None:
            return kind
        if issubclass(kind, NEVER):
            break
    return None


def is_exception(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseException)


def is_group(kind: Any) -> bool:
    return GROUP is not None and kind is not None and issubclass(kind, GROUP)


def find(name: Any) -> Any:
    """Return what is called so among the types that a context may name."""
    if isinstance(name, str):
        return vars(builtins).get(name)
    module, name = name
    if not (isinstance(module, str) and isinstance(name, str)):
        raise ValueError('a class whose name is no text')
    if (module, name) in TYPES:
        return TYPES[module, name][0]
    module = MODULES.get(module, module)
    module, name = NAMES.get((module, name), (module, name))
    loaded = sys.modules.get(module)
    if module.partition('.')[0] in sys.stdlib_module_names and isinstance(loaded, ModuleType):
        # Past the module's own ways, which may load it just then.
        return CONTENT.__get__(loaded).get(name)
    return None


@functools.cache
def made_of(kind: Any) -> Any:
    """Return the class of a CallError that is also a `kind`; None if there can be none."""
    if issubclass(kind, NEVER) or not (issubclass(kind, Exception) or is_group(kind)):
        return None
    # A class may do otherwise than all exceptions do when it is looked at or compared.
    plainly = {name: getattr(BaseException, name) for name in (
        '__setattr__', '__delattr__', '__getattribute__', '__eq__', '__ne__', '__hash__')}
    if hasattr(kind, '__getattr__'):
        plainly['__getattr__'] = missing
    if is_group(kind):
        # What split(), subgroup() and `except*` make parts of it by, and its members as they are.
        plainly['derive'] = derive
        plainly['exceptions'] = property(vars(GROUP)['exceptions'].__get__)
    plainly.update((name, property(functools.partial(own, name=name))) for name in OURS if hasattr(kind, name))
    try:
        return type('CallError', (CallError, kind), {'__module__': 'econtext', '_kind': kind, **plainly})
    except Exception:
        # Its layout fits no other, or its class refuses to be the base of another.
        return None


def missing(error: object, name: str) -> Any:
    raise AttributeError(name)


def own(error: object, name: str) -> Any:
    return error.__dict__[name]


def call_error(context: str, described: Any, hint: str = '') -> CallError:
    """Return the exception for what ``child.failure.describe`` sent; raise what says that this is no description."""
    type_name, message, trace, names, arguments = described[:5]
    attributes: Any = described[5] if len(described) > 5 else {}
    inner: Any = described[6] if len(described) > 6 else {}
    kind = known(names[:50])
    if (arguments is not None and type(arguments) is not tuple) or type(attributes) is not dict:
        raise ValueError('an exception of another form')
    named = {name: value for name, value in list(attributes.items())[:MOST]
             if type(name) is str and name.isidentifier() and usable(name)}
    if NOTES in attributes:
        named[NOTES] = notes(attributes[NOTES])
    # Those within this one.
    held = nested.made(inner, functools.partial(call_error, context))
    named.update((name, held[name]) for name in list(held)[:MOST] if name.isidentifier() and usable(name))
    return again(kind, (context, str(type_name), str(message), str(trace), hint), arguments, named)


def notes(value: Any) -> Any:
    """Return what add_note() has added there, which Python shows as it is; nothing for what is no list of texts."""
    return [harmless_lines(note) for note in value if isinstance(note, str)] if isinstance(value, list) else []


def again(
    kind: Any, ours: tuple[str, ...], arguments: Any, attributes: dict[str, Any],
    extra: dict[str, Any] | None = None,
) -> CallError:
    """Make the exception that ``taken_apart`` told of, or one for what a context has told."""
    if kind is OSError:
        kind = of_number(arguments, attributes)
    arguments = arguments if type(arguments) is tuple else (ours[2],)
    if is_group(kind):
        arguments, members = of_group(arguments, attributes)
        if members is None:
            kind = None
        else:
            ours = (*ours[:2], arguments[0], *ours[3:])
    made = (made_of(kind) if kind is not None else None) or CallError
    base: Any = made
    while not of_c(base):
        # The one whose form it has.
        base = base.__base__
    error: CallError = base.__new__(made, *arguments) if is_group(kind) else base.__new__(made)
    error.__dict__.update(zip(FIELDS, ours, strict=True))
    ARGS.__set__(error, arguments)
    if isinstance(error, OSError) and len(arguments) > 1:
        # As of Python 2, where select.error tells no more than its arguments.
        attributes = dict(zip(('errno', 'strerror', 'filename'), arguments, strict=False)) | attributes
    if isinstance(error, UnicodeDecodeError) and isinstance(attributes.get('object'), str):
        # The bytes of Python 2.
        attributes = attributes | {'object': attributes['object'].encode('utf-8', 'surrogateescape')}
    for name, value in attributes.items():
        give(error, name, value)
    if isinstance(error, SyntaxError):
        # What Python shows of a SyntaxError that nobody caught: this, and the place as it came.
        error.msg = str(error)
        for name in 'filename', 'text':
            value = getattr(error, name)
            setattr(error, name, harmless_lines(value) if isinstance(value, str) else None)
    if extra:
        error.__dict__.update(extra)
    return error


def of_group(arguments: tuple[Any, ...], attributes: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
    """Return the arguments of a group, which are its message and members, and the members, or None for them."""
    members = attributes.pop('exceptions', None)
    if not (type(members) is tuple and members and all(isinstance(each, BaseException) for each in members)):
        return arguments, None
    message = arguments[0] if arguments and isinstance(arguments[0], str) else ''
    return (message, list(members)), members


def derive(error: CallError, members: Any) -> Any:
    """Return a group of `members`, some of those of `error`, that is otherwise as this one."""
    kind, ours, arguments, attributes, extra = taken_apart(error)
    return again(kind, ours, arguments, {**attributes, 'exceptions': tuple(members)}, extra)


def of_number(arguments: Any, attributes: dict[str, Any]) -> Any:
    """Return which of the errors of the system has that number."""
    number = attributes.get('errno', arguments[0] if arguments and len(arguments) > 1 else None)
    kind: Any = type(OSError(number, '')) if type(number) is int else OSError
    return OSError if made_of(kind) is None else kind


def of_c(kind: type) -> bool:
    return not kind.__flags__ & HEAP or bool(kind.__flags__ & IMMUTABLE)


def give(error: CallError, name: str, value: Any) -> None:
    """Set an attribute of `error`: where it is stored, past all that its class may do."""
    if name in OURS:
        return
    for base in type(error).__mro__:
        member = of_class(base, '__dict__').get(name)
        if isinstance(member, STORED):
            try:
                member.__set__(error, value)
            except (AttributeError, TypeError, ValueError, OverflowError):
                # Of a type that no honest one has.
                pass
            return
        if callable(member):
            # A method stays one.
            return
        if member is not None:
            break
    error.__dict__[name] = value


def taken_apart(error: CallError) -> tuple[Any, ...]:
    """Return what ``again`` makes of it, for copies and pickles."""
    found = {}
    for base in type(error).__mro__:
        for name, member in of_class(base, '__dict__').items():
            if isinstance(member, STORED) and usable(name):
                with contextlib.suppress(AttributeError):   # it was not set
                    found[name] = member.__get__(error)
    ours = tuple(error.__dict__.get(name, '') for name in FIELDS)
    extra = {name: value for name, value in error.__dict__.items() if name not in OURS}
    return vars(type(error)).get('_kind'), ours, ARGS.__get__(error), found, extra
