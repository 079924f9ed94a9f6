"""The connections of the connector ``@econtext``: how they fail, by way of others, side by side, and what ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from deploying import ROOT, Runs

import lab
from lab import leaks
from lab.accounts import Accounts
from lab.sshd import Sshd, reserve

pytestmark = pytest.mark.deadline(300)
LOCAL = {'econtext_connector': 'local'}


def test_errors_of_connections_are_those_of_pyinfra(pyinfra: Runs, accounts: Accounts, tmp_path: Path) -> None:
    """Every host that cannot be connected fails alone, with a line that says why."""
    (tmp_path / 'nothing').write_text('')
    with reserve('127.0.0.1') as closed:
        # Reserved, and nobody listens.
        port = closed.getsockname()[1]
        (tmp_path / 'inventory.py').write_text(f'''
hosts = [
    ('@econtext/good', {{'ssh_hostname': '127.0.0.1'}}),
    ('@econtext/closed', {{'ssh_hostname': '127.0.0.1', 'ssh_port': {port}, 'ssh_connect_retries': 2}}),
    ('@econtext/unknown', {{'ssh_hostname': '127.0.0.1', 'ssh_known_hosts_file': 'nothing',
        'ssh_strict_host_key_checking': 'yes'}}),
    ('@econtext/keyless', {{'ssh_hostname': '127.0.0.1', 'ssh_key': 'missing'}}),
    ('@econtext/refused', {{'ssh_hostname': '127.0.0.1', 'ssh_key': '', 'ssh_allow_agent': False,
        'ssh_look_for_keys': False}}),
    ('@econtext/paramiko', {{'ssh_hostname': '127.0.0.1', 'ssh_paramiko_connect_kwargs': {{'gss_auth': True}}}}),
]
''')
        words = pyinfra.words('inventory.py', 'exec', '--', 'echo', 'works', user=accounts['plain'].name)
        # What the inventory says of a host is not to be outdone.
        given = {words[at + 1].partition('=')[0]: words[at + 1].partition('=')[2]
                 for at, word in enumerate(words) if word == '--data'}  # fmt: skip
        (tmp_path / 'group_data').mkdir()
        (tmp_path / 'group_data' / 'all.py').write_text(
            ''.join(f'{name} = {int(value) if value.isdigit() else value!r}\n' for name, value in given.items()))
        done = subprocess.run(
            [words[0], '-y', '--fail-percent', '100', 'inventory.py', 'exec', '--', 'echo', 'works'], cwd=tmp_path,
            env=pyinfra.variables, capture_output=True, text=True, timeout=2 * lab.SOON)
    output = done.stdout + done.stderr
    words_of = ' '.join(output.split())
    assert '[@econtext/good] Connected' in words_of, output
    assert '[@econtext/closed] closed: nothing listens at that address and port' in words_of, output
    assert "[@econtext/unknown] unknown: the host's key is not known" in words_of, output
    assert '[@econtext/keyless] No such private key file: missing' in words_of, output
    assert '[@econtext/refused] refused: ' in words_of, output
    assert '[@econtext/paramiko] ssh_paramiko_connect_kwargs has gss_auth' in words_of, output
    assert '[@econtext/good] works' in words_of, output


def test_a_host_behind_another(pyinfra: Runs, accounts: Accounts, sshd: Sshd) -> None:
    """The hop's own ssh connects the host, with its own keys."""
    outer, inner = accounts['plain'], accounts['target']
    sshd.give_client(outer.home, outer.uid, outer.gid)
    path = pyinfra.folder / 'inventory.py'
    hop = {'ssh_hostname': '127.0.0.1', 'ssh_port': sshd.port, 'ssh_user': outer.name, 'ssh_key': str(sshd.key),
           'ssh_known_hosts_file': str(sshd.known_hosts)}  # fmt: skip
    path.write_text(f'hosts = [("@econtext/{inner.name}@lab", {{"econtext_via": {hop!r}}})]\n')
    (pyinfra.folder / 'deploy.py').write_text(
        'from pyinfra import host\nprint("RESULT", host.run_shell_command("id -un")[1].stdout)\n')
    done = subprocess.run(
        [str(pyinfra.scripts / 'pyinfra'), '-y', 'inventory.py', 'deploy.py'], cwd=pyinfra.folder,
        env=pyinfra.variables, capture_output=True, text=True, timeout=2 * lab.SOON)
    assert f'RESULT {inner.name}' in done.stdout, done.stdout + done.stderr


def test_hosts_work_side_by_side(pyinfra: Runs, tmp_path: Path) -> None:
    """Each host waits for what the other one does: gevent's patches stop neither."""
    (tmp_path / 'deploy.py').write_text(f'''
from pyinfra import host
from pyinfra.operations import server
other = {{'@econtext/one': 'two', '@econtext/two': 'one'}}[host.name]
server.shell(
    commands=['touch {tmp_path}/' + host.name[-3:] + '; until [ -e {tmp_path}/' + other + ' ]; do sleep 0.01; done'])
''')
    done = pyinfra.run('@econtext/one,@econtext/two', 'deploy.py', **LOCAL)
    assert done.status == 0, done.output


