"""A session server sees that a file of econtext has changed."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from econtext.command_line.service import changes
from econtext.command_line.service.changes import Changes


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / 'core' / '__pycache__').mkdir(parents=True)
    for name in '__init__.py', '_version.py', 'core/wire.py':
        (tmp_path / name).write_text('1')
    monkeypatch.setattr(changes, 'econtext', SimpleNamespace(__file__=str(tmp_path / '__init__.py')))
    return tmp_path


def test_of_a_checkout_every_file_counts(package: Path) -> None:
    before = changes.seen_files()
    assert len(before) == 3
    (package / 'core' / '__pycache__' / 'wire.py').write_text('1')
    assert changes.seen_files() == before
    (package / 'core' / 'wire.py').write_text('22')
    assert changes.seen_files() != before
    (package / 'core' / 'wire.py').unlink()
    assert len(changes.seen_files()) == 2


def test_of_a_package_a_few_count(package: Path) -> None:
    (package / changes.BUILT).write_text('1')
    before = changes.seen_files()
    (package / 'core' / 'wire.py').write_text('22')
    assert changes.seen_files() == before
    (package / '_version.py').write_text('22')
    assert changes.seen_files() != before


@pytest.fixture
def watched(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Changes]:
    """Changes of a checkout."""
    before = signal.getsignal(signal.SIGIO)
    found = Changes()
    if not found.watches:
        pytest.skip('this system for files tells of no changes')
    yield found
    found.close()
    signal.signal(signal.SIGIO, before)


@pytest.mark.parametrize('change', [
    lambda file: file.write_text('22'),
    lambda file: file.unlink(),
    lambda file: os.utime(file, (1, 1)),
    lambda file: (file.parent / 'other.py').write_text('1'),
    lambda file: (file.parent / 'other').rename(file),
], ids=['written', 'removed', 'touched', 'made', 'moved'])  # fmt: skip
def test_a_change_is_told(
    package: Path, watched: Changes, change: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is looked at before the kernel has told of a change."""
    (package / 'core' / 'other').write_text('333')
    assert not watched.found()
    looks: list[int] = []
    seen_files = changes.seen_files
    monkeypatch.setattr(changes, 'seen_files', lambda: looks.append(1) or seen_files())
    assert not watched.found()
    assert not looks
    change(package / 'core' / 'wire.py')
    assert [watched.found() for _ in range(2)] == [True, True]
    assert looks == [1, 1]


def test_what_is_no_source_is_no_change(package: Path, watched: Changes) -> None:
    (package / 'core' / 'notes.txt').write_text('1')
    assert not watched.found()
    assert not watched.suspected


def test_a_change_that_nobody_tells_of_is_seen_behind_a_command(package: Path, watched: Changes) -> None:
    """Another machine has changed a file of a folder that both have, say."""
    watched.close()
    (package / 'core' / 'wire.py').write_text('22')
    assert not watched.found()
    assert watched.look()
    assert watched.found()


def test_without_a_descriptor_a_change_is_suspected(
    package: Path, watched: Changes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listdir(path: str) -> list[str]:
        raise OSError(24, 'no descriptor')
    monkeypatch.setattr(os, 'listdir', listdir)
    with pytest.raises(OSError, match='no descriptor'):
        watched.look()
    monkeypatch.undo()
    assert watched.suspected


def test_where_no_change_is_told_every_file_is_looked_at(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def control(*_: object) -> int:
        raise OSError(22, 'no such request')
    monkeypatch.setattr(fcntl, 'fcntl', control)
    before = signal.getsignal(signal.SIGIO)
    found = Changes()
    signal.signal(signal.SIGIO, before)
    assert (found.watches, found.folders, found.found()) == (False, [], False)
    (package / 'core' / 'wire.py').write_text('22')
    assert found.found()
