"""
How work is spread over the hosts of a fleet: what ``fleet.options()`` has checked.

Pure; any thread may enter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from econtext.controller.fleet.futures import GRACE
from econtext.controller.fleet.progress import Wanted
from econtext.controller.fleet.schedule import Amount


@dataclass(frozen=True)
class WorkOptions:
    """How work is spread over the hosts of a fleet."""

    timeout: float | None = None
    grace: float = GRACE
    limit: int | None = None
    batch: tuple[Amount, ...] = ()
    stop_after: Amount | None = None
    progress: Wanted = None
    fork: bool = False
    max_output: int | None = None
    capture: bool = True

    def for_calls(self) -> dict[str, Any]:
        """Return the options of the calls of each host."""
        return {'timeout': self.timeout, 'grace': self.grace, 'fork': self.fork, 'max_output': self.max_output,
                'capture': self.capture}

    def refuse_fork(self, what: str) -> None:
        if self.fork:
            raise ValueError(f'{what} has no isolated calls: use options(fork=False)')
