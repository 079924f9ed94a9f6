"""A link that breaks at any byte, in either direction: whoever waits gets an error, within bounds."""

from __future__ import annotations

import concurrent.futures
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from stops import work

import econtext
from lab import SOON, eventually, leaks, pythons
from lab.sshd import Sshd

PROXY = str(Path(__file__).with_name('stops') / 'proxy.py')
BOUND = SOON  # seconds until every waiter has its error
LOST = econtext.ConnectError, econtext.ContextLost
VERSIONS = ('2.7', '3.13')


def positions() -> list[tuple[str, int]]:
    """Where to cut: densely where a link begins, then spread over calls and streams; others at each run."""
    seed = int(os.environ.get('ECONTEXT_SEED', time.time()))
    some = random.Random(seed)
    down = [0, 1, 100, 4096, 4850, *(some.randrange(4800, 14000) for _ in range(4))]
    up = [0, 1, 11, 12, 13, 30, 250, 265, 280, *(some.randrange(13, 300) for _ in range(4))]
    for way in down, up:
        way += [some.randrange(14000, 400000) for _ in range(4)]
    return [('down', at) for at in down] + [('up', at) for at in up]


def use(child: econtext.Context) -> None:
    """Call, stream both ways, pass large values; raise once the link is gone."""
    use_all(child)
    raise econtext.EcontextError('it was cut only after all was done')


def use_all(child: econtext.Context) -> None:
    below = child.local()
    channel = child.channel()
    waiting = [child.submit(work.bounce, channel), below.submit(len, 'abc')]
    for size in (1, 1000, 50000):
        for _ in range(4):
            channel.send(b'x' * size)
            if next(channel, None) is None:
                break
    channel.close()
    for future in waiting:
        future.result(BOUND)
    for _ in range(8):
        child.call(work.echo, b'y' * 30000)
    child.shutdown()


@pytest.mark.parametrize('version', VERSIONS)
def test_cut(version: str) -> None:
    for way, at in positions():
        down, up = (at, -1) if way == 'down' else (-1, at)
        python = [sys.executable, PROXY, str(down), str(up), '--', pythons.interpreter(version)]
        began = time.monotonic()
        with econtext.Broker() as broker:
            child = broker.local(python=python, connect_timeout=BOUND)
            with pytest.raises((*LOST, econtext.EcontextError)):
                use(child)
            told = f'{version} {way} {at}'
            if child._node.error is not None:
                with pytest.raises(LOST):
                    child.options(timeout=BOUND).call(os.getpid)
                eventually(lambda child=child: not child._node.pending, what=told)  # type: ignore[misc]
        assert time.monotonic() - began < BOUND + 5, told


def test_cut_below_a_hop(broker: econtext.Broker) -> None:
    hop = broker.local()
    hop.call(os.getpid)
    for down, up in ((5000, -1), (20000, -1), (-1, 100), (-1, 20000)):
        child = hop.local(python=[sys.executable, PROXY, str(down), str(up), '--', pythons.interpreter('3.6')])
        with pytest.raises((*LOST, econtext.EcontextError)):
            use(child)
        child.close()
        assert hop.options(timeout=BOUND).call(len, 'abc') == 3


def test_cut_under_ssh(broker: econtext.Broker, sshd: Sshd) -> None:
    """During key exchange, login, start, and calls."""
    for way, at in (('up', 10), ('up', 2500), ('down', 4000), ('down', 9000), ('down', 25000), ('up', 30000)):
        down, up = (at, -1) if way == 'down' else (-1, at)
        command = f'{sys.executable} {PROXY} {down} {up} -- tcp {sshd.address} %p'
        child = broker.ssh(
            sshd.address, python=sys.executable, ssh_args=[*sshd.ssh_args(), '-o', f'ProxyCommand={command}'])
        with pytest.raises((*LOST, econtext.EcontextError)):
            use(child)
        child.close()


def test_everybody_who_waits_is_told(broker: econtext.Broker) -> None:
    child = broker.local(python=[sys.executable, PROXY, '-1', '60000', '--', pythons.interpreter('3.13')])
    below = child.local()
    channel = child.channel()
    assert below.call(len, 'abc') == 3
    waiting: list[Any] = [child.submit(work.sleep), below.submit(work.sleep)]
    threads = concurrent.futures.ThreadPoolExecutor(4)
    waiting += [
        threads.submit(child.call, time.sleep, 900), threads.submit(below.call, time.sleep, 900),
        threads.submit(lambda: list(channel)), threads.submit(child.options(timeout=60).call, time.sleep, 900),
    ]  # fmt: skip
    pid = child.pid
    proxy = leaks.process(pid)
    assert proxy is not None
    os.kill(proxy.parent, 9)
    began = time.monotonic()
    for future in waiting:
        with pytest.raises(econtext.ContextLost):
            future.result(BOUND)
    assert time.monotonic() - began < BOUND
    threads.shutdown()
    eventually(lambda: not leaks.alive(pid))


def test_imports_that_need_the_controller_while_it_waits(broker: econtext.Broker) -> None:
    """From one thread and from several at once, through a hop too."""
    for via in (broker, broker.local()):
        for version in VERSIONS:
            child = via.local(python=pythons.interpreter(version))
            assert child.options(timeout=60).call(work.import_late) == [0, 1, 2, 3, 0, 1, 2, 3]
