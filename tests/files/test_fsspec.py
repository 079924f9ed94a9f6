"""The file system of fsspec, held against its own tests."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import econtext

pytest.importorskip('fsspec')
from fsspec.tests import abstract  # type: ignore[import-untyped]  # noqa: E402

from econtext import filesystem  # noqa: E402


class Fixtures(abstract.AbstractFixtures):  # type: ignore[misc]
    @pytest.fixture
    def fs(self, broker: econtext.Broker) -> Any:
        return filesystem.ContextFileSystem(context=broker.local())

    @pytest.fixture
    def fs_path(self, tmp_path: Path) -> str:
        (tmp_path / 'there').mkdir()
        return str(tmp_path / 'there')

    @pytest.fixture
    def fs_sanitize_path(self) -> Any:
        return lambda path: path


class TestCopy(abstract.AbstractCopyTests, Fixtures):  # type: ignore[misc]
    pass


class TestGet(abstract.AbstractGetTests, Fixtures):  # type: ignore[misc]
    pass


class TestPut(abstract.AbstractPutTests, Fixtures):  # type: ignore[misc]
    pass


class TestPipe(abstract.AbstractPipeTests, Fixtures):  # type: ignore[misc]
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):  # type: ignore[misc]
    pass


def test_urls(tmp_path: Path, broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec  # type: ignore[import-untyped]

    fsspec.register_implementation('econtext', filesystem.ContextFileSystem, clobber=True)
    contexts = filesystem.Contexts()
    contexts.broker = broker
    monkeypatch.setattr(filesystem, 'CONTEXTS', contexts)
    (tmp_path / 'x.csv').write_text('a,b\n')
    with fsspec.open(f'econtext://.{tmp_path}/x.csv', 'rt') as file:
        assert file.read() == 'a,b\n'
    system, path = fsspec.url_to_fs(f'econtext://.{tmp_path}')
    assert path == str(tmp_path)
    assert [os.path.basename(name) for name in system.ls(path, detail=False)] == ['x.csv']
    assert system.find(path) == [str(tmp_path / 'x.csv')]
    assert len(contexts.made) == 1


def test_entry_point(repository: Path) -> None:
    assert '[project.entry-points."fsspec.specs"]\necontext = "econtext.filesystem:ContextFileSystem"' in (
        repository / 'pyproject.toml').read_text()
    found = entry_points(group='fsspec.specs', name='econtext')
    assert all(point.load() is filesystem.ContextFileSystem for point in found)
