"""The laboratory itself: what other tests stand on."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import lab
from lab import eventually, leaks, pythons, require
from lab.accounts import KINDS, RULES_FILE, Accounts, home_of
from lab.leaks import Snapshot
from lab.pythons import Interpreter
from lab.sshd import Sshd, make_key

ME = pwd.getpwuid(os.geteuid()).pw_name


def ssh(sshd: Sshd, user: str, command: str, *options: str) -> subprocess.CompletedProcess[str]:
    argv = ['ssh', *sshd.ssh_args(user), '-o', 'BatchMode=yes', *options, sshd.address, command]
    return subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)


# -- accounts over ssh -------------------------------------------------------


@pytest.mark.parametrize('kind', ['plain', 'dash', 'tcsh', 'csh', 'fish', 'zsh'])
def test_one_key_opens_accounts_of_every_shell(sshd: Sshd, accounts: Accounts, kind: str) -> None:
    done = ssh(sshd, accounts[kind].name, 'id -un')
    assert (done.returncode, done.stdout, done.stderr) == (0, accounts[kind].name + '\n', '')


def test_the_account_of_the_tests_comes_in_too(sshd: Sshd) -> None:
    assert ssh(sshd, ME, 'exec id -u').stdout.splitlines()[-1] == str(os.geteuid())


def test_noisy_account_writes_on_both_outputs(sshd: Sshd, accounts: Accounts) -> None:
    done = ssh(sshd, accounts['noisy'].name, 'echo here')
    assert (done.stdout, done.stderr) == ('BANNER stdout\nhere\n', 'BANNER stderr\n')


@pytest.mark.parametrize(('kind', 'word'), [('nologin', 'not available'), ('false', '')])
def test_accounts_that_refuse(sshd: Sshd, accounts: Accounts, kind: str, word: str) -> None:
    done = ssh(sshd, accounts[kind].name, 'echo here')
    assert done.returncode == 1
    assert word in done.stdout
    assert 'here' not in done.stdout


def test_expired_account_must_change_its_password(sshd: Sshd, accounts: Accounts) -> None:
    done = ssh(sshd, accounts['expired'].name, 'echo here')
    assert done.returncode == 1
    assert 'expired' in done.stderr


def test_unknown_key_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    make_key(tmp_path / 'stranger')
    config = tmp_path / 'config'
    config.write_text(sshd.config.read_text().replace(str(sshd.key), str(tmp_path / 'stranger')))
    done = ssh(sshd, ME, 'true', '-F', str(config))
    assert done.returncode == 255
    assert 'Permission denied (publickey' in done.stderr


def test_an_account_can_hop_back(sshd: Sshd, accounts: Accounts) -> None:
    plain = accounts['plain']
    with home_of(plain) as home:
        sshd.give_client(home, plain.uid, plain.gid)
        done = ssh(sshd, plain.name, 'ssh -o BatchMode=yes lab-two id -un')
    assert (done.stdout, done.stderr) == (plain.name + '\n', '')


def test_password_opens_the_account(sshd: Sshd, accounts: Accounts, tmp_path: Path) -> None:
    ask = tmp_path / 'ask'
    ask.write_text(f'#!/bin/sh\necho {accounts["plain"].password}\n')
    ask.chmod(0o700)
    done = subprocess.run(
        ['ssh', *sshd.ssh_args(accounts['plain'].name), '-o', 'PubkeyAuthentication=no', sshd.address, 'echo in'],
        env={**os.environ, 'SSH_ASKPASS': str(ask), 'SSH_ASKPASS_REQUIRE': 'force'},
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    assert done.stdout == 'in\n', done.stderr


# -- a server's life ---------------------------------------------------------


def test_two_servers_have_ports_and_keys_of_their_own(sshd: Sshd, tmp_path: Path) -> None:
    with Sshd(tmp_path / 'other') as other:
        assert other.port != sshd.port
        stranger = ssh(other, ME, 'true', '-o', f'UserKnownHostsFile={sshd.known_hosts}')
        assert stranger.returncode == 255
        assert 'Host key verification failed' in stranger.stderr


def test_cut_breaks_connections_and_the_server_goes_on(sshd: Sshd, accounts: Accounts) -> None:
    argv = ['ssh', *sshd.ssh_args(accounts['plain'].name), sshd.address, 'echo up; exec cat']
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b'up\n'
        sshd.cut()
        assert client.wait(60) == 255
    assert ssh(sshd, accounts['plain'].name, 'echo again').stdout == 'again\n'


def test_stop_ends_sessions_and_start_takes_the_same_port(tmp_path: Path) -> None:
    server = Sshd(tmp_path / 'own')
    with server:
        argv = ['ssh', '-n', *server.ssh_args(ME), server.address, 'echo up; exec sleep 1000']
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
            assert client.stdout is not None
            assert client.stdout.readline().endswith(b'\n')
            port = server.port
            server.stop()
            assert client.wait(60) == 255
        server.start()
        assert server.port == port
        assert ssh(server, ME, 'exec true').returncode == 0


def test_a_port_in_use_is_an_error_with_the_servers_words(sshd: Sshd, tmp_path: Path) -> None:
    second = Sshd(tmp_path / 'second')
    second.port = sshd.port
    with pytest.raises(RuntimeError, match='Address already in use'):
        second.start()


def test_a_plain_account_can_have_a_server_for_itself(accounts: Accounts, repository: Path) -> None:
    require('sshd')
    plain = accounts['plain']
    script = plain.home / 'private_sshd.py'  # the source tree may be closed to other accounts
    script.write_bytes((repository / 'scripts' / 'private_sshd.py').read_bytes())
    shutil.copytree(repository / 'tests' / 'lab', plain.home / 'lab', dirs_exist_ok=True)
    done = plain.run(pythons.public_python('3.11'), str(script), 'sh', '-c', 'ssh "$@" id -un', 'ssh')
    assert (done.stdout.splitlines()[-1:], done.stderr) == (['ect_plain'], '')


# -- sudo --------------------------------------------------------------------


@pytest.mark.parametrize(('kind', 'password'), [('sudo', 'pw-ect_sudo'), ('lect', 'pw-ect_lect'), ('nopw', '')])
def test_sudo_takes_the_password(accounts: Accounts, kind: str, password: str) -> None:
    done = accounts[kind].run('sudo', '-S', '-p', '', 'id', '-un', input=password + '\n')
    assert (done.returncode, done.stdout) == (0, 'root\n')


def test_sudo_asks_each_time(accounts: Accounts) -> None:
    assert accounts['sudo'].run('sudo', '-S', '-p', '', 'true', input='pw-ect_sudo\n').returncode == 0
    done = accounts['sudo'].run('sudo', '-n', 'true')
    assert (done.returncode, done.stderr) == (1, 'sudo: a password is required\n')


def test_sudo_refuses_a_wrong_password(accounts: Accounts) -> None:
    done = accounts['sudo'].run('sudo', '-S', '-p', '', 'true', input='wrong\n')
    assert done.returncode == 1


def test_sudo_of_targetpw_wants_the_targets(accounts: Accounts) -> None:
    target = accounts['target']
    done = accounts['rootpw'].run('sudo', '-S', '-p', '', '-u', target.name, 'id', '-un', input=target.password + '\n')
    assert done.stdout == target.name + '\n'


def test_sudo_of_requiretty_wants_a_terminal(accounts: Accounts) -> None:
    done = accounts['tty'].run('sudo', 'true', start_new_session=True)
    assert done.returncode == 1
    assert 'must have a tty' in done.stderr


def test_plain_account_may_not_sudo(accounts: Accounts) -> None:
    done = accounts['plain'].run('sudo', '-S', '-p', '', 'true', input='pw-ect_plain\n')
    assert done.returncode == 1


def test_overlapping_runs_share_the_accounts(accounts: Accounts) -> None:
    with Accounts() as others:
        assert dict(others) == dict(accounts)
    assert set(accounts) <= set(KINDS)
    assert RULES_FILE.exists()
    assert accounts['plain'].run('id', '-un').stdout == 'ect_plain\n'


# In a namespace: dies at the `when`th file that PROGRAM replaces, then has the accounts made and removed.
DYING = """
import pathlib, subprocess, sys
program, when, *options = sys.argv[1:]
from lab import accounts
accounts.KINDS = {kind: accounts.KINDS[kind] for kind in ('plain', 'expired')}
if program == 'userdel':
    subprocess.run(['useradd', '-m', 'ect_plain'], check=True)
