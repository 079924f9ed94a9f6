"""
Drafts: each file of a transfer is written beside its place, and renamed into its place once it is whole.

A draft gets there the owner and the mode that the file is to have.

Invariants:

* Where a file stood stands the old one or the new one, whole, whatever fails when.
* A draft has a name of its own, and nobody but its owner can read it.
* A draft that is given up is removed, unless it is to be resumed; so is one whose thread ends with its process.
* A draft to be resumed is written by one transfer alone, of the user who began it.
* A file that replaces another keeps its owner and mode, where that is allowed; not the bits that give rights.
* In a folder that everybody may write into, nobody gets a file by having put one there before.
* The umask of the program is not touched.

Fetched with the first transfer; runs in the controller too.  One thread for each draft.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import atexit
import errno
import os
import stat
import struct
import sys
try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

from econtext.child import renewal, transfer
from econtext.child.folders import DOT, identity, set_times
from econtext.child.transfer import failed

NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL
LONGEST = 180       # bytes of a name that are kept in that of its draft
PART = '.part'.encode('ascii')
PRIVATE = int('600', 8)
SAFE_MODE = int('777', 8)
MOST_NUMBER = (1 << 32) - 2     # of a user or group
# Where another has what one would resume, or one cannot have it.
TAKEN = errno.EEXIST, errno.ENOENT, errno.ELOOP, errno.EACCES, errno.ENXIO, errno.EISDIR
# Drafts by their paths: removed where a thread that ends with its process could not.
DRAFTS = {}  # type: dict[bytes, bool]
HOOKED = []  # type: list[bool]


def sweep():
    # type: () -> None
    for path in list(DRAFTS):
        DRAFTS.pop(path, None)
        try:
            os.unlink(path)
        except OSError:
            pass


@renewal.register
def after_fork():
    # type: () -> None
    """The drafts are those of the other process; functions of ``atexit`` may have been forgotten."""
    DRAFTS.clear()
    del HOOKED[:]


def note(path):
    # type: (bytes) -> None
    """Have the draft at `path` removed at the end of this process, if it is still there."""
    if not HOOKED:
        HOOKED.append(True)
        atexit.register(sweep)
    DRAFTS[path] = True


class Draft(object):
    """A file that is being written in `folder`, by its descriptor `fd`."""

    placed = False  # type: bool

    def __init__(self, folder, name, fd, lasting, path=None):
        # type: (Any, bytes, int, bool, bytes | None) -> None
        self.folder = folder
        self.name = name
        self.path = path or folder.full(name)  # type: bytes
        self.fd = fd  # type: Any
        # Is it to be resumed, if the transfer breaks off?
        self.lasting = lasting

    def write(self, data):
        # type: (Any) -> None
        size = transfer.write(self.fd, data)
        while size < len(data):
            data = data[size:]
            size = transfer.write(self.fd, data)

    def skip(self, size):
        # type: (int) -> None
        """Leave a hole: what nobody writes takes no room."""
        os.lseek(self.fd, size, 1)

    def start_at(self, start):
        # type: (int) -> None
        """Go on behind what was written earlier; 0 forgets that."""
        if not start:
            os.ftruncate(self.fd, 0)
        os.lseek(self.fd, start, 0)

    def end_here(self):
        # type: () -> int
        """Cut off what an earlier transfer wrote behind this, or keep the hole at the end; return the size."""
        size = os.lseek(self.fd, 0, 1)
        if os.fstat(self.fd).st_size != size:
            os.ftruncate(self.fd, size)
        return size

    def place(self, name, durable):
        # type: (bytes, Any) -> None
        """Give the file its name."""
        fd = self.fd
        if durable:
            os.fsync(fd)
        if self.lasting:
            # Its lock ends with the last descriptor, so that one stays open until the file has its name.
            os.close(os.dup(fd))
        else:
            # Some file systems tell of a full disk only as a descriptor is closed.
            self.fd = None
            os.close(fd)
        self.folder.rename(self.name, name)
        self.placed = True
        DRAFTS.pop(self.path, None)
        if self.lasting:
            self.fd = None
            os.close(fd)
        if durable:
            self.folder.sync()

    def give_up(self):
        # type: () -> None
        """Close the file, and remove it, unless there is something to be resumed."""
        fd, self.fd = self.fd, None
        try:
            if not self.placed and (not self.lasting or not os.fstat(fd).st_size):
                discard(self.folder, self.name)
        finally:
            if fd is not None:
                os.close(fd)


def new_draft(folder, name):
    # type: (Any, bytes) -> Draft
    """Begin a file that is to have `name`."""
    beside = name_beside(name)
    path = folder.full(beside)
    note(path)
    try:
        return Draft(folder, beside, folder.open(beside, NEW, PRIVATE), False, path)
    except OSError:
        DRAFTS.pop(path, None)
        error = sys.exc_info()[1]   # type: Any
        raise failed(error.errno, error.strerror, folder.full(name))


def lasting_draft(folder, name):
    # type: (Any, bytes) -> Draft
    """Begin a file that is to have `name`, and can be resumed if nobody else writes it."""
    beside = name_to_resume(name)
    for flags in NEW, os.O_RDWR:
        fd = None
        try:
            fd = claim(folder, beside, flags)
        except OSError:
            if sys.exc_info()[1].errno not in TAKEN:  # type: ignore[union-attr]
                raise
        if fd is not None:
            os.ftruncate(fd, 0)
            return Draft(folder, beside, fd, True)
    return new_draft(folder, name)


def write_new(folder, name, data, mode, when):
    # type: (Any, bytes, bytes, int, int) -> None
    """
    Write a small file, all of which is here, where none was seen.

    It is a draft like all others, in fewer steps: with many small files those take longer than the system does.
    For systems with descriptors of folders, see ``folders.QUICK``.
    """
    beside = name_beside(name)
    path = folder.full(beside)
    note(path)
    fd = None   # type: Any
    try:
        try:
            fd = folder.open(beside, NEW, PRIVATE)
            size = transfer.write(fd, data)
            while size < len(data):
                data = data[size:]
                size = transfer.write(fd, data)
            folder.set_mode(beside, fd, mode)
            set_times(fd, when)
            # Some file systems tell of a full disk only as a descriptor is closed.
            last, fd = fd, None
            os.close(last)
            folder.rename(beside, name)
            DRAFTS.pop(path, None)
        except OSError:
            error = sys.exc_info()[1]   # type: Any
            raise failed(error.errno, error.strerror, folder.full(name))
    finally:
        if path in DRAFTS:
            if fd is not None:
                os.close(fd)
            discard(folder, beside)


def discard(folder, name):
    # type: (Any, bytes) -> None
    """Remove what was written beside its place."""
    try:
        folder.unlink(name)
    except OSError:
        pass
    DRAFTS.pop(folder.full(name), None)


# Names.


def shortened(name):
    # type: (bytes) -> bytes
    """Return a name that has room for more behind it, another for each one, cut between characters of UTF-8."""
    if len(name) <= LONGEST:
        return name
    end = LONGEST
    while end > LONGEST - 4 and 128 <= ord(name[end:end + 1]) < 192:
        end -= 1
    return name[:end] + DOT + transfer.SUMS[transfer.KNOWN[0]](name).hexdigest()[:16].encode('ascii')


def name_beside(name):
    # type: (bytes) -> bytes
    """Return a name of its own for what stands beside `name`."""
    return DOT + shortened(name) + DOT + ('%016x' % struct.unpack('>Q', os.urandom(8))[0]).encode('ascii') + PART


def name_to_resume(name):
    # type: (bytes) -> bytes
    """Return the name of what a transfer that broke left of `name`, beside it."""
    return DOT + shortened(name) + PART


# What another transfer may write at the same time.


def claim(folder, name, flags):
    # type: (Any, bytes, int) -> Any
    """
    Open what is left of a file, or begin it, for us alone.

    Return None where it is another's, or another transfer has it.  That one may have renamed it between our
    opening and locking it: so it is ours only if it has its name still.
    """
    fd = folder.open(name, flags, PRIVATE)
    ours = False
    try:
        locked = lock(fd)
        if locked is None:
            # Nobody can lock a file here.
            if flags & os.O_CREAT:
                folder.unlink(name)
        elif locked:
            status = os.fstat(fd)
            now = folder.seen(name)
            ours = bool(
                stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1
                and now is not None and identity(now) == identity(status))
    finally:
        if not ours:
            os.close(fd)
    if ours:
        return fd
    return None


def lock(fd):
    # type: (int) -> Any
    """Take a file for ourselves; False if another transfer has it, None where the file system has no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except (IOError, OSError):
        if sys.exc_info()[1].errno in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES):  # type: ignore[union-attr]
            return False
        return None


