"""
Files of a context, as functions of plain values: opened, read, written, listed, changed.

Invariants:

* Each answer is ('done', value), or an OSError in values, see ``transfer.failure``.
* Paths and names are bytes.
* A file that was opened is open until it is closed, or its context ends.

Fetched with the first open file or path.  Entered by whoever carries out calls.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import errno
import fnmatch
import os
import stat
import sys
try:
    from _thread import allocate_lock
except ImportError:
    from thread import allocate_lock

from econtext.core import transfer
from econtext.core.folders import open_folder, remove, set_times, split
from econtext.core.transfer import attempt, failed, join
from econtext.core.wire import EMPTY

BRIEF = 1 << 18     # bytes of a file that are read in one call
MOST = 1 << 20
CLOEXEC = getattr(os, 'O_CLOEXEC', 0)
# number -> (descriptor, lock held from a seek to what it is for)
OPEN = {}   # type: dict[int, Any]
LAST = [0]
DEEP = '**'.encode('ascii')


def do(name, *args):
    # type: (str, Any) -> tuple[Any, ...]
    """Carry out the function `name` of DOES."""
    return attempt(DOES[str(name)], *args)


# Open files.


def open_file(path, flags, mode):
    # type: (bytes, dict[str, bool], int) -> tuple[int, int, bool]
    """Open a file; return its number, its size, and whether one can seek in it."""
    how = os.O_RDONLY
    if flags['write']:
        how = os.O_WRONLY
        if flags['read']:
            how = os.O_RDWR
    if flags['create']:
        how |= os.O_CREAT
    if flags['truncate']:
        how |= getattr(os, 'O_TRUNC', 0)
    if flags['new']:
        how |= os.O_EXCL
    if flags['append']:
        how |= getattr(os, 'O_APPEND', 0)
    fd = os.open(path, how | CLOEXEC, mode)
    try:
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            raise failed(errno.EISDIR, os.strerror(errno.EISDIR), path)
        try:
            os.lseek(fd, 0, 1)
            seekable = True
        except OSError:
            seekable = False
    except:
        os.close(fd)
        raise
    LAST[0] += 1
    OPEN[LAST[0]] = fd, allocate_lock()
    return LAST[0], status.st_size, seekable


def opened(number):
    # type: (int) -> Any
    if number not in OPEN:
        raise failed(errno.EBADF, os.strerror(errno.EBADF))
    return OPEN[number]


def read_open(number, at, size):
    # type: (int, int, int) -> bytes
    """Return up to `size` bytes from `at`; from where it stands if that is negative."""
    fd, lock = opened(number)
    lock.acquire()
    try:
        if at >= 0:
            os.lseek(fd, at, 0)
        parts = []
        size = min(size, MOST)
        while size > 0:
            data = os.read(fd, size)
            parts.append(data)
            size -= len(data)
            if not data or at < 0:
                break
        return EMPTY.join(parts)
    finally:
        lock.release()


def write_open(number, at, data):
    # type: (int, int, bytes) -> int
    """Write all of `data` at `at`; where it stands if that is negative. Return where that ends."""
    fd, lock = opened(number)
    lock.acquire()
    try:
        if at >= 0:
            os.lseek(fd, at, 0)
        while data:
            data = data[os.write(fd, data):]
        if at >= -1:
            return os.lseek(fd, 0, 1)
        return 0
    finally:
        lock.release()


def truncate_open(number, size):
    # type: (int, int) -> None
    os.ftruncate(opened(number)[0], size)


def size_open(number):
    # type: (int) -> int
    return os.fstat(opened(number)[0]).st_size


def sync_open(number):
    # type: (int) -> None
    os.fsync(opened(number)[0])


def close_open(number):
    # type: (int) -> None
    fd = opened(number)[0]
    del OPEN[number]
    os.close(fd)


# Paths.


def told(status):
    # type: (Any) -> tuple[int, ...]
    """Return what stat() says: mode, inode, device, links, owner, group, size, and times in nanoseconds."""
    times = []
    for name in 'st_atime', 'st_mtime', 'st_ctime':
        try:
            times.append(getattr(status, name + '_ns'))
        except AttributeError:
            times.append(int(round(getattr(status, name) * 1e6)) * 1000)
    return (status.st_mode, status.st_ino, status.st_dev, status.st_nlink, status.st_uid, status.st_gid,
            status.st_size) + tuple(times)


def status_of(path, follow):
    # type: (bytes, bool) -> tuple[int, ...]
    if follow:
        return told(os.stat(path))
    return told(os.lstat(path))


def names(path):
    # type: (bytes) -> list[bytes]
    return os.listdir(path)     # type: ignore[return-value]


def statuses(path):
    # type: (bytes) -> list[Any]
    """Return the names in a folder, each with what lstat() and stat() say, None where they fail."""
    found = []
    for name in os.listdir(path):
        entry = join(path, name)    # type: ignore[arg-type]
        try:
            own = os.lstat(entry)
        except OSError:
            continue
        behind = told(own)  # type: Any
        if stat.S_ISLNK(own.st_mode):
            try:
                behind = told(os.stat(entry))
            except OSError:
                behind = None
        found.append((name, told(own), behind))
    return found


def make_folder(path, mode, parents, exists):
    # type: (bytes, int, bool, bool) -> None
    try:
        os.mkdir(path, mode)
    except OSError:
        number = sys.exc_info()[1].errno  # type: ignore[union-attr]
        above = os.path.dirname(path.rstrip(transfer.SEPARATOR))
        if number == errno.ENOENT and parents and above not in (path, EMPTY):
            make_folder(above, int('777', 8), True, True)
            make_folder(path, mode, False, exists)
        elif not exists or not os.path.isdir(path):
            raise


def unlink(path, missing):
    # type: (bytes, bool) -> None
    try:
        os.unlink(path)
    except OSError:
        if not missing or sys.exc_info()[1].errno != errno.ENOENT:  # type: ignore[union-attr]
            raise


def touch(path, mode, exists):
    # type: (bytes, int, bool) -> None
    flags = os.O_WRONLY | os.O_CREAT | CLOEXEC
    if not exists:
        flags |= os.O_EXCL
    if exists:
        try:
            os.utime(path, None)
            return
        except OSError:
            if sys.exc_info()[1].errno != errno.ENOENT:  # type: ignore[union-attr]
                raise
    os.close(os.open(path, flags, mode))


def read_brief(path):
    # type: (bytes) -> Any
    """Return what is in a file, None if that is too long for one call."""
    fd = os.open(path, os.O_RDONLY | CLOEXEC)
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise failed(errno.EISDIR, os.strerror(errno.EISDIR), path)
        parts = []  # type: list[bytes]
        left = BRIEF + 1
        while left > 0:
            data = os.read(fd, left)
            if not data:
                return EMPTY.join(parts)
            parts.append(data)
            left -= len(data)
        return None
    finally:
        os.close(fd)


def owner(path):
    # type: (bytes) -> list[str]
    """Return the names of a file's owner and group."""
    import grp
    import pwd
    status = os.stat(path)
    found = []
    for table, number in (pwd.getpwuid, status.st_uid), (grp.getgrgid, status.st_gid):
        try:
            found.append(table(number)[0])
        except KeyError:
            found.append('')
    return found


