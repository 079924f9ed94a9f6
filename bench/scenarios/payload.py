"""Bytes as an argument and as a result, and calls against the size of what they carry."""

from __future__ import annotations

from typing import Any

from bench import far
from bench.contender import Lacks
from bench.scenario import Row, Series, median_seconds, pick

CONTENDERS = 'raw econtext mitogen execnet rpyc pipe'.split()
ROUNDS = 5, 2
ROWS = [
    Row('16 MiB of bytes', 'argument: time / raw pipe', 'argument', 'x', '<= 3', ('raw', 'argument')),
    Row('', 'result: time / raw pipe', 'result', 'x', '<= 3', ('raw', 'result')),
    Row('', 'bytes on the wire / bytes, argument', 'growth', 'x', '<= 1.01'),
]
SERIES = [Series('call', 'Calls against the size of their argument', 'bytes', 'us', log=True)]


def measure(contender: Any, size: str) -> dict[str, float]:
    contender.prepare()
    child = contender.local()
    data = far.block(pick(size, 1 << 24, 1 << 24, 1 << 12))
    count = pick(size, 5, 1, 1)
    assert contender.call(child, far.size, data) == len(data)
    assert len(contender.call(child, far.make, len(data))) == len(data)
    numbers = {
        'argument': median_seconds(lambda: contender.call(child, far.size, data), count) * 1e3,
        'result': median_seconds(lambda: contender.call(child, far.make, len(data)), count) * 1e3,
    }
    for power in range(0, pick(size, 25, 23, 3), 2):
        part = data[: 1 << power]
        times = max(3, min(pick(size, 500, 100, 3), (1 << 23 >> power) or 1))
        numbers[f'call@{len(part)}'] = median_seconds(lambda: contender.call(child, far.size, part), times) * 1e6  # noqa: B023
    try:
        before = contender.call(child, far.carried)[0]
        contender.call(child, far.size, data)
        after = contender.call(child, far.carried)[0]
    except Lacks:
        return numbers
    return {**numbers, 'growth': (after - before) / len(data)}
