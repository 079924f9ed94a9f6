"""
Files of a context, as functions of plain values: opened, read, written, listed, changed.

Invariants:

* Each answer is ('done', value), or an OSError in values, see ``transfer.failure``.
* Paths and names are bytes.
* A file that was opened is open until it is closed, or its context ends; no program inherits it.
* Whoever uses a descriptor holds the lock of its file, so that nobody closes it meanwhile.
* Opening waits for nobody, also of a pipe.
* What a pipe or a device has nothing for, or no room, is waited for in ``stand``, and nowhere else: there alone a call
  can be interrupted, and nothing is lost.

Fetched with the first open file or path.  Entered by whoever carries out calls.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

import errno
import fcntl
import fnmatch
import os
import select
import stat
import struct
import sys

from econtext.child import folders, renewal, transfer
from econtext.child.folders import NONBLOCK, open_folder, remove, set_times, split
from econtext.child.transfer import attempt, failed, join
from econtext.core.loop import allocate_lock
from econtext.core.wire import EMPTY

BRIEF = 1 << 18     # bytes of a file that are read in one call
MOST = 1 << 20
TICK = 0.1          # seconds between looks: outside of Python no thread but the main one can be interrupted
# number -> [descriptor or None, lock]
OPEN = {}   # type: dict[int, list[Any]]
MAGIC = [letter.encode('ascii') for letter in '*?[']
DEEP = '**'.encode('ascii')


@renewal.register
def after_fork():
    # type: () -> None
    """Nobody knows the numbers of files that were opened before."""
    OPEN.clear()


def do(name, *args):
    # type: (str, Any) -> tuple[Any, ...]
    """Carry out the function `name` of DOES."""
    return attempt(DOES[str(name)], *args)


# Open files.


def open_file(path, flags, mode, number=None):
    # type: (bytes, dict[str, bool], int, Any) -> tuple[int, int, bool]
    """
    Open a file; return its number, its size, and whether one can seek in it.

    Whoever gives a `number` can close what was opened for an answer that never came.
    """
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
    fd = folders.open_file(path, how | NONBLOCK, mode)
    try:
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode):
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~NONBLOCK)
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
    if number is None:
        number = struct.unpack('>Q', transfer.NUL + os.urandom(7))[0]
    OPEN[number] = [fd, allocate_lock()]
    return number, status.st_size, seekable


def hold(number):
    # type: (int) -> list[Any]
    """Return an open file, whose lock is ours."""
    opened = OPEN.get(number)
    if opened is not None:
        opened[1].acquire()
        if opened[0] is not None:
            return opened
        opened[1].release()
    raise failed(errno.EBADF, os.strerror(errno.EBADF))


def stand(fd, reads):
    # type: (int, bool) -> None
    """Wait until there is something to read, or room to write. A call may be called away from here, see ``ending``."""
    while 1:
        try:
            if hasattr(select, 'poll'):
                poller = select.poll()
                poller.register(fd, reads and select.POLLIN or select.POLLOUT)
                if poller.poll(int(TICK * 1000)):
                    return
            elif select.select(reads and [fd] or [], not reads and [fd] or [], [], TICK) != ([], [], []):
                return
        except select.error:
            if sys.exc_info()[1].args[0] != errno.EINTR:  # type: ignore[union-attr]
                raise


def patient(fd, reads, act, *args):
    # type: (int, bool, Callable[..., Any], Any) -> Any
    """
    Return what ``act(fd, *args)`` does, once that need not wait.

    So a pipe to which nobody writes has ended, as for whoever reads it plainly: nothing tells that ahead.
    """
    while 1:
        try:
            return act(fd, *args)
        except (IOError, OSError):
            if sys.exc_info()[1].errno not in (errno.EAGAIN, errno.EWOULDBLOCK):  # type: ignore[union-attr]
                raise
        stand(fd, reads)


def read_open(number, at, size):
    # type: (int, int, int) -> bytes
    """Return up to `size` bytes from `at`; from where it stands if that is negative."""
    opened = hold(number)
    try:
        fd = opened[0]
        if at >= 0:
            os.lseek(fd, at, 0)
        parts = []
        size = min(size, MOST)
        while size > 0:
            data = patient(fd, True, transfer.read, size)
            parts.append(data)
            size -= len(data)
            if not data or at < 0:
                break
        return EMPTY.join(parts)
    finally:
        opened[1].release()


def write_open(number, at, data):
    # type: (int, int, bytes) -> int
    """Write all of `data` at `at`; where it stands if that is negative. Return where that ends."""
    opened = hold(number)
    try:
        fd = opened[0]
        if at >= 0:
            os.lseek(fd, at, 0)
        while data:
            data = data[patient(fd, False, transfer.write, data):]
        if at >= -1:
            try:
                return os.lseek(fd, 0, 1)
            except OSError:
                if sys.exc_info()[1].errno != errno.ESPIPE:  # type: ignore[union-attr]
                    raise
        return 0
    finally:
        opened[1].release()


def truncate_open(number, size):
    # type: (int, int) -> None
    opened = hold(number)
    try:
        os.ftruncate(opened[0], size)
    finally:
        opened[1].release()


def size_open(number):
    # type: (int) -> int
    opened = hold(number)
    try:
        return os.fstat(opened[0]).st_size
    finally:
        opened[1].release()


def sync_open(number):
    # type: (int) -> None
    opened = hold(number)
    try:
        os.fsync(opened[0])
    finally:
        opened[1].release()


def close_open(number):
    # type: (int) -> None
    opened = hold(number)
    try:
        fd, opened[0] = opened[0], None
        OPEN.pop(number, None)
    finally:
        opened[1].release()
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
            if sys.exc_info()[1].errno != errno.ENOENT:  # type: ignore[union-attr]
                raise
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
    missing = [path]
    while missing:
        each = missing[-1]
        last = len(missing) == 1
        wanted = int('777', 8)
        if last:
            wanted = mode
        try:
            os.mkdir(each, wanted)
        except OSError:
            number = sys.exc_info()[1].errno  # type: ignore[union-attr]
            above = os.path.dirname(each.rstrip(transfer.SEPARATOR))
            if number == errno.ENOENT and parents and above not in (each, EMPTY):
                missing.append(above)
                continue
            if (last and not exists) or not os.path.isdir(each):
                raise
        missing.pop()


def unlink(path, missing):
    # type: (bytes, bool) -> None
    try:
        os.unlink(path)
    except OSError:
        if not missing or sys.exc_info()[1].errno != errno.ENOENT:  # type: ignore[union-attr]
            raise


def touch(path, mode, exists):
    # type: (bytes, int, bool) -> None
    flags = os.O_WRONLY | os.O_CREAT | NONBLOCK
    if not exists:
        flags |= os.O_EXCL
    if exists:
        try:
            os.utime(path, None)
            return
        except OSError:
            if sys.exc_info()[1].errno != errno.ENOENT:  # type: ignore[union-attr]
                raise
    os.close(folders.open_file(path, flags, mode))


def read_brief(path):
    # type: (bytes) -> Any
    """Return what is in a file, None if that is too long for one call."""
    fd = folders.open_file(path, os.O_RDONLY | NONBLOCK)
    try:
        kind = stat.S_IFMT(os.fstat(fd).st_mode)
        if kind == stat.S_IFDIR:
            raise failed(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if kind != stat.S_IFREG:
            # One call might wait for it without end.
            return None
        parts = []  # type: list[bytes]
        left = BRIEF + 1
        while left > 0:
            data = transfer.read(fd, left)
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
    """
    Return the paths below `root` that fit, relative to it.

    ``**`` is any number of folders.  A part without a wildcard is looked up, in folders that cannot be read too.
    """
    found = []  # type: list[bytes]
    # (path, patterns before the one that is next)
    seen = {}   # type: dict[tuple[bytes, int], bool]
    todo = [(EMPTY, 0)]
    while todo:
        step = todo.pop()
        if step in seen:
            continue
        seen[step] = True
        below, at = step
        if at == len(patterns):
            found.append(below)
            continue
        steps = []
        if patterns[at] == DEEP:
            steps.append((below, at + 1))
        for name in candidates(root, below, patterns[at]):
            path = name
            if below:
                path = join(below, name)
            if patterns[at] == DEEP:
                if kind_of(join(root, path), os.lstat) == stat.S_IFDIR:
                    steps.append((path, at))
            elif at + 1 == len(patterns) or kind_of(join(root, path), os.stat) == stat.S_IFDIR:
                steps.append((path, at + 1))
        steps.reverse()
        todo.extend(steps)
    return found


def candidates(root, below, pattern):
    # type: (bytes, bytes, bytes) -> list[bytes]
    """Return the names in a folder that fit a part of a pattern, in order."""
    place = root
    if below:
        place = join(root, below)
    if not [letter for letter in MAGIC if letter in pattern]:
        if kind_of(join(place, pattern), os.lstat) is None:
            return []
        return [pattern]
    try:
        entries = os.listdir(place)     # type: Any
    except OSError:
        return []
    entries.sort()
    if pattern == DEEP:
        return entries  # type: ignore[no-any-return]
    return [name for name in entries if fits(name, pattern)]


def kind_of(path, look):
    # type: (bytes, Any) -> int | None
    try:
        return stat.S_IFMT(look(path).st_mode)
    except OSError:
        return None


def fits(name, pattern):
    # type: (Any, Any) -> bool
    """Does a name fit a pattern, character by character?"""
    try:
        return fnmatch.fnmatchcase(decoded(name), decoded(pattern))
    except UnicodeError:
        # Python 2 has no text for such a name.
        return fnmatch.fnmatchcase(name, pattern)


def decoded(name):
    # type: (bytes) -> str
    try:
        return name.decode('utf-8', 'surrogateescape')
    except LookupError:
        return name.decode('utf-8')


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
    'utime': set_time,
}   # type: dict[str, Any]
