"""
The process that runs one command for the near end of that command: see ``front``.

Invariants:

* The command finds what it would find in a process of its own: descriptors, folder, environment, mode for new files,
  arguments, paths of modules, ignored signals.  It has a session of its own, and no terminal that controls it.
* The process shares no descriptor with the server but the pipe for its notes.
* It ends without the cleanup of the server's process, of which it is a copy.

``become_worker`` is entered by the main thread of the forked process, the rest by that of the server.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from econtext.command_line.service.holder import Holder, close_all_but, reset_signals, take_environment
from econtext.command_line.service.requests import Request
from econtext.command_line.service.warm import Declined, Keeper

DECLINED = b'declined'
FAULT = 1       # an exception of ours, which was shown: as Python has it
MOST = 1 << 12  # bytes of a note: so much is written to a pipe whole or not at all

Known = dict[str, str]


class Worker:
    """The process of one command, as the server sees it."""

    def __init__(self, pid: int, told: int) -> None:
        self.pid = pid
        # What it notes.
        self.told = told

    @staticmethod
    def start(request: Request, fds: Sequence[int], holder: Holder, known: Known, idle: float) -> Worker:
        """Fork a process that runs the command."""
        told, telling = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(told)
            os.close(telling)
            raise
        if not pid:
            become_worker(request, fds, holder, known, idle, telling)
        os.close(telling)
        return Worker(pid, told)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def notes(self, known: Known) -> bool:
        """Take what the process has noted, now that it has ended; return whether it declined the command."""
        data = b''
        while piece := os.read(self.told, MOST):
            data += piece
        os.close(self.told)
        lines = data.split(b'\n')
        for line in lines:
            key, tab, word = line.decode('utf-8', 'surrogateescape').rpartition('\t')
            if tab:
                known[key] = word
        return DECLINED in lines


def become_worker(
    request: Request, fds: Sequence[int], holder: Holder, known: Known, idle: float, telling: int
) -> NoReturn:
    """Run the command, in a process that was forked for that, and end."""
    status = FAULT
    try:
        os.setsid()
        reset_signals()
        for number in request.ignored:
            signal.signal(number, signal.SIG_IGN)
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
        close_all_but({0, 1, 2, telling, holder.ready})
        try:
            take_place(request)
        except OSError:
            # The folder is gone, say: this is told where the command runs.
            note(telling, DECLINED)
            status = 0
        else:
            status = run([os.fsdecode(word) for word in request.words], keeper(holder, known, idle, telling), telling)
    except BaseException:
        with contextlib.suppress(Exception):
            traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def keeper(holder: Holder, known: Known, idle: float, telling: int) -> Keeper:
    """Return what gets contexts from the holder."""
    def attach() -> Any:
        import econtext
        # At its end as soon as the holder listens.
        os.read(holder.ready, 1)
        return econtext.attach(holder.path)

    def tell(key: str, word: str) -> None:
        note(telling, f'{key}\t{word}'.encode('utf-8', 'surrogateescape'))
    return Keeper(attach, known, tell, idle)


def note(fd: int, line: bytes) -> None:
    if len(line) < MOST and b'\n' not in line:
        os.write(fd, line + b'\n')


def take_place(request: Request) -> None:
    """Have what the command has in its own process."""
    os.chdir(request.cwd)
    os.umask(request.umask)
    take_environment(request)
    sys.path[:] = [os.fsdecode(each) for each in request.path]
    sys.argv[:] = ['econtext', *(os.fsdecode(word) for word in request.words)]
    # As Python itself makes them.
    sys.stdin = sys.__stdin__ = stream(0, 'r')      # type: ignore[misc]
    sys.stdout = sys.__stdout__ = stream(1, 'w')    # type: ignore[misc]
    sys.stderr = sys.__stderr__ = stream(2, 'w')    # type: ignore[misc]


def stream(fd: int, mode: str) -> io.TextIOWrapper:
    """Return a standard stream of a command."""
    before = (sys.__stdin__, sys.__stdout__, sys.__stderr__)[fd]
    encoding = before.encoding if before is not None else None
    errors = 'backslashreplace' if fd == 2 else before.errors if before is not None else None
    buffer: Any = open(fd, mode + 'b', closefd=False)  # noqa: SIM115 -- for the life of the process
    return io.TextIOWrapper(buffer, encoding, errors, '\n', fd == 2 or os.isatty(fd))


def run(words: Sequence[str], keeper: Keeper, telling: int) -> int:
    """Run the command line; return the exit status."""
    from econtext.command_line import application, connecting
    connecting.WARM.append(keeper)
    try:
        return application.run(words)
    except Declined:
        note(telling, DECLINED)
        return 0
