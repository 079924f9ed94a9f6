"""Modules that arrive while they are being looked for."""

from __future__ import annotations

import types
from typing import Any

import pytest

from econtext.core.importer import Importer
from econtext.core.pull import NEWER, Pull

UNIT = False, 'econtext/core/parts.py', b'VALUE = 1\n'


class Late(Importer):
    """Has no module until it was asked for it once: then the leader has taken it in."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        found = super().find_spec(name, path, target)
        self.units[name] = UNIT
        return found


@pytest.mark.parametrize('name', ['econtext.core.parts', 'parts_that_nobody_has'])
def test_what_comes_between_two_looks_is_found(name: str) -> None:
    importer = Late()
    pull = Pull(types.SimpleNamespace(importer=importer), {})  # type: ignore[arg-type]
    pull.ask = lambda *args: pytest.fail('it was asked for what is here')  # type: ignore[method-assign]
    assert importer.find_spec(name) is None
    spec = pull.find_spec(name)
    assert spec is not None
    assert spec.loader is importer


def test_what_is_nowhere_is_nowhere() -> None:
    importer = Importer()
    importer.units['econtext.core.absent'] = None
    pull = Pull(types.SimpleNamespace(importer=importer), {})  # type: ignore[arg-type]
    assert pull.find_spec('econtext.core.absent') is None
    assert pull.find_spec('json').origin.endswith('__init__.py')


@pytest.mark.parametrize('name', NEWER)
def test_nobody_is_asked_for_what_our_own_code_tries_to_import(name: str) -> None:
    pull = Pull(types.SimpleNamespace(importer=Importer()), {})  # type: ignore[arg-type]
    assert not pull.may_have(name, None)
