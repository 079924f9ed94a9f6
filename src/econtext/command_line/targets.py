"""
Where a command is to go: the grammar of the words HOST, HOSTS and HOST:PATH.

::

    HOSTS    = HOST { "," HOST }
    HOST     = "local" | [ "ssh:" ] [ USER "@" ] NAME [ ":" PORT ] | "ssh://" [ USER "@" ] NAME [ ":" PORT ]
             | CONNECTOR ":" [ USER "@" ] NAME | PATTERN
    PATTERN  = a name with *, ? or [ in it, of the ssh configuration or of an inventory | "@" GROUP, of an inventory
    LOCATION = HOST ":" PATH | "ssh://" [ USER "@" ] NAME [ ":" PORT ] "/" PATH | a path of this machine

NAME is a host as ``ssh`` understands it; an IPv6 address with a port stands in brackets.

Invariants:

* The text of a target, parsed again, is the same target.
* A name of a connector before a colon is always that connector: a host of such a name is ``ssh:NAME``.
* In a LOCATION of scp's form there is no port, as for ``scp``: what stands behind the colon is the path.
* A text that ``ssh`` or an engine could take for an option is refused.

Pure; any thread may enter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from econtext.controller.text import shown

#: The connectors that a target may name, and the options by which their methods take the user; '' for none.
CONNECTORS: Mapping[str, str] = MappingProxyType({
    'docker': 'user', 'podman': 'user', 'lxc': 'user', 'lxd': 'user', 'incus': 'user', 'kubectl': '',
    'machinectl': 'user', 'jail': 'user', 'chroot': 'user', 'systemd_nspawn': 'user',
})
WILD = re.compile(r'[*?\[]')
BAD = re.compile(r'[\x00-\x20\x7f,]')
PORT = re.compile(r'[0-9]{1,5}\Z')


class BadTarget(ValueError):
    """A text that names no target; says why."""


@dataclass(frozen=True)
class Target:
    """A place to go to: `connector` is the name of its method, `name` what that is given; '' for the local machine."""

    connector: str
    name: str = ''
    user: str = ''
    port: int | None = None

    def __str__(self) -> str:
        if self.connector == 'local':
            return 'local'
        user = f'{self.user}@' if self.user else ''
        if self.connector != 'ssh':
            return f'{self.connector}:{user}{self.name}'
        name = f'[{self.name}]' if ':' in self.name and self.port is not None else self.name
        text = user + name + (f':{self.port}' if self.port is not None else '')
        return f'ssh:{text}' if needs_scheme(text) else text

    @property
    def args(self) -> tuple[str, ...]:
        """What the method of the connector is given by place."""
        return () if self.connector == 'local' else (self.name,)

    @property
    def options(self) -> dict[str, Any]:
        """What the method of the connector is given by name."""
        if self.connector == 'ssh':
            found: dict[str, Any] = {'username': self.user or None, 'port': self.port}
        else:
            found = {CONNECTORS.get(self.connector, ''): self.user or None}
        return {key: value for key, value in found.items() if key and value is not None}


@dataclass(frozen=True)
class Pattern:
    """Some hosts of the ssh configuration, or of an inventory."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Location:
    """A path: of `target`, or of this machine if that is None."""

    target: Target | None
    path: str


def needs_scheme(text: str) -> bool:
    """Would the text of an ssh target be read as something else?"""
    head = text.partition(':')[0]
    return text == 'local' or head in CONNECTORS or (':' in text and head in ('ssh', 'local'))


def parse_hosts(text: str) -> list[Target | Pattern]:
    """Return the targets and patterns of a list with commas, each once; raise BadTarget."""
    words = [word.strip() for word in text.split(',')]
    if not all(words):
        raise BadTarget(f'{shown(text)}: a host is missing beside a comma' if text.strip() else 'no host is named')
    return list(dict.fromkeys(parse_host(word) for word in words))


