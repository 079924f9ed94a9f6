"""Mitogen."""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Callable
from typing import Any

from bench import far
from bench.contender import Contender


class Adapter(Contender):
    title = 'Mitogen'
    packages = ('mitogen',)

    def prepare(self) -> None:
        import mitogen.master
        import mitogen.service

        self.broker = mitogen.master.Broker()
        self.router = mitogen.master.Router(self.broker)
        self.pool: Any = None

    def close(self) -> None:
        if self.pool is not None:
            self.pool.stop()
        self.broker.shutdown()
        self.broker.join()

    def local(self) -> Any:
        return self.router.local(python_path=self.ground.python)

    def ssh(self) -> Any:
        return self.router.ssh(
            hostname='lab', ssh_args=['-F', self.ground.ssh_config], python_path=self.ground.python,
        )  # fmt: skip

    def below(self, child: Any, how: str) -> Any:
        return getattr(self.router, how)(via=child, python_path=self.ground.python)

    def connect_all(self, count: int) -> list[Any]:
        def start(_: int) -> Any:
            child = self.local()
            child.call(far.pid)
            return child

        with concurrent.futures.ThreadPoolExecutor(16) as threads:
            return list(threads.map(start, range(count)))

    def call(self, child: Any, function: Callable[..., Any], *args: Any) -> Any:
        return child.call(function, *args)

    def burst(self, child: Any, function: Callable[..., Any], count: int) -> None:
        for answer in [child.call_async(function) for _ in range(count)]:
            answer.get().unpickle()

    def stream_up(self, child: Any, size: int, count: int) -> int:
        import mitogen.core

        receiver = mitogen.core.Receiver(self.router)
        ended = child.call_async(far.feed, receiver.to_sender(), size, count)
        total = sum(len(message.unpickle()) for message in receiver)
        ended.get().unpickle()
        return total

    def stream_down(self, child: Any, size: int, count: int) -> int:
        # Its own service for this, which reads a file; a plain sender has no flow control.
        import mitogen.service

        from bench.contenders import mitogen_far

        path = os.path.join(self.ground.folder, f'file-{os.getpid()}')
        with open(path, 'wb') as file:
            data = far.block(size)
            file.writelines([data] * count)
        try:
            service = mitogen.service.FileService(self.router)
            service.register(path)
            self.pool = mitogen.service.Pool(self.router, services=[service])
            return int(child.call(mitogen_far.fetch, path))
        finally:
            os.unlink(path)

    def lines(self, child: Any, count: int) -> None:
        child.call(far.say, count)
