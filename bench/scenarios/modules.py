"""Modules that a first call needs, against the time to connect and make it, locally."""

from __future__ import annotations

import importlib
from typing import Any

from bench.contender import Lacks
from bench.scenario import COUNTS, Row, Series, pick, seconds

CONTENDERS = 'econtext mitogen execnet'.split()
ROUNDS = 5, 2
ROWS = [
    Row('modules that a first call needs', 'connect + first call, local: own module', 'connect@0', 'ms'),
    Row('', 'own module and 30 more', 'connect@30', 'ms'),
]
SERIES = [Series('connect', 'Modules against the time to connect', 'modules', 'ms')]


def measure(contender: Any, size: str) -> dict[str, float]:
    contender.prepare()
    numbers = {}
    for count in pick(size, COUNTS, COUNTS, COUNTS[:2]):
        module = importlib.import_module(f'own_{count}')
        try:
            numbers[f'connect@{count}'] = seconds(lambda: contender.call(contender.local(), module.work)) * 1e3  # noqa: B023
        except Lacks:
            break
    return numbers
