"""
Whether a path names the interpreter that runs here.

An interpreter is a file, by whatever name: ``python3`` is often a link to ``python3.11``.  But in a virtual
environment a link to the same file is another interpreter: by the name under which it is started it finds
``pyvenv.cfg`` in its folder or the one above, and with that other packages.  So two names are the same if they lead
to one file, and to the same environment or to none.

Nothing is executed.  Any thread may enter.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import os
import sys


def is_same(path):
    # type: (str) -> bool
    """Is `path`, or a name that is looked up on the PATH, the interpreter here?"""
    found = located(path)
    own = sys.executable
    if not found or not own:
        return False
    if os.path.abspath(found) == os.path.abspath(own):
        return True
    try:
        different = identity(found) != identity(own)
    except OSError:
        different = True
    if different:
        return False
    # Where it was started by a list of words, or by a link to a link, the name that we know may be another one.
    return os.path.realpath(environment(found) or '') == os.path.realpath(here(own) or '')


def identity(path):
    # type: (str) -> tuple[int, int]
    """Return what no other file has; links are followed. Raise OSError."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def here(own):
    # type: (str) -> str | None
    """Return the folder of the virtual environment that we are in, or None."""
    base = getattr(sys, 'base_prefix', getattr(sys, 'real_prefix', None))  # type: Any
    if base is None:
        return environment(own)
    if base == sys.prefix:
        return None
    return sys.prefix


def environment(path):
    # type: (str) -> str | None
    """Return the folder of the virtual environment that an interpreter started as `path` is in, or None."""
    folder = os.path.dirname(os.path.abspath(path))
    for each in folder, os.path.dirname(folder):
        if os.path.isfile(os.path.join(each, 'pyvenv.cfg')):
            return each
    return None


def located(path):
    # type: (str) -> str | None
    """Return where a program is that is started as `path`, or None."""
    path = os.path.expanduser(path)
    if '/' in path:
        return path
    for folder in os.environ.get('PATH', os.defpath).split(':'):
        name = os.path.join(folder or '.', path)
        if os.path.isfile(name) and os.access(name, os.X_OK):
            return name
    return None
