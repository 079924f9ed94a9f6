"""A local child: started, and one call answered, by a controller that has connected to nothing before."""

from __future__ import annotations

import os
from typing import Any

from bench.scenario import Row, seconds

CONTENDERS = 'python econtext mitogen execnet rpyc pipe'.split()
ROUNDS = 31, 7
ROWS = [
    Row('connect + first call, local, cold', 'time', 'connect', 'ms'),
    Row('', 'time / `python -c pass`', 'connect', 'x', '<= 2.2', ('python', 'connect')),
    Row('', 'the same, second child', 'again', 'ms'),
    Row('', 'set-up of the controller before that', 'setup', 'ms'),
]


def measure(contender: Any, size: str) -> dict[str, float]:
    if hasattr(contender, 'run'):
        return {'connect': seconds(contender.run) * 1e3, 'again': seconds(contender.run) * 1e3}

    def connect() -> None:
        contender.call(contender.local(), os.getpid)

    return {
        'setup': seconds(contender.prepare) * 1e3,
        'connect': seconds(connect) * 1e3,
        'again': seconds(connect) * 1e3,
    }
