"""How the processes of a run find its daemon: one starts the daemon, and all use that."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from econtext.ansible import client, wire
from econtext.ansible.client import DaemonError, Link
from lab import eventually, leaks

ASK = {'what': 'catch up'}
WORKER = """
import sys
from econtext.ansible.client import Link
link = Link(sys.argv[1], int(sys.argv[2]))
sys.stdin.readline()
print(link.ask({'what': 'catch up'}), flush=True)
"""


class Run:
    """A run of Ansible: its folder, and a process whose end is its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.others = children()
        self.process = subprocess.Popen(['sleep', '1000'])

    def link(self) -> Link:
        return Link(str(self.folder), self.process.pid)

    def daemons(self) -> list[int]:
        lines = {each.pid: leaks.command_line(each.pid) for each in leaks.table()}
        return [pid for pid, line in lines.items() if client.MODULE in line and str(self.folder) in line]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        eventually(lambda: not self.daemons(), what='the daemon ends with the run')
        for pid in children() - self.others:
            os.waitpid(pid, 0)  # nobody else waits for a daemon that this process has started


def children() -> set[int]:
    return {each.pid for each in leaks.table() if each.parent == os.getpid()}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    yield made
    made.end()


def test_a_daemon_that_was_started_ahead_is_the_one_that_answers(run: Run) -> None:
    run.link().start_ahead()
    run.link().start_ahead()
    link = run.link()
    assert link.ask(ASK) == (wire.DONE, None)
    ahead = run.daemons()
    assert len(ahead) == 1
    run.link().start_ahead()
    other = run.link()
    assert other.ask(ASK) == (wire.DONE, None)
    assert run.daemons() == ahead
    link.close()
    other.close()


def test_of_many_workers_one_starts_the_daemon(run: Run) -> None:
    workers = [subprocess.Popen([sys.executable, '-c', WORKER, run.folder, str(run.process.pid)], text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(5)]
    for each in workers:
        assert each.stdin is not None
        each.stdin.write('\n')
        each.stdin.flush()
    assert [each.communicate()[0].strip() for each in workers] == [str((wire.DONE, None))] * 5
    assert len(run.daemons()) == 1


def test_nobody_waits_for_who_starts_the_daemon_ahead(run: Run) -> None:
    with open(run.folder / client.LOCK, 'ab') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run.link().start_ahead()
        assert run.daemons() == []


def test_a_daemon_that_was_killed_is_replaced(run: Run) -> None:
    link = run.link()
    link.ask(ASK)
    [daemon] = run.daemons()
    os.kill(daemon, signal.SIGKILL)
    os.waitpid(daemon, 0)
    with pytest.raises(DaemonError, match='has ended'):
        link.ask(ASK)
    assert link.ask(ASK) == (wire.DONE, None)
    link.close()


def test_a_daemon_that_does_not_start_has_its_last_words_told(
        run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, 'MODULE', 'econtext.ansible.no_such_module')
    run.link().start_ahead()
    with pytest.raises(DaemonError, match=r'(?s)does not start; its last words:.*no_such_module'):
        run.link().ask(ASK)
