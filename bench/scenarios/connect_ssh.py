"""The same over ssh, a new connection for each, to a server on this machine."""

from __future__ import annotations

import os
from typing import Any

from bench.scenario import Row, seconds

CONTENDERS = 'python econtext mitogen execnet rpyc'.split()
NEED = 'ssh'
ROUNDS = 15, 3
ROWS = [
    Row('connect + first call over ssh', 'time', 'connect', 'ms'),
    Row('', "more than `ssh host python3 -c 'print(1)'`", 'connect', '%', '<= 25', ('python', 'connect'), extra=True),
]


def measure(contender: Any, size: str) -> dict[str, float]:
    if hasattr(contender, 'run_ssh'):
        return {'connect': seconds(lambda: contender.run_ssh(f"{contender.ground.python} -c 'print(1)'")) * 1e3}
    contender.prepare()
    return {'connect': seconds(lambda: contender.call(contender.ssh(), os.getpid)) * 1e3}
