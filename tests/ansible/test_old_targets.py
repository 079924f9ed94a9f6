"""Hosts with Python 3.6 to 3.8 under releases of ansible-core that refuse these Pythons, over a real ssh server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cores
import pytest
from runs import Ansible, Result, comparable

from lab import open_to_all, pythons, require
from lab.accounts import Accounts
from lab.sshd import Sshd

OURS = 'econtext.core.ssh'
pytestmark = pytest.mark.deadline(600)

PLAY = """
- {name: ping, ping: {}}
- {name: facts, setup: {gather_subset: [all, '!hardware']}}
- {name: command, command: "sh -c 'echo out; echo err >&2'"}
- {name: shell, shell: "id -un; umask; cat"}
- {name: root, command: id -un, become: true}
- {name: another user, command: id -un, become: true, become_user: ect_target}
- {name: copy, copy: {content: "hello {{ inventory_hostname }}\\n", dest: "{{ place }}/file", mode: '0640'}}
- {name: copy again, copy: {content: "hello {{ inventory_hostname }}\\n", dest: "{{ place }}/file", mode: '0640'}}
- {name: copy by root, copy: {content: "of root\\n", dest: "{{ place }}/root"}, become: true}
- {name: template, template: {src: "{{ template }}", dest: "{{ place }}/template"}}
- {name: line, lineinfile: {path: "{{ place }}/file", line: 'ä {{ 6 * 7 }}'}}
- {name: block, blockinfile: {path: "{{ place }}/file", block: "a\\nb"}}
- {name: replace, replace: {path: "{{ place }}/file", regexp: h, replace: H}}
- {name: folder, file: {path: "{{ place }}/folder", state: directory, mode: '0700'}}
- {name: stat, stat: {path: "{{ place }}/file"}}
- {name: slurp, slurp: {src: "{{ place }}/file"}}
- {name: find, find: {paths: "{{ place }}", patterns: 'temp*'}}
- {name: fetch, fetch: {src: "{{ place }}/file", dest: "{{ place }}/fetched", flat: true}}
- {name: loop, command: "echo {{ item }}", loop: [a, "b c", d]}
- {name: async, command: "sh -c 'sleep 0.2; echo later'", async: 60, poll: 1}
- {name: async by root, command: id -un, async: 60, poll: 1, become: true}
- {name: async that fails, command: /no/such/program, async: 60, poll: 1, ignore_errors: true}
- {name: no pipelining, command: id -un, vars: {ansible_pipelining: false}}
- {name: no pipelining by root, command: id -un, vars: {ansible_pipelining: false}, become: true}
- {name: locale, shell: "echo $LC_ALL", environment: {LC_ALL: C.UTF-8}}
- {name: own process, shell: "echo $PYTHONOPTIMIZE", environment: {PYTHONOPTIMIZE: '1'}}
- {name: no program, command: /no/such/program, ignore_errors: true}
- {name: status, shell: "echo x; exit 7", ignore_errors: true}
- {name: wrong arguments, stat: {no_such: argument}, ignore_errors: true}
- {name: missing argument, lineinfile: {line: x}, ignore_errors: true}
- {name: script, script: "{{ script }} one 'two three'"}
- {name: raw, raw: "echo raw; exit 3", ignore_errors: true}
- {name: getent, getent: {database: passwd, key: root}}
- {name: user, user: {name: ect_nobody, state: present}, check_mode: true, become: true}
- {name: archive, unarchive: {src: "{{ archive }}", dest: "{{ place }}"}}
- {name: assemble, assemble: {src: "{{ place }}/parts", dest: "{{ place }}/assembled", remote_src: true}}
- {name: services, service_facts: {}, no_log: true}
- {name: port, wait_for: {path: "{{ place }}/file", timeout: 5}}
- {name: own module, greet: {whom: me}}
- {name: own module fails, greet: {whom: ''}, ignore_errors: true}
- {name: of a collection, acme.tools.greet: {whom: me}}
- {name: wants JSON, wants: {a: [1, 2]}}
- {name: of the shell, shellish: {a: b}}
- {name: removed, file: {path: "{{ place }}/file", state: absent}}
"""

GREET = """#!/usr/bin/python
from __future__ import annotations
import dataclasses
from ansible.module_utils.basic import AnsibleModule
from {place} import greeting

