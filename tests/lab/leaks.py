"""What a test left behind: descriptors, threads, processes below the test process.

Invariants:
* Orphans come to the test process (PR_SET_CHILD_SUBREAPER), so that nothing below it can hide.
* A zombie that this process gave birth to is a leak: whoever started it must wait for it.
  A zombie that was adopted is nobody's fault; it is reaped here.
* Nothing is taken on trust from `threading`: threads are the kernel's, names are `threading`'s.

Main thread only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import SOON

PR_SET_CHILD_SUBREAPER = 36
PF_EXITING = 4          # in the flags of a process
WALL = 0x40000000   # children of every kind


# -- processes, as /proc tells them ------------------------------------------


@dataclass(frozen=True)
class Process:
    """One line of the process table. `started` tells a process from a later one of the same number."""

    pid: int
    parent: int
    state: str
    started: int

    @property
    def key(self) -> tuple[int, int]:
        return self.pid, self.started

    def __str__(self) -> str:
        return f'{self.pid} ({self.state}, child of {self.parent}): {command_line(self.pid)}'


def process(pid: int) -> Process | None:
    """Return what the kernel knows of a process; None if there is none."""
    try:
        # The shortest way to read it: every test reads that of each process there is.
        file = os.open(f'/proc/{pid}/stat', os.O_RDONLY | os.O_CLOEXEC)
        try:
            fields = os.read(file, 4096).rpartition(b')')[2].split()
        finally:
            os.close(file)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Process(pid, int(fields[1]), fields[0].decode(), int(fields[19]))


def alive(pid: int) -> bool:
    """Whether a process runs. A zombie does not: PID 1 of a container may reap it seconds later."""
    found = process(pid)
    return found is not None and found.state not in 'ZX'


def asleep(pid: int) -> bool:
    """Whether each thread of a process waits in the kernel: Python hears of no signal in the moment before that."""
    try:
        return all(
            Path(f'/proc/{pid}/task/{name}/stat').read_text().rpartition(')')[2].split()[0] == 'S'
            for name in os.listdir(f'/proc/{pid}/task'))
    except (FileNotFoundError, ProcessLookupError):
        return False


def doomed(pid: int) -> bool:
    """Whether a process is ending or gone: it was killed, and has at most not had its turn since."""
    try:
        with open(f'/proc/{pid}/stat', 'rb') as file:
            flags = int(file.read().rpartition(b')')[2].split()[6])
        with open(f'/proc/{pid}/status', encoding='ascii', errors='replace') as status:
            pending = [int(line.split()[1], 16) for line in status if line.startswith(('SigPnd:', 'ShdPnd:'))]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return bool(flags & PF_EXITING) or any(each >> (signal.SIGKILL - 1) & 1 for each in pending)


def command_line(pid: int) -> str:
    """Return the command line with spaces; the short name in brackets where there is none."""
    try:
        with open(f'/proc/{pid}/cmdline', 'rb') as file:
            line = file.read()
        if not line:
            with open(f'/proc/{pid}/comm', 'rb') as file:
                line = b'[' + file.read().strip() + b']'
    except OSError:
        return '(gone)'
    return line.replace(b'\0', b' ').decode('utf-8', 'replace').strip()


def table() -> list[Process]:
    """Return every process that can be seen."""
    found = (process(int(name)) for name in os.listdir('/proc') if name.isdigit())
    return [entry for entry in found if entry is not None]


def descendants(root: int) -> list[Process]:
    """Return the processes below `root`, parents before their children."""
    return below(root, table())


def below(root: int, entries: Iterable[Process]) -> list[Process]:
    """Return those of `entries` that are below `root`, parents before their children."""
    children: dict[int, list[Process]] = {}
    for entry in entries:
        children.setdefault(entry.parent, []).append(entry)
    found: list[Process] = []
    queue = [root]
    while queue:
        inner = children.get(queue.pop(0), [])
        found += inner
        queue += [entry.pid for entry in inner]
    return found


# -- births: which children are our own, which are adopted -------------------

_born: set[tuple[int, int]] = set()     # by `Process.key`: numbers come again, and orphans get them too


def adopt_orphans() -> None:
    """Make this process the one that orphans below it come to."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), 'prctl(PR_SET_CHILD_SUBREAPER)')