# Owners and modes.


class Owners(object):
    """Gives files the owner that was `asked` for: a text, or True for the one that each has at the sender."""

    def __init__(self, asked, path):
        # type: (Any, bytes) -> None
        self.asked = asked
        self.path = path    # that of the target, for errors
        self.ids = {}       # type: dict[tuple[str, str], Any]

    def give(self, change, extra, status):
        # type: (Any, bytes, Any) -> bool
        """
        Give a file, of which `status` is known, its owner by `change`, where that is allowed.

        Its group comes first: that is allowed to more than root.  Return whether anything was changed.
        """
        asked = self.asked
        if asked is True:
            asked = extra.decode('utf-8', 'replace')
        user, group = (asked.split(':', 1) + [''])[:2]
        uid, gid = self.number('pwd', 'getpwnam', user), self.number('grp', 'getgrnam', group)
        changed = False
        for one, other, now in (-1, gid, status.st_gid), (uid, -1, status.st_uid):
            if max(one, other) in (-1, now):
                continue
            try:
                change(one, other)
                changed = True
            except OSError:
                if self.asked is not True:
                    raise
        return changed

    def number(self, module, function, name):
        # type: (str, str, str) -> int
        if not name:
            return -1
        found = self.ids.get((module, name))
        if found is None:
            try:
                found = getattr(__import__(module), function)(name)[2]
            except (ImportError, KeyError, ValueError):
                if '0' <= min(name) and max(name) <= '9' and int(name) <= MOST_NUMBER:
                    found = int(name)
                elif self.asked is True:
                    found = -1
                else:
                    raise failed(errno.EINVAL, 'No user or group %s here' % name, self.path)
            self.ids[module, name] = found
        return found    # type: ignore[no-any-return]


