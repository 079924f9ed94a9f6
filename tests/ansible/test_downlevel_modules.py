"""ansible-core's own modules, made older, on Python 3.6 to 3.8: all compile, and these do what they are for."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cores
import pytest

import lab
from econtext.ansible import downlevel
from lab import pythons

RELEASES = ('2.18', '2.21')
TARGETS = ((3, 6), (3, 7), (3, 8))
Result = dict[str, Any]

# What the wrapper of each release does with a payload, in few words: argv has the zip, the module and its arguments.
RUN = """
import sys
zipped, name, params = sys.argv[1:]
sys.argv[1:] = []
sys.path.insert(0, zipped)
try:
    from ansible.module_utils._internal._ansiballz import _loader
except ImportError:
    import runpy
    from ansible.module_utils import basic
    basic._ANSIBLE_ARGS = params.encode()
    names = dict(_module_fqn=name, _modlib_path=zipped)
    runpy.run_module(mod_name=name, init_globals=names, run_name='__main__', alter_sys=True)
else:
    _loader.run_module(json_params=params.encode(), profile='legacy', module_fqn=name, modlib_path=zipped,
                       extensions={})
"""
INIT = b'from pkgutil import extend_path\n__path__ = extend_path(__path__, __name__)\n'


class Case(NamedTuple):
    args: dict[str, Any]
    right: Callable[[Result], object]
    # What the module says where this machine lacks what it works with; no fault of the Python.
    lacking: str = 'never'
    check: bool = False


def case(right: Callable[[Result], object], lacking: str = 'never', check: bool = False, **args: Any) -> Case:
    return Case(args, right, lacking, check)


# The file `text` holds "one\ntwo\n"; FOLDER stands for the folder it is in.
CASES = {
    'ping': case(lambda r: r['ping'] == 'pong'),
    'command': case(lambda r: r['stdout'] == 'done', _raw_params='echo done'),
    'stat': case(lambda r: r['stat']['size'] == 8, path='FOLDER/text'),
    'file': case(lambda r: r['changed'] and r['mode'] == '0700', path='FOLDER/new', state='directory', mode='0700'),
    'copy': case(lambda r: r['changed'], src='FOLDER/text', dest='FOLDER/copied', remote_src=True),
    'lineinfile': case(lambda r: r['msg'] == 'line added', path='FOLDER/text', line='three'),
    'blockinfile': case(lambda r: r['changed'], path='FOLDER/text', block='a block'),
    'replace': case(lambda r: '2 replacements' in r['msg'], path='FOLDER/text', regexp='o', replace='0'),
    'find': case(lambda r: r['matched'] == 1, paths='FOLDER', patterns='te*'),
    'slurp': case(lambda r: r['content'] == 'b25lCnR3bwo=', src='FOLDER/text'),
    'setup': case(lambda r: r['ansible_facts']['ansible_python']['version']['minor'] in (6, 7), gather_subset=['!all']),
    'tempfile': case(lambda r: os.path.dirname(r['path']).endswith('files'), path='FOLDER', state='file'),
    'getent': case(lambda r: r['ansible_facts']['getent_passwd']['root'][1] == '0', database='passwd', key='root'),
    'user': case(lambda r: r['changed'], check=True, name='econtext-nobody'),
    'group': case(lambda r: r['changed'], check=True, name='econtext-nobody'),
    'unarchive': case(lambda r: r['handler'] == 'TgzArchive', src='FOLDER/packed.tar', dest='FOLDER', remote_src=True),
    'assemble': case(lambda r: r['changed'], src='FOLDER/parts', dest='FOLDER/assembled', remote_src=True),
    'wait_for': case(lambda r: r['path'] and not r['elapsed'], path='FOLDER/text', timeout=5),
    'async_status': case(lambda r: 'could not find job' in r['msg'], jid='1.2', _async_dir='FOLDER'),
    'known_hosts': case(lambda r: r['changed'] is False, name='host', state='absent', path='FOLDER/known'),
    'mount_facts': case(lambda r: r['ansible_facts']['mount_points'], sources=['/proc/mounts']),
    'service_facts': case(lambda r: 'services' in r['ansible_facts']),
    'ini': case(lambda r: r['changed'], name='x', baseurl='file:///x', description='x', reposdir='FOLDER'),
    'get_url': case(lambda r: r['changed'], url='file://FOLDER/text', dest='FOLDER/fetched'),
    'cron': case(lambda r: r['changed'], 'crontab', check=True, name='x', job='true'),
    'pip': case(lambda r: r['changed'] is False, name='pip', check=True),
    'package_facts': case(lambda r: r['ansible_facts']['packages'], 'Could not detect'),
    'apt': case(lambda r: 'changed' in r, 'apt|respawn|interpreter', name='bash', check=True),
    'dnf': case(lambda r: 'changed' in r, 'dnf', name='bash', check=True),
}  # fmt: skip
NAMES = {'ini': 'yum_repository'}
# How many of them must have done their own work, whatever the machine lacks; of an older release some are enough.
ENOUGH = 24
SOME = ('ping', 'file', 'lineinfile', 'setup', 'mount_facts', 'unarchive')


@pytest.fixture(scope='module', params=RELEASES)
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the package `ansible` of one release."""
    found, = cores.core(request.param, tmp_path_factory.getbasetemp()).parent.glob('lib/python*/site-packages/ansible')
    return Path(found)


