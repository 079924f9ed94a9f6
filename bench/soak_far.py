"""What contexts do during a soak. Imports nothing that a bare interpreter has not loaded, but `time`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any


def echo(value: Any) -> Any:
    return value


def fail(number: int) -> None:
    raise LookupError('number %d' % number)


def rest(seconds: float) -> float:
    end = time.time() + seconds
    while time.time() < end:
        time.sleep(min(0.01, seconds))
    return seconds


def say(lines: int) -> int:
    for i in range(lines):
        print('line %d' % i)
    sys.stdout.flush()
    return lines


def count(number: int) -> Iterator[int]:
    yield from range(number)


def answer(channel: Any) -> int:
    """Send back what comes, till the other end closes."""
    seen = 0
    for value in channel:
        channel.send(value)
        seen += 1
    return seen


def line(size: int) -> str:
    """Return the form of a line that has so many bytes behind its number."""
    return '%d ' + 'x' * size


def flood(lines: int, size: int) -> int:
    """Print so many lines."""
    form = line(size)
    for i in range(lines):
        print(form % i)
    return lines


def flood_of_records(lines: int, size: int) -> int:
    """Log so many records."""
    import logging

    log, form = logging.getLogger('flood'), line(size)
    for i in range(lines):
        log.info(form, i)
    return lines
