"""
What a file is to be like that a transfer of files brings, and whether the file in its place is like that already.

Invariants:

* A file that is the same by its content, or by size and time, is given the mode, the owner and the times that it is to
  have, and is not written.
* What is opened for that is the very file that was looked at: one that has come into its place meanwhile is refused.

Fetched with ``receiving``.  One thread for each Comparison.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from econtext.child.transfer import Entry

import os
import stat

from econtext.child import transfer
from econtext.child.drafts import SAFE_MODE, Owners
from econtext.child.folders import identity, replaced
from econtext.child.transfer import SUMS, close_in_time, sum_of, time_of

EVERY_MODE = int('7777', 8)


class Comparison(object):
    """What the `options` of a transfer to `target` say of its files."""

    def __init__(self, options, target):
        # type: (dict[str, Any], bytes) -> None
        self.mode = options.get('mode')  # type: Any
        self.modes = options.get('modes', True)  # type: Any
        self.times = options.get('times', True)  # type: Any
        self.owners = None  # type: Any
        if options.get('owner'):
            self.owners = Owners(options['owner'], target)
        self.how = options.get('compare')  # type: str | None
        if self.how == 'always':
            self.how = None
        # Does a look tell whether a file is the same, without opening it?
        self.by_look = bool(self.how) and self.how != 'content' and not self.owners  # type: bool
        self.most_mode = EVERY_MODE  # type: int
        if options.get('safe'):
            self.most_mode = SAFE_MODE

    def is_of_one_file(self):
        # type: () -> None
        """No folder is sent: then the file is always sent, unless a comparison was asked for."""
        if self.how == 'time_of_folder':
            self.how = None

    def mode_of(self, entry):
        # type: (Entry) -> Any
        """Return the mode that a file is to have, None for what it has or gets anyway."""
        if self.mode is not None:
            return self.mode
        if not self.modes:
            return None
        return entry.mode & self.most_mode

    def looks_same(self, entry, status):
        # type: (Entry, Any) -> bool
        """Has a regular file that is there the size, time and mode of `entry`?"""
        if status.st_size != entry.size or not close_in_time(time_of(status), entry.time):
            return False
        mode = self.mode_of(entry)
        return mode is None or stat.S_IMODE(status.st_mode) == mode

    def adjusted(self, folder, entry, status):
        # type: (Any, Entry, Any) -> bool
        """Is what is there the file of `entry`? Then give it what that has beside its content."""
        fd = None   # type: Any
        try:
            in_time = close_in_time(time_of(status), entry.time)
            if self.how != 'content':
                if not in_time:
                    return False
            else:
                fd = open_again(folder, entry.name, status)
                if not same_content(fd, entry):
                    return False
            mode = self.mode_of(entry)
            if mode is not None and stat.S_IMODE(status.st_mode) == mode:
                mode = None
            if mode is None and not self.owners and (in_time or not self.times):
                return True
            if fd is None:
                fd = open_again(folder, entry.name, status)
            if self.owners and self.owners.give(
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


def open_again(folder, name, status):
    # type: (Any, bytes, Any) -> int
    """Open the file that `status` is of."""
    fd = folder.open(name, os.O_RDONLY)     # type: int
    if identity(os.fstat(fd)) != identity(status):
        os.close(fd)
        raise replaced(folder.full(name))
    return fd


def same_content(fd, entry):
    # type: (int, Entry) -> bool
    for name in transfer.BEST:
        if name in SUMS and SUMS[name]().digest_size == len(entry.digest):
            return sum_of(fd, -1, name).digest() == entry.digest    # type: ignore[no-any-return]
    return False
