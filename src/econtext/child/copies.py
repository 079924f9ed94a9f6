"""
A copy of one file of a context to another place there.

Invariants:

* A copy is the old file or the new one, whole, like a transfer.
* Only a regular file is copied, as it was opened; a hole in the file stays one.

Fetched with the first such copy, and a module of its own, so that files and paths do without the receiver of a
transfer.  Entered by whoever carries out calls.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import errno
import os
import stat

from econtext.child import folders, transfer
from econtext.child.folders import NONBLOCK
from econtext.child.receiving import Receiver
from econtext.child.transfer import BLOCK, FILE, NOTHING, Entry, attempt, failed
from econtext.core.wire import EMPTY


def copy(path, other):
    # type: (bytes, bytes) -> tuple[Any, ...]
    """Copy the file `path` to `other`; return how that went, in values."""
    return attempt(copy_file, path, other)


def copy_file(path, other):
    # type: (bytes, bytes) -> None
    fd = folders.open_file(path, os.O_RDONLY | NONBLOCK)
    try:
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            raise failed(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(status.st_mode):
            raise failed(errno.EINVAL, 'Not a regular file', path)
        write(fd, other, Entry(FILE, EMPTY, stat.S_IMODE(status.st_mode), -1))
    finally:
        os.close(fd)


def write(fd, other, entry):
    # type: (int, bytes, Entry) -> None
    """Write what the file `fd` has to `other`, as if it had come from elsewhere."""
    receiver = Receiver(None, other, {'times': False, 'durable': False})
    receiver.algorithm = transfer.KNOWN[0]
    try:
        receiver.enter_root(entry)
        receiver.begin(entry, 0)
        while 1:
            data = transfer.read(fd, BLOCK)
            if not data:
                break
            if data == NOTHING:
                receiver.draft.skip(len(data))
            else:
                receiver.write(data)
        receiver.finish(entry, EMPTY, receiver.draft.end_here())
    finally:
        receiver.give_up()
