"""The controller's packages import only those above them, and no file of it imports itself by way of others.

Imports under TYPE_CHECKING and within functions count as any other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent / 'src'

#: From the top down: each may import those above it, and what is of its own package.
LAYERS = (
    ('errors', 'raised', 'secret', 'failures', 'text', 'notebook'),
    ('runtime',),
    ('modules',),
    ('protocol',),
    ('session',),
    ('connect',),
    ('node',),
    ('commands', 'files'),
    ('context',),
    ('fleet',),
    ('lifecycle',),
    ('attach',),
    ('frames',),
    ('tree',),
    ('broker',),
    ('doctor',),
    ('aio',),
    ('dask', 'joblib'),
)
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def modules() -> dict[str, Path]:
    """Return the path of each of our modules by its dotted name."""
    found = {}
    for path in sorted((ROOT / 'econtext').rglob('*.py')):
        name = '.'.join(path.relative_to(ROOT).with_suffix('').parts)
        found[name.removesuffix('.__init__')] = path
    return found


FILES = modules()


def imported(source: str) -> Iterator[str]:
    """Yield our modules that `source` imports, wherever it does."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in FILES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f'{node.module}.{alias.name}'
                if name in FILES:
                    yield name
                elif node.module in FILES:
                    yield node.module


GRAPH = {name: sorted(set(imported(path.read_text('utf-8'))) - {name}) for name, path in FILES.items()}


def layer(name: str) -> str:
    """Return the package of the controller that module `name` is in, or the module itself if it is in none."""
    parts = name.split('.')
    return parts[2] if parts[:2] == ['econtext', 'controller'] and len(parts) > 2 else ''


def circles(graph: dict[str, list[str]]) -> list[list[str]]:
    """Return the sets of modules that import each other, by way of others or not."""
    reached = {name: closure(graph, name) for name in graph}
    found = {tuple(sorted(other for other in reached[name] if name in reached.get(other, ()))) for name in graph}
    return [list(each) for each in sorted(found) if each]


def closure(graph: dict[str, list[str]], name: str) -> set[str]:
    found: set[str] = set()
    left = list(graph[name])
    while left:
        each = left.pop()
        if each not in found:
            found.add(each)
            left += graph.get(each, [])
    return found


def faults(graph: dict[str, list[str]]) -> list[str]:
    """Return the imports that run up the list, in words."""
    return [
        f'{name} imports {other}'
        for name, others in graph.items() for other in others
        if layer(name) and (
            (not layer(other) and other.split('.')[1:2] not in (['core'], ['child'], ['parent'], ['connectors']))
            or (layer(other) and layer(name) != layer(other) and RANKS[layer(other)] > RANKS[layer(name)]))
    ]  # fmt: skip


def test_every_package_is_in_the_list() -> None:
    assert {layer(name) for name in FILES} - {''} == set(RANKS)


def test_imports_run_down_the_list() -> None:
    assert faults(GRAPH) == []


def test_no_file_imports_itself_by_way_of_others() -> None:
    assert circles({name: others for name, others in GRAPH.items() if layer(name)}) == []


@pytest.mark.parametrize(('name', 'other'), [
    ('econtext.controller.session.calls', 'econtext.controller.context'),
    ('econtext.controller.runtime.loop', 'econtext.controller.session.output'),
    ('econtext.controller.context', 'econtext'),
])  # fmt: skip
def test_an_import_up_the_list_is_found(name: str, other: str) -> None:
    assert faults({**GRAPH, name: [*GRAPH[name], other]}) == [f'{name} imports {other}']


def test_a_circle_is_found() -> None:
    graph = {'a': ['b'], 'b': ['c'], 'c': ['a'], 'd': ['a']}
    assert circles(graph) == [['a', 'b', 'c']]


def test_imports_are_found_wherever_they_stand() -> None:
    source = '''
if TYPE_CHECKING:
    from econtext.controller.context import Context

def late():
    from econtext.controller import text
'''
    assert set(imported(source)) == {'econtext.controller.context', 'econtext.controller.text'}
