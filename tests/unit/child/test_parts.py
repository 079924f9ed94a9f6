"""Large frames in parts: whole again at the end, in order, whatever is sent between them and however it is cut."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.child import parts
from econtext.child.kinds import PART
from econtext.child.parts import LARGEST, OPENING, ORDERED, Lanes, Parts
from econtext.core.router import LIMIT, Router
from econtext.core.wire import CALL, CREDIT, DATA, EMPTY, HEADER_SIZE, RESULT, STDIO, BadFrame, Decoder

pytestmark = pytest.mark.deadline(600)  # many examples take their time

Frame = tuple[int, int, int, int, bytes]
WHOLE_PIECE = parts.PIECE
AHEAD, STEP = 256, 128
PIECE = 64  # bytes in a part, here

#: kind, from whom, handle, how long, and how many turns are taken before the next.
SENT = st.tuples(
    st.sampled_from([RESULT, DATA, STDIO, CREDIT]), st.integers(1, 3), st.integers(0, 3),
    st.sampled_from([0, 1, 100, PIECE, PIECE + 1, 3 * PIECE, 30 * PIECE + 7]), st.integers(0, 4),
)  # fmt: skip


class Link:
    """What a router asks of a link; `lanes` belong to its other end."""

    def __init__(self, lanes: Lanes | None = None) -> None:
        self.lanes = lanes
        self.transport, self.bulk = self, None

    def send(self, kind: int, dst: int, src: int, handle: int, body: bytes) -> None:
        assert (kind, body) == (PART, b'')
        if self.lanes:
            self.lanes.grant(src, dst, handle)


@pytest.fixture(autouse=True, scope='module')
def short() -> Iterator[None]:
    """Parts of a few bytes show the same, and soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, 'PIECE', PIECE)
        patch.setattr(parts, 'AHEAD', AHEAD)
        patch.setattr(parts, 'STEP', STEP)
        patch.setattr(parts, 'SMALL', 2 * PIECE)
        yield


def read(lanes: Lanes) -> list[Frame]:
    """Return the frames of one turn."""
    frames: list[Frame] = Decoder(lambda *header: True).feed(b''.join(map(bytes, lanes.turn())))
    return frames


def heard_by(me: int, below: dict[int, Link]) -> tuple[Router, list[Frame]]:
    router, heard = Router(me), []

    def handler(kind: int) -> Any:
        return lambda src, handle, body: heard.append((kind, me, src, handle, bytes(body)))

    router.handle({kind: handler(kind) for kind in (*ORDERED, CREDIT)})
    router.links = dict(below)
    router.parts = Parts(router)
    return router, heard


@given(st.lists(SENT, max_size=8), st.integers(1, 5 * PIECE))
def test_whole_and_in_order(sent: list[tuple[int, int, int, int, int]], cut: int) -> None:
    """All of one link, that of a context with two below it, at a slow destination."""
    lanes, stream, frames = Lanes(), bytearray(), []
    link = Link(lanes)
    router, heard = heard_by(0, dict.fromkeys((1, 2, 3), link))
    decoder = Decoder(lambda kind, dst, src, handle, size: kind != PART or size <= LARGEST)
    for number, (kind, src, handle, size, turns) in enumerate(sent):
        body = b'%d' % number + bytes(size)
        frames.append((kind, 0, src, handle, body))
        if not lanes.put(kind, 0, src, handle, body[:1], body[1:], len(body) > PIECE + 1):
            stream += parts.pack(kind, 0, src, handle, len(body)) + body
        for _ in range(turns):
            if lanes.turns:
                stream += b''.join(bytes(buffer) for buffer in lanes.turn())
    whole = [len(frame[4]) for frame in frames if frame[0] not in ORDERED or len(frame[4]) <= PIECE]
    bound = 3 * (AHEAD + PIECE) + sum(whole) + 200 * HEADER_SIZE
    while lanes.turns or stream:
        while lanes.turns:
            stream += b''.join(bytes(buffer) for buffer in lanes.turn())
        assert len(stream) < bound, 'more than may be on the way'
        # Some of it arrives.
        for frame in decoder.feed(bytes(stream[:cut])):
            router.route(link, *frame)
        del stream[:cut]
    assert not lanes.lanes
    assert sorted(heard) == sorted(frames)
    for src in (1, 2, 3):
        for ordered in (True, False):
            assert [frame for frame in heard if frame[2] == src and (frame[0] in ORDERED) == ordered] == [
                frame for frame in frames if frame[2] == src and (frame[0] in ORDERED) == ordered
            ]
    assert not router.parts.begun


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_each_has_its_turn(pieces: list[int]) -> None:
    lanes, model = Lanes(), deque(enumerate(pieces))
    for dst, count in model:
        assert lanes.put(CALL, dst, 0, 1, EMPTY, bytes(count * PIECE), True)
    while model:
        dst, count = model.popleft()
        assert read(lanes)[0][1] == dst
        lanes.grant(dst, 0, 1)
        if count > 1:
            model.append((dst, count - 1))
    assert not lanes.turns


