"""
Take apart the command lines that Ansible makes.

Ansible hands a connection one line for a shell, in which the command itself may stand behind a program that becomes
another user.  Such a program is to be started once, and the commands are to run behind it.

Invariants:

* A line is taken apart only if the same parts, put together by the become plugin, make the same line again: so what
  runs behind the program is what the line would have run.
* A program that becomes another user asks on a terminal: one that reads a password on its standard input would take
  it from the link.  So a program is started for all commands only if it is known how that is had.

Pure; nothing here imports Ansible, the become plugin is an argument.
"""

from __future__ import annotations

import copy
import re
import shlex
from typing import Any, NamedTuple

from econtext.connectors import su

SLEEP = ' && sleep 0'   # what releases before 2.21 append to each command
MARK = '@econtext@'     # in place of the command in a line
KEY = '@key@'           # in place of what differs with each line
DEEPEST = 4
# How Ansible looks for an interpreter, by the list that is its default: all that is there, the best first.
DISCOVERY = re.compile(
    r"(echo (?:PLATFORM; uname; echo )?FOUND(?:; command -v '[^']+')*; command -v '/usr/bin/python3'"
    r"; command -v 'python3')(; echo ENDFOUND(?: && sleep 0)?)")
LOOK = "; command -v '{}'"
OLD_PYTHONS = 'python3.8', 'python3.7', 'python3.6', '/usr/libexec/platform-python'
ASKS_SYSTEM = b"result['platform_dist_result'] = platform.dist()"
ANNOTATIONS = b'from __future__ import annotations\n'
# Programs of which is known how to have them ask on a terminal.
KNOWN = 'sudo', 'su', 'doas'


class Become(NamedTuple):
    """How to become another user."""

    #: The plugin's name, such as 'sudo'.
    name: str
    #: What tells one way from another: the line without its command.
    key: str
    #: What is typed, if something is asked; None if there is none.
    password: str | None
    #: Parts of questions to which that is the answer.
    prompts: list[str]


def inner(command: str, executable: str) -> str | None:
    """Return the line that `command`, as a connection gets it, has `executable` read; None for another command."""
    start = executable + ' -c '
    if not executable or not command.startswith(start):
        return None
    try:
        words = shlex.split(command[len(start):])
    except ValueError:
        return None
    if len(words) != 1 or start + shlex.quote(words[0]) != command:
        return None
    return words[0]


def with_old_pythons(line: str) -> str:
    """Return a line that looks for interpreters, with those behind that econtext can serve too; other lines as is."""
    found = DISCOVERY.fullmatch(line)
    if found is None:
        return line
    further = [each for each in map(LOOK.format, OLD_PYTHONS) if each not in found[1]]
    return found[1] + ''.join(further) + found[2]


def for_old_pythons(program: bytes) -> bytes:
    """Return the program by which ansible-core 2.18 asks what system there is, for any Python; others as they are."""
    if ASKS_SYSTEM in program and b'->' not in program:
        return program.replace(ANNOTATIONS, b'')
    return program


def behind(line: str, plugin: Any, shell: Any) -> str | None:
    """Return the command that runs behind the become plugin's program in `line`; None if that is not certain."""
    found = candidate(line, f'{shell.ECHO} {plugin.success} {shell.COMMAND_SEP} ')
    if found is None:
        return None
    again = twin(plugin)
    made = again.build_become_command(found, shell)
    if unkeyed(made, again) not in (unkeyed(line, plugin), unkeyed(line.removesuffix(SLEEP), plugin)):
        return None
    return found


def candidate(line: str, start: str) -> str | None:
    """Return what follows `start` in the innermost of the lines in `line`."""
    for _ in range(DEEPEST):
        try:
            words = shlex.split(line)
        except ValueError:
            return None
        for word in words:
            if word.startswith(start):
                return word[len(start):]
        # The one that holds a line itself: the last, but for what is appended to it.
        inside = [word for word in words if start in word]
        if len(inside) != 1:
            return None
        line = inside[0]
    return None


def twin(plugin: Any) -> Any:
    """Return a copy of the become plugin, whose options may be changed without a change here."""
    found = copy.copy(plugin)
    for name in '_options', '_origins':
        if name in vars(found):
            setattr(found, name, dict(vars(found)[name]))
    return found


def unkeyed(line: str, plugin: Any) -> str:
    """Return `line` without what the plugin makes anew for each."""
    return line.replace(plugin._id, KEY) if plugin._id else line


def become_of(plugin: Any, shell: Any) -> Become | None:
    """Return how to become another user by the plugin; None where only the plugin's own way is safe."""
    name = plugin.name.rpartition('.')[2]
    password = option(plugin, 'become_pass') or None
    if name not in KNOWN:
        return None
    if name == 'sudo' and reads_input(option(plugin, 'become_flags') or '') is None:
        return None
    again = terminal_twin(plugin)
    line = unkeyed(again.build_become_command(MARK, shell), again)
    prompts = ['password']
    if name == 'su':
        prompts += list(option(plugin, 'prompt_l10n') or getattr(plugin, 'SU_PROMPT_LOCALIZATIONS', ()))
    return Become(name, line, None if password is None else str(password), prompts)


def started(plugin: Any, shell: Any, command: str) -> list[str]:
    """Return the words that start `command` by the become plugin, which asks its questions on a terminal."""
    again = terminal_twin(plugin)
    if plugin.name.rpartition('.')[2] == 'su':
        # It asks where its standard input and error are, and leaves other descriptors as they are.
        return ['sh', '-c', su.BEFORE, 'sh', '-c', again.build_become_command(su.BEHIND + command, shell)]
    return ['sh', '-c', again.build_become_command(command, shell)]


def terminal_twin(plugin: Any) -> Any:
    """Return a copy of the become plugin that asks on a terminal."""
    again = twin(plugin)
    if plugin.name.rpartition('.')[2] == 'sudo':
        again.set_option('become_flags', reads_input(option(plugin, 'become_flags') or ''))
    return again


def reads_input(flags: str) -> str | None:
    """Return the flags of sudo without the one to read passwords from standard input; None if that is not certain."""
    try:
        words = shlex.split(flags)
    except ValueError:
        return None
    left = [word for word in words if word not in ('-S', '--stdin')]
    if any(word.startswith('-') and not word.startswith('--') and 'S' in word for word in left):
        return None
    return shlex.join(left) if left != words else flags


def option(plugin: Any, name: str) -> Any:
    """Return an option of a plugin, None if the plugin has no such option."""
    try:
        return plugin.get_option(name)
    except KeyError:
        return None
