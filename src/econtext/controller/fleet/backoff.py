"""
How long to wait before another attempt to connect.

Invariants:

* The waits double, up to a longest; each is shortened at random by at most half of it, so that
  hosts that failed together do not come back together.
* What another attempt cannot mend, such as a wrong password, is not tried again.

Pure; any thread may enter.
"""

from __future__ import annotations

from econtext.controller.errors import ConnectError, ContextLost

LONGEST = 60.0  # seconds

#: The kinds of ConnectError that may be over a moment later.
TRANSIENT = frozenset((
    'unreachable', 'connection-refused', 'hung-up', 'proxy-ended', 'timeout', 'stalled', 'limits', 'died', 'ended',
    'engine-down', 'busy', 'no-such-host', 'not-running',
))  # fmt: skip


def delay(first: float, attempt: int, chance: float) -> float:
    """Return the seconds before attempt `attempt`, from 1 on, beyond the first; `chance` is from 0 to 1."""
    whole = min(LONGEST, first * 2.0 ** min(attempt - 1, 64))
    return whole * (1.0 - chance / 2.0)


def may_help(error: BaseException) -> bool:
    """May another attempt succeed where one failed with `error`?"""
    if isinstance(error, ConnectError):
        return error.kind in TRANSIENT
    return isinstance(error, ContextLost)
