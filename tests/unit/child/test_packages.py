"""A process finds packages that were installed after it started, as a new process would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from econtext.child import packages

# What a process does that has started; `ready` ends the first half, and the rest is read behind it.
PROGRAM = f'''
import importlib.util, sys
SPEC = importlib.util.spec_from_file_location('packages', {packages.__file__!r})
packages = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(packages)
print('ready', flush=True)
sys.stdin.readline()
packages.update({{home}})
print(sys.path)
'''


def paths(home: Path, change: str, is_other: bool = False, later: dict[str, str] | None = None) -> tuple[str, str]:
    """Return the paths that a process has behind a change by a shell in its home, and those of a new process."""
    environ = {'HOME': str(home)}
    program = PROGRAM.format(home=is_other)
    if later:
        program = program.replace('packages.update', f'import os; os.environ.update({later!r}); packages.update')
    started = subprocess.Popen(
        [sys.executable, '-c', program], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == 'ready\n'
    user = subprocess.run(
        [sys.executable, '-c', 'import site; print(site.getusersitepackages())'], env=environ, text=True,
        capture_output=True, check=True).stdout.strip()
    subprocess.run(['sh', '-ec', change, user], cwd=home, check=True)
    said, _ = started.communicate('go\n')
    new = subprocess.run(
        [sys.executable, '-c', 'import sys; print(sys.path)'], env={**environ, **(later or {})}, text=True,
        capture_output=True, check=True).stdout
    return said, new


pytestmark = pytest.mark.slow
CHANGES = ['true', 'mkdir -p "$0"', 'mkdir -p "$0" more; echo "$PWD/more" > "$0/more.pth"']


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a Python outside of virtual environments, which looks into the folder of the user."""
    monkeypatch.setattr(sys, 'executable', str(Path(sys._base_executable).resolve()))  # type: ignore[attr-defined]


@pytest.mark.parametrize('change', CHANGES)
@pytest.mark.usefixtures('outside')
def test_folders_are_found_in_the_order_of_a_new_process(tmp_path: Path, change: str) -> None:
    there, new = paths(tmp_path, change)
    assert there == new
    assert (str(tmp_path) in new) == (change != 'true')


@pytest.mark.usefixtures('outside')
def test_another_home_has_other_packages(tmp_path: Path) -> None:
    home, other = tmp_path / 'home', tmp_path / 'other'
    for each in home, other:
        each.mkdir()
    there, new = paths(home, f'mkdir -p "$0"; cp -r .local {other}; rm -r .local', True, {'HOME': str(other)})
    assert there == new
    assert str(other) in new


def test_other_entries_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, 'path', [*sys.path, str(tmp_path)])
    before = set(sys.path)
    packages.renew(list(packages.AT_START))
    assert set(sys.path) == before
    assert sys.path[-1] == str(tmp_path)


def test_a_site_that_has_less_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'site', type(sys)('site'))
    assert packages.seen() == {}
    monkeypatch.setattr(packages, 'AT_START', {})
    before = list(sys.path)
    packages.update(True)
    assert sys.path == before
