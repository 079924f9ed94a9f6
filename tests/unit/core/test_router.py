"""A tree of routers in memory, whose frames move one at a time, whose links break, and one of whom lies."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from econtext.core.router import LIMIT, Router
from econtext.core.wire import CALL, DATA, DEAD, ERROR, LOG, RESULT, ROUTE, START, UP, WANT
from econtext.parent.nursery import lose

pytestmark = pytest.mark.deadline(600)  # many examples take their time

KINDS = st.integers(0, UP + 12)


class Wire:
    """One direction of a link; `far` is the link it comes out of at the other end."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.far: Wire
        self.frames: deque[tuple[int, int, int, int, bytes]] = deque()
        self.broken = False
        self.transport, self.bulk = self, None

    def send(self, kind: int, dst: int, src: int, handle: int, body: bytes) -> None:
        assert 0 <= src < 1 << 32
        if not self.broken:
            self.frames.append((kind, dst, src, handle, body))


# Child -> parent: 1 and 2 below the controller, 3 and 4 below 1, 5 below 3.
PARENTS = {1: 0, 2: 0, 3: 1, 4: 1, 5: 3}
LIAR = 1    # what it says for 3, 4, 5 is its right; 2 is not


def path(node: int) -> list[int]:
    return [node, *path(PARENTS[node])] if node else [0]


