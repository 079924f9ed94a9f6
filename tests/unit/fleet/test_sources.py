"""Where the hosts of a fleet come from: lists, mappings, functions, and patterns of an ssh configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import econtext
from econtext.controller.fleet import ssh_config
from econtext.controller.fleet.hosts import Host, unique
from econtext.controller.fleet.sources import hosts_from

NAMES = st.text(st.sampled_from('abw12-.'), min_size=1, max_size=6)


def names(hosts: list[Host]) -> list[str]:
    return [host.name for host in hosts]


@given(st.lists(NAMES))
def test_a_list_is_its_hosts_once_in_order(hosts: list[str]) -> None:
    assert names(hosts_from(hosts)) == list(dict.fromkeys(hosts))
    assert names(hosts_from(lambda: [iter(hosts)])) == list(dict.fromkeys(hosts))
    assert hosts_from({name: {'port': 22} for name in hosts}) == [
        Host(name, {'port': 22}) for name in dict.fromkeys(hosts)]


def test_kinds_of_sources_mix() -> None:
    made = hosts_from(['a', {'b': {'port': 2}}, Host('c', groups=['g']), lambda: 'd', ('e',)])
    assert names(made) == ['a', 'b', 'c', 'd', 'e']
    assert made[1].options['port'] == 2


@pytest.mark.parametrize('hosts', [7, None, b'web1', ['a', 3], {'a': 'port'}, {'a': None}])
def test_what_names_no_host_is_a_type_error(hosts: object) -> None:
    with pytest.raises(TypeError):
        hosts_from(hosts)  # type: ignore[arg-type]


@pytest.mark.parametrize('name', ['', 'a\nb', '\x1b[2J'])
def test_a_name_is_printable(name: str) -> None:
    with pytest.raises(ValueError, match='printable'):
        hosts_from([name])


def test_two_hosts_of_one_name_are_refused_if_they_differ() -> None:
    assert len(unique([Host('a', {'port': 1}), Host('a', {'port': 1})])) == 1
    with pytest.raises(ValueError, match='two hosts are called a'):
        unique([Host('a', {'port': 1}), Host('a', {'port': 2})])


def test_a_host_is_selected_by_name_and_group() -> None:
    host = econtext.Host('web1', groups=['eu', 'web'])
    assert host.matches('web*')
    assert host.matches('@e?')
    assert not host.matches('eu')
    assert not host.matches('@us')
    assert 'port' not in repr(Host('a', {'port': 'secret'}))
    with pytest.raises(TypeError):
        Host('a', groups='web')  # type: ignore[arg-type]


CONFIG = '''
Host web1 web2 "web three" *.example !web9
  HostName 10.0.0.1
host=db1
Match host other exec "true"
  User x
  HOST   WEB4 # one of them
Include conf.d/* missing
'''


def test_names_of_a_configuration() -> None:
    files = {'conf.d/a': 'Host inner1\nInclude again', 'again': 'Host inner2\nInclude again', 'conf.d/b': 'Host web1'}
    found = list(ssh_config.names(
        CONFIG, files.get, lambda pattern: sorted(name for name in files if name == pattern or
                                                  (pattern == 'conf.d/*' and name.startswith('conf.d')))))
    # One that includes itself ends where ssh's limit is.
    assert list(dict.fromkeys(found)) == ['web1', 'web2', 'web three', 'db1', 'WEB4', 'inner1', 'inner2']
    assert found.count('inner2') == ssh_config.DEEPEST - 1


@given(st.lists(NAMES), st.lists(st.text(st.sampled_from('abw1*?!'), min_size=1, max_size=5)))
def test_selection(found: list[str], patterns: list[str]) -> None:
    selected = ssh_config.select(found, patterns)
    assert selected == [name for name in dict.fromkeys(found) if name in selected]
    assert ssh_config.select(found, ['*']) == list(dict.fromkeys(found))
    assert ssh_config.select(found, ['*', *('!' + name for name in found)]) == []


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    list(ssh_config.names(text, lambda path: None, lambda pattern: [pattern]))


def test_patterns_of_the_users_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    folder = tmp_path / '.ssh'
    folder.mkdir()
    (folder / 'config').write_text('Include extra\nHost web1 web-old\n')
    (folder / 'extra').write_text('Host web2 [web\n')
    assert names(hosts_from('web*')) == ['web2', 'web1', 'web-old']
    assert names(hosts_from(['web?', 'other'])) == ['web2', 'web1', 'other']
    assert names(econtext.inventory.ssh_config('web*', '!*-old')) == ['web2', 'web1']
    assert names(econtext.inventory.ssh_config('[web')) == ['[web']
    with pytest.raises(ValueError, match=r'no host of .* matches db'):
        hosts_from('db*')
    other = tmp_path / 'other'
    other.write_text('Host far\n')
    made = econtext.inventory.ssh_config('*', config=other)
    assert made[0].options['ssh_args'] == ['-F', str(other)]
    with pytest.raises(OSError, match='missing'):
        econtext.inventory.ssh_config('*', config=tmp_path / 'missing')


FLEET = '''
[options]
username = "deploy"
[groups.web]
hosts = ["web1", "web2"]
options = { port = 2222 }
[groups.all]
groups = ["web", "db"]
[groups.db]
hosts = ["db1"]
options = { username = "postgres", connector = "local" }
[hosts.web2]
port = 22
[hosts.lonely]
'''


def test_a_toml_file_of_groups_and_options(tmp_path: Path) -> None:
    path = tmp_path / 'fleet.toml'
    path.write_text(FLEET)
    made = {host.name: host for host in econtext.inventory.toml(path)}
    assert list(made) == ['web1', 'web2', 'db1', 'lonely']
    assert dict(made['web1'].options) == {'username': 'deploy', 'port': 2222}
    assert dict(made['web2'].options) == {'username': 'deploy', 'port': 22}
    assert made['db1'].connector == 'local'
    assert dict(made['db1'].options) == {'username': 'postgres'}
    assert made['web1'].groups == ('web', 'all')
    assert names(econtext.inventory.toml(path, 'db')) == ['db1']


@pytest.mark.parametrize('text', [
    'colour = 1', 'hosts = 3', '[groups.a]\nhosts = "web1"', '[groups.a]\ngroups = ["a"]', '[groups.a]\ngroups = ["b"]',
    '[groups.a]\ncolour = 1', '[groups.a]\noptions = 1', 'not toml', '[hosts]\nweb1 = 3',
])  # fmt: skip
def test_a_toml_file_that_makes_no_sense_is_a_value_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / 'fleet.toml'
    path.write_text(text)
    with pytest.raises(ValueError, match=r'fleet\.toml: '):
        econtext.inventory.toml(path)


LISTED = '''{
  "_meta": {"hostvars": {
    "web1": {"ansible_host": "10.0.0.5", "ansible_port": "2222", "ansible_user": "deploy", "rack": 7,
             "ansible_ssh_pass": "hidden", "ansible_python_interpreter": "/usr/bin/python3"},
    "here": {"ansible_connection": "local", "ansible_python_interpreter": "auto"}}},
  "all": {"children": ["ungrouped", "web"]},
  "ungrouped": {"hosts": ["here"]},
  "web": {"hosts": ["web1", "web2"]}
}'''


def test_an_inventory_of_ansible(tmp_path: Path) -> None:
    program = tmp_path / 'ansible-inventory'
    program.write_text(f"#!/bin/sh\n[ \"$*\" = '--list -i given' ] || exit 3\ncat <<'END'\n{LISTED}\nEND\n")
    program.chmod(0o755)
    made = {host.name: host for host in econtext.inventory.ansible('given', program=str(program))}
    assert set(made) == {'web1', 'web2', 'here'}
    options = dict(made['web1'].options)
    assert options.pop('password').reveal() == 'hidden'
    assert options == {'hostname': '10.0.0.5', 'port': 2222, 'username': 'deploy', 'python': '/usr/bin/python3'}
    assert made['web1'].variables['rack'] == 7
    assert set(made['web1'].groups) == {'all', 'web'}
    assert made['here'].connector == 'local'
    assert not made['here'].options
    assert names(econtext.inventory.ansible('given', 'web', program=str(program))) == ['web1', 'web2']
    with pytest.raises(ValueError, match='no group'):
        econtext.inventory.ansible('given', 'db', program=str(program))
    with pytest.raises(econtext.EcontextError, match='status 3'):
        econtext.inventory.ansible('other', program=str(program))
    with pytest.raises(econtext.EcontextError, match='install Ansible'):
        econtext.inventory.ansible(program=str(tmp_path / 'missing'))
    program.write_text('#!/bin/sh\necho no\n')
    with pytest.raises(econtext.EcontextError, match='no JSON'):
        econtext.inventory.ansible(program=str(program))
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{LISTED.replace('2222', '{{ port }}')}\nEND\n")
    with pytest.raises(econtext.EcontextError, match=r'web1: ansible_port is no number.*templates'):
        econtext.inventory.ansible(program=str(program))
