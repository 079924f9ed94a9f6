"""
A worker's end: find the daemon of the run, or start it.

Invariants:

* Of processes that find no daemon one starts it, under a lock; the others use that.
* The lock passes to the daemon, which gives it back when it listens: who gets the lock and finds no daemon may start
  one, for there is none on its way.
* The socket lies in the private folder that Ansible makes for each run, and removes: no other user can enter, and
  nothing stays of a daemon that was killed.
* A daemon that was killed is replaced.
* A worker ends with its run, however that ends (on Linux): nobody takes its result, and the pipe for results, whose
  end to read from each worker has as well, may be full.

Any thread may enter; a `Link` is one thread's.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
from multiprocessing import parent_process
from typing import IO, Any

from econtext.ansible import wire

SOCKET = 'econtext'
LOCK = 'econtext.lock'
LOG = 'econtext.log'
MODULE = 'econtext.ansible.daemon'
TRIES = 3
TOLD = 2000     # characters of a daemon's last words
PARENT_DEATH = 1    # prctl(PR_SET_PDEATHSIG)


class DaemonError(Exception):
    """The daemon cannot be had: the text says why."""


class Link:
    """A connection to the daemon of the run whose main process is `pid`, and whose private folder is `folder`."""

    def __init__(self, folder: str, pid: int) -> None:
        self.folder = folder
        self.pid = pid
        self._link: socket.socket | None = None

    def ask(self, request: dict[str, Any], seconds: float | None = None) -> tuple[str, Any]:
        """
        Return the answer to a request.

        Raise DaemonError if there is no daemon, if it goes away meanwhile, or if no answer comes for so many seconds.
        """
        if self._link is None:
            end_with(self.pid)
            self._link = self._found()
        self._link.settimeout(seconds)
        try:
            kind, value = wire.ask(self._link, request)
            return kind, value
        except TimeoutError:
            # The daemon gives the request up when it hears of the end.
            self.close()
            raise DaemonError(f'the command has not ended within {seconds:g} seconds') from None
        except EOFError as error:
            self.close()
            raise DaemonError(f'the econtext daemon of this run has ended: {error}{self._words()}') from None
        except BaseException:
            # A task that takes too long: the daemon gives the request up when it hears of the end.
            self.close()
            raise

    def close(self) -> None:
        """Leave the daemon."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def start_ahead(self) -> None:
        """Have a daemon started if there is none, without waiting for the daemon; raise OSError if it cannot be."""
        with self._lock() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # one is on its way
            link = self._connected()
            if link is None:
                self._start(lock)
            else:
                link.close()

    def _found(self) -> socket.socket:
        link = self._connected()
        for _ in range(TRIES):
            if link is not None:
                return link
            with self._lock() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                link = self._connected()
                if link is None:
                    self._start(lock)
        # The last that was started has its turn, too.
        with self._lock() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            link = self._connected()
        if link is None:
            raise DaemonError(f'the econtext daemon of this run does not start{self._words()}')
        return link

    def _lock(self) -> IO[bytes]:
        return open(os.path.join(self.folder, LOCK), 'ab')

    def _connected(self) -> socket.socket | None:
        made = socket.socket(socket.AF_UNIX)
        place = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            made.connect(short(self.folder, place))
            return made
        except OSError:
            made.close()
            return None
        finally:
            os.close(place)

    def _start(self, lock: IO[bytes]) -> None:
        """Start a daemon, to which the lock passes when the file is closed here."""
        with open(os.path.join(self.folder, LOG), 'ab') as log:
            daemon = subprocess.Popen(
                [sys.executable, '-m', MODULE, self.folder, str(self.pid), str(lock.fileno())],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True,
                pass_fds=[lock.fileno()])
        # A worker lives for one task, and the daemon for all: init waits for it.
        daemon.returncode = 0

    def _words(self) -> str:
        """Return the last that the daemon said, to stand behind a sentence."""
        try:
            with open(os.path.join(self.folder, LOG), encoding='utf-8', errors='replace') as log:
                said = log.read().strip()
        except OSError:
            said = ''
        return f'; its last words:\n{said[-TOLD:]}' if said else ''


def end_with(pid: int) -> None:
    """Have this process, if it is a worker of process `pid`, get SIGTERM when that ends, or now if that has ended."""
    made_by = parent_process()
    if made_by is None or made_by.pid != pid:
        return
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(PARENT_DEATH, signal.SIGTERM)
    if os.getppid() != pid:
        os.kill(os.getpid(), signal.SIGTERM)


def short(folder: str, place: int) -> str:
    """Return a path of the socket that is short enough for every system; `place` is the open folder."""
    path = os.path.join(folder, SOCKET)
    beside = f'/proc/self/fd/{place}/{SOCKET}'
    return beside if len(os.fsencode(path)) > 100 and os.path.exists('/proc/self/fd') else path
