"""Point 6, single-file programs: the seed's own, run as a person runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipapp
from pathlib import Path

import pytest

import econtext
from lab import pythons
from lab.accounts import Accounts, home_of
from lab.sshd import Sshd

SEED = '''\
#!/usr/bin/env python
"""
Install our application on a remote machine.

Usage:
    install_app.py <hostname>
"""
import os
import sys

import econtext


def install_app():
    os.system('tar zxvf my_app.tar.gz')


def main(broker):
    if len(sys.argv) != 2:
        print(__doc__)
        sys.exit(1)

    context = econtext.ssh.connect(broker, sys.argv[1])
    context.call(install_app)


if __name__ == '__main__' and not econtext.slave:
    import econtext.utils
    econtext.utils.run_with_broker(main)
'''

# Says what a child sees of the program; %(python)r is the child's interpreter.
LOOK = '''\
# -*- coding: utf-8 -*-
"""What this is: \u2603."""
import os
import sys

import econtext

NUMBER = 7
os.write(2, ('run as %%s by %%d\\n' %% (__name__, os.getpid())).encode())


def look():
    return {'name': __name__, 'doc': __doc__, 'argv': list(sys.argv), 'slave': econtext.slave,
            'number': NUMBER, 'pid': os.getpid(), 'main': hasattr(sys.modules['__main__'], 'look')}


def main(broker):
    import json
    context = broker.local(python=%(python)r)
    for _ in range(%(hops)d):
        context = context.local(python=%(python)r)
    seen = context.call(look)
    seen['calls'] = [context.call(look)['pid'], context.pid]
    sys.stdout.write(json.dumps(seen) + '\\n')


if __name__ == '__main__'%(guard)s:
    os.write(2, 'under the guard\\n'.encode())
    import econtext.utils
    econtext.utils.run_with_broker(main)
'''


def run(program: Path, *args: str, path: str = '', **options: object) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, 'PYTHONPATH': str(Path(econtext.__file__).parent.parent)}
    if path:
        environ['PATH'] = f'{path}:{environ["PATH"]}'
    return subprocess.run(
        [sys.executable, str(program), *args], capture_output=True, text=True, encoding='utf-8', env=environ,
        timeout=60, stdin=subprocess.DEVNULL, **options,  # type: ignore[call-overload]
    )  # fmt: skip


@pytest.fixture
def client(sshd: Sshd, accounts: Accounts, tmp_path: Path) -> str:
    """A folder whose `ssh` has a user's configuration: it leads every name to the plain account."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    (folder / 'ssh').write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {sshd.config} -l {accounts["plain"].name} "$@"\n')
    (folder / 'ssh').chmod(0o755)
    return str(folder)


# -- the seed's own ----------------------------------------------------------


@pytest.mark.parametrize('guard', [' and not econtext.slave', ''])
def test_the_seed_s_program(client: str, accounts: Accounts, tmp_path: Path, guard: str) -> None:
    (tmp_path / 'hello').write_text('hello\n')
    with home_of(accounts['plain']) as home:
        install(client, home, tmp_path, guard)


def install(client: str, home: Path, tmp_path: Path, guard: str) -> None:
    with tarfile.open(home / 'my_app.tar.gz', 'w:gz') as archive:
        archive.add(tmp_path / 'hello', 'my_app/hello')
    os.chmod(home / 'my_app.tar.gz', 0o644)
    program = tmp_path / 'install_app.py'
    program.write_text(SEED.replace(' and not econtext.slave', guard))
    done = run(program, 'lab-one', path=client)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ''
    assert done.stderr == 'INFO: econtext.ctx.lab-one: stdout: my_app/hello\n'
    assert (home / 'my_app' / 'hello').read_text() == 'hello\n'


def test_the_seed_s_program_without_a_host(tmp_path: Path) -> None:
    program = tmp_path / 'install_app.py'
    program.write_text(SEED)
    done = run(program)
    assert done.returncode == 1
    assert 'install_app.py <hostname>' in done.stdout
    assert done.stderr == ''