@dataclasses.dataclass(frozen=True)
class Said:
    text: str
    words: list[str] = dataclasses.field(default_factory=list)

def main() -> None:
    module = AnsibleModule(argument_spec=dict(whom=dict(type='str', required=True)), supports_check_mode=True)
    if not (whom := module.params['whom']):
        module.fail_json(msg=f'nobody is {{whom=}}')
    said = Said(greeting(whom), greeting(whom).split())
    module.exit_json(changed=False, **dataclasses.asdict(said))

if __name__ == '__main__':
    main()
"""
GREETING = """
from __future__ import annotations
import functools

@functools.cache
def greeting(whom: str | None, /) -> str:
    return f"hello {'you' if (found := whom) is None else found}"
"""
WANTS = """#!/usr/bin/python
# WANT_JSON
import json, sys
given = json.load(open(sys.argv[1]))
print(json.dumps({'changed': False, 'given': given['a']}))
"""
SHELLISH = """#!/bin/sh
. "$1"
echo "{\\"changed\\": false, \\"given\\": \\"$a\\"}"
"""
MATCHING = """
def found(value):
    match value:
        case _: return 1
"""


@pytest.fixture(scope='module', params=cores.RELEASES)
def ansible(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sshd: Sshd, accounts: Accounts,
) -> Ansible:
    require('sudo')
    programs = cores.core(request.param, tmp_path_factory.getbasetemp())
    made = Ansible(programs, tmp_path_factory.mktemp('ansible'), sshd, accounts)
    tools = 'collections/ansible_collections/acme/tools/plugins/'
    for name, text in {
            'library/greet.py': GREET.format(place='ansible.module_utils.greeting'), 'library/wants.py': WANTS,
            'library/shellish': SHELLISH, 'module_utils/greeting.py': GREETING,
            tools + 'modules/greet.py': GREET.format(
                place='ansible_collections.acme.tools.plugins.module_utils.greeting'),
            tools + 'module_utils/greeting.py': GREETING,
            # What no older Python can be made to understand, and who needs it.
            'library/matches.py': module('match value:\n        case _: pass'),
            'module_utils/matching.py': MATCHING,
            'library/needs.py': module('', 'from ansible.module_utils.matching import found'),
            'library/may_need.py': module('if value:\n        from ansible.module_utils.matching import found'),
    }.items():  # fmt: skip
        path = made.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with open(made.folder / 'ansible.cfg', 'a') as config:
        config.write('library = library\nmodule_utils = module_utils\ncollections_path = collections\n')
    return made


def module(statement: str, start: str = '') -> str:
    """Return a module that does this with its argument `value`."""
    return f"""#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
{start}
def main():
    module = AnsibleModule(argument_spec=dict(value=dict(type='bool', default=False)))
    value = module.params['value']
    {statement}
    module.exit_json(changed=False, done=True)

