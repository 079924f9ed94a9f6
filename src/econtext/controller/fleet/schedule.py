"""
Which hosts of a fleet are connected and worked on next: batches, a limit, a stop.

Invariants:

* Of each host it is said once to connect it, at most once at a time to run it there, and
  it ends once: done, failed, or skipped.
* At most `limit` hosts run at a time.
* No host of a batch is connected before all of the batch before it have ended.
* Once as many have failed as `stop_after` says, no further host is run; those that run go on.

Pure; the caller sees to it that one thread enters at a time.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from econtext.core.labels import seen

#: A number of hosts, or a share of them such as ``'10%'``.
Amount = int | str

WAITING, CONNECTING, READY, RUNNING = 'waiting', 'connecting', 'ready', 'running'
DONE, FAILED, SKIPPED = 'done', 'failed', 'skipped'
STATES = WAITING, CONNECTING, READY, RUNNING, DONE, FAILED, SKIPPED
ENDS = frozenset((DONE, FAILED, SKIPPED))


class Steps(NamedTuple):
    """What is to be done next, each with the names of hosts."""

    connect: list[str]
    run: list[str]
    skip: list[str]


def check_amount(option: str, amount: Amount) -> None:
    """Raise ValueError for what is neither a number from 1 on, nor a share from 1 % to 100 %."""
    text: object = amount
    if isinstance(text, str):
        share = re.fullmatch(r'(\d{1,3}) ?%', text)
        if share and 1 <= int(share[1]) <= 100:
            return
    elif type(text) is int and text >= 1:
        return
    raise ValueError(f"{option}= must be a number of hosts, or a share such as '10%', not {seen(amount)}")


def at_most(amount: Amount, total: int) -> int:
    """Return how many of `total` hosts `amount` is, rounded down, but one at least."""
    if isinstance(amount, int):
        return amount
    return max(1, total * int(amount.rstrip(' %')) // 100)


def at_least(amount: Amount, total: int) -> int:
    """Return how many of `total` hosts `amount` is, rounded up, but one at least."""
    if isinstance(amount, int):
        return amount
    return max(1, -(-total * int(amount.rstrip(' %')) // 100))


def batches(hosts: Sequence[str], sizes: Sequence[Amount]) -> list[list[str]]:
    """Cut `hosts` into batches of `sizes`, the last of which counts for all that are left; none is one batch."""
    if not sizes:
        return [list(hosts)] if hosts else []
    found: list[list[str]] = []
    begin = 0
    while begin < len(hosts):
        size = at_most(sizes[min(len(found), len(sizes) - 1)], len(hosts))
        found.append(list(hosts[begin : begin + size]))
        begin += size
    return found


class Schedule:
    """The order of one piece of work on `hosts`."""

    def __init__(
        self, hosts: Sequence[str], *, limit: int | None = None, batch: Sequence[Amount] = (),
        stop_after: Amount | None = None,
    ) -> None:
        self.states: dict[str, str] = dict.fromkeys(hosts, WAITING)
        self.counts: dict[str, int] = dict.fromkeys(STATES, 0)
        self.counts[WAITING] = len(hosts)
        self.limit: int = limit or len(hosts)
        self.later: deque[list[str]] = deque(batches(hosts, batch))
        self.most_failures: int | None = None if stop_after is None else at_least(stop_after, len(hosts))
        self.ready_hosts: deque[str] = deque()
        self.left_in_batch: int = 0
        self.stopped: bool = False

    def is_over(self) -> bool:
        return sum(self.counts[state] for state in ENDS) == len(self.states)

    def begin(self) -> Steps:
        """Return the first steps."""
        return self._next([])

    def ready(self, host: str) -> Steps:
        """`host` is connected."""
        if self.states[host] != CONNECTING:
            return Steps([], [], [])
        self._move(host, READY)
        self.ready_hosts.append(host)
        return self._next([])

    def again(self, host: str) -> Steps:
        """`host` was lost before anything was sent there: it is being connected once more."""
        self._move(host, CONNECTING)
        return self._next([])

    def finished(self, host: str, end: str) -> Steps:
        """The work on `host` has ended, in whatever state it was: DONE, FAILED or, if it was given up, SKIPPED."""
        if self.states[host] in ENDS:
            return Steps([], [], [])
        self._end(host, end)
        skipped = []
        if self.most_failures is not None and self.counts[FAILED] >= self.most_failures and not self.stopped:
            self.stopped = True
            skipped = [name for name, state in self.states.items() if state not in ENDS and state != RUNNING]
            for name in skipped:
                self._end(name, SKIPPED)
        return self._next(skipped)

    def _end(self, host: str, state: str) -> None:
        if self.states[host] != WAITING:
            self.left_in_batch -= 1
        self._move(host, state)

    def _move(self, host: str, state: str) -> None:
        self.counts[self.states[host]] -= 1
        self.counts[state] += 1
        self.states[host] = state

    def _next(self, skipped: list[str]) -> Steps:
        connect: list[str] = []
        while not self.left_in_batch and self.later:
            # One that was cancelled meanwhile has ended already.
            connect = [host for host in self.later.popleft() if self.states[host] == WAITING]
            self.left_in_batch = len(connect)
            for host in connect:
                self._move(host, CONNECTING)
        run = []
        while self.ready_hosts and self.counts[RUNNING] < self.limit:
            host = self.ready_hosts.popleft()
            if self.states[host] == READY:
                self._move(host, RUNNING)
                run.append(host)
        return Steps(connect, run, skipped)
