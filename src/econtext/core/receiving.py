"""
The receiver of a transfer of files: compares what is listed with what is there, and writes what differs.

The strategy: a file is written beside its place under a name of its own, checked, and renamed
into its place.  The sender names entries of the folder that was entered last, so it cannot name a place
elsewhere.  Whoever may write into the target meanwhile leads nothing elsewhere, either: see ``core.folders``.

Invariants:

* Nothing is written outside of the target: names hold no separator, names of a folder ascend, so that none
  comes twice, and no symbolic link below the target is followed.
* Where a file stood stands the old one or the new one, whole and of the checksum that was sent, whatever
  fails when.  What was written beside it is removed, unless it is to be resumed.
* Nobody else can read a file before it has its place, and the mode that it has there.
* What stands there and is not listed stays, and a folder gives way to nothing else, unless `delete` is asked;
  then it is removed after all that came for its folder.
* Memory and descriptors do not follow the number or the size of files.

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
try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

from econtext.core import transfer
from econtext.core.folders import DOT, identity, open_folder, remove, replaced
from econtext.core.transfer import (
    BEGIN, BLOCK, CHUNK, DIR, END, EXACT, FILE, FINISH, GREETING, INDEX, KEPT, LEAVE, LINK, LIST, MANY, NOTHING,
    PIECE, PIECE_SIZE, RUN, SMALL, STAYS, START, SUMS, VANISHED, ZEROS, Nonsense, check_name,
    close_in_time, failed, join, pack_needs, sum_of, time_of, unpack_entries)
from econtext.core.wire import EMPTY

BESIDE = os.O_RDWR | os.O_CREAT | os.O_EXCL
LONGEST = 180       # bytes of a name that are kept in that of what stands beside it
MOST_PARTIALS = 16  # files that were begun earlier, and are held open until they are served
MOST_NUMBER = (1 << 32) - 2     # of a user or group
PART = '.part'.encode('ascii')
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


class Place(object):
    """A folder of the target: its name in the one above, and what it was as it was entered."""

    def __init__(self, above, name, path, which):
        # type: (Any, bytes, bytes, tuple[int, int]) -> None
        self.above = above
        self.name = name
        self.path = path
        self.which = which


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
        # Of no end is only what comes from a program that is trusted.
        self.endless = not options.get('safe')  # type: bool
        if options.get('safe'):
            self.most_mode = SAFE_MODE
        self.watch = watch or transfer.Watch()  # type: Any
        self.algorithm = ''  # type: str
        self.batches = []   # type: list[list[Entry]]
        # (place, names that were there, the last name that was listed)
        self.stack = []     # type: list[list[Any]]
        # The folder of the target, that of the entry that was listed last, and that of the file that is served.
        self.root = None  # type: Any
        self.listing = None  # type: Any
        self.serving = None  # type: Any
        self.partials = 0  # type: int
        self.left = -1  # type: int
        self.error = None  # type: Any
        self.begun = False  # type: bool
        self.single = False  # type: bool
        self.checked = False  # type: bool
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
            if self.error is not None:
                # All else is done.
                raise self.error
        finally:
            self.give_up()
        return {'path': self.path, 'files': self.files, 'bytes': self.bytes, 'same': self.same,
                'deleted': self.deleted, 'algorithm': self.algorithm, 'digest': self.digest}

    def give_up(self):
        # type: () -> None
        """Close and remove what was begun."""
        if self.fd is not None:
            if self.serving.full(self.beside) in BESIDES or not os.fstat(self.fd).st_size:
                self.discard(self.serving, self.beside)
            os.close(self.fd)
            self.fd = None
        for batch in self.batches:
            for entry in batch:
                self.forget(entry)
        for folder in self.listing, self.serving, self.root:
            if folder is not None:
                folder.close()
        self.listing = self.serving = self.root = None

    def forget(self, entry):
        # type: (Entry) -> None
        """Let go of what an earlier transfer left of a file."""
        if entry.partial is not None:
            os.close(entry.partial[0])
            entry.partial = None
            self.partials -= 1

    def discard(self, folder, name):
        # type: (Any, bytes) -> None
        """Remove a file that was written beside its place."""
        try:
            folder.unlink(name)
        except OSError:
            pass
        BESIDES.pop(folder.full(name), None)

    # Where one is.

    def begin_at(self, folder, path):
        # type: (Any, bytes) -> Place
        """Take `folder` for that of the target."""
        self.root = folder
        place = folder.place = Place(None, EMPTY, path, folder.which)
        return place

    def go(self, folder, place):
        # type: (Any, Place) -> Any
        """Return the open folder of `place`; from `folder`, which is closed then."""
        if folder is not None and folder.place is place:
            return folder
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

    def here(self):
        # type: () -> Any
        """Return the folder of the entry that is listed."""
        folder, self.listing = self.listing, None
        self.listing = self.go(folder, self.stack[-1][0])
        return self.listing

    def there(self, place):
        # type: (Place) -> Any
        """Return the folder of what is served."""
        folder, self.serving = self.serving, None
        self.serving = self.go(folder, place)
        return self.serving

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
                    digest = entry.partial[2].digest()
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
            above, entry.name = os.path.split(self.path)
            try:
                entry.place = self.begin_at(open_folder(above), above)
            except OSError:
                error = sys.exc_info()[1]   # type: Any
                raise failed(error.errno, error.strerror, self.path)
            if self.durable is None:
                self.durable = True
            if self.compare == 'time_of_folder':
                # One file is always sent, unless asked.
                self.compare = None
            return self.differs(self.there(entry.place), entry, self.root.seen(entry.name))
        if entry.kind != DIR or self.file is not None:
            raise Nonsense('neither a file nor a folder')
        path = self.target
        if self.into:
            if not os.path.isdir(path):
                raise failed(errno.ENOTDIR, 'Not a folder, as the / behind it says', path)
            path = join(path, self.own_name())
        entry.path = self.path = path
        try:
            os.stat(path)
        except OSError:
            os.mkdir(path, OPEN_TO_OWNER)
        folder = open_folder(path)
        self.push(self.begin_at(folder, path), folder)
        self.open_up(folder)
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
        if entry.name <= top[2]:
            raise Nonsense('names of a folder that do not ascend')
        top[2] = entry.name
        top[1].pop(entry.name, None)
        if entry.kind == STAYS:
            return False
        folder = self.here()
        name = entry.name
        entry.place = top[0]
        entry.path = folder.full(name)
        status = folder.seen(name)
        kind = None
        if status is not None:
            kind = stat.S_IFMT(status.st_mode)
        if entry.kind == DIR:
            if kind is not None and kind != stat.S_IFDIR:
                if not self.delete:
                    raise failed(errno.ENOTDIR, 'Not a folder, and stays unless delete=True', entry.path)
                folder.unlink(name)
                self.deleted += 1
                kind = None
            if kind is None:
                folder.mkdir(name, OPEN_TO_OWNER)
            child = folder.child(name)
            place = child.place = Place(top[0], name, entry.path, child.which)
            folder.close()
            self.listing = child
            self.open_up(child)
            self.push(place, child)
            return False
        if entry.kind not in (FILE, LINK):
            raise Nonsense('an entry that is no file, folder or link')
        if kind == stat.S_IFDIR:
            if not self.delete:
                raise failed(errno.EISDIR, 'A folder, and stays unless delete=True', entry.path)
            self.deleted += remove(folder, name)
            kind = status = None
        if entry.kind == LINK:
            self.make_link(folder, entry, kind)
            return False
        return self.differs(folder, entry, status)

    def open_up(self, folder):
        # type: (Any) -> None
        """Let the owner of a folder write into it, until it is settled."""
        mode = stat.S_IMODE(folder.status().st_mode)
        if mode & OPEN_TO_OWNER != OPEN_TO_OWNER:
            try:
                folder.chmod(mode | OPEN_TO_OWNER)
            except OSError:
                # Another's, where a right of root may do; else the first file tells.
                pass

    def push(self, place, folder):
        # type: (Place, Any) -> None
        there = {}  # type: dict[bytes, bool]
        if self.delete:
            there = dict.fromkeys(folder.names(), True)
        self.stack.append([place, there, EMPTY])

    def leave(self, entry):
        # type: (Entry) -> bool
        """The last entry of a folder was listed; what is left to do for it is done behind its files."""
        place, there, _ = self.stack.pop()
        entry.path = place.path
        entry.place = place
        # Kept for then.
        entry.name = EMPTY
        entry.digest = EMPTY
        entry.beside = there
        return False

    def make_link(self, folder, entry, kind):
        # type: (Any, Entry, Any) -> None
        target, owner = divided(entry.extra, transfer.NUL)
        if not target:
            raise Nonsense('a link to nothing')
        name = entry.name
        if kind == stat.S_IFLNK and folder.readlink(name) == target:
            self.same += 1
            if self.owner:
                status = folder.lstat(name)
                self.own(lambda uid, gid: folder.own_link(name, uid, gid), owner, status)
            return
        beside = name_beside(name)
        BESIDES[folder.full(beside)] = True
        try:
            folder.symlink(target, beside)
            if self.owner:
                self.own(lambda uid, gid: folder.own_link(beside, uid, gid), owner, folder.lstat(beside))
            folder.rename(beside, name)
            BESIDES.pop(folder.full(beside), None)
        finally:
            if folder.full(beside) in BESIDES:
                self.discard(folder, beside)
        self.files += 1

    def differs(self, folder, entry, status):
        # type: (Any, Entry, Any) -> bool
        """Is the file of `entry` wanted? Its mode and times are set if not; what is there of it is noted."""
        entry.was = status
        if self.compare and status is not None and stat.S_ISREG(status.st_mode) and status.st_size == entry.size:
            try:
                if self.adjusted(folder, entry, status):
                    self.same += 1
                    return False
            except OSError:
                # What cannot be read differs, and what cannot be changed is replaced.
                pass
        if self.resume:
            self.find_partial(folder, entry)
        return True

    def adjusted(self, folder, entry, status):
        # type: (Any, Entry, Any) -> bool
        """Is what is there the file of `entry`? Then give it what that has beside its content."""
        fd = None   # type: Any
        try:
            in_time = close_in_time(time_of(status), entry.time)
            if self.compare != 'content':
                if not in_time:
                    return False
            else:
                fd = self.open_again(folder, entry.name, status)
                if not same_content(fd, entry):
                    return False
            mode = self.mode_of(entry)
            if mode is not None and stat.S_IMODE(status.st_mode) == mode:
                mode = None
            if mode is None and not self.owner and (in_time or not self.times):
                return True
            if fd is None:
                fd = self.open_again(folder, entry.name, status)
            if self.owner and self.own(
                    lambda uid, gid: folder.set_owner(entry.name, fd, uid, gid), entry.extra, status):
                # A new owner takes bits of the mode away.
                mode = self.mode_of(entry)
            if mode is not None:
                folder.set_mode(entry.name, fd, mode)
            if self.times and not in_time:
                folder.set_file_times(entry.name, fd, entry.time)
            return True
        finally:
            if fd is not None:
                os.close(fd)

    def open_again(self, folder, name, status):
        # type: (Any, bytes, Any) -> int
        """Open the file that `status` is of."""
        fd = folder.open(name, os.O_RDONLY)     # type: int
        if identity(os.fstat(fd)) != identity(status):
            os.close(fd)
            raise replaced(folder.full(name))
        return fd

    def find_partial(self, folder, entry):
        # type: (Any, Entry) -> None
        """Note how much of a file an earlier transfer left here."""
        if self.partials >= MOST_PARTIALS:
            return
        name = name_to_resume(entry.name)
        try:
            fd = claim(folder, name, os.O_RDWR)
        except OSError:
            return
        if fd is None:
            return
        try:
            size = os.fstat(fd).st_size
            if size > entry.size:
                # Of another file than this is now.
                size = 0
            running = sum_of(fd, size, self.algorithm)
        except:
            os.close(fd)
            raise
        entry.offset = size
        entry.partial = fd, name, running
        self.partials += 1

    # Files.

    def wanted(self, index):
        # type: (int) -> Entry
        """Return the file of the batch that is served."""
        if self.now is not None or not self.batches or index >= len(self.batches[0]):
            raise Nonsense('a file that was not listed')
        entry = self.batches[0][index]
        if entry.kind != FILE or (self.file is None and entry.path == EMPTY):
            raise Nonsense('a file that is not wanted')
        if self.file is None:
            self.there(entry.place)
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
            self.count(len(content))
            self.running.update(content)
            self.write(content)
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
        self.left = -1
        if entry.size > 0:
            self.left = entry.size - start
        if self.file is not None:
            return
        folder = self.serving
        if entry.partial is not None:
            self.fd, self.beside, running = entry.partial
            entry.partial = None
            self.partials -= 1
            if start:
                self.running = running
            else:
                os.ftruncate(self.fd, 0)
            os.lseek(self.fd, start, 0)
            return
        if self.resume:
            self.beside = name_to_resume(entry.name)
            for flags in BESIDE, os.O_RDWR:
                try:
                    self.fd = claim(folder, self.beside, flags)
                except OSError:
                    if sys.exc_info()[1].errno not in (  # type: ignore[union-attr]
                            errno.EEXIST, errno.ENOENT, errno.ELOOP, errno.EACCES, errno.ENXIO, errno.EISDIR):
                        raise
                if self.fd is not None:
                    os.ftruncate(self.fd, 0)
                    return
        self.beside = name_beside(entry.name)
        path = folder.full(self.beside)
        BESIDES[path] = True
        try:
            self.fd = folder.open(self.beside, BESIDE, PRIVATE)
        except OSError:
            BESIDES.pop(path, None)
            error = sys.exc_info()[1]   # type: Any
            raise failed(error.errno, error.strerror, entry.path)

    def count(self, size):
        # type: (int) -> None
        """Raise Nonsense for more of a file than was listed."""
        if self.left >= 0:
            self.left -= size
            if self.left < 0:
                raise Nonsense('more of a file than it has')

    def copy(self, fd, entry):
        # type: (int, Entry) -> None
        """Write what the file `fd` has, as if it had come from elsewhere."""
        self.algorithm = transfer.KNOWN[0]
        try:
            self.enter_root(entry)
            self.begin(entry, 0)
            while 1:
                data = transfer.read(fd, BLOCK)
                if not data:
                    break
                self.running.update(data)
                if data == NOTHING:
                    os.lseek(self.fd, len(data), 1)
                else:
                    self.write(data)
            self.finish(entry, self.running.digest())
        finally:
            self.give_up()

    def take_chunk(self, data):
        # type: (bytes) -> None
        if self.now is None or len(data) > BLOCK + 1:
            raise Nonsense('bytes of no file')
        data = data[1:]
        self.count(len(data))
        self.running.update(data)
        self.write(data)
        self.watch.moved(len(data))

    def write(self, data):
        # type: (bytes) -> None
        if self.file is not None:
            self.file.write(data)
            return
        size = transfer.write(self.fd, data)
        while size < len(data):
            data = data[size:]
            size = transfer.write(self.fd, data)

    def take_zeros(self, data):
        # type: (bytes) -> None
        size = struct.unpack(RUN, data[1:])[0]
        if self.now is None or not 0 < size <= BLOCK:
            raise Nonsense('zeros of no file')
        if self.left < 0 and not self.endless:
            # A few bytes here would take as many as that there.
            raise Nonsense('zeros of a file of no known size')
        self.count(size)
        self.running.update(NOTHING[:size])
        if self.file is not None:
            self.file.write(NOTHING[:size])
        else:
            # What nobody writes takes no room.
            os.lseek(self.fd, size, 1)
        self.watch.moved(size)

    def take_finish(self, data):
        # type: (bytes) -> None
        entry, self.now = self.now, None
        if entry is None:
            raise Nonsense('the end of no file')
        self.finish(entry, data[1:])

    def take_vanished(self, data):
        # type: (bytes) -> None
        self.forget(self.wanted(struct.unpack(INDEX, data[1:])[0]))

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
                BESIDES[self.serving.full(self.beside)] = True
            raise failed(errno.EIO, 'The checksum of what arrived differs from that of what was sent', entry.path)
        if self.single:
            self.digest = found
        self.files += 1
        if self.file is not None:
            return
        folder, name, beside, fd = self.serving, entry.name, self.beside, self.fd
        size = os.lseek(fd, 0, 1)
        self.bytes += size
        os.ftruncate(fd, size)
        self.keep_owner(folder, beside, fd, entry.was)
        if self.owner:
            self.own(lambda uid, gid: folder.set_owner(beside, fd, uid, gid), entry.extra, os.fstat(fd))
        mode = self.mode_of(entry)
        if mode is None:
            mode = self.mode_of_old(folder, entry.was)
        folder.set_mode(beside, fd, mode)
        if self.times and self.modes:
            folder.set_file_times(beside, fd, entry.time)
        if self.durable:
            os.fsync(fd)
        else:
            # Some file systems tell of a full disk only as a descriptor is closed; its lock ends with the other one.
            os.close(os.dup(fd))
        folder.rename(beside, name)
        BESIDES.pop(folder.full(beside), None)
        self.fd = None
        os.close(fd)
        if self.durable:
            folder.sync()

    def mode_of_old(self, folder, was):
        # type: (Any, Any) -> int
        """Return the mode of the file that is replaced, without what gives rights; else that of any new file."""
        if was is not None and stat.S_ISREG(was.st_mode):
            return stat.S_IMODE(was.st_mode) & SAFE_MODE
        # As a file of no bytes gets it, since asking for the umask changes it for all threads.
        name = name_beside(DOT)
        fd = folder.open(name, BESIDE, int('666', 8))
        try:
            return stat.S_IMODE(os.fstat(fd).st_mode)
        finally:
            os.close(fd)
            self.discard(folder, name)

    def keep_owner(self, folder, name, fd, was):
        # type: (Any, bytes, int, Any) -> None
        """Give a new file the owner of the one that it replaces, where that is allowed."""
        if was is None or not stat.S_ISREG(was.st_mode):
            return
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
            self.forget(entry)
        del self.batches[0]

    def settle(self, entry):
        # type: (Entry) -> None
        """Remove what was not listed, and give a folder its mode and times."""
        place = entry.place
        folder = self.there(place)
        if place.above is None and identity(os.stat(place.path or DOT)) != place.which:
            raise replaced(place.path)
        names = list(entry.beside)
        names.sort()
        for name in names:
            self.deleted += remove(folder, name)
        try:
            status = folder.status()
            if self.owner:
                self.own(folder.chown, entry.extra, status)
            mode = entry.mode & self.most_mode
            if self.modes and stat.S_IMODE(folder.status().st_mode) != mode:
                folder.chmod(mode)
            if self.times and abs(time_of(status) - entry.time) >= EXACT:
                folder.set_times(entry.time)
        except OSError:
            # A folder of another user; told of behind all that can be done.
            if self.error is None:
                self.error = sys.exc_info()[1]

    # Owners.

    def own(self, change, extra, status):
        # type: (Any, bytes, Any) -> bool
        """
        Give a file the owner that was asked for, or the one that it has at the sender, where that is allowed.

        Its group comes first: that is allowed to more than root.  Return whether anything was changed.
        """
        asked = self.owner  # type: Any
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
                if self.owner is not True:
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
                elif self.owner is True:
                    found = -1
                else:
                    raise failed(errno.EINVAL, 'No user or group %s here' % name, self.path)
            self.ids[module, name] = found
        return found    # type: ignore[no-any-return]


def same_content(fd, entry):
    # type: (int, Entry) -> bool
    for name in transfer.BEST:
        if name in SUMS and SUMS[name]().digest_size == len(entry.digest):
            return sum_of(fd, -1, name).digest() == entry.digest    # type: ignore[no-any-return]
    return False


def divided(text, by):
    # type: (bytes, bytes) -> tuple[bytes, bytes]
    """Return what stands before and behind the first `by`."""
    parts = text.split(by, 1)
    return parts[0], EMPTY.join(parts[1:])


def shortened(name):
    # type: (bytes) -> bytes
    """Return a name that has room for more behind it, another for each one, cut between characters of UTF-8."""
    if len(name) <= LONGEST:
        return name
    end = LONGEST
    while end > LONGEST - 4 and 128 <= ord(name[end:end + 1]) < 192:
        end -= 1
    return name[:end] + DOT + SUMS[transfer.KNOWN[0]](name).hexdigest()[:16].encode('ascii')


def name_beside(name):
    # type: (bytes) -> bytes
    """Return a name of its own for what stands beside `name`."""
    unique = EMPTY.join([('%02x' % byte).encode('ascii') for byte in struct.unpack('8B', os.urandom(8))])
    return DOT + shortened(name) + DOT + unique + PART


def name_to_resume(name):
    # type: (bytes) -> bytes
    """Return the name of what a transfer that broke left of `name`, beside it."""
    return DOT + shortened(name) + PART


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


def receive(channel, target, options):
    # type: (Any, bytes, dict[str, Any]) -> tuple[Any, ...]
    """Write what comes through `channel` to `target`; return how that went, in values."""
    from econtext.core.sending import located
    options = dict([(str(key), options[key]) for key in options])
    return transfer.attempt(lambda: Receiver(transfer.Far(channel), located(target), options).run())
