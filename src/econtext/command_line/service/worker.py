"""
The process that runs one command for the near end of that command: see ``front``.

Invariants:

* The command finds what it would find in a process of its own: descriptors, folder, environment, mode for new files,
  arguments, paths of modules, ignored signals.  It has a session of its own, and no terminal that controls it.
* The process shares no descriptor with the server but the pipe for its notes and the connection to the command.
* It tells the command how it has ended itself, once it has nothing of the command any more; its own end, which takes
  a moment, is nobody's time.  Only if it cannot, as a signal ended it, the server tells.
* It ends without the cleanup of the server's process, of which it is a copy.
* What is rehearsed touches no file, folder or stream of a user.

``become_worker`` and ``become_standby`` are entered by the main thread of the forked process, the classes by that of
the server.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import io
import os
import pickle
import select
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import click

import econtext
from econtext.command_line import application, connecting, output, session
from econtext.command_line.connecting import WarmContexts, Way
from econtext.command_line.service.holder import Holder, close_all_but, reset_signals, take_environment
from econtext.command_line.service.requests import DECLINED, ENDED, RUN, STATUS_BYTES, Request, decoded
from econtext.command_line.service.warm import Declined, Keeper, shared_host
from econtext.command_line.targets import Target

TOLD, LACKS, HOST = b'told', b'lacks', b'host'
ENDING = 0.5    # seconds that the descriptors of a server which was killed take to be closed, all of them
# The descriptors 0, 1 and 2 of a command, and the connection to it.
GIVEN = 4
PREPARED = b'p'
BLOCK = 1 << 16
FAULT = 1       # an exception of ours, which was shown: as Python has it
MOST = 1 << 12  # bytes of a note: so much is written to a pipe whole or not at all
ALL_SIGNALS = signal.valid_signals()
# What each command that has a server does with nothing of a user.
REHEARSED = {'run': ['run', 'host', '-c', ''], 'exec': ['exec', 'host', '--', 'true'], 'shell': ['shell', 'host']}

Known = dict[str, str]


class Worker:
    """The process of one command, as the server sees it."""

    def __init__(self, pid: int, told: int, holder: Holder) -> None:
        self.pid: int = pid
        # What it notes.
        self.told: int = told
        self.holder: Holder = holder

    @classmethod
    def start(cls, request: Request, fds: Sequence[int], holder: Holder, known: Known, idle: float) -> Worker:
        """Fork a process that runs the command."""
        pid, told, telling = fork_with_notes()
        if not pid:
            become_worker(request, fds, holder, known, idle, telling)
        return cls(pid, told, holder)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def notes(self, known: Known) -> Notes:
        """Take what the process has noted, now that it has ended."""
        data = b''
        while piece := os.read(self.told, MOST):
            data += piece
        os.close(self.told)
        lines = data.split(b'\n')
        host = None
        for line in lines:
            word, tab, rest = line.partition(b'\t')
            if tab and word == HOST:
                host = rest
            elif tab:
                known[rest.decode('utf-8', 'surrogateescape')] = word.decode()
        return Notes(TOLD in lines, LACKS in lines, host)


class Standby(Worker):
    """
    A process that waits for a command, with contexts on the host of an earlier one.

    Until then it is nobody's: it ends when the server lets go of it.
    """

    def __init__(
        self, pid: int, told: int, holder: Holder, control: socket.socket, host: bytes, before: Request
    ) -> None:
        super().__init__(pid, told, holder)
        self.control: socket.socket = control
        self.host: bytes = host
        #: The command before: the next one may be the same.
        self.before: Request = before

    @classmethod
    def prepare(cls, host: bytes, before: Request, holder: Holder, known: Known, idle: float) -> Standby:
        """Fork a process that waits for a command."""
        ours, theirs = socket.socketpair()
        try:
            pid, told, telling = fork_with_notes()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if not pid:
            become_standby(host, before, theirs, holder, known, idle, telling)
        theirs.close()
        ours.setblocking(False)
        return cls(pid, told, holder, ours, host, before)

    def is_prepared(self) -> bool:
        """Has it done what it can before a command comes?"""
        try:
            return self.control.recv(1, socket.MSG_PEEK) == PREPARED
        except OSError:
            return False

    def hand(self, data: bytes, fds: Sequence[int]) -> None:
        """Have it run the command of a request. Raise OSError if it is not to be had."""
        self.control.setblocking(True)
        sent = socket.send_fds(self.control, [data], list(fds))
        if sent < len(data):
            self.control.sendall(data[sent:])
        self.control.close()


class Notes(NamedTuple):
    """What a process that has ended says of its command."""

    #: Does the command know how it ended?
    told: bool
    #: Did it find no place for the descriptors of the command?
    lacks: bool
    #: The host that it was about, if another command may be, too.
    host: bytes | None


def fork_with_notes() -> tuple[int, int, int]:
    """Fork; return the process, 0 in that, and both ends of a pipe, of which each process has one."""
    told, telling = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(told)
        os.close(telling)
        raise
    os.close(telling if pid else told)
    return pid, told, telling


def become_worker(
    request: Request, fds: Sequence[int], holder: Holder, known: Known, idle: float, telling: int
) -> NoReturn:
    """Run the command, in a process that was forked for that, and end."""
    try:
        os.setsid()
        reset_signals()
        close_all_but({0, 1, 2, telling, holder.ready, *fds})
        carry_out(request, fds, keeper(holder, known, idle, telling), telling)
    finally:
        os._exit(FAULT)


def become_standby(
    host: bytes, before: Request, control: socket.socket, holder: Holder, known: Known, idle: float, telling: int
) -> NoReturn:
    """Wait for a command and run it, in a process that was forked for that, and end."""
    try:
        os.setsid()
        reset_signals()
        close_all_but({0, 1, 2, telling, holder.ready, control.fileno()})
        contexts = keeper(holder, known, idle, telling)
        # Without what is prepared a command begins as it would in a new process.
        with contextlib.suppress(Declined, econtext.EcontextError):
            contexts.prepare(pickle.loads(base64.b64decode(host)))
        words = [os.fsdecode(word) for word in before.words]
        if not select.select([control], [], [], 0)[0]:
            rehearse(before, words[0])
        session.prepare_threads()
        contexts.expect(words)
        gc.freeze()
        with contextlib.suppress(OSError):
            # Or it has come already, from who listens no more.
            control.send(PREPARED)
        data, fds = b'', []     # type: bytes, list[int]
        while (request := decoded(data)) is None:
            piece, more, _, _ = socket.recv_fds(control, BLOCK, GIVEN)
            data += piece
            fds += more
            if not piece:
                os._exit(0)
        control.close()
        if len(fds) != GIVEN:
            note(telling, LACKS)
            os._exit(FAULT)
        carry_out(request, fds, contexts, telling)
    finally:
        os._exit(FAULT)


class Refusing:
    """What has no context for a command that is rehearsed."""

    def context(self, target: object, way: Way) -> NoReturn:
        shared_host(target if isinstance(target, Target) else None, way)
        raise Declined

    def beside(self) -> NoReturn:
        raise Declined

    def streams(self, context: object) -> None:
        return None


def rehearse(before: Request, name: str) -> None:
    """
    Do what a command does before and behind its program, in this process that waits for one.

    The memory that this writes to is shared with the server until then: each page of that is copied by the first write.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    os.close(nothing)
    # What goes wrong here goes wrong in the command itself, and is told there.
    with contextlib.suppress(Exception):
        take_place(Request(RUN, before.key, b'/', before.umask, (), before.path, before.words, before.environment))
        run(REHEARSED[name], Refusing(), application.read(REHEARSED[name]))
        with session.Controls(False):
            output.write('stdout', b'\n')


