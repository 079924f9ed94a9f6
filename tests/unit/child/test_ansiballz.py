"""Which contexts run packed modules in their forks."""

from __future__ import annotations

import os
import sys

import pytest

from econtext.child import ansiballz


@pytest.mark.parametrize(
    ('name', 'able'), [('PYTHONUNBUFFERED', True), ('PYTHONDONTWRITEBYTECODE', True), ('PYTHON_COLORS', True),
                       ('PYTHONPATH', False), ('PYTHONIOENCODING', False), ('PYTHONOPTIMIZE', False)])
def test_variables_that_steer_python(monkeypatch: pytest.MonkeyPatch, name: str, able: bool) -> None:
    for each in list(os.environ):
        if each.startswith('PYTHON'):
            monkeypatch.delenv(each)
    assert ansiballz.suits(sys.executable) == (True, True)
    monkeypatch.setenv(name, '1')
    assert ansiballz.suits(sys.executable) == (True, able)
