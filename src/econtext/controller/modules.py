"""
The sources of modules, and who may have them.

Nothing is imported to be read: a child's request runs no code of the
application's packages here.

Invariants:

* A module is answered for by its name, found the way this program imports;
  never by a path.
* ``econtext`` itself travels in rings: 1 and 2 only.
* What is read is kept: a thousand contexts read each file once.

Any thread may enter.
"""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.util
import linecache
import marshal
import os
import pkgutil
import re
import sys
import sysconfig
import threading
import types
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from econtext.controller import packer
from econtext.controller.standard import STANDARD

Unit = tuple[Any, str, Any]
Spec = importlib.machinery.ModuleSpec

COOKIE = re.compile(rb'^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)', re.MULTILINE)
RINGS = ('econtext.core', 'econtext.parent', 'econtext.connectors')
# What every child is sent with its first call, beside the preamble.
PUSHED = (
    'econtext',
    'econtext.core',
    *('econtext.core.' + name for name in ('life', 'bulk', 'face', 'pull', 'title')),
    *('econtext.core.' + name for name in ('failure', 'rich', 'records')),
)
#: What a context needs before it can start others.
NURSERY = tuple(
    'econtext.parent.' + name for name in ('command', 'handshake', 'process', 'children')
)
# Modules of ours that a program may import on both ends, and use on one.
FACES = {
    'econtext.utils': ('run_with_broker', 'log_to_stderr'),
    'econtext.local': ('connect',),
    'econtext.ssh': ('connect',),
    'econtext.sudo': ('connect',),
}
#: What a child has from the start.
PREAMBLE = tuple('econtext.core.' + name for name in packer.ORDER)


class Modules:
    """
    What this program can send: its own code, and its installed packages.

    `forward` names packages that are always sent as the program's own code;
    `installed` names those that are taken from the target where it has them.
    """

    def __init__(self, forward: Iterable[str] = (), installed: Iterable[str] = ()) -> None:
        self.forward = frozenset(forward)
        self.installed = frozenset(installed)
        both = self.forward & self.installed
        if both:
            raise ValueError(f'forward= and installed= both name {", ".join(sorted(both))}')
        self.lock = threading.RLock()
        self.units: dict[str, Unit | None] = {}
        self.needs: dict[str, tuple[str, ...]] = {}
        self.places = installed_places()
        self.main = main_name()

    def is_own(self, name: str) -> bool:
        """Is `name` the program's own code, rather than an installed package?"""
        top = name.partition('.')[0]
        if top in self.forward or top == 'econtext':
            return True
        if top in self.installed:
            return False
        if name == self.main:
            return True
        spec = self.find(top)
        if spec is None:
            return False
        for place in [spec.origin, *(spec.submodule_search_locations or ())]:
            if place and any(place.startswith(folder) for folder in self.places):
                return False
        return True

    def answer(self, name: str, here: bool) -> list[tuple[str, Unit | None]]:
        """
        Return what to send to a child that asks for `name`.

        `here` says that the child could load it from a package installed there.
        """
        standard = name.partition('.')[0] in sys.stdlib_module_names
        if (here or standard) and not self.is_own(name):
            # A standard library fits its own version only: what a child's lacks is
            # a module that it does not have.
            return [(name, None)]
        return [(name, self.unit(name))]

    def closure(self, name: str, without: set[str]) -> list[tuple[str, Unit]]:
        """
        Return `name` and the program's own modules that it needs.

        Leaves out what is in `without`, and adds to it what is returned.
        """
        found: list[tuple[str, Unit]] = []
        waiting = [name]
        while waiting:
            next_name = waiting.pop()
            names = [next_name]
            while '.' in names[-1]:
                names.append(names[-1].rpartition('.')[0])
            for each in reversed(names):
                if each in without or each.partition('.')[0] in STANDARD:
                    continue
                if not self.is_own(each):
                    break
                unit = self.unit(each)
                if unit is None:
                    break
                without.add(each)
                found.append((each, unit))
                waiting.extend(self.imports(each, unit))
        return found

    def imports(self, name: str, unit: Unit) -> tuple[str, ...]:
        """Return what the source of module `name` may import, as full names."""
        with self.lock:
            if name not in self.needs:
                self.needs[name] = tuple(read_imports(name, unit))
            return self.needs[name]

    def unit(self, name: str) -> Unit | None:
        """Return what to send for module `name`, None if there is nothing."""
        with self.lock:
            if name not in self.units:
                self.units[name] = self.read(name)
            return self.units[name]

    def read(self, name: str) -> Unit | None:
        if name == 'econtext' or name.startswith('econtext.'):
            return own_unit(name)
        if name == self.main:
            return main_unit(name)
        spec = self.find(name)
        return None if spec is None else unit_of(name, spec)

    def find(self, name: str) -> Spec | None:
        """Find module `name` as an import would, without running any of it."""
        if name == self.main:
            main = sys.modules['__main__']
            return getattr(main, '__spec__', None) or Spec(
                name, None, origin=getattr(main, '__file__', None)
            )
        module = sys.modules.get(name)
        spec = getattr(module, '__spec__', None)
        if isinstance(spec, Spec) and spec.name == name:
            return spec
        path = None
        parent = name.rpartition('.')[0]
        if parent:
            package = self.find(parent)
            if package is None or package.submodule_search_locations is None:
                return None
            path = list(package.submodule_search_locations)
        for finder in sys.meta_path:
            try:
                spec = finder.find_spec(name, path, None)
            except (AttributeError, ImportError, ValueError):
                spec = None
            if spec is not None:
                return spec
        return None

    def data(self, package: str, resource: str) -> bytes | None:
        """Return a data file of `package`; None if there is none, or it lies outside."""
        parts = resource.split('/')
        if os.path.isabs(resource) or '..' in parts or '' in parts:
            return None
        spec = self.find(package)
        if package.partition('.')[0] == 'econtext' or spec is None or spec.origin is None:
            return None
        get_data = getattr(spec.loader, 'get_data', None)
        path = os.path.join(os.path.dirname(spec.origin), *parts)
        inside = os.path.realpath(os.path.dirname(spec.origin)) + os.sep
        if get_data is None or not os.path.realpath(path).startswith(inside):
            return None
        try:
            data = get_data(path)
        except OSError:
            return None
        return bytes(data)


