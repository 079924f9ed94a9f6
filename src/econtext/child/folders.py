"""
Folders, and what is done to the names in them.

Whoever may write into a folder can replace a name in it by a link while another program works there.  So a path
is looked up once; then names are used by way of the descriptor of their folder, and files by their own.

Invariants:

* Where Python can (3.3), each name is used by way of the descriptor of its folder.  Before that, by its path,
  after a look whether the folder is still the one that was entered.
* No link is followed, except on the way to the folder that the user named.
* A folder below it is entered only if it is the one that was seen there before.
* At most a few descriptors are open, however deep a tree is.
* No program that is started meanwhile inherits a descriptor.

Fetched with the first transfer or path; runs in the controller too.  One thread for each folder.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import errno
import os
import stat
import sys
import time
try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

from econtext.child import transfer
from econtext.child.transfer import failed, join
from econtext.core.wire import EMPTY

CLOEXEC = getattr(os, 'O_CLOEXEC', 0)
NOFOLLOW = getattr(os, 'O_NOFOLLOW', 0)
NONBLOCK = getattr(os, 'O_NONBLOCK', 0)
FOLDER = os.O_RDONLY | getattr(os, 'O_DIRECTORY', 0) | NONBLOCK
# Opens a folder that one may search, and not read.
SEARCH = getattr(os, 'O_PATH', 0)
BY_NAME = getattr(os, 'supports_dir_fd', ())    # type: Any
BY_DESCRIPTOR = getattr(os, 'supports_fd', ())  # type: Any
USES_DESCRIPTORS = bool(BY_NAME) and not [
    each for each in (os.open, os.stat, os.mkdir, os.unlink, os.rmdir, os.rename, os.symlink, os.readlink, os.chown)
    if each not in BY_NAME] and not [
    each for each in (os.listdir, os.chmod, os.chown, os.utime) if each not in BY_DESCRIPTOR]
# And open files by theirs, which no program inherits.
QUICK = USES_DESCRIPTORS and bool(CLOEXEC) and hasattr(os, 'fchmod')
DOT = '.'.encode('ascii')
UP = '..'.encode('ascii')
anything = os   # type: Any


def open_file(path, flags, mode=int('600', 8), folder=None):
    # type: (bytes, int, int, Any) -> int
    """Open a file that no program inherits, perhaps by its name in the folder of a descriptor."""
    if folder is None:
        fd = os.open(path, flags | CLOEXEC, mode)   # type: int
    else:
        fd = anything.open(path, flags | CLOEXEC, mode, **{str('dir_fd'): folder})
    if not CLOEXEC and fcntl is not None:
        fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    return fd


def identity(status):
    # type: (Any) -> tuple[int, int]
    return status.st_dev, status.st_ino


class Folder(object):
    """An open folder: `fd` is None where only its path can be used, and `which` its identity."""

    def __init__(self, path, fd, which):
        # type: (bytes, Any, tuple[int, int]) -> None
        self.path = path    # empty for the current directory
        # What stands before the names of entries in their paths.
        self.before = path and join(path, EMPTY)  # type: bytes
        self.fd = fd  # type: Any
        self.which = which
        self.place = None   # type: Any     # whatever stands for it elsewhere
        # How lstat() is told of the folder.
        self.look = {str('dir_fd'): fd, str('follow_symlinks'): False}  # type: dict[str, Any]
        # And rename().
        self.both = {str('src_dir_fd'): fd, str('dst_dir_fd'): fd}  # type: dict[str, Any]

    def close(self):
        # type: () -> None
        fd, self.fd = self.fd, None
        self.look = self.both = {}
        if fd is not None:
            os.close(fd)

    def full(self, name):
        # type: (bytes) -> bytes
        """Return the path of an entry."""
        return self.before + name

    def look_again(self):
        # type: () -> None
        """Raise where the path leads to another folder by now."""
        if identity(os.stat(self.path or DOT)) != self.which:
            raise replaced(self.path)

    def use(self, function, name, *args):
        # type: (Any, bytes, Any) -> Any
        """Call a function of ``os`` for an entry."""
        try:
            if self.fd is None:
                self.look_again()
                return function(self.full(name), *args)
            return function(name, *args, **{str('dir_fd'): self.fd})
        except OSError:
            raise self.told(name)

    def told(self, name):
        # type: (bytes) -> Any
        """Return the error that is being handled, with the path of an entry."""
        error = sys.exc_info()[1]   # type: Any
        if error.errno == errno.ESTALE:
            return error
        return failed(error.errno, error.strerror, self.full(name))

    # Entries.

    def lstat(self, name):
        # type: (bytes) -> Any
        if self.fd is None:
            return self.use(os.lstat, name)
        try:
            return anything.stat(name, **self.look)
        except OSError:
            raise self.told(name)

    def seen(self, name):
        # type: (bytes) -> Any
        """Return what lstat() says, None if nothing is there."""
        try:
            if self.fd is None:
                self.look_again()
                return os.lstat(self.full(name))
            return anything.stat(name, **self.look)
        except OSError:
            if sys.exc_info()[1].errno != errno.ENOENT:  # type: ignore[union-attr]
                raise self.told(name)
            return None

    def open(self, name, flags, mode=int('600', 8)):
        # type: (bytes, int, int) -> int
        """Open a file; no link is followed, and no pipe waited for."""
        flags |= NOFOLLOW | NONBLOCK
        try:
            if self.fd is None:
                self.look_again()
                fd = open_file(self.full(name), flags, mode)
            else:
                fd = open_file(name, flags, mode, self.fd)
        except OSError:
            raise self.told(name)
        return fd

    def mkdir(self, name, mode):
        # type: (bytes, int) -> None
        self.use(os.mkdir, name, mode)

    def unlink(self, name):
        # type: (bytes) -> None
        self.use(os.unlink, name)

    def rmdir(self, name):
        # type: (bytes) -> None
        self.use(os.rmdir, name)

    def readlink(self, name):
        # type: (bytes) -> bytes
        return self.use(os.readlink, name)  # type: ignore[no-any-return]

    def symlink(self, target, name):
        # type: (bytes, bytes) -> None
        self.use(lambda path, **where: anything.symlink(target, path, **where), name)

    def rename(self, name, other):
        # type: (bytes, bytes) -> None
        """Give an entry another name in this folder."""
        try:
            if self.fd is None:
                self.look_again()
                os.rename(self.full(name), self.full(other))
            else:
                anything.rename(name, other, **self.both)
        except OSError:
            raise self.told(other)

    def own_link(self, name, uid, gid):
        # type: (bytes, int, int) -> None
        if self.fd is None:
            self.use(os.lchown, name, uid, gid)
        else:
            self.use(
                lambda path, **where: anything.chown(path, uid, gid, **dict(where, follow_symlinks=False)), name)

    def names(self):
        # type: () -> list[bytes]
        """Return the names of all entries."""
        try:
            if self.fd is None:
                self.look_again()
                return os.listdir(self.path or DOT)     # type: ignore[return-value]
            fd = open_file(DOT, FOLDER, 0, self.fd)
            try:
                coding = sys.getfilesystemencoding()
                return [name.encode(coding, 'surrogateescape') for name in anything.listdir(fd)]
            finally:
                os.close(fd)
        except OSError:
            error = sys.exc_info()[1]   # type: Any
            raise failed(error.errno, error.strerror, self.path)

    # Other folders.

    def again(self):
        # type: () -> Folder
        """Return this folder, opened a second time."""
        fd = None
        if self.fd is not None:
            fd = os.dup(self.fd)
            if fcntl is not None:
                fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        return Folder(self.path, fd, self.which)

    def child(self, name):
        # type: (bytes) -> Folder
        """Open a folder in this one."""
        path = self.full(name)
        if self.fd is None:
            status = self.lstat(name)
            if not stat.S_ISDIR(status.st_mode):
                raise failed(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            return Folder(path, None, identity(status))
        try:
            return opened(path, name, NOFOLLOW, self.fd)
        except OSError:
            raise self.told(name)

    def parent(self, which):
        # type: (tuple[int, int]) -> Folder
        """Open the folder that has this one, which must be `which`."""
        path = os.path.dirname(self.path)
        if self.fd is None:
            return Folder(path, None, which)
        found = opened(path, UP, 0, self.fd)
        if found.which != which:
            found.close()
            raise replaced(self.path)
        return found

    # The folder itself.

    def status(self):
        # type: () -> Any
        if self.fd is None:
            self.look_again()
            return os.stat(self.path or DOT)
        return os.fstat(self.fd)

    def change(self, function, *args):
        # type: (Any, Any) -> None
        """Change what the folder is like, by a function that takes a path or, where there are some, a descriptor."""
        try:
            if self.fd is None:
                self.look_again()
                function(self.path or DOT, *args)
                return
            try:
                function(self.fd, *args)
            except OSError:
                if sys.exc_info()[1].errno != errno.EBADF:  # type: ignore[union-attr]
                    raise
                # One that may only be searched; its descriptor has a name, which leads nowhere else.
                function('/proc/self/fd/%d' % self.fd, *args)
        except OSError:
            error = sys.exc_info()[1]   # type: Any
            raise failed(error.errno, error.strerror, self.path)

    def chmod(self, mode):
        # type: (int) -> None
        self.change(os.chmod, mode)

    def chown(self, uid, gid):
        # type: (int, int) -> None
        self.change(os.chown, uid, gid)

    def set_times(self, when):
        # type: (int) -> None
        self.change(set_times, when)

    def sync(self):
        # type: () -> None
        """Have a new name in the folder outlive a loss of power, where the system can say so."""
        try:
            if self.fd is None:
                fd = open_file(self.path or DOT, FOLDER)
            else:
                fd = open_file(DOT, FOLDER, 0, self.fd)
        except OSError:
            # One that cannot be read.
            return
        try:
            try:
                os.fsync(fd)
            except OSError:
                # Some file systems sync no folders.
                pass
        finally:
            os.close(fd)

    # Files that are open, by their descriptor; before Python 3.3 by their name, if it still is theirs.

    def path_of(self, name, fd):
        # type: (bytes, int) -> bytes
        """Return the path of an open file, which is still that of its name."""
        if identity(self.lstat(name)) != identity(os.fstat(fd)):
            raise replaced(self.full(name))
        return self.full(name)

    def set_mode(self, name, fd, mode):
        # type: (bytes, int, int) -> None
        if hasattr(os, 'fchmod'):
            os.fchmod(fd, mode)
        else:
            os.chmod(self.path_of(name, fd), mode)

    def set_owner(self, name, fd, uid, gid):
        # type: (bytes, int, int, int) -> None
        if hasattr(os, 'fchown'):
            os.fchown(fd, uid, gid)
        else:
            os.chown(self.path_of(name, fd), uid, gid)

    def set_file_times(self, name, fd, when):
        # type: (bytes, int, int) -> None
        if os.utime in BY_DESCRIPTOR:
            set_times(fd, when)
        else:
            set_times(self.path_of(name, fd), when)


def replaced(path):
    # type: (bytes) -> Any
    return failed(errno.ESTALE, 'It was replaced by another during the transfer', path)


def opened(path, name, flags, above):
    # type: (bytes, bytes, int, Any) -> Folder
    """Open a folder by `name`, in the folder of the descriptor `above`."""
    try:
        fd = open_file(name, FOLDER | flags, 0, above)
    except OSError:
        if sys.exc_info()[1].errno != errno.EACCES or not SEARCH:  # type: ignore[union-attr]
            raise
        fd = open_file(name, FOLDER | flags | SEARCH, 0, above)
    try:
        return Folder(path, fd, identity(os.fstat(fd)))
    except:
        os.close(fd)
        raise


def open_folder(path):
    # type: (bytes) -> Folder
    """Open a folder that the user named, by whichever links; an empty path is the current directory."""
    if USES_DESCRIPTORS:
        try:
            return opened(path, path or DOT, 0, None)
        except OSError:
            if sys.exc_info()[1].errno != errno.EACCES:  # type: ignore[union-attr]
                raise
    status = os.stat(path or DOT)
    if not stat.S_ISDIR(status.st_mode):
        raise failed(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    return Folder(path, None, identity(status))


def remove(folder, name):
    # type: (Folder, bytes) -> int
    """Remove a file, or a folder with all that is in it; no link is followed. Return how many entries that were."""
    status = folder.seen(name)
    if status is None:
        return 0
    if not stat.S_ISDIR(status.st_mode):
        folder.unlink(name)
        return 1
    count = 0
    current = folder.child(name)
    try:
        # (name, identity of the folder above, names that are left)
        stack = [(name, folder.which, current.names())]
        while stack:
            name, above, left = stack[-1]
            if left:
                each = left.pop()
                status = current.seen(each)
                if status is None:
                    continue
                if not stat.S_ISDIR(status.st_mode):
                    current.unlink(each)
                    count += 1
                    continue
                below = current.child(each)
                current.close()
                above, current = current.which, below
                stack.append((each, above, current.names()))
            else:
                stack.pop()
                higher = current.parent(above)
                current.close()
                current = higher
                current.rmdir(name)
                count += 1
    finally:
        current.close()
    return count


def located(path):
    # type: (bytes) -> bytes
    """Return `path` with what ``~`` stands for here."""
    tilde = '~'.encode('ascii')
    if path[:1] == tilde:
        expanded = os.path.expanduser(path)
        if expanded[:1] == tilde:
            raise failed(
                errno.ENOENT, 'No such user, so no home directory; ./ in front means a file of this name', path)
        path = expanded
    return path


def split(path):
    # type: (bytes) -> tuple[bytes, bytes]
    """Return the path of the folder that has a file or folder, and its name there."""
    folder, name = os.path.split(path.rstrip(transfer.SEPARATOR))
    if name in transfer.BAD_NAMES:
        folder, name = os.path.split(os.path.realpath(path))
        if not name:
            raise failed(errno.EBUSY, os.strerror(errno.EBUSY), path)
    return folder, name


def set_times(path, when):
    # type: (Any, int) -> None
    """Say when a file was changed, in nanoseconds; `path` may be a descriptor from Python 3.3 on."""
    now = time.time()
    try:
        anything.utime(path, **{str('ns'): (int(now * 1e9), when)})
    except TypeError:
        # Before Python 3.3.
        os.utime(path, (now, when / 1e9))


# The folders of a target, entered one after the other.


class Place(object):
    """A folder of the target: its name in the one above, and what it was as it was entered."""

    def __init__(self, above, name, path, which):
        # type: (Any, bytes, bytes, tuple[int, int]) -> None
        self.above = above
        self.name = name
        self.path = path
        self.which = which


class Target(object):
    """
    The open folders of the target of a transfer.

    A batch of files is listed before the batches ahead of it are written, so the receiver is in two folders at once:
    that of the entry that was listed last, and that of the file that is served.  A folder is entered again only if it
    is the one that was entered first.
    """

    def __init__(self):
        # type: () -> None
        # That of the target, that of the entry that was listed last, and that of the file that is served.
        self.root = None  # type: Any
        self.listing = None  # type: Any
        self.serving = None  # type: Any

    def begin(self, folder, path):
        # type: (Any, bytes) -> Place
        """Take `folder` for that of the target."""
        self.root = folder
        place = folder.place = Place(None, EMPTY, path, folder.which)
        return place

    def enter(self, name, above):
        # type: (bytes, Place) -> Any
        """Enter a folder of the one that is listed, which has the place `above`; return it, for the listing."""
        folder = self.listing
        child = folder.child(name)
        child.place = Place(above, name, folder.full(name), child.which)
        folder.close()
        self.listing = child
        return child

    def listed_in(self, place):
        # type: (Place) -> Any
        """Return the open folder of what is listed."""
        folder = self.listing
        if folder is None or folder.place is not place:
            self.listing = None
            folder = self.listing = self.go(folder, place)
        return folder

    def served_in(self, place):
        # type: (Place) -> Any
        """Return the open folder of what is served."""
        folder = self.serving
        if folder is None or folder.place is not place:
            self.serving = None
            folder = self.serving = self.go(folder, place)
        return folder

    def go(self, folder, place):
        # type: (Any, Place) -> Any
        """Return the open folder of `place`; from `folder`, which is closed then."""
        if folder is not None and folder.place.above is place:
            try:
                found = folder.parent(place.which)
            finally:
                folder.close()
            found.place = place
            return found
        way = []    # type: list[Place]
        step = place    # type: Any
        while step.above is not None and not (folder is not None and step is folder.place):
            way.append(step)
            step = step.above
        if folder is None or step is not folder.place:
            if folder is not None:
                folder.close()
            folder = self.root.again()
        while way:
            step = way.pop()
            try:
                try:
                    found = folder.child(step.name)
                except OSError:
                    if sys.exc_info()[1].errno in (  # type: ignore[union-attr]
                            errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                        raise replaced(step.path)
                    raise
            finally:
                folder.close()
            if found.which != step.which:
                found.close()
                raise replaced(step.path)
            folder = found
        folder.place = place
        return folder

    def close(self):
        # type: () -> None
        for folder in self.listing, self.serving, self.root:
            if folder is not None:
                folder.close()
        self.listing = self.serving = self.root = None
