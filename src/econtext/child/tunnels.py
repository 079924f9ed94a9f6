"""
Bytes between a socket and a channel, both ways, until either side ends.

A process that wants such a way has a pair of sockets: one is pumped here, the other is what its code reads and writes.

Invariants:

* What was written before an end is read before that end is seen, on either side.
* An end of one side ends the other; both threads of a way then end, and the socket is closed once.

Sent with the first call of a server of Dask.  Any thread may enter; a way has two threads of its own.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

import socket
import threading

CHUNK = 1 << 18     # bytes that are read at a time


class Plain(socket.socket):
    """A socket without options: a Unix socket has none of those that code for TCP sets."""

    def setsockopt(self, *args):
        # type: (Any) -> None
        pass


def pair(channel):
    # type: (Any) -> Any
    """Return a socket whose bytes go through `channel`, and come from there."""
    near, far = socket.socketpair()
    join(far, channel)
    return Plain(near.family, near.type, near.proto, near.detach())


def local_pair():
    # type: () -> tuple[Any, Any]
    """Return two sockets that are each other's ends, for a way within this process."""
    ends = socket.socketpair()
    made = [Plain(end.family, end.type, end.proto, end.detach()) for end in ends]
    return made[0], made[1]


def join(end, channel):
    # type: (Any, Any) -> None
    """Pump bytes between socket `end` and `channel`; return at once."""
    inward = begin('econtext way in', fill, end, channel)
    begin('econtext way out', drain, end, channel, inward)


def begin(name, function, *args):
    # type: (str, Callable[..., Any], Any) -> threading.Thread
    """Start a thread that ends with this process."""
    thread = threading.Thread(target=function, name=name, args=args)
    setattr(thread, 'daemon', True)  # noqa: B010 -- of Python 2.6
    thread.start()
    return thread


def fill(end, channel):
    # type: (Any, Any) -> None
    """Write to the socket what comes by the channel."""
    try:
        for data in channel:
            end.sendall(data)
    except Exception:
        # The other side of the socket has ended, or the context of the channel.
        pass
    shut(end)
    channel.close()


def drain(end, channel, inward):
    # type: (Any, Any, threading.Thread) -> None
    """Send by the channel what is read from the socket."""
    try:
        while 1:
            data = end.recv(CHUNK)
            if not data:
                break
            channel.send(data)
    except Exception:
        # The same.
        pass
    channel.close()
    shut(end)
    inward.join()
    end.close()


def shut(end):
    # type: (Any) -> None
    """End both ways of a socket; what it was given already can still be read at the other side."""
    try:
        end.shutdown(socket.SHUT_RDWR)
    except Exception:
        # It has ended.
        pass
