"""
What leaves the program beside modules: data files of packages, lists of what they hold, metadata of distributions.

The strategy: whatever is asked for is mapped to the names that it has among modules: the
package it was asked of, the folders it lies in, what its links lead to.  The policy judges
them all, and one objection suffices.

Invariants:

* Nothing is imported to be read, and none of it is run.
* A file lies in a package: below its folder, or below that of another one the program may
  import, when all links are followed.
* A file of a denied subpackage is had through no other name.
* A file of code is no data; nor is what is hidden, and what holds a private key.
* What is listed may be read, unless it is a private key or too large.

Any thread may enter.
"""

from __future__ import annotations

import logging
import marshal
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from econtext.controller.modules.policy import Policy
from econtext.controller.modules.source import Spec, is_namespace
from econtext.controller.runtime.log import say
from econtext.controller.text import harmless

if TYPE_CHECKING:
    import importlib.metadata


log: logging.Logger = logging.getLogger('econtext')

LONGEST = 1000      # characters of the name of a file
LARGEST = 1 << 28   # bytes of a data file
MOST_LISTED = 20_000    # files, folders and modules of a folder
LARGEST_METADATA = 1 << 22      # bytes of all that is told of distributions at a time
CODE = r'(?is).*(?:\.(?:py[cdoiwxz]?|pxd|pyc_dis|dll|dylib|egg|whl)|\.so(?:\.\d+)*)\Z'     # as `re` has it
CACHE = '__pycache__'
METADATA = '.dist-info'
#: The files of a distribution's metadata that are told: no lists of files, and nothing of where it came from.
TOLD = 'METADATA', 'PKG-INFO', 'entry_points.txt', 'top_level.txt', 'namespace_packages.txt', 'WHEEL', 'requires.txt'
PROJECT = r'[A-Za-z0-9](?:[A-Za-z0-9._-]{0,198}[A-Za-z0-9])?'

# (kind, name): of a file 'f', a folder 'd', a module 'm', a package 'p'.
Entry = tuple[str, str]


class Home(NamedTuple):
    """Where the files of a package are."""

    package: str
    folder: str
    loader: Any


def parts_of(resource: str) -> list[str] | None:
    """Return the parts of the name of a file; None if it is none that may be asked for."""
    parts = resource.split('/')
    if len(resource) > LONGEST or not resource.isprintable() or not all(map(is_open, parts)):
        return None
    return parts


def is_open(part: str) -> bool:
    """May `part` be one of the name of a file that is no secret by its name?"""
    return bool(part) and not part.startswith('.') and '\\' not in part and part != CACHE and ':' not in part


def is_data(name: str) -> bool:
    """Is a file of that name data, rather than code or a key?"""
    # Here, for most programs send no data: that module takes its time to load.
    from econtext.controller.modules.private_keys import NAMES

    return not re.match(CODE, name) and not NAMES.match(name)


if TYPE_CHECKING:
    class Library(Protocol):
        """The modules of the program, as far as their files are concerned."""

        @property
        def policy(self) -> Policy: ...
        @property
        def lock(self) -> AbstractContextManager[object]: ...

        def may_be_module(self, name: str) -> bool: ...
        def objection(self, name: str) -> str: ...
        def find(self, name: str) -> Spec | None: ...


