"""
Carry out what Ansible does in its temporary folders without a shell: one step after the other, in one call.

A step is a tuple: the name of a function of STEPS, and its arguments.

Invariants:

* A step does what the command does that it stands for, for paths that no shell reads otherwise, or nothing.
* What follows a step that failed is not carried out.

Entered by whoever carries out calls, and by forks of these.  Ansible's modules need Python 3.6 and more: elsewhere
nothing is called.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

import errno
import os
import stat
import sys

# As with a umask of 077.
FOLDER = 448     # rwx------
FILE = 384       # rw-------


class Differs(Exception):
    """Something is not as it was."""


def home(user, expected):
    # type: (str, str) -> None
    """See that the home folder of `user`, or of this process if that is empty, is the expected one."""
    if os.path.expanduser('~' + user) != expected:
        raise Differs


def folder(path):
    # type: (str) -> None
    """As `umask 077; mkdir`, in a folder that is there."""
    os.mkdir(path, FOLDER)


def write(path, data):
    # type: (str, bytes) -> None
    """As `umask 077; cat >`."""
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, 'O_TRUNC', 0), FILE)
    try:
        while data:
            data = data[os.write(opened, data):]
    finally:
        os.close(opened)


def mode(bits, *paths):
    # type: (int, str) -> None
    """As `chmod u+`, and the letters of these bits."""
    for path in paths:
        os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | bits)


def remove(path):
    # type: (str) -> None
    """As `rm -f -r`; what has come in place of the folder is left to the command."""
    try:
        os.lstat(path)
    except OSError:
        if sys.exc_info()[1].errno not in (errno.ENOENT, errno.ENOTDIR):  # type: ignore[union-attr]
            raise
        return
    __import__('shutil').rmtree(path)


STEPS = {
    'home': home, 'folder': folder, 'write': write, 'mode': mode, 'remove': remove,
}  # type: dict[str, Callable[..., None]]


def carry_out(steps):
    # type: (list[tuple[Any, ...]]) -> int
    """Carry out the steps; return how many, which is less than all of them if one failed."""
    done = 0
    for step in steps:
        try:
            STEPS[step[0]](*step[1:])
        except Exception:
            # The caller has a command for it, which says in its own words what is wrong.
            break
        done += 1
    return done
