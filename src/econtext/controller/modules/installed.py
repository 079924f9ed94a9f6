"""
Whether an installed package can work with the Python of a context.

A package made for another Python, or with parts compiled for the one here, would fail there
in the midst of its own code, with whatever error comes first.  Programs say ``try: import …
except ImportError``: so that is what they get, and a text that says what to do.

Invariants:

* What is refused surely fails: a compiled part that a package can do without is no reason.
* Nothing is imported to be read; what a package requires is read once.
* The program's own modules are judged by nobody here.

Any thread may enter.
"""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import os
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from econtext.controller.modules.imports import imports_in
from econtext.controller.modules.parser import parse
from econtext.controller.modules.source import compiled

if TYPE_CHECKING:
    from econtext.controller.modules.repository import Modules

Version = tuple[int, ...]

HERE = sys.version_info[:2]
MOST_FILES = 50_000     # files of a package that are looked through for compiled ones
MOST_MODULES = 300      # modules of a package that are read for what it imports
CLAUSE = r'\s*(~=|===|==|!=|<=|>=|<|>)\s*v?(?:\d+!)?(\d+(?:\.\d+)*)(\.\*|[^\s,]*)\s*\Z'
REQUIRES = r'(?im)^Requires-Python:[ \t]*(.+?)[ \t\r]*$'
SOFT = 'ImportError', 'ModuleNotFoundError', 'Exception', 'BaseException', 'OSError'


def objection(modules: Modules, name: str, there: Version) -> str:
    """Say why package `name` of another installation cannot work with Python `there`; nothing if it may."""
    spec = modules.find(name)
    if spec is None or not spec.origin:
        return ''
    # The version that is here works here, whatever it says.
    requirement = requires_python(name, site_of(spec)) if there[:2] not in ((), HERE) else ''
    if requirement and not is_met(requirement, there):
        version = '.'.join(map(str, there))
        return f'package {name} of the program requires Python {requirement}, the context has {version}: ' \
               f'install a version of it that fits for the Python there'
    with modules.lock:
        if name not in modules.parts:
            modules.parts[name] = needed_part(modules, name, spec)
        part = modules.parts[name]
    return compiled(part) if part else ''


# -- what a distribution says -------------------------------------------------


def site_of(spec: importlib.machinery.ModuleSpec) -> str:
    """Return the folder into which the top-level module or package of `spec` was installed."""
    folder = os.path.dirname(spec.origin or '')
    return os.path.dirname(folder) if spec.submodule_search_locations is not None else folder


@functools.lru_cache(maxsize=1024)
def requires_python(top: str, folder: str) -> str:
    """Return what the distribution that installed `top` into `folder` says of Python; nothing if it does not."""
    for info in candidates(top, folder):
        if claims(info, top):
            metadata = text_of(info, 'METADATA') or text_of(info, 'PKG-INFO') or text_of(info, '')
            found = re.search(REQUIRES, metadata.replace('\r\n', '\n').partition('\n\n')[0])
            return found[1] if found else ''
    return ''


def candidates(top: str, folder: str) -> list[str]:
    """Return the folders of metadata in `folder`, first those whose names are like `top`."""
    try:
        names = [name for name in os.listdir(folder) if name.endswith(('.dist-info', '.egg-info'))]
    except OSError:
        return []

    def is_alike(name: str) -> bool:
        return re.sub(r'[-_.]+', '_', name.lower()).startswith(top.lower() + '_')

    return [os.path.join(folder, name) for name in sorted(names, key=lambda name: (not is_alike(name), name))]


def claims(info: str, top: str) -> bool:
    """Does the distribution with its metadata in `info` have module or package `top`?"""
    if top in text_of(info, 'top_level.txt').split():
        return True
    files = re.compile(rf'^"?{re.escape(top)}(?:/|\.py\b|\.[\w.-]*(?:so|pyd)\b)', re.MULTILINE)
    return any(files.search(text_of(info, name)) for name in ('RECORD', 'installed-files.txt', 'SOURCES.txt'))


def text_of(info: str, name: str) -> str:
    """Return the text of a file of metadata; of `info` itself, which may be a file, without a name."""
    try:
        with open(os.path.join(info, name) if name else info, encoding='utf-8', errors='replace') as file:
            return file.read()
    except OSError:
        return ''


