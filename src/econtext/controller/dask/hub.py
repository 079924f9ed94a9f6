"""
The ways between the servers of one cluster: each goes through the links of their contexts, and through this program.

A server has a place, the part of its address behind the scheme.  It asks for a connection to another place by its
control channel, see ``child.dask``; the hub opens a channel to each of both ends and carries the bytes.

Invariants:

* A server reaches the places and the HTTP servers of its own cluster, and nothing else.
* The end of one side of a connection is that of the other; what was sent before is carried first.
* Nothing here holds up the event loop of the program: each server has a thread, and each way has two.

Knows nothing of distributed, but by ``child.dask``.  Any thread may enter.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from econtext.child import dask

if TYPE_CHECKING:
    from econtext.controller.context import Context
    from econtext.controller.session.channels import Channel

    Done = Callable[[Any, str], None]

NUMBERS = itertools.count(1)
#: Of places: distributed takes the number for the port of a server.
PLACES = itertools.count(1)
#: The hubs of this program by the name that stands in their addresses.
HUBS: dict[str, Hub] = {}


class Member:
    """A server that is reached through the link of its context."""

    def __init__(self, context: Context, control: Channel[Any]) -> None:
        self.context = context
        self.control = control
        #: What the server has said to be its address: its place behind the scheme, or one of TCP.
        self.address: str | None = None

    def connect(self, place: str) -> Channel[Any]:
        """Return a channel that the server at `place` takes for a connection."""
        channel: Channel[Any] = self.context.channel()
        self.control.send(('accept', place, channel))
        return channel

    def forward(self) -> Channel[Any]:
        """Return a channel to where the HTTP server of this server listens, with the TLS that it has there."""
        return self.opened('forward')

    def pages(self) -> Channel[Any]:
        """Return a channel that the HTTP server of this server takes for a connection, without TLS."""
        return self.opened('pages')

    def opened(self, kind: str) -> Channel[Any]:
        channel: Channel[Any] = self.context.channel()
        self.control.send((kind, None, channel))
        return channel


class Hub:
    """The servers of one cluster."""

    def __init__(self) -> None:
        self.name: str = f'cluster-{next(NUMBERS)}'
        self.members: dict[str, Member] = {}
        HUBS[self.name] = self

    def place(self, host: str) -> str:
        """Return a new place on a host of that name."""
        return f'{re.sub("[^A-Za-z0-9._-]", "_", host) or "host"}/{self.name}/{next(PLACES)}'

    def close(self) -> None:
        """Have nobody find the servers any more."""
        HUBS.pop(self.name, None)
        self.members.clear()

    def join(self, place: str, context: Context, control: Channel[Any], ready: Callable[[str], None]) -> None:
        """Take in the server at `place`; ``ready(address)`` is called once it serves."""
        member = self.members[place] = Member(context, control)
        dask.begin('econtext dask server', self.listen, place, member, ready)

    def leave(self, place: str) -> None:
        """The server at `place` has ended."""
        self.members.pop(place, None)

    def listen(self, place: str, member: Member, ready: Callable[[str], None]) -> None:
        """Carry out what the server at `place` asks for, until it ends. A thread of its own."""
        try:
            for kind, *words in member.control:
                if kind == 'ready':
                    [member.address] = words
                    ready(words[0])
                elif kind == 'dial':
                    self.dialled(member, *words)
                elif kind == 'reach':
                    self.reached(member, *words)
        except Exception:
            # Its context is lost, which its call tells; or it says what no server of ours says.
            member.control.close()
        self.leave(place)

    def dialled(self, member: Member, number: int, place: str) -> None:
        """Connect the server `member` to `place`."""
        try:
            if place in dask.LISTENERS and place.split('/')[1] == self.name:
                channel: Channel[Any] = member.context.channel()
                member.control.send(('way', number, channel))
                dask.accept(place, dask.pair(channel))
                return
        except Exception as error:
            member.control.send(('none', number, unreached(place, error)))
            return
        self.joined(member, number, place, self.server_at)

    def reached(self, member: Member, number: int, address: str) -> None:
        """Connect the server `member` to the HTTP server of the server at `address`."""
        self.joined(member, number, address, self.pages_at)

    def joined(self, member: Member, number: int, whom: str, find: Callable[[str], Channel[Any]]) -> None:
        """Connect the server `member` to what `find` finds."""
        try:
            there = find(whom)
        except Exception as error:
            member.control.send(('none', number, unreached(whom, error)))
            return
        here: Channel[Any] = member.context.channel()
        member.control.send(('way', number, here))
        dask.begin('econtext way up', carry, here, there)
        dask.begin('econtext way down', carry, there, here)

    def server_at(self, place: str) -> Channel[Any]:
        """Return a channel to the server at `place`; raise LookupError if there is none."""
        member = self.members.get(place)
        if member is None:
            raise LookupError(f'no server of the cluster is at {place}')
        return member.connect(place)

    def pages_at(self, address: str) -> Channel[Any]:
        """Return a channel to the HTTP server of the server at `address`; raise LookupError if there is none."""
        for member in list(self.members.values()):
            if member.address == address:
                return member.pages()
        raise LookupError(f'no server of the cluster is at {address}')

    def reach(self, address: str, done: Done) -> None:
        """Begin a connection from this program to the HTTP server of the server at `address`. Waits for nothing."""
        try:
            end = dask.pair(self.pages_at(address))
        except Exception as error:
            done(None, unreached(address, error))
            return
        done(end, '')


def unreached(whom: str, error: Exception) -> str:
    """Return why a server was not reached."""
    return str(error) if isinstance(error, LookupError) else f'{whom} was not reached: {type(error).__name__}'


def carry(source: Channel[Any], target: Channel[Any]) -> None:
    """Send to `target` what comes from `source`, until either ends."""
    try:
        for data in source:
            target.send(data)
    except Exception:
        # One of both contexts is gone, or has closed its end.
        pass
    target.close()
    source.close()


def dial(place: str, done: Done) -> None:
    """Begin a connection from this program to the server at `place`. The thread of an event loop."""
    parts = place.split('/')
    hub = HUBS.get(parts[1]) if len(parts) == 3 else None
    member = hub.members.get(place) if hub is not None else None
    if member is None:
        done(None, f'no server of a cluster of this program is at {place}')
        return
    try:
        end = dask.pair(member.connect(place))
    except Exception as error:
        done(None, f'{place} was not reached: {type(error).__name__}')
        return
    done(end, '')
