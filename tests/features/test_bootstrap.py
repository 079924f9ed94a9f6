"""Point 1, bootstrap: contexts by local, ssh and sudo, and through each other, or the reason why not."""

from __future__ import annotations

import getpass
import json
import logging
import os
import pathlib
import pickle
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from typing import Any

import pytest
from travel import calls, facts

import econtext
from econtext.controller.protocol import values
from econtext.core.wire import ROUTE
from lab import SOON, eventually, leaks, pythons, require
from lab.accounts import Account, Accounts
from lab.pythons import Interpreter
from lab.sshd import Sshd, make_key, reserved_port

matrix = pytest.mark.controller_matrix


def reach(broker: econtext.Broker, sshd: Sshd, account: Any, **options: Any) -> econtext.Context:
    """Start a context over ssh, with nothing but the account's name and where the configuration is."""
    return broker.ssh('lab', username=account.name, ssh_args=['-F', str(sshd.config)], **options)


@pytest.fixture
def failures(caplog: pytest.LogCaptureFixture) -> Any:
    """What `econtext` logged of failures that nobody looked at."""
    return lambda: [record.getMessage() for record in caplog.records if record.name == 'econtext']


def fails(context: econtext.Context, kind: str, *words: str) -> econtext.ConnectError:
    with pytest.raises(econtext.ConnectError) as caught:
        context.wait_ready(timeout=60)
    error = caught.value
    assert error.kind == kind, str(error)
    assert str(error).startswith(f'{context.name}: {error.what}. {error.remedy}')
    assert error.remedy.endswith('.')
    for word in words:
        assert word in str(error), str(error)
    for use in (lambda: context.call(os.getpid), lambda: context.submit(os.getpid).result(), context.sudo):
        with pytest.raises(econtext.ConnectError) as again:
            use()
        assert str(again.value) == str(error), 'every use says the same'
    return error


# -- each way in -------------------------------------------------------------


@pytest.mark.every_python
@matrix
def test_local_on_every_python(broker: econtext.Broker, python: Interpreter) -> None:
    child = broker.local(python=python)
    pid, parent, user, name, loader = child.call(facts.identity)
    assert (pid, parent, user, name) == (child.pid, os.getpid(), os.geteuid(), 'travel.facts')
    assert child.python_version[:2] == python.version
    assert child.executable == python
    assert loader == 'econtext.child.pull', 'the module came from memory'


@matrix
def test_both_spellings(broker: econtext.Broker, sshd: Sshd) -> None:
    me = getpass.getuser()
    contexts = [
        econtext.local.connect(broker),
        econtext.ssh.connect(broker, sshd.address, username=me, port=sshd.port, identity_file=sshd.key,
                             ssh_args=['-F', str(sshd.config)], connect_timeout=20, name='me'),
    ]  # fmt: skip
    contexts.append(econtext.sudo.connect(contexts[0], 'root'))
    contexts.append(econtext.local.connect(contexts[1], name='below'))
    assert len({context.call(os.getpid) for context in contexts}) == 4
    assert [context.name for context in contexts][1::2] == ['me', 'below']


@pytest.mark.parametrize('kind', ['plain', 'dash', 'tcsh', 'csh', 'fish', 'zsh', 'noisy'])
def test_ssh_to_every_login_shell(broker: econtext.Broker, sshd: Sshd, accounts: Accounts, kind: str) -> None:
    child = reach(broker, sshd, accounts[kind])
    assert child.call(os.geteuid) == accounts[kind].uid
    assert child.call(os.getcwd) == str(accounts[kind].home)
    assert child.call(calls.echo, 'x' * 300_000) == 'x' * 300_000


@pytest.mark.every_python
def test_ssh_on_every_python(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, public_python: Interpreter
) -> None:
    child = reach(broker, sshd, accounts['plain'], python=public_python)
    assert child.call(facts.version) == public_python.version
    assert child.call(facts.identity)[2] == accounts['plain'].uid


