"""
Which host is placed under which relay: the contexts through which a fleet reaches its hosts.

The strategy: a host goes to the relay that has the fewest, and stays there while that relay works. So the
hosts spread evenly, and a host that was lost alone comes back by the same way.  If a relay is lost or cannot be
connected, its hosts are placed anew as they are wanted; the relay rests meanwhile, longer each time.

Invariants:

* A host is under one relay at most, and under none that was lost since.
* While no relay rests, a host is placed where the fewest are; so without losses two relays differ by one host at
  most.
* A relay that rests gets a host only if each other relay rests too, or was tried by the host: then the one gets it
  whose rest ends first.  No host waits for the end of a rest.
* From begin() or retry() on, no host is placed under a relay that it was told to avoid, or that failed with it.  If
  none is left place() returns None: an attempt to connect has an end.

Pure; the caller sees to it that one thread enters at a time, and says what time it is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

H = TypeVar('H', bound=Hashable)
R = TypeVar('R', bound=Hashable)
REST = 30.0         # seconds for which a relay rests after its first loss
LONGEST = 600.0     # seconds


class Placement(Generic[H, R]):
    """The places of hosts under `relays`."""

    def __init__(self, relays: Iterable[R]) -> None:
        self.hosts: dict[R, set[H]] = {relay: set() for relay in relays}
        self.places: dict[H, R] = {}
        #: The relays that are of no use to a host for now.
        self.tried: dict[H, set[R]] = {}
        self.rests_until: dict[R, float] = {}
        #: How often in a row a relay was lost or failed.
        self.misses: dict[R, int] = {}

    def relay_of(self, host: H) -> R | None:
        """Return the relay that `host` is under, None if it has no place."""
        return self.places.get(host)

    def begin(self, host: H) -> None:
        """`host` is to be connected: whatever was tried before counts no more."""
        self.tried.pop(host, None)

    def place(self, host: H, now: float) -> R | None:
        """Return the relay that `host` is under from here on; None if each was tried."""
        tried = self.tried.get(host, set())
        relay = self.places.get(host)
        if relay is not None and relay not in tried:
            return relay
        left = [relay for relay in self.hosts if relay not in tried]
        if not left:
            self.remove(host)
            return None
        # The first of those that are alike.
        relay = min(left, key=lambda relay: (max(0.0, self.rests_until.get(relay, now) - now), len(self.hosts[relay])))
        self.remove(host)
        self.places[host] = relay
        self.hosts[relay].add(host)
        return relay

    def remove(self, host: H) -> None:
        """`host` has no place any more."""
        relay = self.places.pop(host, None)
        if relay is not None:
            self.hosts[relay].discard(host)

    def avoid(self, host: H, relay: R) -> None:
        """`host` could not be connected through `relay`: the next is to be another."""
        self.tried.setdefault(host, set()).add(relay)
        if self.places.get(host) is relay:
            self.remove(host)

    def retry(self, host: H) -> None:
        """`host` is to be tried again: through a relay that was not tried if there is one, else through any."""
        if len(self.tried.get(host, ())) >= len(self.hosts):
            self.begin(host)

    def lost(self, relay: R, now: float) -> None:
        """`relay` worked, and was lost."""
        misses = self.misses[relay] = self.misses.get(relay, 0) + 1
        self.rests_until[relay] = now + min(LONGEST, REST * 2.0 ** min(misses - 1, 16))
        for host in list(self.hosts[relay]):
            self.remove(host)

    def failed(self, relay: R, now: float) -> None:
        """`relay` could not be connected: it was tried by all hosts that are under it."""
        for host in self.hosts[relay]:
            self.tried.setdefault(host, set()).add(relay)
        self.lost(relay, now)

    def works(self, relay: R) -> None:
        """`relay` is connected."""
        self.misses.pop(relay, None)
        self.rests_until.pop(relay, None)