def carry_out(request: Request, fds: Sequence[int], contexts: Keeper, telling: int) -> NoReturn:
    """Run the command in this process, and end; the last of the descriptors leads to the command."""
    status: int | None = FAULT
    try:
        for number in request.ignored:
            signal.signal(number, signal.SIG_IGN)
        for number, fd in enumerate(fds[:3]):
            os.dup2(fd, number)
            os.close(fd)
        try:
            take_place(request)
        except OSError:
            # The folder is gone, say: this is told where the command runs.
            status = None
        else:
            words = [os.fsdecode(word) for word in request.words]
            status = run(words, contexts, contexts.read(words))
    except BaseException:
        with contextlib.suppress(Exception):
            traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        if contexts.is_lost_for_good() and has_ended(telling):
            # The command hears of the end of the server by the end of the connection to it.
            os._exit(FAULT)
        tell(fds[3], status, telling)
        if status is not None and contexts.used is not None:
            with contextlib.suppress(OSError):
                note(telling, HOST + b'\t' + base64.b64encode(pickle.dumps(contexts.used)))
        os._exit(status or 0)


def has_ended(telling: int) -> bool:
    """Has the server ended, or does it end just now?"""
    poller = select.poll()
    poller.register(telling, 0)
    return bool(poller.poll(ENDING * 1000))


def tell(connection: int, status: int | None, telling: int) -> None:
    """Tell the command that it has ended, None if it is to run in its own process; it has its streams for itself."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ALL_SIGNALS)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    with contextlib.suppress(OSError):
        note(telling, TOLD)
    with contextlib.suppress(OSError):
        ended = ENDED + ((status or 0) << 8).to_bytes(STATUS_BYTES, sys.byteorder)
        os.write(connection, ended if status is not None else DECLINED)
    os.close(connection)


def keeper(holder: Holder, known: Known, idle: float, telling: int) -> Keeper:
    """Return what gets contexts from the holder."""
    def attach() -> Any:
        # At its end as soon as the holder listens.
        os.read(holder.ready, 1)
        return econtext.attach(holder.path)

    def learned(key: str, word: str) -> None:
        note(telling, word.encode() + b'\t' + key.encode('utf-8', 'surrogateescape'))
    return Keeper(attach, known, learned, idle)


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


def run(words: Sequence[str], contexts: WarmContexts, known: click.Context | None = None) -> int | None:
    """Run the command line, which is `known`; return the exit status, None if it is to run in its own process."""
    connecting.WARM[:] = [contexts]
    try:
        return application.run(words, known)
    except Declined:
        return None
