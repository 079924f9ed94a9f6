"""
What is sent for one module: a unit, read from wherever its loader has it.

Invariants:

* Nothing is imported to be read, and none of it is run.
* A module is a package, with or without a source, if what found it says so: what makes
  modules of nothing there, such as an importer that a package installs, is left to do so.
* A source arrives as the oldest compilers want it.

Any thread may enter.
"""

from __future__ import annotations

import importlib.machinery
import linecache
import marshal
import os
import re
import sys
import types
import zipimport
from collections.abc import Iterator
from typing import Any

# (children, path, source), see docs/design/wire.md.
Unit = tuple[Any, str, Any]
Spec = importlib.machinery.ModuleSpec

SUFFIXES = tuple(importlib.machinery.EXTENSION_SUFFIXES)
FROM_FILES = (
    importlib.machinery.SourceFileLoader, importlib.machinery.SourcelessFileLoader,
    importlib.machinery.ExtensionFileLoader, zipimport.zipimporter)

OWN_IMPORT = r'(?m)^[ \t]*from (econtext[\w.]*) import *(\([^)]*\)|.*)$'

# What a source says that imports the main module, and may say otherwise.
IMPORTS_MAIN = rb'\b(?:import|from)\b[^\n]*__main__|\\\n[^\n]*__main__'
COOKIE = rb'(?m)^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)'


def main_unit(name: str) -> Unit | None:
    main = sys.modules['__main__']
    path = getattr(main, '__file__', None) or '<main>'
    loader: Any = getattr(main, '__loader__', None)
    source = None
    if os.path.isfile(path):
        with open(path, 'rb') as file:
            source = file.read()
    if source is None and main.__spec__ and hasattr(loader, 'get_source'):
        text = loader.get_source(main.__spec__.name)
        source = text.encode() if text else None
    if source is None:
        lines = linecache.getlines(path, vars(main))
        source = ''.join(lines).encode() or None
    return None if source is None else (False, path, tidy(source))


def unit_of(name: str, spec: Spec) -> Unit | None:
    """Return what to send for the module that `spec` describes; None if no source of it is to be had."""
    loader: Any = spec.loader
    locations = spec.submodule_search_locations
    if is_namespace(spec):
        # It has no source, only places.
        return None if locations is None else (list_children(list(locations)), name, b'')
    children: Any = list_children(list(locations or ())) if is_package(name, spec) else False
    origin = spec.origin or name
    if origin.endswith(SUFFIXES):
        beside = source_beside(origin)
        if beside is None:
            text = compiled(name)
            return children, name, f'raise ImportError({text!r})\n'.encode()
        return children, beside[0], beside[1]
    source = source_of(loader, name, origin)
    if source is not None:
        return children, origin, source
    get_code = getattr(loader, 'get_code', None)
    try:
        code = get_code(name) if get_code else None
    except ImportError:
        code = None
    if isinstance(code, types.CodeType):
        return children, origin, (marshal.dumps(code),)
    return None


def is_namespace(spec: Spec) -> bool:
    """Is it a package without a source? What found it says so, not what it lacks."""
    return spec.loader is None or 'Namespace' in type(spec.loader).__name__


def is_package(name: str, spec: Spec) -> bool:
    """Is it a package by its file, rather than by what a module made of itself?"""
    if spec.submodule_search_locations is None:
        return False
    if isinstance(spec.loader, FROM_FILES):
        try:
            return spec.loader.is_package(name)
        except ImportError:
            # It has a loader for another name, such as that of the program.
            pass
    return True


def source_beside(origin: str) -> tuple[str, bytes] | None:
    """Return the path and content of the source that a compiled module was made of, if it lies beside."""
    for suffix in SUFFIXES:
        path = origin.removesuffix(suffix) + '.py'
        if origin.endswith(suffix) and os.path.isfile(path):
            with open(path, 'rb') as file:
                return path, tidy(file.read())
    return None


def compiled(name: str) -> str:
    """Return what to say of a compiled module."""
    top = name.partition('.')[0]
    return f'package {top} has compiled parts ({name}), which fit the Python of the program alone: ' \
           f'install {top} for the Python of the context'


def source_of(loader: Any, name: str, origin: str) -> bytes | None:
    """Return the source that `loader` has for module `name`."""
    if origin.endswith('.py'):
        try:
            if hasattr(loader, 'get_data'):
                return tidy(bytes(loader.get_data(origin)))
            with open(origin, 'rb') as file:
                return tidy(file.read())
        except OSError:
            pass
    get_source = getattr(loader, 'get_source', None)
    try:
        text = get_source(name) if get_source else None
    except (ImportError, OSError):
        text = None
    if text is None:
        return None
    cookie = re.search(COOKIE, '\n'.join(text.split('\n')[:2]).encode('ascii', 'replace'))
    encoding = cookie.group(1).decode() if cookie else 'utf-8'
    return tidy(text.encode(encoding, 'surrogateescape'))


def tidy(source: bytes) -> bytes:
    """Return `source` as the oldest compilers want it: LF, and one at the end."""
    source = source.replace(b'\r\n', b'\n')
    return source if source.endswith(b'\n') else source + b'\n'


def list_children(locations: list[str]) -> Any:
    """Return the names of the modules in a package, True if they cannot be listed."""
    if not locations:
        # A package of an importer that needs no places.
        return True
    names: set[str] = set()
    suffixes = importlib.machinery.all_suffixes()
    for location in locations:
        try:
            entries = os.listdir(location)
        except OSError:
            return True
        for entry in entries:
            if os.path.isdir(os.path.join(location, entry)):
                names.add(entry)
            for suffix in suffixes:
                if entry.endswith(suffix):
                    names.add(entry.removesuffix(suffix))
    return tuple(sorted(name for name in names if name.isidentifier() and name != '__init__'))


def own_imports(source: str) -> Iterator[str]:
    """Read what a module of ours imports of ours: a hop to be made is not to wait for a parser."""
    for base, names in re.findall(OWN_IMPORT, source):
        yield base
        for name in names.strip('() ').split(','):
            yield f'{base}.{name.split()[0]}'