# -- what the program sees in a child ----------------------------------------


@pytest.mark.parametrize('guard', [' and not econtext.slave', ''])
@pytest.mark.parametrize('hops', [0, 1])
def test_what_a_child_sees(python: pythons.Interpreter, tmp_path: Path, guard: str, hops: int) -> None:
    program = tmp_path / 'look_around.py'
    program.write_text(LOOK % {'python': str(python), 'guard': guard, 'hops': hops}, encoding='utf-8')
    done = run(program, 'one', 'zwei \u2603')
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen['name'] == 'look_around'
    assert seen['doc'] == 'What this is: \u2603.'
    assert seen['argv'] == [str(program), 'one', 'zwei \u2603']
    assert seen['slave'] is True
    assert seen['number'] == 7
    assert seen['calls'] == [seen['pid']] * 2
    assert done.stderr.count('under the guard') == 1
    assert done.stderr.count('run as __main__') == 1
    assert done.stderr.count('run as look_around') == 1  # once, in the context that is called alone


@pytest.mark.parametrize('name', ['install-app.py', 'code.py', 'string.py', 'test.py', 'no_suffix', 'two.dots.py'])
def test_programs_of_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / 'programs'
    folder.mkdir()
    program = folder / name
    text = LOOK % {'python': sys.executable, 'guard': '', 'hops': 0}
    program.write_text(text, encoding='utf-8')
    done = run(program, '-v') if name != 'string.py' else None
    if done is None:
        pytest.skip('a program of this name breaks Python itself')
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen['name'] != '__main__'
    assert seen['argv'] == [str(program), '-v']


def test_what_lies_beside_the_program(tmp_path: Path) -> None:
    (tmp_path / 'beside.py').write_text('import os\n\n\ndef where():\n    return __name__, os.getpid()\n')
    program = tmp_path / 'program.py'
    program.write_text(
        'import os, econtext, econtext.utils, beside\n'
        'def twice():\n    return beside.where() + beside.where()\n'
        'def main(broker):\n'
        '    context = broker.local()\n'
        '    assert context.call(twice) == ("beside", context.pid) * 2\n'
        '    assert context.pid != os.getpid()\n'
        '    print("fine")\n'
        'if __name__ == "__main__":\n    econtext.utils.run_with_broker(main)\n'
    )
    done = run(program)
    assert (done.stdout, done.stderr, done.returncode) == ('fine\n', '', 0)


HELPER = '''\
import os
import __main__
from __main__ import NUMBER
import __main__ as program, sys


def number():
    from __main__ import look
    return [NUMBER, __main__.look()['number'], program.NUMBER, look()['name'], sys.modules['helper'].NUMBER]
'''


@pytest.mark.parametrize('asked', ['sent ahead', 'asked for'])
def test_a_helper_s_main_is_the_program(python: pythons.Interpreter, tmp_path: Path, asked: str) -> None:
    (tmp_path / 'helper.py').write_text(HELPER)
    program = tmp_path / 'look_around.py'
    text = LOOK % {'python': str(python), 'guard': '', 'hops': 0}
    late = "__import__('hel' + 'per')" if asked == 'asked for' else '__import__("helper")'
    text = text.replace('def main(broker)', f'def helped():\n    return {late}.number()\n\n\ndef main(broker)')
    if asked == 'sent ahead':
        text = text.replace('def helped():', 'def helped():\n    import helper')
    program.write_text(text.replace("context.call(look)['pid']", 'context.call(helped)'), encoding='utf-8')
    done = run(program)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)['calls'][0] == [7, 7, 7, 'look_around', 7]


def test_a_program_without_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / 'helper.py').write_text('def name():\n    import __main__\n    return __main__.__name__\n')
    text = 'import econtext, helper\nwith econtext.Broker() as broker:\n    broker.local().call(helper.name)\n'
    environ = {**os.environ, 'PYTHONPATH': f'{Path(econtext.__file__).parent.parent}:{tmp_path}'}
    done = subprocess.run([sys.executable, '-'], input=text, capture_output=True, text=True, env=environ, timeout=60)
    assert 'ImportError: __main__ of the program has no source here' in done.stderr