def is_met(requirement: str, version: Version) -> bool:
    """Does `version` fit a requirement as PEP 440 has it? What cannot be read is no reason against it."""
    return all(fits(clause, version) for clause in requirement.split(',') if clause.strip())


def fits(clause: str, version: Version) -> bool:
    found = re.match(CLAUSE, clause)
    if not found:
        return True
    operator, release = found[1], tuple(int(part) for part in found[2].split('.'))
    length = max(len(release), len(version))
    # A version before a release is less than it, and one behind it more.
    offset = 0 if found[3] in ('', '.*') else 1 if 'post' in found[3] or found[3][:1] in '-+' else -1
    there = (*padded(version, length), 0)
    said = (*padded(release, length), offset)
    same = padded(version, len(release))[:len(release)] == release if found[3] == '.*' else there == said
    if operator == '~=':
        return there >= said and padded(version, length)[:len(release) - 1] == release[:-1]
    return {
        '==': same, '===': same, '!=': not same, '<=': there <= said, '>=': there >= said,
        '<': there < said, '>': there > said,
    }[operator]


def padded(version: Version, length: int) -> Version:
    return version + (0,) * (length - len(version))


# -- compiled parts ------------------------------------------------------------


def needed_part(modules: Modules, top: str, spec: importlib.machinery.ModuleSpec) -> str:
    """Return a compiled module without which `top` cannot be imported; nothing if there is none."""
    parts = compiled_parts(top, spec)
    if not parts:
        return ''
    seen: set[str] = set()
    waiting = [top]
    while waiting and len(seen) < MOST_MODULES:
        name = waiting.pop()
        if name in seen or name.partition('.')[0] != top:
            continue
        if name in parts:
            return name
        seen.add(name)
        unit = modules.unit(name)
        if unit is None or not isinstance(unit[2], bytes):
            continue
        tree = parse(unit[2])
        if tree is not None:
            found = list(imports_in(always(tree.body), name, unit[0]))
            waiting.extend(found)
            waiting.extend(each.rpartition('.')[0] for each in found if '.' in each)
    return ''


def compiled_parts(top: str, spec: importlib.machinery.ModuleSpec) -> set[str]:
    """Return the modules in a package that are there in compiled form alone."""
    parts: set[str] = set()
    count = 0
    for place in spec.submodule_search_locations or ():
        for folder, folders, files in os.walk(place):
            folders[:] = [name for name in folders if name.isidentifier() and name != '__pycache__']
            count += len(files)
            if count > MOST_FILES:
                return parts
            package = '.'.join([top, *os.path.relpath(folder, place).split(os.sep)]).removesuffix('..')
            for file in files:
                for suffix in importlib.machinery.EXTENSION_SUFFIXES:
                    stem = file.removesuffix(suffix)
                    if stem != file and stem.isidentifier() and stem + '.py' not in files:
                        parts.add(f'{package}.{stem}')
    return parts


def always(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the imports among statements that are carried out, and must not fail, whenever these are."""
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from always(node.body)
        elif isinstance(node, ast.With):
            if not any('suppress' in ast.dump(item.context_expr) for item in node.items):
                yield from always(node.body)
        elif isinstance(node, ast.Try):
            if not any(map(is_soft, node.handlers)):
                yield from always(node.body)
                yield from always(node.orelse)
            yield from always(node.finalbody)
        elif isinstance(node, ast.If) and node.orelse and not any(map(defines, node.body)):
            # The first branch is no other way to the same names: it complains, or says something.
            yield from always(node.orelse)


def is_soft(handler: ast.ExceptHandler) -> bool:
    """Does `handler` go on after an import that failed?"""
    if any(isinstance(node, ast.Raise) for node in handler.body):
        return False
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or getattr(kind, 'id', getattr(kind, 'attr', '')) in SOFT for kind in kinds)


def defines(node: ast.stmt) -> bool:
    """Does a statement give names a meaning?"""
    return not isinstance(node, (ast.Expr, ast.Raise, ast.Pass, ast.Assert))
