"""Commands by a real sshd and a real sudo: whose they are, what they see, how they end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import leaving
import pytest

import econtext
from lab import eventually, pythons
from lab.accounts import Accounts
from lab.sshd import Sshd


@pytest.fixture
def web(broker: econtext.Broker, sshd: Sshd, accounts: Accounts) -> econtext.Context:
    """Another user, who may use sudo, by ssh."""
    return broker.ssh(
        'lab', username=accounts['nopw'].name, ssh_args=sshd.ssh_args(), python=pythons.everyones(), name='web')


@pytest.fixture
def root(web: econtext.Context) -> econtext.Context:
    return web.sudo(name='root')


def is_gone(pid: int) -> bool:
    """Is there no process `pid` that runs?"""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] in 'ZX'
    except OSError:
        return True


def test_whose_it_is_and_what_it_sees(web: econtext.Context, root: econtext.Context, accounts: Accounts) -> None:
    account = accounts['nopw']
    assert web.run(['id', '-un'], check=True).stdout == f'{account.name}\n'
    assert root.run(['id', '-u'], check=True).stdout == '0\n'
    for context in web, root:
        assert context.run(['pwd'], cwd='/usr').stdout == '/usr\n'
        assert context.run('printf "%s" "$A$HOME"', env={'A': 'ß"\'$'}).stdout == 'ß"\'$'
        assert context.run('printf "%s" "$A"', env={'A': 'ß"\'$'}, extend_env=True).stdout == 'ß"\'$'
        assert context.run(['printf', '%s|', '$HOME', 'a b', "'", '*']).stdout == "$HOME|a b|'|*|"
    home = web.run('cd; pwd').stdout
    assert web.run(['pwd'], cwd='~').stdout == home
    assert Path(home.strip()).name == account.name


def test_what_another_user_may_not(
    web: econtext.Context, root: econtext.Context, tmp_path: Path
) -> None:
    closed = tmp_path / 'closed'
    closed.mkdir(mode=0o700)
    program = closed / 'program'
    program.write_text('#!/bin/sh\npwd\n')
    program.chmod(0o700)
    with pytest.raises(PermissionError, match='web: the directory') as folder:
        web.run(['true'], cwd=closed)
    assert folder.value.filename == str(closed)
    with pytest.raises(PermissionError, match='web: the program') as caught:
        web.run([program])
    assert caught.value.filename == str(program)
    assert root.run([program], cwd=closed, check=True).stdout == f'{closed.resolve()}\n'


@pytest.mark.parametrize('kind', ['web', 'root'])
def test_input_and_output_of_any_size(
    web: econtext.Context, root: econtext.Context, kind: str, tmp_path: Path
) -> None:
    context = {'web': web, 'root': root}[kind]
    data = os.urandom(5_000_000)
    (tmp_path / 'data').write_bytes(data)
    with open(tmp_path / 'data', 'rb') as file:
        assert context.run(['cat'], input=file, text=False).stdout == data

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(data), 99_999):
            yield data[at:at + 99_999]
    done = context.run('tee /dev/stderr', input=pieces(), text=False)
    assert (done.stdout, done.stderr) == (data, data)


@pytest.mark.parametrize('kind', ['web', 'root'])
def test_lines_and_a_timeout(web: econtext.Context, root: econtext.Context, kind: str) -> None:
    context = {'web': web, 'root': root}[kind]
    found: list[econtext.Line] = []
    folder = context.call(tempfile.mkdtemp)
    context.call(leaving.hurry, f'{folder}/mark')
    with pytest.raises(subprocess.TimeoutExpired) as late:
        context.run(f'echo $$; echo err >&2; : >{folder}/mark; sleep 600', on_line=found.append, capture=True,
                    timeout=60)
    context.call(shutil.rmtree, folder)
    assert late.value.stderr == 'err\n'
    assert {line.stream for line in found} == {'stdout', 'stderr'}
    assert is_gone(int(late.value.output))
    with pytest.raises(subprocess.CalledProcessError) as caught:
        context.run('echo out; echo err >&2; kill -9 $$', check=True)
    assert (caught.value.returncode, caught.value.output, caught.value.stderr) == (-9, 'out\n', 'err\n')


def test_a_lost_way_ends_the_commands(web: econtext.Context, root: econtext.Context) -> None:
    """The context that started the one with the command is killed."""
    with root.run_lines('trap "" HUP; echo $$; sleep 600; sleep 600') as lines:
        pid = int(next(lines))
        os.kill(web.pid, signal.SIGKILL)
        eventually(lambda: is_gone(pid), what='the command still runs')
        with pytest.raises(econtext.ContextLost):
            list(lines)


def test_a_killed_context_takes_its_commands_along(root: econtext.Context) -> None:
    with root.run_lines('echo $$; sleep 600; sleep 600') as lines:
        pid = int(next(lines))
        os.kill(root.pid, signal.SIGKILL)
        eventually(lambda: is_gone(pid), what='the command still runs')
