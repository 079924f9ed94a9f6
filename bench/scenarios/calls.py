"""A call that does nothing, one after the other."""

from __future__ import annotations

from typing import Any

from bench import far
from bench.scenario import Row, median_seconds, pick, seconds

CONTENDERS = 'raw econtext mitogen execnet rpyc pipe'.split()
ROUNDS = 9, 3
ROWS = [
    Row('one synchronous no-op call', 'p50', 'p50', 'us'),
    Row('', 'p50 / raw pipe echo', 'p50', 'x', '<= 5', ('raw', 'p50')),
    Row('', "calls per second / Mitogen's", 'rate', 'x', '>= 8', ('mitogen', 'rate'), high=True),
]


def measure(contender: Any, size: str) -> dict[str, float]:
    count = pick(size, 10000, 2000, 20)
    contender.prepare()
    child = contender.local()

    def call() -> None:
        contender.call(child, far.noop)

    def calls() -> None:
        for _ in range(count):
            contender.call(child, far.noop)

    for _ in range(count // 10):
        call()
    return {'p50': median_seconds(call, count) * 1e6, 'rate': count / seconds(calls)}
