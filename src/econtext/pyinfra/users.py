"""
How a command of pyinfra becomes another user: whether a context of that user can stand for the words in its front.

The strategy: pyinfra puts ``doas``, ``dzdo``, ``sudo`` and ``su`` in front of a command, in this order.  Where each of
these words starts the command just as it starts a Python, that Python is kept, and starts the further commands.

Pure; any thread may enter.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

# One step: the connector, whom it becomes, and the password, None for none.
Step = tuple[str, str, str | None, bool]

# What makes a context differ from a new session, for the commands of its user, before the context could see it; and
# what refuses to work while a process of the user runs.
UNSETTLING: re.Pattern[str] = re.compile(
    r'\b(userdel|usermod|deluser|adduser|groupdel|groupmod|delgroup|addgroup|gpasswd|rmuser|pw|pkill|killall|skill|'
    r'loginctl|reboot|shutdown|poweroff|halt|kexec)\b')
PLAIN_SHELL: re.Pattern[str] = re.compile(r'[A-Za-z0-9_./+ -]+')
PLAIN_USER: re.Pattern[str] = re.compile(r'[A-Za-z_][A-Za-z0-9_.-]*\$?')


def steps(arguments: Mapping[str, Any]) -> tuple[Step, ...] | None:
    """
    Return the contexts that stand for what is in front of a command, from the first to the last.

    None is returned where these words are to be run for each command as they are.
    """
    found: list[Step] = []
    if arguments.get('_doas'):
        found.append(('doas', arguments.get('_doas_user') or 'root', None, False))
    if arguments.get('_dzdo'):
        return None
    if arguments.get('_sudo'):
        if arguments.get('_use_sudo_login'):
            return None
        found.append((
            'sudo', arguments.get('_sudo_user') or 'root', plain(arguments.get('_sudo_password')),
            bool(arguments.get('_preserve_sudo_env'))))
    if arguments.get('_su_user'):
        if any(arguments.get(name) for name in ('_use_su_login', '_preserve_su_env', '_su_shell')):
            return None
        found.append(('su', arguments['_su_user'], plain(arguments.get('_su_password')), False))
    if found and (shell(arguments) is None or not all(PLAIN_USER.fullmatch(step[1]) for step in found)):
        return None
    return tuple(found)


def plain(value: Any) -> str | None:
    """Return a password as a text: pyinfra may have hidden it."""
    if hasattr(value, 'unmask'):
        value = value.unmask()
    return str(value) if value else None


def shell(arguments: Mapping[str, Any]) -> list[str] | None:
    """Return the words that run the command behind ``-c``, None where they are not words alone."""
    name = arguments.get('_shell_executable', 'sh')
    if name is None:
        return None
    if not isinstance(name, str):
        name = 'sh'
    return shlex.split(name) if PLAIN_SHELL.fullmatch(name) and name.strip() else None


def has_password(wanted: tuple[Step, ...]) -> bool:
    return any(step[2] for step in wanted)
