"""
A holder: a process of the session server with a broker, whose contexts stay warm between commands.

Commands attach to the holder as programs attach to any broker, so nothing that belongs to a command is in here: no
script, no module of the user's, no stream.

Invariants:

* All commands of a holder have the same environment, but for variables that tell one terminal from another: what a
  connection is made with, such as an agent of ssh, is what the command itself would have made it with.
* The holder ends with the session server, however that ends: at the end of a pipe.

``hold`` is entered by the main thread of the holder, the rest by that of the server.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import time
from typing import NoReturn

import econtext
from econtext.command_line.service.requests import Request

# What differs from one terminal or shell to the next, and makes no difference to a connection.
OF_A_TERMINAL = frozenset(
    b'_ COLUMNS ECONTEXT_SERVER ITERM_SESSION_ID KITTY_WINDOW_ID LINES OLDPWD PWD SHLVL TERM_SESSION_ID TMUX_PANE '
    b'WEZTERM_PANE WINDOWID'.split())
FILES = 4096    # that a holder may have open, if the system lets it
TICK = 0.02     # seconds between two looks at a process that ends


class Holder:
    """A holder, as the session server sees it."""

    def __init__(self, pid: int, path: str, alive: int, ready: int) -> None:
        self.pid: int = pid
        #: Where commands attach.
        self.path: str = path
        #: The holder ends when this descriptor is closed.
        self.alive: int = alive
        #: Is at its end as soon as commands can attach.
        self.ready: int = ready

    @staticmethod
    def key(request: Request) -> bytes:
        """Return what commands have in common that share contexts."""
        kept = sorted(each for each in request.environment if each.partition(b'=')[0] not in OF_A_TERMINAL)
        return b'\0'.join([Holder.folder(request), *kept])

    @staticmethod
    def folder(request: Request) -> bytes:
        """Return where the programs that connect begin: options for ssh may name files relative to that."""
        return request.cwd if any(word[:2] == b'-o' for word in request.words) else b'/'

    @staticmethod
    def start(request: Request, path: str, idle: float) -> Holder:
        """Fork a holder for commands such as `request`."""
        ends: list[int] = []
        try:
            for _ in range(2):
                ends += os.pipe()
            pid = os.fork()
        except OSError:
            for fd in ends:
                os.close(fd)
            raise
        theirs, alive, ready, telling = ends
        if not pid:
            become_holder(request, path, idle, theirs, telling)
        os.close(theirs)
        os.close(telling)
        return Holder(pid, path, alive, ready)

    def end(self) -> None:
        """Tell the holder to end."""
        if self.alive >= 0:
            os.close(self.alive)
            self.alive = -1

    def close(self) -> None:
        """Let go of the descriptors of a holder that has ended."""
        self.end()
        if self.ready >= 0:
            os.close(self.ready)
            self.ready = -1
        with contextlib.suppress(OSError):
            os.unlink(self.path)

    def wait(self, deadline: float) -> None:
        """Wait for the end of the holder; kill it at the deadline."""
        with contextlib.suppress(ChildProcessError):
            while not os.waitpid(self.pid, os.WNOHANG)[0]:
                if time.monotonic() >= deadline:
                    os.kill(self.pid, signal.SIGKILL)
                time.sleep(TICK)
        self.close()


def become_holder(request: Request, path: str, idle: float, alive: int, ready: int) -> NoReturn:
    """Be a holder, in a process that was forked for that, until it ends."""
    status = 1
    try:
        os.setsid()
        reset_signals()
        close_all_but({0, 1, 2, alive, ready})
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        take_environment(request)
        os.chdir(Holder.folder(request))
        os.umask(request.umask)
        raise_limit()
        hold(path, idle, alive, ready)
        status = 0
    finally:
        os._exit(status)


def hold(path: str, idle: float, alive: int, ready: int) -> None:
    """Have contexts for the programs that attach at `path`, until the pipe `alive` ends or nobody wants any."""
    with econtext.Broker() as broker:
        broker.listen(path)
        os.close(ready)
        poller = select.poll()
        poller.register(alive, select.POLLIN)
        tree = broker._tree
        while not poller.poll(idle * 1000):
            if not tree.contexts and not getattr(tree.attach_server, 'programs', None):
                return


def raise_limit() -> None:
    """Allow more open files: each connection of any command has some here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def take_environment(request: Request) -> None:
    """Have the environment of a command."""
    wanted = {name: value for name, _, value in (each.partition(b'=') for each in request.environment)}
    # Each change is a call of the system's library, and as a rule there are few.
    before = dict(os.environb)
    for name in before.keys() - wanted.keys():
        del os.environb[name]
    for name, value in wanted.items():
        if before.get(name) != value:
            os.environb[name] = value


def reset_signals() -> None:
    """Have no handler of the server's."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGIO):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def close_all_but(kept: set[int]) -> None:
    """Close every descriptor but these: no process of the server keeps open what is another one's."""
    for name in os.listdir('/proc/self/fd'):
        if int(name) not in kept:
            with contextlib.suppress(OSError):
                os.close(int(name))
