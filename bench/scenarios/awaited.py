"""A call that is awaited, and a thousand of them in flight, beside the blocking ones; both ends on one processor."""

from __future__ import annotations

import os
from typing import Any

from bench import far
from bench.scenario import Row, median_seconds, pick

CONTENDERS = ['econtext']
ROUNDS = 9, 3
ROWS = [
    Row('an awaited call on one processor', 'time / a blocking one', 'call', 'x', '<= 1.6'),
    Row('1,000 awaited calls in flight', 'calls per second / submit', 'burst', 'x', '>= 0.8', high=True),
]


def measure(contender: Any, size: str) -> dict[str, float]:
    # Not above: contenders that have no part in this import no asyncio.
    import asyncio

    from econtext import aio

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    contender.prepare()
    blocking = contender.local()
    count, rounds = pick(size, (1000, 11), (1000, 3), (10, 1))
    awaited = aio.Context(blocking)

    def one_by_one() -> None:
        for _ in range(count):
            blocking.call(far.noop)

    async def measured() -> dict[str, float]:
        async def all_calls() -> None:
            for _ in range(count):
                await awaited.call(far.noop)

        async def in_flight() -> None:
            for future in [awaited.submit(far.noop) for _ in range(count)]:
                await future

        await awaited.call(far.noop)
        return {'call': await median(all_calls, rounds), 'burst': await median(in_flight, rounds)}

    awaited_times = asyncio.run(measured())
    return {
        'call': awaited_times['call'] / median_seconds(one_by_one, rounds),
        'burst': median_seconds(lambda: contender.burst(blocking, far.noop, count), rounds) / awaited_times['burst'],
    }


async def median(function: Any, count: int) -> float:
    import time

    times = []
    for _ in range(count):
        begun = time.perf_counter()
        await function()
        times.append(time.perf_counter() - begun)
    return sorted(times)[count // 2]
