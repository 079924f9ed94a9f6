"""`local` with options: a folder, another user, priority and processors, from here and through other contexts."""

from __future__ import annotations

import os
import pathlib
import sys
from typing import Any

import pytest

import econtext
from econtext.connectors import local
from econtext.parent import command
from lab import pythons, reach, require
from lab.accounts import Accounts
from lab.pythons import Interpreter


def fails(context: econtext.Context, kind: str, words: str = '') -> None:
    with pytest.raises(econtext.ConnectError) as caught:
        context.call(os.getpid)
    assert caught.value.kind == kind, str(caught.value)
    assert words in str(caught.value)


def test_folder_priority_processors(broker: econtext.Broker, python: Interpreter, tmp_path: pathlib.Path) -> None:
    child = broker.local(python=python, cwd=tmp_path, nice=3, env={'A': 'b'})
    assert child.call(os.getcwd) == str(tmp_path)
    assert child.call(os.nice, 0) == os.nice(0) + 3
    assert child.call(os.getenv, 'A') == 'b'
    below = child.local(cwd='/', nice=1)
    assert below.call(os.getcwd) == '/'
    assert below.call(os.nice, 0) == min(os.nice(0) + 4, 19)
    first = min(os.sched_getaffinity(0))
    if python.version >= (3, 3):
        assert child.local(cpus=[first]).call(os.sched_getaffinity, 0) == {first}
    else:
        fails(child.local(cpus=[first]), 'no-processor', 'Python 3.3')


def test_what_cannot_be_had(broker: econtext.Broker) -> None:
    fails(broker.local(cwd='/nowhere'), 'no-folder', '/nowhere')
    fails(broker.local(cpus=[4000]), 'no-processor')
    fails(broker.local(user='ect_nobody'), 'no-such-user', 'ect_nobody')
    reach.record('connector', 'local', 'folder, user, priority, processors')


@pytest.mark.parametrize('version', [None, '2.7'])
def test_another_user(broker: econtext.Broker, accounts: Accounts, version: str | None) -> None:
    require('accounts')
    target = accounts['target']
    python = str(pythons.public_python(version)) if version else pythons.everyones()
    child = broker.local(python=python, user=target.name, cwd=target.home, env={'USER': 'me'})
    assert child.call(os.getuid) == child.call(os.geteuid) == target.uid
    assert child.call(os.getgid) == target.gid
    assert set(child.call(os.getgroups)) == {target.gid}
    assert [child.call(os.getenv, name) for name in ('HOME', 'USER', 'LOGNAME')] == [
        str(target.home), 'me', target.name]
    assert child.call(os.getcwd) == str(target.home)
    pathlib.Path(f'/proc/{child.pid}/environ').read_bytes()
    assert child.local(user=target.uid, nice=1).call(os.getuid) == target.uid
    fails(child.local(user='root'), 'not-allowed')
    fails(child.local(nice=-5), 'not-allowed')
    number = broker.local(python=python, user=54321)
    assert number.call(os.getgid) == 54321
    assert number.call(os.getgroups) in ([], [54321])


def test_an_interpreter_that_the_user_may_not_execute(
    broker: econtext.Broker, accounts: Accounts, tmp_path: pathlib.Path
) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / 'python').symlink_to(pythons.everyones())
    fails(broker.local(python=str(tmp_path / 'python'), user='ect_target'), 'no-python', 'cannot execute')


@pytest.mark.parametrize('options', [
    {'cwd': ''}, {'cwd': 5}, {'cwd': 'a\0'}, {'user': ''}, {'user': '-x'}, {'user': -1}, {'user': True},
    {'nice': 20}, {'nice': '1'}, {'cpus': []}, {'cpus': 1}, {'cpus': [-1]}, {'cpus': ['1']},
])  # fmt: skip
def test_what_makes_no_sense(broker: econtext.Broker, options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=name + '='):
        local.plan(options)


def test_without_options_the_first_stage_is_all() -> None:
    assert local.plan({'user': None, 'cwd': None})[0] == [sys.executable, '-Ec', command.CODE]
    words = local.plan({'cwd': '/', 'python': 'p'})[0]
    assert words == ['p', '-Ec', local.PREPARE, command.CODE, '', '', '/', '', '']
