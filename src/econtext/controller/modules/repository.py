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

import functools
import importlib.machinery
import importlib.util
import keyword
import logging
import marshal
import os
import re
import sys
import threading
import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from econtext.controller.modules import built, manifest
from econtext.controller.modules.policy import Policy
from econtext.controller.modules.source import IMPORTS_MAIN, Unit, main_unit, own_imports, unit_of
from econtext.controller.modules.stdlib import STANDARD
from econtext.controller.runtime.log import say

if TYPE_CHECKING:
    from econtext.controller.modules.resources import Resources

log: logging.Logger = logging.getLogger('econtext')

Spec = importlib.machinery.ModuleSpec

LONGEST = 1000      # characters of the name of a module or a file
DEEPEST = 50        # parts of one
MOST_ABSENT = 10000     # names of which it is remembered that there is no such module
RINGS = tuple('econtext.' + ring for ring in manifest.RINGS)
# What the program is there if it was not read from a file.
NO_MAIN = (b"raise ImportError('__main__ of the program has no source here, for it was started from no file: '\n"
           b"                  'move what is wanted of it to a module')\n")
# Modules of ours that a program may import on both ends, and use on one.
FACES: dict[str, tuple[str, ...]] = {
    'econtext.aio': (
        'Attachment', 'Broker', 'Channel', 'Context', 'File', 'Fleet', 'Future', 'HostResult', 'HostStream', 'Options',
        'RemotePath', 'RunLines', 'Selection', 'Stream', 'attach', 'select'),
    'econtext.dask': ('Cluster',),
    'econtext.inventory': ('ansible', 'ssh_config', 'toml'),
    'econtext.joblib': ('register',),
    'econtext.testing': ('check_connector',),
    'econtext.utils': ('run_with_broker', 'log_to_stderr'),
    'econtext.local': ('connect',),
    'econtext.ssh': ('connect',),
    'econtext.sudo': ('connect',),
}
# What every child is sent in the first write, the preamble included.
PUSHED = manifest.PACKAGES + manifest.FIRST_WRITE
# What is named to nobody as something to ask for.
GIVEN = frozenset(manifest.PREAMBLE + manifest.FIRST_WRITE + manifest.NEVER)


