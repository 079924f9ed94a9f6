"""
When a context that nobody uses ends by itself.

The strategy: looks at times. What happened between two looks counts as if it had happened at the second one, so
a call costs no look at a clock. A context is over that has been idle for its time and for one step beyond: so it was
idle for its whole time, and an eighth more at most.

Invariants:

* A context that is in use at a look, or was used since the last one, is not over before its time has passed again.
* Over is over: what comes later changes nothing.

Pure: no clock.  One thread at a time may enter.
"""

from __future__ import annotations

SOONEST = 0.01  # seconds between two looks
LOOKS = 8       # in the time that a context may be idle


class IdleTime:
    """How long a context may be idle, in `seconds`, from `now` on."""

    def __init__(self, seconds: float, now: float) -> None:
        self.seconds: float = seconds
        self.step: float = max(SOONEST, seconds / LOOKS)
        self.last: float = now
        self.over: bool = False

    def look(self, now: float, used: bool) -> bool:
        """Return whether the context is over: it was not `used` for so long."""
        if used and not self.over:
            self.last = now
        self.over = self.over or now - self.last >= self.seconds + self.step
        return self.over
