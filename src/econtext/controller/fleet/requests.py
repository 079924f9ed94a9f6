"""
What is to be started for each host, checked before anything is.

Invariants:

* Options that make no sense are refused as the fleet is made, for every host of it.

Pure; any thread may enter.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from econtext.child.labels import seen
from econtext.controller.connect import registry
from econtext.controller.connect.connectors import Connectors
from econtext.controller.connect.options import ConnectRequest, check_common, idle_timeout, plain

if TYPE_CHECKING:
    from econtext.controller.context import Context
    from econtext.controller.fleet.hosts import Host

    #: A function that starts the context of a host, from a broker or a context.
    Connector = str | Callable[[Any, Host], Context]


class Asked(Connectors[ConnectRequest]):
    """Connectors that start nothing, and return what is to be started."""

    def _start(self, request: ConnectRequest) -> ConnectRequest:
        return request

    def _prefix(self) -> str:
        return ''


def check(request: ConnectRequest, shared: bool = False) -> ConnectRequest:
    """Return `request`, for contexts that programs share or for our own; raise TypeError or ValueError for nonsense."""
    module = registry.find(request.connector)
    common: Any = dict(request.common)
    if shared:
        idle_timeout(common)
    check_common(common, getattr(Asked, module.__name__.rpartition('.')[2], None))
    module.plan(plain(request.options))
    return request


def request_for(host: Host, connector: str, options: Mapping[str, Any], shared: bool = False) -> ConnectRequest:
    """Return what is to be started for `host`; raise TypeError or ValueError for options that make no sense."""
    given = {'name': host.name, **options, **host.options}
    if not isinstance(connector, str):
        raise TypeError(f'connector= must be a name or a function, not {seen(connector)}')
    method = getattr(Asked(), connector, None) if connector in registry.ours() else None
    if method is None:
        return check(Asked().connect(connector, **given), shared)
    address = address_option(connector)
    # The host's own address: its name, unless its options say another.
    words = [given.pop(address, host.name)] if address else []
    return check(method(*words, **given), shared)


@functools.cache
def address_option(connector: str) -> str:
    """Return the name of the option that a connector of ours takes first, such as `hostname`; '' if it has none."""
    first = next(iter(inspect.signature(getattr(Asked(), connector)).parameters.values()))
    return first.name if first.kind is first.POSITIONAL_OR_KEYWORD else ''


def below(request: ConnectRequest, above: Context) -> ConnectRequest:
    """Return `request` for one context of many, which gets a name of its own."""
    name = request.common.get('name') or request.name or str(request.connector)
    return request._replace(common={**request.common, 'name': f'{above.name}.{name}'})
