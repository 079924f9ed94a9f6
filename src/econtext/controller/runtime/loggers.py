"""
The loggers of contexts, each as long as a context has its name.

``logging`` keeps every logger for ever.  A program that starts contexts day after
day, most of them called by a number, would grow by each.

Invariants:

* No two contexts of one broker have the same name at a time, and so none shares a logger.
  Those of several brokers may: they share what ``logging.getLogger`` returns.
* One that the program has configured stays.  One that it holds or has loggers below
  goes on to work.

Any thread may enter.
"""

from __future__ import annotations

import collections
import itertools
import logging
import threading
from typing import Any

# That of `logging` itself: what is looked up meanwhile must not be half gone.
LOCK: Any = getattr(logging, '_lock')  # noqa: B009 -- not in typeshed
USED: collections.Counter[str] = collections.Counter()


class Names:
    """The names of the contexts of one broker."""

    def __init__(self) -> None:
        self.lock: threading.Lock = threading.Lock()
        self.used: set[str] = set()

    def take(self, name: str) -> str:
        """Return `name`, or if it is in use the first of `name#2`, `name#3` … that is not."""
        with self.lock:
            found = name
            for number in itertools.count(2):
                if found not in self.used:
                    break
                found = f'{name}#{number}'
            self.used.add(found)
            return found

    def give_back(self, name: str) -> None:
        """The context of that name is gone."""
        with self.lock:
            self.used.discard(name)


def borrow(name: str) -> logging.Logger:
    """Return the logger called `name`, for one more context."""
    with LOCK:
        USED[name] += 1
        return logging.getLogger(name)


def give_back(logger: logging.Logger) -> None:
    """One context less has `logger`."""
    with LOCK:
        USED[logger.name] -= 1
        if USED[logger.name] <= 0:
            del USED[logger.name]
            if is_plain(logger):
                forget(logger)


def is_plain(logger: logging.Logger) -> bool:
    """Is `logger` as it was made?"""
    return not (logger.handlers or logger.filters or logger.level or logger.disabled or not logger.propagate)


def forget(logger: logging.Logger) -> None:
    """Take `logger` out of the tables of ``logging``, and what stands there for it alone."""
    table: dict[str, Any] = logging.Logger.manager.loggerDict
    if table.get(logger.name) is not logger:
        return
    del table[logger.name]
    name = logger.name
    while '.' in name:
        name = name.rpartition('.')[0]
        holder = table.get(name)
        if not isinstance(holder, logging.PlaceHolder):
            break
        holder.loggerMap.pop(logger, None)
        if not holder.loggerMap:
            del table[name]
