"""
What is to be started for each host, checked before anything is.

Invariants:

* Options that make no sense are refused as the fleet is made, for every host of it.

Pure; any thread may enter.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from econtext.controller.connect import registry
from econtext.controller.connect.connectors import Origin
from econtext.controller.connect.options import Wish, check_common, plain
from econtext.core.labels import seen

if TYPE_CHECKING:
    from econtext.controller.context import Context
    from econtext.controller.fleet.hosts import Host

    #: A function that starts the context of a host, from a broker or a context.
    Connector = str | Callable[[Any, Host], Context]


class Asked(Origin[Wish]):
    """Connectors that start nothing, and return what is to be started."""

    def start(self, wish: Wish) -> Wish:
        return wish

    def prefix(self) -> str:
        return ''


def check(wish: Wish) -> Wish:
    """Return `wish`; raise TypeError or ValueError if it makes no sense."""
    module = registry.find(wish.connector)
    check_common(wish.common, getattr(Asked, module.__name__.rpartition('.')[2], None))
    module.plan(plain(wish.options))
    return wish


def wish_for(host: Host, connector: str, options: Mapping[str, Any]) -> Wish:
    """Return what is to be started for `host`; raise TypeError or ValueError for options that make no sense."""
    given = {'name': host.name, **options, **host.options}
    if not isinstance(connector, str):
        raise TypeError(f'connector= must be a name or a function, not {seen(connector)}')
    method = getattr(Asked(), connector, None) if connector in registry.ours() else None
    if method is None:
        return check(Asked().connect(connector, **given))
    first = next(iter(inspect.signature(method).parameters.values()))
    words: list[Any] = []
    if first.kind is first.POSITIONAL_OR_KEYWORD:
        # The host's own address: its name, unless its options say another.
        words = [given.pop(first.name, host.name)]
    return check(method(*words, **given))


def below(wish: Wish, above: Context) -> Wish:
    """Return `wish` for one context of many, which gets a name of its own."""
    name = wish.common.get('name') or wish.name or str(wish.connector)
    return wish._replace(common={**wish.common, 'name': f'{above.name}.{name}'})
