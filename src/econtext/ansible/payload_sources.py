"""
The sources of Ansible's payloads: which there are, what they hold, and whether a payload is what they make.

A payload (AnsiballZ) is a zip of one module and of all modules of module_utils that it needs.  ansible-core finds these
by names, along a list of folders: beside the playbook, in roles, in its configuration, in collections, and its own.
What it finds depends on files that are in the payload, on files that are not there yet and would come first, and on the
redirections of collections.  So a key is made of whole folders, and not only of the files that went in.

Invariants:

* Two keys are equal only if ansible-core, this Python, the module, each folder of module_utils and their order, with
  every name and every byte in them, are the same.
* A file counts as unchanged without being read again only if nothing in its `stat` differs, and only if it was old
  enough when it was read that a later change would show there.
* While a play goes on, the folder of ansible-core itself is looked at once: the process that runs the play has loaded
  its own sources from there already.  `look_again` ends that.
* Whatever cannot be known raises Unknown: a folder too large, a link between folders, a file that cannot be read.
* `check` accepts a payload only if each of its files is what stands now where ansible-core would find it, or is one
  that ansible-core writes itself.

One thread at a time.
"""

from __future__ import annotations

import ast
import os
import platform
import re
import stat
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from econtext.ansible.payload_entries import digest
from econtext.controller.modules import parser

FILES = 3000    # in one folder of sources
BYTES = 64 * 1024 * 1024    # in one file of sources
SETTLED = 2 * 10**9     # nanoseconds after which a change of a file shows in its times, on every file system
# What ansible-core writes in place of a module that a collection has moved elsewhere.
REDIRECTION = re.compile(rb"\nimport sys\nimport ([\w.]+) as mod\n\nsys\.modules\['[\w.]+'\] = mod\n")
# Packages that ansible-core writes itself, by its version alone.
WRITTEN = {'ansible/__init__.py', 'ansible/module_utils/__init__.py', 'ansible/modules/__init__.py',
           'ansible/legacy/__init__.py'}


class Unknown(Exception):
    """It cannot be known what a payload is made of; the text says why."""


class Installation(Protocol):
    """What the cache needs to know of the ansible-core that runs."""

    version: str
    root: str   # the folder of the package `ansible`
    compression: str    # of payloads, a name of the module zipfile

    def search(self) -> list[str]:
        """Return the folders of module_utils, those that come first first, with ansible-core's own or without."""

    def module(self, name: str, collections: Sequence[str]) -> str | None:
        """Return the path of the module `name`, as a task with these collections finds it."""

    def collection(self, name: str) -> str | None:
        """Return the folder of a collection, NAMESPACE.NAME, or None if it is not installed."""


class Remembered(NamedTuple):
    """A digest: what was seen before it was made, the newest time of that, and when, in nanoseconds since the epoch."""

    seen: object
    newest: int
    read: int
    content: str

    def holds(self, seen: object) -> bool:
        """Is the digest still that of what is seen now?"""
        return self.seen == seen and self.newest < self.read - SETTLED


