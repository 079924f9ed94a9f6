"""
The contexts of another program of the same user, as this program uses them.

Invariants:

* Bad input is refused before anything is sent.
* All that an attachment has inside is its session: see ``session``.

Any thread may enter.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from econtext.child.labels import seen
from econtext.controller.attach.session import AttachedSession
from econtext.controller.attach.sockets import folder
from econtext.controller.connect.connectors import Connectors
from econtext.controller.connect.options import ConnectRequest
from econtext.controller.context import Context
from econtext.controller.errors import EcontextError, stays
from econtext.controller.runtime.signals import interruptible

if TYPE_CHECKING:
    from econtext.controller.fleet.fleet import Fleet
    from econtext.controller.fleet.relays import Relays
    from econtext.controller.fleet.requests import Connector
    from econtext.controller.fleet.sources import Hosts

P = ParamSpec('P')
T = TypeVar('T')


def attach(path: str | os.PathLike[str] | None = None) -> Attachment:
    """
    Use the contexts of a broker that another program of the same user has, and start others there.

    `path` is where that broker listens, see Broker.listen(); unless given there must be
    one such program.  Of what is returned the connectors are methods: a context that has a name
    is shared with all programs that ask for the same, see Attachment.

    Raises EcontextError if nobody listens there, or it is another user.

    Example::

        with econtext.attach() as other:
            print(other.context('web1').call(os.getloadavg))
    """
    return Attachment(os.fspath(path) if path is not None else only())


def only() -> str:
    """Return the path of the one socket of this user at which a broker listens."""
    found = []
    place = folder()
    for name in sorted(os.listdir(place)):
        path = os.path.join(place, name)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            # One whose queue is full is there, and need not be waited for.
            probe.setblocking(False)
            try:
                probe.connect(path)
            except BlockingIOError:
                pass
            except OSError:
                continue
            found.append(path)
    if len(found) != 1:
        what = 'no program of this user listens' if not found else f'several listen: {", ".join(found)}'
        raise EcontextError(f'{what}: call listen() of its broker there, and give its path')
    return found[0]


class Attachment(Connectors[Context]):
    """
    The contexts of another program; made by attach(), use it in a ``with`` statement.

    It has the methods of a broker that start contexts. A context that has a name, by the `name=` option or by the
    host, user or container, is shared: whoever asks for the same by the same options gets the same context, also
    where the other program itself has started it. One without a name is started for this program alone.

    A context that was started so ends with its last user: when all programs that use it have closed it, or have
    left. With the option `idle_timeout` it ends once they have not used it for so many seconds, also if they have left;
    it is in use while a call runs or a channel is open. Contexts that the other program has started go on.

    Example::

        with econtext.attach() as other:
            web = other.ssh('web1', idle_timeout=600)
            print(web.call(os.getloadavg))
    """

    __reduce_ex__: Callable[..., Any] = stays

    def __init__(self, path: str) -> None:
        self._session: AttachedSession = AttachedSession(path)

    def __repr__(self) -> str:
        state = ' closed' if self._session.closed else ''
        return f'<econtext.Attachment {self.path}{state}>'

    @property
    def _tree(self) -> AttachedSession:
        """What its contexts belong to, as those of a broker do to its tree."""
        return self._session

    @property
    def path(self) -> str:
        """The socket of the other program."""
        return self._session.path

    @property
    def contexts(self) -> list[Context]:
        """The contexts that there are now."""
        return [node.facade for node in self._session.nodes()]

    def context(self, name: str) -> Context:
        """
        Return the context called `name`.

        A shared one stays until this program has left it, too. Raises EcontextError if there is
        none, or if the program is gone.

        Example::

            web = other.context('web1')
        """
        contexts = self.contexts
        for context in contexts:
            if context.name == name:
                self._session.use(context._node)
                return context
        there = ', '.join(context.name for context in contexts) or 'none'
        raise EcontextError(f'{self.path}: there is no context {seen(name)}; there are: {there}')

    @interruptible
    def call(self, function: Callable[P, T] | str, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Run ``function(*args, **kwargs)`` in the other program and return its result.

        `function`, or its dotted name, is one that the other program has allowed with ``broker.allow()``; nothing is
        allowed by default. It runs there in a thread of its own. `args` and `kwargs` are values that cross.

        Raises NotAllowed for what was not allowed, CallError (also of the built-in type) for what the function raised,
        ContextLost if the program is gone, TypeError or ValueError for what cannot cross.

        Example::

            task = other.call('tasks.next_task', 'web1')
        """
        result: T = self._session.run(function, args, kwargs)
        return result

    def fleet(
        self, hosts: Hosts, *, connector: Connector = 'ssh', connect_limit: int = 64, connect_retries: int = 0,
        retry_delay: float = 1.0, relays: Relays = None, **options: Any,
    ) -> Fleet:
        """
        Return a fleet: many hosts, on which the same is done.

        `hosts`, `connector`, `connect_limit`, `connect_retries`, `retry_delay`, `relays` and `options` are those of the
        fleet() of econtext.Broker; with `idle_timeout` among them the contexts stay when the fleet has ended.  The
        other program connects the hosts.  Each is a context with the name of the host, which is shared: a fleet of
        another program with the same hosts and options has the same contexts, and they end with their last user.  A
        program has at most 1,024 contexts so.

        Returns at once, and raises what that does.

        Example::

            with econtext.attach() as other:
                fleet = other.fleet(['web1', 'web2'], username='deploy', idle_timeout=600)
                print(fleet.call(os.getloadavg).successes)
        """
        from econtext.controller.fleet import fleet, sources

        made = fleet.make(
            self, sources.hosts_from(hosts), self._session.place_of, connector, connect_limit, connect_retries,
            retry_delay, relays, options, shared=True)
        self._session.pools.add(made._pool)
        return made

    def close(self) -> None:
        """
        Leave; calls that have not ended are given up, and contexts whose last user this was end.

        Raises nothing.

        Example::

            other.close()
        """
        self._session.close()

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _start(self, request: ConnectRequest) -> Context:
        facade: Context = self._session.start_context(None, request).facade
        return facade

    def _prefix(self) -> str:
        return ''
