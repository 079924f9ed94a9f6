"""Programs that read their password where the child reads its preamble: sudo -S, su, and worse ones."""

from __future__ import annotations

import logging
import os
from typing import Any

import arrival
import pytest
from outcomes import DATA, fails, version, works

import econtext
from lab import need, pythons, reach, require
from lab.accounts import Accounts
from lab.sshd import Sshd

# Hides the terminals of the machine from the command that follows.
NO_TERMINALS = ['unshare', '-m', 'sh', '-c', 'mount --bind /dev/null /dev/ptmx && exec "$@"', 'sh']


@pytest.fixture
def web(broker: econtext.Broker, accounts: Accounts, sshd: Sshd) -> Any:
    """Return a context as an account of that kind, behind a real sshd."""

    def start(kind: str, **options: Any) -> econtext.Context:
        return broker.ssh('lab', username=accounts[kind].name, ssh_args=['-F', str(sshd.config)], **options)

    return start


def test_sudo_with_its_password_on_standard_input(web: Any, accounts: Accounts) -> None:
    asking = web('sudo')
    works(asking.sudo(password='pw-ect_sudo', stdin_answers=True))
    works(asking.sudo('ect_target', password=lambda question: 'pw-ect_sudo', stdin_answers=True, login=True),
          accounts['target'].uid)  # fmt: skip
    # Nothing is asked: what is held back is sent all the same.
    works(web('nopw').sudo(stdin_answers=True))
    works(web('nopw').sudo('ect_fish', stdin_answers=True, login=True), accounts['fish'].uid)
    reach.record('connector', 'sudo -S', f'{version(need("sudo"))}: password, another user, NOPASSWD, login shell fish')


def test_refused(web: Any) -> None:
    asking = web('sudo')
    error = fails(asking.sudo(password='wr0ng', stdin_answers=True), 'wrong-password')
    assert 'wr0ng' not in str(error) + error.lines
    fails(asking.sudo(stdin_answers=True), 'password-required')
    fails(asking.sudo('ect_nobody', password='pw-ect_sudo', stdin_answers=True), 'no-such-user')
    fails(asking.sudo(password='pw-ect_sudo', stdin_answers=True, python='/no/such/python'), 'no-python')
    fails(web('plain').sudo(password='pw-ect_plain', stdin_answers=True), 'not-allowed')


def test_words_of_its_own(web: Any, accounts: Accounts) -> None:
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return accounts['wording'].password

    works(web('wording').sudo(answers=answer, stdin_answers=True))
    assert [question.split()[0] for question in asked] == ['Geheimwort']
    password = accounts['lect'].password
    works(web('lect').command(['sudo', '-S', '--'], password=password, question=password, stdin_answers=True))


def test_without_a_terminal(broker: econtext.Broker, accounts: Accounts) -> None:
    require('unshare')
    via = broker.command([*NO_TERMINALS, *accounts['sudo'].argv()])
    fails(via.sudo(password='pw-ect_sudo'), 'tty-required')
    works(via.sudo(password='pw-ect_sudo', stdin_answers=True))


def test_su_asks_on_standard_error(web: Any, accounts: Accounts) -> None:
    """A become line: its last stage asks, and the whole line is what a shell there reads."""
    plain = web('plain')
    works(plain.command(['su', 'ect_target', '-c'], shell=True, stdin_answers=True, password='pw-ect_target'),
          accounts['target'].uid)  # fmt: skip
    fails(plain.command(['su', 'ect_target', '-c'], shell=True, stdin_answers=True, password='wr0ng'), 'wrong-password')
    fails(plain.command(['su', 'ect_target', '-c'], shell=True, stdin_answers=True), 'password-required')


def test_su_behind_sudo(web: Any, accounts: Accounts) -> None:
    line = ['sudo', '-S', 'su', 'ect_target', '-c']
    works(web('sudo').command(line, shell=True, stdin_answers=True, password='pw-ect_sudo'), accounts['target'].uid)
    works(web('nopw').command(line, shell=True, stdin_answers=True), accounts['target'].uid)
    fails(web('sudo').command(line, shell=True, stdin_answers=True, password='wr0ng'), 'wrong-password')
    passwords = {'[sudo] password for ect_sudo: ': 'pw-ect_sudo', 'Password: ': 'pw-ect_target'}
    asked: list[str] = []

    def password(question: str) -> str:
        asked.append(question)
        return passwords[question]

    line = ['sudo', '-S', '-u', 'ect_plain', 'su', 'ect_target', '-c']
    works(web('sudo').command(line, shell=True, stdin_answers=True, password=password), accounts['target'].uid)
    assert asked == list(passwords)
    passwords['Password: '] = 'wr0ng'
    fails(web('sudo').command(line, shell=True, stdin_answers=True, password=password), 'wrong-password')


