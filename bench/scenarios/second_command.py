"""A later `econtext run` to the same host, with a session server that has the connection; a person's pause before each.

The floor is `python -c pass`: the command itself is a Python that starts.
"""

from __future__ import annotations

import time
from typing import Any

from bench.scenario import Row, median_seconds, pick, seconds

CONTENDERS = 'python econtext'.split()
NEED = 'ssh'
ROUNDS = 5, 2
PAUSE = 0.3     # seconds between two commands
ROWS = [
    Row('a second `econtext run` of a script, over ssh', 'time', 'time', 'ms'),
    Row('', 'time / `python -c pass`', 'time', 'x', '', ('python', 'time')),
    Row('', 'the same, without the time of one call there', 'less', 'x', '<= 1.3', ('python', 'time')),
    Row('', 'one after the other, without a pause', 'loop', 'x', '', ('python', 'loop')),
]


def measure(contender: Any, size: str) -> dict[str, float]:
    count = pick(size, 21, 9, 2)
    with contender.commands() as (run, trip):
        run()
        run()
        times = []
        for _ in range(count):
            time.sleep(PAUSE)
            times.append(seconds(run))
        found = sorted(times)[count // 2]
        return {'time': found * 1e3, 'less': (found - trip) * 1e3, 'loop': median_seconds(run, count) * 1e3}
