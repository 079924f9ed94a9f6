"""
Hosts and groups from a TOML file.

Invariants:

* What wins: options of the host, then of its groups, the last one named first, then of the whole file.
* A key that means nothing is refused: nobody works with half of what a file says.

`hosts_of` is pure; any thread may enter.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from econtext.child.labels import seen
from econtext.controller.errors import EcontextError
from econtext.controller.fleet.hosts import Host

TOP, GROUP = ('options', 'groups', 'hosts'), ('options', 'hosts', 'groups')


def toml(path: str | os.PathLike[str], *groups: str) -> list[Host]:
    """
    Return the hosts of the TOML file `path`, all, or those of `groups`.

    The file has a table ``options`` for all hosts, tables ``groups.NAME`` with lists ``hosts`` and
    ``groups`` (of groups within) and a table ``options``, and tables ``hosts.NAME`` of the options of one
    host.  Options are those of the connector; ``connector`` is another one than the fleet's.

    Raises OSError if it cannot be read, ValueError for what is no such file or group, EcontextError on
    Python 3.10 without the package tomli.

    Example::

        with econtext.Broker() as broker:
            fleet = broker.fleet(econtext.inventory.toml('fleet.toml', 'web'))
    """
    with open(path, 'rb') as file:
        text = file.read().decode('utf-8')
    try:
        return hosts_of(parsed(text), groups)
    except ValueError as error:
        raise ValueError(f'{os.fspath(path)}: {error}') from None


def parsed(text: str) -> dict[str, Any]:
    try:
        reader: Any = importlib.import_module('tomllib' if sys.version_info >= (3, 11) else 'tomli')
    except ImportError:
        raise EcontextError(
            'inventories in TOML need the package tomli on Python 3.10, which is not installed: '
            "pip install 'econtext[toml]'") from None
    table: dict[str, Any] = reader.loads(text)
    return table


def hosts_of(table: Mapping[str, Any], wanted: tuple[str, ...] = ()) -> list[Host]:
    """Return the hosts of a parsed file, those of the groups `wanted` if there are any."""
    for key, value in table.items():
        check(key in TOP, f'{seen(key)} is no key here: there are {", ".join(TOP)}')
        check(isinstance(value, Mapping), f'{key} must be a table')
    groups: Mapping[str, Any] = table.get('groups', {})
    memberships: dict[str, list[str]] = {}
    for name in groups:
        for host in members(groups, name, ()):
            memberships.setdefault(host, []).append(name)
    alone: Mapping[str, Any] = table.get('hosts', {})
    for name in wanted:
        check(name in groups, f'there is no group {seen(name)}; there are: {", ".join(groups)}')
    found = []
    for name in dict.fromkeys([*memberships, *alone]):
        own = alone.get(name, {})
        check(isinstance(own, Mapping), f'hosts.{name} must be a table')
        its_groups = memberships.get(name, [])
        if wanted and not set(wanted) & set(its_groups):
            continue
        layers = [table.get('options', {}), *(groups[group].get('options', {}) for group in its_groups), own]
        options = {key: value for layer in layers for key, value in layer.items()}
        connector = options.pop('connector', None)
        found.append(Host(name, options, connector, tuple(its_groups)))
    return found


def members(groups: Mapping[str, Any], name: str, within: tuple[str, ...]) -> list[str]:
    """Return the names of the hosts of a group and of the groups in it."""
    check(name not in within, f'group {seen(name)} contains itself')
    check(name in groups, f'there is no group {seen(name)}, which {within[-1] if within else "nothing"} names')
    group = groups[name]
    check(isinstance(group, Mapping), f'groups.{name} must be a table')
    for key in group:
        check(key in GROUP, f'groups.{name}: {seen(key)} is no key here: there are {", ".join(GROUP)}')
    check(isinstance(group.get('options', {}), Mapping), f'groups.{name}.options must be a table')
    for key in 'hosts', 'groups':
        listed = group.get(key, [])
        check(isinstance(listed, list) and all(isinstance(each, str) for each in listed),
              f'groups.{name}.{key} must be a list of names')
    found = list(group.get('hosts', []))
    for inner in group.get('groups', []):
        found += members(groups, inner, (*within, name))
    return list(dict.fromkeys(found))


def check(right: bool, what: str) -> None:
    if not right:
        raise ValueError(what)
