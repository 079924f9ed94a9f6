"""
What contexts say of themselves, read from the bodies of their frames.

Invariants:

* What is returned has the types and ranges that an honest context's has; all
  else is BadFrame.
* No text returned can steer a terminal, but for what a context asks for.
* The thread that leads reads all this, so it is read flat (see ``flat``): what a shape
  does not ask for is refused at its tag, before anything is made of it.

Pure; any thread may enter.
"""

# Annotations are evaluated here: as texts, typing would compile each of them for the class below, as a broker starts.
from typing import Any, NamedTuple

from econtext.controller.protocol.flat import BYTES, FLAG, INTEGER, NOTHING, NUMBER, TEXT, Reader, read
from econtext.controller.text import harmless, harmless_lines
from econtext.core.wire import BadFrame

MOST = 1 << 62          # what no honest number of theirs reaches
HIGHEST = 1000         # level of a record: handlers may keep something for each that they see
LATEST = 1 << 40       # seconds since 1970, beyond which no clock goes
DETAILS = 3     # that an event has at most
EVENTS: dict[str, tuple[bytes, ...]] = {
    # event: the tags of what follows
    'ready': (),
    'said': (TEXT, BYTES + TEXT),
    'ask': (TEXT, TEXT),
    'failed': (TEXT, TEXT),
    'lost': (TEXT, INTEGER + NOTHING, FLAG),
    'silent': (b'f',),
    'buried': (INTEGER + NOTHING,),
}


class Hello(NamedTuple):
    version: str
    numbers: tuple[int, ...]
    magic: Any
    executable: str
    pid: int
    trouble: str


def within(*numbers: Any) -> None:
    """Refuse integers that no honest number of theirs reaches."""
    for number in numbers:
        if isinstance(number, int) and abs(number) > MOST:
            raise BadFrame('a message with a number that is too large')


def hello(body: bytes) -> Hello:
    version, numbers, magic, executable, pid, trouble = read(
        body, TEXT, (INTEGER, INTEGER, INTEGER), BYTES + TEXT, TEXT + NOTHING, INTEGER, TEXT + NOTHING)
    within(*numbers, pid)
    if not version.strip():
        raise BadFrame('a Python of no version')
    return Hello(
        harmless_lines(version), numbers, magic, harmless(executable or ''), pid,
        harmless(trouble or ''))


def want(body: bytes) -> tuple[str, str | bool]:
    """Return the name of a module, and a file of it or whether it is there too, as they came."""
    name, here = read(body, TEXT, TEXT + FLAG)
    return name, here


def record(body: bytes) -> tuple[str, int, float, str, str]:
    """
    Return logger, level, time, text, and the text of an exception; the last two have lines.

    An application may log records that it made itself, of whatever it likes; what is
    sent of them are texts and numbers.
    """
    name, level, created, text, trace = read(body, TEXT, NUMBER, NUMBER, TEXT, TEXT + NOTHING)
    level = min(max(level, 0), HIGHEST) if isinstance(level, int) else 0
    if not 0 <= created < LATEST:
        created = 0.0
    return (harmless(name), level, float(created), harmless_lines(text),
            harmless_lines(trace) if trace else '')


def report(body: bytes) -> tuple[Any, ...]:
    """Return an event and its details; what a program said are bytes as they are."""
    reader = Reader(body)
    count = reader.series(b't', 1, 1 + DETAILS)
    event = reader.value(TEXT)
    types = EVENTS.get(event)
    if types is None:
        raise BadFrame('a report of nothing we know')
    if count != 1 + len(types):
        raise BadFrame('a message of another form')
    details = [reader.value(tags) for tags in types]
    reader.end()
    within(*details)
    if event == 'said':
        what, data = details
        if isinstance(data, str):
            # The bytes of Python 2 are a str.
            data = data.encode('utf-8', 'surrogateescape')
        return event, what, data
    return (event, *(harmless_lines(item) if isinstance(item, str) else item for item in details))


def failure(body: bytes) -> str:
    """Return the traceback of a cast that failed."""
    reader = Reader(body)
    reader.series(b't', 5, 6)
    texts = [reader.value(TEXT) for _ in range(3)]
    # What follows is for who raises the error, and nobody does here.
    return harmless_lines(texts[2])


def credit(body: bytes) -> int:
    """Return how many bytes more a channel may send."""
    try:
        amount = int(bytes(body).decode('ascii'), 16)
    except ValueError:
        amount = 0
    if amount <= 0:
        raise BadFrame('credit that is none')
    return amount
