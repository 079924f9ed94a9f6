"""Each kind of frame is paid for: none that a context sends without end takes memory without end."""

from __future__ import annotations

import contextlib
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import econtext
from econtext.child.kinds import ASKED, BEAT, BEGUN, PART
from econtext.controller.context import Context
from econtext.controller.node import Node
from econtext.controller.session.charges import CHARGES, HELD, OF_A_CAST, Account
from econtext.controller.session.output import Lines
from econtext.controller.tree import Tree
from econtext.core.codec import encode
from econtext.core.wire import (
    CLOSE,
    CREDIT,
    DATA,
    DEAD,
    ERROR,
    HELLO,
    LOG,
    REPORT,
    RESULT,
    STDIO,
    WANT,
    BadFrame,
)
from econtext.parent.judge import LIMITS

ROOT = Path(__file__).parents[3]
MANY = 30_000
GROWTH = 12 << 20   # bytes: the largest window that small frames can fill, and what it takes to hold them

TRACE = encode(('E', 'm', 'Traceback\n' + 'x' * 10_000, [], None, {}))
#: Kind -> (handle, bodies): what is sent without end. Handle 0 stands for a new one each time.
FLOODS: dict[int, list[tuple[int, bytes]]] = {
    HELLO: [(7, encode(('3.11.7', (3, 11, 7), b'\0\0\0\0', '/x', 1, None)))],
    RESULT: [(0, encode('x' * 1000))],
    ERROR: [(0, TRACE)],
    DEAD: [(0, b'')],
    WANT: [(0, encode(('no_such_module' + 'x' * 10_000, False))), (0, encode(('', False)))],
    LOG: [(7, encode(('app', 20, 0.0, '', None))), (7, encode(('app', 20, 0.0, 'x' * 10_000, None)))],
    STDIO: [(1, b''), (1, b'\n' * 1000), (1, b'x' * 60_000)],
    REPORT: [(2, encode(('said', 'err', b''))), (2, encode(('said', 'err', b'x' * 60_000))),
             (2, encode(('ask', 'password', 'x: ')))],
    DATA: [(1, b''), (1, encode('x' * 10_000))],
    CLOSE: [(1, b''), (2, b'')],
    CREDIT: [(1, b'1'), (2, b'1')],
    BEAT: [(1, b''), (0, b'')],
    PART: [(7, b''), (7, b'\x17' + b'\0' * 4), (7, b'\x11\x01\0\0\0')],
    ASKED: [(0, encode(('x', 'y', ('x' * 1000,), {}, False)))],
    BEGUN: [(0, b'')],
}  # fmt: skip
CASES = [(kind, handle, body) for kind, floods in FLOODS.items() for handle, body in floods]


class Unread:
    """A link to who reads nothing: what it is sent stays."""

    def __init__(self) -> None:
        self.queue: list[bytes] = []
        self.fd, self.out = None, -1
        self.transport, self.bulk = self, None

    def send(self, kind: int, dst: int, src: int, handle: int, body: bytes) -> None:
        self.queue.append(b'header of 19 bytes.' + bytes(body))


@pytest.fixture
def scene() -> Iterator[tuple[Tree, Node, Unread]]:
    """A context of which nothing is there but its link, and one that it starts."""
    with econtext.Broker() as owner:
        broker, link = owner._tree, Unread()
        context = Node(broker, next(broker.numbers), 'enemy', None)
        child = Node(broker, next(broker.numbers), 'child', context)
        Context(context)
        Context(child)
        broker.last_number = child.id
        for each in context, child:
            broker.contexts[each.id] = broker.unreaped[each.id] = each
            broker.router.links[each.id] = link
            each.advance('launch')
        context.advance('hello')
        context.channel()
        yield broker, context, link
        for each in context, child:
            broker.contexts.pop(each.id, None)
            broker.unreaped.pop(each.id, None)
        broker.router.links.clear()


@contextlib.contextmanager
def held(lines: Lines) -> Iterator[None]:
    """Have this thread be the one that handles output, and handle none."""
    assert lines.take()
    before = lines.begin()
    try:
        yield
    finally:
        lines.stop(before)


def frame(broker: Tree, link: Any, kind: int, handle: int, body: bytes) -> bool:
    """Let one frame come; False if it ended its sender."""
    context = broker.contexts[1]
    try:
        if not broker.router.accepts(link, kind, 0, 1, handle, len(body)):
            return False
        broker.router.route(link, kind, 0, 1, handle, bytes(bytearray(body)))
    except BadFrame:
        return False
    return not (context.counters.rejected or context.error)


