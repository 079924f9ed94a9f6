"""
How work is spread over the hosts of a fleet: what ``fleet.options()`` has checked.

Pure; any thread may enter.
"""

from __future__ import annotations

from dataclasses import dataclass

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
