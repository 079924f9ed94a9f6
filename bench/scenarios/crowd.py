"""Thousands of contexts of one program, on this machine: a fleet through relays."""

from __future__ import annotations

import os
import time
from typing import Any

from bench.scenario import Row, pick, seconds

CONTENDERS = ['econtext']
ROUNDS = 1, 1
RELAYED = 100   # hosts behind each relay
ROWS = [
    Row('2,000 contexts through 20 relays (quick: 200, 2)', 'time', 'wall', 's'),
    Row('', "the controller's CPU for each, connecting", 'cpu', 'ms', '<= 4'),
    Row('', 'for each further call', 'again', 'ms'),
    Row('', "the controller's descriptors", 'descriptors', ''),
    Row('', "the controller's memory for each", 'memory', 'kB'),
]


def measure(contender: Any, size: str) -> dict[str, float]:
    count = pick(size, 2000, 200, 4)
    contender.prepare()
    fleet = contender.fleet(count, max(1, count // RELAYED))
    before, cpu = resident(), time.process_time()
    wall = seconds(lambda: contender.call_all(fleet, count))
    connected = time.process_time()
    memory, descriptors = resident() - before, len(os.listdir('/proc/self/fd'))
    again = time.process_time()
    contender.call_all(fleet, count)
    ended = time.process_time()
    return {
        'wall': wall, 'cpu': (connected - cpu) / count * 1e3, 'again': (ended - again) / count * 1e3,
        'descriptors': descriptors, 'memory': memory / count / 1e3,
    }


def resident() -> int:
    """Return the bytes of memory that this process has now."""
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
