"""ssh against the real thing: OpenSSH of two ages, dropbear, and every way to prove who one is."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import arrival
import pytest

import econtext
from lab import eventually, leaks, need, otp, reach, require, sid
from lab.accounts import Account, Accounts
from lab.sshd import Sshd, reserved_port

NO_KEYS = ['-o', 'PubkeyAuthentication=no']


def works(context: econtext.Context, account: Any) -> None:
    assert context.call(os.geteuid) == account.uid
    assert context.call(arrival.echo, b'\0\xff' * 150_000) == b'\0\xff' * 150_000


def fails(context: econtext.Context, kind: str) -> econtext.ConnectError:
    with pytest.raises(econtext.ConnectError) as caught:
        context.wait_ready(60)
    assert caught.value.kind == kind, str(caught.value)
    return caught.value


def version(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r'(OpenSSH_|Dropbear v)[\w.]+', done.stdout + done.stderr)
    assert found, done
    return found[0].replace('_', ' ').replace(' v', ' ')


@pytest.fixture
def keyless(sshd: Sshd, tmp_path: Path) -> list[str]:
    """What leads ssh to the server without a key."""
    config = tmp_path / 'keyless'
    config.write_text(re.sub('.*Identit.*\n', '', sshd.config.read_text()))
    return ['-F', str(config)]


# -- Who one is ---------------------------------------------------------------


def test_a_key_in_an_agent(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, keyless: list[str], tmp_path: Path
) -> None:
    require('ssh')
    agent = tmp_path / 'agent'
    with subprocess.Popen([need('ssh-agent'), '-D', '-a', str(agent)], stdout=subprocess.DEVNULL) as process:
        try:
            eventually(agent.exists)
            subprocess.run([need('ssh-add'), '-q', str(sshd.key)], check=True,
                           env={**os.environ, 'SSH_AUTH_SOCK': str(agent)})  # fmt: skip
            args = ['-o', f'IdentityAgent={agent}', *keyless]
            context = broker.ssh('lab', username=accounts['plain'].name, ssh_args=args)
            works(context, accounts['plain'])
            context.close()
        finally:
            process.terminate()
    reach.record('connector', 'ssh', f'{version(need("ssh"), "-V")}: key, agent, passphrase, password')


def test_a_key_with_a_passphrase(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, keyless: list[str], tmp_path: Path
) -> None:
    key = tmp_path / 'locked'
    shutil.copy(sshd.key, key)
    subprocess.run([need('ssh-keygen'), '-q', '-p', '-P', '', '-N', 'pp lab', '-f', str(key)], check=True)
    options: dict[str, Any] = {'username': accounts['plain'].name, 'ssh_args': keyless, 'identity_file': key}
    asked: list[str] = []

    def passphrase(question: str) -> str:
        asked.append(question)
        return 'pp lab'

    works(broker.ssh('lab', passphrase='pp lab', **options), accounts['plain'])
    works(broker.ssh('lab', passphrase=passphrase, **options), accounts['plain'])
    assert asked == [f"Enter passphrase for key '{key}': "]
    fails(broker.ssh('lab', passphrase='wrong', **options), 'wrong-password')
    assert 'ssh-add' in fails(broker.ssh('lab', **options), 'passphrase-required').remedy


# -- A second factor, and a password that must be changed -------------------------

@pytest.fixture
def interactive(tmp_path: Path) -> Iterator[Callable[[str, int], Sshd]]:
    """Start a server that asks a user by keyboard-interactive for one factor or two."""
    require('sshd')
    with contextlib.ExitStack() as stack:

        def start(user: str, factors: int) -> Sshd:
            stack.enter_context(otp.service('econtext-tests', user, factors))
            program = tmp_path / 'econtext-tests'      # by this name PAM knows it
            program.symlink_to(need('sshd'))
            options = ['KbdInteractiveAuthentication yes', 'PasswordAuthentication no']
            return stack.enter_context(Sshd(tmp_path / 'sshd', options, program=str(program)))

        yield start


def test_a_second_factor(
    broker: econtext.Broker, accounts: Accounts, interactive: Callable[[str, int], Sshd]
) -> None:
    plain = accounts['plain']
    server = interactive(plain.name, 2)
    args = [*server.ssh_args(plain.name), *NO_KEYS]
    asked: list[str] = []

    def second(question: str) -> str:
        asked.append(question)
        return otp.code()

    works(broker.ssh('lab', ssh_args=args, password=plain.password, answers=second), plain)
    assert asked == [f'({plain.name}@127.0.0.1) Verification code: ']

    def both(question: str) -> str:
        return plain.password if 'password' in question.lower() else second(question)

    works(broker.ssh('lab', ssh_args=args, answers=both), plain)
    table = {'password': plain.password, 'verification CODE': second}
    works(broker.ssh('lab', ssh_args=args, answers=table), plain)
    hop = broker.local(name='hop')
    works(hop.ssh('lab', ssh_args=args, password=plain.password, answers=second), plain)
    fails(broker.ssh('lab', ssh_args=args, password=plain.password, answers=lambda question: '000000'),
          'wrong-password')  # fmt: skip
    error = fails(broker.ssh('lab', ssh_args=args, password=plain.password), 'answer-required')
    assert 'answers=' in error.remedy
    assert 'Verification code' in error.lines
    fails(broker.ssh('lab', ssh_args=args, password=plain.password, answers={'colour': 'blue'}), 'answer-required')
    reach.record('connector', 'ssh', 'keyboard-interactive with a second factor (pam_google_authenticator)')


def test_a_password_that_must_be_changed_can_be(
    broker: econtext.Broker, accounts: Accounts, interactive: Callable[[str, int], Sshd]
) -> None:
    renew = accounts['renew']
    server = interactive(renew.name, 1)
    subprocess.run([need('chpasswd')], input=f'{renew.name}:{renew.password}\n', text=True, check=True)
    subprocess.run([need('chage'), '-d', '0', renew.name], check=True)
    args = [*server.ssh_args(renew.name), *NO_KEYS]
    new = 'Aequ1nox-Lant3rn'
    error = fails(broker.ssh('lab', ssh_args=args, password=renew.password), 'expired-password')
    assert 'required to change your password' in error.lines
    table = {'current password': renew.password, 'new password': new}
    works(broker.ssh('lab', ssh_args=args, password=renew.password, answers=table), renew)
    works(broker.ssh('lab', ssh_args=args, password=new), renew)
    reach.record('connector', 'ssh', 'expired password, refused or changed on the way')


# -- The user's configuration ----------------------------------------------------


def accepted(sshd: Sshd) -> int:
    return sshd.log.read_text().count('Accepted publickey')


def test_through_a_jump_host(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, tmp_path: Path
) -> None:
    config = tmp_path / 'config'
    bastion, inner = accounts['dash'], accounts['plain']
    jump = f'Host behind\n  HostName 127.0.0.1\n  ProxyJump {bastion.name}@lab\n  User {inner.name}\n'
    config.write_text(jump + sshd.config.read_text())
    before = accepted(sshd)
    works(broker.ssh('behind', ssh_args=['-F', str(config)]), inner)
    assert accepted(sshd) - before == 2, 'by the other host'
    # Both ask, and each gets its own.
    asked: list[str] = []

    def password(question: str) -> str:
        asked.append(question)
        return bastion.password if bastion.name in question else inner.password

    config.write_text(jump + sshd.config.read_text() + '  PubkeyAuthentication no\n')
    works(broker.ssh('behind', ssh_args=['-F', str(config)], password=password), inner)
    assert [bastion.name in question for question in asked] == [True, False]
    reach.record('connector', 'ssh', 'ProxyJump, with keys and with two passwords')


@pytest.fixture
def sharing(sshd: Sshd, tmp_path: Path) -> list[str]:
    """What leads ssh to the server over a connection that is shared, as the user's configuration has it."""
    config = tmp_path / 'sharing'
    config.write_text(f'ControlMaster auto\nControlPersist 60\nControlPath {tmp_path}/m\n' + sshd.config.read_text())
    return ['-F', str(config)]


