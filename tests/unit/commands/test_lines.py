"""The lines of a command are the same, however its output is cut into pieces."""

from __future__ import annotations

import io
import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.controller.commands.lines import Splitter, line_of

PARTS = [b'\n', b'\r', b'\r\n', b'a', 'é'.encode(), '😀'.encode(), b'\xff', b'\x80', b'\0']
outputs = st.lists(st.sampled_from(PARTS), max_size=30).map(b''.join)
limits = st.sampled_from([4, 5, 8, 1000])


def split(pieces: list[bytes], text: bool, limit: int = 1000) -> list[tuple[bytes, bool]]:
    splitter = Splitter(text, limit)
    lines = [line for piece in pieces for line in splitter.feed(piece)]
    return lines + splitter.flush()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(outputs, st.lists(st.integers(0, 1000)), st.booleans(), limits)
def test_pieces_do_not_matter(data: bytes, places: list[int], text: bool, limit: int) -> None:
    whole = split([data], text, limit)
    assert split(cut(data, places), text, limit) == whole
    assert split([data[at:at + 1] for at in range(len(data))], text, limit) == whole


@given(outputs)
def test_nothing_is_lost_but_the_ends(data: bytes) -> None:
    ended = data if not data or data.endswith(b'\n') else data + b'\n'
    expected = [line.removesuffix(b'\r') for line in ended.split(b'\n')[:-1]]
    if data and not data.endswith(b'\n'):
        expected[-1] = data.rpartition(b'\n')[2]
    assert [line for line, _ in split([data], False)] == expected


@given(outputs)
def test_the_lines_of_a_text_are_those_of_subprocess(data: bytes) -> None:
    file = io.TextIOWrapper(io.BytesIO(data), 'utf-8', 'surrogateescape')
    expected = [(line.removesuffix('\n'), line.endswith('\n')) for line in file]
    assert [(str(line_of(line, ended, 'stdout', True)), ended) for line, ended in split([data], True)] == expected


@given(outputs, st.booleans(), limits)
def test_a_piece_is_no_longer_than_the_limit_and_all_make_the_line(data: bytes, text: bool, limit: int) -> None:
    pieces = split([data], text, limit)
    assert all(len(piece) <= limit for piece, _ in pieces)
    joined: list[bytes] = []
    before = True
    for piece, ended in pieces:
        joined[len(joined) if before else -1:] = [piece if before else joined[-1] + piece]
        before = ended
    assert joined == [line for line, _ in split([data], text)]


@given(st.text('aé😀', min_size=1, max_size=40), limits)
def test_no_character_is_cut(data: str, limit: int) -> None:
    for piece, _ in split([data.encode()], True, limit):
        piece.decode()


@given(outputs)
def test_no_more_is_held_than_the_limit(data: bytes) -> None:
    for text in False, True:
        splitter = Splitter(text, 4)
        for at in range(len(data)):
            splitter.feed(data[at:at + 1])
            assert len(b''.join(splitter.rest)) <= 5


@given(outputs)
def test_each_byte_survives_as_text(data: bytes) -> None:
    found = split([data], True)
    for line, ended in found:
        assert os.fsencode(str(line_of(line, ended, 'stdout', True))) == line


@pytest.mark.parametrize('text', [True, False])
def test_a_line_tells_its_stream(text: bool) -> None:
    line = line_of(b'x', True, 'stderr', text)
    assert (line, line.stream, line.ended) == ('x' if text else b'x', 'stderr', True)
