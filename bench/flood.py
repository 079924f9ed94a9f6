"""
A flood: a million lines that a context prints, and a million records that it logs.

    python -m bench.flood [--lines 1000000] [--hops 0] [--window 1048576]

Every line is to be here before the result, in its order, while the controller's
memory stays flat.  What is told is how long that took, beside logging the same lines
here, and the most memory that was used meanwhile.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from typing import Any

import econtext
from bench import soak, soak_far

EVERY = 1000    # lines, then a look at memory
SIZE = 60       # bytes of a line behind its number


class Counter(logging.Handler):
    """Holds lines to the order in which they were made, keeps none, and sees how large this process grows."""

    def __init__(self, prefix: str, size: int) -> None:
        super().__init__()
        self.form = prefix + soak_far.line(size)
        self.seen = self.wrong = self.most = 0

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() != self.form % self.seen:
            self.wrong += 1
        self.seen += 1
        if self.seen % EVERY == 1:
            self.most = max(self.most, soak.resident())


def flood(source: str, lines: int, hops: int = 0, window: int = 1 << 20, size: int = SIZE) -> dict[str, Any]:
    """Have a context say `lines` lines by `source`, 'print' or 'record'; return what was seen."""
    function, prefix = {'print': (soak_far.flood, 'stdout: '), 'record': (soak_far.flood_of_records, 'flood: ')}[source]
    counter = Counter(prefix, size)
    logger = logging.getLogger('econtext.ctx.source')
    logger.addHandler(counter)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        with econtext.Broker() as broker:
            origin: Any = broker
            for _ in range(hops):
                origin = origin.local()
            context = origin.local(name='source', output_window=window)
            context.call(function, 100, size)
            said, counter.seen, counter.most = counter.seen, 0, 0
            before = soak.resident()
            began = time.perf_counter()
            result = context.call(function, lines, size)
            # Before anything else could still come.
            seen = counter.seen
            seconds = time.perf_counter() - began
        return {
            'lines': seen, 'missing': lines - seen + 100 - said, 'wrong': counter.wrong, 'result': result,
            'seconds': seconds, 'before': before, 'most': counter.most, 'after': soak.resident(),
        }  # fmt: skip
    finally:
        logger.removeHandler(counter)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True


def here(lines: int) -> float:
    """Return how long it takes to log the same lines in this process."""
    logger = logging.getLogger('bench.here')
    logger.propagate = False
    logger.setLevel(logging.INFO)
    counter = Counter('stdout: ', SIZE)
    logger.addHandler(counter)
    began = time.perf_counter()
    form = soak_far.line(SIZE)
    for i in range(lines):
        logger.info('%s: %s', 'stdout', form % i)
    logger.removeHandler(counter)
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser('python -m bench.flood', description=__doc__.splitlines()[1])
    parser.add_argument('--lines', type=int, default=1_000_000)
    parser.add_argument('--hops', type=int, default=0)
    parser.add_argument('--window', type=int, default=1 << 20)
    options = parser.parse_args()
    local = here(options.lines)
    print(f'the same lines logged here: {local:.1f} s')
    failed = False
    for source in 'print', 'record':
        found = flood(source, options.lines, options.hops, options.window)
        failed = failed or bool(found['missing'] or found['wrong'] or found['result'] != options.lines)
        mib = {name: found[name] / (1 << 20) for name in ('before', 'most', 'after')}
        print(
            f'{source}: {found["lines"]} lines in {found["seconds"]:.1f} s, {found["seconds"] / local:.1f} times that; '
            f'missing {found["missing"]}, out of order {found["wrong"]}; memory before, at most, after: '
            '{before:.1f}, {most:.1f}, {after:.1f} MiB'.format(**mib))
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())
