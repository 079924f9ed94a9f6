"""A session server sees that a file of econtext has changed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from econtext.command_line.service import changes


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