inject = 'inject=rename:signal=KILL:when=' + when
died = subprocess.run(['strace', '-qq', '-o', '/dev/null', '-e', 'trace=rename', '-e', inject, program, *options,
                       'ect_plain'], capture_output=True)
with accounts.Accounts() as made:
    print(made['plain'].run('sh', '-c', 'id -un; id -gn; ls -ld . | cut -d" " -f3').stdout.split())
    print(subprocess.run(['getent', 'shadow', 'ect_plain'], capture_output=True, text=True).stdout[:11])
print([str(table) for table in accounts.TABLES if 'ect_' in table.read_text()], list(pathlib.Path('/home').iterdir()))
sys.exit(died.returncode == -9)
"""
NAMESPACE = """
d=$1; shift; mkdir "$d/up" "$d/work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$d/up,workdir=$d/work" /etc
for folder in /home /var/mail /run; do mount -t tmpfs tmpfs $folder; done
mkdir /run/lock
cd /etc; rm -f passwd.lock shadow.lock group.lock gshadow.lock subuid.lock subgid.lock
sed -i /^ect_/d passwd shadow group gshadow subuid subgid    # of tests that run beside
exec "$@"
"""


@pytest.mark.parametrize('program', ['useradd', 'userdel'])
def test_accounts_that_a_killed_run_left_half_made_are_made_anew(program: str, tmp_path: Path) -> None:
    require('accounts', 'unshare', 'sudo')
    enter = ['unshare', '-m', '-p', '--fork', '--mount-proc', '--propagation', 'private', 'sh', '-euc', NAMESPACE, 'sh']
    options = ['-m'] if program == 'useradd' else ['-r', '-f']
    environment = {**os.environ, 'PYTHONPATH': str(Path(lab.__file__).parent.parent)}
    for when in range(1, 20):
        folder = tmp_path / str(when)
        folder.mkdir()
        # The tables are kept in memory: programs of accounts write each of them to the disk, many times.
        subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', folder], check=True)
        try:
            done = subprocess.run(
                [*enter, folder, sys.executable, '-c', DYING, program, str(when), *options],
                capture_output=True, text=True, timeout=120, env=environment,
            )  # fmt: skip
        finally:
            subprocess.run(['umount', folder], check=True)
        assert done.stdout.splitlines() == [
            "['ect_plain', 'ect_plain', 'ect_plain']", 'ect_plain:$', '[] []',
        ], (when, done.stdout, done.stderr)
        if done.returncode == 0:
            break       # it came to its end
        assert done.returncode == 1, done.stderr
    assert when > 3


# -- interpreters ------------------------------------------------------------


@pytest.mark.every_python
def test_interpreter_is_of_its_version_and_no_shim(python: Interpreter) -> None:
    done = subprocess.run(
        [python, '-c', 'import sys; print("%d.%d" % sys.version_info[:2]); print(sys.executable)'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [python.number, python]


@pytest.mark.every_python
def test_other_accounts_can_run_the_public_one(public_python: Interpreter, accounts: Accounts) -> None:
    code = 'import sys, zlib, struct, select; print("%d.%d" % sys.version_info[:2])'
    done = accounts['plain'].run(public_python, '-c', code)
    assert (done.stdout, done.stderr) == (public_python.number + '\n', '')


# -- leaks -------------------------------------------------------------------


@pytest.mark.controller_matrix
def test_leaked_descriptor_is_named() -> None:
    before = Snapshot.take()
    descriptor = os.open('/dev/null', os.O_RDONLY)
    assert before.settle(0) == [f'descriptor {descriptor} -> /dev/null']
    os.close(descriptor)
    assert before.settle() == []


@pytest.mark.controller_matrix
def test_leaked_thread_is_named() -> None:
    before = Snapshot.take()
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name='left-over')
    thread.start()
    assert before.settle(0) == [f'thread left-over (tid {thread.native_id})']
    release.set()
    thread.join()
    assert before.settle() == []


@pytest.mark.controller_matrix
def test_leaked_process_is_named_and_ended() -> None:
    before = Snapshot.take()
    child = subprocess.Popen(['sleep', '1000'])
    found = before.settle(0)
    assert len(found) == 1
    assert f'process {child.pid} ' in found[0]
    before.end_leaked()
    assert before.settle() == []
    child.wait()


@pytest.mark.controller_matrix
def test_own_zombie_is_a_leak() -> None:
    before = Snapshot.take()
    child = subprocess.Popen(['true'])
    eventually(lambda: not leaks.alive(child.pid))
    assert before.settle(0) == [f'process {child.pid} was started here and never waited for: [true]']
    child.wait()
    assert before.settle() == []


@pytest.mark.controller_matrix
def test_adopted_zombie_is_reaped() -> None:
    before = Snapshot.take()
    code = 'import os; print(os.fork() or os._exit(0) or 0, flush=True)'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert before.settle() == []
    assert leaks.process(int(done.stdout)) is None


@pytest.mark.controller_matrix
def test_orphan_that_runs_is_a_leak() -> None:
    before = Snapshot.take()
    argv = ['sh', '-c', 'sleep 1000 >/dev/null 2>&1 & echo $!']
    pid = int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    found = before.settle(0.05)
    assert len(found) == 1
    assert found[0].startswith(f'process {pid} (S, child of {os.getpid()}): sleep')
    before.end_leaked()
    assert before.settle() == []


def test_eventually_says_what_did_not_happen() -> None:
    with pytest.raises(AssertionError, match='the moon is green'):
        eventually(lambda: False, 0.01, 'the moon is green')


def test_component_that_is_at_hand() -> None:
    require('ssh')


def test_component_that_is_missing_is_a_skip_and_in_ci_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(lab.COMPONENTS, 'unicorn', (('unicorn-1',), False))
    monkeypatch.setattr(lab, 'IN_CI', False)
    with pytest.raises(pytest.skip.Exception, match='not installed: unicorn-1'):
        require('unicorn')
    monkeypatch.setattr(lab, 'IN_CI', True)
    with pytest.raises(pytest.fail.Exception, match='not installed: unicorn-1'):
        require('unicorn')


# -- the fixtures of every test ----------------------------------------------


def outcome(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    """Run a test file of its own under the project's conftest."""
    file = folder / 'test_inner.py'
    file.write_text('import os, subprocess, time, pytest, conftest\n' + source)
    argv = [sys.executable, '-m', 'pytest', '-q', '-p', 'conftest', '-p', 'no:cacheprovider', '--rootdir', str(folder)]
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(Path(lab.__file__).parent.parent), *sys.path])}
    return subprocess.run(
        [*argv, str(file)], capture_output=True, text=True, cwd=folder, env=environment, timeout=60,
    )  # fmt: skip