class Tree(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.routers = {node: Router(node) for node in range(6)}
        self.down: dict[int, Wire] = {}     # the parent's end of the link to a child
        self.lost: set[int] = set()
        self.answers: dict[int, list[tuple[int, bytes]]] = {}
        self.asked: dict[int, int] = {}
        self.heard: list[tuple[int, int, int, bytes]] = []
        for child, parent in PARENTS.items():
            above, below = Wire(f'{parent}>{child}'), Wire(f'{child}>{parent}')
            above.far, below.far = below, above
            self.down[child] = above
            self.routers[child].up = below
        for node, router in self.routers.items():
            for child in self.down:
                if node in path(child)[1:]:
                    steps = path(child)
                    router.links[child] = self.down[steps[steps.index(node) - 1]]
            router.handle({kind: self.handler(node, kind) for kind in (CALL, WANT, START, LOG, DATA)})

    def handler(self, node: int, kind: int) -> Any:
        def receive(src: int, handle: int, body: bytes) -> None:
            self.heard.append((node, kind, src, body))
            if kind in (CALL, WANT):
                self.routers[node].send(RESULT, src, handle, b'answer of %d' % node)
        return receive

    @rule(src=st.integers(0, 5), dst=st.integers(0, 5))
    def ask(self, src: int, dst: int) -> None:
        """A parent calls one below; a child wants something of one above."""
        if src == dst or not (src in path(dst) or dst in path(src)):
            return
        number = len(self.answers)
        self.answers[number], self.asked[number] = [], dst
        kind = CALL if src in path(dst) else WANT
        self.routers[src].ask(
            kind, dst, b'from %d' % src, lambda kind, body: self.answers[number].append((kind, body)))

    def move(self, wire: Wire) -> None:
        """Let one frame that was sent on `wire` arrive."""
        kind, dst, src, handle, body = wire.frames.popleft()
        receiver = self.routers[int(wire.peer.split('>')[1])]
        if receiver.accepts(wire.far, kind, dst, src, handle, len(body)):
            receiver.route(wire.far, kind, dst, src, handle, body)
        else:
            self.cut(max(map(int, wire.peer.split('>'))))

    def wires(self) -> list[Wire]:
        return [wire for above in self.down.values() for wire in (above, above.far)]

    @rule(choice=st.integers(0, 9))
    def step(self, choice: int) -> None:
        full = [wire for wire in self.wires() if wire.frames]
        if full:
            self.move(full[choice % len(full)])

    @rule(child=st.sampled_from(sorted(PARENTS)))
    def cut(self, child: int) -> None:
        """The link to `child` breaks: each router above hears of it, as each context below ends."""
        if child in self.lost:
            return
        gone = {node for node in PARENTS if child in path(node)}
        self.lost |= gone
        for node in gone:
            for wire in self.down[node], self.down[node].far:
                wire.broken = True
                wire.frames.clear()
        lose(self.routers[PARENTS[child]], self.down[child])
        for above in path(PARENTS[child])[1:]:
            # What a controller does on a report, and ROUTE on its way down.
            router = self.routers[above]
            for node in gone:
                router.links.pop(node, None)
                for handle, asked in list(router.asked.items()):
                    if asked[0] == node:
                        router.answer(node, handle, DEAD, b'')

    @rule(kind=KINDS, dst=st.integers(0, 7), src=st.integers(0, 7), handle=st.integers(0, 20))
    def lie(self, kind: int, dst: int, src: int, handle: int) -> None:
        """Context 1 says to its parent whatever it likes."""
        if LIAR in self.lost:
            return
        before, answers = len(self.heard), {key: list(found) for key, found in self.answers.items()}
        sideways = len(self.down[2].frames)
        parent, link = self.routers[0], self.down[LIAR]
        if not parent.accepts(link, kind, dst, src, handle, 0):
            assert kind < UP or src in self.lost or LIAR not in (path(src) if src in PARENTS else ())
            return
        assert kind >= UP
        parent.route(link, kind, dst, src, handle, b'a lie')
        if src not in parent.links:
            assert kind == DEAD
            assert len(self.heard) == before
            assert self.answers == answers, 'late news has no effect'
            return
        assert LIAR in path(src)
        assert len(self.down[2].frames) == sideways, 'it went sideways'
        for node, _, speaker, _ in self.heard[before:]:
            assert (node, speaker) == (0, src)
        for number, found in self.answers.items():
            if found != answers[number]:
                assert self.asked[number] == src, 'it answered for another'

    @invariant()
    def one_answer_each(self) -> None:
        for number, found in self.answers.items():
            assert len(found) <= 1, number

    @invariant()
    def nobody_speaks_for_another(self) -> None:
        for node, _, src, body in self.heard:
            assert src in path(node) or node in path(src), 'sideways'
            if body.startswith(b'from '):
                assert int(body[5:]) == src
        for number, found in self.answers.items():
            for kind, body in found:
                assert kind in (RESULT, ERROR, DEAD)
                if body.startswith(b'answer of'):
                    assert int(body[10:]) == self.asked[number]

    def teardown(self) -> None:
        """In the end every question of a context that still lives has its answer."""
        while any(wire.frames for wire in self.wires()):
            for wire in self.wires():
                if wire.frames:
                    self.move(wire)
        self.one_answer_each()
        self.nobody_speaks_for_another()
        for node, router in self.routers.items():
            if node not in self.lost:
                assert not router.asked, (node, router.asked)


TestTree = Tree.TestCase


def test_too_long_is_refused_from_above_and_below() -> None:
    router = Router(1)
    router.up = up = Wire('1>0')
    router.links[2] = below = Wire('1>2')
    for link, src in (up, 0), (below, 2):
        assert router.accepts(link, RESULT, 1, src, 1, LIMIT)
        assert not router.accepts(link, RESULT, 1, src, 1, LIMIT + 1)


def test_only_what_may_come_up_comes_up() -> None:
    router = Router(0)
    router.links[1] = link = Wire('0>1')
    for kind in range(UP + 12):
        assert router.accepts(link, kind, 0, 1, 1, 0) == (kind >= UP)
        assert router.accepts(link, kind, 0, 2, 1, 0) == (kind == DEAD), 'late news'


def test_early_frames_come_in_order_to_a_late_handler() -> None:
    router, heard = Router(), []
    router.up = up = Wire('1>0')
    for number in range(3):
        router.route(up, ROUTE, 1, 0, number, b'')
    router.handle({ROUTE: lambda src, handle, body: heard.append(handle)})
    assert heard == [0, 1, 2]
    assert router.early == []


def test_a_question_without_a_way_is_answered_at_once() -> None:
    answers: list[int] = []
    Router(0).ask(CALL, 9, b'', lambda kind, body: answers.append(kind))
    assert answers == [DEAD]


def test_what_goes_down_never_goes_up() -> None:
    """A context asks one below it that was lost just now: who is above would take that for a crime."""
    router = Router(3)
    router.up = up = Wire('3>0')
    answers: list[int] = []
    router.ask(CALL, 9, b'', lambda kind, body: answers.append(kind))
    assert (answers, list(up.frames)) == ([DEAD], [])
    router.ask(WANT, 0, b'', lambda kind, body: answers.append(kind))
    assert (answers, len(up.frames)) == ([DEAD], 1)


@pytest.mark.parametrize(('handle', 'answers'), [(7, [(DEAD, 0, 9, 7, b'')]), (0, [])])
def test_only_a_question_is_answered_where_there_is_no_way(handle: int, answers: list[Any]) -> None:
    """A cast waits for nothing: an answer to handle 0 would be one that nobody asked for."""
    router = Router(1)
    router.up = up = Wire('1>0')
    router.handle({START: lambda src, handle, body: None})
    router.route(up, CALL, 9, 0, handle, b'')
    assert list(up.frames) == answers


def test_late_news_of_the_dead_ends_nobody_and_goes_no_further() -> None:
    """A hop says so for a call that was on its way when all others had heard of the end already."""
    router = Router(1)
    router.up = up = Wire('1>0')
    router.links[2] = below = Wire('1>2')
    router.links[3] = other = Wire('1>3')
    assert router.accepts(below, DEAD, 0, 9, 7, 0)
    assert not router.accepts(below, RESULT, 0, 9, 7, 0)
    assert not router.accepts(below, DEAD, 0, 3, 7, 0), 'that is another one'
    router.route(below, DEAD, 0, 9, 7, b'')
    assert not up.frames
    assert not other.frames
    router.route(below, DEAD, 0, 2, 7, b'')
    assert list(up.frames) == [(DEAD, 0, 2, 7, b'')]
