"""Ansible as users have it: ansible-core of one release in a virtual environment of its own, made once a session.

Invariants:
* The environment has this checkout's econtext, and the collection with it, as an installed wheel would give them.
* Nothing of the user's own Ansible is read or written: each run gets a home, a cache and a configuration of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import lab
from lab import pythons

RELEASES = ('2.18', '2.19', '2.20', '2.21')
NEWEST = RELEASES[-1]
FORMATS = ('2.18', '2.21')    # 2.19 writes payloads in another way than 2.18
PYTHON = '3.12'     # the one that all of these support
SOURCES = Path(__file__).resolve().parents[2] / 'src'


def core(release: str, base: Path) -> Path:
    """Return the folder of programs of ansible-core `release`, below `base`, which all tests of a session share."""
    place = base / f'ansible-core-{release}'
    with open(f'{place}.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)    # tests run side by side
        if not (place / 'ready').exists():
            install(release, place)
            (place / 'ready').touch()
    return place / 'bin'


def install(release: str, place: Path) -> None:
    if PYTHON not in pythons.interpreters():
        lab.unavailable(f'Python {PYTHON}: not on this machine')
    subprocess.run([pythons.interpreter(PYTHON), '-m', 'venv', '--without-pip', place], check=True)
    python = place / 'bin' / 'python'
    done = subprocess.run(
        [sys.executable, '-m', 'pip', '--python', python, 'install', '-q', f'ansible-core=={release}.*'],
        capture_output=True, text=True, env=clean())  # fmt: skip
    if done.returncode:
        lab.unavailable(f'ansible-core {release}: {done.stderr.strip()[-300:]}')
    packages, = place.glob('lib/python*/site-packages')
    (packages / 'econtext_checkout.pth').write_text(f'{SOURCES}\n')


def clean() -> dict[str, str]:
    """Return this environment without what a user has told Ansible or Python."""
    users = ('ANSIBLE_', 'PYTHON', 'ECONTEXT_')
    return {name: value for name, value in os.environ.items() if not name.startswith(users)}


class Project:
    """A folder with a playbook, and what Ansible is to know beside it; runs on this machine."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self.programs = folder, programs
        self.home = folder / 'home'
        self.home.mkdir(parents=True)
        self.environment = {
            'HOME': str(self.home), 'ANSIBLE_HOME': str(self.home / '.ansible'),
            'XDG_CACHE_HOME': str(self.home / '.cache'),
            'ANSIBLE_LOCALHOST_WARNING': '0', 'ANSIBLE_INVENTORY_UNPARSED_WARNING': '0', 'ANSIBLE_NOCOLOR': '1',
            'ANSIBLE_PYTHON_INTERPRETER': str(pythons.interpreter(PYTHON)), 'LC_ALL': 'C.UTF-8',
        }

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def begin(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.programs / 'ansible-playbook', '-i', 'localhost,', '-c', 'local', *arguments, 'site.yml'],
            cwd=self.folder, env={**clean(), **self.environment, **environment}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip

    def output(self, program: str, *arguments: str) -> str:
        """Return what another of Ansible's programs prints on standard output; it must succeed."""
        done = subprocess.run(
            [self.programs / program, *arguments], cwd=self.folder, env={**clean(), **self.environment},
            stdin=subprocess.DEVNULL, capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, *arguments: str, **environment: str) -> str:
        """Return what the playbook printed; it must succeed."""
        return said(self.begin(*arguments, **environment))


def said(process: subprocess.Popen[str]) -> str:
    """Return what a playbook printed, after it succeeded."""
    with contextlib.closing(process.stdout):    # type: ignore[type-var]
        text, _ = process.communicate(timeout=lab.SOON)
    assert process.returncode == 0, text
    return text
