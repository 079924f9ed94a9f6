"""Round trips from the moment that ssh asks for a command to the first result, over a link of 100 ms.

All share one connection that is there before. `ssh host true` over it takes one trip to open a session and one
for the command, and what it takes beyond that is local work: a contender's trips are 1 + (its time - that time)
/ 100 ms. The start of an interpreter, and each moment of computing, is included.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from bench.contender import Lacks
from bench.scenario import COUNTS, ROUND_TRIP, Row, Series, median_seconds, pick, seconds

CONTENDERS = 'python econtext mitogen execnet rpyc'.split()
NEED = 'slow'
ROUNDS = 5, 1
ROWS = [
    Row('round trips, command to first result', 'built-in function', 'builtin', 'RTT', '<= 2.3'),
    Row('', 'the same, all in the command line', 'one_trip', 'RTT', '<= 1.3'),
    Row('', 'own module', 'modules@0', 'RTT', '<= 2.3'),
    *(Row('', f'own module and {count} more, 3 packages deep', f'modules@{count}', 'RTT', '<= 2.5')
      for count in COUNTS[1:4]),
]  # fmt: skip
SERIES = [Series('modules', 'Modules against the first result, link of 100 ms', 'modules', 'round trips')]


def measure(contender: Any, size: str) -> dict[str, float]:
    python = importlib.import_module('bench.contenders.python').Adapter(contender.ground)
    floor = median_seconds(lambda: python.run_ssh('true'), pick(size, 3, 3, 1))

    def trips(time: float) -> float:
        return 1 + (time - floor) / ROUND_TRIP

    if hasattr(contender, 'run_ssh'):
        return {'builtin': trips(seconds(lambda: contender.run_ssh(f"{contender.ground.python} -c 'print(1)'")))}
    contender.prepare()
    contender.call(contender.ssh(), os.getpid)  # what a program does once
    numbers = {'builtin': trips(seconds(lambda: contender.call(contender.ssh(), os.getpid)))}
    if hasattr(contender, 'ssh_one_trip'):
        numbers['one_trip'] = trips(seconds(lambda: contender.call(contender.ssh_one_trip(), os.getpid)))
    for count in pick(size, COUNTS, COUNTS[:4], COUNTS[:2]):
        module = importlib.import_module(f'own_{count}')
        try:
            numbers[f'modules@{count}'] = trips(seconds(lambda: contender.call(contender.ssh(), module.work)))  # noqa: B023
        except Lacks:
            break
    return numbers
