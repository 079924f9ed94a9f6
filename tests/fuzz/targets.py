"""What the fuzzer feeds: one function a target, which takes any bytes and raises only where an invariant is broken.

Invariants:
* A target is deterministic, starts no process, and keeps nothing from one input to the next.
* It needs no fuzzer: the corpus is fed to the same functions by a plain test.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import pathlib
import sys
import uuid
from typing import Any

import econtext
from econtext.connectors import ssh, sudo
from econtext.controller.context import Context
from econtext.controller.modules.repository import Modules
from econtext.controller.node import Node
from econtext.controller.tree import Tree
from econtext.core.wire import CALL, HEADER_SIZE, MARK, BadFrame, Decoder
from econtext.parent.handshake import ASK, Handshake
from econtext.parent.values import decode

MAKES = (
    type(None), bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset, datetime.date,
    datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID, pathlib.PurePath,
)  # fmt: skip


@econtext.register
@dataclasses.dataclass(frozen=True)
class Package:
    """A class of the application: its constructor is called with what a context chose."""

    name: Any
    inner: Any = None


def frames(data: bytes) -> None:
    """A stream is cut into the same frames however it comes; once bad, it stays bad."""
    cut = data[0] % 40 + 1 if data else 1
    whole, pieces = collect([data[1:]]), collect([data[i : i + cut] for i in range(1, len(data), cut)])
    assert whole == pieces or whole[1] or pieces[1], 'cut differently'
    assert whole[1] == pieces[1]
    assert sum(HEADER_SIZE + len(frame[4]) for frame in pieces[0]) <= len(data)


def collect(parts: list[bytes]) -> tuple[list[Any], bool]:
    decoder, found = Decoder(lambda *header: header[-1] < 1 << 20), []
    for part in parts:
        try:
            found += decoder.feed(part)
        except BadFrame:
            try:
                decoder.feed(b'')
                decoder.feed(b'\xec\x01' + b'\0' * 17)
            except BadFrame:
                return found, True
            raise AssertionError('what was bad is good again') from None
    return found, False


def values(data: bytes) -> None:
    """Nothing but listed and registered types is built, and what is built can be looked at."""
    try:
        value = decode(data, Package)
    except BadFrame:
        return
    waiting = [value]
    count = 0
    while waiting:
        item = waiting.pop()
        count += 1
        if type(item) is Package:
            waiting += [item.name, item.inner]
            continue
        assert isinstance(item, MAKES), type(item)
        if isinstance(item, dict):
            waiting += [*item, *item.values()]
        elif isinstance(item, (tuple, list, set, frozenset)):
            waiting += item
        elif isinstance(item, (datetime.date, datetime.time)):
            item.isoformat()
            if isinstance(item, datetime.date):
                item.ctime()
    assert count <= len(data)


def handshake(data: bytes) -> None:
    """Whatever a starting program prints: one verdict, the same however it is cut, and bounded memory."""
    if len(data) < 2:
        return
    connector = (ssh, sudo)[data[0] % 2]
    source = ('out', 'err', 'tty')[data[1] % 3]
    events = []
    for step in len(data), 1:
        shake = Handshake(MARK, connector.PROMPTS, connector.FAILURES, {'password': 'p', 'passphrase': ASK}, 4096)
        found: list[Any] = []
        for start in range(2, len(data), step):
            found += shake.feed(source, data[start : start + step])
        found = joined(found)
        found.append(shake.ended(1) if not shake.done else None)
        assert len(shake.tail) < len(MARK)
        assert all(len(part) <= 4096 for part in shake.partial.values())
        assert len(shake.detail()) <= 4096
        assert not any(c < ' ' and c != '\n' for c in shake.detail())
        events.append(found)
    if not any(event and event[0] == 'failed' for event in events[0]):
        assert events[0] == events[1], events


def joined(found: list[Any]) -> list[Any]:
    """What follows the mark is not the handshake's, and may be in one event or come later."""
    return [event[:1] if event[0] == 'ready' else event for event in found]


def modules(data: bytes) -> None:
    """Whatever name is asked for: a unit or none, and no file from outside of a package."""
    name, _, resource = data.decode('utf-8', 'surrogateescape').partition('\n')
    ((answered, unit),) = SOURCES.answer(name, len(data) % 2 == 0)
    assert answered == name
    assert unit is None or isinstance(unit[2], (bytes, tuple))
    assert '/' not in name or unit is None
    content = SOURCES.data(name, resource)
    if content is not None:
        assert '..' not in resource.split('/')
        assert not resource.startswith('/')
    for wanted in resource, resource + '/':
        body = SOURCES.resources.answer(name, wanted, ('pytest', 'hypothesis'))
        assert body is None or isinstance(body, bytes)
    assert len(SOURCES.units) < 20000


def gate(data: bytes) -> None:
    """
    Context 1 is hostile, 2 lies behind it, 3 beside it, and 4 behind 3: the last two go on.

    The first byte says who the stream is from: 1, or 4, which comes by the link of 3.
    """
    broker = stage()
    hostile = 4 if data[:1] == b'4' else 1
    link = broker.router.links[hostile]
    decoder = Decoder(lambda *header: broker.router.accepts(link, *header))
    answers: list[int] = []
    for number in (1, 3, 4):
        broker.router.ask(CALL, number, b'', lambda kind, body, number=number: answers.append(number))
    try:
        for frame in decoder.feed(data[1:]):
            broker.router.route(link, *frame)
    except BadFrame:
        # What comes up the link of a hop was judged by that hop before.
        pass
    shown, sys.excepthook = sys.excepthook, lambda *error: FAILED.append(error)
    try:
        broker.loop.run_callbacks()
    finally:
        sys.excepthook = shown
    assert FAILED == [], FAILED
    for number in {1, 3, 4} - {hostile}:
        context = broker.contexts[number]
        assert context.error is None, (hostile, number)
        assert number not in answers
    assert len(broker.loop.events.queue) == 0


def defect(what: str, error: BaseException) -> Any:
    raise AssertionError(what) from error


FAILED: list[Any] = []
STAGE: list[Tree] = []
SOURCES = Modules()


def stage() -> Tree:
    """A tree with contexts that are no processes, as if it were new."""
    if not STAGE:
        made = Tree(Modules())
        # No bytes of theirs make us fail: all that is wrong with them is BadFrame.
        made.loop.fail = defect  # type: ignore[method-assign]
        made.close()    # its thread and descriptors; what it is told is kept, and done by run_callbacks()
        STAGE.append(made)
    broker = STAGE[0]
    for table in (broker.contexts, broker.unreaped, broker.router.links, broker.router.asked):
        table.clear()
    broker.loop.events.queue.clear()
    broker.loop.chores.clear()
    links: dict[int, Any] = {}
    for number, above in ((1, None), (2, 1), (3, None), (4, 3)):
        via = broker.contexts[above] if above else None
        context = Node(broker, number, f'context{number}', via)
        Context(context)
        context.advance('launch')
        if number != 2:
            context.advance('hello')
        broker.contexts[number] = broker.unreaped[number] = context
        broker.router.links[number] = links[number] = links[above] if above else Wire()
        if via:
            via.children[number] = context
    broker.last_number = 4
    return broker


class Wire:
    """A link that leads nowhere."""

    queue: tuple[bytes, ...] = ()   # all is written at once
    bulk = None     # no large frames are cut

    def __init__(self) -> None:
        self.transport = self

    def send(self, *frame: Any) -> None:
        pass


TARGETS = {target.__name__: target for target in (frames, values, handshake, modules, gate)}