def test_a_large_frame_does_not_hold_up_the_others() -> None:
    lanes = Lanes()
    assert lanes.put(CALL, 1, 0, 5, EMPTY, bytes(4 * PIECE), True)
    lanes.turn()
    assert not lanes.put(CALL, 2, 0, 6, EMPTY, b'another context', False)
    assert not lanes.put(CREDIT, 1, 0, 7, EMPTY, b'not ordered', False)
    assert lanes.put(CALL, 1, 0, 8, EMPTY, b'must not overtake', False)


def test_what_goes_to_a_lost_context_is_dropped() -> None:
    lanes = Lanes()
    for dst in (1, 2):
        lanes.put(CALL, dst, 0, 5, EMPTY, bytes(2 * PIECE), True)
    lanes.forget(1)
    assert [read(lanes)[0][1] for _ in range(2)] == [2, 2]
    assert not lanes.turns


def opening(kind: int, size: int, data: bytes = b'') -> bytes:
    return struct.pack(OPENING, kind, size) + data


class Strict(Router):
    def accepts(self, link: Any, kind: int, dst: int, src: int, handle: int, size: int) -> bool:
        return size <= 100 and super().accepts(link, kind, dst, src, handle, size)


@pytest.mark.parametrize(
    'bodies',
    [
        [b'abc'],
        [opening(RESULT, 101)],
        [opening(RESULT, LIMIT + 1)],
        [opening(CALL, 10)],
        [opening(PART, 10)],
        [opening(CREDIT, 10)],
        [opening(RESULT, 10, b'x' * 11)],
        [opening(RESULT, 10, b'x' * 9), b'xx'],
    ],
    ids=repr,
)
def test_what_no_honest_context_sends_is_refused(bodies: list[bytes]) -> None:
    router = Strict(0)
    router.links[1] = link = Link()
    router.parts = Parts(router)
    for body in bodies[:-1]:
        router.route(link, PART, 0, 1, 7, body)
    with pytest.raises(BadFrame):
        router.route(link, PART, 0, 1, 7, bodies[-1])


def test_parts_of_two_frames_are_refused() -> None:
    router = Router(0)
    router.links[1] = link = Link()
    router.parts = Parts(router)
    router.route(link, PART, 0, 1, 7, opening(RESULT, 10, b'x'))
    with pytest.raises(BadFrame):
        router.route(link, PART, 0, 1, 8, b'x')


def test_what_was_announced_takes_no_memory() -> None:
    """Many contexts announce a gigabyte each, and say nothing more."""
    router = Router(0)
    router.parts = Parts(router)

    def resident() -> int:
        with open('/proc/self/statm') as file:
            return int(file.read().split()[1]) * 4096

    before = resident()
    for src in range(1, 51):
        router.links[src] = link = Link()
        router.route(link, PART, 0, src, 7, opening(RESULT, LIMIT, b'x'))
    # A page each; a huge one where the system gives them out.
    assert resident() - before < 50 * (1 << 21) + (1 << 25)
    for src in range(1, 51):
        router.parts.forget(None, src)
    assert not router.parts.begun


def test_parts_fit_what_the_gate_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(parts, 'PIECE', WHOLE_PIECE)
    lanes = Lanes()
    lanes.put(CALL, 1, 0, 5, b't' * 32, bytes(2 * WHOLE_PIECE), True)
    while lanes.turns:
        assert len(b''.join(map(bytes, lanes.turn()))) - HEADER_SIZE <= LARGEST
