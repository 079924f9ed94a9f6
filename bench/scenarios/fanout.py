"""Many local children at once: all connected, one call each."""

from __future__ import annotations

import time
from typing import Any

from bench.scenario import Row, pick, seconds

CONTENDERS = 'econtext execnet mitogen rpyc pipe'.split()
ROUNDS = 3, 1
ROWS = [
    Row('300 local children (quick: 30)', 'time', 'wall', 's'),
    Row('', "time / execnet's", 'wall', 'x', '<= 0.6', ('execnet', 'wall')),
    Row('', "the controller's CPU / execnet's", 'cpu', 'x', '<= 0.6', ('execnet', 'cpu')),
]


def measure(contender: Any, size: str) -> dict[str, float]:
    count = pick(size, 300, 30, 2)
    contender.prepare()
    cpu = time.process_time()
    wall = seconds(lambda: contender.connect_all(count))
    return {'wall': wall, 'cpu': time.process_time() - cpu}