def record_births() -> None:
    """Remember from now on the number of each process that this one starts itself."""
    for name in ('fork', 'posix_spawn', 'posix_spawnp', 'forkpty'):
        setattr(os, name, _recording(getattr(os, name)))
    execute: Callable[..., None] = vars(subprocess.Popen)['_execute_child']

    def _execute_child(self: subprocess.Popen[Any], *args: Any, **kwargs: Any) -> None:
        try:
            execute(self, *args, **kwargs)
        finally:
            _note_birth(getattr(self, 'pid', 0))

    setattr(subprocess.Popen, '_execute_child', _execute_child)  # noqa: B010 -- mypy knows no such method


def _recording(start: Callable[..., Any]) -> Callable[..., Any]:
    def started(*args: Any, **kwargs: Any) -> Any:
        result = start(*args, **kwargs)
        _note_birth(result[0] if isinstance(result, tuple) else result)
        return result

    return started


def _note_birth(pid: int) -> None:
    born = process(pid) if pid else None
    if born is not None:
        _born.add(born.key)


def reap_adopted() -> None:
    """Wait for the zombies that came to us from somewhere below."""
    ours()


def ours() -> list[Process]:
    """Return the processes below this one, but for the zombies that came to us, which are reaped."""
    if not has_children():
        return []
    me = os.getpid()
    kept = []
    for entry in below(me, table()):
        if entry.parent == me and entry.state == 'Z' and entry.key not in _born:
            try:
                os.waitpid(entry.pid, os.WNOHANG)
            except ChildProcessError:
                pass
        else:
            kept.append(entry)
    return kept


def has_children() -> bool:
    """Whether a process is below this one: orphans come to us, so where no child is, nobody is."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT | WALL)
    except ChildProcessError:
        return False
    return True


# -- the snapshot ------------------------------------------------------------


@dataclass(frozen=True)
class Snapshot:
    """What this process holds at one moment."""

    descriptors: frozenset[tuple[int, str]]
    threads: frozenset[int]
    processes: frozenset[tuple[int, int]]

    @classmethod
    def take(cls) -> Snapshot:
        return cls(
            frozenset(_descriptors()),
            frozenset(int(name) for name in os.listdir('/proc/self/task')),
            frozenset(entry.key for entry in ours()),
        )

    def settle(self, deadline: float = SOON) -> list[str]:
        """Wait until nothing is there that was not there before; say what still is after `deadline` seconds."""
        end = time.monotonic() + deadline
        pause = 0.001
        while True:
            now = Snapshot.take()
            clean = (
                now.descriptors <= self.descriptors and now.threads <= self.threads and now.processes <= self.processes
            )
            if clean:
                return []
            if time.monotonic() >= end:
                return list(self._leaks(now))
            time.sleep(pause)
            pause = min(pause * 2, 0.05)

    def _leaks(self, now: Snapshot) -> Iterator[str]:
        for number, target in sorted(now.descriptors - self.descriptors):
            yield f'descriptor {number} -> {target}'
        names = {thread.native_id: thread.name for thread in threading.enumerate()}
        for thread in sorted(now.threads - self.threads):
            yield f'thread {names.get(thread, "unknown to threading")} (tid {thread})'
        for pid, started in sorted(now.processes - self.processes):
            found = process(pid)
            if found is None or found.started != started:
                continue
            if found.state == 'Z' and found.key in _born:
                yield f'process {pid} was started here and never waited for: {command_line(pid)}'
            else:
                yield f'process {found}'

    def end_leaked(self) -> None:
        """Kill and reap the processes that were not there before, so that later tests do not meet them."""
        if not has_children():
            return
        for entry in reversed(descendants(os.getpid())):
            if entry.key in self.processes:
                continue
            try:
                os.kill(entry.pid, signal.SIGKILL)
                if entry.parent == os.getpid():
                    os.waitpid(entry.pid, 0)
            except (ProcessLookupError, ChildProcessError, PermissionError):
                pass


def _descriptors() -> Iterator[tuple[int, str]]:
    for name in os.listdir('/proc/self/fd'):
        try:
            yield int(name), os.readlink(f'/proc/self/fd/{name}')
        except FileNotFoundError:
            pass  # the one that listed the folder
