"""Our own connectors pass the kit that third parties are given; and the kit finds what is wrong."""

from __future__ import annotations

import importlib
import inspect
import os
import pathlib
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import econtext
from econtext.controller.connect import registry
from econtext.testing import check_connector
from lab import need, require
from lab.accounts import Accounts, with_doas_rules
from lab.sshd import Sshd


class Case(NamedTuple):
    options: dict[str, Any]
    nonsense: tuple[dict[str, Any], ...]
    program: str | None = None
    start: bool = True


NO_USER = {'username': '-x'}, {'username': 'a b'}, {'python': ['']}
CASES = {
    'local': Case({'cwd': '/', 'nice': 1}, ({'nice': 20}, {'cpus': []}, {'user': '-x'}, {'env': {'=': 'a'}})),
    'command': Case({'argv': ['env']}, ({}, {'argv': 'env'})),
    'su': Case({}, NO_USER),
    'doas': Case({}, NO_USER, 'doas_path'),
    'sudo': Case({}, NO_USER, 'sudo_path'),
    'unshare': Case({}, ({'namespaces': ['x']},), 'unshare_path'),
    'chroot': Case({'directory': '/'}, ({}, {'directory': ''}), 'chroot_path'),
    'nsenter': Case({'pid': os.getpid()}, ({}, {'pid': -1}), 'nsenter_path'),
    'bubblewrap': Case({}, ({'python': ['']},), 'bwrap_path'),
    # Started in tests of their own, which have an engine.
    'fork': Case({}, ({'python': 'x'},), start=False),
    'docker': Case({'container': 'x'}, ({}, {'container': '-x'}), start=False),
    'podman': Case({'image': 'x'}, ({}, {'image': ''}), start=False),
    'kubectl': Case({'pod': 'x'}, ({}, {'pod': '-x'}), start=False),
    **{name: Case({'container': 'x', 'user': '1:2'}, ({}, {'container': 'x', 'user': 'x'}), start=False)
       for name in ('lxc', 'lxd', 'incus')},
    'systemd_nspawn': Case({'directory': '/'}, ({}, {'directory': '-x'}), start=False),
    'machinectl': Case({'machine': 'x'}, ({}, {'machine': '-x'}), start=False),
    'jail': Case({'jail': 'x'}, ({}, {'jail': '-x'}), start=False),
    'ssh': Case({'hostname': 'lab'}, ({}, {'hostname': '-x'}), 'ssh_path'),
}


def case(name: str) -> Case:
    """Return what to try a connector of ours with: what stands above, or what its method and its options say."""
    return CASES.get(name) or guessed(name)


def guessed(name: str) -> Case:
    parameters = inspect.signature(getattr(econtext.Broker, name)).parameters.values()
    needed = [each.name for each in parameters
              if each.name != 'self' and each.default is each.empty and each.kind is not each.VAR_KEYWORD]
    programs = [each.name for each in parameters if each.name.endswith('_path')]
    nonsense = [{**dict.fromkeys(needed, 'x'), each: ''} for each in needed]
    if any(each.name == 'python' for each in parameters):
        nonsense.append({**dict.fromkeys(needed, 'x'), 'python': ['']})
    return Case(dict.fromkeys(needed, 'x'), tuple(nonsense), programs[0] if programs else None, start=False)


@pytest.mark.parametrize('name', [name for name in registry.ours() if name != 'command'])
def test_a_new_one_needs_no_row_here(name: str) -> None:
    guess = guessed(name)
    assert guess.nonsense or name == 'fork'
    assert CASES[name].program in (None, guess.program)
    options = guess.options or CASES[name].options
    check_connector(name, options, nonsense=guess.nonsense, program=guess.program, start=False)


