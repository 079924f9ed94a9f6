"""Modules that arrive while they are being looked for."""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import Any

import pytest

from econtext.child.pull import NEWER, Loader, Pull
from econtext.core.importer import Importer

UNIT = False, 'econtext/child/parts.py', b'VALUE = 1\n'


def loader(monkeypatch: pytest.MonkeyPatch, kind: type[Loader] = Loader) -> Loader:
    """Return the loader of a context that was sent nothing, in the place of its importer."""
    importer = Importer()
    monkeypatch.setattr(sys, 'meta_path', [importer, *sys.meta_path])
    return kind(importer, None)


class Late(Loader):
    """Has no module until it was asked for it once: then the leader has taken it in."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        found = super().find_spec(name, path, target)
        self.units[name] = UNIT
        return found


@pytest.mark.parametrize('name', ['econtext.child.parts', 'parts_that_nobody_has'])
def test_what_comes_between_two_looks_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    importer = loader(monkeypatch, Late)
    pull = Pull(types.SimpleNamespace(importer=importer), {})  # type: ignore[arg-type]
    pull.ask = lambda *args: pytest.fail('it was asked for what is here')  # type: ignore[method-assign]
    assert importer.find_spec(name) is None
    spec = pull.find_spec(name)
    assert spec is not None
    assert spec.loader is importer


def test_what_is_nowhere_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    importer = loader(monkeypatch)
    importer.units['econtext.core.absent'] = None
    pull = Pull(types.SimpleNamespace(importer=importer), {})  # type: ignore[arg-type]
    assert pull.find_spec('econtext.core.absent') is None
    assert pull.find_spec('json').origin.endswith('__init__.py')


@pytest.mark.parametrize('name', NEWER)
def test_nobody_is_asked_for_what_our_own_code_tries_to_import(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pull = Pull(types.SimpleNamespace(importer=loader(monkeypatch)), {})  # type: ignore[arg-type]
    assert not pull.may_have(name, None)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Importer:
    """Return an importer that was sent a package, which was imported by it."""
    importer = Importer()
    importer.units['sent_by_test'] = (), 'sent_by_test/__init__.py', b'VALUE = 1\n'
    monkeypatch.setattr(sys, 'meta_path', [importer, *sys.meta_path])
    monkeypatch.setitem(sys.modules, 'sent_by_test', None)
    del sys.modules['sent_by_test']
    __import__('sent_by_test')
    return importer


def test_the_loader_takes_the_place_of_the_importer(sent: Importer) -> None:
    taken = Loader(sent, None)
    assert sys.meta_path[0] is taken
    assert sent not in sys.meta_path
    sent.units['later_by_test'] = False, 'later_by_test.py', b''
    assert taken.find_spec('later_by_test').loader is taken


def test_what_was_imported_before_has_its_lines(sent: Importer) -> None:
    taken = Loader(sent, None)
    module = sys.modules['sent_by_test']
    assert module.__loader__ is taken
    assert module.__spec__ is not None
    assert module.__spec__.loader is taken
    assert taken.get_source('sent_by_test') == 'VALUE = 1\n'


def test_a_loader_has_nothing_that_loaders_do_not_have(sent: Importer) -> None:
    assert not hasattr(Loader(sent, None), 'no_such_thing')


def test_a_process_that_reaches_nobody_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    importer = loader(monkeypatch)
    pull = Pull(types.SimpleNamespace(importer=importer), {})  # type: ignore[arg-type]
    assert pull.may_have('nobody_has_this', None)
    importer.cut_off = True
    assert not pull.may_have('nobody_has_this', None)


def test_a_hooked_module_is_loaded_by_its_own_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever only asks how it would be loaded sees that loader as well."""
    hooked: list[Any] = []
    importer = loader(monkeypatch)
    importer.cut_off = True
    pull = Pull(types.SimpleNamespace(importer=importer), {'colorsys': hooked.append})  # type: ignore[arg-type]
    spec = pull.find_spec('colorsys')
    true = importlib.util.find_spec('colorsys')
    assert true is not None
    assert spec.loader.get_source('colorsys') == true.loader.get_source('colorsys')  # type: ignore[union-attr]
    module = importlib.util.module_from_spec(spec)
    assert not hooked
    spec.loader.exec_module(module)
    assert hooked == [module]
    assert type(module.__loader__) is type(true.loader)
    assert module.__spec__ is not None
    assert module.__spec__.loader is module.__loader__
    assert 'exec_module' not in vars(module.__loader__)
