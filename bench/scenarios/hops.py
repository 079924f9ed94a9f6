"""Through one to five contexts in a row, all on this machine."""

from __future__ import annotations

from typing import Any

from bench import far
from bench.scenario import Row, Series, median_seconds, pick

CONTENDERS = 'econtext mitogen execnet'.split()
ROUNDS = 5, 1
ROWS = [
    Row('through 5 hops', "latency / Mitogen's", 'latency@5', 'x', '<= 0.3', ('mitogen', 'latency@5')),
    Row('', 'latency', 'latency@5', 'us'),
    Row('', "bulk / Mitogen's", 'bulk@5', 'x', '>= 8', ('mitogen', 'bulk@5'), high=True),
    Row('', 'bulk', 'bulk@5', 'MB/s', high=True),
]
SERIES = [
    Series('latency', 'Hops against the latency of a call', 'hops', 'us'),
    Series('bulk', 'Hops against throughput', 'hops', 'MB/s'),
]


def measure(contender: Any, size: str) -> dict[str, float]:
    contender.prepare()
    child = contender.local()
    data = far.block(pick(size, 1 << 24, 1 << 22, 1 << 12))
    numbers = {}
    for hops in range(1, pick(size, 6, 6, 3)):
        if hops > 1:
            child = contender.below(child, 'local')
        for _ in range(pick(size, 100, 20, 1)):
            contender.call(child, far.noop)
        time = median_seconds(lambda: contender.call(child, far.noop), pick(size, 2000, 300, 3))  # noqa: B023
        numbers[f'latency@{hops}'] = time * 1e6
        time = median_seconds(lambda: contender.call(child, far.size, data), pick(size, 3, 1, 1))  # noqa: B023
        numbers[f'bulk@{hops}'] = len(data) / 1e6 / time
    return numbers
