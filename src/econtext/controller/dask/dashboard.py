"""
The dashboard of a scheduler on a host, at a port of this machine: each connection is carried through the links.

Invariants:

* Nobody but processes of this machine reaches the port.
* Once closed, no thread and no socket of it is left; ways that were open end with the scheduler.

A thread of its own takes connections; the event loop begins and closes.
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

from econtext.child import dask

if TYPE_CHECKING:
    from econtext.controller.dask.hub import Hub


class Dashboard:
    """A port here that stands for one of the host of the scheduler."""

    def __init__(self, hub: Hub, place: str) -> None:
        self.hub = hub
        self.place = place
        #: Of this machine; 0 if there is none.
        self.port: int = 0
        self.listener: socket.socket | None = None
        self.thread: threading.Thread | None = None

    def begin(self) -> None:
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = int(self.listener.getsockname()[1])
        self.thread = dask.begin('econtext dashboard', self.take, self.listener)

    def take(self, listener: socket.socket) -> None:
        """Carry connections to the HTTP server of the scheduler, until the listener is shut."""
        while True:
            try:
                end, _ = listener.accept()
            except OSError:
                return
            member = self.hub.members.get(self.place)
            try:
                if member is None:
                    raise EOFError
                dask.join(end, member.forward())
            except Exception:
                # The scheduler is gone.
                end.close()

    def close(self) -> None:
        """Take no more connections. May be called again."""
        if self.listener is not None:
            dask.shut(self.listener)
            if self.thread is not None:
                self.thread.join()
            self.listener.close()
            self.listener = None
