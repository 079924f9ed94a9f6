"""What is to be started for each host of a fleet."""

from __future__ import annotations

import pkgutil

import pytest

from econtext.controller.connect import registry
from econtext.controller.fleet.hosts import Host
from econtext.controller.fleet.requests import request_for


def test_the_hosts_name_is_the_address_and_the_name() -> None:
    request = request_for(Host('web1'), 'ssh', {'username': 'deploy'})
    assert request.options['hostname'] == 'web1'
    assert request.options['username'] == 'deploy'
    assert request.common == {'name': 'web1'}
    other = request_for(Host('web1', {'hostname': '10.0.0.5', 'username': 'root'}), 'ssh', {'username': 'deploy'})
    assert other.options['hostname'] == '10.0.0.5'
    assert other.options['username'] == 'root'
    # One that has no address.
    assert request_for(Host('a'), 'local', {'cwd': '/'}).common == {'name': 'a'}
    with pytest.raises(TypeError, match='pyton'):
        request_for(Host('a'), 'local', {'pyton': 'x'})


def test_no_folder_is_read_for_each_host(monkeypatch: pytest.MonkeyPatch) -> None:
    names = registry.ours()
    assert 'ssh' in names
    names.clear()
    assert 'ssh' in registry.ours(), 'each gets a list of its own'

    def looked(*args: object) -> None:
        raise AssertionError('the folder of connectors was read again')

    monkeypatch.setattr(pkgutil, 'iter_modules', looked)
    for number in range(3):
        assert request_for(Host(f'h{number}'), 'ssh', {}).options['hostname'] == f'h{number}'