def resolve(path, strict):
    # type: (bytes, bool) -> bytes
    if strict:
        os.stat(path)
    return os.path.realpath(path)


def remove_tree(path):
    # type: (bytes) -> None
    above, name = split(path)
    folder = open_folder(above)
    try:
        if not stat.S_ISDIR(folder.lstat(name).st_mode):
            raise failed(errno.ENOTDIR, 'Not a folder', path)
        remove(folder, name)
    finally:
        folder.close()


def match(root, patterns):
    # type: (bytes, list[bytes]) -> list[bytes]
    """Return the paths below `root` that fit, relative to it; ``**`` is any number of folders."""
    found = []  # type: list[bytes]
    descend(root, EMPTY, patterns, found, {})
    return found


def descend(root, below, patterns, found, seen):
    # type: (bytes, bytes, list[bytes], list[bytes], Any) -> None
    if (below, len(patterns)) in seen:
        return
    seen[below, len(patterns)] = True
    if not patterns:
        found.append(below)
        return
    pattern, rest = patterns[0], patterns[1:]
    place = root
    if below:
        place = join(root, below)
    if pattern == DEEP:
        if rest:
            descend(root, below, rest, found, seen)
        elif below not in found:
            found.append(below)
    try:
        entries = os.listdir(place)
    except OSError:
        return
    entries.sort()
    for name in entries:
        path = name     # type: Any
        if below:
            path = join(below, path)
        inside = join(root, path)
        if pattern == DEEP:
            if os.path.isdir(inside) and not os.path.islink(inside):
                descend(root, path, patterns, found, seen)
        elif fnmatch.fnmatchcase(name, pattern):    # type: ignore[type-var]
            if not rest:
                descend(root, path, rest, found, seen)
            elif os.path.isdir(inside):
                descend(root, path, rest, found, seen)


def copy(path, other):
    # type: (bytes, bytes) -> None
    """Copy a file here to another place here."""
    import shutil
    shutil.copyfile(path, other)
    shutil.copymode(path, other)


def home(path):
    # type: (bytes) -> bytes
    return os.path.expanduser(path)


def here():
    # type: () -> bytes
    try:
        return os.getcwdb()     # type: ignore[no-any-return]
    except AttributeError:
        return os.getcwd()  # type: ignore[return-value]


def set_time(path, when):
    # type: (bytes, int) -> None
    os.stat(path)
    set_times(path, when)


DOES = {
    'open': open_file, 'read': read_open, 'write': write_open, 'truncate': truncate_open, 'size': size_open,
    'sync': sync_open, 'close': close_open, 'stat': status_of, 'names': names, 'statuses': statuses,
    'mkdir': make_folder, 'rmdir': os.rmdir, 'unlink': unlink, 'rename': os.rename, 'symlink': os.symlink,
    'link': os.link, 'readlink': os.readlink, 'chmod': os.chmod, 'touch': touch, 'brief': read_brief,
    'owner': owner, 'resolve': resolve, 'rmtree': remove_tree, 'match': match, 'home': home, 'cwd': here,
    'utime': set_time, 'copy': copy,
}   # type: dict[str, Any]
