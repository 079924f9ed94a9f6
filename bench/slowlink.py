"""Stands between ssh and its server, and delays what passes: ProxyCommand `python slowlink.py MS HOST PORT`.

MS is the time one way, so a round trip takes twice as long. The rate is not limited, and there is no slow start.
`python slowlink.py --listen MS HOST PORT` prints a port of this machine at which it does so for each who connects.
"""

from __future__ import annotations

import collections
import os
import select
import signal
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


def listen(*words: str) -> None:
    with socket.create_server(('127.0.0.1', 0), backlog=100) as server:
        print(server.getsockname()[1], flush=True)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            link, _ = server.accept()
            with link:
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if os.fork() == 0:
                    server.close()
                    os.dup2(link.fileno(), 0)
                    os.dup2(link.fileno(), 1)
                    link.close()
                    main(*words)
                    os._exit(0)


if __name__ == '__main__':
    try:
        if sys.argv[1:2] == ['--listen']:
            listen(*sys.argv[2:])
        else:
            main(*sys.argv[1:])
    except (BrokenPipeError, ConnectionResetError):
        pass
