"""
Hosts, as sources name them: a name, how to reach it, groups.

Invariants:

* A host does not change once it is made.
* What two sources or a list say twice is one host, if they say the same; else it is refused.

Pure; any thread may enter.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from econtext.child.labels import seen


@dataclass(frozen=True)
class Host:
    """
    A host of a fleet.

    `name` is what results and errors call it.  `options` are those of the connector for
    this host alone; they win over those of the whole fleet.  `connector` is another way in
    than the fleet's.  `groups` are names of groups, `variables` whatever else its source
    says of it, such as an inventory of Ansible.

    Example::

        web = econtext.Host('web1', {'hostname': '10.0.0.5', 'port': 2222}, groups=['web'])
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    connector: str | None = None
    groups: tuple[str, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    def __post_init__(self) -> None:
        name: object = self.name
        if not isinstance(name, str) or not name or not name.isprintable():
            raise ValueError(f'the name of a host must be printable text, not {seen(name)}')
        groups: object = self.groups
        if isinstance(groups, str):
            raise TypeError(f'{name}: groups= must be a list of names, not a text')
        set_field = object.__setattr__
        set_field(self, 'groups', tuple(dict.fromkeys(self.groups)))
        set_field(self, 'options', MappingProxyType(dict(self.options)))
        set_field(self, 'variables', MappingProxyType(dict(self.variables)))

    def matches(self, pattern: str) -> bool:
        """
        Tell whether `pattern` selects this host: its name, with ``*`` and ``?``, or ``@`` and a group's.

        Raises nothing.

        Example::

            assert econtext.Host('web1', groups=['eu']).matches('@e*')
        """
        if pattern.startswith('@'):
            return any(fnmatch.fnmatchcase(group, pattern[1:]) for group in self.groups)
        return fnmatch.fnmatchcase(self.name, pattern)


def unique(hosts: Iterable[Host]) -> list[Host]:
    """Return `hosts`, each once, in their order; raise ValueError if two of one name differ."""
    found: dict[str, Host] = {}
    for host in hosts:
        if found.setdefault(host.name, host) != host:
            raise ValueError(f'two hosts are called {host.name}, and differ: give each a name of its own')
    return list(found.values())
