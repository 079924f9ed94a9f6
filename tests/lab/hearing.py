"""What contexts say, as a test hears it: a handler of `logging`, for a while.

Invariants:
* Nothing of it is left: neither the handler nor the level.
* What is heard goes to no other handler meanwhile.

Main thread only.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TypeVar

H = TypeVar('H', bound=logging.Handler)


@contextlib.contextmanager
def hearing(handler: H, name: str = 'econtext.ctx') -> Iterator[H]:
    """Have `handler` hear what the logger `name` and those below it get, from INFO on."""
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True


class Texts(logging.Handler):
    """Keeps the texts of records, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.all.append(record.getMessage())
