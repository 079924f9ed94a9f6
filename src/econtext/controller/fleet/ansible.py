"""
Hosts of an inventory of Ansible, of any kind that Ansible reads: files, scripts, plugins.

``ansible-inventory --list`` reads it; what is used here is the JSON that it prints.

Invariants:

* Variables that say how to reach a host become options; all of them are kept as `variables`.

`hosts_of` is pure; any thread may enter.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

from econtext.child.labels import seen
from econtext.controller.errors import EcontextError
from econtext.controller.fleet.hosts import Host
from econtext.controller.secret import Secret
from econtext.controller.text import harmless_lines

# Variables of Ansible, the last of which wins, and the option of ssh that they are.
SSH = (
    ('ansible_ssh_host', 'hostname'), ('ansible_host', 'hostname'),
    ('ansible_ssh_user', 'username'), ('ansible_user', 'username'),
    ('ansible_ssh_port', 'port'), ('ansible_port', 'port'),
    ('ansible_ssh_private_key_file', 'identity_file'), ('ansible_private_key_file', 'identity_file'),
    ('ansible_ssh_pass', 'password'), ('ansible_ssh_password', 'password'), ('ansible_password', 'password'),
)  # fmt: skip
BY_SSH = 'ssh', 'smart', 'paramiko', 'paramiko_ssh', 'ansible.builtin.ssh'
DISCOVERED = 'auto', 'auto_legacy', 'auto_silent', 'auto_legacy_silent'


def ansible(
    inventory: str | os.PathLike[str] | None = None, *groups: str, program: str = 'ansible-inventory'
) -> list[Host]:
    """
    Return the hosts of an inventory of Ansible, all, or those of `groups`.

    `inventory` is what ``ansible-inventory -i`` takes: a file, folder, script or plugin's configuration; by
    default what Ansible's own configuration names.  `program` is the path of ``ansible-inventory``.  How to
    reach a host is taken from its variables (``ansible_host``, ``ansible_user``, ``ansible_port`` and so on);
    all of them are in its `variables`.

    Raises EcontextError if the program is missing or fails, ValueError for a group that is not there.

    Example::

        with econtext.Broker() as broker:
            fleet = broker.fleet(econtext.inventory.ansible('inventory.yml', 'webservers'))
    """
    argv = [program, '--list', *(['-i', os.fspath(inventory)] if inventory is not None else [])]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        raise EcontextError(
            f'{program} cannot be executed ({error.strerror}): install Ansible, or name the path of '
            'ansible-inventory with program=') from None
    if done.returncode:
        last = harmless_lines(done.stderr.decode('utf-8', 'replace')[-2000:]).strip()
        raise EcontextError(f'{program} failed with status {done.returncode}: run it by hand. Last lines seen:\n{last}')
    try:
        listed = json.loads(done.stdout)
    except ValueError:
        raise EcontextError(f'what {program} printed is no JSON: run it by hand to see') from None
    return hosts_of(listed, groups)


def hosts_of(listed: Mapping[str, Any], wanted: tuple[str, ...] = ()) -> list[Host]:
    """Return the hosts of what ``ansible-inventory --list`` prints, those of the groups `wanted` if there are any."""
    if not isinstance(listed, Mapping):
        raise EcontextError('what ansible-inventory printed is no inventory: run it by hand to see')
    variables = listed.get('_meta', {}).get('hostvars', {})
    tables = {name: table for name, table in listed.items() if name != '_meta'}
    memberships: dict[str, list[str]] = {}
    for group in tables:
        for host in members(tables, group, set()):
            memberships.setdefault(host, []).append(group)
    for group in wanted:
        if group not in tables:
            raise ValueError(f'the inventory has no group {seen(group)}; there are: {", ".join(tables)}')
    return [
        host_of(name, memberships.get(name, []), variables.get(name, {}))
        for name in dict.fromkeys([*memberships, *variables])
        if not wanted or set(wanted) & set(memberships.get(name, []))
    ]


def members(tables: Mapping[str, Any], group: str, seen_before: set[str]) -> list[str]:
    """Return the names of the hosts of a group and of the groups in it."""
    if group in seen_before:
        return []
    seen_before.add(group)
    table = tables.get(group, {})
    found = list(table.get('hosts', []))
    for inner in table.get('children', []):
        found += members(tables, inner, seen_before)
    return list(dict.fromkeys(found))


def host_of(name: str, groups: list[str], variables: Mapping[str, Any]) -> Host:
    """Return a host of an inventory, by ssh unless its variables say another way."""
    way = variables.get('ansible_connection', 'ssh')
    options: dict[str, Any] = {}
    connector = None if way in BY_SSH else str(way).rpartition('.')[2]
    if connector is None:
        options = {option: variables[variable] for variable, option in SSH if variable in variables}
        if 'port' in options:
            options['port'] = port_of(name, options['port'])
        if 'password' in options:
            options['password'] = Secret(str(options['password']))
    elif connector in ('docker', 'podman') and 'ansible_host' in variables:
        options['container'] = variables['ansible_host']
    python = variables.get('ansible_python_interpreter')
    if python and python not in DISCOVERED:
        options['python'] = python
    return Host(name, options, connector, tuple(groups), variables)


def port_of(name: str, value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise EcontextError(
            f'{harmless_lines(name)}: ansible_port is no number, but {seen(value)}: write the number itself, since '
            'ansible-inventory --list resolves no templates') from None
