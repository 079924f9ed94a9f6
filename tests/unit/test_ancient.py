"""What only the oldest Pythons use, tried on this one."""

from __future__ import annotations

import struct
import sys
import types
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from econtext.core import ancient, particulars, rich


@given(st.floats())
def test_floats_are_as_everywhere(value: float) -> None:
    assert ancient.pack(value) == struct.pack('>d', value)
    assert struct.pack('>d', ancient.unpack(struct.pack('>d', value))) == struct.pack('>d', value)


@given(st.text())
def test_the_text_of_an_exception_is_that_of_its_one_argument(text: str) -> None:
    assert particulars.sole(ValueError(text)) == text


def test_a_module_bears_the_mark_while_it_is_executed() -> None:
    seen: list[Any] = []

    def load(name: str) -> types.ModuleType:
        seen.append(sys.modules[name].__initializing__)  # type: ignore[attr-defined]
        return sys.modules[name]

    name = 'ect_marked'
    try:
        module = ancient.marked(load)(name)
        assert seen == [True]
        assert module.__initializing__ is False
    finally:
        del sys.modules[name]


@given(st.integers(-99, 99), st.integers(-99, 99), st.integers(1, 9))
def test_the_bounds_of_an_xrange_are_those_of_its_text(start: int, stop: int, step: int) -> None:
    class Told:
        def __init__(self, text: str) -> None:
            self.text = text

        def __repr__(self) -> str:
            return self.text

        def __reduce__(self) -> str:
            raise TypeError

    assert rich.steps(Told(f'xrange({start}, {stop}, {step})')) == (start, stop, step)
    assert rich.steps(Told(f'xrange({start}, {stop})')) == (start, stop, 1)
    assert rich.steps(Told(f'xrange({stop})')) == (0, stop, 1)