class Modules:
    """
    What this program can send: its own code, and its installed packages.

    `forward` names packages that are always sent as the program's own code;
    `installed` names those that are taken from the target where it has them.
    """

    def __init__(
        self, forward: Iterable[str] = (), installed: Iterable[str] = (),
        allow: Iterable[str] | None = None, deny: Iterable[str] = (),
    ) -> None:
        self.forward: frozenset[str] = frozenset(forward)
        self.installed: frozenset[str] = frozenset(installed)
        both = self.forward & self.installed
        if both:
            raise ValueError(f'forward= and installed= both name {", ".join(sorted(both))}')
        self.lock: threading.RLock = threading.RLock()
        self.units: dict[str, Unit | None] = {}
        self.absent: set[str] = set()
        #: The names of units that are no modules, but the texts of functions.
        self.texts: set[str] = set()
        self.needs: dict[str, tuple[str, ...]] = {}
        #: Of each installed package that was asked for, a compiled part that it cannot do without, if any.
        self.parts: dict[str, str] = {}
        self.main: str = main_name()
        self.policy: Policy = Policy(allow, deny, self.main)
        self.objections: dict[str, str] = {}

    @functools.cached_property
    def resources(self) -> Resources:
        """What leaves the program beside modules."""
        from econtext.controller.modules.resources import Resources  # most contexts ask for none

        return Resources(self)

    def is_own(self, name: str) -> bool:
        """Is `name` the program's own code, rather than an installed package?"""
        top = name.partition('.')[0]
        if top in self.forward or top == 'econtext':
            return True
        if top in self.installed:
            return False
        if name == self.main or name in self.texts:
            return True
        spec = self.find(top)
        if spec is None:
            return False
        for place in [spec.origin, *(spec.submodule_search_locations or ())]:
            if place and any(place.startswith(folder) for folder in installed_places(tuple(sys.path))):
                return False
        return True

    def answer(self, name: str, here: bool) -> list[tuple[str, Unit | None]]:
        """
        Return what to send to a child that asks for `name`.

        `here` says that the child could load it from a package installed there.
        Nothing goes wrong here, whatever `name` is and whatever finders do.
        """
        standard = name.partition('.')[0] in sys.stdlib_module_names
        if not self.may_be_module(name):
            return [(name, None)]
        try:
            if (here or standard) and not self.is_own(name):
                # A standard library fits its own version only: what a child's lacks is
                # a module that it does not have.
                return [(name, None)]
            objection = self.objection(name)
            if objection:
                return [(name, (False, name, f'raise ImportError({objection!r})\n'.encode()))]
            unit = self.unit(name)
            if unit is None and name == self.main:
                unit = False, name, NO_MAIN
            return [(name, unit)]
        except Exception as error:
            say(log, logging.WARNING, 'module %s cannot be sent: %s', name, error)
            return [(name, None)]

    def may_be_module(self, name: str) -> bool:
        """Is `name` one that an import could ask for, rather than a way to a file?"""
        parts = name.split('.')
        if name == self.main:
            return True
        return (
            len(parts) <= DEEPEST and len(name) <= LONGEST and name.isprintable()
            and '' not in parts and parts[-1] != '__main__'
            and not any(separator in name for separator in '/\\:')
        )

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
                if not self.is_own(each) or self.objection(each):
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
                self.needs[name] = tuple(found_imports(name, unit))
            return self.needs[name]

    def unit(self, name: str) -> Unit | None:
        """Return what to send for module `name`, None if there is nothing."""
        with self.lock:
            if name in self.units:
                return self.units[name]
            unit = self.read(name)
            if unit is not None and isinstance(unit[2], bytes) and re.search(IMPORTS_MAIN, unit[2]):
                from econtext.controller.modules.imports import naming_main

                unit = unit[0], unit[1], naming_main(unit[2], self.main)
            if unit is None and len(self.absent) >= MOST_ABSENT:
                # Names can be made up without end.
                self.units = {name: unit for name, unit in self.units.items() if unit}
                self.absent.clear()
            if unit is None:
                self.absent.add(name)
            self.units[name] = unit
            return unit

    def add_text(self, name: str, path: str, text: str) -> None:
        """Have `name` be a unit that holds the text of a function, whose lines are those of the file `path`."""
        if name not in self.texts:
            with self.lock:
                self.units[name] = False, path, text.encode('utf-8', 'surrogatepass')
                self.texts.add(name)

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
            except KeyError:
                # A namespace package whose parent is not imported here.
                spec = namespace(name, path or [])
            except (AttributeError, ImportError, ValueError):
                spec = None
            if spec is not None:
                return spec
        return None

    def objection(self, name: str) -> str:
        """Say what forbids sending module `name`, by that name or by the one that its links lead to."""
        if name in self.texts:
            # The module that the function is of was judged, see ``protocol.captured``.
            return ''
        found = self.policy.objection(name)
        if found or not self.policy.is_set or name.partition('.')[0] == 'econtext':
            return found
        with self.lock:
            if name not in self.objections:
                if len(self.objections) >= MOST_ABSENT:
                    self.objections.clear()
                self.objections[name] = self.linked_objection(name)
            return self.objections[name]

    def linked_objection(self, name: str) -> str:
        """Say what forbids sending what module `name` is a link to."""
        spec = self.find(name) if self.may_be_module(name) else None
        origin = spec.origin if spec else None
        if not origin or not os.path.isfile(origin):
            return ''
        from econtext.controller.modules.resources import below  # most programs forbid nothing

        real = os.path.realpath(origin)
        for place in list(sys.path):
            parts = below(os.path.realpath(place or os.curdir), os.path.splitext(real)[0])
            if parts and parts[-1] == '__init__':
                parts.pop()
            # What is allowed is allowed by the name that it goes under.
            if parts and self.policy.denies('.'.join(parts)):
                return self.policy.objection('.'.join(parts))
        return ''

    def data(self, package: str, resource: str) -> bytes | None:
        """Return a data file of `package`; None if there is none, or none that may be had."""
        return self.resources.data(package, resource)


