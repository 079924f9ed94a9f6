"""
What a broker and an attached program say to each other beside calls: requests, and what became of contexts.

Invariants:

* What comes from the other end is decoded by a table of types, and has the form that is told here; else it is BadFrame.
* A request never holds more than plain values: functions that answer questions stay where they are.

Pure; any thread may enter.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from econtext.child import rich  # noqa: F401 -- arguments, options and results may be more than plain: see `encode`
from econtext.controller.connect.options import Common, ConnectRequest, plain
from econtext.controller.errors import ConnectError, ContextLost, CorruptStream, EcontextError, NotAllowed
from econtext.controller.modules.source import Unit
from econtext.core.codec import encode
from econtext.core.wire import BadFrame
from econtext.parent.values import decode

if TYPE_CHECKING:
    from econtext.controller.session.interfaces import Peer

# What a program asks for, and what a broker asks it for.
CONNECT, USE, RELEASE, RUN, HANDLES, CHANNEL = 'connect', 'use', 'release', 'run', 'handles', 'channel'
MODULE, DATA, ANSWER = 'module', 'data', 'answer'
# What became of a context, in this order, each once: it answers calls, it answers none any more, its program is gone.
READY, LOST, GONE = 'ready', 'lost', 'gone'

UNPACKED = 1 << 28      # bytes of modules that come in one frame
# Options that say nothing about what a context is, so that it may be shared by those who say otherwise.
ASIDE = 'connect_timeout', 'idle_timeout'
#: The errors that cross by their type: all else that goes wrong with a request is an EcontextError.
RAISED: dict[str, type[Exception]] = {
    each.__name__: each for each in (TypeError, ValueError, NotAllowed, EcontextError)}


class Told(NamedTuple):
    """What a broker tells of a context."""

    number: int
    name: str
    via: int
    ready: bool
    version: tuple[int, ...]
    executable: str
    pid: int


class Connect(NamedTuple):
    """What a program asks for by a connector."""

    via: int                # 0 for the broker itself
    connector: str
    options: dict[str, Any]
    secrets: dict[str, str]
    asked: list[str]        # the answers for which the program is to be asked
    token: int              # by which it knows its own answers
    common: dict[str, Any]
    name: str | None


def told(context: Peer) -> tuple[Any, ...]:
    """Return what there is to be told of `context`."""
    return tuple(Told(
        context.id, context.name, context.via.id if context.via else 0, context.ready,
        tuple(context.python_version), context.executable, context.pid))


def request(data: bytes) -> tuple[str, tuple[Any, ...]]:
    """Return what a program asks for: the word, and what belongs to it."""
    found = decode(data)
    if type(found) is not tuple or not found or type(found[0]) is not str:
        raise BadFrame('a request of another form')
    return found[0], found[1:]


def numbers(values: tuple[Any, ...], count: int) -> tuple[int, ...]:
    """Return so many numbers; raise BadFrame for anything else."""
    if len(values) != count or not all(type(value) is int and 0 <= value < 1 << 32 for value in values):
        raise BadFrame('numbers of another form')
    return values


def connect(values: tuple[Any, ...]) -> Connect:
    """Return the request for a context; raise BadFrame for what is none."""
    if len(values) != len(Connect._fields):
        raise BadFrame('a request for a context of another form')
    found = Connect(*values)
    numbers((found.via, found.token), 2)
    tables = found.options, found.secrets, found.common
    if not (type(found.connector) is str and type(found.asked) is list
            and all(type(table) is dict and all(type(key) is str for key in table) for table in tables)
            and all(type(text) is str for text in (*found.asked, *found.secrets.values()))
            and (found.name is None or type(found.name) is str)):
        raise BadFrame('a request for a context of another form')
    return found


def key(via: int, request: ConnectRequest) -> bytes | None:
    """Return what contexts have in common that may be shared; None for one that may not: it has no name."""
    common: Any = {name: value for name, value in request.common.items() if name not in ASIDE and value is not None}
    # One that is given, or that of the host, user or container: whoever names that has said the same.
    called = common.pop('name', None) or request.name
    if not called:
        return None
    connector = request.connector if isinstance(request.connector, str) else request.connector.__name__
    try:
        return encode((
            via, connector.rpartition('.')[2], sorted_items(plain(request.options)), called,
            sorted_items(plain(common))))
    except (TypeError, ValueError, RuntimeError):
        return None


def sorted_items(table: dict[str, Any]) -> list[Any]:
    """Return what `table` says, in an order; None says nothing."""
    return [(name, table[name]) for name in sorted(table) if table[name] is not None]


def common_of(found: Connect) -> Common:
    return cast('Common', found.common)


def refusal(error: BaseException) -> bytes:
    """Return the body that tells why a request is refused."""
    kinds = [name for name, kind in RAISED.items() if isinstance(error, kind)]
    return encode(((kinds or ['EcontextError'])[0], str(error)))


def refused(body: bytes) -> Exception:
    """Return what such a body says, to be raised."""
    found = decode(body)
    if type(found) is not tuple or len(found) != 2 or not all(type(text) is str for text in found):
        raise BadFrame('a refusal of another form')
    return RAISED.get(found[0], EcontextError)(found[1])


def reason(error: EcontextError | None) -> bytes:
    """Return the body that tells why a context answers no more."""
    if isinstance(error, ConnectError):
        return encode(('ConnectError', *error.args))
    return encode((type(error).__name__, str(error) if error else ''))


def reason_of(body: bytes) -> EcontextError | None:
    """Return the error that such a body tells of; None for one that tells nothing."""
    found = decode(body) if body else ()
    if type(found) is not tuple or not all(type(text) is str for text in found):
        raise BadFrame('a reason of another form')
    if found[:1] == ('ConnectError',) and len(found) in (6, 7):
        return ConnectError(*found[1:])
    if len(found) != 2 or not found[1]:
        return None
    return (CorruptStream if found[0] == 'CorruptStream' else ContextLost)(found[1])


def brought(body: bytes) -> list[tuple[str, Unit]]:
    """Return the modules that a program brings; raise BadFrame for what is none."""
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(body, UNPACKED)
        if not unpacker.eof:
            raise BadFrame('modules of more than a program has, or not whole')
        return [(str(name), whole_unit(unit)) for name, unit in decode(data)]
    except (zlib.error, TypeError, ValueError) as error:
        raise BadFrame(f'modules of another form: {error}') from None


def whole_unit(unit: Any) -> Unit:
    if not isinstance(unit, (list, tuple)) or len(unit) < 3:
        raise BadFrame('a module of another form')
    below, path, source = unit[:3]
    is_plain = type(below) is bool
    is_package = isinstance(below, (list, tuple)) and all(type(each) is str for each in below)
    if not ((is_plain or is_package) and type(path) is str and type(source) is bytes):
        raise BadFrame('a module of another form')
    return cast('Unit', tuple(unit))


def digest(unit: Unit) -> int:
    """Return what tells `unit` from others of its name, in this process; it is small."""
    below = tuple(unit[0]) if isinstance(unit[0], (list, tuple)) else unit[0]
    return hash((below, len(unit[2]), unit[2]))
