"""The environment of commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from econtext.child import running


def test_a_variable_that_python_itself_has_set_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    began = Path('/proc/self/environ').read_bytes()
    monkeypatch.setenv('LC_CTYPE', 'C.UTF-8')
    assert running.coerced() == ([] if b'LC_CTYPE=' in began else ['LC_CTYPE'])
    monkeypatch.delenv('LC_CTYPE')
    assert running.coerced() == []
