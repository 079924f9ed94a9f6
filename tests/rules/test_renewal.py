"""What modules of ours keep for one process alone is made anew in a forked one: `child/renewal.py` says how.

The sources are read for locks at the top level of modules and classes. And all modules are loaded, for what no source
shows: a lock in an object of ours that a module keeps.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_locks import is_made

SRC = Path(__file__).parents[2] / 'src' / 'econtext'
SOURCES = {path.relative_to(SRC).as_posix(): path.read_text('utf-8') for path in sorted(SRC.rglob('*.py'))}
RENEWS = 'after_fork'

#: Loads every module, and prints where locks are found that `renew()` leaves as they were.
LOAD = """
import _thread, importlib, logging, pkgutil, sys, threading
import econtext
from econtext.child import renewal

for found in pkgutil.walk_packages(econtext.__path__, 'econtext.'):
    if not found.name.endswith('__main__'):
        try:
            importlib.import_module(found.name)
        except ImportError as error:
            assert not str(error.name).startswith('econtext'), found.name

LOCKS = (_thread.LockType, type(_thread.RLock()), threading.Condition, threading.Semaphore, threading.Event)
# logging makes its own lock anew, as the same object.
THEIRS = [logging._lock]
# fsspec gives each of its classes one.
if 'econtext.filesystem' in sys.modules:
    THEIRS.append(getattr(sys.modules['econtext.filesystem'].ContextFileSystem, '_instantiation_lock', None))


def walk(value, path, seen):
    if isinstance(value, LOCKS):
        if not any(value is lock for lock in THEIRS):
            yield path, value
        return
    if id(value) in seen:
        return
    seen[id(value)] = value
    inner = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, (list, tuple, set, frozenset)):
        inner = list(enumerate(value))
    elif str(getattr(value, '__module__', '')).startswith('econtext') or path.count('.') == 0:
        inner = list(getattr(value, '__dict__', {}).items())
        slots = getattr(type(value), '__slots__', ())
        inner += [(name, getattr(value, name)) for name in slots if hasattr(value, name)]
    for name, each in inner:
        if not isinstance(each, type(sys)):
            yield from walk(each, '%s.%s' % (path, name), seen)


def locks():
    seen, found = {}, {}
    for name, module in sorted(sys.modules.items()):
        if name.partition('.')[0] == 'econtext':
            found.update(walk(module, name.replace('.', '/'), seen))
    return found, seen


before, kept = locks()
assert before, 'there are some'
renewal.renew()
after, _ = locks()
for path, lock in after.items():
    if any(lock is other for other in before.values()):
        print(path)
"""


def at_top(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements that an import of the module runs, those of its classes too."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt) and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from at_top(child)


def locks_at_top(tree: ast.Module) -> set[str]:
    """Return the names of what is made of locks as the module is imported; '' where the lock has none."""
    found = set()
    for statement in at_top(tree):
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            if any(map(is_made, ast.walk(statement.value))):
                targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                found.update(ast.unparse(target) for target in targets)
        elif isinstance(statement, ast.Expr) and any(map(is_made, ast.walk(statement))):
            found.add('')
    return found


def renewed(tree: ast.Module) -> set[str]:
    """Return the names of the module that its `after_fork` gives a new lock."""
    found = set()
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and function.name == RENEWS:
            shared = {name for each in function.body if isinstance(each, ast.Global) for name in each.names}
            for each in function.body:
                if isinstance(each, ast.Assign) and is_made(each.value):
                    found.update(shared & {ast.unparse(target) for target in each.targets})
    return found


def imported(tree: ast.Module) -> set[tuple[str, str]]:
    """Return (module, name) of what is imported by name, wherever."""
    return {(node.module or '', alias.name) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
            for alias in node.names}


TREES = {path: ast.parse(text) for path, text in SOURCES.items()}
LOCKS = {path: names for path, tree in TREES.items() if (names := locks_at_top(tree))}


@pytest.mark.parametrize('path', LOCKS)
def test_each_lock_is_made_anew(path: str) -> None:
    assert sorted(LOCKS[path] - renewed(TREES[path])) == [], f'give {path} a function {RENEWS} that makes them anew'


def test_each_function_is_registered() -> None:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name == RENEWS:
                # A build loads the packer alone: another module calls its function.
                called = ['renewal.register'] if path != 'controller/modules/packer.py' else []
                assert [ast.unparse(each) for each in node.decorator_list] == called, path


def test_no_lock_is_imported_by_its_name() -> None:
    """Who has the lock of before the fork may wait for ever."""
    locks = {('econtext.' + path.removesuffix('.py').replace('/', '.'), name)
             for path, names in LOCKS.items() for name in names}
    assert [path for path, tree in TREES.items() if locks & imported(tree)] == []


def test_after_fork_takes_nothing() -> None:
    """Neither arguments, nor a lock: a thread that is not in the process may hold the lock."""
    for path, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == RENEWS:
                assert ast.unparse(node.args) == '', path
                assert not any(isinstance(each, ast.With) for each in ast.walk(node)), path
                assert '.acquire(' not in ast.unparse(node), path


def test_no_object_keeps_a_lock_through_a_fork() -> None:
    done = subprocess.run(
        [sys.executable, '-c', LOAD], capture_output=True, text=True, timeout=120,
        env={'PYTHONPATH': str(SRC.parent), 'PATH': '/usr/bin:/bin'})  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_the_rule_finds_what_is_wrong() -> None:
    for text, names in (
        ('L = Lock()', {'L'}), ('class A:\n  lock = RLock()', {'lock'}), ('L: X = threading.Condition(Lock())', {'L'}),
        ('if 1:\n  L = {1: allocate_lock()}', {'L'}), ('register(Lock())', {''}), ('def f():\n  L = Lock()', set()),
        ('class A:\n  def f(self):\n    self.l = Lock()', set()),
    ):  # fmt: skip
        assert locks_at_top(ast.parse(text)) == names, text
    good = 'L = Lock()\ndef after_fork():\n  global L\n  L = Lock()'
    assert renewed(ast.parse(good)) == {'L'}
    for wrong in ('  global L\n', 'after_fork'):
        assert renewed(ast.parse(good.replace(wrong, '  pass\n' if '\n' in wrong else 'other'))) == set()
    assert imported(ast.parse('def f():\n  from a.b import c as d, e')) == {('a.b', 'c'), ('a.b', 'e')}
