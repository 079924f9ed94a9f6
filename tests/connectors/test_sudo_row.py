"""sudo against the real thing: sudo 1.9 with every rule that gets in the way, and sudo-rs."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any

import arrival
import pytest
from outcomes import fails, version, works

import econtext
from lab import need, otp, pythons, reach, sid
from lab.accounts import RECORDS, Accounts


@pytest.fixture
def become(broker: econtext.Broker, accounts: Accounts) -> Any:
    """Return a context as an account of that kind, without ssh between."""

    def start(kind: str, *changes: str) -> econtext.Context:
        return broker.local(python=[*accounts[kind].argv('env', *changes), pythons.everyones()], name=kind)

    return start


def test_rules_that_get_in_the_way(become: Any, accounts: Accounts) -> None:
    for kind in 'nopw', 'tty', 'pty':
        works(become(kind).sudo())
    works(become('sudo').sudo(password='pw-ect_sudo'))
    works(become('sudo').sudo(accounts['target'].name, password='pw-ect_sudo'), accounts['target'].uid)
    sudo = version(need('sudo'))
    reach.record('connector', 'sudo', f'{sudo}: NOPASSWD, password, wrong password, requiretty, use_pty')


def test_what_is_recorded_passes_unharmed(become: Any) -> None:
    works(become('logio').sudo())
    recorded = sorted(path.name for path in RECORDS.rglob('*') if path.is_file())
    assert 'stdin' in recorded
    assert 'stdout' in recorded
    reach.record('connector', 'sudo', 'log_input, log_output')


def test_prompts_in_other_words_and_other_tongues(become: Any, accounts: Accounts) -> None:
    wording = become('wording')
    works(wording.sudo(password=accounts['wording'].password))
    fails(wording.sudo(password='wrong'), 'wrong-password')
    asked: list[str] = []

    def password(question: str) -> str:
        asked.append(question)
        return accounts['wording'].password

    works(wording.sudo(password=password))
    assert asked == ['econtext password: '], 'ours, which is recognized for sure'
    # A locale that is not there, and a language that is: what is typed and read must not depend on it.
    german = become('sudo', 'LANG=C.UTF-8', 'LC_ALL=C.UTF-8', 'LANGUAGE=de')
    speaks = german.call(subprocess.getoutput, 'LC_ALL=C.UTF-8 LANGUAGE=de sudo -n true')
    works(german.sudo(password=accounts['sudo'].password))
    error = fails(german.sudo(password='wrong'), 'wrong-password')
    assert 'Sorry, try again' in error.lines, speaks
    reach.record('connector', 'sudo', 'prompts in words of their own, and in another language')


def test_a_second_factor(become: Any, accounts: Accounts) -> None:
    """PAM has words of its own for that, which sudo passes on."""
    factors = accounts['factors']
    asked: list[str] = []

    def second(question: str) -> str:
        asked.append(question)
        return otp.code()

    with otp.service('econtext-tests-sudo', factors.name):
        via = become('factors')
        works(via.sudo(password=factors.password, answers=second))
        assert asked == ['Verification code: ']
        works(via.sudo(password=factors.password, answers={'verification': second}))
        # Without answers= sudo asks for both in our words, and that is like a password asked for once more.
        assert 'answers=' in fails(via.sudo(password=factors.password), 'wrong-password').remedy
        fails(via.sudo(password=factors.password, answers={'colour': 'blue'}), 'answer-required')
        fails(via.sudo(password=factors.password, answers=lambda question: '000000'), 'wrong-password')
    reach.record('connector', 'sudo', 'a second factor (pam_google_authenticator)')


def test_login_home_and_environment(become: Any, accounts: Accounts) -> None:
    nopw, target = become('nopw', 'ECT_KEPT=1', 'ECT_LEFT=2'), accounts['target']
    user, directory, environment = nopw.sudo(target.name).call(arrival.place)
    assert (user, directory) == (target.uid, str(accounts['nopw'].home))
    assert environment['HOME'] == str(target.home)
    assert not {'ECT_KEPT', 'ECT_LEFT', 'ECT_PROFILE'} & set(environment)

    user, directory, environment = nopw.sudo(target.name, login=True).call(arrival.place)
    assert (user, directory) == (target.uid, str(target.home))
    assert environment['ECT_PROFILE'] == 'set by the profile'

    environment = nopw.sudo(target.name, preserve_env=True).call(arrival.place)[2]
    assert (environment['ECT_KEPT'], environment['ECT_LEFT']) == ('1', '2')
    environment = nopw.sudo(target.name, preserve_env=['ECT_KEPT']).call(arrival.place)[2]
    assert (environment['ECT_KEPT'], environment.get('ECT_LEFT')) == ('1', None)
    environment = nopw.sudo(target.name, login=True, preserve_env=['ECT_KEPT']).call(arrival.place)[2]
    assert (environment['ECT_KEPT'], environment['ECT_PROFILE']) == ('1', 'set by the profile')
    reach.record('connector', 'sudo', 'login shell, home, environment kept in part or in whole')


@pytest.mark.parametrize('kind', ['dash', 'tcsh', 'csh', 'fish', 'zsh', 'noisy'])
def test_every_login_shell_of_the_other_user(become: Any, accounts: Accounts, kind: str) -> None:
    works(become('nopw').sudo(accounts[kind].name, login=True), accounts[kind].uid)


@pytest.mark.parametrize(('kind', 'failure'), [('nologin', 'no-login'), ('false', 'ended')])
def test_a_login_shell_that_runs_nothing(become: Any, accounts: Accounts, kind: str, failure: str) -> None:
    fails(become('nopw').sudo(accounts[kind].name, login=True), failure)
    works(become('nopw').sudo(accounts[kind].name), accounts[kind].uid)


@pytest.mark.parametrize(('options', 'word'), [
    ({'login': True, 'preserve_env': True}, 'preserve_env='), ({'preserve_env': ['A=B']}, 'no name'),
    ({'preserve_env': ['A,B']}, 'no name'), ({'preserve_env': ['-x']}, 'no name'),
])  # fmt: skip
def test_options_that_make_no_sense(broker: econtext.Broker, options: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=re.escape(word)):
        broker.sudo(**options)
    with pytest.raises(TypeError):
        broker.sudo(preserve_env='PATH')


@pytest.mark.deadline(300)
def test_sudo_rs(broker: econtext.Broker) -> None:
    """It puts its own words around the prompt, and shows a star for each character."""
    sid.root()
    rsu = broker.local(python=sid.enter_as('rsu', '/usr/bin/python3'), name='rsu')
    nopw = broker.local(python=sid.enter_as('nopw', '/usr/bin/python3'), name='nopw')
    path = {'sudo_path': 'sudo-rs'}
    works(nopw.sudo(**path))
    works(nopw.sudo('rsu', **path), 1000)
    works(nopw.sudo('rsu', login=True, **path), 1000)
    works(rsu.sudo(password=sid.PASSWORD, **path))
    asked: list[str] = []

    def password(question: str) -> str:
        asked.append(question)
        return sid.PASSWORD

    rsu.call(os.system, 'sudo-rs -K')
    works(rsu.sudo(password=password, **path))
    assert asked == ['[sudo: econtext password: ] Password: ']
    rsu.call(os.system, 'sudo-rs -K')
    error = fails(rsu.sudo(password='wrong', **path), 'wrong-password')
    assert 'wrong' not in error.lines
    fails(rsu.sudo(**path), 'password-required')
    fails(nopw.sudo('nobody-there', **path), 'no-such-user')
    fails(nopw.sudo(python='/no/such/python', **path), 'no-python')
    broker.close()
    tool = subprocess.run(sid.enter('/usr/bin/sudo-rs', '-V'), capture_output=True, text=True).stdout.splitlines()[0]
    reach.record('connector', 'sudo', f'{tool}: NOPASSWD, password, wrong password, another user, login shell')


def test_an_installation_without_termios(broker: econtext.Broker, accounts: Accounts) -> None:
    """Debian's minimal Python has none, and sudo is answered from there nonetheless."""
    wrapped = accounts['sudo'].home / f'bare-python-{os.getpid()}'     # runs may overlap
    wrapped.write_text(
        '#!/usr/bin/python3\nimport os, sys\nsys.modules["termios"] = None\n'
        'code = sys.argv[2]\nsys.argv = ["-c"] + sys.argv[3:]\nsys.path.insert(0, "")\nexec(code)\n'
    )
    wrapped.chmod(0o755)
    bare = broker.local(python=[*accounts['sudo'].argv(), str(wrapped)], name='bare')
    works(bare.sudo(password=accounts['sudo'].password, python='/usr/bin/python3'))
