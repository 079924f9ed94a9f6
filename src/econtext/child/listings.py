"""
What a folder holds: for people who look, and for who compares two folders.

Invariants:

* What vanishes, or may not be looked at, while it is being listed is left out; only the folder itself must be there.
* Names and targets are bytes. No link is followed.

Sent with a call of its functions.  Entered by whoever carries out calls.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import grp
import os
import pwd
import stat

from econtext.child.transfer import as_bytes

EMPTY = ''.encode('ascii')


def expanded(path):
    # type: (Any) -> Any
    return os.path.expanduser(as_bytes(path))


def beginning(path):
    # type: (Any) -> list[bytes]
    """Return the names that complete the last one of `path`, as a shell has it: a folder ends with a slash."""
    folder, begun = os.path.split(as_bytes(path))
    folder = expanded(folder)
    found = []
    for name in os.listdir(folder or '.'.encode('ascii')):
        if name.startswith(begun) and (begun or not name.startswith('.'.encode('ascii'))):
            if os.path.isdir(os.path.join(folder, name)):
                name = os.path.join(name, EMPTY)
            found.append(name)
    found.sort()
    return found


def entries(path):
    # type: (Any) -> list[tuple[Any, ...]]
    """
    Return of each file in the folder `path`, or of the file itself: name, mode, links, user, group, size, time, target.
    """
    path = expanded(path)
    if not stat.S_ISDIR(os.stat(path).st_mode):
        return [entry(path, path)]
    found = []
    for name in os.listdir(path):
        try:
            found.append(entry(os.path.join(path, name), name))
        except OSError:
            pass
    return found


def entry_of(path):
    # type: (Any) -> list[tuple[Any, ...]]
    """Return what ``entries`` returns of a file, also of a folder."""
    path = expanded(path)
    return [entry(path, path)]


def entry(path, name):
    # type: (Any, Any) -> tuple[Any, ...]
    info = os.lstat(path)
    target = EMPTY
    if stat.S_ISLNK(info.st_mode):
        target = os.readlink(path)
    return (name, int(info.st_mode), int(info.st_nlink), user_of(info.st_uid), group_of(info.st_gid),
            int(info.st_size), float(info.st_mtime), target)


def user_of(number):
    # type: (int) -> str
    try:
        return pwd.getpwuid(number)[0]
    except KeyError:
        return str(number)


def group_of(number):
    # type: (int) -> str
    try:
        return grp.getgrgid(number)[0]
    except KeyError:
        return str(number)


def kind(path):
    # type: (Any) -> str
    """Return 'folder', 'file' or, for what is not there, ''."""
    try:
        mode = os.stat(expanded(path)).st_mode
    except OSError:
        return ''
    if stat.S_ISDIR(mode):
        return 'folder'
    return 'file'


def tree(path):
    # type: (Any) -> list[tuple[Any, ...]]
    """Return of all below the folder `path`: name, kind ('d', 'l' or 'f'), size, time in seconds, target."""
    found = []  # type: list[tuple[Any, ...]]
    left = [EMPTY]
    path = expanded(path)
    while left:
        folder = left.pop()
        try:
            names = os.listdir(os.path.join(path, folder))
        except OSError:
            continue
        for name in names:
            name = os.path.join(folder, name)
            try:
                info = os.lstat(os.path.join(path, name))
                if stat.S_ISLNK(info.st_mode):
                    found.append((name, 'l', 0, 0, os.readlink(os.path.join(path, name))))
                elif stat.S_ISDIR(info.st_mode):
                    found.append((name, 'd', 0, 0, EMPTY))
                    left.append(name)
                elif stat.S_ISREG(info.st_mode):
                    found.append((name, 'f', int(info.st_size), int(info.st_mtime), EMPTY))
            except OSError:
                pass
    return found
