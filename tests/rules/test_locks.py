"""docs/design/threads.md names every lock that is made in src/, and a real run takes them in its order."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / 'src' / 'econtext'
PAGE = (ROOT / 'docs' / 'design' / 'threads.md').read_text(encoding='utf-8')
MAKERS = {'Lock', 'RLock', 'allocate_lock', 'Condition', 'Semaphore', 'BoundedSemaphore'}
# File and name -> level, None for those that guard nothing.
LEVELS = {
    (file, name): None if level == '–' else int(level)
    for level, file, name in re.findall(r'^\| (\d+|–) \| `([\w/]+\.py):([\w.]+)` \| .+\. \|$', PAGE, re.MULTILINE)
}


def locks(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of each lock that is made; the name of an attribute begins with its class."""

    def walk(node: ast.AST, owner: str) -> Iterator[tuple[int, str]]:
        for child in ast.iter_child_nodes(node):
            inside = child.name if isinstance(child, ast.ClassDef) else owner
            yield from walk(child, inside)
            if isinstance(child, (ast.Assign, ast.AnnAssign)) and child.value is not None:
                target = child.targets[0] if isinstance(child, ast.Assign) else child.target
                places, made = [target], [child.value]
                if isinstance(target, ast.Tuple) and isinstance(child.value, ast.Tuple):
                    places, made = target.elts, child.value.elts
                elif isinstance(child.value, (ast.Tuple, ast.List)):
                    places, made = [target] * len(child.value.elts), child.value.elts
                for place, value in zip(places, made, strict=True):
                    if is_made(value):
                        yield value.lineno, name_of(place, owner)

    return walk(tree, '')


def is_made(value: ast.AST) -> bool:
    if not isinstance(value, ast.Call):
        return False
    function = value.func
    return (function.attr if isinstance(function, ast.Attribute) else getattr(function, 'id', '')) in MAKERS


def name_of(place: ast.AST, owner: str) -> str:
    if isinstance(place, ast.Subscript):
        place = place.value
    text = ast.unparse(place)
    return f'{owner}.{text[5:]}' if text.startswith('self.') else text


def is_listed(file: str, name: str) -> bool:
    """Is the lock in the table, or the same attribute of another object, whose lock is made anew?"""
    place, _, attribute = name.rpartition('.')
    return (file, name) in LEVELS or (
        place[:1].islower() and any(attribute == other.rpartition('.')[2] for _, other in LEVELS))


def calls(tree: ast.Module) -> int:
    """Return how many locks are made, wherever."""
    inner = [argument for node in ast.walk(tree) if is_made(node) for argument in node.args]  # type: ignore[attr-defined]
    return sum(map(is_made, ast.walk(tree))) - sum(map(is_made, inner))


FILES = sorted(path for path in SOURCE.rglob('*.py') if any(maker + '(' in path.read_text('utf-8') for maker in MAKERS))
TREES = {path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text('utf-8')) for path in FILES}


@pytest.mark.parametrize('file', TREES)
def test_each_lock_is_in_the_table(file: str) -> None:
    found = list(locks(TREES[file]))
    assert [name for _, name in found if not is_listed(file, name)] == []
    assert len(found) == calls(TREES[file]), 'a lock is made where this test finds no name for it'


def test_each_row_is_a_lock() -> None:
    made = {(file, name) for file, tree in TREES.items() for _, name in locks(tree)}
    # A link makes the lock of a reader anew as it is opened.
    assert set(LEVELS) - made == set()


def test_what_is_found() -> None:
    text = 'class A:\n  def f(self):\n    self.n, self.l = 0, Lock()\n    self.c: C = threading.Condition(Lock())\n'
    assert list(locks(ast.parse(text))) == [(3, 'A.l'), (4, 'A.c')]
    assert list(locks(ast.parse('O[1] = [fd, allocate_lock()]'))) == [(1, 'O')]
    assert calls(ast.parse(text + 'f(Lock())\n')) == 3
    assert is_listed('controller/tree.py', 'futures.GUARD')
    assert not is_listed('core/loop.py', 'Other.lock')


@pytest.fixture(scope='module')
def pairs(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[tuple[str, str], tuple[str, str]]]:
    """Return which locks were taken while which were held."""
    folder = tmp_path_factory.mktemp('locks')
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name('locks.py')), str(folder)], capture_output=True, text=True,
        timeout=120, env={'PYTHONPATH': str(ROOT / 'src'), 'PATH': '/usr/bin:/bin'})  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
    lines = (folder / 'pairs').read_text().splitlines()
    found = [tuple(named(each) for each in line.split()) for line in lines]
    return {(held, taken) for held, taken in found if held and taken}  # type: ignore[misc]


def named(recorded: str) -> tuple[str, str] | None:
    """Return the row of a lock that was made at a line for an object, None where the table has none."""
    module, line, owner = recorded.split(':')
    file = module.removeprefix('econtext.').replace('.', '/') + '.py'
    for made, name in locks(TREES[file]) if file in TREES else ():
        if made == int(line):
            own = f'{owner}.{name.rpartition(".")[2]}'
            # A class further down, such as OwnedLink, has a row of its own.
            return next((row for row in LEVELS if row[1] == own != name), (file, name))
    return None


def wrong(held: tuple[str, str], taken: tuple[str, str]) -> bool:
    """Is a lock taken beside or below one that is held?"""
    first, second = LEVELS.get(held), LEVELS.get(taken)
    return held != taken and first is not None and second is not None and first >= second


@pytest.mark.deadline(150)
def test_locks_are_taken_in_the_order_of_the_table(pairs: set[tuple[tuple[str, str], tuple[str, str]]]) -> None:
    assert [pair for pair in sorted(pairs) if wrong(*pair)] == []
    # Enough was seen to speak of an order, on both ends.
    assert (('core/loop.py', 'Link.lock'), ('child/flow.py', 'Flow.lock')) in pairs
    assert len(pairs) >= 20


@pytest.mark.deadline(150)
def test_the_other_order_is_found(pairs: set[tuple[tuple[str, str], tuple[str, str]]]) -> None:
    ordered = [pair for pair in pairs if LEVELS.get(pair[0]) and LEVELS.get(pair[1])]
    assert [pair for pair in ordered if not wrong(*reversed(pair))] == []
    assert len(ordered) >= 20
