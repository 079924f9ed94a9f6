"""Stands between ssh and its server, and delays what passes: ProxyCommand `python slowlink.py MS HOST PORT`.

MS is the time one way, so a round trip takes twice as long. The rate is not limited, and there is no slow start.
"""

from __future__ import annotations

import collections
import os
import select
import socket
import sys
import time


def main(milliseconds: str, host: str, port: str) -> None:
    delay = float(milliseconds) / 1000
    link = socket.create_connection((host, int(port)))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sinks = {0: link.fileno(), link.fileno(): 1}
    waiting: dict[int, collections.deque[tuple[float, bytes]]] = {source: collections.deque() for source in sinks}
    poller = select.epoll()
    for source in sinks:
        poller.register(source, select.EPOLLIN)
    while sinks:
        now = time.monotonic()
        dues = [queue[0][0] for queue in waiting.values() if queue]
        for source, _ in poller.poll(max(0.0, min(dues) - now) if dues else None):
            data = os.read(source, 65536)
            waiting[source].append((time.monotonic() + delay, data))
            if not data:
                poller.unregister(source)
        now = time.monotonic()
        for source, queue in waiting.items():
            while queue and queue[0][0] <= now:
                data = queue.popleft()[1]
                if not data and source:
                    return  # the server is done
                if not data:
                    try:
                        link.shutdown(socket.SHUT_WR)
                    except OSError:
                        return  # the server is gone
                while data:
                    data = data[os.write(sinks[source], data) :]


if __name__ == '__main__':
    try:
        main(*sys.argv[1:])
    except (BrokenPipeError, ConnectionResetError):
        pass
