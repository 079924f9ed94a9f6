"""What a context does with open files and paths, called here: several threads, pipes, faults, names of every kind."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import econtext
from econtext.child import copies, files, receiving, sending
from lab import eventually, open_to_all, pythons

READ = {'read': True, 'write': False, 'create': False, 'truncate': False, 'new': False, 'append': False}
WRITE = {**READ, 'read': False, 'write': True}
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason='needs root')


def done(name: str, *args: Any) -> Any:
    answer = files.do(name, *args)
    assert answer[0] == 'done', answer
    return answer[1]


@pytest.fixture
def child(broker: econtext.Broker) -> econtext.Context:
    return broker.local(name='child')


def test_two_files_that_are_opened_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By two threads: one between the steps of the other."""
    paths = [tmp_path / 'a', tmp_path / 'b']
    for path in paths:
        path.write_text(path.name)
    numbers: list[int] = []
    make = files.allocate_lock

    def allocate() -> Any:
        monkeypatch.setattr(files, 'allocate_lock', make)
        numbers.append(done('open', os.fsencode(paths[1]), READ, 0)[0])
        return make()

    monkeypatch.setattr(files, 'allocate_lock', allocate)
    numbers.insert(0, done('open', os.fsencode(paths[0]), READ, 0)[0])
    assert [done('read', number, 0, 10) for number in numbers] == [b'a', b'b']
    for number in numbers:
        done('close', number)


