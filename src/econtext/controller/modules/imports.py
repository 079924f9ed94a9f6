"""
The imports in a source: which modules a module needs, and by which name the program's main module is known.

Invariants:

* Every import is found, wherever a statement may stand.
* A source whose imports are renamed keeps its lines.

Imported when the first module of the program is sent: a parser takes longer to import than a context to start.
Pure; any thread may enter.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any

from econtext.controller.modules.parser import parse
from econtext.controller.modules.source import Unit

# Where statements hold statements, or what holds such.
BLOCKS = 'cases', 'finalbody', 'orelse', 'handlers', 'body'


def read_imports(name: str, unit: Unit) -> Iterator[str]:
    """Read the imports in the source of `unit`; what cannot be parsed has none."""
    children, _, source = unit
    if not isinstance(source, bytes):
        return
    tree = parse(source)
    if tree is not None:
        yield from imports_in(statements(tree), name, children)


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk through all statements below `tree`, and no expression: there are many more of those."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for block in BLOCKS:
            waiting.extend(reversed(getattr(node, block, ())))


def imports_in(nodes: Iterable[ast.AST], name: str, children: Any) -> Iterator[str]:
    """Read the imports among `nodes` of module `name`, as full names; what `children` are, see Unit."""
    package = name if children is not False else name.rpartition('.')[0]
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                parts = package.split('.')
                parts = parts[: len(parts) - node.level + 1]
                base = '.'.join([*parts, base] if base else parts)
            if base:
                yield base
                for alias in node.names:
                    yield f'{base}.{alias.name}'


def naming_main(source: bytes, main: str) -> bytes:
    """
    Return `source` with what it imports of ``__main__`` imported of the program by its name there, `main`.

    There ``__main__`` is what started the interpreter.  Lines stay where they are.
    """
    tree = parse(source)
    lines = source.split(b'\n')
    places: list[tuple[int, int, bytes]] = []
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.ImportFrom) and node.module == '__main__' and not node.level:
            # Nothing but blanks, or the end of a line that goes on, stands between the two words.
            row, text = node.lineno - 1, node.col_offset + len('from')
            while (at := lines[row].find(b'__main__', text)) < 0:
                row, text = row + 1, 0
            places.append((row, at, main.encode()))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == '__main__':
                    name = main if alias.asname else f'{main} as __main__'
                    places.append((alias.lineno - 1, alias.col_offset, name.encode()))
    for row, at, new in sorted(places, reverse=True):
        lines[row] = lines[row][:at] + new + lines[row][at + len(b'__main__'):]
    return b'\n'.join(lines)
