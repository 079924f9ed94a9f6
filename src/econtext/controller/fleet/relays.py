"""
The relays of a fleet: what ``relays=`` of ``broker.fleet()`` names, as members.

Invariants:

* What makes no sense is refused as the fleet is made.
* A context that the application hands over stays its own: the fleet starts no second one, and ends none.

Any thread may enter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from econtext.child.labels import seen
from econtext.controller.context import Context
from econtext.controller.fleet.hosts import Host, unique
from econtext.controller.fleet.members import Member
from econtext.controller.fleet.sources import hosts_from

#: What ``relays=`` takes beside hosts and fleets.
Relays = int | Context | Iterable[Any] | Callable[[], Any] | None


def contexts_in(relays: Any) -> tuple[list[Context], list[Any]]:
    """Return the contexts among `relays`, and the rest."""
    if isinstance(relays, Context):
        return [relays], []
    if not isinstance(relays, Iterable) or isinstance(relays, (str, Host, Mapping, bytes, bytearray)):
        return [], [relays]
    each = list(relays)
    return [one for one in each if isinstance(one, Context)], [one for one in each if not isinstance(one, Context)]


def given(context: Context, origin: Any) -> Member:
    """Return `context`, of the application, as a relay of a fleet of `origin`."""
    if context._node.broker is not origin._tree:
        raise ValueError(f'relays= names {context.name}, which is a context of another broker')
    return Member(Host(context.name), lambda _: context, owned=False)


def members(relays: Relays, origin: Any, member_of: Callable[[Host, str | None], Member]) -> Iterator[Member]:
    """
    Yield the members for `relays`; raise TypeError or ValueError for what is none.

    `member_of` gets a Host and the name of a connector, or None for the fleet's, and returns the member that starts it.
    """
    if isinstance(relays, int):
        if type(relays) is not int or relays < 1:
            raise ValueError(f'relays= must be a number of processes, contexts or hosts, not {seen(relays)}')
        yield from (member_of(Host(str(number)), 'local') for number in range(1, relays + 1))
        return
    contexts, rest = contexts_in(relays)
    hosts = unique(hosts_from(rest))
    if not contexts and not hosts:
        raise ValueError('relays= names no relay: leave it out for none')
    yield from (given(context, origin) for context in dict.fromkeys(contexts))
    yield from (member_of(host, None) for host in hosts)
