"""econtext, from this tree."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench import far
from bench.contender import Contender


class Adapter(Contender):
    title = 'econtext'

    def prepare(self) -> None:
        import econtext

        self.broker = econtext.Broker()

    def close(self) -> None:
        self.broker.close()

    def local(self) -> Any:
        return self.broker.local(python=self.ground.python)

    def ssh(self) -> Any:
        return self.broker.ssh('lab', ssh_args=['-F', self.ground.ssh_config], python=self.ground.python)

    def ssh_one_trip(self) -> Any:
        """As ssh, with all that the first call needs in the command line."""
        return self.broker.ssh(
            'lab', ssh_args=['-F', self.ground.ssh_config], python=self.ground.python, one_trip=True
        )

    @contextlib.contextmanager
    def shared(self) -> Iterator[Callable[[], object]]:
        """Yield what attaches to another program, and calls into a context of that; it is left open, as ssh's is."""
        import econtext

        path = str(Path(self.ground.folder) / 'shared')
        code = (
            f'import sys; sys.path[:0] = {sys.path!r}\n'
            'import econtext, os\n'
            'with econtext.Broker() as broker:\n'
            f'    broker.ssh("lab", ssh_args=["-F", {self.ground.ssh_config!r}]).call(os.getpid)\n'
            f'    print(broker.listen({path!r}), flush=True)\n'
            '    sys.stdin.read()\n')
        first = subprocess.Popen(
            [self.ground.python, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        attached = []

        def use() -> None:
            attached.append(econtext.attach(path))
            attached[-1].context('lab').call(os.getpid)

        econtext.attach  # noqa: B018 -- imported as it is named
        try:
            assert first.stdout is not None
            assert first.stdout.readline()
            yield use
        finally:
            for other in attached:
                other.close()
            first.communicate()

    def below(self, child: Any, how: str) -> Any:
        return getattr(child, how)(python=self.ground.python)

    def connect_all(self, count: int) -> list[Any]:
        children = [self.local() for _ in range(count)]
        for future in [child.submit(far.pid) for child in children]:
            future.result()
        return children

    def log_in(self, count: int, returned: list[float]) -> None:
        """Connect to the server `count` times at once, and call each; `returned` gets the seconds of each start."""
        children = []
        for _ in range(count):
            begin = time.perf_counter()
            children.append(self.ssh())
            returned.append(time.perf_counter() - begin)
        for future in [child.submit(far.pid) for child in children]:
            future.result()

    def fleet(self, count: int, relays: int) -> Any:
        """Return a fleet of contexts on this machine, none of which is connected."""
        options = {'relays': relays} if relays else {}
        return self.broker.fleet(
            [f'host{number}' for number in range(count)], **options,
            connector=lambda via, host: via.command(['env'], name=host.name, python=self.ground.python, tty=False))

    def call_all(self, fleet: Any, count: int) -> None:
        assert len(set(fleet.call(far.pid).values())) == count

    def call(self, child: Any, function: Callable[..., Any], *args: Any) -> Any:
        return child.call(function, *args)

    def burst(self, child: Any, function: Callable[..., Any], count: int) -> None:
        for future in [child.submit(function) for _ in range(count)]:
            future.result()

    unchanged = True

    def put(self, source: str, target: str) -> None:
        self.ssh().put(source, target, durable=False)  # as the others, which do not wait for the disk

    def put_durable(self, source: str, target: str) -> None:
        self.ssh().put(source, target)

    def connected(self) -> Any:
        child = self.ssh()
        child.call(far.pid)
        return child

    def get(self, source: str, target: str) -> None:
        self.ssh().get(source, target, durable=False)

    def stream_up(self, child: Any, size: int, count: int) -> int:
        channel = child.channel()
        ended = child.submit(far.feed, channel, size, count)
        total = sum(len(block) for block in channel)
        ended.result()
        return total

    def stream_down(self, child: Any, size: int, count: int) -> int:
        channel = child.channel()
        total = child.submit(far.drain, channel)
        far.feed(channel, size, count)
        return int(total.result())

    def lines(self, child: Any, count: int) -> None:
        child.call(far.say, count)
