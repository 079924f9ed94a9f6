"""execnet. It runs source text and speaks by channels: calls are a loop of our own over one channel."""

from __future__ import annotations

import concurrent.futures
import inspect
import sys
from collections.abc import Callable
from typing import Any

from bench import far
from bench.contender import Contender, lacks

LOOP = """

def up(size, count):
    data = block(size)
    for _ in range(count):
        channel.send(data)


def down(count):
    return sum([len(channel.receive()) for _ in range(count)])


for name, args in channel:
    channel.send(globals()[name](*args))
"""


class Adapter(Contender):
    title = 'execnet'
    packages = ('execnet',)

    def prepare(self) -> None:
        import execnet

        self.group = execnet.Group()
        self.loops: dict[Any, Any] = {}

    def close(self) -> None:
        self.group.terminate(timeout=2.0)

    def local(self) -> Any:
        return self.group.makegateway(f'popen//python={self.ground.python}')

    def ssh(self) -> Any:
        return self.group.makegateway(f'ssh=lab//ssh_config={self.ground.ssh_config}//python={self.ground.python}')

    def below(self, child: Any, how: str) -> Any:
        if how != 'local':
            lacks('no sudo')
        return self.group.makegateway(f'popen//via={child.id}//python={self.ground.python}')

    def connect_all(self, count: int) -> list[Any]:
        def start(_: int) -> Any:
            child = self.local()
            child.remote_exec('import os; channel.send(os.getpid())').receive()
            return child

        with concurrent.futures.ThreadPoolExecutor(16) as threads:
            return list(threads.map(start, range(count)))

    def call(self, child: Any, function: Callable[..., Any], *args: Any) -> Any:
        if function.__module__ == 'bench.far':
            channel = self.loop(child)
            channel.send((function.__name__, args))
            return channel.receive()
        if function.__module__ == 'posix':
            return child.remote_exec(f'import os; channel.send(os.{function.__name__}())').receive()
        if function.__module__ == 'own_0':
            source = inspect.getsource(sys.modules[function.__module__])
            return child.remote_exec(f'{source}\nchannel.send({function.__name__}())').receive()
        return lacks('modules do not travel with those they import')

    def loop(self, child: Any) -> Any:
        channel = self.loops.get(child)
        if channel is None:
            channel = self.loops[child] = child.remote_exec(inspect.getsource(far) + LOOP)
        return channel

    def burst(self, child: Any, function: Callable[..., Any], count: int) -> None:
        channel = self.loop(child)
        for _ in range(count):
            channel.send((function.__name__, ()))
        for _ in range(count):
            channel.receive()

    def stream_up(self, child: Any, size: int, count: int) -> int:
        channel = self.loop(child)
        channel.send(('up', (size, count)))
        total = sum(len(channel.receive()) for _ in range(count))
        channel.receive()
        return total

    def stream_down(self, child: Any, size: int, count: int) -> int:
        channel = self.loop(child)
        channel.send(('down', (count,)))
        data = far.block(size)
        for _ in range(count):
            channel.send(data)
        return int(channel.receive())
