"""A link that is quick routes the same frames in the same order, however they are cut, and writes what it is given."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from econtext.child import bulk
from econtext.controller.runtime.loop import ControllerLoop
from econtext.controller.runtime.waiting import Wait
from econtext.core.loop import Link
from econtext.core.router import Router
from econtext.core.wire import CREDIT, DATA, RESULT, STDIO, pack

pytestmark = pytest.mark.deadline(600)  # many examples take their time

Frame = tuple[int, int, int, bytes]
LAST = 0xFFFF
SIZES = st.sampled_from([0, 1, 40, 64, 100, 4000, 40_000, 65_536, 131_072, 262_144, 262_145, 700_000])
SENT = st.tuples(st.sampled_from([RESULT, DATA, STDIO, CREDIT]), st.integers(0, 9), SIZES)


class End:
    """One end of a pipe in each direction, with a loop of its own."""

    def __init__(self, me: int, peer: int, read: int, write: int) -> None:
        self.loop, self.router = ControllerLoop(), Router(me)
        self.heard: list[Frame] = []
        self.reasons: list[str] = []
        self.wait = Wait(self.loop)
        for kind in (RESULT, DATA, STDIO, CREDIT):
            self.router.handlers[kind] = self.handler(kind)
        self.link = Link(self.loop, self.router, self)
        self.router.links[peer] = self.link
        bulk.accelerate(self.link, self.router)
        self.router.parts.able[peer] = True
        self.link.open(read, write)

    def handler(self, kind: int) -> Any:
        def receive(src: int, handle: int, body: bytes) -> None:
            if handle == LAST:
                self.loop.finish(self.wait)
            else:
                self.heard.append((kind, src, handle, bytes(body)))
        return receive

    def lost(self, link: Link, reason: str) -> None:
        self.reasons.append(reason)
        self.loop.finish(self.wait)

    def close(self) -> None:
        self.link.hang_up()
        self.loop.close()


@pytest.fixture
def ends() -> Iterator[tuple[End, End]]:
    forth, back = os.pipe(), os.pipe()
    both = End(0, 1, back[0], forth[1]), End(1, 0, forth[0], back[1])
    yield both
    for end in both:
        end.close()


@settings(max_examples=40)
@given(sent=st.lists(SENT, max_size=12))
def test_from_end_to_end(sent: list[tuple[int, int, int]]) -> None:
    forth, back = os.pipe(), os.pipe()
    upper, lower = End(0, 1, back[0], forth[1]), End(1, 0, forth[0], back[1])
    try:
        frames = [(kind, 1, handle, b'%d' % number + bytes(size)) for number, (kind, handle, size) in enumerate(sent)]
        for kind, _, handle, body in frames:
            lower.router.send(kind, 0, handle, body)
        lower.router.send(RESULT, 0, LAST, b'')
        upper.loop.wait(upper.wait)
        ordered = [frame for frame in frames if frame[0] != CREDIT]
        assert [frame for frame in upper.heard if frame[0] != CREDIT] == ordered
        # What is not ordered may come later than that, but in its own order.
        credits_heard = [frame for frame in upper.heard if frame[0] == CREDIT]
        assert credits_heard == [frame for frame in frames if frame[0] == CREDIT][: len(credits_heard)]
    finally:
        upper.close()
        lower.close()


@settings(max_examples=40)
@given(sent=st.lists(SENT, max_size=6), data=st.data())
def test_however_it_is_cut(sent: list[tuple[int, int, int]], data: st.DataObject) -> None:
    frames = [(kind, 0, handle, b'%d' % number + bytes(size)) for number, (kind, handle, size) in enumerate(sent)]
    stream = b''.join(pack(kind, 1, src, handle, len(body)) + body for kind, src, handle, body in frames)
    stream += pack(RESULT, 1, 0, LAST, 0)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    forth, back = os.pipe(), os.pipe()
    end = End(1, 0, forth[0], back[1])

    def write() -> None:
        for begin, finish in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            at = begin
            while at < finish:
                at += os.write(forth[1], stream[at:finish])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        end.loop.wait(end.wait)
        assert end.heard == frames
    finally:
        writer.join()
        end.close()
        os.close(forth[1])
        os.close(back[0])


@pytest.mark.parametrize('good', [0, 1, 3])
def test_nothing_behind_a_bad_header_is_believed(ends: tuple[End, End], good: int) -> None:
    upper, lower = ends
    frame = pack(DATA, 0, 1, 5, 3) + b'yes'
    lower.link.write(frame * good + b'x' * 40 + frame)
    upper.loop.wait(upper.wait)
    assert len(upper.heard) <= good
    assert len(upper.reasons) == 1
    assert upper.link.fd is None


def test_the_end_within_a_large_frame_that_began_before_the_link_was_quick(ends: tuple[End, End]) -> None:
    upper, lower = ends
    upper.link.decoder.feed(pack(DATA, 0, 1, 5, 1 << 20) + b'begun')
    lower.link.hang_up()
    upper.loop.wait(upper.wait)
    assert len(upper.reasons) == 1
    assert upper.link.fd is None


def test_nobody_reads_any_more(ends: tuple[End, End]) -> None:
    """What cannot be sent is dropped, and nothing waits for it."""
    upper = ends[0]
    upper.link.hang_up()
    upper.router.send(DATA, 1, 5, b'small')
    upper.router.send(DATA, 1, 5, bytes(1_000_000))
    assert not upper.link.queue
    assert not upper.link.transport.lanes.lanes