def namespace(name: str, path: Iterable[str]) -> Spec | None:
    """Return what describes a package without a source, of the folders below `path` that are called so."""
    folders = [os.path.join(place, name.rpartition('.')[2]) for place in path]
    spec = Spec(name, None, is_package=True)
    spec.submodule_search_locations = [folder for folder in folders if os.path.isdir(folder)]
    return spec if spec.submodule_search_locations else None


def found_imports(name: str, unit: Unit) -> Iterable[str]:
    """Return the imports in the source of module `name`."""
    if isinstance(unit[2], bytes) and name.partition('.')[0] == 'econtext':
        return own_imports(unit[2].decode())
    from econtext.controller.modules.imports import read_imports

    return read_imports(name, unit)


def pack_units(units: Iterable[tuple[str, Unit | None]], level: int = 6) -> bytes:
    """Return the body that carries `units`: one stream, so that like sources share."""
    return zlib.compress(marshal.dumps(list(units), 2), level)


@functools.cache
def pushed(names: tuple[str, ...]) -> bytes:
    """Return the body that carries modules of ours, the same for all contexts."""
    return built.built_bodies().get(names) or pack_units(((name, own_unit(name)) for name in names), 9)


def first_bodies() -> dict[tuple[str, ...], bytes]:
    """Return the bodies that each context gets: a build keeps them, since compressing takes longer than a start."""
    return {names: pushed(names) for names in (PUSHED, manifest.AFTER_HELLO)}


@functools.lru_cache(maxsize=4)
def installed_places(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return where packages, and the standard library, are installed here, for modules found by `path`."""
    import sysconfig  # takes a third of the time that a broker takes to start

    paths = sysconfig.get_paths()
    found = {paths[key] for key in ('stdlib', 'platstdlib', 'purelib', 'platlib')}
    found.update(each for each in path if each.rstrip('/').endswith('-packages'))
    return tuple(sorted(each.rstrip('/') + '/' for each in found))


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
    if not is_plain(stem) or stem in STANDARD or stem == 'econtext' or is_taken(stem, path):
        # Helpers import it there by this name, which any Python takes.
        stem = 'econtext_main_' + re.sub('[^A-Za-z0-9_]', '_', stem)
    return stem


def is_plain(stem: str) -> bool:
    """May every Python's ``import`` be followed by `stem`?"""
    return stem.isascii() and stem.isidentifier() and not keyword.iskeyword(stem) and stem not in ('print', 'exec')


def is_taken(name: str, path: str) -> bool:
    """Does an import of `name` find something else than the program, which is at `path`?"""
    try:
        spec = importlib.util.find_spec(name)
    except (AttributeError, ImportError, ValueError):
        return name in sys.modules
    if spec is None:
        return False
    try:
        return not os.path.samefile(spec.origin or '', path)
    except OSError:
        return True


def own_unit(name: str) -> Unit | None:
    """Return a module of econtext: of rings 1 and 2, and no other."""
    if name in FACES:
        lines = ['from econtext.child.face import Elsewhere']
        lines += [f'{word} = Elsewhere({name.partition(".")[2] + "." + word!r})'
                  for word in FACES[name]]
        return False, name.replace('.', '/') + '.py', '\n'.join([*lines, '']).encode()
    package = name.rpartition('.')[0]
    if name in RINGS or name == 'econtext':
        path = os.path.join(os.path.dirname(manifest.__file__), '..', '..', *name.split('.')[1:])
        # Those that may be asked for; what every child has is not.
        # One text is shorter than a tuple of many.
        children = ' '.join(each for each in own_children(path) if f'{name}.{each}' not in GIVEN and (
            name != 'econtext' or f'{name}.{each}' in (*RINGS, *FACES)))
        return children, name.replace('.', '/') + '/__init__.py', b''
    if package not in RINGS:
        return None
    try:
        source = built.squeezed(name)
    except ImportError:
        return None
    return False, name.replace('.', '/') + '.py', source.encode()


def own_children(path: str) -> tuple[str, ...]:
    """Return the names of the modules in a folder of ours, which may be in an archive."""
    try:
        # What pkgutil imports to do the same takes longer than a child to start.
        names = {name.removesuffix('.py') for name in os.listdir(path)}
    except OSError:
        import pkgutil

        names = {module.name for module in pkgutil.iter_modules([path])}
    return tuple(sorted(name for name in names if name.isidentifier() and name not in ('__init__', '__pycache__')))
