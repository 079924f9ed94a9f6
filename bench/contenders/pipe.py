"""multiprocessing: a spawned process and a Pipe, with a loop of our own that calls functions by reference."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from bench import far
from bench.contender import Contender
from bench.contenders import pipe_far


class Adapter(Contender):
    title = 'multiprocessing Pipe'

    def prepare(self) -> None:
        import multiprocessing
        import multiprocessing.connection

        self.library = multiprocessing.get_context('spawn')
        self.library.set_executable(self.ground.python)
        self.children: list[tuple[Any, Any]] = []

    def close(self) -> None:
        for process, connection in self.children:
            connection.close()
            process.join()

    def local(self) -> Any:
        ours, theirs = self.library.Pipe()
        process = self.library.Process(target=pipe_far.serve, args=(theirs,))
        process.start()
        theirs.close()
        self.children.append((process, ours))
        return ours

    def connect_all(self, count: int) -> list[Any]:
        children = [self.local() for _ in range(count)]
        for connection in children:
            connection.send((far.pid, ()))
        for connection in children:
            connection.recv()
        return children

    def call(self, child: Any, function: Callable[..., Any], *args: Any) -> Any:
        child.send((function, args))
        return child.recv()

    def burst(self, child: Any, function: Callable[..., Any], count: int) -> None:
        # Two threads, for both ends would wait for each other once both directions are full.
        def send() -> None:
            for _ in range(count):
                child.send((function, ()))

        sender = threading.Thread(target=send)
        sender.start()
        for _ in range(count):
            child.recv()
        sender.join()

    def stream_up(self, child: Any, size: int, count: int) -> int:
        child.send((pipe_far.up, (size, count)))
        total = sum(len(child.recv_bytes()) for _ in range(count))
        child.recv()
        return total

    def stream_down(self, child: Any, size: int, count: int) -> int:
        child.send((pipe_far.down, (count,)))
        data = far.block(size)
        for _ in range(count):
            child.send_bytes(data)
        return int(child.recv())
