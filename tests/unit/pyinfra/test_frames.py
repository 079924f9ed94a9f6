"""The messages between the process of pyinfra and its helper."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from econtext.pyinfra import frames

VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.binary(max_size=300) | some.text(max_size=50),
    lambda inner: some.tuples(inner, inner) | some.lists(inner, max_size=3), max_leaves=6)


@given(some.lists(VALUES, max_size=5), some.integers(1, 700))
def test_messages_are_the_same_however_they_are_cut(values: list[object], size: int) -> None:
    data = b''.join(frames.packed(number, value) for number, value in enumerate(values))
    unpacker = frames.Unpacker()
    found = [message for at in range(0, len(data), size) for message in unpacker.feed(data[at:at + size])]
    assert found == list(enumerate(values))