def new_folder(account: Account) -> pathlib.Path:
    """Make one in the account's home, which other runs of the tests may have too."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=account.home))
    folder.chmod(0o755)
    return folder


@pytest.mark.parametrize('name', ['python3', 'python', 'python2'])
def test_an_interpreter_is_found_without_being_named(
    broker: econtext.Broker, accounts: Accounts, tmp_path: pathlib.Path, name: str
) -> None:
    require('sshd')
    folder = new_folder(accounts['dash'])
    version = '2.7' if name == 'python2' else '3.6'
    (folder / 'sh').symlink_to('/bin/sh')
    (folder / name).symlink_to(pythons.public_python(version))
    with Sshd(tmp_path / 'sshd', [f'SetEnv PATH={folder}']) as server:
        child = reach(broker, server, accounts['dash'])
        assert child.call(facts.version) == pythons.interpreter(version).version
        child.close()


def test_no_interpreter_at_all(broker: econtext.Broker, accounts: Accounts, tmp_path: pathlib.Path) -> None:
    require('sshd')
    if os.path.exists('/usr/libexec/platform-python'):
        pytest.skip('there is a platform-python here')
    folder = new_folder(accounts['dash'])
    (folder / 'sh').symlink_to('/bin/sh')
    with Sshd(tmp_path / 'sshd', [f'SetEnv PATH={folder}']) as server:
        fails(reach(broker, server, accounts['dash']), 'no-python', 'python=')


def test_the_users_configuration_counts_and_ssh_args_come_first(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, tmp_path: pathlib.Path
) -> None:
    recorder = tmp_path / 'ssh'
    recorder.write_text(
        f'#!{sys.executable}\nimport json, os, sys\n'
        f'open({str(tmp_path / "argv")!r}, "w").write(json.dumps(sys.argv[1:]))\n'
        'os.execvp("ssh", ["ssh", *sys.argv[1:]])\n'
    )
    recorder.chmod(0o755)
    config = tmp_path / 'config'
    config.write_text(f'Host web\n  User {accounts["zsh"].name}\n  HostName {sshd.address}\n' + sshd.config.read_text())
    child = broker.ssh('web', ssh_args=['-F', str(config)], ssh_path=str(recorder))
    assert child.call(os.geteuid) == accounts['zsh'].uid
    argv = json.loads((tmp_path / 'argv').read_text())
    assert argv[:2] == ['-F', str(config)]
    assert argv[2:-1] == ['-T', '-oControlMaster=no', 'web'], 'nothing that the configuration could say'
    other = broker.ssh('web', username=accounts['fish'].name, port=sshd.port, identity_file=sshd.key,
                       ssh_args=['-F', str(config)], ssh_path=str(recorder), name='other')  # fmt: skip
    assert other.call(os.geteuid) == accounts['fish'].uid


def test_ssh_by_password(broker: econtext.Broker, sshd: Sshd, accounts: Accounts) -> None:
    args = [*sshd.ssh_args(), '-o', 'PubkeyAuthentication=no']
    plain = accounts['plain']
    asked: list[str] = []

    def password(question: str) -> str:
        asked.append(question)
        return plain.password

    one = broker.ssh('lab', username=plain.name, ssh_args=args, password=plain.password)
    two = broker.ssh('lab', username=plain.name, ssh_args=args, password=password)
    assert one.call(os.geteuid) == two.call(os.geteuid) == plain.uid
    assert len(asked) == 1
    assert 'password' in asked[0]


# -- sudo --------------------------------------------------------------------


def by_sudo(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, kind: str, *args: Any, **options: Any
) -> econtext.Context:
    return reach(broker, sshd, accounts[kind]).sudo(*args, **options)


@pytest.mark.parametrize(('kind', 'password'), [
    ('nopw', None), ('pty', None), ('tty', None), ('sudo', 'pw-ect_sudo'), ('lect', 'pw-ect_lect'),
    ('nopw', 'not asked for'),
])  # fmt: skip
def test_sudo_over_ssh(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, kind: str, password: str | None
) -> None:
    root = by_sudo(broker, sshd, accounts, kind, password=password)
    assert root.call(os.geteuid) == 0
    assert root.call(calls.echo, 'x' * 300_000) == 'x' * 300_000
    assert root.name == 'lab.sudo.root'


def test_sudo_to_others_and_their_password(broker: econtext.Broker, sshd: Sshd, accounts: Accounts) -> None:
    target = accounts['target']
    one = by_sudo(broker, sshd, accounts, 'rootpw', target.name, password=target.password)
    two = by_sudo(broker, sshd, accounts, 'sudo', target.name, password=lambda question: 'pw-ect_sudo')
    assert one.call(os.geteuid) == two.call(os.geteuid) == target.uid


def test_a_password_shows_nowhere(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        root = by_sudo(broker, sshd, accounts, 'sudo', password='pw-ect_sudo')
        root.wait_ready(60)
    lines = [leaks.command_line(int(pid)) for pid in os.listdir('/proc') if pid.isdigit()]
    assert not [line for line in lines if 'pw-ect_sudo' in line]
    assert 'pw-ect_sudo' not in caplog.text
    assert 'pw-ect_sudo' not in repr(root)
    assert b'pw-ect_sudo' not in pathlib.Path(f'/proc/{root.pid}/environ').read_bytes()


@pytest.mark.parametrize(('kind', 'options', 'expected'), [
    ('sudo', {'password': 'wrong'}, 'wrong-password'),
    ('lect', {'password': 'wrong'}, 'wrong-password'),
    ('sudo', {}, 'password-required'),
    ('plain', {'password': 'pw-ect_plain'}, 'not-allowed'),
    ('nopw', {'username': 'nobody-of-that-name'}, 'no-such-user'),
    ('nopw', {'python': '/no/such/python'}, 'no-python'),
    ('nopw', {'sudo_path': '/no/such/sudo'}, 'not-found'),
])  # fmt: skip
def test_sudo_says_why_not(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, kind: str, options: dict[str, str], expected: str
) -> None:
    via = reach(broker, sshd, accounts[kind])
    fails(via.sudo(**options), expected)
    assert via.call(os.geteuid) == accounts[kind].uid, 'the one that tried goes on'


# -- through others ----------------------------------------------------------


def test_ssh_through_ssh_then_sudo_then_local(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, public_python: Interpreter
) -> None:
    plain, nopw = accounts['plain'], accounts['nopw']
    folder = plain.home / f'client-{os.getpid()}'     # runs may overlap
    folder.mkdir(exist_ok=True)
    os.chown(folder, plain.uid, plain.gid)
    sshd.give_client(folder, plain.uid, plain.gid)
    web = reach(broker, sshd, plain, python=public_python, name='web')
    db = web.ssh('lab-db', username=nopw.name, name='db', ssh_args=['-F', f'{folder}/.ssh/config'])
    root = db.sudo()
    last = root.local(python=public_python)
    assert last.call(facts.version) == public_python.version
    assert [c.call(os.geteuid) for c in (web, db, root, last)] == [plain.uid, nopw.uid, 0, 0]
    assert last.call(facts.identity)[1] == root.pid
    assert last.call(facts.identity)[4] == 'econtext.child.pull'
    for context in (web, db, root, last):
        files = context.call(facts.module_files, 'econtext')
        assert 'econtext.core.router' in files
        assert not any(files.values()), 'sources came from memory'


@matrix
def test_a_child_of_a_child_has_its_parents_python(broker: econtext.Broker, python: Interpreter) -> None:
    child = broker.local(python=python)
    below = child.local()
    assert below.call(facts.version) == python.version
    assert below.call(os.getppid) == child.pid
    assert below.executable == python


def test_a_failure_behind_a_hop_is_told_as_one_in_front(broker: econtext.Broker, python: Interpreter) -> None:
    hop = broker.local(python=python, name='hop')
    error = fails(hop.ssh('no-such-host.invalid', ssh_args=['-F', '/dev/null']), 'no-such-host', 'resolve')
    assert error.lines
    fails(hop.local(python='/no/such/python'), 'no-python')
    assert hop.call(calls.echo, 1) == 1


@matrix
def test_what_is_behind_a_failure_tells_the_cause(
    broker: econtext.Broker, python: Interpreter, failures: Any, tmp_path: pathlib.Path
) -> None:
    hop = broker.local(python=python, name='hop')
    hop.wait_ready(60)
    slow = tmp_path / 'slow'
    os.mkfifo(tmp_path / 'go')
    slow.write_text(f'#!/bin/sh\nread line < {tmp_path}/go\nexit 1\n')     # fails after all have been started
    slow.chmod(0o755)
    bad = hop.local(python=str(slow), name='bad')
    below = bad.local(name='below')
    last = below.local(name='last')
    (tmp_path / 'go').write_text('\n')
    with pytest.raises(econtext.ConnectError) as caught:
        last.call(os.getpid)
    error = caught.value
    assert error.context == 'last'
    assert str(error).startswith('last: bad, by which it is reached, could not be started: the program ended before')
    fails(bad, 'ended')
    fails(below, 'ended', 'bad')
    broker.close()
    assert failures() == [], 'somebody did look'


def test_what_is_behind_a_failure_that_is_known_fails_at_once(broker: econtext.Broker) -> None:
    bad = broker.local(python='/no/such/python', name='bad')
    with pytest.raises(econtext.ConnectError, match='bad'):
        bad.call(os.getpid)
    with pytest.raises(econtext.ConnectError, match='bad'):
        bad.local(name='below')


def test_nothing_is_written_to_the_target(
    broker: econtext.Broker, python: Interpreter, tmp_path: pathlib.Path
) -> None:
    """On a file system that is read-only everywhere, chains and forwarded packages work."""
    require('setpriv')
    script = (
        "sed 's/^[^ ]* [^ ]* [^ ]* [^ ]* \\([^ ]*\\) .*/\\1/' /proc/self/mountinfo | while read m; do "
        'case $m in /proc*|/sys*|/dev*) ;; *) mount -o remount,bind,ro "$m" ;; esac; done 2>/dev/null; '
        'exec "$0" "$@"'
    )
    child = broker.local(python=['unshare', '-m', 'sh', '-c', script, python])
    for context in (child, child.local()):
        for folder in ('/tmp', '/var/tmp', str(tmp_path), os.path.dirname(python)):
            with pytest.raises(OSError, match='Read-only'):
                context.call(os.mkdir, f'{folder}/{tmp_path.name}-{uuid.uuid4()}')
        assert context.call(facts.version) == python.version


# -- why not -----------------------------------------------------------------


@pytest.mark.parametrize(('kind', 'expected'), [('nologin', 'no-login'), ('false', 'no-login'),
                                               ('expired', 'expired-password')])  # fmt: skip
def test_accounts_that_run_nothing(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, kind: str, expected: str
) -> None:
    fails(reach(broker, sshd, accounts[kind]), expected)


def test_keys_of_hosts(broker: econtext.Broker, sshd: Sshd, accounts: Accounts, tmp_path: pathlib.Path) -> None:
    name = accounts['plain'].name
    hosts = tmp_path / 'hosts'
    hosts.touch()
    args = ['-o', f'UserKnownHostsFile={hosts}', *sshd.ssh_args()]
    fails(broker.ssh('lab', username=name, ssh_args=args), 'unknown-host-key', 'known_hosts')
    asking = ['-o', 'StrictHostKeyChecking=ask', *args]
    fails(broker.ssh('lab', username=name, ssh_args=asking), 'unknown-host-key')
    asked: list[str] = []
    fails(broker.ssh('lab', username=name, ssh_args=asking, host_key=asked.append), 'unknown-host-key')
    assert hosts.read_text() == '', 'nobody said yes'
    public = (sshd.directory / 'host.pub').read_text().split()[1]
    assert f'{sshd.fingerprint()}.' in asked[0]
    assert asked[0].endswith('? ')
    with pytest.raises(TypeError, match='host_key= must be a function'):
        broker.ssh('lab', username=name, ssh_args=asking, host_key='yes')  # type: ignore[arg-type]
    trusted = broker.ssh('lab', username=name, ssh_args=asking, host_key=lambda question: sshd.fingerprint())
    trusted.call(os.getpid)
    assert public in hosts.read_text()
    make_key(tmp_path / 'other')
    kind, key = (tmp_path / 'other.pub').read_text().split()[:2]
    hosts.write_text(f'[{sshd.address}]:{sshd.port} {kind} {key}\n')
    fails(broker.ssh('lab', username=name, ssh_args=args), 'changed-host-key', 'ssh-keygen -R')


def test_refused_key_and_password(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, tmp_path: pathlib.Path
) -> None:
    make_key(tmp_path / 'stranger')
    config = tmp_path / 'config'
    config.write_text(sshd.config.read_text().replace(str(sshd.key), str(tmp_path / 'stranger')))
    name = accounts['plain'].name
    only_keys = ['-F', str(config), '-o', 'PasswordAuthentication=no']
    fails(broker.ssh('lab', username=name, ssh_args=only_keys), 'refused-key', 'authorized_keys')
    by_password = [*sshd.ssh_args(), '-o', 'PubkeyAuthentication=no']
    fails(broker.ssh('lab', username=name, ssh_args=by_password), 'password-required', 'password=')
    fails(broker.ssh('lab', username=name, ssh_args=by_password, password='wrong'), 'wrong-password')


def test_nobody_there(broker: econtext.Broker, sshd: Sshd) -> None:
    plain = ['-F', '/dev/null']
    fails(broker.ssh('no-such-host.invalid', ssh_args=plain), 'no-such-host', 'no-such-host.invalid')
    with reserved_port() as port:
        fails(broker.ssh('127.0.0.1', port=port, ssh_args=plain), 'connection-refused', 'port=')
    fails(broker.ssh('lab', ssh_path='/no/such/ssh'), 'not-found', 'ssh_path=')
    fails(broker.local(python='/no/such/python'), 'no-python', 'python=')
    fails(broker.local(python='/bin/false'), 'ended')
    fails(broker.ssh('lab', python='/no/such/python', ssh_args=sshd.ssh_args()), 'no-python')


def test_the_command_of_a_program_that_ended_is_shown(broker: econtext.Broker, tmp_path: pathlib.Path) -> None:
    odd = tmp_path / "it's odd"
    odd.write_text('#!/bin/sh\nexit 3\n')
    odd.chmod(0o755)
    shell = shlex.quote(str(odd))
    error = fails(broker.local(python=str(odd)), 'ended', f'The command:\n    {shell} -Ec …')
    assert error.command == f'{shell} -Ec …'
    assert pickle.loads(pickle.dumps(error)).command == error.command
    assert subprocess.run(['sh', '-c', error.command], check=False).returncode == 3, 'it is the same by hand'
    hop = broker.local(name='hop').wait_ready(60)
    through = fails(hop.sudo(sudo_path=str(odd)), 'ended')
    before = f"{shell} -H -u root -p 'econtext password: ' -- sh -c 'for p in {hop.executable} "
    assert through.command.startswith(before)
    assert through.command.endswith("exit 127' …")
    below = hop.local(python=str(odd)).local()
    with pytest.raises(econtext.ConnectError) as caught:
        below.wait_ready(60)
    assert caught.value.command == f'{shell} -Ec …'
    assert fails(broker.local(python='/no/such/python'), 'no-python').command == ''


def test_the_command_is_logged(broker: econtext.Broker, caplog: pytest.LogCaptureFixture) -> None:
    hop = broker.local(name='quiet').wait_ready(60)
    with caplog.at_level(logging.DEBUG, 'econtext.ctx'):
        broker.local(name='here', nice=1, cwd='/').wait_ready(60)
        hop.local(name='there').wait_ready(60)
    hop.fork(name='copy').wait_ready(60)
    said = {record.name: record.getMessage() for record in caplog.records if 'started by' in record.getMessage()}
    assert said == {
        'econtext.ctx.here': f"= started by: {shlex.quote(sys.executable)} -Ec … … '' '' / 1 ''",
        'econtext.ctx.there': f'= started by: {shlex.quote(hop.executable)} -Ec …',
    }


def test_a_host_that_does_not_answer(broker: econtext.Broker) -> None:
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        silent.listen()
        port = silent.getsockname()[1]
        patient = broker.ssh('127.0.0.1', port=port, ssh_args=['-F', '/dev/null'], connect_timeout=600)
        with pytest.raises(econtext.CallTimeout):
            patient.wait_ready(timeout=0.05)    # it has returned at once
        patient.close()
        start = time.monotonic()
        child = broker.ssh('127.0.0.1', port=port, ssh_args=['-F', '/dev/null'], connect_timeout=3)
        fails(child, 'timeout', 'connect_timeout=')
        assert 3 <= time.monotonic() - start < SOON


@matrix
def test_failures_leave_nothing_while_the_broker_lives(broker: econtext.Broker) -> None:
    good = broker.local().wait_ready()
    before = leaks.Snapshot.take()
    for _ in range(5):
        with pytest.raises(econtext.ConnectError):
            broker.local(python='/no/such/python').call(os.getpid)
        with pytest.raises(econtext.ConnectError):
            broker.local(python='/bin/false').call(os.getpid)
        with pytest.raises(econtext.ConnectError):
            good.local(python='/bin/false').call(os.getpid)
    # What the last one had may be there still: a few descriptors, fewer than one for each that follows.
    held = good.call(facts.descriptors)
    for _ in range(10):
        with pytest.raises(econtext.ConnectError):
            good.local(python='/bin/false').call(os.getpid)
    eventually(lambda: len(good.call(facts.descriptors)) <= len(held))
    assert before.settle() == []


@pytest.mark.parametrize('options', [
    {'hostname': '-oProxyCommand=true'}, {'hostname': ''}, {'hostname': 'a', 'username': '-x'},
    {'hostname': 'a', 'port': 0}, {'hostname': 'a', 'port': 'x'}, {'hostname': 'a', 'connect_timeout': 0},
    {'hostname': 'a', 'name': 'a\nb'}, {'hostname': 'a\0b'},
])  # fmt: skip
def test_options_that_make_no_sense_are_refused_at_once(broker: econtext.Broker, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r'.'):
        broker.ssh(**options)


def test_ssh_args_that_are_no_list_are_refused(broker: econtext.Broker) -> None:
    with pytest.raises(TypeError, match='ssh_args= must be a list'):
        broker.ssh('a', ssh_args='-v -F x')
    with pytest.raises(TypeError):
        broker.ssh('a', nonsense=1)


# -- pinned ------------------------------------------------------------------


@matrix
def test_a_failure_that_nobody_looked_at_is_logged(failures: Any) -> None:
    with econtext.Broker() as broker:
        unseen = broker.local(python='/no/such/python', name='unseen')
        seen = broker.local(python='/no/such/python', name='seen')
        with pytest.raises(econtext.ConnectError):
            seen.call(os.getpid)
        eventually(lambda: 'lost' in repr(unseen))
        assert failures() == []
    assert len(failures()) == 1
    assert 'unseen: ' in failures()[0]


def test_names_of_loggers_and_contexts(broker: econtext.Broker, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        broker.local(name='my place').call(os.system, 'echo hello')
    assert ('econtext.ctx.my place', logging.INFO, 'stdout: hello') in caplog.record_tuples


def test_standard_input_is_at_its_end(broker: econtext.Broker, python: Interpreter) -> None:
    assert tuple(broker.local(python=python).call(facts.read_input)) == ('', '')


def test_environment_of_local(broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ECT_GONE', '1')
    child = broker.local(env={'ECT_NEW': 'ä', 'ECT_GONE': None})
    assert child.call(os.getenv, 'ECT_NEW') == 'ä'
    assert child.call(os.getenv, 'ECT_GONE') is None


def test_the_context_ends_with_its_block(broker: econtext.Broker) -> None:
    with broker.local() as child:
        pid = child.call(os.getpid)
    assert not leaks.alive(pid)
    with pytest.raises(econtext.ContextLost):
        child.call(os.getpid)



def test_a_first_step_that_fails_is_told_at_once(broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    plainest = values.plainest

    def misspelt(value: Any) -> bytes:
        return plainest((*value[:3], {'no_such': 1}) if value[1] == 'settle' else value)

    monkeypatch.setattr(values, 'plainest', misspelt)
    child = broker.local(connect_timeout=1000)
    with pytest.raises(econtext.ConnectError, match='no_such'):
        child.wait_ready(60)


SETTINGS = 'argv level title parent heartbeat gil_limit threads window'.split()
# What makes one step of furnishing a context fail: a setting, and the last words of the cause.
BROKEN = {
    'gil_limit': ('never', 'Error'),  # the watch is made
    'heartbeat': ('often', 'TypeError'),  # the watch begins, and the link is owned by then
    'threads': (1j, 'TypeError'),  # the supervisor takes over
    'early': (None, 'ValueError'),  # frames that came early are handled
    'argv': (7, 'TypeError'),  # before all that
}


@pytest.mark.parametrize('version', ['2.7', '3.6', '3.13'])
@pytest.mark.parametrize('step', BROKEN)
@pytest.mark.parametrize('hops', [0, 1])
def test_whatever_fails_before_a_context_is_there_is_told_with_its_cause(
    broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch, hops: int, step: str, version: str
) -> None:
    above: econtext.Broker | econtext.Context = broker
    if hops:
        above = broker.local().wait_ready()
    plainest = values.plainest
    value, cause = BROKEN[step]

    def broken(call: Any) -> bytes:
        if call[1] == 'settle' and step == 'early':
            broker._tree.router.send(ROUTE, broker._tree.last_number, 1, b'no number')
        elif call[1] == 'settle':
            module, name, args, kwargs = call
            args = tuple(value if name == step else arg for name, arg in zip(SETTINGS, args, strict=True))
            call = module, name, args, kwargs
        return plainest(call)

    monkeypatch.setattr(values, 'plainest', broken)
    error = fails(above.local(python=pythons.interpreter(version), connect_timeout=1000), 'ended', 'Traceback', cause)
    assert 'furnish' in str(error)


# -- One trip -----------------------------------------------------------------


@pytest.mark.parametrize('version', ['2.7', '3.6', '3.11', '3.13'])
def test_one_trip(broker: econtext.Broker, sshd: Sshd, accounts: Accounts, version: str) -> None:
    python = pythons.public_python(version)
    child = broker.ssh(
        'lab', ssh_args=sshd.ssh_args(accounts['plain'].name), python=python, one_trip=True, name='at-once'
    )
    assert 'starting' in repr(child)
    assert child.call(calls.echo, {'a': [1, 'ä']}) == {'a': [1, 'ä']}
    assert child.local().call(calls.echo, 2) == 2


def test_one_trip_finds_the_interpreter_through_every_login_shell(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts
) -> None:
    for kind in ('dash', 'tcsh', 'fish', 'zsh', 'noisy'):
        child = broker.ssh('lab', ssh_args=sshd.ssh_args(accounts[kind].name), one_trip=True, name=kind)
        assert child.submit(calls.echo, kind).result(60) == kind


def test_one_trip_holds_all_that_the_first_call_needs(
    broker: econtext.Broker, tmp_path: pathlib.Path
) -> None:
    """The command line alone, with nothing on standard input, gives the result."""
    record, fake = tmp_path / 'stdin', tmp_path / 'ssh'
    # It starts the command with an input that never brings a byte.
    fake.write_text(
        '#!/bin/sh\n'
        'for command; do :; done\n'
        f'(cat > {record}) <&0 &\n'
        'sleep 600 | sh -c "$command"\n'
    )
    fake.chmod(0o755)
    child = broker.ssh('foo', ssh_path=str(fake), python=sys.executable, one_trip=True)
    assert child.call(calls.echo, 'from the command line') == 'from the command line'
    eventually(record.exists)  # cat, beside it, may be the last to begin
    assert record.read_bytes() == b''


def test_one_trip_that_is_never_used_starts_nothing(broker: econtext.Broker, tmp_path: pathlib.Path) -> None:
    fake = tmp_path / 'ssh'
    fake.write_text(f'#!/bin/sh\ntouch {tmp_path}/started\n')
    fake.chmod(0o755)
    broker.ssh('foo', ssh_path=str(fake), one_trip=True)
    broker.close()
    assert not (tmp_path / 'started').exists()


def test_one_trip_that_fails_is_told(broker: econtext.Broker, sshd: Sshd, accounts: Accounts) -> None:
    child = broker.ssh('lab', ssh_args=sshd.ssh_args(accounts['nologin'].name), one_trip=True)
    with pytest.raises(econtext.ConnectError) as caught:
        child.wait_ready(60)
    assert caught.value.kind == 'no-login'
