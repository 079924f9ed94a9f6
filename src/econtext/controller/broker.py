"""
The broker, as the program holds it.

Invariants:

* Bad input is refused before anything is started.
* All that a broker has inside is its tree: see ``tree``.

Any thread may enter.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from econtext.controller.connect.connectors import Connectors
from econtext.controller.connect.options import ConnectRequest
from econtext.controller.context import Context
from econtext.controller.errors import lacks, stays
from econtext.controller.modules.repository import Modules
from econtext.controller.session.callbacks import Allows
from econtext.controller.text import counted
from econtext.controller.tree import Tree

if TYPE_CHECKING:
    from econtext.controller.fleet.fleet import Fleet
    from econtext.controller.fleet.relays import Relays
    from econtext.controller.fleet.requests import Connector
    from econtext.controller.fleet.sources import Hosts
    from econtext.controller.session.callbacks import Allowed


class Broker(Connectors[Context], Allows):
    """
    Owns the contexts of a program; use it in a ``with`` statement.

    `forward` names packages that are always sent as the program's own code;
    `installed` names those that are taken from the target where it has them.
    Raises ValueError if both name the same.

    `allow_modules` and `deny_modules` say which modules may leave the program, as
    patterns of names; ``app`` counts for ``app.settings`` too, and ``__main__`` is the
    program itself.  If the first is given nothing else is sent; what the second
    names never is.  A call of a function there raises NotAllowed, an import in a
    context ImportError, and files of such packages are not found.

    Example::

        with econtext.Broker(deny_modules=['app.settings']) as broker:
            web = broker.ssh('web1')
            print(web.call(os.getloadavg))
    """

    __reduce_ex__: Callable[..., Any] = stays

    def __init__(
        self, *, forward: Iterable[str] = (), installed: Iterable[str] = (),
        allow_modules: Iterable[str] | None = None, deny_modules: Iterable[str] = (),
    ) -> None:
        self._tree: Tree = Tree(Modules(forward, installed, allow_modules, deny_modules))

    if not TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any:
            raise lacks(self, name, Context)

    def __repr__(self) -> str:
        tree = self._tree
        state = 'closed' if tree.closed else counted(len(tree.contexts), 'context')
        return f'<econtext.Broker {state}>'

    def _repr_html_(self) -> str:
        from econtext.controller import notebook

        rows = [(node.name, 'lost' if node.error else 'ready' if node.ready else 'starting',
                 notebook.version(node.python_version)) for node in list(self._tree.contexts.values())]
        return notebook.table(self.__repr__()[1:-1], ('context', 'state', 'Python'), rows)

    def fleet(
        self, hosts: Hosts, *, connector: Connector = 'ssh', connect_limit: int = 64, connect_retries: int = 0,
        retry_delay: float = 1.0, relays: Relays = None, **options: Any,
    ) -> Fleet:
        """
        Return a fleet: many hosts, on which the same is done.

        `hosts` is a list of names; such as ``'web*'`` are patterns of the user's ssh configuration.
        Instead of a name there may be a Host, a mapping from names to options of the
        connector, what ``econtext.inventory`` reads, a function that returns any of these, or
        another list.  `connector` is how the hosts are reached: the name of a connector, or a function
        that gets this broker and the Host, and returns a context.  `options` are those of that connector.

        Each host is connected when there is work for it: `connect_limit` of them at a time.  What
        may be over a moment later, such as no way through the network, is tried again
        `connect_retries` times, the first time after `retry_delay` seconds, then after twice as long
        each time, a minute at most.

        `relays` are contexts through which the hosts are reached, so that this program has few descriptors and
        processes of its own: a number of processes of this machine that run the programs of `connector`; or
        hosts, as for `hosts`, which are connected as those are and connect the others in turn; or contexts, or
        a fleet.  The hosts are spread evenly.  Those of a relay that was lost are connected through the
        others when there is work for them.

        Returns at once.  Raises TypeError or ValueError for options that make no sense, and for hosts
        that are none; that one could not be connected is among the failures of its results.

        Example::

            with econtext.Broker() as broker:
                fleet = broker.fleet(['web1', 'web2'], username='deploy')
                print(fleet.call(os.getloadavg).successes)
        """
        from econtext.controller.fleet import fleet, sources

        made = fleet.make(
            self, sources.hosts_from(hosts), self._tree.place_of, connector, connect_limit, connect_retries,
            retry_delay, relays, options)
        self._tree.pools.add(made._pool)
        return made

    def listen(self, path: str | os.PathLike[str] | None = None) -> str:
        """
        Let other programs of this user attach, use the contexts, and start others; return the path.

        `path` is that of a Unix socket, by default one of this process in a folder that
        no other user can enter.  They call econtext.attach() with it.  It is removed
        when the broker closes.  What their functions print is logged here.  They may call
        the functions of this program that allow() names, and no others.

        Raises EcontextError if it listens already, or no socket can be made there.

        Example::

            print('attach to', broker.listen())
        """
        return self._tree.listen(path)

    def close(self) -> None:
        """
        End every context, within seconds; further calls get ContextLost.

        Leaving the ``with`` statement does this.  Failures to connect that nobody
        looked at are logged.  Raises nothing; what does not end is logged.

        Example::

            broker = econtext.Broker()
            try:
                ...
            finally:
                broker.close()
        """
        self._tree.close()

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _start(self, request: ConnectRequest) -> Context:
        facade: Context = self._tree.start_context(None, request).facade
        return facade

    def _prefix(self) -> str:
        return ''

    def _allowed(self) -> Allowed:
        return self._tree.name_of, self._tree.allowed