main()
"""


@pytest.fixture
def place(tmp_path: Path, accounts: Accounts) -> Callable[[], Path]:
    """Makes folders that belong to the account `nopw`."""

    def make() -> Path:
        folder = tmp_path / f'place{len(list(tmp_path.iterdir()))}'
        (folder / 'parts').mkdir(parents=True)
        (folder / 'parts' / 'a').write_text('a\n')
        open_to_all(folder / 'parts')
        os.chown(folder, accounts['nopw'].uid, -1)
        return folder

    return make


MISSING = '(missing)'
# Of an interpreter, and of the moment.
OWN_FACTS = {'ansible_python', 'ansible_python_version', 'ansible_date_time', 'discovered_interpreter_python',
             'ansible_loadavg', 'ansible_memfree_mb', 'ansible_memory_mb', 'ansible_env', 'ansible_uptime_seconds',
             'ansible_processor_vcpus', 'ansible_entropy_avail'}  # fmt: skip


def seen(done: Result, folder: Path) -> list[tuple[str, str, Any]]:
    """Return what each task of a run has brought, without what differs from one run or interpreter to another."""
    found = []
    for each in done.results:
        result = comparable(each['result'], folder)
        result.pop('dest', None)
        if 'msg' in result:     # Python 3.6 names the program of an OSError twice
            result['msg'] = re.sub(r"(: b'[^']*')\1", r'\1', str(result['msg']))
        facts = result.get('ansible_facts', {})
        # Python 3.7 and later put it into their own environment.
        facts.get('ansible_env', {}).pop('LC_CTYPE', None)
        result['names'] = sorted(facts)
        for name, value in facts.items():
            if name in OWN_FACTS:
                facts[name] = sorted(value) if isinstance(value, dict) else type(value).__name__
            elif name.startswith('ansible_virtualization_tech') or name == 'ansible_interfaces':
                facts[name] = sorted(value)     # sets there
        found.append((each['task'], each['kind'], result))
    return found


def differences(where: str, one: Any, other: Any) -> Iterator[str]:
    """Yield in words what differs between two values, key by key."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted({*one, *other}):
            yield from differences(f'{where} {name}', one.get(name, MISSING), other.get(name, MISSING))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for left, right in zip(one, other, strict=True):
            yield from differences(f'{where} {left[0] if isinstance(left, tuple) else ""}', left, right)
    elif isinstance(one, tuple) and isinstance(other, tuple):
        yield from differences(where, list(one), list(other))
    elif one != other:
        yield f'{where}: {one!r}, {other!r}'


def test_a_play_does_on_python_3_6_what_it_does_on_3_11(
    ansible: Ansible, place: Callable[[], Path], tmp_path: Path,
) -> None:
    template, script = tmp_path / 'template', tmp_path / 'script'
    template.write_text('{{ inventory_hostname }} {{ 6 * 7 }}\n')
    script.write_text('#!/bin/sh\necho "$1,$2"\necho "err" >&2\nid -un\nexit 0\n')
    archive = tmp_path / 'archive.tar'
    assert not os.system(f'tar cf {archive} -C {tmp_path} template')
    results = {}
    for version in '3.6', '3.11':
        folder = place()
        done = ansible.run(
            PLAY, OURS, place=str(folder), template=str(template), script=str(script), archive=str(archive),
            ansible_python_interpreter=pythons.public_python(version))
        assert done.returncode == 0, done.output
        results[version] = seen(done, folder)
        facts = done.of('facts')['ansible_facts']
        assert facts['ansible_python_version'].startswith(version + '.')
    assert len(results['3.6']) == len(PLAY.strip().splitlines())
    differ = list(differences('', results['3.6'], results['3.11']))
    assert not differ, '\n'.join(differ)


def fake_dnf(folder: Path) -> Path:
    """Return the interpreter of an environment of Python 3.6 in which there is a package `dnf` that can do nothing."""
    subprocess.run(
        [pythons.public_python('3.6'), '-m', 'venv', '--without-pip', '--symlinks', folder], check=True, timeout=100)
    packages, = folder.glob('lib/python*/site-packages')
    for name, text in {
            '__init__': "import sys\n__version__ = '4.7'\nclass Base:\n  def __init__(self):\n"
                        "    raise RuntimeError('no base on Python %d.%d' % sys.version_info[:2])\n",
            'base': 'WITH_MODULES = True', 'const': '', 'subject': '', 'package': '',
            'exceptions': 'class Error(Exception): pass\nclass RepoError(Error): pass',
            'util': 'def am_i_root(): return True', 'module/__init__': '', 'module/module_base': '', 'cli/__init__': '',
    }.items():  # fmt: skip
        path = packages / 'dnf' / f'{name}.py'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with open(packages / 'dnf' / '__init__.py', 'a') as opened:
        opened.write('import dnf.base\n')
    open_to_all(packages / 'dnf' / 'module')
    return folder / 'bin' / 'python'


