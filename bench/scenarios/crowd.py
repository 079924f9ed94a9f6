"""Thousands of contexts of one program, on this machine: a fleet through relays, and a smaller one without.

The contexts are started by a command, as by ssh: they get sources, not the code that contexts of the same Python get.
"""

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
    Row('', 'sent for each, connecting', 'sent', 'kB'),
    Row('', "the controller's descriptors", 'descriptors', ''),
    Row('', "the controller's memory for each", 'memory', 'kB'),
    Row('a tenth of them, directly', "the controller's CPU for each, connecting", 'direct_cpu', 'ms', '<= 4'),
    Row('', 'sent for each, connecting', 'direct_sent', 'kB'),
    Row('', "the controller's descriptors for each", 'direct_descriptors', ''),
    Row('', "the controller's memory for each", 'direct_memory', 'kB'),
    Row('', 'CPU for each further call', 'direct_again', 'ms'),
]


def measure(contender: Any, size: str) -> dict[str, float]:
    count = pick(size, 2000, 200, 20)
    contender.prepare()
    numbers = {}
    few = count // 10
    for prefix, number, relays in (('direct_', few, 0), ('', count, max(1, count // RELAYED))):
        fleet = contender.fleet(number, relays)
        memory, sent, descriptors, cpu = resident(), written(), opened(), time.process_time()
        numbers['wall'] = seconds(lambda: contender.call_all(fleet, number))  # noqa: B023
        numbers[prefix + 'cpu'] = (time.process_time() - cpu) / number * 1e3
        numbers[prefix + 'sent'] = (written() - sent) / number / 1e3
        numbers[prefix + 'descriptors'] = opened() - descriptors
        numbers[prefix + 'memory'] = (resident() - memory) / number / 1e3
        cpu = time.process_time()
        contender.call_all(fleet, number)
        numbers[prefix + 'again'] = (time.process_time() - cpu) / number * 1e3
    numbers['direct_descriptors'] /= few
    return numbers


def resident() -> int:
    """Return the bytes of memory that this process has now."""
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def written() -> int:
    """Return the bytes that this process has written so far."""
    with open('/proc/self/io') as file:
        return int(next(line for line in file if line.startswith('wchar')).split()[1])


def opened() -> int:
    return len(os.listdir('/proc/self/fd'))