def test_a_shared_connection_is_used(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, sharing: list[str], tmp_path: Path
) -> None:
    plain = accounts['plain']
    argv = [need('ssh'), '-oControlMaster=yes', '-oControlPersist=no', *sharing, '-l', plain.name, '-N', 'lab']
    before = accepted(sshd)
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as master:
        try:
            eventually((tmp_path / 'm').exists)
            # The server writes so once the client knows.
            eventually(lambda: accepted(sshd) > before)
            before = accepted(sshd)
            contexts = [broker.ssh('lab', username=plain.name, ssh_args=sharing, name=f'c{i}') for i in range(3)]
            for context in contexts:
                works(context, plain)
            pid = contexts[0].pid
            contexts[0].close()
            eventually(lambda: not leaks.alive(pid))
            assert accepted(sshd) == before, 'no login of ours'
            assert master.poll() is None, 'it is the user who ends it'
            works(contexts[1], plain)
        finally:
            master.terminate()
            master.wait(60)
        for context in contexts[1:]:
            with pytest.raises(econtext.ContextLost):
                context.call(time.sleep, 30)
    reach.record('connector', 'ssh', 'the connection of a ControlMaster')


def test_our_connection_is_not_shared(
    broker: econtext.Broker, accounts: Accounts, sharing: list[str], tmp_path: Path
) -> None:
    """For a master would have to outlive its own context: ControlPersist says so."""
    before = leaks.Snapshot.take()
    context = broker.ssh('lab', username=accounts['plain'].name, ssh_args=sharing)
    works(context, accounts['plain'])
    assert not (tmp_path / 'm').exists()
    context.close()
    assert before.settle() == []


