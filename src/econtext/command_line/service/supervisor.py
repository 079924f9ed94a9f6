"""
The session server: one process without threads, which forks a process for each command that it is asked to run.

The strategy: this process has imported what commands need, so a process for a command is there at once.  The contexts
belong to holders, processes with a broker, one for each environment that commands come with; the process of a command
attaches to its holder as any program may.  This process itself only accepts, forks, passes on signals, and tells how
each process ended.

Invariants:

* This process has no thread, so what it forks is whole.
* A command of another user is never heard: the folder is private, and the kernel says who asks.
* Every process that was forked ends with this one: a holder at the end of its pipe, and the process of a command with
  the contexts of its holder, if this process is killed; else by a signal.
* A command whose near end is gone is told by SIGHUP, and killed GRACE seconds later.
* When a file of econtext has changed, nothing more is begun here, and the server ends behind its last command.

Entered by the main thread.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable

import econtext
from econtext.command_line.service import requests
from econtext.command_line.service.changes import Changes
from econtext.command_line.service.clients import Client
from econtext.command_line.service.holder import Holder
from econtext.command_line.service.requests import (
    DECLINED,
    ENDED,
    EXHAUSTED,
    READY,
    STATUS_BYTES,
    BadRequest,
    Request,
)
from econtext.command_line.service.worker import Known, Standby, Worker

IDLE = 600.0    # seconds
GRACE = 5.0     # seconds that a process has to end once it was told to
LATE = 10.0     # seconds that the request of a command may take
WAITING = 64    # commands that the system keeps for us
BLOCK = 1 << 16
# What commands need, as far as they do not import it with these.
LOADED = (
    'difflib', 'econtext.command_line.execute', 'econtext.command_line.run', 'econtext.command_line.shell',
    'econtext.controller.attach.client')
# Such a message to the process of a command counts as this signal, which nothing can hold up.
AS_STOP = {signal.SIGTSTP: signal.SIGSTOP}
SIGNALS = {
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP}
ENDING = signal.SIGTERM, signal.SIGINT, signal.SIGHUP


class CannotServe(Exception):
    """There can be no server here; says why."""


class Supervisor:
    """The session server."""

    def __init__(self, idle: float) -> None:
        self.idle: float = idle
        self.key: bytes = requests.key()
        self.path: str = ''
        self.listener: socket.socket | None = None
        self.clients: dict[int, Client] = {}
        self.holders: dict[bytes, Holder] = {}
        # Those that have no commands any more, by their processes.
        self.ending: dict[int, Holder] = {}
        self.known: Known = Known()
        #: Waits for the next command.
        self.standby: Standby | None = None
        # Those that are to end, and have no command.
        self.spent: list[Worker] = []
        self.last: float = time.monotonic()
        self.ended: bool = False
        self.count: int = 0
        self.changes: Changes | None = None
        self.told: socket.socket | None = None

    # Its life.

    def serve(self, ready: Callable[[], object]) -> None:
        """Serve until it was idle for long, or is told to end; call `ready` once it listens. Raise CannotServe."""
        self.listen()
        try:
            self.load()
            self.take_signals()
            ready()
            while not self.is_over():
                self.turn()
        finally:
            self.finish()

    def listen(self) -> None:
        """Make the socket."""
        while os.open(os.devnull, os.O_RDWR) < 3:
            # What is received is to have other numbers.
            pass
        if not hasattr(socket, 'SO_PEERCRED') or not os.path.isdir('/proc/self/fd'):
            raise CannotServe('this system has no session server: it needs Linux')
        folder = requests.folder(os.environ, os.geteuid())
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            pass
        except OSError as error:
            raise CannotServe(f'{folder} cannot be made: {error.strerror}: correct XDG_RUNTIME_DIR') from None
        if not requests.private_folder(folder):
            raise CannotServe(f'{folder} is not a folder of this user alone: remove it, or set XDG_RUNTIME_DIR')
        from econtext.controller.attach import sockets
        self.path = os.path.join(folder, requests.socket_name(self.key))
        try:
            self.listener = sockets.listen(self.path)
        except econtext.EcontextError as error:
            if os.path.exists(self.path):
                raise CannotServe('a server runs already: see `econtext serve --status`') from None
            raise CannotServe(str(error)) from None
        self.listener.setblocking(False)
        self.inode: int = os.lstat(self.path).st_ino

    def load(self) -> None:
        """Import what commands need, so that each finds it."""
        for name in LOADED:
            importlib.import_module(name)
        # The first command line takes longer than later ones.
        from econtext.command_line import application
        for words in ('run', 'local', 'x:y'), ('exec', 'local', '--', 'x'), ('shell', 'local'):
            application.read(words)
        self.changes = Changes()
        gc.collect()
        gc.freeze()

    def take_signals(self) -> None:
        """Have signals wake ``turn``."""
        self.told, writing = socket.socketpair()
        self.told.setblocking(False)
        writing.setblocking(False)
        self.writing: socket.socket = writing
        for number in (*ENDING, signal.SIGCHLD):
            signal.signal(number, self.note)
        signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)

    def note(self, number: int, frame: object) -> None:
        if number in ENDING:
            self.ended = True

    def is_over(self) -> bool:
        if self.ended:
            return True
        return not self.clients and (self.listener is None or time.monotonic() >= self.last + self.idle)

    def stop_listening(self) -> None:
        """Begin nothing more."""
        listener, self.listener = self.listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                if os.lstat(self.path).st_ino == self.inode:
                    os.unlink(self.path)
            listener.close()

    def finish(self) -> None:
        """End everything."""
        self.stop_listening()
        for client in self.clients.values():
            self.let_go(client)
        while self.clients:
            self.turn()
        self.retire()
        while self.spent:
            self.turn()
        for key in list(self.holders):
            self.end_holder(key)
        for holder in self.ending.values():
            holder.wait(time.monotonic() + GRACE + GRACE)
        if self.changes is not None:
            self.changes.close()

    # What happens.

    def turn(self) -> None:
        """Wait for something to happen, and do what is to be done."""
        poller = select.poll()
        sources: dict[int, Callable[[], object]] = {}
        if self.told is not None:
            sources[self.told.fileno()] = self.hear
        if self.listener is not None:
            sources[self.listener.fileno()] = self.accept
        for client in self.clients.values():
            if not client.gone:
                sources[client.connection.fileno()] = lambda client=client: self.read(client)   # type: ignore[misc]
        for fd in sources:
            poller.register(fd, select.POLLIN)
        for fd, _ in poller.poll(self.patience()):
            sources[fd]()
        self.reap()
        self.look_at_times()

    def patience(self) -> float | None:
        """Return for how many milliseconds nothing is due; None for ever."""
        times = [client.deadline if client.worker else client.since + LATE for client in self.clients.values()]
        due = [each for each in times if each is not None]
        if not self.clients:
            due.append(self.last + self.idle)
        return max(0.0, min(due) - time.monotonic()) * 1000 + 1 if due else None

    def hear(self) -> None:
        """Signals have come; what is to be done is done in each turn."""
        assert self.told is not None
        with contextlib.suppress(BlockingIOError):
            while self.told.recv(BLOCK):
                pass

    def look_at_times(self) -> None:
        now = time.monotonic()
        for client in list(self.clients.values()):
            if client.worker is None:
                if now >= client.since + LATE:
                    self.forget(client)
            elif client.deadline is not None and now >= client.deadline:
                client.deadline = None
                client.worker.signal(signal.SIGKILL)

    def accept(self) -> None:
        assert self.listener is not None
        try:
            connection, _ = self.listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                # The command runs elsewhere, once nobody listens here.
                self.stop_listening()
            return
        connection.setblocking(False)
        if requests.peer(connection) != os.geteuid():
            connection.close()
            return
        client = self.clients[connection.fileno()] = Client(connection)
        client.answer(READY)

    def read(self, client: Client) -> None:
        """Take what a command says."""
        try:
            if client.worker is not None:
                data = client.connection.recv(BLOCK)
                for number in data:
                    self.pass_on(client.worker, number)
                if not data:
                    self.let_go(client)
                return
            if not client.receive():
                self.forget(client)
                return
            request = client.request()
        except BlockingIOError:
            return
        except BadRequest:
            self.forget(client)
            return
        except OSError:
            if client.worker is not None:
                self.let_go(client)
            else:
                self.forget(client)
            return
        if request is not None:
            self.begin(client, request)

    def pass_on(self, worker: Worker, number: int) -> None:
        if number in SIGNALS:
            worker.signal(AS_STOP.get(signal.Signals(number), signal.Signals(number)))

    def let_go(self, client: Client) -> None:
        """Tell the process of a command that its near end is gone, or the server ends."""
        client.gone = True
        if client.worker is None:
            client.since = -LATE
        elif client.deadline is None:
            client.deadline = time.monotonic() + GRACE
            client.worker.signal(signal.SIGHUP)
            client.worker.signal(signal.SIGCONT)

    def forget(self, client: Client) -> None:
        for fd, each in list(self.clients.items()):
            if each is client:
                del self.clients[fd]
        client.close()
        self.last = time.monotonic()

    # What is asked.

    def begin(self, client: Client, request: Request) -> None:
        """Do what a command asks."""
        if request.kind == requests.STATUS:
            client.answer(self.status().encode())
            self.forget(client)
        elif request.kind == requests.STOP:
            self.stop_listening()
            running = sum(each.worker is not None for each in self.clients.values())
            client.answer(b'%d' % running)
            self.forget(client)
        elif request.kind != requests.RUN or request.key != self.key:
            client.answer(DECLINED)
            self.forget(client)
        else:
            self.run(client, request)

    def status(self) -> str:
        """Return what there is to be told of the server, as JSON."""
        running = sum(each.worker is not None for each in self.clients.values())
        left = max(0.0, self.last + self.idle - time.monotonic())
        return json.dumps({
            'process': os.getpid(), 'socket': self.path, 'commands': running,
            'ends_after': None if running else round(left, 1)})

    def is_outdated(self) -> bool:
        """Has a file of econtext changed?  Then this is the last command that finds us."""
        if self.changes is None or not self.changes.found():
            return False
        self.stop_listening()
        return True

    def run(self, client: Client, request: Request) -> None:
        """Have a process run the command."""
        self.last = time.monotonic()
        try:
            if self.is_outdated():
                client.answer(DECLINED)
                self.forget(client)
                return
            if len(client.fds) != 3:
                raise OSError(errno.EMFILE, 'the descriptors of a command found no place here')
            client.worker = self.worker_for(client, request, self.holder_for(request))
        except OSError:
            # No process or descriptor is to be had.
            client.answer(EXHAUSTED)
            self.forget(client)
            return
        client.ran = request
        while client.fds:
            os.close(client.fds.pop())
        for number in client.data:
            self.pass_on(client.worker, number)

    def worker_for(self, client: Client, request: Request, holder: Holder) -> Worker:
        """Return a process that runs the command: one that has waited for it, or a new one."""
        fds = [*client.fds, client.connection.fileno()]
        standby = self.standby
        if standby is not None and standby.holder is holder and (
                # The same command again would want what is prepared just now.
                standby.before.words == request.words or standby.is_prepared()):
            self.standby = None
            try:
                standby.hand(client.sent, fds)
                return standby
            except OSError:
                standby.signal(signal.SIGKILL)
                self.spent.append(standby)
        return Worker.start(request, fds, holder, self.known, self.idle)

    def prepare(self, host: bytes, before: Request, holder: Holder) -> None:
        """Have a process wait for another command on that host."""
        standby = self.standby
        if self.ended or self.listener is None or holder not in self.holders.values() or (
                standby is not None and (standby.host, standby.holder) == (host, holder)):
            return
        self.retire()
        with contextlib.suppress(OSError):
            self.standby = Standby.prepare(host, before, holder, self.known, self.idle)

    def retire(self) -> None:
        """Let go of the process that waits."""
        standby, self.standby = self.standby, None
        if standby is not None:
            standby.control.close()
            standby.signal(signal.SIGKILL)
            self.spent.append(standby)

    def holder_for(self, request: Request) -> Holder:
        """Return the holder for commands of that environment, started if need be."""
        key = Holder.key(request)
        found = self.holders.get(key)
        if found is None:
            found = self.holders[key] = Holder.start(request, self.holder_path(), self.idle)
        return found

    def holder_path(self) -> str:
        """Return a path for the socket of one more holder."""
        self.count += 1
        return os.path.join(os.path.dirname(self.path), f'h{os.getpid()}.{self.count}')

    def end_holder(self, key: bytes) -> None:
        holder = self.holders.pop(key)
        holder.end()
        self.ending[holder.pid] = holder

    def reap(self) -> None:
        """Take note of the processes that have ended."""
        workers = {client.worker.pid: client for client in self.clients.values() if client.worker is not None}
        holders = {holder.pid: key for key, holder in self.holders.items()}
        others = {worker.pid: worker for worker in [*self.spent, *([self.standby] if self.standby else [])]}
        for pid in [*workers, *holders, *self.ending, *others]:
            try:
                ended, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                ended, status = pid, 0
            if not ended:
                continue
            if pid in workers:
                self.on_ended(workers[pid], status)
            elif pid in others:
                self.on_spent(others[pid])
            elif pid in holders:
                self.holders.pop(holders[pid]).close()
            else:
                self.ending.pop(pid).close()

    def on_ended(self, client: Client, status: int) -> None:
        """Tell a command how its process ended."""
        assert client.worker is not None
        worker = client.worker
        notes = worker.notes(self.known)
        if not notes.told:
            client.answer(EXHAUSTED if notes.lacks else ENDED + status.to_bytes(STATUS_BYTES, sys.byteorder))
        self.forget(client)
        if notes.host is not None and client.ran is not None:
            self.prepare(notes.host, client.ran, worker.holder)
        if self.changes is not None:
            # Nobody waits now.
            with contextlib.suppress(OSError):
                self.changes.look()

    def on_spent(self, worker: Worker) -> None:
        """A process that had no command has ended."""
        worker.notes(self.known)
        if worker is self.standby:
            self.standby.control.close()
            self.standby = None
        else:
            self.spent.remove(worker)
