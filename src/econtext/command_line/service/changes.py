"""
Which files econtext consists of, so that a session server notices that they have changed.

The strategy: to look at each file of a checkout takes longer than all else that the server does for a command, so the
kernel tells of a change in one of the folders (``fcntl``, F_NOTIFY), by a signal that comes while the file is written.
Only then, and behind each command, when nobody waits, every file is looked at.

Invariants:

* A change of a checkout is seen at once, whichever file it is in; one that another machine has made in a folder that
  both have is seen behind the next command.
* Where the kernel tells of no changes, every file is looked at whenever somebody asks.

``Changes`` is entered by the main thread, ``seen_files`` by any.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

import econtext
from econtext.controller.modules.built import BUILT

Files = dict[str, tuple[int, int]]


class Changes:
    """Whether a file of econtext has changed since this was made."""

    def __init__(self) -> None:
        self.folders: list[int] = []
        #: Is every file to be looked at?
        self.suspected: bool = False
        # Before the files are looked at, so that no change comes between.
        self.watches: bool = self.watch()
        self.files: Files = seen_files()

    def watch(self) -> bool:
        """Have the kernel tell of changes; return whether it does."""
        top = package()
        if is_built(top) or not hasattr(fcntl, 'F_NOTIFY'):
            return False
        kinds = (fcntl.DN_MODIFY | fcntl.DN_CREATE | fcntl.DN_DELETE | fcntl.DN_RENAME | fcntl.DN_ATTRIB
                 | fcntl.DN_MULTISHOT)
        # Without a handler the first signal would end this process.
        signal.signal(signal.SIGIO, self.note)
        try:
            for folder, _ in folders(top):
                self.folders.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
                fcntl.fcntl(self.folders[-1], fcntl.F_NOTIFY, kinds)
        except OSError:
            # No descriptor, say, or a system for files that does not do this.
            self.close()
            return False
        return True

    def note(self, number: int, frame: object) -> None:
        self.suspected = True

    def found(self) -> bool:
        """Has a file changed?"""
        return self.look() if self.suspected or not self.watches else False

    def look(self) -> bool:
        """Look at every file; return whether one has changed. Raise OSError if there is no descriptor for that."""
        # What changes from here on is another matter.
        self.suspected = False
        changed = True
        try:
            changed = seen_files() != self.files
        finally:
            self.suspected = changed or self.suspected
        return changed

    def close(self) -> None:
        """Let go of the folders."""
        while self.folders:
            os.close(self.folders.pop())


def package() -> str:
    return str(Path(econtext.__file__).parent)


def is_built(top: str) -> bool:
    return os.path.exists(os.path.join(top, BUILT))


def seen_files() -> Files:
    """
    Return when the files of econtext were changed, and their sizes; of a package some, as all come at once.

    Raise OSError if there is no descriptor to look at a folder.
    """
    top = package()
    if is_built(top):
        return dict(states(os.path.join(top, name) for name in (BUILT, '__init__.py', '_version.py')))
    return dict(states(
        os.path.join(folder, name) for folder, names in folders(top) for name in names if name.endswith('.py')))


def folders(top: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder of a checkout, and the names in it. Raise OSError if there is no descriptor to look at one."""
    left = [top]
    while left:
        try:
            names = os.listdir(folder := left.pop())
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise
            continue
        yield folder, names
        left += [os.path.join(folder, name) for name in names if '.' not in name and name != '__pycache__']


def states(paths: Iterable[str]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield each path that is there with what tells a changed file."""
    for path in paths:
        with contextlib.suppress(OSError):
            state = os.stat(path)
            yield path, (state.st_mtime_ns, state.st_size)
