"""No method or function of ours is overwritten: where what comes later knows better, a slot holds one object.

A slot is an attribute that its class declares as data; `docs/design/architecture.md` lists those of the preamble.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SRC = Path(__file__).parents[2] / 'src' / 'econtext'
SOURCES = {path.relative_to(SRC).as_posix(): path.read_text('utf-8') for path in sorted(SRC.rglob('*.py'))}
# What is no method, though a method of ours has that name: all there is, by file and text.
DATA = {
    # The slot of a reader for what takes the bytes: a program that starts says other things than a context.
    ('parent/children.py', 'self.link.receive'),
    # The time of a record of `logging`.
    ('controller/session/output.py', 'record.created'),
}
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def stores(node: ast.AST) -> Iterator[tuple[ast.Attribute, ast.expr | None]]:
    """Yield each attribute that `node` alone assigns, and what it is given if that is plain."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, 'target', None)]
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.For | ast.withitem):
        if isinstance(node, ast.withitem):
            targets = [node.optional_vars]
        for target in targets:
            for each in ast.walk(target) if target is not None else ():
                if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store):
                    yield each, value


def is_data(function: FUNCTION) -> bool:
    """Is this `def` an attribute that is written, not called: a property?"""
    return any('property' in ast.unparse(each) or '.setter' in ast.unparse(each) for each in function.decorator_list)


class Names:
    """What the classes and modules of some sources define: functions, and data."""

    def __init__(self, sources: dict[str, str]) -> None:
        self.trees = {path: ast.parse(text) for path, text in sources.items()}
        self.methods: dict[tuple[str, str], set[str]] = {}  # (file, name of a class) -> its methods
        self.bases: dict[tuple[str, str], list[str]] = {}
        self.data: set[str] = set()
        self.modules: dict[str, set[str]] = {}  # last part of a module's name -> its functions
        for path, tree in self.trees.items():
            found = self.modules.setdefault(Path(path).stem, set())
            found.update(node.name for node in tree.body if isinstance(node, FUNCTION))
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    self.add(path, node)

    def add(self, path: str, node: ast.ClassDef) -> None:
        methods = self.methods.setdefault((path, node.name), set())
        bases = [ast.unparse(base).split('.')[-1].split('[')[0] for base in node.bases]
        self.bases.setdefault((path, node.name), []).extend(bases)
        for each in node.body:
            if isinstance(each, FUNCTION):
                (self.data if is_data(each) else methods).add(each.name)
            elif isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
                self.data.add(each.target.id)
            elif isinstance(each, ast.Assign):
                self.data.update(target.id for target in each.targets if isinstance(target, ast.Name))
        for function in node.body:
            if isinstance(function, FUNCTION) and function.name == '__init__':
                for inner in ast.walk(function):
                    self.data.update(
                        target.attr for target, _ in stores(inner)
                        if ast.unparse(target.value) == 'self' and target.attr not in methods)

    def inherited(self, path: str, name: str, below: frozenset[tuple[str, str]] = frozenset()) -> set[str]:
        """Return the methods of class `name` in the file at `path`, and of those it is made of."""
        found = set(self.methods[path, name])
        # Two classes of one name may each look like the base of the other.
        below |= {(path, name)}
        for base in self.bases[path, name]:
            for where, called in self.methods:
                if called == base and (where, called) not in below:
                    found |= self.inherited(where, called, below)
        return found


def overwritten(sources: dict[str, str]) -> list[tuple[str, str]]:
    """Return (path, what is assigned) for each assignment to a method or function of ours."""
    names = Names(sources)
    every = set().union(*names.methods.values())
    found = []

    def look(path: str, node: ast.AST, own: str | None) -> None:
        for child in ast.iter_child_nodes(node):
            inner = child.name if isinstance(child, ast.ClassDef) else own
            for target, value in stores(child):
                owner = ast.unparse(target.value)
                if owner == 'self':
                    wrong = own is not None and target.attr in names.inherited(path, own)
                else:
                    # What is a lambda or a function is no data, whatever else has that name; nor is a bound method.
                    makes = isinstance(value, ast.Lambda) or (
                        isinstance(value, ast.Attribute) and value.attr in every - names.data)
                    wrong = target.attr in every and (target.attr not in names.data or makes)
                    wrong = wrong or target.attr in names.modules.get(owner.split('.')[-1], ())
                if wrong:
                    found.append((path, ast.unparse(target)))
            if isinstance(child, ast.Call) and ast.unparse(child.func) == 'setattr':
                name = child.args[1]
                if isinstance(name, ast.Constant) and name.value in every - names.data:
                    found.append((path, ast.unparse(child)))
            look(path, child, inner)

    for path, tree in names.trees.items():
        look(path, tree, None)
    return found


def test_nothing_of_ours_is_overwritten() -> None:
    assert set(overwritten(SOURCES)) == DATA


def test_types_are_not_told_to_look_away() -> None:
    """What this reads by names alone, mypy knows by types: `method-assign`."""
    assert [path for path, text in SOURCES.items() if re.search(r'type: ignore\[[^]]*method-assign', text)] == []


def test_an_overwrite_is_found() -> None:
    ours = {'ours.py': (
        'def helper(): pass\n'
        'class Link:\n'
        '    fd = None\n'
        '    def __init__(self):\n'
        '        self.receive = self.decode\n'
        '    def close(self): pass\n'
        '    def decode(self): pass\n'
        'class Other:\n'
        '    def receive(self): pass\n'
        'class Under(Link):\n'
        '    def stop(self):\n'
        '        {0}\n')}
    for wrong in (
        'link.close = self.stop', 'self.close = None', 'self.stop = int', 'link.close, link.fd = int, 1',
        'ours.helper = int', 'setattr(link, "close", int)', 'for link.close in (): pass', 'link.receive = self.decode',
    ):
        assert len(overwritten({'ours.py': ours['ours.py'].format(wrong)})) == 1, wrong
    for right in ('link.fd = 1', 'link.receive = data', 'link.found = 1', 'x.helper = int'):
        assert overwritten({'ours.py': ours['ours.py'].format(right)}) == [], right
