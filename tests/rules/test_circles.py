"""No file of the travelling rings imports itself by way of others, and the preamble imports nothing that follows it.

Imports within functions and under TYPE_CHECKING count as any other.  `LEFT` and `AHEAD` name what is left of both: the
lists only become shorter.
"""

from __future__ import annotations

from test_layers import GRAPH, circles

from econtext.controller.modules.packer import ORDER

RINGS = ('core', 'parent', 'connectors')

# Module -> what it imports that leads back to it.
LEFT: dict[str, str] = {
    'core.codec': 'core.rich',
    'core.labels': 'core.codec',
    'core.named': 'core.codec core.labels',
    'core.rich': 'core.codec core.labels core.named',
    'core.importer': 'core.resources',
    'core.resources': 'core.importer',
}  # fmt: skip

# Module of the preamble -> what it imports that follows the preamble.
AHEAD: dict[str, str] = {
    'core.codec': 'core.rich',
    'core.calls': 'core.failure',
    'core.importer': 'core.resources',
    'core.main': 'core.rich',
}


def short(name: str) -> str:
    return name.removeprefix('econtext.')


def ring(name: str) -> str:
    return short(name).partition('.')[0]


TRAVELLING = {
    short(name): [short(other) for other in others if ring(other) in RINGS]
    for name, others in GRAPH.items() if ring(name) in RINGS
}  # fmt: skip


def leading_back(graph: dict[str, list[str]]) -> dict[str, str]:
    """Return what each module in a circle imports of the same circle."""
    return {
        name: ' '.join(sorted(set(graph[name]) & set(circle)))
        for circle in circles(graph) for name in circle
    }  # fmt: skip


def to_what_follows(graph: dict[str, list[str]]) -> dict[str, str]:
    """Return what each module of the preamble imports that is not to its left in it."""
    names = ['core.' + name for name in ORDER]
    found = {
        name: ' '.join(sorted(set(graph[name]) - {'core', *names[:place]})) for place, name in enumerate(names)
    }  # fmt: skip
    return {name: others for name, others in found.items() if others}


def test_no_file_imports_itself_by_way_of_others() -> None:
    assert leading_back(TRAVELLING) == LEFT


def test_the_preamble_imports_nothing_that_follows_it() -> None:
    assert to_what_follows(TRAVELLING) == AHEAD


def test_an_import_that_leads_back_is_found() -> None:
    graph = {**TRAVELLING, 'core.wire': ['core.codec']}
    assert 'core.wire' in leading_back(graph)
    assert 'core.wire' in to_what_follows(graph)
