"""Runs of a real ansible-playbook, in environments of their own."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import lab
from lab import pythons
from lab.accounts import Accounts
from lab.sshd import Sshd

ROOT = Path(__file__).parents[2]
# Release of ansible-core -> versions of Python on which it runs, the best first.
RELEASES = {'2.18': ('3.11', '3.12', '3.13'), '2.21': ('3.13', '3.12', '3.14')}
SECONDS = 240

# Differ from run to run, whoever runs it.
PASSING = {'start', 'end', 'delta', 'ansible_job_id', 'results_file', 'ctime', 'mtime', 'atime', 'inode', 'version',
           'warnings', 'deprecations', 'exception', '_original_basename', 'timedout',
           # Ansible fills this in by names that it knows for its own plugins alone.
           '_ansible_delegated_vars'}  # fmt: skip


def environment(release: str) -> Path:
    """Return the folder of programs of an environment that has this release, which is made if it is not there."""
    found = pythons.interpreters()
    usable = [version for version in RELEASES[release] if version in found]
    if not usable:
        lab.unavailable(f'ansible-core {release}: no Python of {", ".join(RELEASES[release])}')
    folder = ROOT / '.venv' / 'ansible' / release
    made = subprocess.run(
        [ROOT / 'scripts' / 'make-venv', found[usable[0]], folder, 'ansible-' + release.replace('.', '-')],
        capture_output=True, text=True, timeout=SECONDS)
    if made.returncode != 0:
        lab.unavailable(f'ansible-core {release} cannot be installed: {made.stderr[-500:]}')
    return folder / 'bin'


@dataclasses.dataclass
class Result:
    """What a run said: `results` are those of the tasks, in order."""

    returncode: int
    output: str
    results: list[dict[str, Any]]

    def of(self, task: str) -> dict[str, Any]:
        """Return the result of the one task of that name, with its `kind`."""
        (found,) = [each for each in self.results if each['task'] == task]
        return {**found['result'], 'kind': found['kind']}


class Ansible:
    """ansible-playbook of one release, whose hosts are accounts of a private ssh server."""

    def __init__(self, programs: Path, folder: Path, sshd: Sshd, accounts: Accounts) -> None:
        lines = ['[all:vars]', f'ansible_ssh_common_args="-F {sshd.config}"',
                 # The stock plugin's own process stays behind a run for as long as this says.
                 'ansible_ssh_args="-C -o ControlMaster=auto -o ControlPersist=1s"',
                 'ansible_python_interpreter=/usr/bin/python3', '[all]']
        lines += [f'{kind} ansible_host={sshd.address} ansible_user={accounts[kind].name}'
                  for kind in ('nopw', 'sudo', 'plain')]
        lines += [f'root ansible_host={sshd.address} ansible_user=root']
        self._prepare(programs, folder, lines)

    def _prepare(self, programs: Path, folder: Path, lines: list[str]) -> None:
        """Write the inventory, which are these lines, and the configuration."""
        self.programs = programs
        self.folder = folder
        #: More variables of the environment of runs.
        self.more: dict[str, str] = {}
        self.inventory = folder / 'inventory'
        self.inventory.write_text('\n'.join(lines) + '\n')
        (folder / 'ansible.cfg').write_text(
            f'[defaults]\ncallback_plugins = {Path(__file__).parent / "callbacks"}\ncallbacks_enabled = results\n')

    def environ(self, home: Path) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(('ANSIBLE_', 'PYTHON')) and name != 'ECONTEXT_SERVER'}
        return {**kept, 'ANSIBLE_CONFIG': str(self.folder / 'ansible.cfg'), 'ANSIBLE_HOME': str(home),
                # Else a run would find the connection of another, to another server at the same address.
                'ANSIBLE_SSH_CONTROL_PATH_DIR': str(home / 'cp'),
                # What one run has made older, the next one finds.
                'XDG_CACHE_HOME': str(self.folder / 'cache'),
                'RESULTS': str(home / 'results'), 'ANSIBLE_NOCOLOR': '1', 'LC_ALL': 'C.UTF-8', **self.more}

    def start(self, tasks: str, connection: str | None, hosts: str = 'nopw', **variables: Any) -> Run:
        """Begin a run of `tasks`, the text of a list of tasks; None leaves the hosts the connections that they have."""
        home = Path(tempfile.mkdtemp(dir=self.folder))
        play = home / 'play.yml'
        indented = '\n'.join('    ' + line for line in tasks.strip('\n').splitlines())
        play.write_text(f'- hosts: {hosts}\n  gather_facts: false\n  tasks:\n{indented}\n')
        if connection is not None:
            variables = {'ansible_connection': connection, **variables}
        words = [self.programs / 'ansible-playbook', '-i', self.inventory, play, '-e', json.dumps(variables)]
        process = subprocess.Popen(
            [str(word) for word in words], cwd=self.folder, env=self.environ(home), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return Run(process, home)

    def run(self, tasks: str, connection: str | None, hosts: str = 'nopw', **variables: Any) -> Result:
        """Run `tasks` to their end."""
        return self.start(tasks, connection, hosts, **variables).finish()


class Run:
    """A run that has begun."""

    def __init__(self, process: subprocess.Popen[str], home: Path) -> None:
        self.process = process
        self.home = home

    def finish(self) -> Result:
        try:
            output, _ = self.process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output, _ = self.process.communicate()
            raise AssertionError(f'the run does not end:\n{output}') from None
        return Result(self.process.returncode, output, self.results())

    def results(self) -> list[dict[str, Any]]:
        file = self.home / 'results'
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def comparable(value: Any, place: Path) -> Any:
    """Return a result without what differs from run to run."""
    if isinstance(value, dict):
        return {key: comparable(item, place) for key, item in value.items() if key not in PASSING}
    if isinstance(value, list):
        return [comparable(item, place) for item in value]
    if isinstance(value, str):
        text = value.replace(str(place), 'PLACE')
        text = re.sub(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+|0:00:\d\d\.\d+', 'TIME', text)
        return re.sub(r'ansible-tmp-[-\d.]+|ansible-local-\w+|tmp\w{8}|\.source\S*', 'TEMPORARY', text)
    return value
