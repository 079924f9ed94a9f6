"""pyinfra in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deploying import ROOT, Runs

import lab
from lab import leaks
from lab.sshd import Sshd


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
