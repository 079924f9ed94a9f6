"""Take apart the lines that Ansible makes; the plugins are stand-ins of the same form."""

from __future__ import annotations

import shlex
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from econtext.ansible import commands
from econtext.connectors import su


class Shell:
    ECHO, COMMAND_SEP, executable = 'echo', ';', '/bin/sh'


class Plugin:
    """A become plugin."""

    def __init__(self, name: str, **options: Any) -> None:
        self.name = name
        self._options = {'become_user': 'root', 'become_flags': '-H -S -n', 'become_pass': None, **options}
        self._id = self.success = ''
        self.count = 0

    def get_option(self, name: str) -> Any:
        return self._options[name]

    def set_option(self, name: str, value: Any) -> None:
        self._options[name] = value

    def build_become_command(self, command: str, shell: Any) -> str:
        self.count += 1
        self._id = f'key{id(self)}n{self.count}'
        self.success = f'BECOME-SUCCESS-{self._id}'
        inner = '/bin/sh -c ' + shlex.quote(f'echo {self.success} ; {command}')
        if self.name == 'su':
            return f'su {self.get_option("become_user")} -c {shlex.quote(inner)}'
        prompt = f'-p "[{self._id}] password:" ' if self.get_option('become_pass') else ''
        return f'sudo {self.get_option("become_flags")} {prompt}-u {self.get_option("become_user")} {inner}'


TEXTS = st.text(st.characters(exclude_characters='\0', exclude_categories=['Cs']), min_size=1)


@given(TEXTS, st.sampled_from(['sudo', 'su']), st.booleans())
def test_the_command_behind_a_plugin(command: str, name: str, sleep: bool) -> None:
    plugin = Plugin(name)
    line = plugin.build_become_command(command, Shell) + (commands.SLEEP if sleep else '')
    found = commands.behind(line, plugin, Shell)
    assert found == command
    assert plugin.count == 1, 'the plugin itself is left as it is'


@given(TEXTS)
def test_a_line_that_the_plugin_would_not_make_is_left_alone(text: str) -> None:
    plugin = Plugin('sudo')
    line = plugin.build_become_command('id', Shell)
    for changed in 'PATH=x ' + line, line + ' ; ' + shlex.quote(text), line.replace('-u root', '-u other'):
        assert commands.behind(changed, plugin, Shell) is None


@given(TEXTS)
def test_the_line_that_a_shell_gets(line: str) -> None:
    command = '/bin/sh -c ' + shlex.quote(line)
    assert commands.inner(command, '/bin/sh') == line
    assert commands.inner(command, '/bin/bash') is None
    assert commands.inner(command + ' more', '/bin/sh') is None


@pytest.mark.parametrize('command', ['id', '/bin/sh -c', '/bin/sh -c a b', "/bin/sh -c 'a", '/bin/sh -c "a b"', ''])
def test_a_command_without_a_shell(command: str) -> None:
    assert commands.inner(command, '/bin/sh') is None
    assert commands.inner(command, '') is None


def test_one_way_has_one_key() -> None:
    keys = [commands.become_of(Plugin('sudo'), Shell) for _ in range(2)]
    assert keys[0] == keys[1]
    others = [Plugin('sudo', become_user='other'), Plugin('sudo', become_flags='-H'), Plugin('su')]
    assert len({str(commands.become_of(each, Shell)) for each in (Plugin('sudo'), *others)}) == 4


def test_passwords_are_typed_on_terminals_alone() -> None:
    made = commands.started(Plugin('sudo', become_pass='x'), Shell, 'stage')
    assert made[:2] == ['sh', '-c']
    assert ' -S ' not in made[2]
    assert '-H -n ' in made[2]
    assert commands.started(Plugin('su'), Shell, 'stage')[2] == su.BEFORE
    found = commands.become_of(Plugin('sudo', become_pass='x'), Shell)
    assert found is not None
    assert found.password == 'x'
    assert commands.become_of(Plugin('other.collection.pbrun', become_pass='x'), Shell) is None
    assert commands.become_of(Plugin('other.collection.pbrun'), Shell) is None
    assert commands.become_of(Plugin('sudo', become_flags='-HS'), Shell) is None
    assert commands.become_of(Plugin('sudo', become_flags='-u "'), Shell) is None


PYTHONS = '; '.join(f"command -v '{name}'" for name in ('python3.9', '/usr/bin/python3', 'python3'))


@pytest.mark.parametrize('end', ['', ' && sleep 0'])
@pytest.mark.parametrize('start', ['echo FOUND; ', 'echo PLATFORM; uname; echo FOUND; '])
def test_discovery_finds_older_pythons_behind_all_others(start: str, end: str) -> None:
    line = f'{start}{PYTHONS}; echo ENDFOUND{end}'
    made = commands.with_old_pythons(line)
    assert made.startswith(start + PYTHONS)
    assert made.endswith(f'; echo ENDFOUND{end}')
    further = made[len(start + PYTHONS):-len(f'; echo ENDFOUND{end}')]
    assert shlex.split(further.replace(';', ' ')) == [
        word for name in commands.OLD_PYTHONS for word in ('command', '-v', name)]
    assert commands.with_old_pythons(made) == made
    listed = line.replace("'python3.9'", "'python3.8'")
    assert commands.with_old_pythons(listed).count('python3.8') == 1


@pytest.mark.parametrize('line', [
    'echo FOUND; echo ENDFOUND', "echo FOUND; command -v 'mine'; echo ENDFOUND", f'{PYTHONS}; echo ENDFOUND',
    f'echo FOUND; {PYTHONS}; echo ENDFOUND; rm x', f'echo x; echo FOUND; {PYTHONS}; echo ENDFOUND', '',
])  # fmt: skip
def test_other_lines_stay(line: str) -> None:
    assert commands.with_old_pythons(line) == line


def test_the_question_for_the_system_is_one_for_any_python() -> None:
    body = b"result['platform_dist_result'] = platform.dist()\n"
    assert commands.for_old_pythons(b'from __future__ import annotations\n' + body) == body
    for other in b'from __future__ import annotations\n', commands.ANNOTATIONS + b'def f() -> int: 1\n' + body, b'':
        assert commands.for_old_pythons(other) == other
