"""Every program of `examples/` does what its first lines say, started as a user starts it."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lab
from lab import kernel, leaks, pythons
from lab.accounts import Accounts, home_of
from lab.sshd import Sshd

EXAMPLES = Path(__file__).parents[2] / 'examples'
PROGRAMS = {path.name for path in EXAMPLES.glob('*.py')} - {'greeting.py'}  # that one is a module of hello.py

Start = Callable[..., 'subprocess.Popen[str]']


@pytest.fixture
def environment() -> dict[str, str]:
    """What a user's shell gives a program, with a checkout in front."""
    return {**os.environ, 'PYTHONPATH': str(EXAMPLES.parent / 'src'), 'PYTHONUNBUFFERED': '1'}


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Start an example with arguments; it is ended after the test."""
    started = []

    def begin(name: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name), *arguments],
            env=environment, cwd=tmp_path, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        with process:
            process.kill()


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return what a program printed, which must end well."""
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return output, errors


@pytest.fixture
def host(sshd: Sshd, environment: dict[str, str], tmp_path: Path) -> str:
    """A host that a plain `ssh HOST` reaches, as for a user whose configuration knows it."""
    write_ssh(sshd, environment, tmp_path)
    return 'lab-one'


def write_ssh(sshd: Sshd, environment: dict[str, str], tmp_path: Path, user: str | None = None) -> None:
    folder = tmp_path / 'bin'
    folder.mkdir()
    program = folder / 'ssh'
    program.write_text('#!/bin/sh\nexec %s %s "$@"\n' % (lab.need('ssh'), ' '.join(sshd.ssh_args(user))))
    program.chmod(0o755)
    environment['PATH'] = f'{folder}:{environment["PATH"]}'


def test_each_is_tested() -> None:
    here = Path(__file__).read_text()
    assert [name for name in sorted(PROGRAMS) if repr(name) not in here] == []


def check_hello(output: str) -> None:
    assert "FileNotFoundError: [Errno 2] No such file or directory: '/no/such/folder'" in output
    assert 'loaded by: Loader' in output
    for line in (': greeting: logged by a function', 'stdout: printed by a function', 'stdout: printed by a program'):
        assert line in output
    assert 'econtext:' in output
    assert 'user id 0' in output or 'not here: ' in output


def test_hello_beside_us(start: Start) -> None:
    output, errors = finish(start('hello.py'))
    check_hello(output)
    assert errors == ''


def test_hello_by_ssh(start: Start, sshd: Sshd) -> None:
    output, errors = finish(start('hello.py', *sshd.ssh_args(), 'lab'))
    check_hello(output)
    assert errors == ''


@pytest.mark.parametrize('version', pythons.REQUIRED)
def test_greeting_on_every_python(environment: dict[str, str], version: str) -> None:
    """What hello.py calls is in a module that any Python can read."""
    program = (
        'import econtext, greeting, sys\n'
        'with econtext.Broker() as broker:\n'
        '    context = broker.local(python=sys.argv[1])\n'
        '    context.call(greeting.work)\n'
        "    print(context.call(greeting.describe)['python'])\n"
        '    print(context.call(greeting.name_in_ps))\n'
    )
    environment['PYTHONPATH'] += f':{EXAMPLES}'
    python = pythons.interpreter(version)
    argv = [sys.executable, '-c', program, python]
    result = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f'{python.number}.'), result.stdout
    assert '\necontext:' in result.stdout


def test_install_app(
    start: Start, sshd: Sshd, accounts: Accounts, environment: dict[str, str], tmp_path: Path
) -> None:
    account = accounts['plain']
    write_ssh(sshd, environment, tmp_path, account.name)
    # Runs may overlap, and what is unpacked has one place.
    with home_of(account) as home:
        archive, unpacked = home / 'app.tar.gz', home / 'app'
        with tarfile.open(archive, 'w:gz') as file:
            entry = tarfile.TarInfo('app/VERSION')
            entry.size = 2
            file.addfile(entry, io.BytesIO(b'7\n'))
        archive.chmod(0o644)
        try:
            output, errors = finish(start('install_app.py', 'lab-web'))
            assert (unpacked / 'VERSION').read_text() == '7\n'
            assert (unpacked / 'VERSION').owner() == account.name
        finally:
            archive.unlink()
            shutil.rmtree(unpacked, ignore_errors=True)
    assert 'INFO: econtext.ctx.lab-web: stdout: app/VERSION' in errors
    assert output == ''


