"""
What a context is for, tried once: steps of ``doctor``.

Each method returns what it found, or what is worth a word; it raises StepFailed for
what does not work, and what a call raises.

Invariants:

* Each call has an end.
* The program's own handlers and levels of ``logging`` are as before.

One thread enters.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from econtext.child import checkup
from econtext.controller.doctor.network import Note, StepFailed

if TYPE_CHECKING:
    from econtext.controller.context import Context

CALLS = 10              # of which the fastest is the round trip
SMALL = 1 << 18         # bytes for a first look at the throughput,
LARGE = 1 << 23         # and for a second one where that took less than
QUICK = 0.2             # seconds
SLOW = 0.15             # seconds more than the interpreter itself takes to start: a shim,
STARTS = 3              # if so each time: once it may be the load of that host
CLOCK = 60.0            # seconds that a clock may be off
P = ParamSpec('P')
T = TypeVar('T')


class Noted(logging.Handler):
    """Keeps the texts of records in `lines`."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Trials:
    """The trials of one context."""

    def __init__(self, context: Context, patience: float) -> None:
        self.context = context
        self.patience = patience

    def limited(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` there."""
        return self.context.options(timeout=self.patience).call(function, *args, **kwargs)

    def call(self) -> str:
        return f'abs(-1) is {self.limited(abs, -1)}'

    def modules(self) -> str:
        """A module of ours arrives there, and tells what it finds."""
        user, directory = self.limited(checkup.whereabouts)
        return f'a module of this program ran as user {user} in {directory}'

    def clock(self) -> str | Note:
        """Its clock may be wrong; nothing here depends on it."""
        begun = time.time()
        apart = self.limited(checkup.clock) - (begun + time.time()) / 2
        if abs(apart) > CLOCK:
            return Note(
                f'{apart:+,.0f} s off',
                'Set the clock there; econtext does not mind, but certificates and logs do.')
        return f'{apart:+.1f} s off'

    def start_up(self, found: str) -> str | Note:
        """What was `found` may be a shim, which starts the interpreter late."""
        executable = self.context.executable
        if found == executable:
            return 'what was found is the interpreter itself'
        text = ''
        for _ in range(STARTS):
            itself, shim = self.limited(checkup.startup, executable), self.limited(checkup.startup, found)
            text = f'{found} takes {shim:.2f} s, {executable} {itself:.2f} s'
            if shim - itself <= SLOW:
                return text
        return Note(text, f'Give python={executable!r}, which {found} leads to.')

    def output(self) -> str:
        """What is printed and logged there must arrive here before the call returns."""
        lines: list[str] = []
        handler = Noted(lines)
        logger = self.context._node.lines.logger
        level, propagate = logger.level, logger.propagate
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        try:
            self.limited(checkup.speak, 'doctor')
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
        missing = [word for word in ('stdout', 'stderr', 'logging')
                   if not any(f'doctor {word}' in line for line in lines)]
        if missing:
            raise StepFailed('ended', f'nothing arrived of {", ".join(missing)}')
        return 'stdout, stderr and logging arrive'

    def round_trip(self) -> str:
        times = []
        for _ in range(CALLS):
            begun = time.monotonic()
            self.limited(checkup.nothing)
            times.append(time.monotonic() - begun)
        times.sort()
        return f'{times[0] * 1000:.2f} ms at best, {times[CALLS // 2] * 1000:.2f} ms in the middle of {CALLS}'

    def throughput(self) -> str:
        """Bytes go there, and come back."""
        size = SMALL
        while True:
            data = checkup.give(size)
            begun = time.monotonic()
            self.limited(checkup.take, data)
            there = time.monotonic() - begun
            begun = time.monotonic()
            self.limited(checkup.give, size)
            back = time.monotonic() - begun
            if size == LARGE or max(there, back) > QUICK:
                return f'{size / there / 1e6:.1f} MB/s there, {size / back / 1e6:.1f} MB/s back'
            size = LARGE
