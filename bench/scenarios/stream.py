"""
A large file's worth of bytes through a channel, in blocks, both ways; and what memory both ends take for it.

That memory includes the code that both ends load for their first stream.
"""

from __future__ import annotations

from typing import Any

from bench import far
from bench.contender import Lacks
from bench.scenario import Row, pick, seconds

CONTENDERS = 'raw econtext execnet mitogen rpyc pipe'.split()
ROUNDS = 3, 1
BLOCK = 1 << 17
ROWS = [
    Row('a stream of 1 GiB (quick: 64 MiB)', 'to the controller', 'up', 'MB/s', high=True),
    Row('', "to the controller / execnet's", 'up', 'x', '>= 3', ('execnet', 'up'), high=True),
    Row('', 'to the child', 'down', 'MB/s', high=True),
    Row('', "to the child / execnet's", 'down', 'x', '>= 3', ('execnet', 'down'), high=True),
    Row('', "more memory: the controller's peak", 'controller', 'MB', '<= 8'),
    Row('', "more memory: the child's peak", 'child', 'MB', '<= 8'),
]


def measure(contender: Any, size: str) -> dict[str, float]:
    total = pick(size, 1 << 30, 1 << 26, BLOCK * 4)
    contender.prepare()
    child = contender.local()
    numbers: dict[str, float] = {}
    for name, stream in (('up', contender.stream_up), ('down', contender.stream_down)):
        contender_only = False
        try:
            there = contender.call(child, far.memory)
        except Lacks:
            contender_only = True  # it has no calls, so nobody asks its child
        here = far.memory()

        def run(stream: Any = stream) -> None:
            assert stream(child, BLOCK, total // BLOCK) == total

        numbers[name] = total / 1e6 / seconds(run)
        numbers['controller'] = max(numbers.get('controller', 0), (far.peak() - here) / 1e6)
        if not contender_only:
            grown = (contender.call(child, far.peak) - there) / 1e6
            numbers['child'] = max(numbers.get('child', 0), grown)
    return numbers
