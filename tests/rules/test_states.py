"""The life of a context is moved by one method, and the docs show its table."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CONTROLLER = ROOT / 'src' / 'econtext' / 'controller'
KEPT = {'ready', 'error', '_state'}


def writes(source: str) -> list[tuple[str, str]]:
    """Return (function, attribute) for each assignment to what tells the state of a `context`, `child` or `self`."""
    return [
        (function.name, ast.unparse(node))
        for function in ast.walk(ast.parse(source)) if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in KEPT
    ]


FILES = sorted(CONTROLLER.rglob('*.py'))


@pytest.mark.parametrize('path', FILES, ids=[path.relative_to(CONTROLLER).as_posix() for path in FILES])
def test_nobody_writes_the_state_of_a_context_but_the_context(path: Path) -> None:
    found = writes(path.read_text(encoding='utf-8'))
    if path == CONTROLLER / 'node.py':
        assert {function for function, _ in found} == {'__init__', 'advance'}
    else:
        assert [attribute for _, attribute in found if not attribute.startswith('self.')] == []


def test_a_write_elsewhere_is_found() -> None:
    assert writes('def drop(context):\n    context.error = None\n') == [('drop', 'context.error')]


def test_the_docs_show_the_table() -> None:
    script = (
        'import sys; sys.path.insert(0, "scripts"); import states\n'
        'text = states.PAGE.read_text(encoding="utf-8")\n'
        'sys.exit(states.page(text) != text)'
    )
    assert subprocess.run([sys.executable, '-c', script], cwd=ROOT).returncode == 0, 'run scripts/states.py'