def test_install_app_tells_how_it_is_used(start: Start) -> None:
    process = start('install_app.py')
    _output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == 'usage: install_app.py HOST\n'


def test_modules_beside_us(start: Start) -> None:
    assert finish(start('modules.py')) == (f'Hello from {socket.gethostname()}\n', '')


def test_modules_by_ssh(start: Start, host: str) -> None:
    assert finish(start('modules.py', host)) == (f'Hello from {socket.gethostname()}\n', '')


def test_uptime_beside_us(start: Start) -> None:
    _output, errors = finish(start('uptime.py'))
    assert 'INFO: econtext.ctx.local.1: stdout: ' in errors


def test_uptime_on_many_hosts(start: Start, host: str) -> None:
    hosts = ['lab-one', 'lab-two', 'lab-three']
    _output, errors = finish(start('uptime.py', *hosts))
    for name in hosts:
        assert f'INFO: econtext.ctx.{name}: stdout: {socket.gethostname()}' in errors


def test_uptime_goes_on_where_a_host_cannot_be_reached(start: Start, host: str) -> None:
    _output, errors = finish(start('uptime.py', 'no-such-host.invalid', host))
    assert "no-such-host.invalid: the host's name cannot be resolved. Check the spelling" in errors
    assert f'INFO: econtext.ctx.{host}: stdout: ' in errors


def test_facts(start: Start, host: str, tmp_path: Path) -> None:
    (tmp_path / 'fleet.toml').write_text('[groups.web]\nhosts = ["lab-two"]\n')
    output, errors = finish(start('facts.py', host, 'fleet.toml'))
    first, second = output.splitlines()
    assert first.startswith(host)
    assert second.startswith('lab-two')
    assert f'{os.uname().sysname} {os.uname().release}' in first
    assert errors == ''
    process = start('facts.py', 'no-such-host.invalid', host)
    output, _errors = process.communicate(timeout=60)
    first, second = output.splitlines()
    assert first.startswith("no-such-host.invalid the host's name cannot be resolved. Check the spelling")
    assert second.startswith(host)
    assert process.returncode == 1


def archive(folder: Path, version: str) -> str:
    """Pack an application; return the name of the archive."""
    name = f'app-{version}.tar.gz'
    with tarfile.open(folder / name, 'w:gz') as file:
        for member, content in ('VERSION', version.encode()), ('data', os.urandom(3_000_000)):
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return name


