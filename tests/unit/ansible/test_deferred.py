"""Which commands of Ansible wait, as what steps; and that a host ends up the same by steps as by commands."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from econtext.ansible.deferred import MOST, Deferred, Known, StepError
from econtext.child import temporary

PARENT = '/home/me/.ansible/tmp'
NAME = 'ansible-tmp-1796030527.115242-27192-66739774202167'
PATH = f'{PARENT}/{NAME}'


def folder_line(parent: str, name: str) -> str:
    """As Ansible's shell plugin makes the line."""
    path = f'{parent}/{name}'
    return (f'( umask 77 && mkdir -p "` echo {parent} `"&& mkdir "` echo {path} `" && echo {name}="` echo {path} `" )')


def command(line: str, data: bytes = b'') -> dict[str, Any]:
    return {'what': 'command', 'words': ['/bin/sh', '-c', line], 'input': data}


def remove_line(path: str) -> str:
    return f'rm -f -r {path}/ > /dev/null 2>&1'


def experienced(*parents: str) -> Known:
    """Return what is known when a folder has been made in each of `parents`."""
    known = Known()
    known.learn(command('echo ~'), (0, b'/home/me\n', b''))
    for parent in parents or (PARENT,):
        assert known.learn(command(folder_line(parent, NAME)), (0, b'', b'')) == f'{parent}/{NAME}'
    return known


def step(line: str, deferred: Deferred | None = None, known: Known | None = None) -> tuple[Any, ...] | None:
    found = (deferred or Deferred()).step(command(line), known or experienced())
    return found and found.what


def with_folder() -> Deferred:
    deferred = Deferred()
    deferred.made(PATH)
    return deferred


def test_what_waits() -> None:
    found = Deferred().step(command(folder_line(PARENT, NAME)), experienced())
    assert found is not None
    assert found.what == ('folder', PATH)
    assert found.output == f'{NAME}={PATH}\n'.encode()
    asked = Deferred().step(command('echo ~ && sleep 0'), experienced())
    assert asked is not None
    assert asked.what == ('home', '', '/home/me')
    assert asked.output == b'/home/me\n'
    assert step(f'chmod u+rwx {PATH}/ {PATH}/.source', with_folder()) == ('mode', 0o700, PATH + '/', PATH + '/.source')
    assert step(f'chmod u+x {PATH}/.source', with_folder()) == ('mode', 0o100, PATH + '/.source')
    assert step(f"chmod u+x '{PATH}/a b'", with_folder()) == ('mode', 0o100, PATH + '/a b')
    assert step(remove_line(PATH), with_folder()) == ('remove', PATH)


@pytest.mark.parametrize('line', [
    folder_line(PARENT, NAME),      # nobody has made one there
    'echo ~', 'echo ~root',         # nobody has asked
])
def test_the_first_is_a_command(line: str) -> None:
    assert step(line, known=Known()) is None


@pytest.mark.parametrize('line', [
    'echo ~root', 'echo ~ me', 'echo ~;id', 'echo ~/x', 'pwd',
    folder_line('~/tmp', NAME), folder_line('$HOME/tmp', NAME), folder_line('/a b', NAME), folder_line('/tmp/*', NAME),
    folder_line('/other', NAME), folder_line(PARENT, 'mine'), folder_line(PARENT, NAME).replace('77', '22'),
    folder_line(PARENT, NAME) + '; id',
    'chmod u+rwx /etc', f'chmod u+rwx {PATH} /etc', f'chmod a+rwx {PATH}', f'chmod u+s {PATH}', f'chmod u+x {PATH}/*',
    f'chmod u+x {PATH}/a/b', f'chmod u+x {PATH}; id', f"chmod u+x '{PATH}", 'chmod u+x ',
    remove_line('/etc'), remove_line(PARENT), remove_line(PATH + '0'), f'rm -f -r {PATH}/',
    f'rm -f -r {PATH}/a > /dev/null 2>&1',
])
def test_everything_else_is_a_command(line: str) -> None:
    assert step(line, with_folder()) is None


@given(st.integers(0, len(folder_line(PARENT, NAME)) - 1), st.characters(codec='ascii'), st.booleans())
def test_a_line_that_differs_in_one_sign_is_a_command(at: int, sign: str, insert: bool) -> None:
    line = folder_line(PARENT, NAME)
    other = line[:at] + sign + line[at + (not insert):]
    assert other == line or step(other) is None


def test_a_request_with_input_or_by_no_shell_is_a_command() -> None:
    known = experienced()
    assert Deferred().step(command('echo ~', b'data'), known) is None
    assert Deferred().step({**command('echo ~'), 'words': ['/bin/sh', '-x', 'echo ~']}, known) is None
    assert Deferred().step({'what': 'fetch', 'source': '/a', 'target': '/b'}, known) is None


def test_what_is_learned() -> None:
    known = experienced()
    known.learn(command('echo ~'), (0, b'/home/other\n', b''))
    assert step('echo ~', known=known) == ('home', '', '/home/other')
    for output in b'~\n', b'/home/me', b'/a\n/b\n', b'/\xff\n', b'':
        known.learn(command('echo ~'), (0, output, b''))
        assert step('echo ~', known=known) is None
    assert known.learn(command(folder_line(PARENT, NAME)), (1, b'', b'')) == ''
    assert step(folder_line(PARENT, NAME), known=known) is None


