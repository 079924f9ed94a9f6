"""
Which hosts of a fleet are connected and worked on next: batches, a limit, a stop.

The states of a host, and what leads from one to the next (TRANSITIONS)::

    waiting     for its batch
       | begun
    connecting  <--------------- lost ---+
       | ready                           |
    ready       in line for the limit    |
       | turn                            |
    turn        in line for a place of a call at its context
       | sent
    running     its call was sent
       | finished
    done, failed or skipped: from any state, once

Invariants:

* Of each host it is said once to connect it, at most once at a time to run it there, and
  it ends once: done, failed, or skipped.
* A host runs from when its call is sent.  What waits, for whatever, can be skipped.
* At most `limit` hosts run or have their turn at a time.
* No host of a batch is connected before all of the batch before it have ended.
* Once as many have failed as `stop_after` says, nothing more is connected or run, and all that does not run is to
  be skipped; those that run go on.

Pure; the caller sees to it that one thread enters at a time.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from econtext.child.labels import seen

#: A number of hosts, or a share of them such as ``'10%'``.
Amount = int | str

WAITING, CONNECTING, READY, TURN, RUNNING = 'waiting', 'connecting', 'ready', 'turn', 'running'
DONE, FAILED, SKIPPED = 'done', 'failed', 'skipped'
STATES = WAITING, CONNECTING, READY, TURN, RUNNING, DONE, FAILED, SKIPPED
ENDS = frozenset((DONE, FAILED, SKIPPED))

#: From which states a host gets into another; an event that comes late, from elsewhere, changes nothing.
TRANSITIONS: dict[str, frozenset[str]] = {
    CONNECTING: frozenset((WAITING, TURN)),
    READY: frozenset((CONNECTING,)),
    TURN: frozenset((READY,)),
    RUNNING: frozenset((TURN,)),
    **dict.fromkeys(ENDS, frozenset((WAITING, CONNECTING, READY, TURN, RUNNING))),
}


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
        self.counts[WAITING] = len(self.states)
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
        return self._next()

    def ready(self, host: str) -> Steps:
        """`host` is connected."""
        if self._move(host, READY):
            self.ready_hosts.append(host)
        return self._next()

    def sent(self, host: str) -> None:
        """The call of `host`, which has its turn, was sent."""
        self._move(host, RUNNING)

    def lost(self, host: str) -> Steps:
        """`host`, which has its turn, was lost before anything was sent there: it is to be connected once more."""
        if self.stopped or not self._move(host, CONNECTING):
            return self._next()
        steps = self._next()
        return steps._replace(connect=[*steps.connect, host])

    def finished(self, host: str, end: str) -> Steps:
        """
        The work on `host` has ended, in whatever state it was: DONE, FAILED or, if it was given up, SKIPPED.

        What the steps say to skip has ended once it is told as finished here: a call may just have been sent.
        """
        waited = self.states[host] == WAITING
        if not self._move(host, end):
            return Steps([], [], [])
        if not waited:
            self.left_in_batch -= 1
        skip = []
        if self.most_failures is not None and self.counts[FAILED] >= self.most_failures and not self.stopped:
            self.stopped = True
            skip = [name for name, state in self.states.items() if state not in ENDS and state != RUNNING]
        return self._next()._replace(skip=skip)

    def _move(self, host: str, state: str) -> bool:
        """Bring `host` into `state`, if it may get there from where it is; tell whether it did."""
        before = self.states[host]
        if before not in TRANSITIONS[state]:
            return False
        self.counts[before] -= 1
        self.counts[state] += 1
        self.states[host] = state
        return True

    def _next(self) -> Steps:
        connect: list[str] = []
        run: list[str] = []
        if self.stopped:
            return Steps(connect, run, [])
        while not self.left_in_batch and self.later:
            # One that was cancelled meanwhile has ended already.
            connect = [host for host in self.later.popleft() if self._move(host, CONNECTING)]
            self.left_in_batch = len(connect)
        while self.ready_hosts and self.counts[TURN] + self.counts[RUNNING] < self.limit:
            host = self.ready_hosts.popleft()
            if self._move(host, TURN):
                run.append(host)
        return Steps(connect, run, [])
