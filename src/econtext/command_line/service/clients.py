"""
A command, as the session server sees it: the connection, and the process that runs it.

Invariants:

* A command is told of one end: the exit status of the process that ran it, or that nothing ran.
* What comes behind a request are signals.

Entered by the main thread of the server.
"""

from __future__ import annotations

import os
import socket
import time

from econtext.command_line.service import requests
from econtext.command_line.service.requests import Request
from econtext.command_line.service.worker import Worker

BLOCK = 1 << 16


class Client:
    """A command, as the server sees it: the connection, and the process that runs it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection: socket.socket = connection
        self.data: bytes = b''
        self.fds: list[int] = []
        self.since: float = time.monotonic()
        self.worker: Worker | None = None
        #: The command that it runs.
        self.ran: Request | None = None
        #: When its process is killed.
        self.deadline: float | None = None
        self.gone: bool = False

    def close(self) -> None:
        self.connection.close()
        while self.fds:
            os.close(self.fds.pop())

    def answer(self, data: bytes) -> bool:
        """Send a few bytes; return False if the command is gone."""
        try:
            return self.connection.send(data) == len(data)
        except OSError:
            return False

    def receive(self) -> bool:
        """Read what there is of the request, and the descriptors; return False at the end."""
        data, fds, _, _ = socket.recv_fds(self.connection, BLOCK, 3)
        for fd in fds:
            os.set_inheritable(fd, False)
        self.fds += fds
        self.data += data
        return bool(data)

    def request(self) -> Request | None:
        """Return the request, None while some of it is missing; `data` is what follows it. Raise BadRequest."""
        size = requests.size(self.data)
        if size is None or len(self.data) < size:
            return None
        #: As it came.
        self.sent: bytes = self.data[:size]
        self.data = self.data[size:]
        return requests.decoded(self.sent)