class Resources:
    """All of a program's packages, as places of files."""

    def __init__(self, modules: Library) -> None:
        self.modules = modules
        self.installed: list[tuple[importlib.metadata.Distribution, set[str]]] | None = None

    def answer(self, package: str, wanted: str, sent: Iterable[str]) -> bytes | None:
        """
        Return what a context that was sent the modules `sent` wants beside a module; None if it gets nothing.

        Nothing goes wrong here, whatever is wanted and whatever loaders do.
        """
        try:
            if package.endswith(METADATA):
                return self.metadata(package.removesuffix(METADATA), sent)
            if wanted.endswith('/'):
                return self.listing(package, wanted[:-1])
            return self.data(package, wanted)
        except Exception as error:
            say(log, logging.WARNING, 'a file of %s cannot be sent: %s', harmless(package), type(error).__name__)
            return None

    # -- data files ----------------------------------------------------------

    def data(self, package: str, resource: str) -> bytes | None:
        """Return a data file of `package`; None if there is none, or none that may be had."""
        parts = parts_of(resource)
        if parts is None or not is_data(parts[-1]):
            return None
        for home in self.homes(package):
            path = self.locate(home, parts)
            data = None if path is None else read(home, path)
            if data is not None:
                from econtext.controller.modules.private_keys import holds_private_key

                return None if holds_private_key(parts[-1], data) else data
        return None

    def homes(self, package: str) -> Iterator[Home]:
        """Yield where the files of `package` are, if it is a package that may be sent."""
        modules = self.modules
        if not modules.may_be_module(package) or package.partition('.')[0] == 'econtext':
            return
        spec = None if modules.objection(package) else modules.find(package)
        if spec is None or spec.submodule_search_locations is None:
            # Beside a plain module lies whatever its folder holds.
            return
        if spec.origin is not None and spec.loader is not None and not is_namespace(spec):
            yield Home(package, os.path.dirname(spec.origin), spec.loader)
            return
        # Any folder is a namespace package to Python: only those within a package with a source are one here.
        parent, _, last = package.rpartition('.')
        if parent:
            for home in self.homes(parent):
                yield Home(package, os.path.join(home.folder, last), home.loader)

    def locate(self, home: Home, parts: list[str], listed: bool = False) -> str | None:
        """
        Return the path of what `parts` name in a package, if it may be had; of its folder, if there are none.

        `listed` says that the last of them is from the list of its folder.
        """
        if self.objects(home.package, parts):
            return None
        path = os.path.join(home.folder, *parts)
        if not os.path.lexists(path):
            # In an archive, which has no links.
            return path
        if not listed and not is_spelled(home.folder, parts):
            return None
        real = os.path.realpath(path)
        if not (os.path.isdir(real) or os.path.isfile(real)):
            return None
        known = False
        for package, inner in self.places(home, real):
            known = True
            if not all(map(is_open, inner)) or self.objects(package, inner):
                return None
            if inner and os.path.isfile(real) and not is_data(inner[-1]):
                return None
        return path if known else None

    def places(self, home: Home, real: str) -> Iterator[tuple[str, list[str]]]:
        """Yield the packages that the file `real` lies in, and its parts from there."""
        folders = {os.path.realpath(home.folder)}
        for name in ('__init__.py', '__init__.pyc'):
            # Installers that save space link every file of a package to a store.
            if os.path.isfile(os.path.join(home.folder, name)):
                folders.add(os.path.dirname(os.path.realpath(os.path.join(home.folder, name))))
        for folder in folders:
            inner = below(folder, real)
            if inner is not None:
                yield home.package, inner
        for place in list(sys.path):
            inner = below(os.path.realpath(place or os.curdir), real)
            if inner and len(inner) > 1 and os.path.isfile(os.path.join(place, inner[0], '__init__.py')):
                yield inner[0], inner[1:]

    def objects(self, package: str, parts: list[str]) -> bool:
        """Does the policy forbid the folders, or the module that would be called like it?"""
        name = '.'.join([package, *parts[:-1]])
        names = [name]
        if parts:
            names.append(f'{name}.{parts[-1].partition(".")[0]}')
        return any(self.modules.policy.objection(each) for each in names)

    # -- lists ---------------------------------------------------------------

    def listing(self, package: str, folder: str) -> bytes | None:
        """Return the entries of a folder of `package`, and without one its modules too; None if it may not be had."""
        parts = [] if not folder else parts_of(folder)
        if parts is None:
            return None
        found: dict[str, Entry] = {}
        known = False
        for home in self.homes(package):
            path = self.locate(home, parts)
            names = None if path is None else list(entries(home, path))
            if names is not None and len(names) <= MOST_LISTED:
                known = True
                found.update((name, (kind, name)) for kind, name in names if self.is_listed(home, parts, kind, name))
        listed = [*found.values()]
        if not parts:
            modules = self.submodules(package)
            known = known or modules is not None
            listed += modules or ()
        return marshal.dumps(sorted(listed), 2) if known and len(listed) <= MOST_LISTED else None

    def is_listed(self, home: Home, parts: list[str], kind: str, name: str) -> bool:
        if not name.isprintable() or not is_open(name) or (kind == 'f' and not is_data(name)):
            return False
        return self.locate(home, [*parts, name], listed=True) is not None

    def submodules(self, package: str) -> list[Entry] | None:
        """Return the modules in `package` that may be sent; None if there is no such package."""
        modules = self.modules
        if not modules.may_be_module(package) or package.partition('.')[0] == 'econtext':
            return None
        spec = None if modules.objection(package) else modules.find(package)
        if spec is None or spec.submodule_search_locations is None:
            return None
        import pkgutil

        return [('p' if found.ispkg else 'm', found.name)
                for found in pkgutil.iter_modules(list(spec.submodule_search_locations))
                if found.name.isidentifier() and not modules.objection(f'{package}.{found.name}')]

    # -- metadata ------------------------------------------------------------

    def metadata(self, project: str, sent: Iterable[str]) -> bytes:
        """Return the metadata of distribution `project`, or without a name of all whose packages are in `sent`."""
        told: list[dict[str, str]] = []
        size = 0
        for distribution in self.distributions(project, sent):
            files = {name: text for name in TOLD if (text := distribution.read_text(name))}
            size += sum(map(len, files.values()))
            if size <= LARGEST_METADATA:
                told.append(files)
        return marshal.dumps(told, 2)

    def distributions(self, project: str, sent: Iterable[str]) -> Iterator[importlib.metadata.Distribution]:
        from importlib import metadata  # which takes long to import, and is seldom asked for

        if project:
            try:
                found = [metadata.distribution(project)] if re.fullmatch(PROJECT, project) else []
            except metadata.PackageNotFoundError:
                return
        else:
            tops = {name.partition('.')[0] for name in list(sent)} - {'econtext'}
            found = [each for each, names in self.all_distributions() if tops & names]
        for distribution in found:
            # Under a policy, what has no module that may be sent is nobody's business.
            if not self.modules.policy.is_set or not all(map(self.modules.objection, tops_of(distribution))):
                yield distribution

    def all_distributions(self) -> list[tuple[importlib.metadata.Distribution, set[str]]]:
        """Return all that are installed here, with the modules that each has; they are read once."""
        from importlib import metadata

        with self.modules.lock:
            if self.installed is None:
                self.installed = [(each, tops_of(each)) for each in metadata.distributions()]
            return self.installed