def test_files(tmp_path: Path) -> None:
    source = tmp_path / 'source'
    source.write_bytes(b'x' * MOST)
    put = {'what': 'put', 'source': str(source), 'target': f'{PATH}/.source'}
    found = with_folder().step(put, Known())
    assert found is not None
    assert found.what == ('write', f'{PATH}/.source', b'x' * MOST)
    assert Deferred().step(put, Known()) is None
    assert with_folder().step({**put, 'target': '/etc/passwd'}, Known()) is None
    assert with_folder().step({**put, 'target': f'{PATH}/a/b'}, Known()) is None
    assert with_folder().step({**put, 'payload': ('a module',)}, Known()) is None
    source.write_bytes(b'x' * (MOST + 1))
    assert with_folder().step(put, Known()) is None
    source.unlink()
    with pytest.raises(FileNotFoundError):
        with_folder().step(put, Known())


def test_a_folder_that_nobody_has_seen_is_not_made(tmp_path: Path) -> None:
    source = tmp_path / 'source'
    source.write_bytes(b'x')
    deferred, known = Deferred(), experienced()

    def ask(request: dict[str, Any]) -> None:
        found = deferred.step(request, known)
        assert found is not None
        deferred.add(found, 'place')

    ask(command('echo ~'))
    assert not deferred.matters
    ask(command(folder_line(PARENT, NAME)))
    assert deferred.matters
    ask({'what': 'put', 'source': str(source), 'target': f'{PATH}/.source'})
    assert deferred.size == 1
    ask(command(f'chmod u+x {PATH}/.source'))
    ask(command(remove_line(PATH)))
    assert not deferred.matters
    assert [each.what[0] for each in deferred.take()] == ['home']
    # A folder that has been seen, is removed.
    deferred.made(PATH)
    ask(command(remove_line(PATH)))
    assert deferred.matters
    assert step(remove_line(PATH), deferred) is None


@pytest.mark.parametrize(('line', 'kind', 'text'), [
    (folder_line(PARENT, NAME), 'lost', f'cannot make the temporary folder {PATH}: full'),
    (f'chmod u+x {PATH}', 'failed', f'cannot change the modes of what is in {PATH}: full'),
    (remove_line(PATH), 'failed', f'cannot remove the temporary folder {PATH}: full'),
])
def test_what_is_said_of_a_failure(line: str, kind: str, text: str) -> None:
    found = with_folder().step(command(line), experienced())
    assert found is not None
    error = StepError(found, 1, b'', b'full\n')
    assert (error.kind, str(error)) == (kind, text)
    assert str(StepError(found, 1, b'', b'')).endswith(': status 1')


# A worker's requests about two temporary folders, and where the steps go.
REQUESTS = st.lists(st.tuples(
    st.sampled_from(['folder', 'write', 'mode', 'remove', 'go']), st.integers(0, 1), st.sampled_from(['a', 'b']),
    st.binary(max_size=3), st.sampled_from(['x', 'rwx'])), max_size=12)


@settings(deadline=None)
@given(REQUESTS)
def test_steps_make_the_same_of_a_host_as_commands(requests: list[tuple[str, int, str, bytes, str]]) -> None:
    """Up to the first that fails, which a worker would not go on behind."""
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        source = root / 'source'
        seen = []
        for way in 'commands', 'steps':
            parent = root / way
            parent.mkdir()
            deferred, known = Deferred(), experienced(str(parent))

            def go(deferred: Deferred = deferred) -> None:
                steps = [each.what for each in deferred.take()]
                assert temporary.carry_out(steps) == len(steps)

            for request in requests:
                if not asked(way, parent, source, deferred, known, request, go):
                    break
            go()
            seen.append([(str(each.relative_to(parent)), stat.S_IMODE(each.stat().st_mode),
                          each.read_bytes() if each.is_file() else b'') for each in sorted(parent.rglob('*'))])
        assert seen[0] == seen[1]


def asked(way: str, parent: Path, source: Path, deferred: Deferred, known: Known, request: Any, go: Any) -> bool:
    """Have a request carried out the one `way` or the other; say whether a worker would go on."""
    kind, number, name, data, letters = request
    path = parent / f'ansible-tmp-1.0-2-{number}'
    if kind == 'go':
        go()
        return True
    if kind == 'write':
        source.write_bytes(data)
        wanted = {'what': 'put', 'source': str(source), 'target': str(path / name)}
        line = f'umask 077; cat < {source} > {path / name}'
    else:
        line = {'folder': folder_line(str(parent), path.name), 'remove': remove_line(str(path)),
                'mode': f'chmod u+{letters} {shlex.quote(str(path))}/ {path / name}'}[kind]
        wanted = command(line)
    step = deferred.step(wanted, known) if way == 'steps' else None
    if way == 'commands':
        return subprocess.run(['/bin/sh', '-c', line], capture_output=True).returncode == 0
    if step is None or not possible(kind, path, name, deferred):
        # By its command, behind what waits.
        go()
        return subprocess.run(['/bin/sh', '-c', line], capture_output=True).returncode == 0
    deferred.add(step, parent)
    return True


def possible(kind: str, path: Path, name: str, deferred: Deferred) -> bool:
    """Would the step succeed, behind those that wait?"""
    waiting = [each.what for each in deferred.steps]
    there = path.exists()
    files = set(os.listdir(path)) if there else set()
    for what in waiting:
        if what == ('folder', str(path)):
            there = True
        elif what == ('remove', str(path)):
            there, files = False, set()
        elif what[0] == 'write' and os.path.dirname(what[1]) == str(path):
            files.add(os.path.basename(what[1]))
    return {'folder': not there, 'write': there, 'mode': there and name in files, 'remove': True}[kind]
