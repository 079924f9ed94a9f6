"""What only the oldest Pythons use, tried on this one."""

from __future__ import annotations

import struct
import sys
import types
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.core import ancient, labels, rich


@given(st.floats())
def test_floats_are_as_everywhere(value: float) -> None:
    assert ancient.pack(value) == struct.pack('>d', value)
    assert struct.pack('>d', ancient.unpack(struct.pack('>d', value))) == struct.pack('>d', value)


@given(st.text())
def test_the_text_of_an_exception_is_that_of_its_one_argument(text: str) -> None:
    assert labels.sole(ValueError(text)) == text


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


def test_a_forked_process_imports_nothing_before_it_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may have held the lock of imports as it was forked: before Python 2.6 for ever."""
    from econtext.core.life import Life

    told: list[Any] = []
    life: Any = Life.__new__(Life)
    life.child = object()

    def fork() -> int:
        def locked(*args: Any, **kwargs: Any) -> Any:
            raise AssertionError('an import waits for ever here')

        monkeypatch.setattr('builtins.__import__', locked)
        return 0

    loaded = life.forks()
    monkeypatch.setattr(loaded, 'forked', told.append)
    try:
        life.watched(fork, int)()
    finally:
        monkeypatch.undo()
    assert told == [life.child]