@pytest.mark.parametrize('name', [name for name in registry.ours() if name not in ('ssh', 'su', 'sudo', 'doas')])
def test_ours(name: str) -> None:
    tried = case(name)
    if tried.program and tried.start:
        require('bubblewrap' if name == 'bubblewrap' else 'roots')
    check_connector(name, tried.options, nonsense=tried.nonsense, program=tried.program, start=tried.start)


@pytest.mark.parametrize('name', ['su', 'sudo', 'doas'])
def test_as_another_user(accounts: Accounts, name: str, tmp_path: Path) -> None:
    require(name if name != 'su' else 'accounts')
    options = {'username': accounts['target'].name}
    if name == 'doas':
        # With rules of ours, whichever the machine has, or none.
        require('unshare')
        own, rules = tmp_path / 'doas', tmp_path / 'etc'
        rules.mkdir()
        own.write_text(f'#!/bin/sh\nexec {shlex.join(with_doas_rules(rules))} {need("doas")} "$@"\n')
        own.chmod(0o755)
        options['doas_path'] = str(own)
    check_connector(name, options, nonsense=CASES[name].nonsense, program=CASES[name].program)


def test_ssh(sshd: Sshd) -> None:
    options = {**CASES['ssh'].options, 'ssh_args': ['-F', str(sshd.config)]}
    check_connector('ssh', options, nonsense=CASES['ssh'].nonsense, program='ssh_path')


GOOD = '''
from econtext.parent import command

OPTIONS = 'python', 'tool_path'
PROMPTS = ()
FAILURES = command.FAILURES
MISSING = 'not-found'


def plan(options):
    command.check_options(options, OPTIONS)
    tool = options.get('tool_path') or 'env'
    command.check_word('tool_path', tool)
    return [tool] + command.argv(command.candidates(options.get('python'))), False, {}

'''
FAULTS = {
    'lower case': ("PROMPTS = ()", "PROMPTS = ('Password: ', 'password'),"),
    'no remedy': ("'not-found'", "'no-tool'"),
    r'no \(part, kind\)': ("PROMPTS = ()", "PROMPTS = ('password: ',),"),
    'not the last': ("FAILURES = ", "FAILURES = (('', 'ended'),) + "),
    'asks for': ('PROMPTS = ()', "PROMPTS = ()\nANSWERS = 'password',"),
    'controller alone': ('OPTIONS =', 'import econtext.controller.broker\nOPTIONS ='),
    'Python 2.4': ('    tool =', "    with open('/dev/null'): pass\n    tool ="),
    'changes the options': ('    tool =', "    options['seen'] = 1\n    tool ="),
    'second time': ('    return [tool]', '    import itertools\n    return [tool, str(next(COUNT))]'),
    'returns no': ('False, {}', 'False'),
    'no list of words': ('return [tool] + ', 'return [tool, 5] + '),
    'not True or False': ('False, {}', '0, {}'),
    'first stage': (' + command.argv(command.candidates(options.get(\'python\')))', ''),
    'it must raise': ('    command.check_options(options, OPTIONS)\n', ''),
    'a missing program is': ("or 'env'", "or 'env'\n    if tool[0] == '/': tool = 'false'"),
    'does not start': ('return [tool]', "return ['false', tool]"),
}


@pytest.fixture
def write(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(source: str) -> Any:
        (tmp_path / 'ect_tool.py').write_text(source)
        importlib.invalidate_caches()
        return importlib.import_module('ect_tool')

    yield write
    sys.modules.pop('ect_tool', None)


def test_a_good_one(write: Callable[[str], Any]) -> None:
    check_connector(write(GOOD), {}, nonsense=[{'python': ['']}], program='tool_path')


@pytest.mark.parametrize('message', FAULTS)
def test_a_faulty_one(write: Callable[[str], Any], message: str) -> None:
    old, new = FAULTS[message]
    assert old in GOOD
    module = write(GOOD.replace(old, new))
    module.COUNT = iter(range(1000))
    with pytest.raises(AssertionError, match=message):
        check_connector(module, {}, program='tool_path')
