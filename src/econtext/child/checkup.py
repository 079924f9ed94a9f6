"""
What ``econtext.doctor`` has a context do, to see whether all of it works.

Fetched when it is called for, which is a test of that too.  Main thread.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

import os
import sys
import time

now = getattr(time, 'monotonic', time.time)  # type: Callable[[], float]


def whereabouts():
    # type: () -> tuple[int, str]
    """Return the user and the directory here."""
    try:
        return os.geteuid(), os.getcwd()
    except OSError:
        return os.geteuid(), 'a directory that is gone'


def clock():
    # type: () -> float
    """Return what time it is here, in seconds since 1970."""
    return time.time()


def nothing():
    # type: () -> None
    """Do nothing: what this takes is the way there and back."""


def take(data):
    # type: (bytes) -> int
    """Return how much arrived."""
    return len(data)


def give(size):
    # type: (int) -> bytes
    """Return so many bytes, of which no two kilobytes are alike."""
    piece = os.urandom(1024)
    return (piece * (size // 1024 + 1))[:size]


def speak(text):
    # type: (str) -> None
    """Print, write to standard error by a program, and log."""
    import logging
    sys.stdout.write(text + ' stdout\n')
    os.system('echo %s stderr >&2' % text)
    logging.getLogger('checkup').warning('%s logging', text)


def startup(path):
    # type: (str) -> float
    """Return how many seconds it takes to start the interpreter at `path`."""
    begun = now()
    os.spawnv(os.P_WAIT, path, [path, '-Ec', 'pass'])
    return now() - begun
