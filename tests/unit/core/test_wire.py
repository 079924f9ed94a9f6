"""Frames come out as they went in, however the stream is cut; a bad stream stays bad."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.core.wire import HEADER_SIZE, BadFrame, Decoder, pack

pytestmark = pytest.mark.deadline(600)  # many examples take their time

NUMBER = st.integers(0, 2**32 - 1)
FRAME = st.tuples(st.integers(0, 255), NUMBER, NUMBER, NUMBER, st.binary(max_size=60))
GOOD = pack(1, 2, 3, 4, 5) + b'hello'


def packed(frames: list[tuple[int, int, int, int, bytes]]) -> bytes:
    return b''.join(pack(*frame[:4], len(frame[4])) + frame[4] for frame in frames)


def anything(*header: int) -> bool:
    return True


@given(st.lists(FRAME, max_size=6), st.data())
def test_however_it_is_cut(frames: list[tuple[int, int, int, int, bytes]], data: st.DataObject) -> None:
    stream = packed(frames)
    decoder, found, at = Decoder(anything), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, len(stream) - at))
        found += decoder.feed(stream[at : at + size])
        at += size
    assert found == frames


@given(st.lists(FRAME, max_size=6))
def test_byte_by_byte_and_whole(frames: list[tuple[int, int, int, int, bytes]]) -> None:
    stream = packed(frames)
    decoder = Decoder(anything)
    assert [frame for i in range(len(stream)) for frame in decoder.feed(stream[i : i + 1])] == frames
    assert Decoder(anything).feed(stream) == frames


@given(st.binary(max_size=100))
def test_rubbish_is_refused_or_awaited(rubbish: bytes) -> None:
    decoder = Decoder(lambda *header: header[-1] <= 50)
    try:
        frames = decoder.feed(rubbish)
    except BadFrame:
        assert len(rubbish) >= HEADER_SIZE
        with pytest.raises(BadFrame):
            decoder.feed(GOOD)
    else:
        assert packed(frames) == rubbish[: len(rubbish) - decoder.have]


def test_a_header_is_judged_before_its_body_is_there() -> None:
    judged = []

    def judge(*header: int) -> bool:
        judged.append(header)
        return False

    with pytest.raises(BadFrame):
        Decoder(judge).feed(pack(9, 1, 7, 3, 1 << 31))
    assert judged == [(9, 1, 7, 3, 1 << 31)]


def test_frames_before_a_bad_one_in_the_same_piece_are_not_believed() -> None:
    decoder = Decoder(anything)
    with pytest.raises(BadFrame):
        decoder.feed(GOOD + b'x' * HEADER_SIZE)
    with pytest.raises(BadFrame):
        decoder.feed(GOOD)