def parse_host(text: str) -> Target | Pattern:
    """Return the target or pattern that `text` names; raise BadTarget."""
    name = text.removeprefix('@')
    if (name != text or WILD.search(text)) and not re.search('[@:/]', name):
        check(name, text)
        return Pattern(text)
    return parse(text)


def parse(text: str) -> Target:
    """Return the target that `text` names; raise BadTarget."""
    if text == 'local':
        return Target('local')
    head, colon, rest = text.partition(':')
    if head == 'ssh' and rest.startswith('//'):
        return of_ssh(rest[2:].removesuffix('/'), text)
    if head == 'local' and colon:
        raise BadTarget(f'{text}: the local machine has no name or port: write local, or ssh:{text}')
    if head == 'ssh' and colon:
        return of_ssh(rest, text)
    if colon and head in CONNECTORS:
        return of_connector(head, rest, text)
    return of_ssh(text, text)


def of_connector(connector: str, rest: str, text: str) -> Target:
    user, at, name = rest.rpartition('@')
    if at and not CONNECTORS[connector]:
        raise BadTarget(f'{text}: {connector} takes no user')
    check(name, text)
    if at:
        check(user, text)
    return Target(connector, name, user)


def of_ssh(rest: str, text: str) -> Target:
    user, at, place = rest.rpartition('@')
    name, port = split_port(place, text)
    check(name, text)
    if at:
        check(user, text)
    if '/' in rest:
        raise BadTarget(f'{text}: a host has no / in its name')
    if WILD.search(name):
        raise BadTarget(f'{text}: a pattern of hosts has no user, port or connector')
    return Target('ssh', name, user, port)


def split_port(place: str, text: str) -> tuple[str, int | None]:
    """Return the name and the port of `place`; an IPv6 address alone has none."""
    if place.startswith('['):
        name, bracket, rest = place[1:].partition(']')
        if not bracket or (rest and not rest.startswith(':')):
            raise BadTarget(f'{text}: an address in brackets ends with ] or ]:PORT')
        return name, port_of(rest[1:], text) if rest else None
    if place.count(':') > 1:
        return place, None
    name, colon, port = place.partition(':')
    return name, port_of(port, text) if colon else None


def port_of(port: str, text: str) -> int:
    if not PORT.match(port) or not 0 < int(port) < 65536:
        raise BadTarget(f'{text}: {shown(port)} is no port: write a number from 1 to 65535')
    return int(port)


def check(name: str, text: str) -> None:
    """Raise BadTarget unless `name` can be a name."""
    if not name:
        raise BadTarget(f'{shown(text)}: a name is missing')
    if name.startswith('-'):
        raise BadTarget(f'{text}: a name that begins with - would be taken for an option')
    if BAD.search(name):
        raise BadTarget(f'{shown(text)}: a name has no blanks, commas or control characters')


def parse_location(text: str) -> Location:
    """Return where a path is, by the habits of scp; raise BadTarget."""
    if text.startswith('ssh://'):
        place, _, path = text[len('ssh://'):].partition('/')
        return Location(of_ssh(place, text), path or '.')
    head, colon, rest = text.partition(':')
    if colon and head == 'ssh':
        found = parse_location(rest)
        if found.target is None:
            raise BadTarget(f'{text}: write ssh:HOST:PATH')
        if found.target.connector != 'ssh':
            host, _, path = rest.partition(':')
            return Location(of_ssh(host, text), path or '.')
        return found
    if colon and head == 'local':
        return Location(Target('local'), rest or '.')
    if colon and head in CONNECTORS:
        name, second, path = rest.partition(':')
        return Location(of_connector(head, name, text), path or '.') if second else Location(parse(text), '.')
    bracket = re.match(r'((?:[^/@:]*@)?\[[^\]/]*\]):', text)
    if bracket:
        return Location(of_ssh(bracket[1], text), text[bracket.end():] or '.')
    if not colon or '/' in head:
        return Location(None, text)
    return Location(of_ssh(head, text), rest or '.')


def listed(hosts: Sequence[Target | Pattern]) -> str:
    """Return `hosts` as the text that names them."""
    return ','.join(str(host) for host in hosts)
