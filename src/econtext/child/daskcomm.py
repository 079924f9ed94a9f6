"""
Connections of Dask's ``distributed`` that go through the links of econtext: addresses ``econtext://HOST/CLUSTER/NUMBER``.

A connection is one of distributed's own for TCP, on one of a pair of Unix sockets; what reaches the other is carried
through a channel.  So no process listens at a port.  ``register`` is told how this process dials.

Invariants:

* distributed is imported here by functions alone, behind the check that it is installed.
* An address that nobody listens at is a failed connection, which distributed tries again as it does with any.

Sent with the first call of a server of Dask; the controller uses it as well.  Classes are made once in a process.
``accept`` may be called by any thread, all else by that of the event loop.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

from econtext.child import tunnels

SCHEME = 'econtext'
# What listens in this process, by the part of its address behind the scheme.
LISTENERS = {}  # type: dict[str, Any]
# The address of this process, for a server that was given none.
OWN = []  # type: list[str]


def accept(place, end):
    # type: (str, Any) -> bool
    """Hand a connection on socket `end` to who listens at `place`; False if nobody does, and the socket is closed."""
    listener = LISTENERS.get(place)
    if listener is not None and listener.take(end):
        return True
    end.close()
    return False


def plain(place):
    # type: (str) -> str
    """Return `place` without the port that distributed puts behind it."""
    return place.split(':')[0]


def register(dial):
    # type: (Callable[[str, Callable[[Any, str], None]], Any]) -> None
    """
    Have distributed know these addresses in this process.

    ``dial(place, done)`` begins a connection; ``done(socket, '')`` or ``done(None, why)`` says, in any thread, what
    came of it.
    """
    import asyncio

    from distributed.comm.core import BaseListener, CommClosedError, Connector
    from distributed.comm.registry import Backend, backends
    from distributed.comm.tcp import TCP
    from tornado.iostream import IOStream

    def made(end, local, peer, deserialize):
        # type: (Any, str, str, bool) -> Any
        end.setblocking(False)
        return TCP(IOStream(end), SCHEME + '://' + local, SCHEME + '://' + peer, deserialize)

    class LinkConnector(Connector):  # type: ignore[misc]
        def connect(self, address, deserialize=True, **options):
            # type: (str, bool, Any) -> Any
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            here = (OWN + [address])[0]

            def finish(end, error):
                # type: (Any, str) -> None
                if future.done():
                    if end:
                        end.close()
                elif end:
                    future.set_result(made(end, here, address, deserialize))
                else:
                    future.set_exception(CommClosedError(error))

            def done(end, error):
                # type: (Any, str) -> None
                try:
                    loop.call_soon_threadsafe(finish, end, error)
                except RuntimeError:
                    # The loop has ended.
                    if end:
                        end.close()

            place = plain(address)
            if place in LISTENERS:
                near, far = tunnels.local_pair()
                accept(place, far)
                done(near, '')
            else:
                dial(place, done)
            return future

    class LinkListener(BaseListener):  # type: ignore[misc]
        prefix = SCHEME

        def __init__(self, place, handler, deserialize):
            # type: (str, Any, bool) -> None
            super(LinkListener, self).__init__()
            self.place = plain(place) or OWN[0]
            self.handler = handler
            self.deserialize = deserialize
            self.loop = None  # type: Any

        def start(self):
            # type: () -> Any
            self.loop = asyncio.get_running_loop()
            LISTENERS[self.place] = self
            started = self.loop.create_future()
            started.set_result(None)
            return started

        def stop(self):
            # type: () -> None
            LISTENERS.pop(self.place, None)

        def take(self, end):
            # type: (Any) -> bool
            try:
                self.loop.call_soon_threadsafe(self.begin, end)
            except RuntimeError:
                # The loop has ended.
                return False
            return True

        def begin(self, end):
            # type: (Any) -> None
            comm = made(end, self.place, self.place + '/peer', self.deserialize)
            greeted = asyncio.ensure_future(self.on_connection(comm))
            greeted.add_done_callback(lambda done: self.greeted(done, comm))

        def greeted(self, done, comm):
            # type: (Any, Any) -> None
            if done.cancelled() or done.exception() is not None:
                # It ended before both had said who they are.
                comm.abort()
                return
            handled = self.handler(comm)
            if asyncio.iscoroutine(handled):
                handled = asyncio.ensure_future(handled)
                # Until it ends, or the loop would forget it.
                HANDLED.add(handled)
                handled.add_done_callback(HANDLED.discard)

        listen_address = property(lambda self: SCHEME + '://' + self.place)
        contact_address = property(lambda self: SCHEME + '://' + self.place)

    class LinkBackend(Backend):  # type: ignore[misc]
        def get_connector(self):
            # type: () -> Any
            return LinkConnector()

        def get_listener(self, loc, handle_comm, deserialize, **options):
            # type: (Any, Any, Any, Any) -> Any
            return LinkListener(loc, handle_comm, deserialize)

        def get_address_host(self, place):
            # type: (str) -> str
            return place.split('/')[0]

        def resolve_address(self, place):
            # type: (str) -> str
            return place

        def get_local_address_for(self, place):
            # type: (str) -> str
            return (OWN + [place])[0]

    backends[SCHEME] = LinkBackend()


# Tasks that handle connections.
HANDLED = set()  # type: set[Any]
