"""
How far a transfer of files is, for a callback or a bar.

Invariants:

* The callback is called in the thread of the transfer, at most ten times a second, and once at the end.
* Numbers never run back; `total` grows while files are still being compared, and says so.
"""

from __future__ import annotations

import collections
import functools
import importlib
import math
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from econtext.child import transfer
from econtext.child.transfer import Watch, as_bytes
from econtext.controller import notebook
from econtext.controller.errors import EcontextError

EVERY = 0.1     # seconds
WIDE = 72       # columns of a terminal that has room for a bar
FIGURES = 52    # columns that a bar of some length and the figures beside it take
FIGURES_ALONE = 28  # columns that the sizes and the rate take


@dataclass(frozen=True)
class TransferProgress:
    """
    How far a transfer of files is; a function that is given as `progress` gets it.

    `path` is the file that goes now, `bytes` and `files` are how many have gone, `seconds` is since the transfer began.
    `total` is how many bytes are to go as far as is known yet, and `complete` tells whether that is all.
    """

    path: str
    bytes: int
    files: int
    total: int
    complete: bool
    seconds: float

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.bytes / self.seconds if self.seconds > 0 else 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds that are left at this rate, None while nobody can tell."""
        if not self.complete or (not self.rate and self.bytes < self.total):
            return None
        return max(self.total - self.bytes, 0) / self.rate if self.rate else 0.0


Callback = Callable[[TransferProgress], object]
Event = tuple[Callable[[Any], None], Any]   # what is heard, and of what


class Reporter(Watch):
    """
    Counts for a callback.

    `size` is the number of bytes that the listing does not tell, None if nobody knows it; `path` stands for what
    has no name.
    """
    begun: float
    files: int
    told: float
    total: int

    def __init__(self, callback: Callback, size: int | None = 0, path: str = '') -> None:
        self.callback = callback
        self.endless: bool = size is None
        self.total = size or 0
        self.bytes: int = 0
        self.files = 0
        self.complete: bool = False
        self.path: str = path
        self.begun = self.told = time.monotonic()

    def wanted(self, size: int) -> None:
        self.total += size

    def listed(self) -> None:
        self.complete = not self.endless

    def began(self, path: bytes) -> None:
        self.files += 1
        if path:
            self.path = os.fsdecode(path)

    def moved(self, size: int) -> None:
        self.bytes += size
        now = time.monotonic()
        if now - self.told >= EVERY:
            self.told = now
            self.tell()

    def hear(self, far: Any) -> bool:
        """Pass on what a context says of a transfer within; return False for what makes no sense."""
        if type(far) is not tuple or len(far) != 5 or any(type(each) is not int for each in far[1:4]):
            return False
        path = as_bytes(far[0]) if isinstance(far[0], (bytes, str)) else b''
        if path:
            self.path = os.fsdecode(path)
        self.bytes, self.files, self.total = max(self.bytes, far[1]), max(self.files, far[2]), max(self.total, far[3])
        self.complete = far[4] is True
        self.tell()
        return True

    def tell(self) -> None:
        self.callback(TransferProgress(
            self.path, self.bytes, self.files, max(self.total, self.bytes), self.complete,
            time.monotonic() - self.begun))

    def end(self) -> None:
        """All has gone."""
        self.complete = True
        self.total = self.bytes
        self.tell()


class Listener:
    """Hears what two contexts say to each other in a transfer, for whoever counts for a callback."""

    def __init__(self, watch: Watch) -> None:
        self.watch: Watch = watch
        # Names and sizes of what was listed, for each batch that is not served.
        self.batches: collections.deque[list[tuple[bytes, int]]] = collections.deque()
        self.answered: int = 0  # how many of them

    def sent(self, data: bytes) -> None:
        """A message of the sender goes by."""
        for act, value in self.understood(self.of_sender, data):
            act(value)

    def received(self, data: bytes) -> None:
        """A message of the receiver goes by; it is only counted, by another thread than that of the callback."""
        for act, value in self.understood(self.of_receiver, data):
            act(value)

    def understood(self, read: Callable[[bytes], list[Event]], data: bytes) -> list[Event]:
        try:
            return read(data)
        except (transfer.Nonsense, struct.error, UnicodeError, IndexError):
            # Whoever gets the message says so.
            self.watch = Watch()
            return []

    def of_sender(self, data: bytes) -> list[Event]:
        kind = data[:1]
        found: list[Event] = []
        if kind == transfer.LIST:
            if len(self.batches) > transfer.MANY:
                raise transfer.Nonsense('more batches than were answered')
            self.batches.append([(entry.name, entry.size) for entry in transfer.unpack_entries(data, 1)])
        elif kind == transfer.CHUNK:
            found.append((self.watch.moved, len(data) - 1))
        elif kind == transfer.ZEROS:
            found.append((self.watch.moved, struct.unpack(transfer.RUN, data[1:])[0]))
        elif kind == transfer.BEGIN:
            found.append((self.watch.began, self.batches[0][struct.unpack(transfer.START, data[1:])[0]][0]))
        elif kind == transfer.SMALL:
            at = 1
            while at < len(data):
                index, size, length = struct.unpack(transfer.PIECE, data[at:at + transfer.PIECE_SIZE])
                at += transfer.PIECE_SIZE + size + length
                found += [(self.watch.began, self.batches[0][index][0]), (self.watch.moved, size)]
        elif kind == transfer.KEPT:
            self.batches.popleft()
            self.answered -= 1
        return found

    def of_receiver(self, data: bytes) -> list[Event]:
        if data[:1] != transfer.NEED:
            return []
        batch = self.batches[self.answered]
        self.answered += 1
        _, needs = transfer.unpack_needs(data)
        found: list[Event] = [(self.watch.wanted, max(batch[index][1] - offset, 0)) for index, offset, _ in needs]
        if len(batch) < transfer.BATCH:
            found.append((lambda _: self.watch.listed(), 0))
        return found


class Cell:
    """A bar in the output of a notebook's cell, a callback."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.bar: notebook.Bar = notebook.Bar()

    def __call__(self, progress: TransferProgress) -> None:
        of = f' of {in_units(progress.total)}' if progress.complete else ''
        self.bar.show(
            progress.bytes, progress.total if progress.complete else None,
            f'{self.title}: {in_units(progress.bytes)}{of}, {in_units(progress.rate)}/s')

    def stop(self) -> None:
        """Nothing: what it showed last stays."""


