"""Log lines of our own. Any thread that neither leads nor holds a lock."""

from __future__ import annotations

import logging

from econtext.controller.runtime.signals import interruptible


@interruptible
def say(logger: logging.Logger, level: int, text: str, *args: object) -> None:
    """Log something of our own: handlers are the program's. Any thread that neither leads nor holds a lock."""
    logger.log(level, text, *args, stacklevel=2)
