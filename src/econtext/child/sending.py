"""
The sender of a transfer of files: lists what is to go, and sends what is wanted of it.

The strategy: listing and sending go on side by side.  Some batches are listed ahead of
the answers to them, so that a slow link costs three trips however many files there are; a
batch is forgotten once its files are sent, so that memory does not follow their number.

Invariants:

* A file is read as it was opened, never by way of a link or a pipe put in its place.
* Of a file that grows no more is sent than it was listed with; one that says it has no bytes, as those of
  /proc do, is read to its end.
* A file that was listed and is gone is told of, and left out; any other error ends the transfer.

Fetched with the first transfer; runs in the controller too.  One thread.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import errno
import os
import stat
import struct
import sys

from econtext.child import transfer
from econtext.child.folders import NOFOLLOW, NONBLOCK, identity, located, open_file
from econtext.child.transfer import (
    AHEAD, BATCH, BEGIN, BLOCK, CHUNK, DIR, END, FILE, FINISH, GREETING, INDEX, KEPT, KNOWN, LEAVE, LINK, LIST, LITTLE,
    NEED, NOTHING, NUL, PIECE, RUN, SMALL, SPECIAL, STAYS, START, SUMS, VANISHED, ZEROS, Entry, Nonsense, join,
    pack_entry, time_of, unpack_needs)
from econtext.core.wire import EMPTY

GONE = errno.ENOENT, errno.ESTALE, errno.ELOOP, errno.ENOTDIR
FLAGS = os.O_RDONLY | NONBLOCK
SEEK_DATA, SEEK_HOLE = getattr(os, 'SEEK_DATA', None), getattr(os, 'SEEK_HOLE', None)    # type: Any, Any
NOTES = 1000    # names of what was left out that are kept


class Sender(object):
    """Sends what is at `path`, or what `file` reads, through `port`."""

    def __init__(self, port, path, options, watch=None, file=None):
        # type: (Any, bytes, dict[str, Any], Any, Any) -> None
        self.port = port
        # Sends a large piece of a file without a copy, where the port can.
        self.send_chunk = getattr(port, 'send_chunk', None)  # type: Any
        self.path = path
        self.file = file
        self.symlinks = options.get('symlinks', 'keep')  # type: Any
        self.owners = options.get('owners', False)  # type: Any
        self.sums = options.get('sums', False)  # type: Any
        self.plain = not (self.owners or self.sums)  # type: bool
        self.folders = options.get('folders', True)  # type: Any
        self.watch = watch or transfer.Watch()  # type: Any
        self.algorithm = ''  # type: str
        self.left_out = []  # type: list[bytes]
        self.names = {}  # type: dict[tuple[str, int], str]

    def run(self):
        # type: () -> list[bytes]
        """Send all; return the paths of what was left out."""
        self.port.send(GREETING + ' '.join(KNOWN).encode('ascii'))
        listed = self.batches()
        waiting = []    # type: list[list[Any]]
        more = True
        while more or waiting:
            while more and len(waiting) < AHEAD:
                batch = self.following(listed)
                more = len(batch) == BATCH
                if batch:
                    self.port.send(LIST + EMPTY.join([pack_entry(entry) for entry, path in batch]))
                    waiting.append(batch)
            if waiting:
                self.serve(waiting.pop(0), not more and not waiting)
        self.port.send(END)
        return self.left_out

    def following(self, listed):
        # type: (Any) -> list[Any]
        batch = []
        for item in listed:
            batch.append(item)
            if len(batch) == BATCH:
                break
        return batch

    # Listing.

    def batches(self):
        # type: () -> Any
        """Yield pairs of an entry and its path, the folders of the tree around what they hold."""
        if self.file is not None:
            yield Entry(FILE, EMPTY, 0, -1, 0), EMPTY
            return
        status = os.stat(self.path)
        root = self.entry(self.path, EMPTY, status)
        if root.kind == SPECIAL:
            raise transfer.failed(errno.EINVAL, 'Not a file and not a folder', self.path)
        if root.kind == DIR and not self.folders:
            raise transfer.failed(errno.EISDIR, os.strerror(errno.EISDIR), self.path)
        yield root, self.path
        if root.kind != DIR:
            return
        # (path, names that are left, entry, identity of the folder)
        stack = [(self.path, names_in(self.path), root, identity(status))]
        while stack:
            folder, names, entry, _ = stack[-1]
            if not names:
                stack.pop()
                yield Entry(LEAVE, EMPTY, entry.mode, 0, entry.time, entry.extra), folder
                continue
            name = names.pop()
            path = join(folder, name)
            try:
                entry, status = self.look(path, name)
                names = []
                if entry.kind == DIR:
                    if identity(status) in [item[3] for item in stack]:
                        entry.kind = SPECIAL
                    else:
                        names = names_in(path)
            except OSError:
                if sys.exc_info()[1].errno not in GONE:  # type: ignore[union-attr]
                    raise
                self.note(path)
                if sys.exc_info()[1].errno != errno.ENOENT:  # type: ignore[union-attr]
                    yield Entry(STAYS, name), path
                continue
            if entry.kind == SPECIAL:
                self.note(path)
                yield Entry(STAYS, name), path
                continue
            yield entry, path
            if entry.kind == DIR:
                stack.append((path, names, entry, identity(status)))

    def look(self, path, name):
        # type: (bytes, bytes) -> tuple[Entry, Any]
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            if self.symlinks == 'skip':
                return Entry(SPECIAL, name), status
            if self.symlinks == 'keep':
                extra = os.readlink(path) + NUL + self.owner_of(status)
                return Entry(LINK, name, 0, 0, time_of(status), extra), status
            status = os.stat(path)
        return self.entry(path, name, status), status

    def entry(self, path, name, status):
        # type: (bytes, bytes, Any) -> Entry
        if self.plain and stat.S_ISREG(status.st_mode):
            return Entry(FILE, name, stat.S_IMODE(status.st_mode), status.st_size, time_of(status))
        kind, size = SPECIAL, 0
        if stat.S_ISREG(status.st_mode):
            kind, size = FILE, status.st_size
        elif stat.S_ISDIR(status.st_mode):
            kind = DIR
        digest = EMPTY
        if kind == FILE and self.sums:
            fd = open_file(path, FLAGS)
            try:
                digest = transfer.sum_of(fd, -1, KNOWN[0]).digest()
            finally:
                os.close(fd)
        return Entry(kind, name, stat.S_IMODE(status.st_mode), size, time_of(status), self.owner_of(status), digest)

    def owner_of(self, status):
        # type: (Any) -> bytes
        if not self.owners:
            return EMPTY
        return ('%s:%s' % (self.owner('pwd', 'getpwuid', status.st_uid),
                           self.owner('grp', 'getgrgid', status.st_gid))).encode('utf-8')

    def owner(self, module, function, number):
        # type: (str, str, int) -> str
        name = self.names.get((module, number))
        if name is None:
            try:
                name = getattr(__import__(module), function)(number)[0]
            except (ImportError, KeyError):
                name = str(number)
            self.names[module, number] = name
        return name

    def note(self, path):
        # type: (bytes) -> None
        if len(self.left_out) < NOTES:
            self.left_out.append(path)

    # Sending.

    def serve(self, batch, last):
        # type: (list[Any], bool) -> None
        """Send what is wanted of a batch."""
        data = self.port.get()
        if data[:1] != NEED:
            raise Nonsense('no answer to a listing')
        try:
            self.algorithm, needs = unpack_needs(data)
        except (struct.error, UnicodeError):
            raise Nonsense('an answer to a listing that is none')
        for index, offset, _ in needs:
            if index >= len(batch) or batch[index][0].kind != FILE:
                raise Nonsense('a file is wanted that was not listed')
            self.watch.wanted(max(batch[index][0].size - offset, 0))
        if last:
            self.watch.listed()
        self.pieces = []  # type: list[bytes]
        self.size = 0  # type: int
        for index, offset, digest in needs:
            entry, path = batch[index]
            self.watch.began(path)
            if self.file is not None:
                self.port.send(BEGIN + struct.pack(START, index, 0))
                self.pour(self.file.read, -1, SUMS[self.algorithm](), True)
            else:
                self.send_file(index, entry, path, offset, digest)
        self.flush()
        self.port.send(KEPT)

    def flush(self):
        # type: () -> None
        if self.pieces:
            self.port.send(SMALL + EMPTY.join(self.pieces))
            self.watch.moved(self.size)
        self.pieces = []
        self.size = 0

    def send_file(self, index, entry, path, offset, digest):
        # type: (int, Entry, bytes, int, bytes) -> None
        flags = FLAGS
        if self.symlinks != 'follow' and path != self.path:
            flags |= NOFOLLOW
        try:
            fd = open_file(path, flags)
        except OSError:
            if sys.exc_info()[1].errno not in GONE or path == self.path:  # type: ignore[union-attr]
                raise
            self.vanished(index, path)
            return
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                self.vanished(index, path)
                return
            size = status.st_size
            if 0 < entry.size < size:
                size = entry.size
            if 0 < size <= LITTLE and not offset:
                data = read_all(fd, size)
                checksum = SUMS[self.algorithm](data).digest()
                piece = struct.pack(PIECE, index, len(data), len(checksum))
                if self.size + size > BLOCK:
                    self.flush()
                self.pieces.append(piece + data + checksum)
                self.size += len(data)
                return
            self.flush()
            start = 0
            running = SUMS[self.algorithm]()
            if offset and offset <= size:
                running = transfer.sum_of(fd, offset, self.algorithm)
                if running.digest() == digest:
                    start = offset
                else:
                    self.watch.wanted(offset)
                    os.lseek(fd, 0, 0)
                    running = SUMS[self.algorithm]()
            self.port.send(BEGIN + struct.pack(START, index, start))
            left = size - start
            if not size:
                left = -1
                if entry.size > 0:
                    left = entry.size
            if SEEK_DATA is not None and entry.size > 0 and status.st_blocks * 512 < size:
                left = self.pour_sparse(fd, start, size, running)
            self.pour(lambda limit: transfer.read(fd, limit), left, running, entry.size > 0)
        finally:
            os.close(fd)

    def vanished(self, index, path):
        # type: (int, bytes) -> None
        self.note(path)
        self.port.send(VANISHED + struct.pack(INDEX, index))

    def pour(self, read, left, running, sized):
        # type: (Any, int, Any, bool) -> None
        """Send what `read` gives, `left` bytes of it or, if that is negative, all; then the checksum."""
        while left:
            limit = BLOCK
            if 0 < left < limit:
                limit = left
            data = read(limit)
            if not data:
                break
            self.send_data(data, running, sized)
            if left > 0:
                left -= len(data)
        self.port.send(FINISH + running.digest())

    def send_data(self, data, running, sized):
        # type: (bytes, Any, bool) -> None
        running.update(data)
        if sized and data == NOTHING:
            self.port.send(ZEROS + struct.pack(RUN, len(data)))
        elif self.send_chunk and len(data) > LITTLE and type(data) is type(EMPTY):
            self.send_chunk(data)
        else:
            self.port.send(CHUNK + data)
        self.watch.moved(len(data))

    def pour_sparse(self, fd, at, size, running):
        # type: (int, int, int, Any) -> int
        """Send what stands before the last hole; return how much is left behind."""
        while at < size:
            try:
                data = os.lseek(fd, at, SEEK_DATA)
            except OSError:
                if sys.exc_info()[1].errno != errno.ENXIO:  # type: ignore[union-attr]
                    # A file system that knows of none.
                    break
                data = size
            data = min(data, size)
            while at < data:
                length = min(BLOCK, data - at)
                running.update(NOTHING[:length])
                self.port.send(ZEROS + struct.pack(RUN, length))
                self.watch.moved(length)
                at += length
            if at >= size:
                break
            end = min(os.lseek(fd, at, SEEK_HOLE), size)
            os.lseek(fd, at, 0)
            while at < end:
                block = transfer.read(fd, min(BLOCK, end - at))
                if not block:
                    return 0
                self.send_data(block, running, True)
                at += len(block)
        os.lseek(fd, at, 0)
        return size - at


def names_in(path):
    # type: (bytes) -> list[bytes]
    """Return the names in a folder, the last one first."""
    names = os.listdir(path)
    names.sort()
    names.reverse()
    return names


def read_all(fd, size):
    # type: (int, int) -> bytes
    data = transfer.read(fd, size)
    if len(data) == size:
        return data
    parts = [data]
    size -= len(data)
    while size > 0 and data:
        data = transfer.read(fd, size)
        parts.append(data)
        size -= len(data)
    return EMPTY.join(parts)


def send(channel, path, options):
    # type: (Any, bytes, dict[str, Any]) -> tuple[Any, ...]
    """Send what is at `path` through `channel`; return how that went, in values."""
    options = dict([(str(key), options[key]) for key in options])
    return transfer.attempt(lambda: Sender(transfer.Far(channel), located(path), options).run())