def in_units(size: float) -> str:
    """Return a number of bytes as people read it."""
    if size < 1000:
        return f'{size:.0f} bytes'
    units = ['kB', 'MB', 'GB', 'TB']
    power = min(int(math.log10(size)) // 3, len(units))
    return f'{size / 1000 ** power:.1f} {units[power - 1]}'


def shortened(title: str, room: int) -> str:
    """Return `title`, or its beginning and its end, in `room` characters, or 8 if those are fewer."""
    room = max(room, 8)
    if len(title) <= room:
        return title
    return title[:room // 2] + '…' + title[len(title) - (room - room // 2 - 1):]


def bar_for(title: str) -> Cell | Bar:
    """Return what draws a bar where this program runs."""
    return Cell(title) if notebook.is_notebook() else Bar(title)


class Bar:
    """A bar of rich on standard error, a callback."""

    def __init__(self, title: str) -> None:
        try:
            progress: Any = importlib.import_module('rich.progress')
            console: Any = importlib.import_module('rich.console').Console(stderr=True)
            column: Any = functools.partial(importlib.import_module('rich.table').Column, no_wrap=True)
        except ImportError:
            raise EcontextError(
                "progress=True draws a bar by the package rich, which is not installed: run pip install "
                "'econtext[progress]', or pass a function") from None
        wide = console.width >= WIDE
        columns = [progress.DownloadColumn(table_column=column()), progress.TransferSpeedColumn(table_column=column())]
        if wide:
            columns = [progress.BarColumn(), *columns, progress.TimeRemainingColumn(table_column=column())]
        title = shortened(title, console.width - (FIGURES if wide else FIGURES_ALONE))
        self.bar: Any = progress.Progress(
            progress.TextColumn('{task.description}', markup=False, table_column=column()), *columns, console=console)
        self.task: Any = self.bar.add_task(title, total=None)
        self.bar.start()

    def __call__(self, progress: TransferProgress) -> None:
        self.bar.update(
            self.task, completed=progress.bytes, total=progress.total if progress.complete else None)

    def stop(self) -> None:
        self.bar.stop()