class Lock:
    """A lock that says how many have asked for it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.asked = 0

    def acquire(self) -> None:
        self.asked += 1
        self.lock.acquire()

    def release(self) -> None:
        self.lock.release()


@pytest.mark.parametrize('act', ['close', 'truncate', 'size', 'sync'])
def test_a_file_that_is_used_is_not_closed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str,
) -> None:
    """Its descriptor might be that of another file by then."""
    path = tmp_path / 'x'
    path.write_bytes(b'x')
    lock = Lock()
    monkeypatch.setattr(files, 'allocate_lock', lambda: lock)
    number = done('open', os.fsencode(path), {**READ, 'write': True}, 0)[0]
    lock.acquire()
    arguments = [number, 0] if act == 'truncate' else [number]
    threads = [threading.Thread(target=files.do, args=(act, *arguments))]
    threads[0].start()
    eventually(lambda: lock.asked == 2)
    assert path.read_bytes() == b'x'
    assert threads[0].is_alive()
    lock.release()
    threads[0].join()
    files.do('close', number)
    assert files.do('read', number, 0, 1)[:2] == ('error', 'EBADF')


def test_whoever_waited_while_a_file_was_closed_hears_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'x'
    path.write_bytes(b'old')
    lock = Lock()
    monkeypatch.setattr(files, 'allocate_lock', lambda: lock)
    number = done('open', os.fsencode(path), WRITE, 0)[0]
    lock.acquire()
    answers: list[Any] = []
    writer = threading.Thread(target=lambda: answers.append(files.do('write', number, 0, b'new')))
    writer.start()
    eventually(lambda: lock.asked == 2)
    descriptor, files.OPEN[number][0] = files.OPEN[number][0], None
    lock.release()
    writer.join()
    os.close(descriptor)
    del files.OPEN[number]
    assert answers[0][:2] == ('error', 'EBADF')
    assert path.read_bytes() == b'old'


def test_an_open_that_is_given_up_is_closed(child: econtext.Context, tmp_path: Path) -> None:
    """The answer does not come; the file is open there."""
    (tmp_path / 'x').write_bytes(b'x')
    call = econtext.Context.call
    opened: list[int] = []
    descriptors = Path(f'/proc/{child.call(os.getpid)}/fd')

    def is_open() -> bool:
        return any(os.path.realpath(each) == str(tmp_path / 'x') for each in descriptors.iterdir())

    def interrupted(self: econtext.Context, function: Any, *args: Any) -> Any:
        answer = call(self, function, *args)
        if args[0] == 'open':
            opened.append(args[-1])
            assert is_open()
            raise KeyboardInterrupt
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(econtext.Context, 'call', interrupted)
        with pytest.raises(KeyboardInterrupt):
            child.open(tmp_path / 'x')
        assert opened
        eventually(lambda: not is_open())


@pytest.mark.every_python
def test_a_pipe_is_not_waited_for(broker: econtext.Broker, python: pythons.Interpreter, tmp_path: Path) -> None:
    web = broker.local(python=python)
    pipe = tmp_path / 'pipe'
    os.mkfifo(pipe)
    with web.open(pipe, 'rb') as file:
        assert file.read() == b''
    assert web.path(pipe).read_bytes() == b''
    with pytest.raises(OSError, match='No such device') as caught:
        web.open(pipe, 'wb')
    assert caught.value.errno == errno.ENXIO
    web.path(pipe).touch()
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with web.open(pipe, 'wb') as file:
            file.write(b'to whoever reads')
        assert os.read(reader, 100) == b'to whoever reads'
    finally:
        os.close(reader)


@pytest.mark.every_python
def test_no_program_inherits_a_file(broker: econtext.Broker, python: pythons.Interpreter, tmp_path: Path) -> None:
    web = broker.local(python=python)
    (tmp_path / 'x').write_bytes(b'x')
    with web.open(tmp_path / 'x'):
        found = web.run(['ls', '-l', '/proc/self/fd']).stdout
    assert str(tmp_path / 'x') not in found


@AS_ROOT
def test_a_folder_that_hides_what_it_has(tmp_path: Path) -> None:
    folder = tmp_path / 'folder'
    folder.mkdir()
    (folder / 'x').write_bytes(b'x')
    folder.chmod(0o444)
    open_to_all(tmp_path)
    os.seteuid(65534)
    try:
        assert files.do('statuses', os.fsencode(folder))[:2] == ('error', 'EACCES')
        folder_of_one = os.fsencode(folder)
        folder.stat()
    finally:
        os.seteuid(0)
    folder.chmod(0o111)
    os.seteuid(65534)
    try:
        # What has no wildcard is looked up, as anybody may.
        assert done('match', os.path.dirname(folder_of_one), [b'folder', b'x']) == [b'folder/x']
    finally:
        os.seteuid(0)


def test_a_copy_is_whole_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / 'source', tmp_path / 'target'
    source.write_bytes(os.urandom(1 << 20))
    source.chmod(0o751)
    target.write_bytes(b'old')
    write = receiving.transfer.write
    count = []

    def full(fd: int, data: bytes) -> int:
        count.append(fd)
        if len(count) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data)

    monkeypatch.setattr(receiving.transfer, 'write', full)
    assert copies.copy(os.fsencode(source), os.fsencode(target))[:2] == ('error', 'ENOSPC')
    monkeypatch.undo()
    assert target.read_bytes() == b'old'
    assert sorted(os.listdir(tmp_path)) == ['source', 'target']
    assert copies.copy(os.fsencode(source), os.fsencode(target)) == ('done', None)
    assert target.read_bytes() == source.read_bytes()
    assert stat.S_IMODE(target.stat().st_mode) == 0o751


@pytest.mark.every_python
def test_copies_on_each_python(broker: econtext.Broker, python: pythons.Interpreter, tmp_path: Path) -> None:
    web = broker.local(python=python)
    source, target, link = tmp_path / 'source', tmp_path / 'target', tmp_path / 'link'
    data = os.urandom(700_000) + bytes(700_000)
    source.write_bytes(data)
    link.symlink_to('target')
    for other in target, link:
        assert web.call(copies.copy, os.fsencode(source), os.fsencode(other)) == ('done', None)
        assert target.read_bytes() == data
    assert link.is_symlink()
    for wrong, code in (
        (tmp_path / 'no', 'ENOENT'), (tmp_path, 'EISDIR'), ('/dev/null', 'EINVAL'),
    ):
        assert web.call(copies.copy, os.fsencode(wrong), os.fsencode(target))[:2] == ('error', code)
    assert web.call(copies.copy, os.fsencode(source), os.fsencode(tmp_path / 'no' / 'x'))[:2] == (
        'error', 'ENOENT')


@pytest.mark.every_python
def test_patterns(broker: econtext.Broker, python: pythons.Interpreter, tmp_path: Path) -> None:
    """They mean what they mean to pathlib."""
    web = broker.local(python=python)
    for name in ('a/b/c.txt', 'a/é.txt', 'a/.hidden.txt', 'x/b/d.txt', 'a/[q].txt', 'long/es/c.txt'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('x')
    Path(os.fsdecode(os.fsencode(tmp_path) + b'/a/\xff.txt')).write_text('x')
    (tmp_path / 'link').symlink_to('a')
    for pattern in ('a/?.txt', 'a/[é].txt', '*/b/*.txt', 'a/../x', 'a/../x/b/*.txt', '**/b', '**/*.txt', '**/b/**/*',
                    'a/[[]q].txt', 'no/*', 'a/é.txt', 'link/b/c.txt', 'link/*.txt', '*/b', 'a/b/c.txt/*', '**/**/d*'):
        expected = sorted(set(map(str, tmp_path.glob(pattern))))
        assert sorted(map(str, web.path(tmp_path).glob(pattern))) == expected, pattern


def test_deep_folders(child: econtext.Context, tmp_path: Path) -> None:
    """Deeper than functions nest."""
    deep = child.path(tmp_path, *['d'] * 1500)
    deep.mkdir(parents=True)
    deep.mkdir(parents=True, exist_ok=True)
    with pytest.raises(FileExistsError):
        deep.mkdir(parents=True)
    deep.joinpath('x.txt').touch()
    assert [str(path) for path in child.path(tmp_path).glob('**/*.txt')] == [str(deep / 'x.txt')]
    for down in True, False:
        walked = list(child.path(tmp_path).walk(down))
        assert len(walked) == 1501
        assert walked[-down][0] == deep
    child.path(tmp_path, 'd').rmtree()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('top_down', [True, False])
def test_walks_are_those_of_pathlib(child: econtext.Context, tmp_path: Path, top_down: bool) -> None:
    for name in ('a/b/c', 'a/d/e', 'x/y/z', 'x/w'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('x')
    (tmp_path / 'link').symlink_to('a')
    mine = [(str(path), set(folders), set(others)) for path, folders, others in child.path(tmp_path).walk(top_down)]
    its = [(path, set(folders), set(others)) for path, folders, others in os.walk(tmp_path, top_down)]
    for _, folders, others in its:
        if 'link' in folders:
            folders.remove('link')
            others.add('link')
    assert sorted(mine, key=str) == sorted(its, key=str)
    pruned = []
    for path, folders, _ in child.path(tmp_path).walk():
        pruned.append(path.name)
        folders[:] = [name for name in folders if name != 'a']
    assert 'b' not in pruned


def test_a_home_of_nobody(child: econtext.Context, tmp_path: Path) -> None:
    for act in (lambda: child.put(b'x', '~no_such_user/x'), lambda: child.get('~no_such_user/x', tmp_path / 'x')):
        with pytest.raises(FileNotFoundError, match='home') as caught:
            act()
        assert caught.value.filename == '~no_such_user/x'
    with pytest.raises(RuntimeError):
        child.path('~no_such_user').expanduser()


@pytest.mark.parametrize('size', [10, 200_000, 3_000_000])
def test_a_file_that_grows_goes_as_it_was_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int,
) -> None:
    source = tmp_path / 'source'
    source.write_bytes(b'x' * size)
    serve = sending.Sender.serve

    def grow(self: Any, batch: Any, last: bool) -> None:
        with source.open('ab') as file:
            file.write(b'y' * 400_000)
        serve(self, batch, last)

    monkeypatch.setattr(sending.Sender, 'serve', grow)
    with econtext.Broker() as broker:
        broker.local().put(source, tmp_path / 'target')
    assert (tmp_path / 'target').read_bytes() == b'x' * size


@pytest.mark.parametrize('reading', [os.read, os.write])
def test_a_signal_ends_no_reading_or_writing(reading: Callable[..., Any]) -> None:
    """Before Python 3.5, which goes on by itself."""
    calls: list[int] = []

    def interrupted(number: int) -> int:
        calls.append(number)
        if len(calls) < 3:
            raise OSError(errno.EINTR, os.strerror(errno.EINTR))
        return number

    assert receiving.transfer.repeated(interrupted)(7) == 7
    assert len(calls) == 3
    assert reading in (receiving.transfer.read, receiving.transfer.write)
