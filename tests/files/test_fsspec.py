"""The file system of fsspec, held against its own tests."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import econtext
from lab.pythons import Interpreter
from lab.sshd import Sshd

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


def test_a_folder_is_listed_by_one_call(
    tmp_path: Path, broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(20):
        (tmp_path / str(number)).write_bytes(b'x')
    (tmp_path / 'dangling').symlink_to('nowhere')
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'link').symlink_to('folder')
    system = filesystem.ContextFileSystem(context=broker.local())
    calls: list[str] = []
    call = econtext.Context.call

    def count(self: econtext.Context, function: Any, *args: Any) -> Any:
        calls.append(args[0])
        return call(self, function, *args)

    monkeypatch.setattr(econtext.Context, 'call', count)
    found = {os.path.basename(entry['name']): entry for entry in system.ls(str(tmp_path))}
    assert len(found) == 23
    assert len(calls) <= 3
    assert [found[name]['type'] for name in ('1', 'folder', 'link', 'dangling')] == [
        'file', 'directory', 'directory', 'link']
    assert [found[name]['islink'] for name in ('1', 'folder', 'link', 'dangling')] == [False, False, True, True]
    monkeypatch.undo()
    assert found['link'] == system.info(str(tmp_path / 'link'))
    assert system.ls(str(tmp_path / '1'), detail=False) == [str(tmp_path / '1')]


def test_callbacks_hear_how_far_it_is(tmp_path: Path, broker: econtext.Broker) -> None:
    from fsspec.callbacks import Callback  # type: ignore[import-untyped]

    system = filesystem.ContextFileSystem(context=broker.local())
    (tmp_path / 'x').write_bytes(b'x' * 1_000_000)
    for act in (
        lambda callback: system.put_file(str(tmp_path / 'x'), str(tmp_path / 'y'), callback=callback),
        lambda callback: system.get_file(str(tmp_path / 'y'), str(tmp_path / 'z'), callback=callback),
    ):
        callback = Callback()
        act(callback)
        assert (callback.size, callback.value) == (1_000_000, 1_000_000)
    assert (tmp_path / 'z').read_bytes() == (tmp_path / 'x').read_bytes()


def test_storage_options_are_those_of_the_connector(
    tmp_path: Path, broker: econtext.Broker, sshd: Sshd, python: Interpreter, monkeypatch: pytest.MonkeyPatch,
) -> None:
    contexts = filesystem.Contexts()
    contexts.broker = broker
    monkeypatch.setattr(filesystem, 'CONTEXTS', contexts)
    (tmp_path / 'x.csv').write_text('a,b\n')
    options = {'ssh_args': ['-F', str(sshd.config)], 'python': str(python), 'use_listings_cache': False}
    system = filesystem.ContextFileSystem(host='lab', **options)
    assert system.cat_file(str(tmp_path / 'x.csv')) == b'a,b\n'
    assert filesystem.ContextFileSystem(host='lab', **options).context is system.context
    other = filesystem.ContextFileSystem(host='lab', **options, name='other')
    assert other.context is not system.context, 'another option is another connection'
    here = filesystem.ContextFileSystem(python=str(python))
    assert here.context.call(os.getpid) != os.getpid()


def test_an_option_that_nobody_takes_is_refused(broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = filesystem.Contexts()
    contexts.broker = broker
    monkeypatch.setattr(filesystem, 'CONTEXTS', contexts)
    with pytest.raises(TypeError, match='passwort'):
        filesystem.ContextFileSystem(host='web1', passwort='secret')
    with pytest.raises(TypeError, match='python'):
        filesystem.ContextFileSystem(context=broker.local(), python='python3')
    with pytest.raises(ValueError, match='username'):
        filesystem.ContextFileSystem(host='me@web1', username='you')
    with pytest.raises(ValueError, match='port'):
        filesystem.ContextFileSystem(host='web1:22', port=2222)


@pytest.mark.parametrize(
    ('host', 'expected'),
    [
        ('web1', ('web1', None, None)), ('me@web1:2222', ('web1', 'me', 2222)), ('[::1]', ('::1', None, None)),
        ('me@[fe80::1]:22', ('fe80::1', 'me', 22)), ('a@b@web1', ('web1', 'a@b', None)), ('::1', ('::1', None, None)),
    ],
)
def test_hosts(host: str, expected: tuple[object, ...]) -> None:
    asked: list[tuple[object, ...]] = []

    class Broker:
        def ssh(self, name: str, *, username: str | None, port: int | None) -> None:
            asked.append((name, username, port))

    filesystem.start(Broker(), host)  # type: ignore[arg-type]
    assert asked == [expected]


@pytest.mark.parametrize('host', ['web1:', 'web1:x', 'web1:22x', '[::1]x', '[::1]:', '[::1'])
def test_hosts_that_make_no_sense(host: str) -> None:
    with pytest.raises(ValueError, match='econtext://'):
        filesystem.start(object(), host)  # type: ignore[arg-type]