def test_line_ends_of_another_system(tmp_path: Path) -> None:
    program = tmp_path / 'look_around.py'
    text = LOOK % {'python': str(pythons.interpreter('2.7')), 'guard': '', 'hops': 0}
    program.write_bytes(text.replace('\n', '\r\n').rstrip().encode())
    done = run(program)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)['number'] == 7


# -- without logging ---------------------------------------------------------


UNCONFIGURED = '''\
import logging, sys
import econtext
def speak():
    print('to standard output')
    sys.stderr.write('to standard error\\n')
    logging.getLogger('app').warning('a warning')
    logging.getLogger('app').info('an information')
if __name__ == '__main__':
    %s
    with econtext.Broker() as broker:
        web, db = broker.local(name='web'), broker.local(name='db')
        web.call(speak)
        print('here')
        db.call(print, 'there')
'''


@pytest.mark.parametrize(('begin', 'shown'), [
    ('pass', ['[web] to standard output', '[web] stderr: to standard error', '[web] WARNING: app: a warning',
              '[db] there']),
    ('logging.getLogger("econtext").setLevel(logging.WARNING)', ['[web] WARNING: app: a warning']),
    ('logging.getLogger("econtext").addHandler(logging.NullHandler())', []),
    ('logging.basicConfig(format="own %(message)s")', ['own app: a warning']),
])  # fmt: skip
def test_a_program_that_sets_up_no_logging_sees_the_lines_of_its_contexts(
    tmp_path: Path, begin: str, shown: list[str]
) -> None:
    program = tmp_path / 'program.py'
    program.write_text(UNCONFIGURED % begin)
    done = run(program)
    assert (done.stdout, done.returncode) == ('here\n', 0)
    # Standard output and standard error are two pipes: between them nothing has an order.
    assert sorted(done.stderr.splitlines()) == sorted(shown)


# -- run_with_broker ---------------------------------------------------------


FRAME = '''\
import logging, os, sys
import econtext
import econtext.utils
def shout():
    print('shouted')
def fail():
    raise ValueError('of the program')
def main(broker):
    context = broker.local(name='child')
    %s
if __name__ == '__main__':
    %s
'''


def framed(tmp_path: Path, body: str, start: str = 'econtext.utils.run_with_broker(main)') -> object:
    program = tmp_path / 'program.py'
    program.write_text(FRAME % (body, start))
    return run(program)


def test_it_returns_what_main_returns(tmp_path: Path) -> None:
    done = framed(tmp_path, 'return context.call(max, 2, 3)', 'print(econtext.utils.run_with_broker(main))')
    assert (done.stdout, done.stderr, done.returncode) == ('3\n', '', 0)  # type: ignore[attr-defined]


def test_it_leaves_a_program_s_own_logging_alone(tmp_path: Path) -> None:
    start = 'logging.basicConfig(format="own %(message)s", level=logging.INFO); econtext.utils.run_with_broker(main)'
    done = framed(tmp_path, 'context.call(shout)', start)
    assert (done.stderr, done.returncode) == ('own stdout: shouted\n', 0)  # type: ignore[attr-defined]


def test_an_exit_of_main_is_the_program_s(tmp_path: Path) -> None:
    done = framed(tmp_path, 'context.call(os.getpid); sys.exit(3)')
    assert (done.stdout, done.stderr, done.returncode) == ('', '', 3)  # type: ignore[attr-defined]


def test_an_error_over_there_shows_the_program_s_own_lines(tmp_path: Path) -> None:
    done = framed(tmp_path, 'context.call(fail)')
    error = done.stderr  # type: ignore[attr-defined]
    assert done.returncode == 1  # type: ignore[attr-defined]
    assert 'ValueError: of the program' in error
    assert 'program.py", line 7, in fail' in error
    assert error.count("raise ValueError('of the program')") == 1


