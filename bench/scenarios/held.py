"""What a controller takes for each context that it holds, beyond that context's own process."""

from __future__ import annotations

import gc
from typing import Any

from bench import far
from bench.scenario import Row, Series, pick

CONTENDERS = 'econtext mitogen execnet rpyc pipe'.split()
ROUNDS = 1, 1
ROWS = [Row('1,000 contexts held (peers: 100; quick: 40)', "the controller's memory for each", 'each', 'KB', '<= 40')]
SERIES = [Series('memory', "Contexts against the controller's memory", 'contexts', 'KB')]


def measure(contender: Any, size: str) -> dict[str, float]:
    steps = pick(size, (10, 30, 100, 300, 1000), (10, 40), (2,))
    if contender.title != 'econtext':
        steps = [step for step in steps if step <= 100]  # beyond that they take minutes
    contender.prepare()
    held = list(contender.connect_all(2))  # what the first ones load is not theirs
    gc.collect()
    begun = far.memory()
    numbers = {}
    count = 0
    for step in steps:
        held += contender.connect_all(step - count)
        count = step
        gc.collect()
        numbers[f'memory@{step}'] = (far.memory() - begun) / 1e3
    return {**numbers, 'each': numbers[f'memory@{count}'] / count}
