"""The environment in a context is the user's: what was set for who starts it is taken back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import surroundings

import econtext
from lab import need, pythons, require
from lab.accounts import Accounts

VALUES = [None, 'de:en', 'C', 'C:de']


@pytest.fixture(params=VALUES)
def language(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str | None:
    monkeypatch.delenv('LANGUAGE', raising=False)
    if request.param is not None:
        monkeypatch.setenv('LANGUAGE', request.param)
    value: str | None = request.param
    return value


def test_su_leaves_no_variable(
    broker: econtext.Broker, accounts: Accounts, language: str | None
) -> None:
    require('accounts')
    python = pythons.public_python('3.11')
    plain = accounts['plain']
    context = broker.su(username=plain.name, python=python)
    assert context.call(surroundings.variable, 'LANGUAGE') == language
    below = context.local(python=python)
    assert below.call(surroundings.variable, 'LANGUAGE') == language


@pytest.mark.parametrize('version', ['2.7', '3.15'])
def test_sudo_leaves_no_variable(
    broker: econtext.Broker, accounts: Accounts, language: str | None, version: str
) -> None:
    """Also behind a hop, whose own environment counts."""
    require('sudo', 'accounts')
    python = pythons.public_python(version)
    hop = broker.local(python=pythons.interpreter(version), env={'LANGUAGE': language})
    for context in (
        broker.sudo(username=accounts['nopw'].name, preserve_env=['LANGUAGE'], python=python),
        hop.sudo(username=accounts['nopw'].name, preserve_env=['LANGUAGE'], python=python),
    ):
        assert context.call(surroundings.variable, 'LANGUAGE') == language


def test_what_the_user_sets_stays(broker: econtext.Broker) -> None:
    context = broker.local(env={'LANGUAGE': 'C', 'LC_ALL': 'C'})
    assert context.call(surroundings.variable, 'LANGUAGE') == 'C'
    assert context.call(surroundings.variable, 'LC_ALL') == 'C'


def test_a_context_adds_no_variable(broker: econtext.Broker) -> None:
    assert broker.local().call(surroundings.variables) == dict(os.environ)


# -- ~ ------------------------------------------------------------------------


@pytest.fixture
def homely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a virtual environment in a folder whose name shells would split."""
    import venv

    monkeypatch.setenv('HOME', str(tmp_path))
    venv.create(tmp_path / 'my venv')
    return tmp_path


def test_a_home_in_the_path_of_an_interpreter(broker: econtext.Broker, homely: Path) -> None:
    """It runs within the virtual environment, whose prefix it finds by its own name."""
    for context in (
        broker.local(python='~/my venv/bin/python3'),
        broker.local(python=['env', 'A=B', '~/my venv/bin/python3']),
        broker.local().local(python='~/my venv/bin/python3'),
        broker.command(['sh', '-c', 'exec "$@"', 'sh'], python='~/my venv/bin/python3'),
    ):
        assert context.call(surroundings.prefix) == str(homely / 'my venv')


@pytest.mark.parametrize('shell', ['sh', 'bash', 'dash', 'zsh', 'tcsh', 'csh', 'fish'])
def test_a_home_in_the_path_of_an_interpreter_through_a_login_shell(
    broker: econtext.Broker, homely: Path, shell: str
) -> None:
    need(shell)
    context = broker.command([shell, '-c'], shell=True, python='~/my venv/bin/python3')
    assert context.call(surroundings.prefix) == str(homely / 'my venv')


def test_a_home_of_the_other_user(broker: econtext.Broker, accounts: Accounts) -> None:
    require('sudo', 'accounts')
    plain = accounts['nopw']
    python = pythons.public_python('3.11')
    name = f'py-{os.getpid()}'     # runs may overlap
    link = plain.home / name
    link.unlink(missing_ok=True)
    link.symlink_to(python)
    try:
        for path in f'~/{name}', f'~{plain.name}/{name}':
            context = broker.sudo(username=plain.name, python=path)
            assert context.call(os.geteuid) == plain.uid
        login = broker.sudo(username=plain.name, python=f'~/{name}', login=True)
        assert login.call(os.geteuid) == plain.uid
    finally:
        link.unlink()


@pytest.mark.parametrize('path', ['~a b/python', '~-/python', "~'x/python", '~$x/python'])
def test_a_home_of_nobody_is_refused(broker: econtext.Broker, path: str) -> None:
    with pytest.raises(ValueError, match='python='):
        broker.local(python=path)


def test_a_home_of_a_user_that_is_not_there(broker: econtext.Broker) -> None:
    with pytest.raises(econtext.ConnectError) as caught:
        broker.local(python='~nosuchuser/python').wait_ready(60)
    assert caught.value.kind == 'no-python'
    assert '~nosuchuser/python' in str(caught.value)


def test_a_home_in_other_paths_here(broker: econtext.Broker, homely: Path) -> None:
    program = homely / 'way'
    program.write_text('#!/bin/sh\nexec "$@"\n')
    program.chmod(0o755)
    assert broker.command(['~/way']).call(os.getpid)
    assert broker.local(cwd='~/my venv').call(os.getcwd) == str(homely / 'my venv')