class Sources:
    def __init__(self, core: Installation) -> None:
        self.core: Installation = core
        self._files: dict[str, Remembered] = {}
        self._folders: dict[str, Remembered] = {}
        self._own: str | None = None    # the digest of ansible-core's own module_utils, as last seen

    # -- digests ---------------------------------------------------------------

    def file(self, path: str) -> str:
        """Return the digest of the file's content, or '' if there is no file."""
        try:
            found = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return ''
        except OSError as error:
            raise Unknown(f'{path}: {error.strerror}') from error
        seen = identity(found)
        known = self._files.get(path)
        if known and known.holds(seen):
            return known.content
        now = time.time_ns()
        content = digest(content_of(path, found))
        self._files[path] = Remembered(seen, max(seen[:2]), now, content)
        return content

    def folder(self, path: str) -> str:
        """Return the digest of all names and contents below a folder, or '' if there is no folder."""
        now = time.time_ns()
        seen = [(each.path, seen_now(each)) for each in walk(path)]
        known = self._folders.get(path)
        if known and known.holds(seen):
            return known.content
        parts = []
        for each, _ in seen:
            parts += [os.fsencode(os.path.relpath(each, path)), self.file(each).encode()]
        content = digest(*parts) if os.path.isdir(path) else ''
        if content and all(found for _, found in seen):
            newest = max((max(found[:2]) for _, found in seen), default=0)
            self._folders[path] = Remembered(seen, newest, now, content)
        return content

    def look_again(self) -> None:
        """Have `base` look at ansible-core itself again."""
        self._own = None

    def base(self) -> str:
        """Return the digest of what every payload is made of: versions, and the folders of module_utils in order."""
        own = self._own_folder()
        if self._own is None:
            self._own = self.folder(own) + self.file(self._runtime())
        parts = [self.core.version, self.core.root, self.core.compression, platform.python_implementation(),
                 platform.python_version(), self._own]
        for folder in self.core.search():
            parts += [folder, '' if folder == own else self.folder(folder)]
        return digest(*map(os.fsencode, parts))

    def key(self, path: str, base: str) -> str:
        """
        Return the name of the entry for the module at `path`, as its sources are now.

        :param base: what `base()` has just returned, or '' if that was not known.
        """
        content = self.file(path)
        if not base:
            raise Unknown('the folders of module_utils are not known')
        if not content:
            raise Unknown(f'{path} is no file')
        return digest(base.encode(), os.fsencode(path), content.encode())

    def further(self, collections: Sequence[str], embeds: Sequence[str]) -> str:
        """Return the digest of collections, installed or not, and of members of a payload that are no Python."""
        parts = []
        for name in collections:
            place = self.core.collection(name)
            parts += [name, place or '']
            if place:
                parts += [self.folder(os.path.join(place, 'plugins', 'module_utils')),
                          self.file(os.path.join(place, 'meta', 'runtime.yml'))]
        for member in embeds:
            embedded = self._installed(member)
            parts += [member, self.file(embedded) if embedded else '']
        return digest(*map(os.fsencode, parts))

    # -- payloads --------------------------------------------------------------

    def check(self, members: dict[str, bytes], main: str, path: str) -> tuple[list[str], list[str]]:
        """
        Return which collections the sources in a payload name, and which members are no Python.

        :param members: name -> content of the payload's files.
        :param main: the name of the module in there.
        :param path: where the module stands.

        Raises Unknown if a member is not what stands now where ansible-core would find it.
        """
        if main not in members or digest(members[main]) != self.file(path):
            raise Unknown(f'{path} is not what is in the payload')
        for name, content in members.items():
            if name != main and name not in WRITTEN and not self._is_current(name, content):
                raise Unknown(f'{name} is not what is installed')
        return mentioned(members), sorted(name for name in members if not name.endswith('.py'))

    def _is_current(self, name: str, content: bytes) -> bool:
        """Is the content of this member what ansible-core would put in now?"""
        made = (name.endswith('.py') and not content) or REDIRECTION.fullmatch(content) is not None
        if name.startswith('ansible/module_utils/') and name.endswith('.py'):
            winner = self._winner(name.removeprefix('ansible/module_utils/'))
            return made if winner is None else self.file(winner) == digest(content)
        place = self._installed(name)
        if place and os.path.exists(place):
            # Of the folders down to module_utils, and of those of modules, only the names are sent.
            above = name.count('/') < 6 or '/plugins/modules/' in name
            return (above and not content and name.endswith('/__init__.py')) or self.file(place) == digest(content)
        return made

    def _winner(self, relative: str) -> str | None:
        """Return the file that an import finds along the folders of module_utils, a package before a module."""
        stem = relative.removesuffix('.py').removesuffix('/__init__')
        for folder in [*self.core.search(), self._own_folder()]:
            for ending in ('/__init__.py', '.py'):
                path = os.path.join(folder, stem + ending)
                if os.path.isfile(path):
                    return path
        return None

    def _installed(self, member: str) -> str | None:
        """Return where a member that is no module_utils of ansible-core comes from."""
        parts = member.split('/')
        if '..' in parts or '' in parts:
            raise Unknown('a member of the payload has no plain name')
        if parts[0] == 'ansible':
            return os.path.join(os.path.dirname(self.core.root), *parts)
        if parts[0] == 'ansible_collections' and len(parts) > 3:
            place = self.core.collection('.'.join(parts[1:3]))
            return place and os.path.join(place, *parts[3:])
        return None

    def _own_folder(self) -> str:
        return os.path.join(self.core.root, 'module_utils')

    def _runtime(self) -> str:
        return os.path.join(self.core.root, 'config', 'ansible_builtin_runtime.yml')


def identity(found: os.stat_result) -> tuple[int, ...]:
    """Return what differs once a file was changed, unless that was just now; the times first."""
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev


def seen_now(entry: os.DirEntry[str]) -> tuple[int, ...]:
    """Return what is seen of an entry of a folder; nothing where that leads nowhere."""
    try:
        return identity(entry.stat())
    except OSError:
        return ()


def walk(path: str) -> Iterator[os.DirEntry[str]]:
    """
    Yield the files below a folder in a fixed order, without what Python writes there itself.

    Raises Unknown for a link to a folder, and for more than FILES files.
    """
    left, count = [path], 0
    while left:
        try:
            with os.scandir(left.pop()) as found:
                entries = sorted(found, key=lambda each: each.name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise Unknown(f'{path}: {error.strerror}') from error
        for entry in entries:
            if entry.name == '__pycache__':
                continue
            if entry.is_dir():
                if entry.is_symlink():
                    raise Unknown(f'{entry.path} is a link to a folder')
                left.append(entry.path)
                continue
            count += 1
            if count > FILES:
                raise Unknown(f'{path} holds more than {FILES} files')
            yield entry


def content_of(path: str, found: os.stat_result) -> bytes:
    if not stat.S_ISREG(found.st_mode) or found.st_size > BYTES:
        raise Unknown(f'{path} is no file of sources')
    try:
        with open(path, 'rb') as opened:
            return opened.read()
    except OSError as error:
        raise Unknown(f'{path}: {error.strerror}') from error


def mentioned(members: dict[str, bytes]) -> list[str]:
    """Return the collections, NAMESPACE.NAME, whose modules the sources of a payload import, or would if they could."""
    found = set()
    for member, content in members.items():
        if member.startswith('ansible_collections/') and member.count('/') > 2:
            found.add('.'.join(member.split('/')[1:3]))
        if member.endswith('.py') and (b'ansible_collections' in content or member.startswith('ansible_collections/')):
            found |= imported(member, content)
    if 'ansible.builtin' in found:
        raise Unknown('a source imports ansible_collections.ansible.builtin')
    return sorted(found)


def imported(member: str, content: bytes) -> set[str]:
    """Return the collections that one source imports."""
    tree = parser.parse(content)
    if tree is None:
        raise Unknown(f'{member} cannot be parsed')
    package = member.removesuffix('.py').split('/')[:-1]
    names: list[list[str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name.split('.') for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[:len(package) - node.level + 1] if node.level else []
            names += [[*start, *(node.module or '').split('.'), alias.name] for alias in node.names]
    plain = [[part for part in name if part] for name in names]
    return {'.'.join(name[1:3]) for name in plain if name[0] == 'ansible_collections' and len(name) > 2}
