"""Where a context of another user stands for sudo, su and doas in front of a command."""

from __future__ import annotations

from typing import Any

import pytest

from econtext.pyinfra import users


@pytest.mark.parametrize(('arguments', 'wanted'), [
    ({}, ()),
    ({'_sudo': True}, (('sudo', 'root', None, False),)),
    ({'_sudo': True, '_sudo_user': 'www', '_sudo_password': 'x', '_preserve_sudo_env': True},
     (('sudo', 'www', 'x', True),)),
    ({'_doas': True, '_sudo': True, '_su_user': 'db'},
     (('doas', 'root', None, False), ('sudo', 'root', None, False), ('su', 'db', None, False))),
    ({'_su_user': 'db', '_su_password': 'y', '_shell_executable': '/bin/bash -e'}, (('su', 'db', 'y', False),)),
])  # fmt: skip
def test_steps(arguments: dict[str, Any], wanted: Any) -> None:
    assert users.steps(arguments) == wanted


@pytest.mark.parametrize('arguments', [
    {'_sudo': True, '_use_sudo_login': True}, {'_dzdo': True}, {'_su_user': 'db', '_use_su_login': True},
    {'_su_user': 'db', '_su_shell': 'bash'}, {'_su_user': 'db', '_preserve_su_env': True},
    {'_sudo': True, '_shell_executable': None}, {'_sudo': True, '_sudo_user': '#1000'},
    {'_sudo': True, '_shell_executable': 'sh; id'},
])  # fmt: skip
def test_where_each_command_needs_its_own(arguments: dict[str, Any]) -> None:
    assert users.steps(arguments) is None


@pytest.mark.parametrize(('given', 'words'), [
    ({}, ['sh']), ({'_shell_executable': 'bash -e'}, ['bash', '-e']), ({'_shell_executable': None}, None),
    ({'_shell_executable': True}, ['sh']), ({'_shell_executable': '$SHELL'}, None),
])  # fmt: skip
def test_the_shell(given: dict[str, Any], words: Any) -> None:
    assert users.shell(given) == words


@pytest.mark.parametrize('text', [
    'userdel -r x', 'cd / && /usr/sbin/usermod -aG a b', 'pkill -u x', '(sleep 1; reboot) &',
])  # fmt: skip
def test_what_unsettles_users(text: str) -> None:
    assert users.UNSETTLING.search(text)


@pytest.mark.parametrize('text', ['useradd x', 'echo userdeleted', 'ls /srv/reboots'])
def test_what_does_not(text: str) -> None:
    assert not users.UNSETTLING.search(text)
