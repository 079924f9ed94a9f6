"""
Where the hosts of a fleet come from.

`hosts` of ``broker.fleet()`` is what ``hosts_from`` reads: names, Hosts, patterns of the ssh
configuration, mappings from names to options, functions that return any of these, and lists of all
of them.

Invariants:

* A source that names no host is an error, but for an empty list: nobody works on nothing by a misspelt name.

Any thread may enter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from econtext.child.labels import seen
from econtext.controller.fleet import ssh_config
from econtext.controller.fleet.hosts import Host, unique

#: What ``broker.fleet()`` takes; also lists of it, and functions that return it.
Hosts = str | Host | Mapping[str, Mapping[str, Any]] | Iterable[Any] | Callable[[], Any]


def hosts_from(hosts: Hosts) -> list[Host]:
    """Return the hosts that `hosts` names, each once; raise TypeError or ValueError for what names none."""
    return unique(found(hosts))


def found(hosts: Any) -> Iterator[Host]:
    if isinstance(hosts, Host):
        yield hosts
    elif isinstance(hosts, str):
        yield from ssh_config.ssh_config(hosts) if ssh_config.is_pattern(hosts) else [Host(hosts)]
    elif isinstance(hosts, Mapping):
        for name, options in hosts.items():
            if not isinstance(options, Mapping):
                raise TypeError(f'a mapping of hosts has their options as values, not {seen(options)}')
            yield Host(name, options)
    elif callable(hosts):
        yield from found(hosts())
    elif isinstance(hosts, Iterable) and not isinstance(hosts, (bytes, bytearray)):
        for each in hosts:
            yield from found(each)
    else:
        raise TypeError(f'hosts are names, Hosts, patterns, mappings, functions, or lists of these, not {seen(hosts)}')
