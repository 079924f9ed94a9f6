"""What a child takes beyond a bare interpreter, after its first call."""

from __future__ import annotations

from typing import Any

from bench import far
from bench.scenario import Row

CONTENDERS = 'python econtext mitogen execnet rpyc pipe'.split()
ROUNDS = 5, 3
ROWS = [
    Row("child's memory", 'resident', 'resident', 'MB'),
    Row('', 'beyond a bare interpreter', 'more', 'MB', '<= 3'),
]


def measure(contender: Any, size: str) -> dict[str, float]:
    if hasattr(contender, 'resident'):
        return {'resident': contender.resident() / 1e6}
    from bench.contenders import python

    bare = python.Adapter(contender.ground).resident()
    contender.prepare()
    there = contender.call(contender.local(), far.status, 'VmRSS')
    return {'resident': there / 1e6, 'more': (there - bare) / 1e6}
