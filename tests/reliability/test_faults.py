"""After a fault nothing is left: each state of a context, on the oldest and the newest Pythons."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import econtext
from lab import SOON, eventually, leaks, pythons
from lab.sshd import Sshd

SECONDS = SOON  # until everything must be gone
VERSIONS = ('2.7', '3.6', '3.13')
HERE = Path(__file__).resolve().parent
# test_lifetime.py has: idle, sleeping, os.system, a busy loop, programs that ignore SIGTERM.
WAYS = ('ignore_signals', 'block_signals', 'program')


class Program:
    """A controller of its own, and every process that must be gone after it."""

    def __init__(self, *plan: dict[str, Any]) -> None:
        source = Path(econtext.__file__).resolve().parent.parent
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / 'stops' / 'controller.py'), json.dumps(plan)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, 'PYTHONPATH': f'{source}:{HERE}'},
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.pids: dict[str, int] = json.loads(line)
        below = {entry.pid for entry in leaks.descendants(self.process.pid)}
        for pid in self.pids.values():
            below |= {pid} | {entry.pid for entry in leaks.descendants(pid)}
        for name, pid in self.pids.items():
            if name.endswith('hold'):
                before = ticks(pid)
                # Where this is slow the limit may be over before we look.
                eventually(lambda pid=pid, before=before: ticks(pid) > before + 20 or not leaks.alive(pid),
                           what='it holds the lock')
        self.all = {found.key: leaks.command_line(pid) for pid in below if (found := leaks.process(pid))}

    def remaining(self) -> dict[tuple[int, int], str]:
        return {
            key: text for key, text in self.all.items()
            if (found := leaks.process(key[0])) and found.key == key and found.state not in 'ZX'
        }  # fmt: skip

    def assert_gone(self, seconds: float = SECONDS) -> float:
        """Wait until nothing is left of it; return after how long that was."""
        began = time.monotonic()
        while left := self.remaining():
            names = {pid: name for name, pid in self.pids.items()}
            told = [f'{key[0]} {names.get(key[0], "")}: {text}' for key, text in left.items()]
            assert time.monotonic() - began < seconds, 'still there:\n  ' + '\n  '.join(told)
            time.sleep(0.02)
        return time.monotonic() - began

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.communicate()
        for pid, _ in self.remaining():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def ticks(pid: int) -> int:
    """The processor time that a process has used, in hundredths of a second; 0 where there is none any more."""
    try:
        return int(Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[11])
    except (FileNotFoundError, ProcessLookupError):
        return 0


@pytest.fixture
def start() -> Iterator[Any]:
    made: list[Program] = []

    def start(*plan: dict[str, Any]) -> Program:
        made.append(Program(*plan))
        return made[-1]

    yield start
    for program in made:
        program.close()


def local(way: str, version: str, via: str | None = None, **options: Any) -> dict[str, Any]:
    return {'name': f'{version} {way}', 'kind': 'local', 'via': via, 'way': way,
            'options': {'python': pythons.interpreter(version), **options}}  # fmt: skip


def over_ssh(sshd: Sshd, way: str = 'idle', version: str = '3.13', **options: Any) -> dict[str, Any]:
    return {'name': f'ssh {version} {way}', 'kind': 'ssh', 'via': None, 'way': way,
            'options': {'hostname': sshd.address, 'ssh_args': sshd.ssh_args(),
                        'python': pythons.interpreter(version), **options}}  # fmt: skip


def everywhere(via: str | None = None) -> list[dict[str, Any]]:
    """One context of each version in each state; the limit is low, for they share two processors."""
    plan = [local(way, version, via) for version in VERSIONS for way in WAYS]
    return plan + [local('hold', version, via, gil_limit=1) for version in VERSIONS]


def test_the_controller_is_killed(start: Any) -> None:
    program = start(*everywhere())
    program.process.kill()
    program.assert_gone()


def test_ssh_is_killed(start: Any, sshd: Sshd) -> None:
    plan = [over_ssh(sshd, way, version) for version in ('2.7', '3.13') for way in WAYS]
    plan += [over_ssh(sshd, 'hold', version, gil_limit=1) for version in VERSIONS]
    program = start(*plan)
    clients = [entry.pid for entry in leaks.descendants(program.process.pid)
               if leaks.command_line(entry.pid).startswith('ssh ')]  # fmt: skip
    assert len(clients) == len(plan)
    for pid in clients:
        os.kill(pid, signal.SIGKILL)
    program.assert_gone()


def test_the_one_between_is_killed(start: Any) -> None:
    hop = local('idle', '3.6')
    program = start(hop, *everywhere(hop['name']))
    os.kill(program.pids[hop['name']], signal.SIGKILL)
    program.assert_gone()


@pytest.mark.deadline(180)
def test_by_default_code_that_holds_the_lock_is_gone_in_time(start: Any) -> None:
    """One version is enough: it takes the whole limit, which is of processor time, so a loaded machine takes longer."""
    plan = local('hold', '3.13')
    program = start(plan)
    pid = program.pids[plan['name']]
    before = ticks(pid)
    program.process.kill()
    while leaks.alive(pid):
        assert ticks(pid) - before < 100 * SECONDS
        time.sleep(0.02)
    program.assert_gone()


@pytest.mark.parametrize('ssh', [False, True])
def test_contexts_that_were_stopped_end_when_they_go_on(start: Any, request: pytest.FixtureRequest, ssh: bool) -> None:
    plan = [local(way, version) for version in VERSIONS for way in ('idle', 'sleep', 'compute', 'program')]
    if ssh:
        sshd = request.getfixturevalue('sshd')
        plan = [over_ssh(sshd, way, version) for version in ('2.7', '3.13') for way in ('idle', 'system')]
    program = start(*plan)
    for pid in program.pids.values():
        os.killpg(pid, signal.SIGSTOP)
    program.process.kill()
    program.process.wait()
    for pid in program.pids.values():
        os.killpg(pid, signal.SIGCONT)
    program.assert_gone()
