"""What single-file programs begin with."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from econtext.controller.broker import Broker

__all__ = ['log_to_stderr', 'run_with_broker']

T = TypeVar('T')


def run_with_broker(main: Callable[[Broker], T]) -> T:
    """
    Call `main` with a new broker, close that afterwards, and return the result.

    What contexts print and log shows on standard error, unless the program has
    set up ``logging`` itself.  Raises what `main` does.

    Example::

        if __name__ == '__main__':
            econtext.utils.run_with_broker(main)
    """
    log_to_stderr()
    with Broker() as broker:
        return main(broker)


def log_to_stderr(level: int = logging.INFO) -> None:
    """
    Show records from `level` on, on standard error, if nothing else is set up.

    Raises nothing.

    Example::

        econtext.utils.log_to_stderr(logging.DEBUG)
    """
    logging.basicConfig(level=level, format='%(levelname)s: %(name)s: %(message)s')
