"""
The process of an isolated call, as it has to do with itself.

The strategy: ``live`` takes streams and descriptors of its own, says that it is there, waits for the word that it may
begin, calls the function, and says last of all what came of that.  Then the process ends.

Invariants:

* The process that was forked by ``separate`` speaks, and no other: a process that it forks itself may return from the
  function too, and then ends silently.  No exception leaves the forked process for the code that has forked it.
* In the process none of our threads runs, all signals of ours have the system's own effect, functions of ``atexit``
  are those that the function itself has registered, and nobody can be asked for anything: see ``forks``.
* The places of the streams of the context have new ones, whose locks no other thread holds.  What other threads have
  put into the old ones meanwhile is not of the call.

Sent with ``separate``, which imports it before the fork.  Entered by the one thread that the process has.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

import atexit
import errno
import fcntl
import os
import signal
import sys
import time

from econtext.child import ending, failure
from econtext.child.groups import now
from econtext.core.codec import encode
from econtext.core.logs import printer
from econtext.core.loop import CHUNK, start_new_thread
from econtext.core.wire import EMPTY

READY, GO = [letter.encode('ascii') for letter in 'R G'.split()]
LOCKED = 0.2        # seconds after which a stream is locked for ever
# What nobody refers to any more in a forked process, and yet is not to be closed.
KEPT = []  # type: list[Any]


class Inside(object):
    """The forked process, as it has to do with itself."""

    def __init__(self, work, said, outputs, crowded):
        # type: (Callable[[], Any], int, list[tuple[int, int]], bool) -> None
        self.pid = os.getpid()  # type: int
        self.work = work
        self.said = said
        # The function may close this descriptor, and open another one of its number.
        self.pipe = identity(said)  # type: Any
        self.outputs = outputs
        self.crowded = crowded
        # Those whose locks are free.
        self.streams = []   # type: list[Any]

    def live(self, word):
        # type: (int) -> None
        """Carry out the work; does not return."""
        status = 1
        try:
            os.setsid()
            for name in 'SIGURG', 'SIGPROF':
                signal.signal(getattr(signal, name), signal.SIG_DFL)
            self.take_streams()
            for fd, end in self.outputs:
                os.dup2(end, fd)
                os.close(end)
            write(self.said, READY)
            if read(word, 1) == GO:
                os.close(word)
                self.furnish()
                status = self.carry_out()
        except:
            # Of ours, or memory is out: nobody else tells.
            attempt(self.complain, *sys.exc_info())
        os._exit(status)

    def complain(self, *error):
        # type: (Any) -> None
        sys.stderr.write(failure.trace_text(*error))
        sys.stderr.flush()

    def take_streams(self):
        # type: () -> None
        """Put streams of our own into the places of those of the context, and empty these."""
        for fd, name, errors in (1, 'stdout', 'surrogateescape'), (2, 'stderr', 'backslashreplace'):
            stream = getattr(sys, name)
            KEPT.append(stream)
            try:
                if stream.fileno() != fd:
                    # The application's own, which leads elsewhere.
                    continue
                if not self.crowded or self.is_emptied(fd, stream):
                    # The application may have kept it.
                    self.streams.append(stream)
                setattr(sys, name, printer(fd, errors))
                self.streams.append(getattr(sys, name))
            except Exception:
                # Closed, or no stream that writes to a descriptor: the application's own raises what it likes.
                pass

    def is_emptied(self, fd, stream):
        # type: (int, Any) -> bool
        """Throw away what is in `stream`, which writes to `fd`; return False if it is locked."""
        own = fcntl.fcntl(fd, fcntl.F_DUPFD, 3)
        null = os.open('/dev/null', os.O_WRONLY)
        try:
            os.dup2(null, fd)
            return flush_in_time(stream)
        finally:
            os.dup2(own, fd)
            os.close(own)
            os.close(null)

    def furnish(self):
        # type: () -> None
        """Have functions of ``atexit`` and random numbers of our own."""
        ending.forget_exits()
        if not hasattr(os, 'register_at_fork') and 'random' in sys.modules:
            # Before Python 3.7 each fork would have the same.
            sys.modules['random'].seed()

    def carry_out(self):
        # type: () -> int
        """Return the status with which to end, having told what came of the work."""
        letter, status = 'v', 0
        try:
            body = encode(self.work())
        except:
            letter, status = 'e', 1
            if isinstance(sys.exc_info()[1], SystemExit):
                status = status_of(sys.exc_info()[1])
            body = failure.describe(*sys.exc_info())
        if os.getpid() == self.pid:
            # As Python ends: threads, then functions of `atexit`.
            ending.wait_for_threads()
            try:
                atexit._run_exitfuncs()
            except:
                # It was shown.
                pass
        self.flush()
        if os.getpid() == self.pid and identity(self.said) == self.pipe:
            write(self.said, ('%s%016x' % (letter, len(body))).encode('ascii'))
            write(self.said, body)
        return status

    def flush(self):
        # type: () -> None
        """Write what streams hold back."""
        for stream in [sys.stdout, sys.stderr] + self.streams:
            flush(stream)


def flush_in_time(stream):
    # type: (Any) -> bool
    """Flush `stream`; return False if a thread that is not here has locked it."""
    done = []   # type: list[bool]

    def act():
        # type: () -> None
        # The new thread may have the number of the one that is not here, which the lock tells it by an error.
        done.append(flush(stream))
    try:
        start_new_thread(act, ())
    except Exception:
        # There is no thread to be had.
        return False
    deadline = now() + LOCKED
    while not done:
        if now() > deadline:
            return False
        time.sleep(0.0001)
    return done[0]


def status_of(error):
    # type: (Any) -> int
    """Return the status with which Python ends for a SystemExit."""
    code = getattr(error, 'code', None)
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xff
    return 1


def flush(stream):
    # type: (Any) -> bool
    """Flush `stream`; return False if its lock says that this very thread is within it."""
    try:
        stream.flush()
    except RuntimeError:
        return False
    except Exception:
        # Closed, None, or its reader is gone.
        pass
    return True


def attempt(function, *args):
    # type: (Callable[..., Any], Any) -> None
    try:
        function(*args)
    except Exception:
        pass


def read(fd, size):
    # type: (int, int) -> bytes
    """Read once, and go on behind a signal."""
    while 1:
        try:
            return os.read(fd, size)
        except OSError:
            if sys.exc_info()[1].errno != errno.EINTR:  # type: ignore[union-attr]
                raise
    return EMPTY


def write(fd, data):
    # type: (int, bytes) -> None
    """Write all of `data`."""
    at = 0
    while at < len(data):
        try:
            at += os.write(fd, data[at:at + CHUNK])
        except OSError:
            if sys.exc_info()[1].errno != errno.EINTR:  # type: ignore[union-attr]
                raise


def identity(fd):
    # type: (int) -> Any
    """Return what tells a pipe from all others; None if there is none of that number."""
    try:
        return os.fstat(fd)[:3]
    except OSError:
        return None
