"""A second program attaches and makes its first call, beside an ssh that uses the connection of another one.

The first program has a context that is ready; the second has imported the library. Of ssh, which is a program of its
own, the start counts too.
"""

from __future__ import annotations

import os
import time
from typing import Any

from bench.scenario import Row, pick

CONTENDERS = 'python econtext'.split()
NEED = 'ssh'
ROUNDS = 9, 3
ROWS = [
    Row('attach and first call, to a context that another program has', 'time', 'time', 'ms', '<= 10'),
    Row('', 'processor time of the second program', 'cpu', 'ms', '<= 5'),
    Row('', 'time / `ssh -S ControlPath HOST true`', 'time', 'x', '<= 1', ('python', 'time')),
]


def measure(contender: Any, size: str) -> dict[str, float]:
    contender.prepare()
    times, costs = [], []
    with contender.shared() as use:
        for _ in range(pick(size, 21, 9, 2)):
            begun, cost = time.perf_counter(), time.process_time()
            children = sum(os.times()[2:4])
            use()
            times.append(time.perf_counter() - begun)
            costs.append(time.process_time() - cost + sum(os.times()[2:4]) - children)
    return {'time': sorted(times)[len(times) // 2] * 1e3, 'cpu': sum(costs) / len(costs) * 1e3}
