"""
The receiver of a transfer of files: compares what is listed with what is there, and writes what differs.

The strategy: a file is written beside its place under a name of its own, checked, and renamed
into its place.  The sender names entries of the folder that was entered last, so it cannot name a place
elsewhere; each folder was made or looked at here, and is looked at again before a file is written into it.

Invariants:

* Nothing is written outside of the target: names hold no separator, names of a folder ascend, so that none
  comes twice, and no symbolic link below the target is followed.
* Where a file stood stands the old one or the new one, whole and of the checksum that was sent, whatever
  fails when.  What was written beside it is removed, unless it is to be resumed.
* What stands there and is not listed stays, and a folder gives way to nothing else, unless `delete` is asked;
  then it is removed after all that came for its folder.
* Memory does not follow the number or the size of files.

Fetched with the first transfer; runs in the controller too.  One thread for each Receiver.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from econtext.core.transfer import Entry

import atexit
import errno
import os
import stat
import struct
import sys
import time
try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

from econtext.core import transfer
from econtext.core.transfer import (
    BEGIN, BLOCK, CHUNK, DIR, END, FILE, FINISH, GREETING, INDEX, KEPT, LEAVE, LINK, LIST, MANY, NOTHING,
    PIECE, PIECE_SIZE, RUN, SMALL, START, SUMS, VANISHED, ZEROS, Nonsense, check_name,
    close_in_time, failed, join, pack_needs, sum_of, time_of, unpack_entries)
from econtext.core.wire import EMPTY

BESIDE = (os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, 'O_NOFOLLOW', 0) | getattr(os, 'O_CLOEXEC', 0))
AGAIN = (os.O_RDWR | getattr(os, 'O_NOFOLLOW', 0) | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_CLOEXEC', 0))
READ = (os.O_RDONLY | getattr(os, 'O_NOFOLLOW', 0) | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_CLOEXEC', 0))
LONGEST = 180       # bytes of a name that are kept in that of what stands beside it
PART = '.part'.encode('ascii')
DOT = '.'.encode('ascii')
utime = os.utime    # type: Any
SAFE_MODE = int('777', 8)
EVERY_MODE = int('7777', 8)
PRIVATE = int('600', 8)
OPEN_TO_OWNER = int('700', 8)
# Beside files: removed where a thread that ends with its process could not.
BESIDES = {}  # type: dict[bytes, bool]


def sweep():
    # type: () -> None
    for path in list(BESIDES):
        discard(path)


atexit.register(sweep)


def discard(path):
    # type: (bytes) -> None
    BESIDES.pop(path, None)
    try:
        os.unlink(path)
    except OSError:
        pass


class Receiver(object):
    """Writes what comes through `port` to `target`, or into `file`."""

    def __init__(self, port, target, options, watch=None, file=None):
        # type: (Any, bytes, dict[str, Any], Any, Any) -> None
        self.port = port
        self.target = target
        self.file = file
        self.name = options.get('name')  # type: Any
        self.into = options.get('into', False)  # type: Any
        self.mode = options.get('mode')  # type: Any
        self.modes = options.get('modes', True)  # type: Any
        self.times = options.get('times', True)  # type: Any
        self.owner = options.get('owner')  # type: Any
        self.compare = options.get('compare')  # type: str | None
        if self.compare == 'always':
            self.compare = None
        self.delete = options.get('delete', False)  # type: Any
        self.resume = options.get('resume', False)  # type: Any
        self.durable = options.get('durable')  # type: bool | None
        self.most_mode = EVERY_MODE  # type: int
        if options.get('safe'):
            self.most_mode = SAFE_MODE
        self.watch = watch or transfer.Watch()  # type: Any
        self.algorithm = ''  # type: str
        self.batches = []   # type: list[list[Entry]]
        # (path, identity, names that were there, the last name that was listed)
        self.stack = []     # type: list[list[Any]]
        self.begun = False  # type: bool
        self.single = False  # type: bool
        self.checked = False  # type: bool
        self.tree = False  # type: bool
        self.now = None     # type: Any
        self.fd = None  # type: Any
        self.beside = None  # type: Any
        self.running = None  # type: Any
        self.path = target  # type: bytes
        self.files = 0  # type: int
        self.bytes = 0  # type: int
        self.same = 0  # type: int
        self.deleted = 0  # type: int
        self.digest = None  # type: Any
        self.ids = {}       # type: dict[tuple[str, str], Any]
        self.looked = EMPTY

    def run(self):
        # type: () -> dict[str, Any]
        """Take all; return what was done, in values."""
        try:
            data = self.port.get()
            if data[:1] != GREETING:
                raise Nonsense('no greeting')
            for name in data[1:100].decode('ascii', 'replace').split():
                if name in SUMS and not self.algorithm:
                    self.algorithm = str(name)
            if not self.algorithm:
                raise Nonsense('no checksum that is known here')
            takers = {LIST: self.take_list, SMALL: self.take_small, BEGIN: self.take_begin, CHUNK: self.take_chunk,
                      ZEROS: self.take_zeros, FINISH: self.take_finish, VANISHED: self.take_vanished,
                      KEPT: self.take_kept}
            while 1:
                data = self.port.get()
                if data[:1] == END:
                    break
                taker = takers.get(data[:1])
                if taker is None:
                    raise Nonsense('a message of no kind')
                try:
                    taker(data)
                except struct.error:
                    raise Nonsense('a message that is cut off')
            if self.batches or self.stack or not self.begun or self.now:
                raise Nonsense('an end before the end')
            self.watch.listed()
        finally:
            self.give_up()
        return {'path': self.path, 'files': self.files, 'bytes': self.bytes, 'same': self.same,
                'deleted': self.deleted, 'algorithm': self.algorithm, 'digest': self.digest}

    def give_up(self):
        # type: () -> None
        """Close and remove what was begun."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
            if self.beside in BESIDES:
                discard(self.beside)
        for batch in self.batches:
            for entry in batch:
                if entry.partial is not None:
                    os.close(entry.partial[0])
                    entry.partial = None

    # Listings.

    def take_list(self, data):
        # type: (bytes) -> None
        """Compare a batch with what is there, and say what is wanted of it."""
        if len(self.batches) >= MANY:
            raise Nonsense('more batches than were answered')
        batch = unpack_entries(data, 1)
        self.batches.append(batch)
        needs = []
        for index in range(len(batch)):
            entry = batch[index]
            if not self.begun:
                wanted = self.enter_root(entry)
            elif not self.stack:
                raise Nonsense('an entry of no folder')
            elif entry.kind == LEAVE:
                wanted = self.leave(entry)
            else:
                wanted = self.enter(entry)
            if wanted:
                digest = EMPTY
                if entry.partial is not None:
                    digest = entry.partial[1].digest()
                needs.append((index, entry.offset, digest))
                self.watch.wanted(max(entry.size - entry.offset, 0))
        self.port.send(pack_needs(self.algorithm, needs))

    def enter_root(self, entry):
        # type: (Entry) -> bool
        self.begun = True
        if entry.kind == FILE:
            self.single = True
            self.checked = True
            if self.file is not None:
                return True
            self.path = entry.path = self.place_of_file()
            if self.durable is None:
                self.durable = True
            if self.compare == 'time_of_folder':
                # One file is always sent, unless asked.
                self.compare = None
            return self.differs(entry)
        if entry.kind != DIR or self.file is not None:
            raise Nonsense('neither a file nor a folder')
        path = self.target
        if self.into:
            if not os.path.isdir(path):
                raise failed(errno.ENOTDIR, 'Not a folder, as the / behind it says', path)
            path = join(path, self.own_name())
        entry.path = self.path = path
        self.tree = True
        try:
            status = os.stat(path)
        except OSError:
            self.make_folder(path)
        else:
            if not stat.S_ISDIR(status.st_mode):
                raise failed(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        self.push(path, os.stat(path))
        return False

    def own_name(self):
        # type: () -> bytes
        if self.name is None:
            raise failed(errno.EISDIR, 'A folder, and what goes there has no name: name the file', self.target)
        check_name(self.name)
        return self.name    # type: ignore[no-any-return]

    def place_of_file(self):
        # type: () -> bytes
        """Return where the one file goes."""
        path = self.target
        folder = os.path.isdir(path)
        if self.into and not folder:
            raise failed(errno.ENOTDIR, 'Not a folder, as the / behind it says', path)
        if folder:
            path = join(path, self.own_name())
        if os.path.islink(path):
            path = os.path.realpath(path)
        try:
            status = os.stat(path)
        except OSError:
            if sys.exc_info()[1].errno == errno.ENOENT:  # type: ignore[union-attr]
                return path
            raise
        if stat.S_ISDIR(status.st_mode):
            raise failed(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(status.st_mode):
            raise failed(errno.EEXIST, 'There is something that is no regular file, and is not replaced', path)
        return path

    def enter(self, entry):
        # type: (Entry) -> bool
        """Make room for an entry of the folder that was entered last; tell whether its file is wanted."""
        top = self.stack[-1]
        check_name(entry.name)
        if entry.name <= top[3]:
            raise Nonsense('names of a folder that do not ascend')
        top[3] = entry.name
        top[2].pop(entry.name, None)
        path = entry.path = join(top[0], entry.name)
        self.look_again(top[0], top[1])
        try:
            status = os.lstat(path)
            kind = stat.S_IFMT(status.st_mode)
        except OSError:
            if sys.exc_info()[1].errno != errno.ENOENT:  # type: ignore[union-attr]
                raise
            status = kind = None    # type: ignore[assignment]
        if entry.kind == DIR:
            if kind is not None and kind != stat.S_IFDIR:
                if not self.delete:
                    raise failed(errno.ENOTDIR, 'Not a folder, and stays unless delete=True', path)
                os.unlink(path)
                self.deleted += 1
                kind = None
            if kind is None:
                self.make_folder(path)
            elif status.st_mode & OPEN_TO_OWNER != OPEN_TO_OWNER:
                try:
                    os.chmod(path, stat.S_IMODE(status.st_mode) | OPEN_TO_OWNER)
                except OSError:
                    # Another's, where a right of root may do; else the first file tells.
                    pass
            self.push(path, os.lstat(path))
            return False
        if entry.kind not in (FILE, LINK):
            raise Nonsense('an entry that is no file, folder or link')
        if kind == stat.S_IFDIR:
            if not self.delete:
                raise failed(errno.EISDIR, 'A folder, and stays unless delete=True', path)
            self.remove(path)
            kind = None
        if entry.kind == LINK:
            self.make_link(entry, kind)
            return False
        return self.differs(entry)

    def push(self, path, status):
        # type: (bytes, Any) -> None
        there = {}  # type: dict[bytes, bool]
        if self.delete:
            there = dict.fromkeys(os.listdir(path), True)
        self.stack.append([path, (status.st_dev, status.st_ino), there, EMPTY])

    def leave(self, entry):
        # type: (Entry) -> bool
        """The last entry of a folder was listed; what is left to do for it is done behind its files."""
        path, which, there, _ = self.stack.pop()
        entry.path = path
        entry.partial = None
        # Kept for then.
        entry.name = EMPTY
        entry.digest = EMPTY
        entry.folder = which, there
        return False

    def make_folder(self, path):
        # type: (bytes) -> None
        os.mkdir(path, OPEN_TO_OWNER)

    def make_link(self, entry, kind):
        # type: (Entry, Any) -> None
        path = entry.path
        if not entry.extra or transfer.NUL in entry.extra:
            raise Nonsense('a link to nothing')
        if kind == stat.S_IFLNK and os.readlink(path) == entry.extra:
            self.same += 1
            return
        beside = name_beside(path)
        BESIDES[beside] = True
        try:
            os.symlink(entry.extra, beside)
            if self.owner:
                self.own(beside, entry.extra, True)
            os.rename(beside, path)
            BESIDES.pop(beside, None)
        finally:
            if beside in BESIDES:
                discard(beside)
        self.files += 1

    def look_again(self, folder, which):
        # type: (bytes, Any) -> None
        """Raise where the folder that was entered is another by now."""
        status = os.lstat(folder)
        if not stat.S_ISDIR(status.st_mode) and folder == self.path:
            # The user's own link to the target.
            status = os.stat(folder)
        if (status.st_dev, status.st_ino) != which:
            raise failed(errno.ESTALE, 'The folder was replaced during the transfer', folder)

    def differs(self, entry):
        # type: (Entry) -> bool
        """Is the file of `entry` wanted? Its mode and times are set if not; what is there of it is noted."""
        path = entry.path
        entry.folder = self.stack and self.stack[-1][1]
        try:
            status = os.lstat(path)
        except OSError:
            status = None   # type: ignore[assignment]
        if self.compare and status is not None and stat.S_ISREG(status.st_mode) and status.st_size == entry.size:
            if self.compare != 'content':
                same = close_in_time(time_of(status), entry.time)
            else:
                same = self.same_content(path, entry)
            if same:
                self.same += 1
                mode = self.mode_of(entry)
                if mode is not None and stat.S_IMODE(status.st_mode) != mode:
                    os.chmod(path, mode)
                if self.times and not close_in_time(time_of(status), entry.time):
                    set_times(path, entry.time)
                if self.owner:
                    self.own(path, entry.extra, False)
                return False
        if self.resume:
            self.find_partial(entry)
        return True

    def same_content(self, path, entry):
        # type: (bytes, Entry) -> bool
        for name in transfer.BEST:
            if name in SUMS and SUMS[name]().digest_size == len(entry.digest):
                fd = os.open(path, READ)
                try:
                    return sum_of(fd, -1, name).digest() == entry.digest    # type: ignore[no-any-return]
                finally:
                    os.close(fd)
        return False

    def find_partial(self, entry):
        # type: (Entry) -> None
        """Note how much of a file an earlier transfer left here."""
        try:
            fd = os.open(name_to_resume(entry.path), AGAIN)
        except OSError:
            return
        status = os.fstat(fd)
        if (stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1
                and lock(fd)):
            size = status.st_size
            if size > entry.size:
                # Of another file than this is now.
                size = 0
            entry.offset = size
            entry.partial = fd, sum_of(fd, size, self.algorithm)
        else:
            os.close(fd)

    # Files.

    def wanted(self, index):
        # type: (int) -> Entry
        """Return the file of the batch that is served."""
        if self.now is not None or not self.batches or index >= len(self.batches[0]):
            raise Nonsense('a file that was not listed')
        entry = self.batches[0][index]
        if entry.kind != FILE or (self.file is None and entry.path == EMPTY):
            raise Nonsense('a file that is not wanted')
        if self.tree:
            self.look_again(os.path.dirname(entry.path), entry.folder)
        self.watch.began(entry.path)
        return entry

    def take_small(self, data):
        # type: (bytes) -> None
        at = 1
        while at < len(data):
            index, size, length = struct.unpack(PIECE, data[at:at + PIECE_SIZE])
            at += PIECE_SIZE
            entry = self.wanted(index)
            content = data[at:at + size]
            at += size
            self.begin(entry, 0)
            try:
                self.running.update(content)
                self.write(content)
            finally:
                self.now = None
            self.finish(entry, data[at:at + length])
            self.watch.moved(size)
            at += length

    def take_begin(self, data):
        # type: (bytes) -> None
        index, start = struct.unpack(START, data[1:])
        entry = self.wanted(index)
        if start and start != entry.offset:
            raise Nonsense('a start that was not agreed')
        self.begin(entry, start)
        self.now = entry

    def begin(self, entry, start):
        # type: (Entry, int) -> None
        self.running = SUMS[self.algorithm]()
        self.hole = False  # type: bool
        if self.file is not None:
            return
        if entry.partial is not None:
            self.fd, running = entry.partial
            entry.partial = None
            self.beside = name_to_resume(entry.path)
            if start:
                self.running = running
            else:
                os.ftruncate(self.fd, 0)
            os.lseek(self.fd, start, 0)
            return
        if self.resume:
            self.beside = name_to_resume(entry.path)
            try:
                self.fd = os.open(self.beside, BESIDE, PRIVATE)
                if lock(self.fd):
                    return
                os.close(self.fd)
                self.fd = None
            except OSError:
                if sys.exc_info()[1].errno != errno.EEXIST:  # type: ignore[union-attr]
                    raise
        self.beside = name_beside(entry.path)
        mode = PRIVATE
        if self.mode_of(entry) is None:
            # As its umask has it.
            mode = int('666', 8)
        BESIDES[self.beside] = True
        try:
            self.fd = os.open(self.beside, BESIDE, mode)
        except OSError:
            BESIDES.pop(self.beside, None)
            error = sys.exc_info()[1]   # type: Any
            raise failed(error.errno, error.strerror, entry.path)

    def take_chunk(self, data):
        # type: (bytes) -> None
        if self.now is None or len(data) > BLOCK + 1:
            raise Nonsense('bytes of no file')
        data = data[1:]
        self.running.update(data)
        self.write(data)
        self.watch.moved(len(data))

    def write(self, data):
        # type: (bytes) -> None
        if self.file is not None:
            self.file.write(data)
            return
        size = os.write(self.fd, data)
        while size < len(data):
            data = data[size:]
            size = os.write(self.fd, data)
        self.hole = False

    def take_zeros(self, data):
        # type: (bytes) -> None
        size = struct.unpack(RUN, data[1:])[0]
        if self.now is None or not 0 < size <= BLOCK:
            raise Nonsense('zeros of no file')
        self.running.update(NOTHING[:size])
        if self.file is not None:
            self.file.write(NOTHING[:size])
        else:
            # What nobody writes takes no room.
            os.lseek(self.fd, size, 1)
            self.hole = True
        self.watch.moved(size)

    def take_finish(self, data):
        # type: (bytes) -> None
        entry, self.now = self.now, None
        if entry is None:
            raise Nonsense('the end of no file')
        self.finish(entry, data[1:])

    def take_vanished(self, data):
        # type: (bytes) -> None
        entry = self.wanted(struct.unpack(INDEX, data[1:])[0])
        if entry.partial is not None:
            os.close(entry.partial[0])
            entry.partial = None

    def mode_of(self, entry):
        # type: (Entry) -> Any
        """Return the mode that a file is to have, None for what it has or gets anyway."""
        if self.mode is not None:
            return self.mode
        if not self.modes:
            return None
        return entry.mode & self.most_mode

    def finish(self, entry, digest):
        # type: (Entry, bytes) -> None
        """Put what was written in its place, if it is what was sent."""
        found = self.running.digest()
        if found != digest:
            if self.fd is not None:
                # Nothing of it is worth to be resumed.
                BESIDES[self.beside] = True
            raise failed(errno.EIO, 'The checksum of what arrived differs from that of what was sent', entry.path)
        if self.single:
            self.digest = found
        self.files += 1
        if self.file is not None:
            return
        path, beside = entry.path, self.beside
        size = os.lseek(self.fd, 0, 1)
        self.bytes += size
        if self.hole:
            os.ftruncate(self.fd, size)
        if self.owner:
            self.own(beside, entry.extra, False)
        mode = self.mode_of(entry)
        if mode is None and not self.modes:
            try:
                mode = stat.S_IMODE(os.stat(path).st_mode)
            except OSError:
                pass
            if mode is None and self.resume:
                mode = int('666', 8) & ~umask()
        if mode is not None:
            os.chmod(beside, mode)
        if self.durable:
            os.fsync(self.fd)
        fd, self.fd = self.fd, None
        try:
            # Its lock ends with it.
            if self.times and self.modes:
                set_times(beside, entry.time)
            os.rename(beside, path)
            BESIDES.pop(beside, None)
        finally:
            os.close(fd)
            if beside in BESIDES:
                discard(beside)
        if self.durable:
            sync_folder(os.path.dirname(path) or DOT)

    # Folders, behind their files.

    def take_kept(self, data):
        # type: (bytes) -> None
        if not self.batches or self.now is not None:
            raise Nonsense('the end of no batch')
        batch = self.batches[0]
        for entry in batch:
            if entry.kind == LEAVE:
                self.settle(entry)
        for entry in batch:
            if entry.partial is not None:
                os.close(entry.partial[0])
                entry.partial = None
        del self.batches[0]

    def settle(self, entry):
        # type: (Entry) -> None
        """Remove what was not listed, and give a folder its mode and times."""
        path = entry.path
        which, there = entry.folder
        self.look_again(path, which)
        names = list(there)
        names.sort()
        for name in names:
            self.remove(join(path, name))
        if self.owner:
            self.own(path, entry.extra, False)
        mode = entry.mode & self.most_mode
        status = os.stat(path)
        if self.modes and stat.S_IMODE(status.st_mode) != mode:
            os.chmod(path, mode)
        if self.times and not close_in_time(time_of(status), entry.time):
            set_times(path, entry.time)

    def remove(self, path):
        # type: (bytes) -> None
        """Remove a file, or a folder with all that is in it; no link is followed."""
        if os.path.islink(path) or not os.path.isdir(path):
            os.unlink(path)
        else:
            for name in os.listdir(path):
                self.remove(join(path, name))
            os.rmdir(path)
        self.deleted += 1

    # Owners.

    def own(self, path, extra, link):
        # type: (bytes, bytes, bool) -> None
        """Give `path` the owner that was asked for, or the one that it has at the sender, where that is allowed."""
        asked = self.owner  # type: Any
        if asked is True:
            if link:
                return
            asked = extra.decode('utf-8', 'replace')
        user, group = (asked.split(':', 1) + [''])[:2]
        uid, gid = self.number('pwd', 'getpwnam', user), self.number('grp', 'getgrnam', group)
        try:
            if link:
                os.lchown(path, uid, gid)
            else:
                os.chown(path, uid, gid)
        except OSError:
            if self.owner is not True:
                raise

    def number(self, module, function, name):
        # type: (str, str, str) -> int
        if not name:
            return -1
        found = self.ids.get((module, name))
        if found is None:
            try:
                found = getattr(__import__(module), function)(name)[2]
            except (ImportError, KeyError, ValueError):
                if name.isdigit():
                    found = int(name)
                elif self.owner is True:
                    found = -1
                else:
                    raise failed(errno.EINVAL, 'No user or group %s here' % name, self.path)
            self.ids[module, name] = found
        return found    # type: ignore[no-any-return]


def umask():
    # type: () -> int
    mask = os.umask(63)
    os.umask(mask)
    return mask


def name_beside(path):
    # type: (bytes) -> bytes
    """Return a name of its own beside `path`."""
    folder, name = os.path.split(path)
    unique = EMPTY.join([('%02x' % byte).encode('ascii') for byte in struct.unpack('8B', os.urandom(8))])
    name = DOT + name[:LONGEST] + DOT + unique + PART
    if not folder:
        return name
    return join(folder, name)


def name_to_resume(path):
    # type: (bytes) -> bytes
    """Return where a transfer that broke left what it had of `path`."""
    folder, name = os.path.split(path)
    name = DOT + name[:LONGEST] + PART
    if not folder:
        return name
    return join(folder, name)


def lock(fd):
    # type: (int) -> bool
    """Take a file for ourselves; False if another transfer has it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except (IOError, OSError):
        return False


def set_times(path, when):
    # type: (bytes, int) -> None
    now = time.time()
    try:
        utime(path, **{str('ns'): (int(now * 1e9), when)})
    except TypeError:
        # Before Python 3.3.
        os.utime(path, (now, when / 1e9))


def sync_folder(path):
    # type: (bytes) -> None
    """Have a new name in a folder outlive a loss of power."""
    fd = os.open(path, os.O_RDONLY)
    try:
        try:
            os.fsync(fd)
        except OSError:
            # Some file systems sync no folders.
            pass
    finally:
        os.close(fd)


def receive(channel, target, options):
    # type: (Any, bytes, dict[str, Any]) -> tuple[Any, ...]
    """Write what comes through `channel` to `target`; return how that went, in values."""
    from econtext.core.sending import located
    options = dict([(str(key), options[key]) for key in options])
    return transfer.attempt(Receiver(transfer.Far(channel), located(target), options).run)
