"""Commands in terminals of their own: what they show, and what is typed."""

from __future__ import annotations

import os
import select
import time

SECONDS = 100   # for anything


class Terminal:
    """The terminal of one command, by its other end, `master`; who derives from this starts the command."""

    def __init__(self, master: int) -> None:
        self.master = master
        self.text = b''

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