def test_a_line_with_a_place_in_it(web: Any) -> None:
    """As the become plugins of Ansible write it: no blank behind the prompt, and words before the interpreter."""
    line = 'exec sudo -H -S -p "[sudo via x, key=abc] password:" -u root /bin/sh -c "echo BECOME-SUCCESS; $0"'
    works(web('sudo').command(['sh', '-c', line], shell=True, stdin_answers=True, password='pw-ect_sudo', tty=False))


def test_two_ways_to_ask(broker: econtext.Broker, accounts: Accounts, sshd: Sshd) -> None:
    """ssh asks on the terminal, and the sudo behind it on standard error."""
    passwords = ["ect_sudo@127.0.0.1's password: ", '[sudo] password for ect_sudo: ']
    asked: list[str] = []

    def password(question: str) -> str:
        asked.append(question)
        return accounts['sudo'].password

    # The line is for the login shell there, and in it once more a word for the shell that sudo runs.
    quoted = '''python3 -c 'import shlex,sys;print(shlex.quote(sys.argv[1]))' "$0"'''
    ssh = f'exec ssh -F {sshd.config} -o PubkeyAuthentication=no -l ect_sudo lab "sudo -S sh -c $({quoted})"'
    works(broker.command(['sh', '-c', ssh], shell=True, stdin_answers=True, password=password))
    assert len(asked) == len(passwords)
    assert asked[1] == passwords[1]


@pytest.mark.parametrize('stage', [
    'printf "Password: ">&2; exec "$@"',                              # asks, and reads nothing
    'printf "Password: ">&2; read a; printf "Code> ">&2; exec "$@"',
    'echo "Password: banner">&2; exec "$@"',
    'echo econtext-begin; printf "econtext-" ; printf "Password: ">&2; read a; exec "$@"',
    'printf "Pass">&2; printf "word: ">&2; read a; echo "no newline before the mark" | tr -d "\\n"; exec "$@"',
    'exec "$@"',
])  # fmt: skip
@pytest.mark.parametrize('through', [False, True])
def test_programs_that_ask_and_do_not_read(
    broker: econtext.Broker, caplog: pytest.LogCaptureFixture, stage: str, through: bool,
) -> None:
    """The interpreter gets neither what is left of the answers, nor less than its preamble."""
    caplog.set_level(logging.DEBUG)
    via = broker.local() if through else broker
    context = via.command(['sh', '-c', stage, 'sh'], stdin_answers=True, password='s3cret', question='s3cret')
    works(context, os.geteuid())
    context.close()
    assert 's3cret' not in caplog.text


def test_a_question_behind_the_word_gets_nothing(broker: econtext.Broker) -> None:
    """A program that says our word itself gets what is for the child, and never the password."""
    stage = 'echo econtext-begins; read a; printf "Password: ">&2; read b; echo "$a">&2; '
    stage += 'case "$b" in *s3cret*) echo leak>&2;;esac; exit 1'
    error = fails(broker.command(['sh', '-c', stage], stdin_answers=True, password='s3cret'), 'ended')
    assert 'econtext-begins' in error.lines
    assert 'leak' not in error.lines


def test_a_start_that_is_given_up_leaves_nothing_that_waits(broker: econtext.Broker, accounts: Accounts) -> None:
    """sudo runs as root and heeds no signal of ours: it reads the end of its input."""
    via = broker.command(accounts['sudo'].argv())
    waiting = via.sudo(password=lambda question: waiting.close() or 'pw-ect_sudo', stdin_answers=True)
    with pytest.raises(econtext.EcontextError):
        waiting.wait_ready(60)
    fails(via.sudo(answers=lambda question: None, stdin_answers=True, connect_timeout=20), 'answer-required')


def test_old_pythons(broker: econtext.Broker, accounts: Accounts) -> None:
    old = broker.command(accounts['sudo'].argv(), python=str(pythons.public_python('2.7')))
    for password in 'pw-ect_sudo', lambda question: 'pw-ect_sudo':
        root = old.sudo(password=password, stdin_answers=True)
        assert root.call(os.geteuid) == 0
        assert root.python_version[:2] == (2, 7)


def test_many_bytes_wait_behind_the_gate(broker: econtext.Broker) -> None:
    stage = ['sh', '-c', 'printf "Password: ">&2;read a;exec "$@"', 'sh']
    context = broker.command(stage, password=lambda question: 'pw', stdin_answers=True)
    futures = [context.submit(arrival.echo, DATA) for _ in range(20)]
    assert all(future.result() == DATA for future in futures)