def test_each_kind_that_may_come_up_has_its_charge_and_is_tried_here() -> None:
    assert set(CHARGES) == set(LIMITS) == set(FLOODS)


def test_the_page_has_the_table() -> None:
    page = (ROOT / 'docs' / 'design' / 'flow-control.md').read_text()
    number = r'([\d,]+) \| '
    row = rf'^\| ([A-Z]+)(, of a cast)? \| ([a-z]+) \| {3 * number}([a-z ]+) \|'
    rows = re.findall(row, page, re.MULTILINE)
    names = {name: value for name, value in globals().items() if isinstance(value, int) and value in CHARGES}
    told = {(names[name], bool(cast)): (payer, *(int(number.replace(',', '')) for number in numbers), beyond)
            for name, cast, payer, *numbers, beyond in rows}
    charges = {(kind, False): tuple(charge) for kind, charge in CHARGES.items()}
    assert told == charges | {(ERROR, True): tuple(OF_A_CAST)}


@pytest.mark.slow
@pytest.mark.parametrize(('kind', 'handle', 'body'), CASES)
def test_no_kind_takes_memory_without_end(scene: Any, kind: int, handle: int, body: bytes) -> None:
    """Whoever is to handle it does not, and its sender reads nothing."""
    broker, context, link = scene
    sent = 0
    with held(context.lines), held(broker.contexts[2].lines):
        tracemalloc.start()
        try:
            for number in range(1, MANY + 1):
                if not frame(broker, link, kind, handle or (number if kind != ERROR else 0), body):
                    break
                sent += len(body) + 19
                if not number % 1000 and tracemalloc.get_traced_memory()[0] > GROWTH:
                    break
            grown = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    assert grown < GROWTH, f'{sent} bytes were sent, and {grown} taken'


def test_a_question_whether_somebody_is_there_is_not_answered_beside_what_is_unread(scene: Any) -> None:
    broker, _, link = scene
    for _ in range(100):
        assert frame(broker, link, BEAT, 1, b'')
    assert len(link.queue) == 1
    link.queue.clear()
    assert frame(broker, link, BEAT, 1, b'')
    assert len(link.queue) == 1


def test_no_more_casts_fail_than_were_sent(scene: Any) -> None:
    broker, context, link = scene
    context.counters.account.cast(2)
    assert [frame(broker, link, ERROR, 0, TRACE) for _ in range(3)] == [True, True, False]


def test_values_of_no_bytes_use_up_the_credit(scene: Any) -> None:
    broker, context, link = scene
    came = 0
    while frame(broker, link, DATA, 1, b''):
        came += 1
    assert came == context.broker.channels.open_channels[1]._end.window // CHARGES[DATA].each


def test_records_of_ever_new_levels_leave_nothing_behind(scene: Any) -> None:
    broker, context, link = scene
    context.lines.logger.setLevel(10)
    for level in (*range(-500, 500), *range(10**15, 10**15 + 500)):
        assert frame(broker, link, LOG, 0, encode(('app', level, 0.0, 'x', None)))
        context.lines.settle(context.lines.mark())
    assert len(getattr(context.lines.logger, '_cache')) < 10  # noqa: B009 -- not in typeshed
    context.lines.logger.setLevel(0)


STEPS = st.lists(st.tuples(st.booleans(), st.sampled_from([kind for kind in CHARGES if CHARGES[kind].payer == HELD]),
                           st.integers(0, 1 << 22)), max_size=60)  # fmt: skip


@given(STEPS)
def test_what_is_held_is_within_the_window_and_one_frame_and_all_is_given_back(steps: Any) -> None:
    account, held = Account(), {kind: [] for kind in CHARGES}  # type: tuple[Account, dict[int, list[int]]]
    for takes, kind, size in steps:
        charge, mine = CHARGES[kind], held[kind]
        if takes:
            room = account.has_room(kind)
            assert room == account.take(kind, size)
            if room:
                mine.append(size)
            else:
                assert sum(mine) + charge.each * len(mine) >= charge.window or len(mine) == charge.frames
        elif mine:
            account.give_back(kind, mine.pop(0))
        assert sum(mine[:-1]) + charge.each * len(mine[:-1]) < charge.window
        assert not charge.frames or len(mine) <= charge.frames
    for kind, mine in held.items():
        for size in mine:
            account.give_back(kind, size)
    assert not any(account.bytes.values())
    assert not any(account.frames.values())