@pytest.fixture(scope='module')
def zipped(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of ansible-core's modules and module_utils as one payload, made older."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, 'w') as writing:
        writing.writestr('ansible/__init__.py', INIT + b"__version__ = 'x'\n__author__ = 'x'\n")
        for folder in ('module_utils', 'modules'):
            for path in sorted((package / folder).rglob('*.py')):
                name = path.relative_to(package.parent).as_posix()
                content = INIT if name == 'ansible/module_utils/__init__.py' else path.read_bytes()
                writing.writestr(name, content)
    path = tmp_path_factory.mktemp('older') / 'payload.zip'
    path.write_bytes(downlevel.downlevel_payload(made.getvalue()))
    return path


def interpreter(target: tuple[int, int]) -> str:
    version = '%d.%d' % target
    if version not in pythons.interpreters():
        lab.unavailable(f'Python {version}: not on this machine')
    return pythons.interpreter(version)


@pytest.mark.deadline(300)
@pytest.mark.parametrize('target', TARGETS, ids=['3.6', '3.7', '3.8'])
def test_every_file_compiles(zipped: Path, target: tuple[int, int]) -> None:
    program = """
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as opened:
    names = [name for name in opened.namelist() if name.endswith('.py')]
    for name in names:
        compile(opened.read(name), name, 'exec', dont_inherit=True)
print(len(names))
"""
    done = subprocess.run([interpreter(target), '-c', program, zipped], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 190


def outcome(name: str, zipped: Path, folder: Path, target: tuple[int, int]) -> str:
    """Return what a module did: `right`, `lacks …` or `wrong …`."""
    files = folder / 'files'
    (files / 'parts').mkdir(parents=True)
    (files / 'parts' / 'a').write_text('a\n')
    (files / 'text').write_text('one\ntwo\n')
    subprocess.run(['tar', 'czf', files / 'packed.tar', '-C', files, 'parts'], check=True)
    tried = CASES[name]
    given = json.loads(json.dumps(tried.args).replace('FOLDER', str(files)))
    given.update(_ansible_check_mode=tried.check, _ansible_remote_tmp=str(folder), _ansible_tmpdir=str(folder))
    done = subprocess.run(
        [interpreter(target), '-c', RUN, zipped, 'ansible.modules.' + NAMES.get(name, name),
         json.dumps({'ANSIBLE_MODULE_ARGS': given})],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=files,
        env={**cores.clean(), 'LC_ALL': 'C.UTF-8', 'HOME': str(folder)})  # fmt: skip
    try:
        result = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return 'wrong: ' + done.stdout[-300:] + done.stderr[-900:]
    try:
        if tried.right(result):
            return 'right'
    except (KeyError, TypeError):
        pass
    said = str(result.get('msg'))
    return ('lacks: ' if re.search(tried.lacking, said) else 'wrong: ') + said[:300] + str(result)[-900:]


PAGE = """\
# The modules on Python 3.6

Made by `scripts/ansible_old_modules`; do not edit. Modules of ansible-core {core}, made older, ran on Python 3.6 of
this machine, each with a task that shows whether it does its own work: {right} of {all} did. The others found no
program or bindings that they work with: bindings such as those of apt and dnf exist for the Python of a system alone.

| module | on Python 3.6 |
|---|---|
"""


def page(core: str, found: dict[str, str]) -> str:
    """Return the page that tells what was found."""
    rows = []
    for name, said in found.items():
        # The first sentence, without what it lists.
        words = re.split(r'\. |: \[|[{\n]', said)[0].replace('|', ' ').strip()
        rows.append(f'| {NAMES.get(name, name)} | {words} |')
    right = list(found.values()).count('right')
    return PAGE.format(core=core, right=right, all=len(found)) + chr(10).join(sorted(rows)) + chr(10)


@pytest.mark.deadline(300)
def test_modules_do_what_they_are_for(package: Path, zipped: Path, tmp_path: Path) -> None:
    chosen = list(CASES) if cores.NEWEST in str(package) else SOME
    found = {name: outcome(name, zipped, tmp_path / name, downlevel.OLDEST) for name in chosen}
    for name, said in found.items():
        print(f'{NAMES.get(name, name):16} {said}')
    assert {name: said for name, said in found.items() if said.startswith('wrong')} == {}
    assert list(found.values()).count('right') >= min(ENOUGH, len(chosen))
    wanted = os.environ.get('ECONTEXT_OLD_MODULES')
    if wanted and chosen is not SOME:
        Path(wanted).write_text(page(cores.NEWEST, found))
