"""
Log records of our own, and what shows of records while the program has set up no logging.

The strategy: a record goes to the handlers that the program has set up, by the rules of
``logging``.  A program that has set up none sees each line that its contexts print, and each
warning, on standard error, behind the name of the context::

    [web1] hello
    [web1] stderr: no such file
    [web1] WARNING: app.db: slow query

Invariants:

* One handler anywhere on the way of a record, a ``NullHandler`` too, and nothing is written here.
* What ``logging`` would refuse is not written: a logger that is disabled, ``logging.disable``, a
  filter, ``logging.lastResort = None``.  A level that was set for a logger of econtext counts;
  the level of the root does not, since each program has that one.
* No text that cannot be encoded, and no stream that is closed or full, raises anything.

Any thread that neither leads nor holds a lock: handlers and streams are the program's.
"""

from __future__ import annotations

import contextlib
import logging
import sys

from econtext.controller.runtime.signals import interruptible

PREFIX = 'econtext.ctx.'


@interruptible
def say(logger: logging.Logger, level: int, text: str, *args: object) -> None:
    """Log something of our own: handlers are the program's. Any thread that neither leads nor holds a lock."""
    if logger.hasHandlers():
        logger.log(level, text, *args, stacklevel=2)
    elif takes(logger, level):
        show(logger.makeRecord(logger.name, level, '(econtext)', 0, text, args, None), logger)


def takes(logger: logging.Logger, level: int) -> bool:
    """Return what ``logger.isEnabledFor(level)`` does, which keeps its answer to each level for ever."""
    return not logger.disabled and logger.manager.disable < level >= logger.getEffectiveLevel()


def shows_lines(logger: logging.Logger) -> bool:
    """Return whether lines of a context show where its `logger` has no handler: see the invariants."""
    if logger.disabled or logger.manager.disable >= logging.INFO:
        return False
    own: logging.Logger | None = logger
    while own is not None and own.parent is not None:
        if own.level:
            return own.level <= logging.INFO
        own = own.parent
    return True


def show(record: logging.LogRecord, logger: logging.Logger, *, plain: bool = False) -> None:
    """Write `record` to standard error, with its level unless it is `plain`."""
    if logging.lastResort is None or not logger.filter(record):
        return
    level = '' if plain else f'{record.levelname}: '
    trace = f'\n{record.exc_text}' if record.exc_text else ''
    write(f'[{record.name.removeprefix(PREFIX)}] {level}{record.getMessage()}{trace}\n')


def write(text: str) -> None:
    """Write `text` to standard error, if there is one."""
    stream = sys.stderr
    if stream is None:
        return
    encoding = getattr(stream, 'encoding', None) or 'utf-8'
    with contextlib.suppress(OSError, ValueError, LookupError):
        stream.write(text.encode(encoding, 'backslashreplace').decode(encoding))
