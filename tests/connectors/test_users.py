"""su and doas against the real programs, for callers that are root and that are not, and through other contexts."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

import econtext
from econtext.connectors import doas, su
from econtext.parent import command
from lab import pythons, reach, require
from lab.accounts import Accounts, with_doas_rules
from lab.sshd import Sshd

# Hides the terminals of the machine from the command that follows.
NO_TERMINALS = ['unshare', '-m', 'sh', '-c', 'mount --bind /dev/null /dev/ptmx && exec "$@"', 'sh']


@pytest.fixture(autouse=True)
def programs() -> None:
    require('accounts', 'doas')


@pytest.fixture(scope='module')
def rules(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What starts a command that sees our rules of doas, whichever the machine has."""
    require('accounts', 'doas', 'unshare')
    return with_doas_rules(tmp_path_factory.mktemp('doas'))


def become(broker: econtext.Broker, accounts: Accounts, kind: str, *before: str, **options: Any) -> econtext.Context:
    """Return a context that runs as an account, started by root."""
    return broker.command([*before, *accounts[kind].argv()], name=kind, **options)


def fails(context: econtext.Context, kind: str, words: str = '') -> None:
    with pytest.raises(econtext.ConnectError) as caught:
        context.call(os.getpid)
    assert caught.value.kind == kind, str(caught.value)
    assert words in str(caught.value)


def test_su_as_root_minds_no_login_shell(broker: econtext.Broker, accounts: Accounts) -> None:
    for kind in ('plain', 'tcsh', 'fish', 'nologin', 'false'):
        child = broker.su(accounts[kind].name)
        assert child.call(os.getuid) == accounts[kind].uid
        assert child.call(os.getenv, 'HOME') == str(accounts[kind].home)
    assert child.name == 'su.ect_false'
    login = broker.su(accounts['noisy'].name, login=True)
    assert login.call(os.getcwd) == str(accounts['noisy'].home)
    fails(broker.su('ect_nobody'), 'no-such-user')


def test_su_with_a_password(broker: econtext.Broker, accounts: Accounts) -> None:
    plain = become(broker, accounts, 'plain')
    assert plain.call(os.getuid) == accounts['plain'].uid
    asked: list[str] = []

    def password(question: str) -> str:
        asked.append(question)
        return accounts['target'].password

    target = plain.su('ect_target', password=password)
    assert target.call(os.getuid) == accounts['target'].uid
    assert target.name == 'plain.su.ect_target'
    assert asked == ['Password: ']
    assert plain.su('ect_tcsh', password='pw-ect_tcsh').call(os.getuid) == accounts['tcsh'].uid
    version = subprocess.run(['su', '--version'], capture_output=True, text=True, check=True).stdout
    reach.record('connector', 'su', version.strip())


def test_su_refused(broker: econtext.Broker, accounts: Accounts) -> None:
    plain = become(broker, accounts, 'plain')
    fails(plain.su('ect_target', password='wrong'), 'wrong-password', 'Authentication failure')
    fails(plain.su('ect_target'), 'password-required')
    fails(plain.su('ect_nobody', password='any'), 'no-such-user')
    fails(plain.su('ect_nologin', password='pw-ect_nologin'), 'no-login', 'restricted shell')
    fails(plain.su('ect_expired', password='pw-ect_expired'), 'expired-password')
    fails(plain.su('ect_target', su_path='/no/su'), 'not-found', 'no program')


def test_doas(broker: econtext.Broker, accounts: Accounts, rules: list[str]) -> None:
    asking, free = become(broker, accounts, 'doas', *rules), become(broker, accounts, 'doasnopw', *rules)
    assert free.doas().call(os.getuid) == 0
    assert free.doas('ect_target').call(os.getuid) == accounts['target'].uid
    root = asking.doas(password='pw-ect_doas')
    assert root.call(os.getuid) == 0
    assert root.name == 'doas.doas.root'
    fails(asking.doas(password='wrong'), 'wrong-password')
    fails(asking.doas(), 'password-required')
    fails(free.doas('ect_nobody'), 'no-such-user')
    fails(become(broker, accounts, 'plain', *rules).doas(password='any'), 'not-allowed')
    fails(free.doas(doas_path='/no/doas'), 'not-found', 'No such file')
    reach.record('connector', 'doas', 'OpenDoas')


def test_without_a_terminal(broker: econtext.Broker, accounts: Accounts, rules: list[str]) -> None:
    plain = become(broker, accounts, 'plain', *NO_TERMINALS)
    fails(plain.su('ect_target', password='pw-ect_target'), 'tty-required')
    asking = become(broker, accounts, 'doas', *rules, *NO_TERMINALS)
    fails(asking.doas(password='pw-ect_doas'), 'tty-required')
    free = become(broker, accounts, 'doasnopw', *rules, *NO_TERMINALS)
    assert free.doas().su('ect_target').call(os.getuid) == accounts['target'].uid


def test_through_contexts_of_another_python(broker: econtext.Broker, accounts: Accounts, rules: list[str]) -> None:
    python = str(pythons.public_python('2.7'))
    plain = become(broker, accounts, 'plain', python=python)
    target = plain.su('ect_target', password='pw-ect_target')
    here = target.local()
    assert here.call(os.getuid) == accounts['target'].uid
    assert here.python_version[:2] == (2, 7)
    assert become(broker, accounts, 'doasnopw', *rules, python=python).doas().call(os.getuid) == 0


def test_behind_ssh(broker: econtext.Broker, accounts: Accounts, sshd: Sshd) -> None:
    web = broker.ssh('lab', username='ect_plain', ssh_args=['-F', str(sshd.config)])
    child = web.su('ect_target', password='pw-ect_target').local()
    assert child.call(os.getuid) == accounts['target'].uid
    assert child.name.startswith('lab.su.ect_target.local.')


def test_command_lines() -> None:
    finder = command.argv([sys.executable, *command.PYTHONS])
    assert doas.plan({}) == (['doas', '-u', 'root', '--', *finder], True, {})
    words = su.plan({'username': 'me', 'python': '/opt/python', 'su_path': '/opt/su'})[0]
    assert words == ['sh', '-c', su.BEFORE, '/opt/su', '-s', '/bin/sh', 'me', '-c',
                     su.BEHIND + command.shell(['/opt/python'])]  # fmt: skip
    for connector in (su, doas):
        for username in ('-x', 'a b', 'a\n'):
            with pytest.raises(ValueError, match='username='):
                connector.plan({'username': username})
