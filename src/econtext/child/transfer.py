"""
What both ends of a transfer of files share: its messages, its checksums, its errors.

One end is the sender (``child.sending``), the other the receiver (``child.receiving``): here and in a
context, or in two contexts.  A message is bytes, of which the first tells the kind:

    G  to the receiver   the checksums that the sender knows, once
    L  to the receiver   a batch of entries; an entry has a name without a folder
    N  to the sender     which files of the oldest batch are wanted, and from where on
    S  to the receiver   small files, whole, each with its checksum
    B, C, Z, F           begin a large file; its bytes; a run of zeros; finish it, with its checksum
    V  to the receiver   a file that was listed is gone
    K  to the receiver   that was all of the oldest batch
    E  to the receiver   that was the last batch

A folder is listed as DIR, its entries in ascending order of their names, and LEAVE.  What is in it and is not
sent is listed as STAYS: it is no reason to remove what has its name at the receiver.

Invariants:

* Names are bytes on both ends, so that each name arrives as it was, whatever it is encoded in.
* What does not follow these rules raises Nonsense before anything is done for it.
* A context sends the bytes of a large CHUNK as they were read, and takes them as a view of where they came, without a
  copy.

Pure, but for the checksums of files and the pipes of the link.  Fetched with the first transfer; runs in the
controller too.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

import errno
import os
import struct
import sys
try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

from econtext.child.parts import window
from econtext.core import codec
from econtext.core.wire import EMPTY
try:
    from hashlib import md5, sha256
    SUMS = {'sha256': sha256, 'md5': md5}  # type: dict[str, Any]
except ImportError:
    # Python 2.4.
    from md5 import new as _md5  # type: ignore[import-not-found]
    SUMS = {'md5': _md5}
BEST = ('sha256', 'md5')    # the best first
KNOWN = [name for name in BEST if name in SUMS]

GREETING, LIST, NEED, SMALL, BEGIN, CHUNK, ZEROS, FINISH, VANISHED, KEPT, END = [
    letter.encode('ascii') for letter in 'G L N S B C Z F V K E'.split()]
FILE, DIR, LINK, LEAVE, SPECIAL, STAYS = range(1, 7)

# kind, lengths of name, extra and checksum, mode, size, time of change in nanoseconds
ENTRY = '>BHHBIqq'
ENTRY_SIZE = struct.calcsize(ENTRY)
WANTED = '>IqB'         # index in the batch, bytes that are there, length of their checksum
WANTED_SIZE = struct.calcsize(WANTED)
PIECE = '>IIB'          # index, size, length of the checksum
PIECE_SIZE = struct.calcsize(PIECE)
START = '>Iq'           # index, where it starts
try:
    unpack_entry = struct.Struct(ENTRY).unpack_from
    unpack_piece = struct.Struct(PIECE).unpack_from
    pack_head = struct.Struct(ENTRY).pack
except AttributeError:
    # Python 2.4.
    def unpack_entry(data, at):     # type: ignore[misc]
        # type: (bytes, int) -> Any
        return struct.unpack(ENTRY, data[at:at + ENTRY_SIZE])

    def unpack_piece(data, at):     # type: ignore[misc]
        # type: (bytes, int) -> Any
        return struct.unpack(PIECE, data[at:at + PIECE_SIZE])

    def pack_head(*fields):     # type: ignore[misc]
        # type: (Any) -> bytes
        return struct.pack(ENTRY, *fields)
RUN = '>q'
INDEX = '>I'

BLOCK = (1 << 18) - 64  # bytes of a file in a message: with what is before them, one part of the link
LITTLE = 1 << 16        # bytes of a file that goes with others in one message
EXACT = 2000            # nanoseconds to which the oldest Python can set a time
BATCH = 1024            # entries
AHEAD = 4               # batches that were listed and are not answered
MANY = 64               # batches, beyond which a sender is no honest one
NOTHING = '\0'.encode('ascii') * BLOCK
SEPARATOR = '/'.encode('ascii')
BAD_NAMES = (EMPTY, '.'.encode('ascii'), '..'.encode('ascii'))
# Python 2.4 is told of whole seconds, unless asked otherwise for all that it runs.
COARSE = getattr(os, 'stat_float_times', None)  # type: Any
if sys.version_info >= (2, 5):
    COARSE = None
NUL = '\0'.encode('ascii')
SET_PIPE_SIZE = 1031    # F_SETPIPE_SZ of Linux, which fcntl knows since Python 3.10
ROOM = 1 << 20          # bytes in a pipe of the link
# How marshal writes bytes: this, their number, and they; Python 2 would have no views of them.
STRING = 's'.encode('ascii')
STRING_HEAD = '<ci'
STRING_SIZE = struct.calcsize(STRING_HEAD)
HAS_VIEWS = not isinstance('', type(EMPTY))


class Nonsense(ValueError):
    """The other end of a transfer says what makes no sense."""


class Broken(Exception):
    """The other end of a transfer is gone."""


class Entry(object):
    """A file, folder or link of a listing."""

    # Set by the receiver: where it goes; what is there of it already, and its running checksum.
    path = EMPTY
    offset = 0
    partial = None  # type: Any
    # Its folder, or of LEAVE the one that is left, and what was there beside what was listed.
    place = None    # type: Any
    beside = None   # type: Any
    # What the file was that it replaces.
    was = None      # type: Any

    def __init__(self, kind, name, mode=0, size=0, time=0, extra=EMPTY, digest=EMPTY):
        # type: (int, bytes, int, int, int, bytes, bytes) -> None
        self.kind = kind
        self.name = name
        self.mode = mode
        self.size = size
        self.time = time
        self.extra = extra      # who owns it; of a link its target, a NUL, and who owns it
        self.digest = digest


def pack_entry(entry):
    # type: (Entry) -> bytes
    return pack_head(
        entry.kind, len(entry.name), len(entry.extra), len(entry.digest), entry.mode, entry.size,
        entry.time) + entry.name + entry.extra + entry.digest


def unpack_entries(data, at):
    # type: (bytes, int) -> list[Entry]
    """Return the entries of a batch; raise Nonsense for others than such."""
    found = []
    end = len(data)
    while at < end:
        if end - at < ENTRY_SIZE:
            raise Nonsense('an entry that is cut off')
        kind, name_size, extra_size, sum_size, mode, size, time = unpack_entry(data, at)
        at += ENTRY_SIZE
        middle, last, after = at + name_size, at + name_size + extra_size, at + name_size + extra_size + sum_size
        if after > end or not FILE <= kind <= STAYS:
            raise Nonsense('an entry that is none')
        found.append(Entry(kind, data[at:middle], mode, size, time, data[middle:last], data[last:after]))
        at = after
    if len(found) > BATCH:
        raise Nonsense('a batch of too many entries')
    return found


def check_name(name):
    # type: (bytes) -> None
    """Raise Nonsense for what is not the name of an entry of a folder."""
    if name in BAD_NAMES or SEPARATOR in name or NUL in name:
        raise Nonsense('the name of an entry that leads elsewhere')


def pack_needs(algorithm, needs):
    # type: (str, list[tuple[int, int, bytes]]) -> bytes
    """Return which files are wanted: index, bytes that are there, their checksum."""
    parts = [NEED, struct.pack('>B', len(algorithm)), algorithm.encode('ascii')]
    for index, offset, digest in needs:
        parts.append(struct.pack(WANTED, index, offset, len(digest)) + digest)
    return EMPTY.join(parts)


def unpack_needs(data):
    # type: (bytes) -> tuple[str, list[tuple[int, int, bytes]]]
    """Return what ``pack_needs`` was given; raise Nonsense, struct.error or UnicodeError for other bytes."""
    size = struct.unpack('>B', data[1:2])[0]
    algorithm = str(data[2:2 + size].decode('ascii'))
    if algorithm not in SUMS:
        raise Nonsense('a checksum of no kind')
    at = 2 + size
    needs = []
    while at < len(data):
        index, offset, length = struct.unpack(WANTED, data[at:at + WANTED_SIZE])
        at += WANTED_SIZE
        digest = data[at:at + length]
        at += length
        if offset < 0 or len(digest) != length:
            raise Nonsense('a part of a file that is none')
        needs.append((index, offset, digest))
    return algorithm, needs


def close_in_time(one, other):
    # type: (int, int) -> bool
    """Is a time that was read here the same as another, to what the oldest Python can set and read?"""
    if COARSE is not None and not COARSE():
        return one // 10 ** 9 == other // 10 ** 9
    return abs(one - other) < EXACT


def time_of(status):
    # type: (Any) -> int
    """Return when a file was changed, in nanoseconds."""
    try:
        return int(status.st_mtime_ns)
    except AttributeError:
        # Before Python 3.3.
        return int(round(status.st_mtime * 1e6)) * 1000


def sum_of(fd, size, algorithm):
    # type: (int, int, str) -> Any
    """Return the running checksum of the first `size` bytes of a file, from where it stands; -1 for all."""
    digest = SUMS[algorithm]()
    while size:
        limit = BLOCK
        if 0 <= size < limit:
            limit = size
        data = read(fd, limit)
        if not data:
            break
        digest.update(data)
        if size > 0:
            size -= len(data)
    return digest


def repeated(function):
    # type: (Any) -> Any
    """Return a function that a signal does not end."""
    def repeat(*args):
        # type: (Any) -> Any
        while 1:
            try:
                return function(*args)
            except (IOError, OSError):
                if sys.exc_info()[1].errno != errno.EINTR:  # type: ignore[union-attr]
                    raise
    return repeat


read = os.read  # type: Callable[[int, int], bytes]
write = os.write  # type: Callable[[int, Any], int]
if sys.version_info < (3, 5):
    # From then on they go on by themselves.
    read, write = repeated(os.read), repeated(os.write)


def join(folder, name):
    # type: (bytes, bytes) -> bytes
    if folder[-1:] == SEPARATOR:
        return folder + name
    return folder + SEPARATOR + name


def failed(number, text, path=None):
    # type: (int, str, Any) -> Any
    """Return the OSError of our own that says `text`."""
    return OSError(number, text, path)


def as_bytes(value):
    # type: (Any) -> Any
    """Return a path or an answer as bytes, also where Python 2 takes bytes for text."""
    if isinstance(value, type(EMPTY)) or value is None:
        return value
    try:
        return value.encode('utf-8', 'surrogateescape')
    except LookupError:
        return value.encode('utf-8')


def failure(error):
    # type: (Any) -> tuple[Any, ...]
    """Return an OSError in values that cross."""
    path = getattr(error, 'filename', None)
    if path is not None:
        path = as_bytes(path)
    text = getattr(error, 'strerror', None)
    if text is None:
        text = str(error)
    return 'error', errno.errorcode.get(error.errno, 'EIO'), text, path


def attempt(function, *args):
    # type: (Any, Any) -> tuple[Any, ...]
    """Return ('done', what the function returns), or what went wrong, in values."""
    try:
        return 'done', function(*args)
    except EnvironmentError:
        return failure(sys.exc_info()[1])
    except Broken:
        return ('broken',)


class Far(object):
    """A channel, in a context, as a transfer uses it."""

    def __init__(self, channel):
        # type: (Any) -> None
        self.channel = channel
        widen(channel.home.link)

    def send(self, data):
        # type: (bytes) -> None
        try:
            self.channel.send(data)
        except sys.modules['econtext'].EcontextError:
            raise Broken

    def send_chunk(self, data):
        # type: (bytes) -> None
        """Send bytes of a file, without a copy of them."""
        if not self.channel.end.send(codec.tagged(codec.BYTES, len(data) + 1) + CHUNK, data):
            raise Broken

    def get(self):
        # type: () -> Any
        """Return the next message, a large CHUNK as a view of where it was read."""
        body = self.channel.end.get()
        if body is None:
            raise Broken
        return taken(body, self.channel.home.restore)


def taken(body, restore):
    # type: (Any, Any) -> Any
    """Return the value that marshal wrote, a large CHUNK as a view."""
    size = len(body)
    if HAS_VIEWS and size > LITTLE and body[STRING_SIZE:STRING_SIZE + 1] == CHUNK and (
            struct.unpack(STRING_HEAD, body[:STRING_SIZE]) == (STRING, size - STRING_SIZE)):
        return window(body)[STRING_SIZE:]
    import marshal
    return restore(marshal.loads(body))


def widen(link):
    # type: (Any) -> None
    """Have the pipes of a link hold more, so that the programs at their ends take turns less often."""
    for fd in link.fd, link.out:
        try:
            fcntl.fcntl(fd, SET_PIPE_SIZE, ROOM)
        except (AttributeError, TypeError, ValueError, EnvironmentError):
            # No pipe, another system, or the limit of the user is reached.
            pass


class Watch(object):
    """Hears how far a transfer is."""

    def wanted(self, size):
        # type: (int) -> None
        """A file of so many bytes is to go."""

    def listed(self):
        # type: () -> None
        """No more files will come than were wanted."""

    def began(self, path):
        # type: (bytes) -> None
        """A file begins."""

    def moved(self, size):
        # type: (int) -> None
        """So many bytes have gone."""
