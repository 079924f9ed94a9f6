"""Imports point inwards: controller -> connectors -> parent -> child -> core -> the standard library of each version.

The rings, from the inside: core and child (ring 1), parent and connectors (ring 2), controller and the public face
(ring 3).
"""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polyglot
import pytest

from econtext.controller.modules import manifest, packer

ROOT = Path(__file__).parents[2] / 'src'
FOLDERS = manifest.RINGS  # each may import from itself and those before it
# The preamble's modules: each may import those before it at its top.
ORDER = tuple(name.removeprefix('econtext.core.') for name in manifest.PREAMBLE)

# No descriptors, threads or clocks: a test feeds them by hand.
PURE = tuple(
    'core.wire core.codec core.router core.parts parent.judge parent.values parent.handshake parent.command '
    'parent.boxes connectors'.split()
)
IMPURE = {'os', 'select', 'socket', 'threading', '_thread', 'thread', 'time', 'subprocess', 'signal', 'fcntl', 'pty'}
# A connector knows where programs are and what the environment says.
ALLOWED = {'parent.command': {'os'}, 'connectors': {'os'}}

# The one way out: whoever is told to start a child becomes a parent then, and fetches how.
OUTWARDS = {('child.life', 'parent.nursery')}

# Modules of the standard library that this Python has no more, or not yet.
OTHER_STANDARD = set(
    """
    BaseHTTPServer Bastion CGIHTTPServer ConfigParser Cookie DocXMLRPCServer HTMLParser MimeWriter Queue
    SimpleHTTPServer SimpleXMLRPCServer SocketServer StringIO UserDict UserList UserString __builtin__ aifc
    annotationlib anydbm asynchat asyncore audiodev audioop bsddb cPickle cProfile cStringIO cgi cgitb chunk
    commands compiler compression concurrent cookielib copy_reg crypt dbhash dircache distutils dl dumbdbm
    dummy_thread exceptions fpformat future_builtins gdbm gopherlib hotshot htmlentitydefs htmllib httplib ihooks
    imageop imghdr imp importlib imputil lib2to3 linuxaudiodev macpath mailcap markupbase mhlib mimetools mimify
    msilib multifile mutex new nis nntplib os2emxpath ossaudiodev parser pathlib pipes popen2 posixfile pre
    profiling regex regsub rexec rfc822 rgbimg robotparser sets sgmllib sha sha256 smtpd sndhdr spwd sre statcache
    statvfs stringold strop sunau sunaudio telnetlib thread timing tkinter toaiff urllib2 urlparse user uu whichdb
    whrandom xdrlib xmllib xmlrpclib
    """.split()
)
STANDARD = sys.stdlib_module_names | OTHER_STANDARD


class Import(NamedTuple):
    line: int
    name: str  # the module that is imported, in full
    guarded: bool  # in a try, for it is not everywhere
    late: bool  # within a function


@functools.cache
def imports(path: Path) -> list[Import]:
    """Return what the file at `path` imports, also within functions."""
    return list(find_imports(polyglot.Source(path.read_text('utf-8'))))


@functools.cache
def running(path: Path) -> list[Import]:
    """Return what the file at `path` imports where it runs: all but what type checkers alone read."""
    return list(find_imports(polyglot.Source(packer.untyped(path.read_text('utf-8')))))


def find_imports(source: polyglot.Source) -> Iterator[Import]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, source.guarded(node), bool(source.function(node)))
        elif isinstance(node, ast.ImportFrom):
            base = '.' * node.level + (node.module or '')
            for alias in node.names:
                inner = ROOT.joinpath(*base.split('.'), alias.name)
                is_module = inner.with_suffix('.py').exists() or inner.is_dir()
                name = '%s.%s' % (base, alias.name) if is_module else base
                yield Import(node.lineno, name, source.guarded(node), bool(source.function(node)))


def module(path: Path) -> str:
    """Return the module's name without the package's: 'core.wire', 'parent'."""
    parts = path.relative_to(ROOT / 'econtext').with_suffix('').parts
    return '.'.join(part for part in parts if part != '__init__')


def own(found: Import) -> str | None:
    """Return the name within econtext of what is imported, None if it is not ours."""
    if found.name == 'econtext':
        return ''
    return found.name[len('econtext.') :] if found.name.startswith('econtext.') else None


FILES = sorted((ROOT / 'econtext').rglob('*.py'))
POLYGLOT = [path for path in FILES if module(path).split('.')[0] in FOLDERS]
CORE = [path for path in POLYGLOT if module(path).startswith('core.')]


def test_what_is_found() -> None:
    assert len(CORE) >= len(ORDER)
    text = """
import os, econtext
from econtext.core import wire
from econtext.core.codec import encode
try:
    import imp
except ImportError:
    pass
def later():
    import pty
"""
    assert [tuple(found) for found in find_imports(polyglot.Source(text))] == [
        (2, 'os', False, False),
        (2, 'econtext', False, False),
        (3, 'econtext.core.wire', False, False),
        (4, 'econtext.core.codec', False, False),
        (6, 'imp', True, False),
        (10, 'pty', False, True),
    ]


@pytest.mark.parametrize('path', POLYGLOT, ids=module)
def test_imports_point_inwards(path: Path) -> None:
    reachable = FOLDERS[: FOLDERS.index(module(path).split('.')[0]) + 1]
    for found in imports(path):
        name = own(found)
        if name is None or name.split('.')[0] in reachable or (found.late and (module(path), name) in OUTWARDS):
            continue
        pytest.fail('line %d: %s is no module of %s' % (found.line, found.name, reachable))


