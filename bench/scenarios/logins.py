"""Many logins at once over ssh, to a server on this machine: all connected, one call each."""

from __future__ import annotations

import time
from typing import Any

from bench.scenario import Row, pick, seconds

CONTENDERS = 'python econtext'.split()
NEED = 'ssh'
ROUNDS = 5, 1
ROWS = [
    Row('100 contexts over ssh at once (quick: 20)', 'time', 'wall', 's'),
    Row('', "time / `xargs -P 100 ssh host python3 -c pass`'s", 'wall', 'x', '<= 1.1', ('python', 'wall')),
    Row('', "the controller's CPU for each host", 'cpu', 'ms', '<= 4'),
    Row('', 'median time until broker.ssh() returns', 'returned', 'ms', '<= 1'),
]


def measure(contender: Any, size: str) -> dict[str, float]:
    count = pick(size, 100, 20, 2)
    if hasattr(contender, 'run_many_ssh'):
        return {'wall': seconds(lambda: contender.run_many_ssh(f'{contender.ground.python} -c pass', count))}
    contender.prepare()
    returned: list[float] = []
    cpu = time.process_time()
    wall = seconds(lambda: contender.log_in(count, returned))
    cpu = time.process_time() - cpu
    return {'wall': wall, 'cpu': cpu / count * 1e3, 'returned': sorted(returned)[count // 2] * 1e3}