@pytest.mark.parametrize('way', [
    ['-o', 'ControlMaster=auto'], ['-oControlMaster=yes'], ['-o', 'controlmaster auto'],
    ['-4To', 'ControlMaster=autoask'],
])  # fmt: skip
def test_our_connection_is_not_shared_though_arguments_say_so(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, tmp_path: Path, way: list[str]
) -> None:
    before = leaks.Snapshot.take()
    sharing = [*way, '-o', f'ControlPath={tmp_path}/m', '-o', 'ControlPersist=60']
    context = broker.ssh('lab', username=accounts['plain'].name, ssh_args=[*sharing, '-F', str(sshd.config)])
    works(context, accounts['plain'])
    assert not (tmp_path / 'm').exists()
    context.close()
    assert before.settle() == []


def test_a_new_key_may_be_accepted_and_a_changed_one_not(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, tmp_path: Path
) -> None:
    hosts = tmp_path / 'hosts'
    options = ['-o', 'StrictHostKeyChecking=accept-new', '-o', f'UserKnownHostsFile={hosts}']
    args = [*options, *sshd.ssh_args(accounts['plain'].name)]
    works(broker.ssh('lab', ssh_args=args), accounts['plain'])
    kind, key = (sshd.directory / 'host.pub').read_text().split()[:2]
    assert f'{kind} {key}' in hosts.read_text()
    other = (sshd.directory / 'id.pub').read_text().split()[1]
    hosts.write_text(hosts.read_text().replace(key, other))
    error = fails(broker.ssh('lab', ssh_args=args), 'changed-host-key')
    assert 'ssh-keygen -R' in error.remedy
    reach.record('connector', 'ssh', 'host key new, changed, accept-new')


# -- Other servers, other clients -------------------------------------------------


@pytest.fixture
def dropbear(sshd: Sshd, accounts: Accounts, tmp_path: Path) -> Iterator[list[str]]:
    require('dropbear', 'accounts')
    with reserved_port() as port:
        yield from served(port, sshd, accounts['plain'], tmp_path)


def served(port: int, sshd: Sshd, plain: Account, tmp_path: Path) -> Iterator[list[str]]:
    subprocess.run([need('dropbearkey'), '-t', 'ed25519', '-f', str(tmp_path / 'key')], check=True, capture_output=True)
    line = subprocess.run([need('dropbearkey'), '-y', '-f', str(tmp_path / 'key')],
                          check=True, capture_output=True, text=True).stdout  # fmt: skip
    public = next(text for text in line.splitlines() if text.startswith('ssh-'))
    (tmp_path / 'hosts').write_text(f'[127.0.0.1]:{port} {" ".join(public.split()[:2])}\n')
    admit(plain, sshd.directory / 'id.pub')
    argv = [need('setpriv'), '--pdeathsig', 'TERM', need('dropbear'), '-F', '-E', '-p', f'127.0.0.1:{port}',
            '-r', str(tmp_path / 'key'), '-P', str(tmp_path / 'pid')]  # fmt: skip
    config = tmp_path / 'config'
    config.write_text(re.sub('Port .*', f'Port {port}', sshd.config.read_text()))
    with open(tmp_path / 'log', 'wb') as log, subprocess.Popen(argv, stdout=log, stderr=log) as process:
        try:
            eventually((tmp_path / 'pid').exists)
            yield ['-o', f'UserKnownHostsFile={tmp_path}/hosts', '-F', str(config), '-l', plain.name]
        finally:
            process.terminate()


