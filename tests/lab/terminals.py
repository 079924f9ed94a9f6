"""Commands in terminals of their own: what they show, and what is typed."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time
from collections.abc import Mapping

SECONDS = 100   # for anything


class Terminal:
    """The terminal of one command, by its other end, `master`; who derives from this starts the command."""

    def __init__(self, master: int) -> None:
        self.master = master
        self.text = b''
        # All that it has shown.
        self.seen = b''

    def wait(self) -> int:
        """Wait for the command; return its exit status."""
        raise NotImplementedError

    def expect(self, wanted: str) -> None:
        """Wait until `wanted` shows, behind what was expected before."""
        deadline = time.monotonic() + SECONDS
        while wanted.encode() not in self.text:
            assert time.monotonic() < deadline, (wanted, self.text)
            assert self.read(deadline), (wanted, self.text)
        self.text = self.text.partition(wanted.encode())[2]

    def read(self, deadline: float) -> bool:
        if not select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]:
            return False
        try:
            piece = os.read(self.master, 4096)
        except OSError:
            piece = b''
        self.text += piece
        self.seen += piece
        return bool(piece)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> int:
        """Wait for the end of the command; return its exit status."""
        deadline = time.monotonic() + SECONDS
        while self.read(deadline):
            pass
        try:
            return self.wait()
        finally:
            os.close(self.master)


class Typing(Terminal):
    """The command `econtext` in a terminal that controls it."""

    def __init__(self, *words: str, env: Mapping[str, str] | None = None) -> None:
        self.pid, master = pty.fork()
        if not self.pid:
            try:
                os.execve(
                    sys.executable, [sys.executable, '-m', 'econtext', *words],
                    {**os.environ, 'TERM': 'xterm', **(env or {})})
            finally:
                os._exit(127)
        super().__init__(master)

    def size(self, rows: int, columns: int) -> None:
        """Make the terminal so large."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