def pack_units(units: Iterable[tuple[str, Unit | None]]) -> bytes:
    """Return the body that carries `units`: one stream, so that like sources share."""
    return zlib.compress(marshal.dumps(list(units), 2), 6)


@functools.cache
def pushed() -> bytes:
    """Return the body that carries PUSHED."""
    return pack_units((name, own_unit(name)) for name in PUSHED)


def installed_places() -> tuple[str, ...]:
    """Return where packages, and the standard library, are installed here."""
    paths = sysconfig.get_paths()
    found = {paths[key] for key in ('stdlib', 'platstdlib', 'purelib', 'platlib')}
    found.update(path for path in sys.path if path.rstrip('/').endswith('-packages'))
    return tuple(sorted(path.rstrip('/') + '/' for path in found))


def main_name() -> str:
    """Return the name under which the program's main module travels."""
    main = sys.modules['__main__']
    spec = getattr(main, '__spec__', None)
    if spec is not None and spec.name:
        name = str(spec.name)
        if name != '__main__':
            return name
    path = getattr(main, '__file__', None) or ''
    if os.path.basename(path) == '__main__.py':
        path = os.path.dirname(path)
    stem = os.path.splitext(os.path.basename(path))[0]
    if not stem or stem in STANDARD or '.' in stem or stem == 'econtext':
        stem = 'econtext_main_' + stem.replace('.', '_')
    return stem


def own_unit(name: str) -> Unit | None:
    """Return a module of econtext: of rings 1 and 2, and no other."""
    if name in FACES:
        lines = ['from econtext.core.face import Elsewhere']
        lines += [f'{word} = Elsewhere({name.partition(".")[2] + "." + word!r})'
                  for word in FACES[name]]
        return False, name.replace('.', '/') + '.py', '\n'.join([*lines, '']).encode()
    package = name.rpartition('.')[0]
    if name in RINGS or name == 'econtext':
        path = os.path.join(os.path.dirname(packer.__file__), '..', *name.split('.')[1:])
        return own_children(path), name.replace('.', '/') + '/__init__.py', b''
    if package not in RINGS:
        return None
    try:
        source = packer.squeezed(name)
    except ImportError:
        return None
    return False, name.replace('.', '/') + '.py', source.encode()


def own_children(path: str) -> tuple[str, ...]:
    """Return the names of the modules in a folder of ours, which may be in an archive."""
    try:
        # What pkgutil imports to do the same takes longer than a child to start.
        names = {name.removesuffix('.py') for name in os.listdir(path)}
    except OSError:
        names = {module.name for module in pkgutil.iter_modules([path])}
    return tuple(sorted(name for name in names if name.isidentifier() and name != '__init__'))


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
    """Return what to send for the module that `spec` describes."""
    loader: Any = spec.loader
    locations = spec.submodule_search_locations
    children: Any = False
    if locations is not None:
        children = list_children(list(locations))
    if loader is None or (spec.origin is None and locations is not None):
        # A namespace package has no source, only places.
        return None if locations is None else (children, name, b'')
    origin = spec.origin or name
    source = source_of(loader, name, origin)
    if source is not None:
        return children, origin, source
    get_code = getattr(loader, 'get_code', None)
    code = get_code(name) if get_code else None
    if isinstance(code, types.CodeType):
        return children, origin, (marshal.dumps(code),)
    return None


def source_of(loader: Any, name: str, origin: str) -> bytes | None:
    """Return the source that `loader` has for module `name`."""
    if origin.endswith('.py') and hasattr(loader, 'get_data'):
        try:
            return tidy(bytes(loader.get_data(origin)))
        except OSError:
            pass
    get_source = getattr(loader, 'get_source', None)
    try:
        text = get_source(name) if get_source else None
    except (ImportError, OSError):
        text = None
    if text is None:
        return None
    cookie = COOKIE.search('\n'.join(text.split('\n')[:2]).encode('ascii', 'replace'))
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


def read_imports(name: str, unit: Unit) -> Iterator[str]:
    """Read the imports in the source of `unit`; what cannot be parsed has none."""
    children, _, source = unit
    if not isinstance(source, bytes):
        return
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    package = name if children is not False else name.rpartition('.')[0]
    for node in ast.walk(tree):
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
