"""A thousand calls in flight."""

from __future__ import annotations

from typing import Any

from bench import far
from bench.scenario import Row, median_seconds, pick

CONTENDERS = 'econtext mitogen execnet rpyc pipe'.split()
ROUNDS = 9, 3
ROWS = [
    Row('1,000 calls in flight', 'calls per second', 'rate', '1/s', high=True),
    Row('', "calls per second / Mitogen's", 'rate', 'x', '>= 8', ('mitogen', 'rate'), high=True),
]


def measure(contender: Any, size: str) -> dict[str, float]:
    count = pick(size, 1000, 1000, 10)
    contender.prepare()
    child = contender.local()
    contender.call(child, far.noop)
    return {'rate': count / median_seconds(lambda: contender.burst(child, far.noop, count), pick(size, 11, 3, 1))}