@pytest.mark.parametrize('path', POLYGLOT, ids=module)
def test_standard_library_of_every_version(path: Path) -> None:
    """Within a function it may be newer: what restores a path may import pathlib there."""
    for found in running(path):
        if own(found) is None and not found.guarded and not found.late:
            top = found.name.split('.')[0]
            assert top in polyglot.MODULES, 'line %d: some version has no %s: import it in a try' % (found.line, top)


@pytest.mark.parametrize('path', CORE, ids=module)
def test_order_within_the_core(path: Path) -> None:
    """A module of the preamble is made before those to its right: at its top it can import only to its left."""
    name = module(path).removeprefix('core.')
    for found in running(path):
        other = (own(found) or '').removeprefix('core.')
        if name in ORDER and (own(found) or '').startswith('core.') and not found.late:
            assert other in ORDER[: ORDER.index(name)], 'line %d: %s does not precede %s' % (found.line, other, name)


@pytest.mark.parametrize('path', CORE, ids=module)
def test_following_modules_import_no_circle(path: Path) -> None:
    graph = {module(file): top_imports(file) for file in CORE}
    seen: set[str] = set()
    ahead = set(graph[module(path)])
    while ahead:
        name = ahead.pop()
        assert name != module(path), '%s imports itself by way of %s' % (name, sorted(seen))
        seen.add(name)
        ahead |= graph.get(name, set()) - seen


def top_imports(path: Path) -> set[str]:
    return {own(found) or '' for found in running(path) if not found.late}


@pytest.mark.parametrize('path', [path for path in POLYGLOT if module(path).startswith(PURE)], ids=module)
def test_pure(path: Path) -> None:
    allowed = set().union(*(names for start, names in ALLOWED.items() if module(path).startswith(start)))
    for found in running(path):
        assert found.name.split('.')[0] not in IMPURE - allowed, 'line %d: %s' % (found.line, found.name)


@pytest.mark.parametrize('path', POLYGLOT, ids=module)
def test_threads_come_from_one_place(path: Path) -> None:
    """The module of threads has two names: `core.loop` knows both, and the others ask `core.loop`."""
    found = {each.name for each in running(path)} & {'_thread', 'thread'}
    assert found == ({'_thread', 'thread'} if module(path) == 'core.loop' else set())


STARTS = {'Popen', 'fork', 'forkpty', 'posix_spawn'}
# Functions that `ending.apart` calls, or that run while no call does.
APART = {'parent.process': {'start_closing', 'start_anywhere'}, 'child.ending': {'quiet_fork'},
         'child.ancient': {'guard'}}  # fmt: skip


@pytest.mark.parametrize('path', POLYGLOT, ids=module)
def test_what_starts_is_not_taken_for_a_program_of_a_call(path: Path) -> None:
    """An interruption tells the group to end: a process of ours has left the group when `ending.apart` returns."""
    found = {
        function.name
        for function in ast.walk(ast.parse(path.read_text('utf-8'))) if isinstance(function, ast.FunctionDef)
        for call in ast.walk(function) if isinstance(call, ast.Call)
        if ast.unparse(call.func).removeprefix('os.').removeprefix('subprocess.') in STARTS
    }  # fmt: skip
    assert found == APART.get(module(path), set())


@pytest.mark.parametrize('path', POLYGLOT, ids=module)
def test_no_name_of_a_standard_module(path: Path) -> None:
    """On Python 2 a neighbour called `select` is imported in place of the real one."""
    assert path.stem == '__init__' or path.stem not in STANDARD


@pytest.mark.parametrize('path', FILES, ids=module)
def test_no_relative_import_and_no_third_party(path: Path) -> None:
    for found in imports(path):
        top = found.name.split('.')[0]
        if top == 'typing_extensions' and module(path).startswith('controller'):
            continue  # a part of every type checker, imported for it alone: see the next test
        if top in ('click', 'rich') and module(path).startswith('command_line'):
            continue  # the extra `cli`: `cli.py` says how to get it, and imports the rest after that
        assert top == 'econtext' or found.guarded or top in STANDARD, 'line %d: %s' % (found.line, found.name)


def test_imports_nothing_but_the_standard_library() -> None:
    code = 'import sys; before = set(sys.modules); import econtext; print(*(set(sys.modules) - before))'
    found = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {name.split('.')[0] for name in found.split()} - STANDARD == {'econtext'}


@pytest.mark.parametrize('name', ['packer', 'manifest'])
def test_packer_stands_alone(name: str) -> None:
    """The build loads it by its path, before there is a package."""
    path = ROOT / 'econtext' / 'controller' / 'modules' / f'{name}.py'
    assert not [found for found in imports(path) if own(found) is not None]


def test_who_starts_a_context_imports_nothing_that_others_import_too() -> None:
    """A thread does so beside the application: two that first import collections.abc at once fail on 3.13."""
    program = 'import econtext.parent.nursery, econtext.connectors.local; print(*sys.modules)'
    done = subprocess.run(
        [sys.executable, '-I', '-S', '-c', f'import sys; sys.path.insert(0, {str(ROOT)!r}); {program}'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not {'traceback', 're', 'collections.abc', 'typing'} & set(done.stdout.split())
