"""Each module says at its top which threads may enter, commands also their invariants; what it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / 'src' / 'econtext'
ENTERS = re.compile(r'\b([Ee]nter(s|ed)?|[Tt]hreads?|[Pp]ure)\b')
NAMED = re.compile(r'``((?:core|child|parent|connectors|controller|command_line)\.[a-z_]+)')
FILES = {path.relative_to(ROOT).as_posix(): path for path in sorted(ROOT.rglob('*.py'))}


def is_exempt(file: str) -> str:
    """Return why a module need not say who enters; nothing if it must."""
    if file.endswith('__init__.py'):
        return 'a package: what it holds says so'
    if file.startswith('connectors/'):
        return 'connectors/__init__.py says it for all connectors'
    if '/' not in file and file != 'filesystem.py':
        return 'public names alone'
    return ''


def docstring(file: str) -> str:
    return ast.get_docstring(ast.parse(FILES[file].read_text('utf-8'))) or ''


def lacks(file: str, text: str) -> list[str]:
    """Return what the docstring `text` of a module leaves out."""
    found = []
    if not is_exempt(file) and not ENTERS.search(text):
        found.append('which threads may enter')
    if file.startswith('command_line/') and not is_exempt(file) and '\nInvariants:\n' not in text:
        found.append('its invariants')
    return found


@pytest.mark.parametrize('file', FILES)
def test_each_module_says_who_may_enter(file: str) -> None:
    assert lacks(file, docstring(file)) == []


@pytest.mark.parametrize('file', FILES)
def test_each_module_that_is_named_is_there(file: str) -> None:
    """Of docstrings and comments: modules move, and nothing else finds a name in a sentence."""
    found = set(NAMED.findall(FILES[file].read_text('utf-8')))
    assert {name for name in found if not is_there(name)} == set()


def is_there(name: str) -> bool:
    place = ROOT.joinpath(*name.split('.'))
    return place.is_dir() or place.with_suffix('.py').is_file()


def test_connectors_say_it_in_their_package() -> None:
    assert 'pure' in docstring('connectors/__init__.py').lower()


def test_what_is_left_out_is_found() -> None:
    assert lacks('child/new.py', 'What is new.') == ['which threads may enter']
    assert lacks('command_line/new.py', '``econtext new``.\n\nEntered by the main thread.') == ['its invariants']
    assert not is_there('core.drafts')
    assert is_there('child.drafts')
