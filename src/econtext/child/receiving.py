"""
The receiver of a transfer of files: has what is listed compared with what is there, and writes what differs.

The strategy: a file is a draft beside its place (``child.drafts``) until all of it is there and checked.  The sender
names entries of the folder that was entered last, so it cannot name a place elsewhere.  Whoever may write into
the target meanwhile leads nothing elsewhere, either: see ``child.folders``.  A small file comes whole, so it is
checked before its draft is begun.

Invariants:

* Nothing is written outside of the target: names hold no separator, names of a folder ascend, so that none
  comes twice, and no symbolic link below the target is followed.
* Where a file stood stands the old one or the new one, whole and of the checksum that was sent, whatever
  fails when.
* Nobody else can read a file before it has its place, and the mode that it has there.
* What stands there and is not listed stays, and a folder gives way to nothing else, unless `delete` is asked;
  then it is removed after all that came for its folder.
* Memory and descriptors do not follow the number or the size of files.

Fetched with the first transfer; runs in the controller too.  One thread for each Receiver.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from econtext.child.folders import Place
    from econtext.child.transfer import Entry

import errno
import os
import stat
import struct
import sys

from econtext.child import transfer
from econtext.child.comparing import Comparison
from econtext.child.drafts import (
    DRAFTS, Draft, claim, discard, keep_owner, lasting_draft, mode_of_old, name_beside,
    name_to_resume, new_draft, note, write_new)
from econtext.child.folders import DOT, QUICK, Target, identity, located, open_folder, remove, replaced
from econtext.child.parts import window
from econtext.child.transfer import (
    BEGIN, BLOCK, CHUNK, DIR, END, EXACT, FILE, FINISH, GREETING, INDEX, KEPT, LEAVE, LINK, LIST, MANY, NOTHING,
    PIECE_SIZE, RUN, SMALL, STAYS, START, SUMS, VANISHED, ZEROS, Nonsense, check_name, failed, join,
    pack_needs, sum_of, time_of, unpack_entries, unpack_piece)
from econtext.core.wire import EMPTY

MOST_PARTIALS = 16  # files that were begun earlier, and are held open until they are served
OPEN_TO_OWNER = int('700', 8)
TOO_MUCH = 'more of a file than it has'


class Receiver(object):
    """Writes what comes through `port` to `target`, or into `file`."""

    def __init__(self, port, target, options, watch=None, file=None):
        # type: (Any, bytes, dict[str, Any], Any, Any) -> None
        self.port = port
        self.target = target
        self.file = file
        self.name = options.get('name')  # type: Any
        self.into = options.get('into', False)  # type: Any
        self.comparison = Comparison(options, target)  # type: Comparison
        self.delete = options.get('delete', False)  # type: Any
        self.resume = options.get('resume', False)  # type: Any
        self.durable = options.get('durable')  # type: bool | None
        # Of no end is only what comes from a program that is trusted.
        self.endless = not options.get('safe')  # type: bool
        self.watch = watch or transfer.Watch()  # type: Any
        self.algorithm = ''  # type: str
        self.batches = []   # type: list[list[Entry]]
        # (place, names that were there, the last name that was listed, whether the folder is new)
        self.stack = []     # type: list[list[Any]]
        self.inside = Target()  # type: Target
        self.partials = 0  # type: int
        self.left = -1  # type: int
        self.error = None  # type: Any
        self.begun = False  # type: bool
        self.single = False  # type: bool
        self.checked = False  # type: bool
        self.now = None     # type: Any
        # What a write that fails is about.
        self.entry = None   # type: Any
        self.draft = None  # type: Any
        self.running = None  # type: Any
        self.path = target  # type: bytes
        self.files = 0  # type: int
        self.bytes = 0  # type: int
        self.same = 0  # type: int
        self.deleted = 0  # type: int
        self.digest = None  # type: Any

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
                kind = data[:1]
                if type(data) is not type(EMPTY):
                    # A view is what a large chunk comes as, and has no hash.
                    kind = CHUNK
                if kind == END:
                    break
                taker = takers.get(kind)
                if taker is None:
                    raise Nonsense('a message of no kind')
                self.entry = self.now
                try:
                    taker(data)
                except struct.error:
                    raise Nonsense('a message that is cut off')
                except OSError:
                    error = sys.exc_info()[1]   # type: Any
                    if error.filename is None and self.entry is not None and self.file is None:
                        # The disk is full, say: a descriptor has no name.
                        error.filename = self.entry.path
                    raise
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
        draft, self.draft = self.draft, None
        try:
            if draft is not None:
                draft.give_up()
        finally:
            for batch in self.batches:
                for entry in batch:
                    self.forget(entry)
            self.inside.close()

    def forget(self, entry):
        # type: (Entry) -> None
        """Let go of what an earlier transfer left of a file."""
        if entry.partial is not None:
            os.close(entry.partial[0].fd)
            entry.partial = None
            self.partials -= 1

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
            above, entry.name = os.path.split(self.path)
            try:
                entry.place = self.inside.begin(open_folder(above), above)
            except OSError:
                error = sys.exc_info()[1]   # type: Any
                raise failed(error.errno, error.strerror, self.path)
            if self.durable is None:
                self.durable = True
            self.comparison.is_of_one_file()
            folder = self.inside.served_in(entry.place)
            return self.differs(folder, entry, folder.seen(entry.name))
        if entry.kind != DIR or self.file is not None:
            raise Nonsense('neither a file nor a folder')
        path = self.target
        if self.into:
            if not os.path.isdir(path):
                raise failed(errno.ENOTDIR, 'Not a folder, although the path ends with /', path)
            path = join(path, self.own_name())
        entry.path = self.path = path
        new = False
        try:
            os.stat(path)
        except OSError:
            new = made(lambda: os.mkdir(path, OPEN_TO_OWNER))
            if not new and not os.path.isdir(path):
                raise failed(errno.EEXIST, os.strerror(errno.EEXIST), path)
        folder = open_folder(path)
        self.push(self.inside.begin(folder, path), folder, new)
        self.open_up(folder)
        return False

    def own_name(self):
        # type: () -> bytes
        if self.name is None:
            raise failed(errno.EISDIR, 'Is a folder, and the source has no name: give the path of one', self.target)
        check_name(self.name)
        return self.name    # type: ignore[no-any-return]

    def place_of_file(self):
        # type: () -> bytes
        """Return where the one file goes."""
        path = self.target
        folder = os.path.isdir(path)
        if self.into and not folder:
            raise failed(errno.ENOTDIR, 'Not a folder, although the path ends with /', path)
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
            raise failed(errno.EEXIST, 'Not a regular file: it is not replaced', path)
        return path

    def enter(self, entry):
        # type: (Entry) -> bool
        """Make room for an entry of the folder that was entered last; tell whether its file is wanted."""
        top = self.stack[-1]
        check_name(entry.name)
        if entry.name <= top[2]:
            raise Nonsense('names of a folder that do not ascend')
        name = top[2] = entry.name
        if top[1]:
            top[1].pop(name, None)
        if entry.kind == STAYS:
            return False
        folder = self.inside.listed_in(top[0])
        status = kind = None
        # Where nothing is, nothing is to be compared; should anything come meanwhile, it gives way as it would
        # behind a look.
        if not (top[3] and entry.kind == FILE):
            status = folder.seen(name)
        if status is not None:
            kind = stat.S_IFMT(status.st_mode)
            comparison = self.comparison
            if comparison.by_look and entry.kind == FILE and kind == stat.S_IFREG and comparison.looks_same(
                    entry, status):
                # Without a path it is not taken, should it be sent all the same.
                self.same += 1
                return False
        entry.place = top[0]
        entry.path = folder.full(name)
        if entry.kind == DIR:
            if kind is not None and kind != stat.S_IFDIR:
                if not self.delete:
                    raise failed(errno.ENOTDIR, 'Not a folder: only delete=True replaces it', entry.path)
                folder.unlink(name)
                self.deleted += 1
                kind = None
            if kind is None and not made(lambda: folder.mkdir(name, OPEN_TO_OWNER)):
                # Entered as one that was there: what is no folder is none.
                kind = stat.S_IFDIR
            child = self.inside.enter(name, top[0])
            self.open_up(child)
            self.push(child.place, child, kind is None)
            return False
        if entry.kind not in (FILE, LINK):
            raise Nonsense('an entry that is no file, folder or link')
        if kind == stat.S_IFDIR:
            if not self.delete:
                raise failed(errno.EISDIR, 'Is a folder: only delete=True replaces it', entry.path)
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

    def push(self, place, folder, new):
        # type: (Place, Any, bool) -> None
        there = {}  # type: dict[bytes, bool]
        if self.delete:
            there = dict.fromkeys(folder.names(), True)
        self.stack.append([place, there, EMPTY, new and not self.delete])

    def leave(self, entry):
        # type: (Entry) -> bool
        """The last entry of a folder was listed; what is left to do for it is done behind its files."""
        place, there = self.stack.pop()[:2]
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
        name, owners = entry.name, self.comparison.owners
        if kind == stat.S_IFLNK and folder.readlink(name) == target:
            self.same += 1
            if owners:
                status = folder.lstat(name)
                owners.give(lambda uid, gid: folder.own_link(name, uid, gid), owner, status)
            return
        beside = name_beside(name)
        note(folder.full(beside))
        try:
            folder.symlink(target, beside)
            if owners:
                owners.give(lambda uid, gid: folder.own_link(beside, uid, gid), owner, folder.lstat(beside))
            folder.rename(beside, name)
            DRAFTS.pop(folder.full(beside), None)
        finally:
            if folder.full(beside) in DRAFTS:
                discard(folder, beside)
        self.files += 1

    def differs(self, folder, entry, status):
        # type: (Any, Entry, Any) -> bool
        """Is the file of `entry` wanted? Its mode and times are set if not; what is there of it is noted."""
        entry.was = status
        comparison = self.comparison
        if comparison.how and status is not None and stat.S_ISREG(status.st_mode) and status.st_size == entry.size:
            try:
                if comparison.adjusted(folder, entry, status):
                    self.same += 1
                    return False
            except OSError:
                # What cannot be read differs, and what cannot be changed is replaced.
                pass
        if self.resume:
            self.find_partial(folder, entry)
        return True

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
        entry.partial = Draft(folder, name, fd, True), running
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
        self.watch.began(entry.path)
        self.entry = entry
        return entry

    def take_small(self, data):
        # type: (bytes) -> None
        at, end = 1, len(data)
        checksum = SUMS[self.algorithm]
        # Is nothing but content, mode and times to be given to a file?
        simple = self.comparison.times and self.comparison.modes and QUICK and not (
            self.resume or self.durable or self.comparison.owners or self.single or self.file)
        while at < end:
            index, size, length = unpack_piece(data, at)
            at += PIECE_SIZE
            entry = self.wanted(index)
            content = data[at:at + size]
            at += size
            digest = data[at:at + length]
            at += length
            if entry.size > 0 and len(content) > entry.size:
                raise Nonsense(TOO_MUCH)
            found = checksum(content).digest()
            if found != digest:
                self.check(entry, found, digest)
            folder = None
            if simple and entry.was is None:
                folder = self.inside.served_in(entry.place)
            if folder is not None and folder.fd is not None:
                write_new(folder, entry.name, content, self.comparison.mode_of(entry), entry.time)
                self.files += 1
                self.bytes += len(content)
            else:
                self.begin(entry, 0)
                self.write(content)
                self.finish(entry, found, len(content))
            self.watch.moved(size)

    def take_begin(self, data):
        # type: (bytes) -> None
        index, start = struct.unpack(START, data[1:])
        entry = self.wanted(index)
        if start and start != entry.offset:
            raise Nonsense('a start that was not agreed')
        self.running = SUMS[self.algorithm]()
        self.left = -1
        if entry.size > 0:
            self.left = entry.size - start
        if start and entry.partial is not None:
            self.running = entry.partial[1]
        self.begin(entry, start)
        self.now = entry

    def begin(self, entry, start):
        # type: (Entry, int) -> None
        """Have the draft of a file ready to be written to."""
        if self.file is not None:
            return
        folder = self.inside.served_in(entry.place)
        if entry.partial is not None:
            draft = self.draft = entry.partial[0]
            entry.partial = None
            self.partials -= 1
            draft.folder = folder
            draft.start_at(start)
        elif self.resume:
            self.draft = lasting_draft(folder, entry.name)
        else:
            self.draft = new_draft(folder, entry.name)

    def count(self, size):
        # type: (int) -> None
        """Raise Nonsense for more of a file than was listed."""
        if self.left >= 0:
            self.left -= size
            if self.left < 0:
                raise Nonsense(TOO_MUCH)

    def take_chunk(self, data):
        # type: (bytes) -> None
        if self.now is None or len(data) > BLOCK + 1:
            raise Nonsense('bytes of no file')
        size = len(data) - 1
        self.count(size)
        if self.file is not None:
            # A stranger's file may keep what it is given.
            content = data[1:]      # type: Any
        else:
            content = window(data)[1:]
        self.running.update(content)
        self.write(content)
        self.watch.moved(size)

    def write(self, data):
        # type: (Any) -> None
        if self.file is not None:
            self.file.write(data)
            self.bytes += len(data)
        else:
            self.draft.write(data)

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
            self.bytes += size
        else:
            self.draft.skip(size)
        self.watch.moved(size)

    def take_finish(self, data):
        # type: (bytes) -> None
        entry, self.now = self.now, None
        if entry is None:
            raise Nonsense('the end of no file')
        found = self.running.digest()
        self.check(entry, found, data[1:])
        size = 0
        if self.file is None:
            size = self.draft.end_here()
        self.finish(entry, found, size)

    def take_vanished(self, data):
        # type: (bytes) -> None
        self.forget(self.wanted(struct.unpack(INDEX, data[1:])[0]))

    def check(self, entry, found, digest):
        # type: (Entry, bytes, bytes) -> None
        if found != digest:
            if self.draft is not None:
                # Nothing of it is worth to be resumed.
                self.draft.lasting = False
            raise failed(errno.EIO, 'The checksum of what arrived differs from that of what was sent', entry.path)

    def finish(self, entry, digest, size):
        # type: (Entry, bytes, int) -> None
        """Put a file of `size` bytes in its place; it was checked."""
        if self.single:
            self.digest = digest
        self.files += 1
        if self.file is not None:
            return
        self.bytes += size
        draft = self.draft
        folder, beside, fd = draft.folder, draft.name, draft.fd
        keep_owner(draft, entry.was)
        if self.comparison.owners:
            self.comparison.owners.give(
                lambda uid, gid: folder.set_owner(beside, fd, uid, gid), entry.extra, os.fstat(fd))
        mode = self.comparison.mode_of(entry)
        if mode is None:
            mode = mode_of_old(folder, entry.was)
        folder.set_mode(beside, fd, mode)
        if self.comparison.times and self.comparison.modes:
            folder.set_file_times(beside, fd, entry.time)
        draft.place(entry.name, self.durable)
        self.draft = None

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
                self.forget(entry)
        del self.batches[0]

    def settle(self, entry):
        # type: (Entry) -> None
        """Remove what was not listed, and give a folder its mode and times."""
        place = entry.place
        folder = self.inside.served_in(place)
        if place.above is None and identity(os.stat(place.path or DOT)) != place.which:
            raise replaced(place.path)
        names = list(entry.beside)
        names.sort()
        for name in names:
            self.deleted += remove(folder, name)
        try:
            status = folder.status()
            if self.comparison.owners:
                self.comparison.owners.give(folder.chown, entry.extra, status)
            mode = entry.mode & self.comparison.most_mode
            if self.comparison.modes and stat.S_IMODE(folder.status().st_mode) != mode:
                folder.chmod(mode)
            if self.comparison.times and abs(time_of(status) - entry.time) >= EXACT:
                folder.set_times(entry.time)
        except OSError:
            # A folder of another user; told of behind all that can be done.
            if self.error is None:
                self.error = sys.exc_info()[1]


def made(make):
    # type: (Callable[[], Any]) -> bool
    """Make a folder; tell whether it is ours. Else another transfer, for example, made it at the same moment."""
    try:
        make()
    except OSError:
        if sys.exc_info()[1].errno != errno.EEXIST:     # type: ignore[union-attr]
            raise
        return False
    return True


def divided(text, by):
    # type: (bytes, bytes) -> tuple[bytes, bytes]
    """Return what stands before and behind the first `by`."""
    parts = text.split(by, 1)
    return parts[0], EMPTY.join(parts[1:])


def receive(channel, target, options):
    # type: (Any, bytes, dict[str, Any]) -> tuple[Any, ...]
    """Write what comes through `channel` to `target`; return how that went, in values."""
    options = dict([(str(key), options[key]) for key in options])
    return transfer.attempt(lambda: Receiver(transfer.Far(channel), located(target), options).run())
