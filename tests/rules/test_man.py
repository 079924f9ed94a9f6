"""The man page is what scripts/man.py writes, and names every command."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from econtext.command_line.application import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'man' / 'econtext.1'


@pytest.fixture
def man() -> ModuleType:
    spec = importlib.util.spec_from_file_location('man', ROOT / 'scripts' / 'man.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_man_page_is_current(man: ModuleType) -> None:
    assert PAGE.read_text('utf-8') == man.page(), 'run scripts/man.py'


@pytest.mark.parametrize('name', COMMANDS)
def test_the_man_page_names_each_command(name: str) -> None:
    assert f'.SS econtext {name}' in PAGE.read_text('utf-8')


def test_what_roff_would_take_for_its_own_is_escaped(man: ModuleType) -> None:
    assert man.escaped(".x\n'y\n-\\") == "\\&.x\n\\&'y\n\\-\\e"