def test_deploy_beside_us(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / 'srv'
    folder.mkdir()
    assert finish(start('deploy.py', archive(tmp_path, '1'), str(folder)))[0] == 'here: nothing -> app-1.tar.gz\n'
    assert finish(start('deploy.py', archive(tmp_path, '2'), str(folder)))[0] == 'here: app-1 -> app-2.tar.gz\n'
    assert (folder / 'current' / 'VERSION').read_text() == '2'
    assert (folder / 'app-1' / 'VERSION').read_text() == '1'


def test_deploy_through_a_bastion(
    start: Start, sshd: Sshd, accounts: Accounts, host: str, tmp_path: Path
) -> None:
    """The bastion knows the hosts, here by the options that the file of hosts gives."""
    lab.need('sudo')
    folder = tmp_path / 'srv'
    folder.mkdir()
    (tmp_path / 'fleet.toml').write_text(
        '[groups.web]\nhosts = ["lab-one", "lab-two", "lab-three"]\n'
        f'[options]\nssh_args = {json.dumps(sshd.ssh_args())}\n')
    output, errors = finish(start('deploy.py', archive(tmp_path, '1'), str(folder), 'lab-bastion', 'fleet.toml'))
    assert output.splitlines()[0] == 'lab-one: nothing -> app-1.tar.gz'
    assert len(output.splitlines()) == 3
    assert errors == ''
    assert (folder / 'current' / 'VERSION').read_text() == '1'
    # The archive arrives, and cannot be unpacked on the first host: the others are left.
    (tmp_path / 'app-2.tar.gz').write_bytes(b'no archive')
    process = start('deploy.py', 'app-2.tar.gz', str(folder), 'lab-bastion', 'fleet.toml')
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output == '2 hosts were left as they are\n'
    assert 'CalledProcessError' in errors
    assert (folder / 'current' / 'VERSION').read_text() == '1'


def test_backup(start: Start, sshd: Sshd, accounts: Accounts, host: str, tmp_path: Path) -> None:
    lab.need('sudo')
    target, user = tmp_path / 'copy.gz', accounts['plain'].name
    output, errors = finish(start('backup.py', str(target), f'{host}/{user}', 'sh', '-c', 'id -un; seq 300000'))
    assert output == f'{target}: {target.stat().st_size} bytes\n'
    assert errors == ''
    first, *lines = gzip.decompress(target.read_bytes()).decode().splitlines()
    assert first == user
    assert lines == [str(number) for number in range(1, 300001)]


def test_backup_is_whole_or_none(start: Start, tmp_path: Path) -> None:
    process = start('backup.py', 'copy-%%.gz', '.', 'sh', '-c', 'seq 300000; exit 3')
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output == ''
    assert 'returned non-zero exit status 3' in errors
    assert os.listdir(tmp_path) == []


def test_what_people_write_first_is_short() -> None:
    """Less than 60 lines each."""
    long = [path.name for path in EXAMPLES.glob('*.py') if len(path.read_text().splitlines()) >= 60]
    assert long == ['hello.py']     # shows what there is


def test_copy_file(start: Start, tmp_path: Path, host: str) -> None:
    tmp_path.chmod(0o777)
    here, there, back = tmp_path / 'here', tmp_path / 'there', tmp_path / 'back'
    here.write_bytes(os.urandom(3_000_000))
    for place in '.', host:
        assert finish(start('copy_file.py', str(here), f'{place}:{there}')) == ('', '')
        assert there.read_bytes() == here.read_bytes()
        assert finish(start('copy_file.py', f'{place}:{there}', str(back))) == ('', '')
        assert back.read_bytes() == here.read_bytes()
        back.unlink()
        there.unlink()


def test_copy_file_tells_what_is_wrong(start: Start, tmp_path: Path) -> None:
    here = tmp_path / 'here'
    here.write_bytes(bytes(3_000_000))
    for arguments in [(str(here), '.:/no/such/folder/file'), ('.:/no/such/folder/file', str(here))]:
        process = start('copy_file.py', *arguments)
        _output, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert errors.startswith('FileNotFoundError: '), errors
        assert '/no/such/folder/file' in errors
    assert here.read_bytes() == bytes(3_000_000)


class Follower:
    """Appends numbered lines to the file that `tail_logs.py` follows, and reads what that prints."""

    def __init__(self, process: subprocess.Popen[str], path: Path) -> None:
        assert process.stdout is not None
        self.process, self.path, self.written, self.seen = process, path, 0, ''
        self.output = process.stdout.fileno()
        os.set_blocking(self.output, False)

    def write(self) -> None:
        with self.path.open('a') as file:
            file.write(f'line {self.written}\n')
        self.written += 1

    def wait(self, names: list[str]) -> None:
        """Append until the program has printed of each name a line that is appended from now on."""
        first = self.written

        def all_seen() -> bool:
            self.write()
            with contextlib.suppress(BlockingIOError):
                self.seen += os.read(self.output, 65536).decode()
            return all(max(self.numbers(name), default=-1) >= first for name in names)

        lab.eventually(all_seen, what=f'a further line of each of {names}')

    def numbers(self, name: str) -> list[int]:
        return [int(number) for number in re.findall(rf'^{name}: line (\d+)\n', self.seen, re.MULTILINE)]

    def end(self) -> str:
        """Press Ctrl-C; return what the program said of errors."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0
        assert self.process.stderr is not None
        return self.process.stderr.read()


def test_tail_logs_beside_us(start: Start, tmp_path: Path) -> None:
    path = tmp_path / 'messages'
    path.touch()
    follower = Follower(start('tail_logs.py', str(path)), path)
    follower.wait(['here'])
    assert follower.end() == ''


def test_tail_logs_through_rotation_and_lost_connections(
    start: Start, sshd: Sshd, host: str, tmp_path: Path
) -> None:
    names, path = ['lab-one', 'lab-two'], tmp_path / 'messages'
    path.touch()
    tmp_path.chmod(0o777)
    process = start('tail_logs.py', str(path), *names)
    follower = Follower(process, path)
    follower.wait(names)
    for turn in range(2):
        follower.write()
        path.rename(tmp_path / f'messages.{turn}')
        follower.wait(names)
    lost = [entry for entry in leaks.descendants(process.pid) if ' lab-one ' in leaks.command_line(entry.pid)]
    assert lost
    for entry in lost:
        os.kill(entry.pid, signal.SIGKILL)
    follower.wait(names)
    assert 'lab-one: its process was ended by SIGKILL' in follower.end()
    for name in names:
        numbers = follower.numbers(name)
        assert numbers == list(range(numbers[0], numbers[-1] + 1)), name


def test_tail_logs_tells_of_a_file_that_is_not_there(start: Start) -> None:
    output, errors = finish(start('tail_logs.py', '/no/such/file'))
    assert output == ''
    assert errors.startswith("here: FileNotFoundError: [Errno 2] No such file or directory: '/no/such/file'")


def test_service(start: Start) -> None:
    """It answers; a client that hangs up has its work interrupted, and the context is free again."""
    process = start('service.py')
    assert process.stdout is not None
    port = int(process.stdout.readline().split()[1])
    for _ in range(2):
        # Of both contexts.
        with socket.create_connection(('127.0.0.1', port), timeout=60) as client:
            client.sendall(b'4\n')
            assert client.recv(100) == b'14\n'
    for _ in range(2):
        with socket.create_connection(('127.0.0.1', port), timeout=60) as client:
            client.sendall(b'%d\n' % 10**12)
        assert process.stdout.readline() == 'interrupted\n'
    for _ in range(2):
        with socket.create_connection(('127.0.0.1', port), timeout=60) as client:
            client.sendall(b'3\n')
            assert client.recv(100) == b'5\n'
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0


NOTEBOOK = EXAMPLES / 'notebook.ipynb'


def test_the_notebook(tmp_path: Path) -> None:
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())['cells'] if cell['cell_type'] == 'code']
    shown = dict(zip(
        [cell['id'] for cell in cells], kernel.run([''.join(cell['source']) for cell in cells], tmp_path), strict=True))
    for cell in cells:
        fails = 'raises-exception' in cell['metadata'].get('tags', ())
        assert fails == any(each['output_type'] == 'error' for each in shown[cell['id']]), shown[cell['id']]
    assert 'econtext.Context web: ready' in kernel.html_of(shown['begin'])
    assert '[web] looking at ' in kernel.text_of(shown['call'])
    assert 'FileNotFoundError' in kernel.text_of(shown['fail'])
    html = kernel.html_of(shown['fleet'])
    assert 'econtext.Results: 2 succeeded, 1 failed' in html
    assert 'OSError: the disk is full' in html
    assert '<progress value="3" max="3">' in html
    assert kernel.text_of(shown['gather']) == str([2 * number for number in range(10)])


def test_the_notebook_is_stored_without_what_it_showed() -> None:
    text = NOTEBOOK.read_text()
    notebook = json.loads(text)
    for cell in notebook['cells']:
        assert cell.get('outputs', []) == []
        assert cell.get('execution_count') is None
    # As Jupyter writes it, so that a change shows nothing else.
    assert text == json.dumps(notebook, indent=1, ensure_ascii=False) + '\n'
