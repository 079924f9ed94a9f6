"""context.path(): what pathlib has for files here, for those there."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

import econtext
from lab import pythons


@pytest.fixture
def child(broker: econtext.Broker) -> econtext.Context:
    return broker.local(name='child')


@pytest.mark.every_python
def test_files(broker: econtext.Broker, python: pythons.Interpreter, tmp_path: Path) -> None:
    web = broker.local(python=python)
    root = web.path(tmp_path)
    (root / 'a' / 'b').mkdir(parents=True)
    file = root / 'a' / 'x.txt'
    assert file.write_text('Grüße\n') == 6
    assert file.read_text() == 'Grüße\n'
    assert file.read_bytes() == 'Grüße\n'.encode()
    assert file.stat().st_size == 8
    when = (tmp_path / 'a' / 'x.txt').stat().st_mtime_ns // 10000 * 10000 + 5000
    os.utime(tmp_path / 'a' / 'x.txt', ns=(when, when))
    assert file.stat().st_mtime_ns // 10000 == (tmp_path / 'a' / 'x.txt').stat().st_mtime_ns // 10000
    assert file.exists()
    assert file.is_file()
    assert not file.is_dir()
    assert file.parent.is_dir()
    assert sorted(path.name for path in (root / 'a').iterdir()) == ['b', 'x.txt']
    assert [str(path) for path in root.glob('*/*.txt')] == [str(file)]
    assert sorted(map(str, root.glob('**/*'))) == sorted(str(path) for path in tmp_path.glob('**/*'))
    other = file.rename(root / 'y')
    assert not file.exists()
    assert str(other) == str(tmp_path / 'y')
    other.chmod(0o600)
    assert stat.S_IMODE(other.stat().st_mode) == 0o600
    link = root / 'link'
    link.symlink_to('y')
    assert link.is_symlink()
    assert str(link.readlink()) == 'y'
    assert link.resolve() == other.resolve()
    link.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        link.unlink()
    assert web.name in str(caught.value)
    assert caught.value.filename == str(link)
    link.unlink(missing_ok=True)
    (root / 'new').touch()
    with pytest.raises(FileExistsError):
        (root / 'new').touch(exist_ok=False)
    with pytest.raises(FileExistsError):
        (root / 'a').mkdir()
    (root / 'a').mkdir(exist_ok=True)
    with pytest.raises(OSError, match='not empty'):
        (root / 'a').rmdir()
    (root / 'a').rmtree()
    assert not (root / 'a').exists()
    assert other.owner()


def test_large_files(child: econtext.Context, tmp_path: Path) -> None:
    data = os.urandom(1_500_000)
    path = child.path(tmp_path, 'x')
    assert path.write_bytes(data) == len(data)
    assert path.read_bytes() == data


def test_names_that_are_no_text(child: econtext.Context, tmp_path: Path) -> None:
    name = os.fsdecode(b'\xff\xe9')
    path = child.path(tmp_path) / name
    path.write_text('x')
    assert os.listdir(os.fsencode(tmp_path)) == [b'\xff\xe9']
    assert [each.name for each in child.path(tmp_path).iterdir()] == [name]
    assert path.read_text() == 'x'


@pytest.mark.parametrize(
    'act',
    [
        lambda path: path / 'x' / '/abs', lambda path: '/y' / path, lambda path: path.name, lambda path: path.parts,
        lambda path: path.suffix, lambda path: path.stem, lambda path: path.with_suffix('.gz'),
        lambda path: path.parent, lambda path: list(path.parents), lambda path: path.relative_to('/etc'),
        lambda path: path.joinpath('a', '../b'), lambda path: path.is_absolute(), lambda path: path.match('*.d'),
        lambda path: path.with_name('q'), lambda path: path.anchor, lambda path: path.with_name(''),
        lambda path: path.relative_to('/var'), lambda path: path < path.parent, lambda path: path.suffixes,
    ],
)  # fmt: skip
@pytest.mark.parametrize('text', ['/etc/init.d', 'etc//x.tar.gz', '.', '/', '//x', '..'])
def test_semantics_are_those_of_pure_paths(child: econtext.Context, act: Callable[[Any], Any], text: str) -> None:
    def outcome(path: Any) -> Any:
        try:
            result = act(path)
        except Exception as error:
            return type(error)
        return [str(each) for each in result] if isinstance(result, (list, tuple)) else str(result)

    assert outcome(child.path(text)) == outcome(PurePosixPath(text))


def test_it_is_none_of_this_machine(broker: econtext.Broker, child: econtext.Context, tmp_path: Path) -> None:
    path = child.path(tmp_path)
    with pytest.raises(TypeError):
        os.fspath(path)  # type: ignore[call-overload]
    other = broker.local(name='other').path(tmp_path)
    assert path != other
    assert path == child.path(str(tmp_path))
    assert len({path, child.path(tmp_path), other}) == 2
    with pytest.raises(ValueError, match='other'):
        path / other
    with pytest.raises(TypeError):
        child.path(7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='NUL'):
        child.path('a\0b')


def test_put_and_get_take_them(child: econtext.Context, tmp_path: Path) -> None:
    there = child.path(tmp_path, 'x')
    child.put(b'some', there)
    child.get(there, tmp_path / 'y')
    assert (tmp_path / 'y').read_bytes() == b'some'
    with child.open(there) as file:
        assert file.read() == 'some'
    assert [path for path, _, _ in child.path(tmp_path).walk()] == [child.path(tmp_path)]


def test_home(child: econtext.Context) -> None:
    home = child.call(os.path.expanduser, '~')
    assert str(child.path('~/x').expanduser()) == home + '/x'
    assert str(child.path('x').absolute()) == child.call(os.getcwd) + '/x'


def opened(path: Any, mode: str, use: Callable[[Any], Any]) -> Any:
    with path.open(mode) as file:
        return use(file)


@pytest.mark.parametrize(
    'act',
    [
        lambda path: list(path.iterdir()), lambda path: list(path.glob('*')), lambda path: list(path.walk()),
        lambda path: path.stat(), lambda path: path.resolve(), lambda path: path.read_bytes(),
        lambda path: path.read_text(), lambda path: path.readlink(),
        lambda path: opened(path, 'ab', lambda file: file.tell()),
        lambda path: opened(path, 'rb', lambda file: file.read()), lambda path: path.exists(),
        lambda path: opened(path, 'rb', lambda file: file.seek(0, 2)),
        lambda path: (path.context.path() / '~').expanduser(), lambda path: path.context.path('x').absolute(),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    'answer', [None, 7, -7, 1.5, [7], [('a',)], {}, (1, 2, 3), ('a', 'b', 'c'), [(b'x', None, None)], (1, -1, True)])
def test_answers_of_another_form(
    child: econtext.Context, monkeypatch: pytest.MonkeyPatch, act: Callable[[Any], Any], answer: Any,
) -> None:
    """Nothing else is raised for them, whatever a context says."""
    monkeypatch.setattr(econtext.Context, 'call', lambda *_args: ('done', answer))
    with contextlib.suppress(econtext.CorruptStream):
        act(child.path('/x'))


def test_an_answer_that_is_none(child: econtext.Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(econtext.Context, 'call', lambda *_args: ('done', 7))
    for act in (lambda: child.path('/x').iterdir(), lambda: list(child.path('/x').walk()), lambda: child.open('/x')):
        with pytest.raises(econtext.CorruptStream, match='child'):
            act()
