"""
A terminal that is ours, for the questions of a program, and descriptors out of the way.

Some installations of Python have no module ``termios`` (Debian's minimal one): on
Linux two requests to the kernel stand for it.

Invariants:

* The terminal echoes nothing, and changes no byte of what a program prints.
* A terminal that cannot be had is None, never an error.

Any thread may enter.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

import errno
import fcntl
import os
import struct
import sys

try:
    import termios
except ImportError:
    termios = None  # type: ignore[assignment]

# Of Linux on nearly every processor: get and set the modes; the flags in them.
TCGETS, TCSETS = 0x5401, 0x5402
OPOST, ECHO, ECHONL = 1, 8, 64
ROOM = 64           # bytes, more than any of these structures


def open_terminal():
    # type: () -> tuple[int, int] | None
    """
    Return both ends of a new terminal, or None where there is none to be had.

    A program that asks nothing does without; one that asks will say so.
    """
    try:
        ends = os.openpty()
    except OSError:
        return None
    try:
        ends = above(ends[0]), above(ends[1])
        hush(ends[1])
        os.ttyname(ends[1])
    except:
        # Which errors there are depends on what there is of termios.
        close(ends)
        return None
    return ends


def hush(slave):
    # type: (int) -> None
    """Let a terminal echo nothing, and change nothing of what is printed."""
    if termios is not None:
        mode = termios.tcgetattr(slave)
        mode[1] &= ~termios.OPOST
        mode[3] &= ~(termios.ECHO | termios.ECHONL)
        termios.tcsetattr(slave, termios.TCSANOW, mode)
    elif sys.platform.startswith('linux'):
        known = fcntl.ioctl(slave, TCGETS, '\0'.encode() * ROOM)
        modes = list(struct.unpack('4I', known[:16]))
        modes[1] &= ~OPOST
        modes[3] &= ~(ECHO | ECHONL)
        fcntl.ioctl(slave, TCSETS, struct.pack('4I', *modes) + known[16:])
    else:
        raise OSError(errno.ENOSYS, 'no termios here')


def control(slave):
    # type: (int) -> None
    """Make a terminal the controlling one of this session."""
    if hasattr(termios, 'TIOCSCTTY'):
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


def above(fd):
    # type: (int) -> int
    """
    Return `fd`, or a copy of it, such that programs do not inherit it.

    Nothing of ours may lie on 0, 1 or 2, not even where those are closed: there
    it would be overwritten on its way to the program.
    """
    if fd < 3:
        low, fd = fd, fcntl.fcntl(fd, fcntl.F_DUPFD, 3)
        os.close(low)
    fcntl.fcntl(fd, fcntl.F_SETFD, flags(fd) | fcntl.FD_CLOEXEC)
    return fd


def flags(fd):
    # type: (int) -> int
    """Return the flags of a descriptor; one that is closed is not inherited."""
    try:
        return fcntl.fcntl(fd, fcntl.F_GETFD)
    except (IOError, OSError):
        return fcntl.FD_CLOEXEC


def close(fds):
    # type: (Iterable[int | None]) -> None
    """Close descriptors; None is none."""
    for fd in fds:
        if fd is not None:
            os.close(fd)
