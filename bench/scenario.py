"""What a scenario declares: rows of the table, and series to be drawn.

A scenario is a module of `scenarios/` with

    CONTENDERS  names of `contenders/`, in the order in which they take turns
    ROWS        what it adds to the table
    SERIES      what it adds to the drawings, may be missing
    NEED        '', 'ssh' or 'slow': what of the ground it uses, may be missing
    ROUNDS      how often each contender's turn comes: (full, quick)
    measure(contender, size)    returns numbers by name; `size` is full, quick or tiny

A number that belongs to a series is named `NAME@X`.

A turn imports this, so it imports little: what is loaded already costs no contender anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

ROUND_TRIP = 0.1  # seconds, on the slow link
COUNTS = (0, 1, 10, 30, 100)  # modules that generated programs import


class Row(NamedTuple):
    """One line of the table."""

    what: str
    measure: str
    metric: str
    unit: str
    #: What is asked of econtext, as a bound of the value shown: '<= 5', '>= 8', or '' for none.
    target: str = ''
    #: (contender, metric): show values as multiples of that one's.
    base: tuple[str, str] | None = None
    #: Show how much more than the base, in per cent, rather than the multiple.
    extra: bool = False
    #: Is a larger value a better one?
    high: bool = False


class Series(NamedTuple):
    """Numbers that grow with something."""

    metric: str
    title: str
    x: str
    y: str
    log: bool = False


def pick(size: str, full: Any, quick: Any, tiny: Any) -> Any:
    return {'full': full, 'quick': quick, 'tiny': tiny}[size]


def seconds(function: Callable[[], object]) -> float:
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def median_seconds(function: Callable[[], object], count: int) -> float:
    """Return the median time of `count` calls."""
    clock = time.perf_counter
    times = []
    for _ in range(count):
        begun = clock()
        function()
        times.append(clock() - begun)
    return sorted(times)[count // 2]
