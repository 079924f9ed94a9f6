"""Point 2, argv[0]: whose a process is shows in ps."""

from __future__ import annotations

import getpass
import logging
import os
import socket
import subprocess

import pytest
from travel import facts

import econtext
from lab import require
from lab.accounts import Accounts
from lab.pythons import Interpreter
from lab.sshd import Sshd

matrix = pytest.mark.controller_matrix
MINE = f'econtext:{getpass.getuser()}@{socket.gethostname()}:{os.getpid()}'


def shown(pid: int) -> str:
    return subprocess.run(['ps', '-ww', '-o', 'args=', '-p', str(pid)], capture_output=True, text=True).stdout.strip()


@pytest.mark.every_python
@matrix
def test_a_child_shows_whose_it_is(broker: econtext.Broker, python: Interpreter) -> None:
    child = broker.local(python=python)
    below = child.local()
    assert shown(child.call(os.getpid)) == MINE
    assert shown(below.call(os.getpid)) == MINE
    assert below.call(facts.version) == python.version, 'the interpreter is found, whatever it is called'


def test_over_ssh_and_sudo(broker: econtext.Broker, sshd: Sshd, accounts: Accounts) -> None:
    web = broker.ssh('lab', username=accounts['nopw'].name, ssh_args=sshd.ssh_args())
    root = web.sudo()
    assert [shown(context.call(os.getpid)) for context in (web, root)] == [MINE, MINE]


@pytest.mark.parametrize('argv0', ['deployer', 'größe of things', '-x', 'x' * 100])
def test_it_can_be_chosen(broker: econtext.Broker, python: Interpreter, argv0: str) -> None:
    assert shown(broker.local(python=python, argv0=argv0).call(os.getpid)) == argv0


def test_a_long_one_is_cut(broker: econtext.Broker) -> None:
    child = broker.local(argv0='y' * 100_000)
    name = shown(child.call(os.getpid))
    assert len(name) >= 100
    assert set(name) == {'y'}


def test_an_empty_one_leaves_the_command_line(broker: econtext.Broker) -> None:
    child = broker.local(argv0='')
    assert shown(child.call(os.getpid)).startswith(child.executable)


def test_name_and_argv0_are_apart(broker: econtext.Broker, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        child = broker.local(name='log name', argv0='ps name')
        child.call(os.system, 'echo x')
    assert shown(child.pid) == 'ps name'
    assert [record.name for record in caplog.records] == ['econtext.ctx.log name']


def test_the_childs_environment_is_left_alone(broker: econtext.Broker) -> None:
    child = broker.local(argv0='z' * 100_000, env={'ECT_MARK': 'here'})
    with open(f'/proc/{child.call(os.getpid)}/environ') as file:
        assert 'ECT_MARK=here' in file.read().split('\0')


def test_where_it_cannot_be_done_the_log_says_so(
    broker: econtext.Broker, python: Interpreter, caplog: pytest.LogCaptureFixture
) -> None:
    require('setpriv')
    hidden = ['unshare', '-m', 'sh', '-c', 'mount -t tmpfs none /proc; exec "$0" "$@"', python]
    with caplog.at_level(logging.INFO):
        child = broker.local(python=hidden, name='hidden')
        assert child.call(facts.version) == python.version
        child.call(os.getpid)
    (record,) = caplog.records
    assert record.name == 'econtext.ctx.hidden'
    assert 'ps' in record.getMessage()
    assert '/proc' in record.getMessage()
