"""
How far the work of a fleet is, for people to see.

Whoever waits for the work draws: there is no thread for it, and no host waits for a terminal.

Invariants:

* Nothing is shown unless asked for; rich is imported on a terminal only, and nothing of a notebook but in one.
* The last that is shown is how it ended.
* A place to show on that is gone, such as a closed terminal, ends the display and no work.  What a function of the
  application raises is raised to whoever waits.

The functions are pure; a display belongs to the thread that waits.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from econtext.child.labels import seen
from econtext.controller import notebook
from econtext.controller.errors import EcontextError
from econtext.controller.fleet.schedule import CONNECTING, DONE, FAILED, READY, RUNNING, SKIPPED, TURN, WAITING

TICK = 0.1      # seconds between two looks
LINE = 1.0      # seconds between two lines, where no terminal is
CELL = 0.5      # seconds between two changes of what a notebook shows
STALE = 1.0     # seconds after which a bar is drawn again, for its times


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

    @property
    def remaining(self) -> float | None:
        """The seconds until all hosts have ended at this rate; None if nothing is known of that."""
        left = self.total - self.ended
        return left / self.rate if left and self.rate else None if left else 0.0

    def __str__(self) -> str:
        states = ', '.join(f'{number} {state}' for state, number in states_of(self) if number or state == 'done')
        rate = f'{self.rate:.1f}/s'
        if self.total > self.ended and self.remaining is not None:
            rate += f', {clock(self.remaining)} left'
        return f'{self.ended}/{self.total} hosts: {states} ({rate})'


#: The states that people see, in the order in which a host goes through them, and their colours.
SHOWN = {
    'waiting': 'dim', 'connecting': 'yellow', 'ready': 'cyan', 'running': 'blue', 'done': '', 'failed': 'bold red',
    'skipped': 'magenta',
}


def states_of(progress: Progress) -> list[tuple[str, int]]:
    """Return the states that people see, and how many hosts are in each."""
    return [(state, getattr(progress, state)) for state in SHOWN]


def clock(seconds: float) -> str:
    """Return a duration as people read it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{rest:02}' if hours else f'{minutes}:{rest:02}'


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

    least: float = TICK
    #: Seconds after which it tells though nothing has changed.
    stale: float = float('inf')

    def __init__(self, counts: Mapping[str, int], told: Callable[[Progress], object]) -> None:
        self.counts = counts
        self.told = told
        self.begun: float = time.monotonic()
        self.shown: dict[str, int] = {}
        self.last: float = float('-inf')
        self.finished: bool = False

    def show(self) -> float:
        now = time.monotonic()
        if now >= self.last + self.least and not self.finished:
            self.tell(now - self.last >= self.stale)
        return TICK

    def tell(self, anyway: bool = False) -> None:
        counts = dict(self.counts)
        if anyway or counts != self.shown:
            self.shown = counts
            self.last = time.monotonic()
            self.told(progress_of(counts, self.last - self.begun))

    def finish(self) -> None:
        if not self.finished:
            self.finished = True
            self.tell()


class Shown(Told):
    """Draws for people, at a place that may be gone."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        super().__init__(counts, self.draw_if_possible)

    def draw_if_possible(self, progress: Progress) -> None:
        try:
            self.draw(progress)
        except (OSError, ValueError):
            # A closed file, a terminal that is gone.
            self.finished = True

    def draw(self, progress: Progress) -> None:
        raise NotImplementedError


class Lines(Shown):
    """Writes a line for each change, one a second at most."""

    least: float = LINE

    def __init__(self, counts: Mapping[str, int], file: TextIO) -> None:
        super().__init__(counts)
        self.file = file

    def draw(self, progress: Progress) -> None:
        self.file.write(f'{progress}\n')
        self.file.flush()


class Cell(Shown):
    """Shows one bar in the output of a notebook's cell."""

    least: float = CELL

    def __init__(self, counts: Mapping[str, int]) -> None:
        super().__init__(counts)
        self.bar: notebook.Bar = notebook.Bar()

    def draw(self, progress: Progress) -> None:
        self.bar.show(progress.ended, progress.total, str(progress))


class Bar(Shown):
    """Draws a bar by rich: the states of the hosts, each in its colour, the rate and the time left."""

    stale: float = STALE

    def __init__(self, counts: Mapping[str, int], file: TextIO) -> None:
        super().__init__(counts)
        columns, tables = rich('rich.progress'), rich('rich.table')

        def text(field: str, **options: Any) -> Any:
            column = tables.Column(no_wrap=True, **options)
            return columns.TextColumn(f'{{task.fields[{field}]}}', table_column=column)

        # On a narrow terminal the end of the hosts is cut.
        self.bar: Any = columns.Progress(
            columns.BarColumn(20), text('rate', justify='right'), text('left', justify='right'),
            text('hosts', overflow='ellipsis', ratio=1),
            console=console(file), auto_refresh=False, expand=True)
        self.task: Any = self.bar.add_task('', total=sum(counts.values()), rate='', left='', hosts='')
        self.started: bool = False

    def draw(self, progress: Progress) -> None:
        # What has ended comes first.
        states = [f'[{SHOWN[state]}]{number} {state}[/]' if SHOWN[state] else f'{number} {state}'
                  for state, number in reversed(states_of(progress)) if number]
        self.bar.update(
            self.task, completed=progress.ended, rate=f'{progress.rate:.1f}/s',
            left=clock(progress.remaining) if progress.remaining else '',
            hosts=f'{progress.ended}/{progress.total} hosts: {", ".join(states)}')
        if self.started:
            self.bar.refresh()
        else:
            # Not before somebody waits: nobody else would end it.
            self.started = True
            self.bar.start()

    def finish(self) -> None:
        if not self.finished:
            try:
                super().finish()
            finally:
                self.stop()

    def draw_if_possible(self, progress: Progress) -> None:
        super().draw_if_possible(progress)
        if self.finished:
            self.stop()

    def stop(self) -> None:
        """Give the terminal back."""
        if self.started:
            self.started = False
            with contextlib.suppress(OSError, ValueError):
                self.bar.stop()


def console(file: TextIO) -> Any:
    """Return the console of rich for `file`; its own ends the program if the terminal is gone."""
    class Console(rich('rich.console').Console):  # type: ignore[misc]  # rich is imported when it is needed
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError('the terminal is gone')

    return Console(file=file)


def rich(module: str) -> Any:
    """Return a module of the package rich, or say how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise EcontextError(
            'progress=True on a terminal needs the package rich, which is not installed: '
            "pip install 'econtext[progress]', or give a function as progress=") from None


def is_terminal() -> bool:
    """Is the standard error a terminal? It may be closed, or missing."""
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:
        return False


def check_wanted(wanted: Wanted) -> None:
    """Raise TypeError for what is no progress=; EcontextError if it needs rich, and that is missing."""
    if isinstance(wanted, bool):
        if wanted and not notebook.is_notebook() and is_terminal():
            rich('rich.progress')
    elif not callable(wanted):
        raise TypeError(f'progress= must be True, False or a function, not {seen(wanted)}')


def display_of(wanted: Wanted, counts: Mapping[str, int]) -> Display | None:
    """Return what shows the progress of some work, None for nothing."""
    if callable(wanted):
        return Told(counts, wanted)
    if not wanted:
        return None
    if notebook.is_notebook():
        return Cell(counts)
    if is_terminal():
        return Bar(counts, sys.stderr)
    return Lines(counts, sys.stderr) if sys.stderr is not None else None
