"""The lines of a command are the same, however its output is cut into pieces."""

from __future__ import annotations

import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.controller.commands.lines import Splitter, line_of

PARTS = [b'\n', b'\r', b'\r\n', b'a', 'é'.encode(), b'\xff', b'\0']
outputs = st.lists(st.sampled_from(PARTS), max_size=30).map(b''.join)


def split(pieces: list[bytes]) -> list[bytes]:
    splitter = Splitter()
    lines = [line for piece in pieces for line in splitter.feed(piece)]
    return lines + splitter.flush()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(outputs, st.lists(st.integers(0, 1000)))
def test_pieces_do_not_matter(data: bytes, places: list[int]) -> None:
    assert split(cut(data, places)) == split([data]) == split([data[at:at + 1] for at in range(len(data))])


@given(outputs)
def test_nothing_is_lost_but_the_ends(data: bytes) -> None:
    ended = data if not data or data.endswith(b'\n') else data + b'\n'
    expected = [line.removesuffix(b'\r') for line in ended.split(b'\n')[:-1]]
    if data and not data.endswith(b'\n'):
        expected[-1] = data.rpartition(b'\n')[2]
    assert split([data]) == expected


@given(outputs)
def test_each_byte_survives_as_text(data: bytes) -> None:
    assert [os.fsencode(str(line_of(line, 'stdout', True))) for line in split([data])] == split([data])


@pytest.mark.parametrize('text', [True, False])
def test_a_line_tells_its_stream(text: bool) -> None:
    line = line_of(b'x', 'stderr', text)
    assert (line, line.stream) == ('x' if text else b'x', 'stderr')
