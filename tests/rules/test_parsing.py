"""One way to a syntax tree: CPython 3.11 breaks where two threads of one process make trees at a time."""

from __future__ import annotations

import ast
import gc
import inspect
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from econtext.controller.modules import packer, parser

ROOT = Path(packer.__file__).parents[2]
FILES = sorted(ROOT.rglob('*.py'))
# What makes trees, or goes through those that make them.
PARSERS = {('ast', 'parse'), ('symtable', 'symtable'), ('code', 'compile_command'),
           ('codeop', 'compile_command')}  # fmt: skip
# What is compiled at once is no tree; the packer's is the one way.
ALLOWED = {('core/importer.py', 'compile'), ('child/sourced.py', 'compile'), ('child/scripts.py', 'compile'),
           ('child/ansiballz.py', 'compile'),
           ('controller/modules/functions.py', 'compile'), ('controller/modules/packer.py', 'ast.parse'),
           # In a worker of Ansible, which has one thread, and need not load what the packer loads.
           ('ansible/payload.py', 'ast.parse'), ('ansible/payload.py', 'ast.literal_eval'),
           # In modules of Ansible, on Python 3.6.
           ('ansible/older/dataclasses.py', 'exec'), ('ansible/older/typing.py', 'eval')}


def calls(tree: ast.AST) -> Iterator[str]:
    """Yield the names of the calls in `tree` that parse a source."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        found = node.func
        if isinstance(found, ast.Name) and found.id in ('compile', 'eval', 'exec', 'literal_eval', 'parse_source'):
            yield found.id
        if isinstance(found, ast.Attribute) and isinstance(found.value, ast.Name):
            if (found.value.id, found.attr) in PARSERS:
                yield f'{found.value.id}.{found.attr}'
            elif (found.value.id, found.attr) == ('ast', 'literal_eval') and not parsed_before(node):
                yield 'ast.literal_eval'


def parsed_before(node: ast.Call) -> bool:
    """Is what `node` evaluates the tree that the one way made?"""
    return isinstance(node.args[0], ast.Call) and getattr(node.args[0].func, 'id', '') == 'parse'


def test_the_rule_sees_what_parses() -> None:
    text = 'ast.parse(x); compile(x, "", "exec"); ast.literal_eval(x); re.compile(x); ast.literal_eval(parse(x))'
    assert list(calls(ast.parse(text))) == ['ast.parse', 'compile', 'ast.literal_eval']


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_parses_but_the_one_way(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    if name.startswith(('core/', 'child/', 'parent/', 'connectors/')):
        # What is sent runs in a child, where nothing makes trees.
        found = [call for call in calls(ast.parse(path.read_text())) if call not in ('exec', 'eval')]
    else:
        found = list(calls(ast.parse(path.read_text())))
    assert [call for call in found if (name, call) not in ALLOWED] == []


def test_threads_of_ours_may_parse_at_a_time() -> None:
    """Under a gc callback, as tools for profiling install one, CPython changes threads in the midst of a tree."""
    text = inspect.getsource(packer)
    errors: list[BaseException] = []
    end = time.monotonic() + 3

    def until_end(parse: object) -> None:
        while time.monotonic() < end and not errors:
            try:
                parse(text)  # type: ignore[operator]
            except BaseException as error:
                errors.append(error)

    def change_threads(phase: str, info: dict[str, int]) -> None:
        time.sleep(0)

    interval = sys.getswitchinterval()
    gc.callbacks.append(change_threads)
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=until_end, args=[parse]) for parse in (packer.squeeze, must_parse)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(interval)
        gc.callbacks.remove(change_threads)
    assert errors == []


def must_parse(text: str) -> None:
    assert parser.parse(text) is not None
