"""
What `cp`, `sync` and `ls` share: the places that a command line names, each with its context.

Invariants:

* Each host is connected once, however many of the places are on it.

Entered by the main thread.
"""

from __future__ import annotations

import contextlib
import glob
import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import econtext
from econtext.child import listings
from econtext.child.transfer import as_bytes
from econtext.command_line.connecting import Asker, Way, fleet_from, host_of
from econtext.command_line.targets import Location, Target

WILD = re.compile(r'[*?\[]')


@dataclass(frozen=True)
class Place:
    """A path, in `context` or, if that is None, here."""

    context: econtext.Context | None
    path: str

    def __str__(self) -> str:
        return f'{self.context.name}:{self.path}' if self.context is not None else self.path

    def kind(self) -> str:
        """Return ``'folder'``, ``'file'`` or, for what is not there, ``''``."""
        if self.context is None:
            return listings.kind(self.path)
        return str(self.context.call(listings.kind, self.path))

    def matching(self) -> list[Place]:
        """Return the places that a pattern in the path means, as a shell there has it; else this one."""
        if self.context is None or not WILD.search(self.path) or self.kind():
            return [self]
        path = self.context.call(os.path.expanduser, self.path)
        found = sorted(self.context.call(glob.glob, path))
        return [Place(self.context, text(each)) for each in found] or [self]

    def make_folder(self) -> None:
        """Make the folder, if it is not there."""
        if self.context is None:
            os.makedirs(self.path, exist_ok=True)
        else:
            path = self.context.path(self.context.call(os.path.expanduser, self.path))
            path.mkdir(parents=True, exist_ok=True)

    def tree(self) -> dict[bytes, tuple[Any, ...]]:
        """Return what is below the folder, by name."""
        found = listings.tree(self.path) if self.context is None else self.context.call(listings.tree, self.path)
        return {as_bytes(name): (kind, size, time, as_bytes(target)) for name, kind, size, time, target in found}


def copy(source: Place, target: Place, **options: Any) -> Any:
    """Copy; return what was done."""
    if target.context is None:
        if source.context is None:
            with econtext.Broker() as broker:
                return broker.local().get(os.path.abspath(source.path), target.path, **options)
        return source.context.get(source.path, target.path, **options)
    if source.context is None:
        return target.context.put(source.path, target.path, **options)
    path: Any = source.context.path(source.context.call(os.path.expanduser, source.path))
    return target.context.put(path, target.path, **options)


@contextlib.contextmanager
def places(locations: list[Location], way: Way) -> Iterator[list[Place]]:
    """Yield the places that `locations` name; their contexts end with the block."""
    asker = Asker()
    targets: list[Target] = [each.target for each in locations if each.target is not None]
    if not targets:
        yield [Place(None, each.path) for each in locations]
        return
    with econtext.Broker() as broker, asker:
        hosts = {str(target): host_of(target, way, asker) for target in targets}
        fleet = fleet_from(broker, list(hosts.values()), way, asker)
        yield [Place(fleet.context(str(each.target)) if each.target is not None else None, each.path)
               for each in locations]


def text(path: Any) -> str:
    """Return a path as text."""
    return os.fsdecode(path)


def bar(wanted: bool | None) -> bool:
    """Show a bar? By default on a terminal, if there is what draws one."""
    if wanted is None:
        return os.isatty(2) and importlib.util.find_spec('rich') is not None
    return wanted


def amount(size: float) -> str:
    """Return a number of bytes as people read it."""
    for unit in ('B', 'kB', 'MB', 'GB'):
        if size < 1000:
            return f'{size:.0f} {unit}' if unit == 'B' else f'{size:.1f} {unit}'
        size /= 1000
    return f'{size:.1f} TB'


def files(number: int) -> str:
    return '1 file' if number == 1 else f'{number} files'
