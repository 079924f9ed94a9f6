"""
A soak: operations of every kind, mixed at random, and kills in between.

    python -m bench.soak [--operations 200000] [--seed 1] [--workers 3]

Every operation is accounted for once: it has its result, or the error that it was
to have, or one that says its context is gone.  At each pause everything is closed,
and what is left is looked at: tables, descriptors, threads, processes, memory.

Each worker is a thread with contexts of its own, which it calls, streams from, kills
and closes; what it draws depends on the seed alone.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import gc
import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import econtext
from bench import soak_far

MOST = 5        # contexts of a worker at a time
PAUSES = 10     # looks at what is left
GONE = econtext.ContextLost, econtext.ConnectError
WORDS = ['', 'word', 'ä', 'x' * 1000, 'y' * 100_000, b'z' * 300_000, 7, -1.5, None, [1, 'two'], {'a': (1, 2)}]


class Worker:
    """Carries out operations on contexts of its own."""

    def __init__(self, broker: econtext.Broker, seed: int) -> None:
        self.broker = broker
        self.random = random.Random(seed)
        self.contexts: list[econtext.Context] = []
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []

    def work(self, operations: int) -> None:
        for _ in range(operations):
            operation = self.random.choices(KINDS, WEIGHTS)[0]
            try:
                outcome = operation(self, self.context())
            except econtext.CorruptStream as error:
                # They are all honest here.
                outcome = 'wrong'
                self.wrong.append(str(error)[:500])
            except GONE as error:
                outcome = type(error).__name__
            except Exception as error:
                outcome = 'wrong'
                self.wrong.append(f'{operation.__name__}: {type(error).__name__}: {error}'[:500])
            self.outcomes[f'{operation.__name__} {outcome}'] += 1

    def finish(self) -> None:
        for context in self.contexts:
            context.close()
        self.contexts.clear()

    def context(self) -> econtext.Context:
        if not self.contexts:
            self.contexts.append(self.broker.local())
        return self.random.choice(self.contexts)

    # Operations: each returns how it came out, or raises.

    def call(self, context: econtext.Context) -> str:
        value = self.random.choice(WORDS)
        return same(context.call(soak_far.echo, value), value)

    def failing(self, context: econtext.Context) -> str:
        number = self.random.randrange(1000)
        try:
            context.call(soak_far.fail, number)
        except LookupError as error:
            return same(error.message, f'number {number}')  # type: ignore[attr-defined]
        return 'wrong'

    def batch(self, context: econtext.Context) -> str:
        numbers = range(self.random.randrange(1, 30))
        futures = [context.submit(soak_far.echo, number) for number in numbers]
        return same([future.result(60) for future in futures], list(numbers))

    def late(self, context: econtext.Context) -> str:
        try:
            context.options(timeout=0.01, grace=20).call(soak_far.rest, 0.05)
        except econtext.CallTimeout:
            return 'timeout'
        return 'result'

    def withdrawn(self, context: econtext.Context) -> str:
        first = context.submit(soak_far.rest, 0.02)
        second = context.submit(soak_far.echo, 1)
        cancelled = second.cancel()
        same(first.result(60), 0.02)
        return 'cancelled' if cancelled else same(second.result(60), 1)

    def interrupted(self, context: econtext.Context) -> str:
        future = context.submit(soak_far.rest, 30)
        future.interrupt(grace=20)
        try:
            future.result(60)
        except (econtext.Interrupted, econtext.CallError):
            return 'interrupted'
        except concurrent.futures.CancelledError:
            return 'cancelled'
        return 'wrong'

    def output(self, context: econtext.Context) -> str:
        lines = self.random.randrange(1, 200)
        return same(context.call(soak_far.say, lines), lines)

    def stream(self, context: econtext.Context) -> str:
        number = self.random.randrange(1, 300)
        stop = self.random.choice((number, number // 2))
        seen = []
        with context.stream(soak_far.count, number) as stream:
            for value in stream:
                if value == stop:
                    break
                seen.append(value)
        return same(seen, list(range(min(number, stop))))

    def channel(self, context: econtext.Context) -> str:
        channel = context.channel(window=65_536)
        future = context.submit(soak_far.answer, channel)
        values = [self.random.choice(WORDS) for _ in range(5)]
        for value in values:
            channel.send(value)
            if same(channel.get(timeout=60), value) == 'wrong':
                return 'wrong'
        channel.close()
        return same(future.result(60), len(values))

    def connect(self, context: econtext.Context) -> str:
        via = self.random.choice((self.broker, context)) if len(context._node.route()) < 3 else self.broker
        if len(self.contexts) >= MOST:
            self.leave(self.contexts[0])
        self.contexts.append(via.local())
        return 'started'

    def leave(self, context: econtext.Context) -> str:
        self.contexts = [each for each in self.contexts if context._node not in each._node.route()]
        context.close()
        return 'closed'

    def kill(self, context: econtext.Context) -> str:
        pid = context.wait_ready(60).pid
        future = context.submit(soak_far.rest, 0.05)
        os.kill(pid, signal.SIGKILL)
        self.contexts = [each for each in self.contexts if context._node not in each._node.route()]
        try:
            future.result(60)
        except GONE:
            return 'killed'
        return 'result'


Operation = Callable[[Worker, econtext.Context], str]
TABLE: tuple[tuple[Operation, float], ...] = (
    (Worker.call, 60), (Worker.failing, 6), (Worker.batch, 10), (Worker.late, 0.3), (Worker.withdrawn, 0.3),
    (Worker.interrupted, 0.5), (Worker.output, 4), (Worker.stream, 4), (Worker.channel, 4), (Worker.connect, 1),
    (Worker.leave, 0.4), (Worker.kill, 0.4),
)  # fmt: skip
KINDS = [operation for operation, _ in TABLE]
WEIGHTS = [weight for _, weight in TABLE]


def same(found: Any, wanted: Any) -> str:
    return 'result' if found == wanted else 'wrong'


def left(broker: econtext.Broker) -> dict[str, int]:
    """Count what is there when nothing is to be."""
    return {
        'questions': len(broker._tree.router.asked),
        'contexts': len(broker._tree.contexts) + len(broker._tree.unreaped) + len(broker._tree.births),
        'links': len(broker._tree.router.links),
        'channels': len(broker._tree.channels.open_channels),
        'descriptors': len(os.listdir('/proc/self/fd')),
        'threads': len(os.listdir('/proc/self/task')),
        'children': sum(1 for pid in os.listdir('/proc') if pid.isdigit() and is_child(pid)),
    }


def is_child(pid: str) -> bool:
    """Does a process run that this one, or one that is gone, has started?"""
    try:
        with open(f'/proc/{pid}/stat', errors='replace') as file:
            state, parent = file.read().rpartition(')')[2].split()[:2]
    except OSError:
        return False
    return int(parent) == os.getpid() and state != 'Z'


def resident() -> int:
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def settled(broker: econtext.Broker, wanted: dict[str, int]) -> dict[str, int]:
    """Return what is left once it is as `wanted`, or after a minute."""
    end = time.monotonic() + 60
    while True:
        gc.collect()
        found = left(broker)
        if found == wanted or time.monotonic() > end:
            return found
        time.sleep(0.05)


def soak(operations: int, seed: int, workers: int, say: Callable[[str], object] = print) -> dict[str, Any]:
    """Run; return what came out, and what was left and used at each pause."""
    outcomes: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    pauses: list[dict[str, int]] = []
    with econtext.Broker() as broker:
        broker.local().close()
        gc.collect()
        before = left(broker)
        for pause in range(PAUSES):
            crew = [Worker(broker, seed * 1000 + pause * workers + i) for i in range(workers)]
            threads = [threading.Thread(target=each.work, args=(operations // PAUSES // workers,)) for each in crew]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for each in crew:
                each.finish()
                outcomes.update(each.outcomes)
                wrong += each.wrong
            del crew, threads
            pauses.append({**settled(broker, before), 'objects': len(gc.get_objects()), 'resident': resident()})
            say(f'{sum(outcomes.values())} operations, left: {pauses[-1]}')
    return {'before': before, 'pauses': pauses, 'outcomes': dict(outcomes), 'wrong': wrong}


def main() -> int:
    parser = argparse.ArgumentParser('python -m bench.soak', description=__doc__.splitlines()[1])
    parser.add_argument('--operations', type=int, default=200_000)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--workers', type=int, default=3)
    options = parser.parse_args()
    logging.getLogger('econtext').addHandler(logging.NullHandler())
    logging.getLogger('econtext').propagate = False
    found = soak(options.operations, options.seed, options.workers)
    for name, number in sorted(found['outcomes'].items()):
        print(f'{number:8} {name}')
    for text in found['wrong'][:20]:
        print('WRONG', text)
    return 1 if found['wrong'] else 0


if __name__ == '__main__':
    sys.exit(main())
