"""How containers, pods and folders are entered: the words for a command, and what tells one place from another."""

from __future__ import annotations

import subprocess
import sys

import pytest

from econtext.ansible import entering

COMMAND = ['/bin/sh', '-c', "echo 'it'; exit 3"]


@pytest.mark.parametrize(('connector', 'options', 'before'), [
    ('docker', {'container': 'web', 'user': 'www', 'args': ['-w', '/srv']}, 'docker exec -i --user=www -w /srv web'),
    ('podman', {'container': 'web', 'podman_path': '/opt/podman'}, '/opt/podman exec -i web'),
    ('kubectl', {'pod': 'web', 'container': 'app'}, 'kubectl exec -i --container=app web --'),
    ('lxc', {'container': 'web'}, 'lxc-attach --set-var=HOME=/root -n web --clear-env --'),
    ('lxd', {'container': 'far:web', 'user': '33'}, 'lxc exec far:web -T --user=33 --'),
    ('incus', {'container': 'web', 'project': 'shop'}, 'incus exec web -T --project=shop --'),
    ('jail', {'jail': 'web'}, 'jexec web'),
    ('chroot', {'directory': '/srv'}, 'chroot /srv'),
    ('nsenter', {'pid': 1, 'namespaces': ['net']}, 'nsenter -t 1 --net --'),
    ('machinectl', {'machine': 'web'}, 'systemd-run --machine=web --quiet --pipe --wait --collect --uid=root --'),
    ('systemd_nspawn', {'directory': '/srv'}, None),
])  # fmt: skip
def test_a_command_has_the_words_of_the_connector(
    connector: str, options: dict[str, object], before: str | None,
) -> None:
    found = entering.words(entering.way(connector, options, 30), COMMAND)
    assert found[-len(COMMAND):] == COMMAND
    if before is not None:
        assert found[:-len(COMMAND)] == before.split()


def test_where_a_shell_reads_the_command_it_is_one_word() -> None:
    way = entering.way('command', {'argv': ['sh', '-c'], 'shell': True, 'tty': False}, 30)
    done = subprocess.run(entering.words(way, COMMAND), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, 'it\n')


def test_a_way_has_what_is_given() -> None:
    way = entering.way('docker', {'container': 'web', 'user': None, 'args': [], 'docker_path': ''}, 30)
    assert way['options'] == {'container': 'web', 'connect_timeout': 30.0}
    others = [entering.way('podman', {'container': 'web'}, 30), entering.way('docker', {'container': 'db'}, 30),
              entering.way('docker', {'container': 'web', 'user': 'www'}, 30)]
    assert way['key'] not in [other['key'] for other in others]
    # The same place, whatever the patience.
    assert way['key'] == entering.way('docker', {'container': 'web'}, 5)['key']


def test_an_option_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match='container'):
        entering.words(entering.way('docker', {'container': '--privileged'}, 30), COMMAND)


def test_variables_are_texts() -> None:
    assert entering.environment(None) == []
    assert entering.environment({'A': "b 'c'", 'D': ''}) == ["A=b 'c'", 'D=']
    for wrong in {'VERSION': 1.1}, {'ON': True}, {1: 'one'}:
        with pytest.raises(ValueError, match='quote it'):
            entering.environment(wrong)


def test_lines_for_files(tmp_path: object) -> None:
    path = f'{tmp_path}/it\'s "here" $HOME'
    subprocess.run(['sh', '-c', *entering.write(path)], input=b'a\0b', check=True)
    assert subprocess.run(['sh', '-c', *entering.read(path)], check=True, stdout=subprocess.PIPE).stdout == b'a\0b'
    done = subprocess.run(['sh', '-c', *entering.write('/no/folder/x')], input=b'a' * 1_000_000, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert b'/no/folder/x' in done.stderr
    assert [entering.absolute(each) for each in ('a/b', '/a/../b', './a')] == ['/a/b', '/b', '/a']


def test_words_need_no_more_than_the_connectors() -> None:
    """A worker loads neither the broker nor Ansible for them."""
    code = ('import sys; from econtext.ansible import entering; '
            'entering.words(entering.way("docker", {"container": "web"}, 30), ["true"]); '
            'print([name for name in sys.modules if name.startswith(("ansible", "econtext.controller"))])')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'
