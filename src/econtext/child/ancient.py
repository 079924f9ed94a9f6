"""
What Python 2.4, 2.5 and 3.3 alone need.

* 2.4 has a ``struct`` that packs infinity and NaN in no byte order but the machine's
  own, and makes 0.0 of -0.0 in any other.
* 2.4 and 2.5 have no timer that counts processor time, see ``watch``: a guard, a process
  of its own, ends what goes on without the interpreter's lock after the link has ended.
* 3.3 has imports wait for a module that bears a mark, which its loader is to set.

Invariants:

* A float in bytes is as in ``struct``'s ``>d`` of every later Python.
* The guard is no child of this process, ends when it does, and touches nothing before
  the link has ended and GRACE, longer than an orderly end takes, is over.
* The guard stays in the session of this process, so the kernel gives the number that it kills to no later process.

Fetched by these Pythons alone, before HELLO.  ``install`` is entered by the main thread.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from econtext.child.interfaces import Home
    from econtext.core.loop import Link

import os
import select
import signal
import struct
import sys
from posix import fork     # not as `life` has it: this one is to keep the link

from econtext.core import codec
from econtext.core.loop import harden
from econtext.child.pull import Loader

GRACE = 3       # seconds
MOST = 1024     # descriptors: those that were open when the context began


def install(home, group):
    # type: (Home, int) -> None
    """Furnish a context; `group` is what os.kill calls its process group."""
    if sys.version_info < (2, 5):
        codec.ENCODERS[float] = lambda value: codec.sized('f', pack(value))
    if not hasattr(signal, 'setitimer'):
        guard(home.link, group)
    if sys.version_info[:2] == (3, 3):
        home.importer = Marking(home.importer, home)


# Floats.


def pack(value):
    # type: (float) -> bytes
    return in_order(struct.pack('d', value))


def unpack(data):
    # type: (bytes) -> float
    return struct.unpack('d', in_order(data))[0]  # type: ignore[no-any-return]


def in_order(data):
    # type: (bytes) -> bytes
    """Turn the bytes of one float from the machine's order to that of the wire, or back."""
    if sys.byteorder == 'little':
        data = data[::-1]
    return data


# Imports.


class Marking(Loader):
    """Marks a module while it is executed."""

    def load_module(self, name):
        # type: (str) -> Any
        module = sys.modules.setdefault(name, type(sys)(name))
        module.__initializing__ = True  # type: ignore[attr-defined]
        try:
            return Loader.load_module(self, name)
        finally:
            module.__initializing__ = False  # type: ignore[attr-defined]


# The guard.


def guard(link, whom):
    # type: (Link, int) -> None
    """Have a process of its own see to it that `whom`, our group, ends with the link."""
    read, write = os.pipe()
    harden(write)   # open as long as this process lives
    pid = fork()
    if pid:
        os.close(read)
        os.waitpid(pid, 0)
        return
    try:
        # Twice, so that no wait() of the application's finds it.
        if fork() == 0:
            keep(link.fd, read, whom)  # type: ignore[arg-type]
    finally:
        os._exit(0)


def keep(link, life, whom):
    # type: (int, int, int) -> None
    """Wait for the end of the link that is read from `link`; then end `whom`, if still there."""
    # A context that ends waits for the processes of its group.
    os.setpgid(0, 0)
    for wanted in signal.SIGTERM, signal.SIGHUP, signal.SIGINT:
        signal.signal(wanted, signal.SIG_IGN)
    for number in range(3, MOST):
        if number not in (link, life):
            try:
                os.close(number)
            except OSError:
                pass
    # 0 is at its end; 1 and 2 would have the context seem to live on.
    for number in 1, 2:
        os.dup2(0, number)
    poller = select.poll()
    # Nothing is read here: the ends alone are heard of.
    poller.register(link, 0)
    poller.register(life, 0)
    while not poller.poll():
        pass
    poller.unregister(link)
    if not poller.poll(GRACE * 1000):
        os.kill(whom, signal.SIGKILL)