@pytest.mark.parametrize('victim', ['pyinfra', 'helper'])
def test_nothing_stays_of_what_is_killed(
    pyinfra: Runs, accounts: Accounts, victim: str, all_ends: Callable[[], None], tmp_path: Path, sshd: Sshd,
) -> None:
    """SIGKILL of pyinfra or of the process that has the broker, while a command runs there as root."""
    mark = tmp_path / 'runs'
    tmp_path.chmod(0o755)
    lab.open_to_all(tmp_path)
    (tmp_path / 'deploy.py').write_text(f'''
from pyinfra.operations import server
server.shell(commands=['true'], _sudo=True)
server.shell(commands=['touch {mark}; sleep 985'], _sudo=True)
''')
    with pyinfra.begin('@econtext/127.0.0.1', 'deploy.py', user=accounts['nopw'].name) as process:
        lab.eventually(mark.exists, what='the command does not run')
        if victim == 'pyinfra':
            process.kill()
            process.wait()
        else:
            (helper,) = [entry.pid for entry in leaks.descendants(process.pid)
                         if 'econtext.pyinfra' in leaks.command_line(entry.pid)]  # fmt: skip
            os.kill(helper, signal.SIGKILL)
            output, _ = process.communicate(timeout=lab.SOON)
            assert process.returncode
            assert 'has ended' in output
    all_ends()
    lab.eventually(lambda: not sshd.sessions(), 10, 'a session of the ssh server is there 10 seconds later')


def test_a_lost_host_fails_and_the_others_go_on(pyinfra: Runs, accounts: Accounts, sshd: Sshd, tmp_path: Path) -> None:
    done = pyinfra.deploy('''
server.shell(commands=['kill -9 $PPID'])
''', user=accounts['plain'].name)  # fmt: skip
    assert done.status != 0
    assert 'Command socket/SSH error' in done.output, done.output


def test_rsync_starts_the_same_ssh(pyinfra: Runs, accounts: Accounts, tmp_path: Path) -> None:
    """By a stand-in for rsync, which shows its words."""
    programs = tmp_path / 'bin'
    programs.mkdir()
    (programs / 'rsync').write_text('#!/bin/sh\nprintf "word %s\\n" "$@" >&2\nexit 1\n')
    (programs / 'rsync').chmod(0o755)
    pyinfra.variables['PATH'] = f'{programs}:{pyinfra.variables["PATH"]}'
    done = pyinfra.deploy("files.rsync(src='a/', dest='/b', flags=['-a'])\n", user=accounts['plain'].name)
    assert done.status != 0
    assert f'word {accounts["plain"].name}@127.0.0.1:/b' in done.output, done.output
    assert f'-p {pyinfra.server.port}' in done.output
    assert 'BatchMode=yes' in done.output


API = '''
import sys
{first}
import gevent, os, tempfile
from pyinfra.api import Config, Inventory, State
from pyinfra.api.connect import connect_all, disconnect_all
names = ['@econtext/one', '@econtext/two']
state = State(Inventory((names, {{'econtext_connector': 'local'}})), Config())
connect_all(state)
folder = tempfile.mkdtemp()
def meet(host, other):
    return host.run_shell_command(
        f'touch {{folder}}/{{host.name[-3:]}}; '
        f'until [ -e {{folder}}/{{other}} ]; do sleep 0.01; done; echo met')[1].stdout
one, two = [state.inventory.get_host(name) for name in names]
found = [gevent.spawn(meet, one, 'two'), gevent.spawn(meet, two, 'one')]
gevent.joinall(found)
print([each.value for each in found])
one.disconnect()
print(two.run_shell_command('echo there')[1].stdout)
two.disconnect()
one.connect()
print(one.run_shell_command('echo again')[1].stdout)
disconnect_all(state)
'''


@pytest.mark.parametrize('first', ['', 'from gevent import monkey; monkey.patch_all()', 'import econtext'])
def test_programs_of_their_own(scripts: Path, tmp_path: Path, first: str) -> None:
    """Programs that use pyinfra's API, whether or not gevent has patched the standard library."""
    (tmp_path / 'program.py').write_text(API.format(first=first))
    done = subprocess.run(
        [str(scripts / 'python'), 'program.py'], cwd=tmp_path, capture_output=True, text=True, timeout=lab.SOON,
        env={**os.environ, 'PYTHONPATH': str(ROOT / 'src')})
    assert done.stdout.splitlines() == ["['met', 'met']", 'there', 'again'], done.stdout + done.stderr


def test_a_broker_works_where_gevent_has_patched_python(scripts: Path, tmp_path: Path) -> None:
    """A deployment may use econtext itself, too; while it waits, other greenlets run."""
    (tmp_path / 'program.py').write_text('''
from gevent import monkey; monkey.patch_all()
import gevent, econtext
with econtext.Broker() as broker:
    one, two = broker.local(), broker.local()
    meet = 'touch {0}; until [ -e {1} ]; do sleep 0.01; done; echo met'
    found = [gevent.spawn(one.run, meet.format('one', 'two')), gevent.spawn(two.run, meet.format('two', 'one'))]
    gevent.joinall(found)
    print([each.value.stdout.strip() for each in found])
''')
    done = subprocess.run(
        [str(scripts / 'python'), 'program.py'], cwd=tmp_path, capture_output=True, text=True, timeout=lab.SOON,
        env={**os.environ, 'PYTHONPATH': str(ROOT / 'src')})
    assert done.stdout == "['met', 'met']\n", done.stdout + done.stderr


def test_without_pyinfra_the_remedy_is_said() -> None:
    program = "import sys; sys.modules['pyinfra'] = None\nimport econtext.pyinfra.connector"
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=lab.SOON)
    assert "pip install 'econtext[pyinfra]'" in done.stderr
