"""
How far the work of a fleet is, for people to see.

Whoever waits for the work draws: there is no thread for it, and no host waits for a terminal.

Invariants:

* Nothing is shown unless asked for; rich is imported on a terminal only.
* The last that is shown is how it ended.

The functions are pure; a display belongs to the thread that waits.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from econtext.controller.errors import EcontextError
from econtext.controller.fleet.schedule import CONNECTING, DONE, FAILED, READY, RUNNING, SKIPPED, TURN, WAITING
from econtext.core.labels import seen

TICK = 0.1      # seconds between two looks
LINE = 1.0      # seconds between two lines, where no terminal is


@dataclass(frozen=True)
class Progress:
    """
    How many hosts of a fleet are where in some work.

    `waiting` for their batch, `connecting`, `ready` and in line for the limit or for other work there,
    `running`, `done`, `failed` and `skipped` are numbers of hosts, `seconds` is since the work began.
    """

    waiting: int
    connecting: int
    ready: int
    running: int
    done: int
    failed: int
    skipped: int
    seconds: float

    @property
    def total(self) -> int:
        """All hosts."""
        return self.waiting + self.connecting + self.ready + self.running + self.ended

    @property
    def ended(self) -> int:
        """The hosts where nothing more happens."""
        return self.done + self.failed + self.skipped

    @property
    def rate(self) -> float:
        """Hosts done or failed per second."""
        return (self.done + self.failed) / self.seconds if self.seconds > 0 else 0.0

    def __str__(self) -> str:
        named = [(self.waiting, 'waiting'), (self.connecting, 'connecting'), (self.ready, 'ready'),
                 (self.running, 'running'), (self.done, 'done'), (self.failed, 'failed'), (self.skipped, 'skipped')]
        states = ', '.join(f'{number} {state}' for number, state in named if number or state == 'done')
        return f'{self.ended}/{self.total} hosts: {states} ({self.rate:.1f}/s)'


Wanted = bool | Callable[[Progress], object] | None


def progress_of(counts: Mapping[str, int], seconds: float) -> Progress:
    return Progress(
        counts[WAITING], counts[CONNECTING], counts[READY] + counts[TURN], counts[RUNNING], counts[DONE],
        counts[FAILED], counts[SKIPPED], seconds)


class Display(Protocol):
    """What shows progress to whoever waits."""

    def show(self) -> float:
        """Show how far it is; return the seconds until the next look."""

    def finish(self) -> None:
        """Show how it ended. May be called again."""


class Told:
    """Tells a function of each change."""

    least = TICK

    def __init__(self, counts: Mapping[str, int], told: Callable[[Progress], object]) -> None:
        self.counts = counts
        self.told = told
        self.begun: float = time.monotonic()
        self.shown: dict[str, int] = {}
        self.next: float = 0.0
        self.finished: bool = False

    def show(self) -> float:
        now = time.monotonic()
        if now < self.next or self.finished:
            return TICK
        self.next = now + self.least
        self.tell()
        return TICK

    def tell(self) -> None:
        counts = dict(self.counts)
        if counts != self.shown:
            self.shown = counts
            self.told(progress_of(counts, time.monotonic() - self.begun))

    def finish(self) -> None:
        if not self.finished:
            self.finished = True
            self.tell()


class Lines(Told):
    """Writes a line for each change, one a second at most."""

    least = LINE

    def __init__(self, counts: Mapping[str, int], file: TextIO) -> None:
        def write(progress: Progress) -> None:
            file.write(f'{progress}\n')
            file.flush()

        super().__init__(counts, write)


class Bar(Told):
    """Draws a bar by rich."""

    def __init__(self, counts: Mapping[str, int], file: TextIO) -> None:
        columns = rich('rich.progress')
        self.bar: Any = columns.Progress(
            columns.BarColumn(), columns.TextColumn('{task.fields[text]}', markup=False),
            console=rich('rich.console').Console(file=file), auto_refresh=False)
        total = sum(counts.values())
        self.task: Any = self.bar.add_task('', total=total, text='')
        super().__init__(counts, self.draw)
        self.started: bool = False

    def draw(self, progress: Progress) -> None:
        if not self.started:
            # Not before somebody waits: nobody else would end it.
            self.started = True
            self.bar.start()
        self.bar.update(self.task, completed=progress.ended, text=str(progress), refresh=True)

    def finish(self) -> None:
        if not self.finished:
            try:
                super().finish()
            finally:
                if self.started:
                    self.bar.stop()


def rich(module: str) -> Any:
    """Return a module of the package rich, or say how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise EcontextError(
            'progress=True on a terminal needs the package rich, which is not installed: '
            "pip install 'econtext[progress]', or give a function as progress=") from None


def check_wanted(wanted: Wanted) -> None:
    """Raise TypeError for what is no progress=; EcontextError if it needs rich, and that is missing."""
    if isinstance(wanted, bool):
        if wanted and sys.stderr.isatty():
            rich('rich.progress')
    elif not callable(wanted):
        raise TypeError(f'progress= must be True, False or a function, not {seen(wanted)}')


def display_of(wanted: Wanted, counts: Mapping[str, int]) -> Display | None:
    """Return what shows the progress of some work, None for nothing."""
    if callable(wanted):
        return Told(counts, wanted)
    if not wanted:
        return None
    return Bar(counts, sys.stderr) if sys.stderr.isatty() else Lines(counts, sys.stderr)
