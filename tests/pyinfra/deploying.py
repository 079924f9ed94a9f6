"""Runs of pyinfra's own command against a private ssh server."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import lab
from lab.sshd import Sshd

ROOT = Path(__file__).resolve().parents[2]


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
            **os.environ, 'PATH': f'{scripts}:{os.environ["PATH"]}', 'PYTHONPATH': str(ROOT / 'src'),
            'HOME': str(folder)}

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
