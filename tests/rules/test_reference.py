"""The reference page says what the code says, names every public name, and no docstring leaves a user guessing."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import econtext

# The page shows what needs these; other controllers' Pythons are tested without them.
pytest.importorskip('distributed')
pytest.importorskip('joblib')

ROOT = Path(__file__).parents[2]


def load() -> Any:
    spec = importlib.util.spec_from_file_location('reference', ROOT / 'scripts' / 'reference.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = load()
FUNCTIONS = {
    f'{kind.__name__}.{name}': getattr(kind, name) for kind, _, names in reference.CLASSES for name in names
} | {f'{module.__name__}.{name}': getattr(module, name) for module, names in reference.MODULES for name in names}
CLASSES = [kind for kind, _, _ in reference.CLASSES] + [getattr(econtext, name) for name in reference.ERRORS]

def test_page_is_up_to_date() -> None:
    assert reference.PAGE.read_text() == reference.page(), 'run: python3 scripts/reference.py'


def test_definitions_are_python() -> None:
    """Defaults are values; a text without its quotes would be a name."""
    found = re.findall(r'```python\n(def .*?)\n```', reference.page(), re.DOTALL)
    assert len(found) > 100
    for text in found:
        (definition,) = ast.parse(text).body
        assert isinstance(definition, ast.FunctionDef)
        defaults = [*definition.args.defaults, *definition.args.kw_defaults]
        assert not any(isinstance(each, ast.Name) for each in defaults), text


def test_names_all_that_a_path_has() -> None:
    words = set(re.findall(r'`(\w+)(?:\(\))?`', reference.MORE['econtext.RemotePath']))
    own = {name for name in dir(econtext.RemotePath) if not name.startswith('_')}
    assert own <= words
    like = {name for name in words - {'context', 'rmtree', 'put', 'get', 'run'} if not name.startswith('econtext')}
    assert like <= own


def test_names_every_exported_name() -> None:
    page = reference.page()
    assert [name for name in econtext.__all__ if not re.search(r'\b%s\b' % name, page)] == []
    errors = {name for name in econtext.__all__ if inspect.isclass(getattr(econtext, name))}
    assert set(reference.ERRORS) == {name for name in errors if issubclass(getattr(econtext, name), BaseException)}


@pytest.mark.parametrize('name', reference.RESERVED)
def test_reserved_names_are_not_raised(name: str) -> None:
    sources = (path.read_text() for path in (ROOT / 'src').rglob('*.py'))
    assert not any(re.search(r'\braise .*\b%s\(' % name, source) for source in sources)


@pytest.mark.parametrize('kind', [kind for kind, _, _ in reference.CLASSES], ids=lambda kind: kind.__name__)
def test_names_every_method_for_users(kind: type) -> None:
    """An example in its docstring is what tells a method for users from what the package's parts ask of each other."""
    own = {name: value for name, value in vars(kind).items() if inspect.isfunction(value)}
    for_users = {name for name, value in own.items() if 'Example::' in (value.__doc__ or '')}
    named = {name for base, _, names in reference.CLASSES if base is kind for name in names}
    assert for_users == named


@pytest.mark.parametrize('function', FUNCTIONS.values(), ids=FUNCTIONS)
def test_docstring_is_complete(function: Callable[..., Any]) -> None:
    text = inspect.getdoc(function) or ''
    missing = [name for name in inspect.signature(function).parameters if name != 'self' and f'`{name}`' not in text]
    assert missing == [], 'arguments that the docstring does not name'
    assert re.search(r'\b[Rr]aises\b', text), 'errors: say what it raises, or that it raises nothing'
    assert 'Example::' in text


@pytest.mark.parametrize('kind', CLASSES, ids=lambda kind: kind.__name__)
def test_class_says_what_it_is(kind: type) -> None:
    assert kind.__doc__
    assert kind.__doc__ != kind.__bases__[0].__doc__
