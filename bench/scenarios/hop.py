"""The second hop: a child of a child that is 100 ms away, started, and one call answered."""

from __future__ import annotations

import os
import shutil
from typing import Any

from bench.contender import Lacks
from bench.scenario import ROUND_TRIP, Row, seconds

CONTENDERS = 'econtext mitogen execnet'.split()
NEED = 'slow'
ROUNDS = 5, 1
ROWS = [
    Row('second hop, first time', 'local: round trips', 'local', 'RTT', '<= 1.3'),
    Row('', 'sudo: round trips', 'sudo', 'RTT', '<= 1.4'),
]


def measure(contender: Any, size: str) -> dict[str, float]:
    numbers = {}
    contender.prepare()
    for how in ('local', 'sudo'):
        if how == 'sudo' and not (shutil.which('sudo') and os.geteuid() == 0):
            continue  # only root is asked for no password
        child = contender.ssh()
        contender.call(child, os.getpid)
        try:
            numbers[how] = seconds(lambda: contender.call(contender.below(child, how), os.getpid)) / ROUND_TRIP  # noqa: B023
        except Lacks:
            continue
    return numbers
