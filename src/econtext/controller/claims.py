"""
What contexts say of themselves, read from the bodies of their frames.

Invariants:

* What is returned has the types and ranges that an honest context's has; all
  else is BadFrame.
* No text returned can steer a terminal, but for what a context asks for.

Pure; any thread may enter.
"""

from __future__ import annotations

from types import NoneType
from typing import Any, NamedTuple

from econtext.controller.text import harmless, harmless_lines
from econtext.core.wire import BadFrame
from econtext.parent.values import decode

MOST = 1 << 62          # what no honest number of theirs reaches
LATEST = 1 << 40       # seconds since 1970, beyond which no clock goes
EVENTS: dict[str, tuple[Any, ...]] = {
    # event: the types of what follows
    'ready': (),
    'said': (str, (bytes, str)),
    'ask': (str, str),
    'failed': (str, str),
    'lost': (str, (int, type(None)), bool),
    'silent': (float,),
    'buried': ((int, type(None)),),
}


class Hello(NamedTuple):
    version: str
    numbers: tuple[int, ...]
    magic: Any
    executable: str
    pid: int
    trouble: str


def read(body: bytes, *types: Any) -> Any:
    """Return the values of a tuple that has these types; raise BadFrame if it is another."""
    value = decode(body)
    check(value, types)
    return value


def check(value: Any, types: tuple[Any, ...]) -> None:
    if type(value) is not tuple or len(value) != len(types):
        raise BadFrame('a message of another form')
    for item, kind in zip(value, types, strict=True):
        if not isinstance(item, kind) or (isinstance(item, int) and abs(item) > MOST):
            raise BadFrame('a message of other types')


def hello(body: bytes) -> Hello:
    none = type(None)
    version, numbers, magic, executable, pid, trouble = read(
        body, str, tuple, (bytes, str), (str, none), int, (str, none))
    check(numbers, (int, int, int))
    if not version.strip():
        raise BadFrame('a Python of no version')
    return Hello(
        harmless_lines(version), numbers, magic, harmless(executable or ''), pid,
        harmless(trouble or ''))


def want(body: bytes) -> tuple[str, str | bool]:
    """Return the name of a module, and a file of it or whether it is there too, as they came."""
    name, here = read(body, str, (str, bool))
    return name, here


def record(body: bytes) -> tuple[str, int, float, str, str]:
    """
    Return logger, level, time, text, and the text of an exception; the last two have lines.

    An application may log records that it made itself, of whatever it likes; what is
    sent of them are texts and numbers.
    """
    value = decode(body)
    if type(value) is not tuple or len(value) != 5:
        raise BadFrame('a log record of another form')
    name, level, created, text, trace = value
    if not (isinstance(name, str) and isinstance(text, str) and isinstance(trace, (str, NoneType))):
        raise BadFrame('a log record of other than texts')
    if not isinstance(level, int) or abs(level) > MOST:
        level = 0
    if not isinstance(created, (int, float)) or not 0 <= created < LATEST:
        created = 0.0
    return (harmless(name), level, float(created), harmless_lines(text),
            harmless_lines(trace) if trace else '')


def report(body: bytes) -> tuple[Any, ...]:
    """Return an event and its details; what a program said are bytes as they are."""
    value = decode(body)
    if type(value) is not tuple or not value or type(value[0]) is not str:
        raise BadFrame('a report of another form')
    types = EVENTS.get(value[0])
    if types is None:
        raise BadFrame('a report of nothing we know')
    check(value[1:], types)
    if value[0] == 'said':
        data = value[2]
        if isinstance(data, str):
            # The bytes of Python 2 are a str.
            data = data.encode('utf-8', 'surrogateescape')
        return value[0], value[1], data
    return tuple([harmless_lines(item) if isinstance(item, str) else item for item in value])


def failure(body: bytes) -> str:
    """Return the traceback of a cast that failed."""
    described = decode(body)
    check(described[:4] if type(described) is tuple else None, (str, str, str, list))
    return harmless_lines(described[2])


def credit(body: bytes) -> int:
    """Return how many bytes more a channel may send."""
    try:
        amount = int(bytes(body).decode('ascii'), 16)
    except ValueError:
        amount = 0
    if amount <= 0:
        raise BadFrame('credit that is none')
    return amount
