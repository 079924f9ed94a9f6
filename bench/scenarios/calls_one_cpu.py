"""
A call that does nothing, one after the other, with both ends on one processor.

Between two idle processors a call is little but the time that the second takes to wake, which is the machine's, and
hides what the libraries do. Here nobody wakes up.
"""

from __future__ import annotations

import os
from typing import Any

from bench.scenario import Row
from bench.scenarios import calls

CONTENDERS = calls.CONTENDERS
ROUNDS = calls.ROUNDS
ROWS = [
    Row('the same, both ends on one processor', 'p50', 'p50', 'us'),
    Row('', 'p50 / raw pipe echo', 'p50', 'x', '<= 5', ('raw', 'p50')),
    Row('', "calls per second / Mitogen's", 'rate', 'x', '>= 8', ('mitogen', 'rate'), high=True),
]


def measure(contender: Any, size: str) -> dict[str, float]:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return calls.measure(contender, size)
