"""Data of pyinfra's hosts as options of econtext."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from econtext.pyinfra import data


@pytest.mark.parametrize(('name', 'found'), [
    ('web1', {'ssh_hostname': 'web1'}),
    ('deploy@web1:2222', {'ssh_hostname': 'web1', 'ssh_user': 'deploy', 'ssh_port': 2222}),
    ('[::1]:22', {'ssh_hostname': '::1', 'ssh_port': 22}),
    ('root@[fe80::1%eth0]', {'ssh_hostname': 'fe80::1%eth0', 'ssh_user': 'root'}),
    ('fe80::1', {'ssh_hostname': 'fe80::1'}),
    ('root@fe80::1', {'ssh_hostname': 'fe80::1', 'ssh_user': 'root'}),
])  # fmt: skip
def test_a_name_says_who_and_where(name: str, found: dict[str, Any]) -> None:
    assert data.split(name) == found


@pytest.mark.parametrize('name', ['', '@web1', 'web1:', 'web1:http', '[::1'])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(data.Unusable):
        data.split(name)


def test_what_ssh_is_told(tmp_path: Path) -> None:
    key = tmp_path / 'key'
    key.write_text('')
    (request,) = data.chain({
        'ssh_hostname': 'web1', 'ssh_port': 2222, 'ssh_user': 'deploy', 'ssh_password': 'secret', 'ssh_key': 'key',
        'ssh_config_file': '/c', 'ssh_known_hosts_file': '/k k', 'ssh_strict_host_key_checking': 'yes',
        'ssh_forward_agent': True, 'ssh_allow_agent': True, 'econtext_python': '/py',
        'econtext_options': {'threads': 2},
    }, str(tmp_path), 10)  # fmt: skip
    assert request == {'connector': 'ssh', 'place': 'web1', 'options': {
        'python': '/py', 'connect_timeout': 10.0, 'username': 'deploy', 'password': 'secret', 'port': 2222,
        'identity_file': str(key), 'threads': 2, 'ssh_args': [
            '-F', '/c', '-o', 'UserKnownHostsFile="/k k"', '-o', 'StrictHostKeyChecking=yes', '-A',
            '-o', 'IdentitiesOnly=yes', '-o', 'ConnectTimeout=10']}}  # fmt: skip


def test_without_agent_and_keys() -> None:
    args = data.ssh_args({'ssh_allow_agent': False, 'ssh_look_for_keys': False}, None)
    assert 'IdentityAgent=none' in args
    assert 'IdentityFile=none' in args


@pytest.mark.parametrize('via', [
    'root@b:2', ['root@b:2'], {'ssh_hostname': 'b', 'ssh_user': 'root', 'ssh_port': 2},
])  # fmt: skip
def test_hops_come_first_and_have_keys_of_their_own(via: Any) -> None:
    first, second = data.chain({'ssh_hostname': 'web1', 'ssh_key': '~/there', 'econtext_via': via}, None, None)
    assert (first['place'], first['options']['username'], first['options']['port']) == ('b', 'root', 2)
    assert (second['place'], second['options']['identity_file']) == ('web1', '~/there')


@pytest.mark.parametrize(('given', 'said'), [
    ({'ssh_key': 'missing'}, 'No such private key file: missing'),
    ({'ssh_paramiko_connect_kwargs': {'gss_auth': True}}, 'gss_auth'),
    ({'econtext_via': 7}, 'econtext_via'),
    ({'econtext_via': {'ssh_user': 'root'}}, 'ssh_hostname'),
])  # fmt: skip
def test_what_cannot_be_had_is_said(given: dict[str, Any], said: str) -> None:
    with pytest.raises(data.Unusable, match=said):
        data.chain({'ssh_hostname': 'web1', **given}, None, None)


@pytest.mark.parametrize('given', [{'econtext_via': 'b'}, {'econtext_connector': 'docker'}, {'ssh_password': 'x'}])
def test_where_rsync_cannot_be_had(given: dict[str, Any]) -> None:
    with pytest.raises(data.Unusable, match='rsync'):
        data.rsync_words({'ssh_hostname': 'web1', **given}, None)
