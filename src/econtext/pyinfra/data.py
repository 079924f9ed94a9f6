"""
The data of a host in pyinfra's inventory, as options of econtext.

Invariants:

* An inventory that worked with ``@ssh`` works with the prefix changed: each ``ssh_`` word means the same to OpenSSH, or
  ``unsupported`` says which cannot be had.

Pure, but that it looks for the private key; any thread may enter.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from econtext.child.labels import seen

HOST: re.Pattern[str] = re.compile(
    r'(?:(?P<user>[^@]+)@)?(?:(?:\[(?P<six>[^@\[\]]+)\]|(?P<host>[^@\[\]:]+))(?::(?P<port>[0-9]+))?'
    r'|(?P<bare>[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[^@\[\]]*))')
# Words of paramiko that OpenSSH has an option for, and those that can be passed over.
PARAMIKO: frozenset[str] = frozenset(('timeout', 'compress', 'auth_timeout', 'banner_timeout', 'channel_timeout'))


class Unusable(ValueError):
    """Data that econtext cannot use."""


def split(name: str) -> dict[str, Any]:
    """Return the data in ``[USER@]HOST[:PORT]``; an address of IPv6 that has a port stands in brackets."""
    found = HOST.fullmatch(name)
    if found is None:
        raise Unusable(f'a host is [USER@]HOST[:PORT], not {seen(name)}')
    data: dict[str, Any] = {'ssh_hostname': found['six'] or found['host'] or found['bare']}
    if found['user']:
        data['ssh_user'] = found['user']
    if found['port']:
        data['ssh_port'] = int(found['port'])
    return data


def chain(data: Mapping[str, Any], folder: str | None, timeout: float | None) -> list[dict[str, Any]]:
    """
    Return how the host is reached: the requests for the contexts, each started from the one before it.

    `folder` is where relative paths of keys are looked for, too; `timeout` is in seconds.
    """
    hops = data.get('econtext_via') or []
    if not isinstance(hops, (list, tuple)):
        hops = [hops]
    requests = [request(hop_data(hop), folder, timeout, index == 0) for index, hop in enumerate(hops)]
    return [*requests, request(data, folder, timeout, not hops)]


def hop_data(hop: Any) -> Mapping[str, Any]:
    if isinstance(hop, str):
        return split(hop)
    if not isinstance(hop, Mapping) or not hop.get('ssh_hostname'):
        raise Unusable('econtext_via is a host, a mapping of data with ssh_hostname, or a list of these')
    return hop


def request(data: Mapping[str, Any], folder: str | None, timeout: float | None, here: bool) -> dict[str, Any]:
    """Return the connector, its options, and who it is; `here` is whether this machine starts it."""
    hostname = data.get('ssh_hostname')
    options: dict[str, Any] = {}
    kind = data.get('econtext_connector') or 'ssh'
    python = data.get('econtext_python')
    if python:
        options['python'] = python if isinstance(python, str) else list(python)
    if timeout:
        options['connect_timeout'] = float(timeout)
    if kind == 'ssh':
        options.update(ssh_options(data, folder, timeout, here))
    extra = data.get('econtext_options') or {}
    options.update(extra)
    return {'connector': kind, 'place': None if kind == 'local' else hostname, 'options': options}


def ssh_options(data: Mapping[str, Any], folder: str | None, timeout: float | None, here: bool) -> dict[str, Any]:
    options: dict[str, Any] = {'ssh_args': ssh_args(data, timeout, here)}
    for word, name in (('ssh_user', 'username'), ('ssh_password', 'password'), ('ssh_key_password', 'passphrase')):
        if data.get(word):
            options[name] = str(data[word])
    if data.get('ssh_port'):
        options['port'] = int(data['ssh_port'])
    if data.get('ssh_key'):
        options['identity_file'] = private_key(str(data['ssh_key']), folder) if here else str(data['ssh_key'])
    return options


def ssh_args(data: Mapping[str, Any], timeout: float | None, here: bool = True) -> list[str]:
    """Return what the OpenSSH client needs beside user, port and key; paths count on the machine that starts it."""
    args: list[str] = []
    if data.get('ssh_config_file'):
        args += ['-F', path(data['ssh_config_file'], here)]
    if data.get('ssh_known_hosts_file'):
        # Quotes, for the client splits the value at blanks.
        args += ['-o', 'UserKnownHostsFile="{}"'.format(path(data['ssh_known_hosts_file'], here))]
    checking = data.get('ssh_strict_host_key_checking', 'accept-new')
    if checking:
        args += ['-o', f'StrictHostKeyChecking={checking}']
    if data.get('ssh_forward_agent') is not None:
        args.append('-A' if data['ssh_forward_agent'] else '-a')
    if data.get('ssh_key'):
        args += ['-o', 'IdentitiesOnly=yes']
    else:
        if data.get('ssh_allow_agent') is False:
            args += ['-o', 'IdentityAgent=none']
        if data.get('ssh_look_for_keys') is False:
            args += ['-o', 'IdentityFile=none', '-o', 'IdentitiesOnly=no']
    if timeout:
        args += ['-o', f'ConnectTimeout={max(1, int(timeout))}']
    return args + paramiko_args(data.get('ssh_paramiko_connect_kwargs') or {})


def paramiko_args(words: Mapping[str, Any]) -> list[str]:
    args = []
    for word, value in words.items():
        if word not in PARAMIKO:
            raise Unusable(
                f'ssh_paramiko_connect_kwargs has {word}, which is for paramiko alone: econtext starts the OpenSSH '
                'client, so say it in the ssh configuration instead, and remove it here')
        if word == 'timeout' and value:
            args += ['-o', f'ConnectTimeout={max(1, int(value))}']
        if word == 'compress' and value:
            args.append('-C')
    return args


def path(name: Any, here: bool) -> str:
    return os.path.abspath(os.path.expanduser(str(name))) if here else str(name)


def private_key(name: str, folder: str | None) -> str:
    """Return the path of a private key, which may be relative to this process, or to the deployment."""
    expanded = os.path.expanduser(name)
    for each in [expanded, *([os.path.join(folder, expanded)] if folder else [])]:
        if os.path.isfile(each):
            return os.path.abspath(each)
    raise Unusable(f'No such private key file: {name}')


def rsync_words(data: Mapping[str, Any], folder: str | None) -> tuple[list[str], str]:
    """Return the words that start ssh for rsync, and ``[USER@]HOST``; raise Unusable where rsync cannot be had."""
    if data.get('econtext_via') or (data.get('econtext_connector') or 'ssh') != 'ssh':
        raise Unusable('rsync starts an ssh of its own, and knows nothing of econtext_via and econtext_connector')
    for word in 'ssh_password', 'ssh_key_password':
        if data.get(word):
            raise Unusable(f'rsync starts an ssh of its own, which {word} cannot be typed to')
    words = ['ssh', '-o', 'BatchMode=yes', *ssh_args(data, None)]
    if data.get('ssh_port'):
        words += ['-p', str(int(data['ssh_port']))]
    if data.get('ssh_key'):
        words += ['-i', private_key(str(data['ssh_key']), folder)]
    user = data.get('ssh_user')
    return words, f'{user}@{data["ssh_hostname"]}' if user else str(data['ssh_hostname'])
