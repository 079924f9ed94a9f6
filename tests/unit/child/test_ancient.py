"""What only the oldest Pythons use, tried on this one."""

from __future__ import annotations

import struct
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.child import ancient, labels, rich
from econtext.core.importer import Importer


@given(st.floats())
def test_floats_are_as_everywhere(value: float) -> None:
    assert ancient.pack(value) == struct.pack('>d', value)
    assert struct.pack('>d', ancient.unpack(struct.pack('>d', value))) == struct.pack('>d', value)


@given(st.text())
def test_the_text_of_an_exception_is_that_of_its_one_argument(text: str) -> None:
    assert labels.sole(ValueError(text)) == text


def test_a_module_bears_the_mark_while_it_is_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    importer = Importer()
    importer.units['ect_marked'] = False, 'ect_marked.py', b'import sys; SEEN = sys.modules[__name__].__initializing__'
    monkeypatch.setattr(sys, 'meta_path', [importer])
    marking = ancient.Marking(importer, None)
    try:
        module = marking.load_module('ect_marked')
        assert module.SEEN is True
        assert module.__initializing__ is False
        assert module.__loader__ is marking
    finally:
        sys.modules.pop('ect_marked', None)


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
    from econtext.child.life import Life

    told: list[Any] = []
    life: Any = Life.__new__(Life)

    def fork() -> int:
        def locked(*args: Any, **kwargs: Any) -> Any:
            raise AssertionError('an import waits for ever here')

        monkeypatch.setattr('builtins.__import__', locked)
        return 0

    from econtext.child import forks
    monkeypatch.setattr(forks, 'forked', told.append)
    try:
        life.at_fork('fork', fork)()
    finally:
        monkeypatch.undo()
    assert told == [life]
