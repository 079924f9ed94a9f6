"""Lines printed there, each a record of `logging` here, where a handler counts them and does no more."""

from __future__ import annotations

import logging
import time
from typing import Any

from bench import far
from bench.scenario import Row, pick, seconds

CONTENDERS = 'here econtext mitogen execnet rpyc pipe'.split()
ROUNDS = 5, 1
ROWS = [
    Row('100,000 printed lines', 'time / logging the same lines locally', 'time', 'x', '<= 2', ('here', 'time')),
    Row('', 'of them here before the result', 'before', '%', '>= 100', high=True),
]


class Counter(logging.Handler):
    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


def measure(contender: Any, size: str) -> dict[str, float]:
    count = pick(size, 100000, 100000, 100)
    logging.getLogger().setLevel(logging.INFO)
    contender.prepare()
    child = contender.local()
    if child is not None:
        contender.call(child, far.noop)
    counter = Counter()
    logging.getLogger().addHandler(counter)
    before = 0

    def run() -> None:
        nonlocal before
        contender.lines(child, count)
        before = counter.count
        end = time.monotonic() + 30
        while counter.count < count and time.monotonic() < end:
            time.sleep(0.0005)

    return {'time': seconds(run), 'before': 100 * min(before, count) / count}