def test_a_program_from_standard_input_or_the_command_line(tmp_path: Path) -> None:
    """What has no file has no source to send: an answer all the same, not a riddle."""
    text = FRAME % ('print(context.call(os.getpid) > 0); context.call(shout)', 'econtext.utils.run_with_broker(main)')
    environ = {**os.environ, 'PYTHONPATH': str(Path(econtext.__file__).parent.parent)}
    done = subprocess.run([sys.executable, '-'], input=text, capture_output=True, text=True, env=environ, timeout=60)
    assert done.stdout == 'True\n'
    if done.returncode:
        assert 'Error: ' in done.stderr.splitlines()[-1] or 'No module named' in done.stderr


SPAWNS = '''\
import multiprocessing
import sys

import econtext


class Shop:
    @classmethod
    def name(cls):
        return cls.__name__


def add(a, b):
    return a + b


def work(queue):
    with econtext.Broker() as broker:
        child = broker.local()
        queue.put((child.call(add, 1, 2), child.call(Shop.name)))


if __name__ == '__main__' and not econtext.slave:
    kind = multiprocessing.get_context(sys.argv[1])
    queue = kind.Queue()
    process = kind.Process(target=work, args=(queue,))
    process.start()
    process.join()
    print(queue.get(timeout=60))
'''


@pytest.mark.parametrize('kind', ['fork', 'spawn', 'forkserver'])
def test_a_program_of_several_processes(tmp_path: Path, kind: str) -> None:
    """What multiprocessing starts calls the program's own module by another name."""
    path = tmp_path / 'several.py'
    path.write_text(SPAWNS)
    done = subprocess.run([sys.executable, str(path), kind], capture_output=True, text=True, timeout=60)
    assert done.stdout == "(3, 'Shop')\n", done.stderr


@pytest.mark.every_python
def test_the_face_of_econtext_in_a_child(tmp_path: Path, python: pythons.Interpreter) -> None:
    """A program may name at its top what only the controller has."""
    program = tmp_path / 'program.py'
    program.write_text(
        'import econtext, econtext.utils\n'
        f'from econtext import {", ".join(econtext.__all__)}\n'
        'import econtext.ssh\n'
        'ANNOTATED = Broker | None, None | Stream, Future[int]\n'
        'def use():\n    return econtext.ssh.connect(None, "host")\n'
        'def main(broker):\n'
        f'    context = broker.local(python={str(python)!r})\n'
        '    try:\n        context.call(use)\n'
        '    except econtext.CallError as error:\n        print(error.message)\n'
        'if __name__ == "__main__":\n    econtext.utils.run_with_broker(main)\n'
    )
    done = run(program)
    assert done.returncode == 0, done.stderr
    assert 'works only where the program was started' in done.stdout


# -- a program called like what it imports -----------------------------------

TOOL = '''\
import sys
import econtext
from tool.steps import step


def own():
    return __name__, step()


if __name__ == '__main__':
    with econtext.Broker() as broker:
        context = broker.local()
        sys.stdout.write(repr([context.call(step), context.call(own)]))
'''


@pytest.mark.parametrize('name', ['tool', 'tool.py'])
@pytest.mark.parametrize('kind', ['package', 'namespace', 'archive'])
def test_a_program_called_like_its_package(tmp_path: Path, name: str, kind: str) -> None:
    """As the commands are that pip writes for `[project.scripts]`."""
    package = tmp_path / 'lib' / 'tool'
    package.mkdir(parents=True)
    (package / 'steps.py').write_text('def step():\n    return __name__\n')
    if kind != 'namespace':
        (package / '__init__.py').write_text('')
    program = tmp_path / name
    if kind == 'archive':
        (tmp_path / 'lib' / '__main__.py').write_text(TOOL)
        program = tmp_path / 'tool.pyz'
        zipapp.create_archive(tmp_path / 'lib', program)
    else:
        # Its own folder is first on sys.path, the package further behind.
        program.write_text(f'import sys; sys.path[0] = {str(package.parent)!r}\n{TOOL}')
    done = run(program)
    assert done.stdout == repr(['tool.steps', ('econtext_main_tool', 'tool.steps')]), done.stderr
