"""
Which files econtext consists of, so that a session server notices that they have changed.

Invariants:

* A change of a checkout is seen at once, whichever file it is in.

Any thread may enter.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import econtext
from econtext.controller.modules.built import BUILT


def seen_files() -> dict[str, tuple[int, int]]:
    """
    Return when the files of econtext were changed, and their sizes; of a package some, as all come at once.

    Raise OSError if there is no descriptor to look at a folder.
    """
    top = str(Path(econtext.__file__).parent)
    if os.path.exists(os.path.join(top, BUILT)):
        return dict(states(os.path.join(top, name) for name in (BUILT, '__init__.py', '_version.py')))
    found: dict[str, tuple[int, int]] = {}
    folders = [top]
    while folders:
        try:
            names = os.listdir(folder := folders.pop())
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise
            continue
        found.update(states(os.path.join(folder, name) for name in names if name.endswith('.py')))
        folders += [os.path.join(folder, name) for name in names if '.' not in name and name != '__pycache__']
    return found


def states(paths: Iterable[str]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield each path that is there with what tells a changed file."""
    for path in paths:
        with contextlib.suppress(OSError):
            state = os.stat(path)
            yield path, (state.st_mtime_ns, state.st_size)