def keep_owner(draft, was):
    # type: (Any, Any) -> None
    """Give a draft the owner of the file that it replaces, where that is allowed."""
    if was is None or not stat.S_ISREG(was.st_mode):
        return
    folder, name, fd = draft.folder, draft.name, draft.fd
    now = os.fstat(fd)
    if (now.st_uid, now.st_gid) == (was.st_uid, was.st_gid):
        return
    around = folder.status()
    if around.st_mode & stat.S_IWOTH and was.st_uid not in (around.st_uid, now.st_uid):
        # Anybody may have put that there, to read what comes.
        return
    for uid, gid in (-1, was.st_gid), (was.st_uid, -1):
        try:
            folder.set_owner(name, fd, uid, gid)
        except OSError:
            pass


def mode_of_old(folder, was):
    # type: (Any, Any) -> int
    """Return the mode of the file that is replaced, without what gives rights; else that of any new file."""
    if was is not None and stat.S_ISREG(was.st_mode):
        return stat.S_IMODE(was.st_mode) & SAFE_MODE
    # As a file of no bytes gets it, since asking for the umask changes it for all threads.
    name = name_beside(DOT)
    fd = folder.open(name, NEW, int('666', 8))
    try:
        return stat.S_IMODE(os.fstat(fd).st_mode)
    finally:
        os.close(fd)
        discard(folder, name)
