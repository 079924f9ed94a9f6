"""
The near end of a command that a session server runs: passes on what the command has, and signals, and waits.

The strategy: whatever is odd here, or is said by the server before the command has begun, leaves the command to this
process, which runs it as if there were no server.  From then on this process does nothing itself: the process that the
server has forked has our descriptors, and reads and writes them without us.  The server greets us while we gather what
a command is, which then is a single message.

Invariants:

* A server never makes a command fail: without one, and with one of another user or version, the command runs here.
* Once the server has the command, it never runs here as well, whatever breaks.
* Only a server of this user is talked to: its folder is private, and the kernel says who listens.
* Imports nothing that takes a moment: of ``socket`` and ``signal`` only what is written in C.  An annotation that is
  no text here would have to be found, and ``__future__``, which spares that, is a module, too.
* A command in the background of a terminal is run here: the server's process would read what is typed for others.

Entered by the main thread.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import os
import sys

from econtext.command_line.service import requests
from econtext.command_line.service.requests import DECLINED, ENDED, EXHAUSTED, READY, STATUS_BYTES, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

#: The commands that gain from a server.
SERVED = 'run', 'exec', 'shell'
SWITCH = 'ECONTEXT_SERVER'
PASSED_ON = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT, _signal.SIGWINCH, _signal.SIGCONT,
             _signal.SIGTSTP)
# By these a process may end itself as its own command does; by the others a shell would say that this one crashed.
ENDING = _signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT
LOST = 255
# Of a server that was started for this command: seconds until it has to listen.
PATIENCE = 20
# Seconds that a server has to greet us; one that was stopped would take for ever.
ANSWERS = 5


def run(words: 'Sequence[str]') -> int | None:
    """Have the session server run the command; return its exit status, None if it is to run here."""
    mode = os.environ.get(SWITCH) or 'auto'
    if not wanted(words, mode):
        return None
    try:
        connection = connect() or (started() if may_start(mode) else None)
        if connection is None:
            return None
        with connection:
            return Front(connection).run(words)
    except OSError:
        return None


def wanted(words: 'Sequence[str]', mode: str) -> bool:
    """Is this a command for a server?"""
    return bool(words) and words[0] in SERVED and mode in ('1', 'auto') and '--no-server' not in words and (
        hasattr(_socket, 'SO_PEERCRED') and '_ECONTEXT_COMPLETE' not in os.environ) and is_in_front()


def may_start(mode: str) -> bool:
    """May a server be started for this command?"""
    return mode == '1' or (os.isatty(0) and os.isatty(2))


def is_in_front() -> bool:
    """May this process read from its terminal, if it has one?"""
    try:
        return not os.isatty(0) or os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        # The terminal of another session.
        return True


def connect() -> 'Connection | None':
    """Return a connection to the server of this user; None if there is none."""
    folder = requests.folder(os.environ, os.geteuid())
    path = f'{folder}/{requests.socket_name(requests.key())}'
    if not (os.path.exists(path) and requests.private_folder(folder)):
        return None
    made = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    # Until the server has the command.
    made.settimeout(ANSWERS)
    try:
        made.connect(path)
        if requests.peer(made) == os.geteuid():
            return Connection(made)
    except OSError:
        pass
    made.close()
    return None


def started() -> 'Connection | None':
    """Start a server, and return a connection to it; None if that fails."""
    reading, writing = os.pipe()
    try:
        os.set_inheritable(writing, True)
        nothing = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]
        # Not by -m, for which Python would look into the current directory.
        program = 'import sys; from econtext.command_line.service import begin; sys.exit(begin.main())'
        os.posix_spawn(
            sys.executable, [sys.executable, '-c', program, str(writing)], os.environ,
            file_actions=nothing)
    finally:
        os.close(writing)
    try:
        import select
        # The end of the pipe says that it listens, or has ended.
        return connect() if select.select([reading], [], [], PATIENCE)[0] else None
    finally:
        os.close(reading)


class Connection:
    """A connection to a server, closed by ``with``."""

    def __init__(self, socket: 'Any') -> None:
        self.socket: Any = socket

    def __enter__(self) -> 'Connection':
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, request: Request, fds: 'Sequence[int]' = ()) -> None:
        """Send a request, and descriptors, once the server has greeted us. Raise OSError if it does not."""
        data = request.encoded()
        if self.receive(1) != READY:
            raise OSError('the session server takes no commands')
        numbers = b''.join([fd.to_bytes(4, sys.byteorder) for fd in fds])
        sent = self.socket.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)] if fds else [])
        if sent < len(data):
            self.socket.sendall(data[sent:])

    def receive(self, size: int) -> bytes:
        """Return `size` bytes; fewer at the end."""
        data = b''
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                break
            data += piece
        return data


class Front:
    """One command that a server runs."""

    def __init__(self, connection: Connection) -> None:
        self.connection: Connection = connection
        self.before: dict[int, Any] = {}
        self.terminal: Any = None

    def run(self, words: 'Sequence[str]') -> int | None:
        """Have the command run; return its exit status, None if it is to run here."""
        self.take_signals()
        try:
            return self.follow(words)
        finally:
            for number, handler in self.before.items():
                _signal.signal(number, handler)

    def take_signals(self) -> None:
        for number in PASSED_ON:
            handler = _signal.getsignal(number)
            if handler != _signal.SIG_IGN:
                self.before[number] = handler
                _signal.signal(number, self.pass_on)

    def follow(self, words: 'Sequence[str]') -> int | None:
        ignored = [number for number in PASSED_ON if number not in self.before]
        self.remember_terminal()
        self.connection.send(Request(
            requests.RUN, requests.key(), os.getcwdb(), current_umask(), ignored,
            [os.fsencode(each) for each in sys.path], [os.fsencode(word) for word in words],
            [name + b'=' + value for name, value in os.environb.items()]), range(3))
        self.connection.socket.settimeout(None)
        answer = self.answer(1)
        if answer == EXHAUSTED and is_verbose(words):
            said('the session server has no process or descriptor left: this command runs without it', 0)
        if answer in (DECLINED, EXHAUSTED):
            return None
        status = self.answer(STATUS_BYTES) if answer == ENDED else b''
        if len(status) != STATUS_BYTES:
            self.restore_terminal()
            return said('the session server ended while it ran this command: type the command again', LOST)
        return self.ended(int.from_bytes(status, sys.byteorder))

    def answer(self, size: int) -> bytes:
        """Return what the server says; fewer bytes if it has ended."""
        try:
            return self.connection.receive(size)
        except OSError:
            # It was killed while a signal of ours was on its way.
            return b''

    def ended(self, status: int) -> int:
        """End as the process there did; return the exit status."""
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        if not number:
            return os.WEXITSTATUS(status)
        self.restore_terminal()
        if number in ENDING:
            _signal.signal(number, _signal.SIG_DFL)
            os.kill(os.getpid(), number)
        return said(
            f'the process of the session server that ran this command was ended by signal {number}', 128 + number)

    def pass_on(self, number: int, frame: object) -> None:
        """Pass a signal on to the process there; stop with it."""
        if number == _signal.SIGCONT and not is_in_front():
            # That process would read what is typed for others, and no kernel would stop it: stop as a reader is.
            os.kill(os.getpid(), _signal.SIGTTIN)
            return
        try:
            self.connection.socket.send(bytes([number]))
        except OSError:
            # It has ended.
            pass
        if number == _signal.SIGTSTP:
            os.kill(os.getpid(), _signal.SIGSTOP)

    def remember_terminal(self) -> None:
        """Note how the terminal is, in case the process there cannot put it back."""
        if os.isatty(0):
            import termios
            try:
                self.terminal = termios.tcgetattr(0)
            except termios.error:
                pass

    def restore_terminal(self) -> None:
        if self.terminal is not None:
            import termios
            before = _signal.signal(_signal.SIGTTOU, _signal.SIG_IGN)
            try:
                termios.tcsetattr(0, termios.TCSADRAIN, self.terminal)
            except termios.error:
                # The terminal is gone.
                pass
            _signal.signal(_signal.SIGTTOU, before)


def current_umask() -> int:
    """Return the mode that new files lack."""
    found = os.umask(0o077)
    os.umask(found)
    return found


def is_verbose(words: 'Sequence[str]') -> bool:
    """Is the command told to say what it does?"""
    return any(word == '--verbose' or (word[:2] == '-v' and not word.strip('-v')) for word in words)


def said(text: str, status: int) -> int:
    """Say what went wrong; return the exit status."""
    try:
        sys.stderr.write(f'econtext: {text}\n')
        sys.stderr.flush()
    except OSError:
        # The terminal is closed, say.
        pass
    return status