def tops_of(distribution: importlib.metadata.Distribution) -> set[str]:
    """Return the names of the modules and packages that a distribution puts beside others."""
    listed = distribution.read_text('top_level.txt')
    if listed:
        return set(listed.split())
    paths = [str(path).split('/') for path in distribution.files or () if re.match(CODE, str(path))]
    tops = {path[0] if len(path) > 1 else path[0].partition('.')[0] for path in paths}
    return {top for top in tops if top.isidentifier() and top != CACHE}


def below(folder: str, path: str) -> list[str] | None:
    """Return the parts of `path` from `folder` on, if it lies in there."""
    if path == folder:
        return []
    inside = folder.rstrip(os.sep) + os.sep
    return path[len(inside) :].split(os.sep) if path.startswith(inside) else None


def is_spelled(folder: str, parts: list[str]) -> bool:
    """Is each of `parts` spelled as its folder has it? Some file systems find it in capitals too."""
    for part in parts:
        try:
            if part not in os.listdir(folder):
                return False
        except OSError:
            return False
        folder = os.path.join(folder, part)
    return True


def read(home: Home, path: str) -> bytes | None:
    """Return the content of a file as the loader of its package has it."""
    get_data = getattr(home.loader, 'get_data', None)
    if get_data is None or os.path.isdir(path) or (os.path.exists(path) and os.path.getsize(path) > LARGEST):
        return None
    try:
        data = bytes(get_data(path))
    except OSError:
        return None
    return data if len(data) <= LARGEST else None


def entries(home: Home, path: str) -> Iterator[Entry]:
    """Yield the files and folders of a folder of a package."""
    archive = getattr(home.loader, 'archive', None)
    if os.path.isdir(path):
        with os.scandir(path) as found:
            for entry in found:
                yield ('d' if os.path.isdir(entry.path) else 'f'), entry.name
    elif isinstance(archive, str) and path.startswith(archive + os.sep):
        inside = path[len(archive) + 1 :].replace(os.sep, '/') + '/'
        seen = set()
        import zipfile  # as metadata above

        with zipfile.ZipFile(archive) as opened:
            for name in opened.namelist():
                first, slash, _ = name.removeprefix(inside).partition('/')
                if name.startswith(inside) and first and first not in seen:
                    seen.add(first)
                    yield ('d' if slash else 'f'), first