def test_versions_discovery_and_what_cannot_be_made_older(ansible: Ansible, tmp_path: Path) -> None:
    """Each in one task of one run: 3.7 and 3.8, discovery, dnf with bindings that do nothing, and newer sources."""
    # The newest that this release refuses.
    refuses_3_8 = not any(f'ansible-core-{release}' in str(ansible.programs) for release in ('2.18', '2.19'))
    newest = pythons.public_python('3.8' if refuses_3_8 else '3.7')
    tasks = """
- {name: of 3.7, greet: {whom: me}, vars: {ansible_python_interpreter: '%s'}}
- {name: newest, greet: {whom: me}, vars: {ansible_python_interpreter: '%s'}}
- {name: newest later, greet: {whom: me}, async: 60, poll: 1, vars: {ansible_python_interpreter: '%s'}}
- {name: dnf, dnf: {name: bash, use_backend: dnf4}, ignore_errors: true, vars: {ansible_python_interpreter: '%s'}}
- {name: matches, matches: {}, ignore_errors: true, vars: {ansible_python_interpreter: '{{ old }}'}}
- {name: matches in a file, matches: {}, ignore_errors: true, vars: {ansible_python_interpreter: '{{ old }}',
   ansible_pipelining: false}}
- {name: needs, needs: {}, ignore_errors: true, vars: {ansible_python_interpreter: '{{ old }}'}}
- {name: needs not, may_need: {value: false}, vars: {ansible_python_interpreter: '{{ old }}'}}
- {name: needs now, may_need: {value: true}, ignore_errors: true, vars: {ansible_python_interpreter: '{{ old }}'}}
- {name: newer, matches: {}, vars: {ansible_python_interpreter: /usr/bin/python3}}
- {name: found, setup: {gather_subset: ['!all', python]}, vars: {ansible_python_interpreter: auto}}
""" % (pythons.public_python('3.7'), newest, newest, fake_dnf(tmp_path / 'with-dnf'))
    old = str(pythons.public_python('3.6'))
    done = ansible.run(tasks, OURS, ansible_interpreter_python_fallback=[old], old=old)
    assert done.returncode == 0, done.output
    for name in 'of 3.7', 'newest', 'newest later':
        assert done.of(name)['words'] == ['hello', 'me']
    assert 'no base on Python 3.6' in str(done.of('dnf')), done.of('dnf')
    for name in 'matches', 'matches in a file':
        assert re.search(r'matches\.py cannot be made to run on Python 3\.6: a match statement, line 7\. Use a newer',
                         done.of(name)['msg']), done.of(name)
    for name in 'needs', 'needs now':
        assert done.of(name)['kind'] == 'failed'
        assert 'matching.py cannot be made to run on Python 3.6: a match statement' in str(done.of(name)['msg'])
    assert done.of('needs not')['done']
    assert done.of('newer')['done']
    facts = done.of('found')['ansible_facts']
    assert facts['ansible_python']['executable'] == old
    assert 'Unhandled error' not in done.output


def test_what_was_made_older_is_kept_and_damage_is_mended(ansible: Ansible) -> None:
    if cores.NEWEST not in str(ansible.programs):
        pytest.skip('one release is enough')
    store = ansible.folder / 'cache' / 'econtext' / 'ansible' / 'older'
    old = pythons.public_python('3.6')

    def run() -> dict[str, bytes]:
        done = ansible.run('- {name: one, greet: {whom: me}}', OURS, ansible_python_interpreter=old)
        assert done.returncode == 0, done.output
        return {path.name: path.read_bytes() for path in store.iterdir()}

    shutil.rmtree(store, ignore_errors=True)    # of other tests
    first = run()
    assert len(first) > 50
    times = {path.name: path.stat().st_ino for path in store.iterdir()}
    assert run() == first
    assert {path.name: path.stat().st_ino for path in store.iterdir()} == times, 'nothing is written twice'
    names = sorted(first)
    for number, name in enumerate(names):
        path = store / name
        if number % 3 == 0:
            path.write_bytes(first[name][:-20])
        elif number % 3 == 1:
            path.write_bytes(first[names[number - 1]])      # whole, and of another source
    assert run() == first