def test_a_test_that_leaks_is_an_error_and_the_next_one_is_not(tmp_path: Path) -> None:
    done = outcome(tmp_path, (
        'conftest.SETTLE = 0.1\n'
        "def test_leak():\n    subprocess.Popen(['sleep', '1000'])\n"
        'def test_next():\n    pass\n'
        "@pytest.mark.leaks_allowed('on purpose')\n"
        "def test_allowed():\n    os.open('/dev/null', os.O_RDONLY)\n"
    ))  # fmt: skip
    assert '3 passed, 1 error' in done.stdout
    assert 'child of' in done.stdout
    assert 'sleep 1000' in done.stdout


def test_a_test_over_its_deadline_fails_with_stacks_and_the_next_one_runs(tmp_path: Path) -> None:
    done = outcome(tmp_path, (
        '@pytest.mark.deadline(2)\n'
        'def test_long():\n    time.sleep(1000)\n'
        'def test_next():\n    pass\n'
    ))  # fmt: skip
    assert '1 failed, 1 passed' in done.stdout
    assert 'over its deadline of 2.0 s' in done.stdout
    assert 'in test_long' in done.stderr


def test_a_test_that_python_cannot_stop_is_killed_with_its_stack(tmp_path: Path) -> None:
    done = outcome(tmp_path, (
        'conftest.GRACE = 3\n'
        'import signal\n'
        '@pytest.mark.deadline(0.1)\n'
        'def test_stuck():\n    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})\n    time.sleep(1000)\n'
    ))  # fmt: skip
    assert done.returncode == 1
    assert 'Timeout' in done.stderr
    assert 'in test_stuck' in done.stderr