def admit(account: Account, public: Path) -> None:
    """Let a key into an account, as dropbear wants it."""
    folder = account.home / '.ssh'
    folder.mkdir(mode=0o700, exist_ok=True)
    with open(folder / 'authorized_keys', 'a') as keys:     # runs may overlap
        keys.write(public.read_text())
    for path in folder, folder / 'authorized_keys':
        os.chown(path, account.uid, account.gid)


def test_dropbear(broker: econtext.Broker, accounts: Accounts, dropbear: list[str]) -> None:
    plain = accounts['plain']
    first = broker.ssh('lab', ssh_args=dropbear)
    works(first, plain)
    works(broker.ssh('lab', ssh_args=[*NO_KEYS, *dropbear], password=plain.password), plain)
    fails(broker.ssh('lab', ssh_args=[*NO_KEYS, *dropbear], password='wrong'), 'wrong-password')
    fails(broker.ssh('lab', ssh_args=[*NO_KEYS, *dropbear]), 'password-required')
    fails(broker.ssh('lab', ssh_args=dropbear, python='/no/such/python'), 'no-python')
    pid = first.pid
    broker.close()
    eventually(lambda: not leaks.alive(pid))
    reach.record('connector', 'ssh', f'{version(need("dropbear"), "-V")}: key, password')


class Inside:
    """An account of the other root."""

    def __init__(self, name: str) -> None:
        self.uid = sid.ACCOUNTS[name]


@pytest.mark.deadline(300)
def test_a_current_openssh(broker: econtext.Broker, tmp_path: Path) -> None:
    """Its server by the client of here, and its client."""
    sid.root()
    with sid.server(tmp_path) as args:
        works(broker.ssh('lab', username='nopw', ssh_args=args), Inside('nopw'))
        by_password = [*NO_KEYS, *args]
        works(broker.ssh('lab', username='rsu', ssh_args=by_password, password=sid.PASSWORD), Inside('rsu'))
        fails(broker.ssh('lab', username='rsu', ssh_args=by_password, password='wrong'), 'wrong-password')
        fails(broker.ssh('lab', username='rsu', ssh_args=by_password), 'password-required')
        client = str(sid.client(tmp_path))
        works(broker.ssh('lab', username='nopw', ssh_args=args, ssh_path=client), Inside('nopw'))
        works(broker.ssh('lab', username='rsu', ssh_args=[*args, *NO_KEYS], ssh_path=client, password=sid.PASSWORD),
              Inside('rsu'))  # fmt: skip
        fails(broker.ssh('lab', username='rsu', ssh_args=[*args, *NO_KEYS], ssh_path=client, password='wrong'),
              'wrong-password')  # fmt: skip
        fails(broker.ssh('nowhere.invalid', ssh_args=args, ssh_path=client), 'no-such-host')
        with reserved_port() as port:
            fails(broker.ssh('127.0.0.1', port=port, ssh_args=args, ssh_path=client), 'connection-refused')
        hosts = ['-o', 'UserKnownHostsFile=/dev/null']
        fails(broker.ssh('lab', username='nopw', ssh_args=[*args, *hosts], ssh_path=client), 'unknown-host-key')
        broker.close()
    reach.record('connector', 'ssh', f'{version(*sid.enter("/usr/bin/ssh", "-V"))}: server and client')


@pytest.mark.parametrize('option', ['StdinNull=yes', 'SessionType=none', 'SessionType=subsystem'])
def test_a_configuration_that_keeps_the_command_or_its_input_from_the_host(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, option: str
) -> None:
    args = sshd.ssh_args(accounts['plain'].name)
    error = fails(broker.ssh('lab', ssh_args=[*args, '-o', option]), 'no-command')
    assert option.split('=')[0] in error.remedy
    # By the words of the remedy.
    given = re.search(r'ssh_args=\[(.*?)\]', error.remedy)
    assert given
    words = [word.strip(" '") for word in given[1].split(',')]
    works(broker.ssh('lab', ssh_args=[*args, *words, '-o', option]), accounts['plain'])
