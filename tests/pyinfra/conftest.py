"""pyinfra in an environment of its own, and runs of it against the private ssh server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import lab
from lab import leaks
from lab.sshd import Sshd

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='session')
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the programs of an environment that has pyinfra and econtext, as pip installs them."""
    made = os.environ.get('ECONTEXT_PYINFRA')
    if made:
        # The folder of such an environment, for those who run one test again and again.
        yield Path(made) / 'bin'
        return
    folder = tmp_path_factory.mktemp('pyinfra') / 'venv'
    venv.create(folder, symlinks=True)
    pip = [sys.executable, '-m', 'pip', '--python', str(folder / 'bin' / 'python'), '--disable-pip-version-check']
    done = subprocess.run(
        [*pip, 'install', '-q', '-e', f'{ROOT}[pyinfra]'], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=500)
    if done.returncode:
        lab.unavailable(f'pyinfra cannot be installed: {done.stderr[-500:]}')
    yield folder / 'bin'


class Done(NamedTuple):
    """How a run ended."""

    status: int
    output: str
    #: What the deployment printed behind ``RESULT``, one value a line.
    results: list[Any]


class Runs:
    """Runs of pyinfra against one server."""

    def __init__(self, scripts: Path, server: Sshd, folder: Path) -> None:
        self.scripts = scripts
        self.server = server
        self.folder = folder
        self.variables = {
            **os.environ, 'PATH': f'{scripts}:{os.environ["PATH"]}', 'PYTHONPATH': str(ROOT / 'src'), 'HOME': str(folder)}

    def words(self, hosts: str, *words: str, user: str = '', **data: Any) -> list[str]:
        """Return the command line of a run."""
        values = {
            'ssh_port': self.server.port, 'ssh_key': self.server.key, 'ssh_known_hosts_file': self.server.known_hosts,
            **({'ssh_user': user} if user else {}), **data}
        given = [part for name, value in values.items() for part in ('--data', f'{name}={value}')]
        return [str(self.scripts / 'pyinfra'), '-y', hosts, *given, *words]

    def begin(self, hosts: str, *words: str, **data: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.words(hosts, *words, **data), cwd=self.folder, env=self.variables, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)

    def run(self, hosts: str, *words: str, typed: str = '', **data: Any) -> Done:
        """Run pyinfra to its end; `typed` is what it reads."""
        with self.begin(hosts, *words, **data) as process:
            output, _ = process.communicate(typed, timeout=2 * lab.SOON)
        results = [json.loads(line.partition(' ')[2]) for line in output.splitlines() if line.startswith('RESULT ')]
        return Done(process.returncode, output, results)

    def deploy(self, text: str, hosts: str = '@econtext/127.0.0.1', **data: Any) -> Done:
        """Run a deployment of this text, which may call ``result(value)``."""
        path = self.folder / 'deploy.py'
        path.write_text(PREAMBLE + text)
        return self.run(hosts, str(path), **data)


PREAMBLE = '''
import hashlib, io, json, os
from pyinfra import host, state
from pyinfra.api import FactBase
from pyinfra.operations import files, server

def result(value):
    print('RESULT ' + json.dumps(value))

def shell(command, **arguments):
    good, output = host.run_shell_command(command, **arguments)
    return good, output.stdout_lines, output.stderr_lines

'''


@pytest.fixture
def pyinfra(scripts: Path, sshd: Sshd, tmp_path: Path) -> Runs:
    return Runs(scripts, sshd, tmp_path)


@pytest.fixture
def all_ends() -> Callable[[], None]:
    """A function that waits until what runs below this process is what ran before the test."""
    def running() -> dict[int, str]:
        # One that has ended stays until this process, which adopts it, has seen so.
        return {entry.pid: str(entry) for entry in leaks.descendants(os.getpid()) if entry.state != 'Z'}

    before = running()

    def wait() -> None:
        left: list[str] = []

        def over() -> bool:
            left[:] = [text for pid, text in running().items() if pid not in before]
            return not left

        lab.eventually(over, 10, f'processes are there 10 seconds later: {left}')

    return wait
