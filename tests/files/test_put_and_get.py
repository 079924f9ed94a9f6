"""put() and get(): one file or a folder, there and back, on each Python; what stands where when something fails."""

from __future__ import annotations

import contextlib
import filecmp
import hashlib
import io
import os
import resource
import socket
import stat
import struct
import sys
import threading
from pathlib import Path

import pytest

import econtext
from econtext.child import receiving, sending, transfer
from econtext.controller.files import copying, progress
from lab import eventually, pythons

OLD, NEW = b'the old one', b'the new one' * 40000


@pytest.fixture
def child(broker: econtext.Broker) -> econtext.Context:
    return broker.local(name='child')


def tree(root: Path) -> dict[bytes, tuple[object, ...]]:
    """Return what is below `root`, by name."""
    found: dict[bytes, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in folders + files:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            content: object = None
            if stat.S_ISLNK(status.st_mode):
                found[os.path.relpath(path, os.fsencode(root))] = ('link', os.readlink(path))
                continue
            if stat.S_ISREG(status.st_mode):
                with open(path, 'rb') as file:
                    content = file.read()
            when = status.st_mtime_ns // 10000
            found[os.path.relpath(path, os.fsencode(root))] = (status.st_mode, content, when)
    return found


def make_tree(root: Path) -> None:
    (root / 'a' / 'deep' / 'er').mkdir(parents=True)
    (root / 'empty').mkdir()
    (root / 'a' / 'file').write_bytes(b'content')
    (root / 'a' / 'deep' / 'er' / 'nothing').write_bytes(b'')
    (root / 'a' / 'large').write_bytes(os.urandom(1 << 20))
    (root / 'a' / 'run').write_bytes(b'#!/bin/sh\n')
    (root / 'a' / 'run').chmod(0o751)
    Path(os.fsdecode(os.fsencode(root) + b'/caf\xe9 \xff')).write_bytes(b'a name of no encoding')
    (root / 'link').symlink_to('a/file')
    (root / 'dangling').symlink_to('/nowhere/at/all')
    os.utime(root / 'a' / 'file', ns=(1, 1_234_567_890_123_456_000))
    os.utime(root / 'empty', ns=(1, 1_000_000_000_000_000_000))
    (root / 'a' / 'deep').chmod(0o755)
    for path in (*root.rglob('*'), root):
        # Python 2 reads and sets times to a few microseconds: none is next to what tree() counts in.
        when = path.lstat().st_mtime_ns // 10000 * 10000 + 5000
        os.utime(path, ns=(when, when), follow_symlinks=False)


def beside(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith('.part')]


@pytest.mark.every_python
def test_there_and_back(broker: econtext.Broker, python: pythons.Interpreter, tmp_path: Path) -> None:
    web = broker.local(python=python)
    source = tmp_path / 'source'
    make_tree(source)
    done = web.put(source, tmp_path / 'there')
    assert (done.files, done.unchanged, done.left_out) == (7, 0, ())
    assert tree(tmp_path / 'there') == tree(source)
    again = web.put(source, tmp_path / 'there')
    assert (again.files, again.unchanged, again.bytes) == (0, 7, 0)
    web.get(tmp_path / 'there', tmp_path / 'back')
    assert tree(tmp_path / 'back') == tree(source)
    one = web.put(source / 'a' / 'large', tmp_path / 'one')
    data = (source / 'a' / 'large').read_bytes()
    assert (tmp_path / 'one').read_bytes() == data
    assert one.checksum == 'sha256:' + hashlib.sha256(data).hexdigest()
    web.get(tmp_path / 'one', tmp_path / 'other')
    assert (tmp_path / 'other').read_bytes() == data
    sink = io.BytesIO()
    web.get(tmp_path / 'one', sink)
    assert sink.getvalue() == data


def test_bytes_and_files(child: econtext.Context, tmp_path: Path) -> None:
    target = tmp_path / 'target'
    child.put(NEW, target, mode=0o640)
    assert target.read_bytes() == NEW
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    child.put(io.BytesIO(OLD), target)
    assert target.read_bytes() == OLD
    assert stat.S_IMODE(target.stat().st_mode) == 0o640  # that of the file that was there
    child.put(b'', target)
    assert target.read_bytes() == b''
    fresh = tmp_path / 'fresh'
    child.put(OLD, fresh)
    mask = os.umask(0o22)
    os.umask(mask)
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o666 & ~mask


def test_the_bytes_of_a_file_object_are_counted(child: econtext.Context, tmp_path: Path) -> None:
    for size in 5, 1 << 20:
        source = tmp_path / 'source'
        source.write_bytes(os.urandom(size))
        os.truncate(source, 2 * size)   # a hole behind, of the same size
        target = io.BytesIO()
        assert child.get(source, target).bytes == 2 * size == len(target.getvalue())


def test_a_path_of_another_context_is_refused(child: econtext.Context, broker: econtext.Broker, tmp_path: Path) -> None:
    """It would else be a file of the same name, on the wrong machine."""
    with broker.local(name='other') as other:
        there = other.path(tmp_path / 'file')
        for wrong in (
            lambda: child.put(b'content', there), lambda: child.get(there, io.BytesIO()), lambda: child.open(there),
            lambda: child.put(there, there), lambda: other.get(child.path('/etc/hosts'), tmp_path / 'file'),
            lambda: broker.fleet(['one'], connector='local').put(b'content', there),  # type: ignore[arg-type]
        ):
            with pytest.raises(ValueError, match=r'a path of .* is none of'):
                wrong()
        assert os.listdir(tmp_path) == []


def test_where_it_goes(child: econtext.Context, tmp_path: Path) -> None:
    """A file becomes the target or goes into a folder; a folder becomes the target, or goes into one with a slash."""
    source, folder = tmp_path / 'source', tmp_path / 'folder'
    source.write_bytes(OLD)
    folder.mkdir()
    assert child.put(source, folder).path == str(folder / 'source')
    assert child.put(source, str(folder) + '/').path == str(folder / 'source')
    assert child.put(source, folder / 'name').path == str(folder / 'name')
    with pytest.raises(NotADirectoryError, match='child: '):
        child.put(source, str(folder / 'missing') + '/')
    with pytest.raises(IsADirectoryError):
        child.put(OLD, folder)
    things = tmp_path / 'things'
    things.mkdir()
    (things / 'x').write_bytes(b'x')
    assert child.put(things, folder / 'new').path == str(folder / 'new')
    assert child.put(things, folder / 'new').unchanged == 1
    assert child.put(things, str(folder) + '/').path == str(folder / 'things')
    assert sorted(tree(folder)) == [b'name', b'new', b'new/x', b'source', b'things', b'things/x']
    back = tmp_path / 'back'
    back.mkdir()
    assert child.get(source, back).path == str(back / 'source')
    assert child.get(things, str(back) + '/').path == str(back / 'things')
    assert child.get(source, back / 'y').path == str(back / 'y')


def test_paths_are_those_of_the_context(child: econtext.Context, tmp_path: Path) -> None:
    child.call(os.chdir, str(tmp_path))
    child.put(OLD, 'relative')
    assert (tmp_path / 'relative').read_bytes() == OLD
    child.call(os.putenv, 'HOME', '/')
    home = child.call(os.path.expanduser, '~')
    with pytest.raises(FileNotFoundError) as caught:
        child.get('~/surely/not/there', tmp_path / 'x')
    assert caught.value.filename == home + '/surely/not/there'


def test_a_link_to_a_file_stays(child: econtext.Context, tmp_path: Path) -> None:
    (tmp_path / 'real').write_bytes(OLD)
    (tmp_path / 'link').symlink_to('real')
    child.put(NEW, tmp_path / 'link')
    assert (tmp_path / 'link').is_symlink()
    assert (tmp_path / 'real').read_bytes() == NEW


def test_what_is_no_file_is_not_replaced(child: econtext.Context, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe')
    with pytest.raises(FileExistsError):
        child.put(OLD, tmp_path / 'pipe')
    assert stat.S_ISFIFO((tmp_path / 'pipe').stat().st_mode)
    with pytest.raises(OSError, match='Not a file'):
        child.get(tmp_path / 'pipe', tmp_path / 'x')


@pytest.mark.parametrize('size', [5_000, 500_000])
def test_a_file_that_there_is_no_room_for_is_named(broker: econtext.Broker, tmp_path: Path, size: int) -> None:
    """As by a full disk: a small file comes in one message with others, a large one in pieces."""
    child = broker.local(name='child')
    limit = 4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    child.call(resource.setrlimit, resource.RLIMIT_FSIZE, limit)
    source, target = tmp_path / 'source', tmp_path / 'target'
    source.mkdir()
    for name, content in ('a', OLD), ('b', b'x' * size), ('c', OLD):
        (source / name).write_bytes(content)
    for what, where, named in (source, target, target / 'b'), (source / 'b', tmp_path / 'x', tmp_path / 'x'):
        with pytest.raises(OSError, match='child: File too large') as caught:
            child.put(what, where)
        assert caught.value.filename == str(named)
    assert not (tmp_path / 'x').exists()


def test_errors_name_the_context_and_the_path(child: econtext.Context, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        child.put(OLD, tmp_path / 'no' / 'x')
    assert caught.value.filename == str(tmp_path / 'no' / 'x')
    assert 'child: ' in str(caught.value)
    with pytest.raises(FileNotFoundError) as caught:
        child.put(tmp_path / 'no', tmp_path / 'y')
    assert caught.value.filename == str(tmp_path / 'no')
    assert 'child' not in str(caught.value)
    with pytest.raises(FileNotFoundError) as caught:
        child.get(tmp_path / 'no', tmp_path / 'y')
    assert caught.value.filename == str(tmp_path / 'no')
    (tmp_path / 'z').write_bytes(OLD)
    with pytest.raises(FileNotFoundError) as caught:
        child.get(tmp_path / 'z', tmp_path / 'no' / 'y')
    assert 'child' not in str(caught.value)
    (tmp_path / 'folder').mkdir()
    with pytest.raises(IsADirectoryError, match='child'):
        child.get(tmp_path / 'folder', io.BytesIO())


@pytest.mark.parametrize(
    ('options', 'kind'),
    [({'mode': '644'}, ValueError), ({'mode': 1 << 20}, ValueError), ({'symlinks': 'perhaps'}, ValueError),
     ({'compare': 'size'}, ValueError), ({'owner': 0}, TypeError), ({'progress': 7}, TypeError)],
)  # fmt: skip
def test_wrong_options_are_refused_before_anything_is_sent(
    broker: econtext.Broker, tmp_path: Path, options: dict[str, object], kind: type[Exception]
) -> None:
    context = broker.command(['/bin/false'])
    with pytest.raises(kind):
        context.put(OLD, tmp_path / 'x', **options)  # type: ignore[arg-type]
    for path in ('', 'a\0b', 7):
        with pytest.raises((TypeError, ValueError)):
            context.put(OLD, path)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        context.put(io.StringIO('text'), tmp_path / 'x')  # type: ignore[arg-type]


def test_only_what_differs(child: econtext.Context, tmp_path: Path) -> None:
    source, target = tmp_path / 'source', tmp_path / 'target'
    source.mkdir()
    for name in 'abc':
        (source / name).write_bytes(OLD)
    child.put(source, target)
    was = {name: (target / name).stat().st_ino for name in 'abc'}
    (source / 'b').write_bytes(NEW)
    (source / 'c').chmod(0o600)
    done = child.put(source, target)
    assert (done.files, done.unchanged) == (1, 2)
    assert [name for name in 'abc' if (target / name).stat().st_ino != was[name]] == ['b']
    assert stat.S_IMODE((target / 'c').stat().st_mode) == 0o600
    # Of the same size and time, and another content.
    status = (source / 'a').stat()
    (source / 'a').write_bytes(OLD[::-1])
    os.utime(source / 'a', ns=(status.st_atime_ns, status.st_mtime_ns))
    assert child.put(source, target).files == 0
    os.utime(source / 'b', (1, 1))
    done = child.put(source, target, compare='content')
    assert (done.files, done.unchanged) == (1, 2)
    assert tree(target) == tree(source)
    assert child.put(source, target, compare='always').files == 3
    assert child.put(source / 'a', target / 'a').files == 1
    assert child.put(source / 'a', target / 'a', compare='time').files == 0


def test_deletion_only_if_asked(child: econtext.Context, tmp_path: Path) -> None:
    source, target = tmp_path / 'source', tmp_path / 'target'
    make_tree(source)
    make_tree(target)
    (target / 'extra').mkdir()
    (target / 'extra' / 'x').write_bytes(OLD)
    (target / 'way out').symlink_to(tmp_path)
    assert child.put(source, target).deleted == 0
    assert (target / 'extra' / 'x').exists()
    done = child.put(source, target, delete=True)
    assert done.deleted == 3
    assert tree(target) == tree(source)
    assert (tmp_path / 'source').exists()


def test_a_folder_gives_way_only_if_asked(child: econtext.Context, tmp_path: Path) -> None:
    source, target = tmp_path / 'source', tmp_path / 'target'
    source.mkdir()
    (source / 'x').write_bytes(NEW)
    (target / 'x').mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match='delete=True'):
        child.put(source, target)
    child.put(source, target, delete=True)
    assert (target / 'x').read_bytes() == NEW


def test_links_as_asked(child: econtext.Context, tmp_path: Path) -> None:
    source = tmp_path / 'source'
    (source / 'real').mkdir(parents=True)
    (source / 'real' / 'x').write_bytes(OLD)
    (source / 'link').symlink_to('real')
    (source / 'round').symlink_to('.')
    child.put(source, tmp_path / 'kept')
    assert os.readlink(tmp_path / 'kept' / 'link') == 'real'
    done = child.put(source, tmp_path / 'followed', symlinks='follow')
    assert not (tmp_path / 'followed' / 'link').is_symlink()
    assert (tmp_path / 'followed' / 'link' / 'x').read_bytes() == OLD
    assert done.left_out == (str(source / 'round'),)
    child.put(source, tmp_path / 'skipped', symlinks='skip')
    assert sorted(tree(tmp_path / 'skipped')) == [b'real', b'real/x']


def test_special_files_are_left_out(child: econtext.Context, tmp_path: Path) -> None:
    source = tmp_path / 'source'
    source.mkdir()
    os.mkfifo(source / 'pipe')
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(source / 'sock'))
    (source / 'x').write_bytes(OLD)
    done = child.get(source, tmp_path / 'target')
    assert done.left_out == (str(source / 'pipe'), str(source / 'sock'))
    assert sorted(tree(tmp_path / 'target')) == [b'x']


def test_files_of_proc(child: econtext.Context, tmp_path: Path) -> None:
    """They say that they have no bytes."""
    child.get('/proc/self/cmdline', tmp_path / 'x')
    assert b'\0' in (tmp_path / 'x').read_bytes()


def test_holes_take_no_room(child: econtext.Context, tmp_path: Path) -> None:
    source = tmp_path / 'source'
    with source.open('wb') as file:
        file.seek(40 << 20)
        file.write(NEW)
        file.truncate(80 << 20)
    child.put(source, tmp_path / 'there')
    child.get(tmp_path / 'there', tmp_path / 'back')
    for path in (tmp_path / 'there', tmp_path / 'back'):
        assert path.stat().st_blocks * 512 < 4 << 20
        assert filecmp.cmp(source, path, shallow=False)


def resident(pid: int) -> int:
    """Return how many bytes of memory a process has now."""
    return int(Path(f'/proc/{pid}/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def test_memory_stays_flat_through_hops(broker: econtext.Broker, tmp_path: Path) -> None:
    """Here, in the hops and at the end, whichever way a file goes."""
    first = broker.local(name='first')
    second = first.local(name='second')
    far, other = second.local(name='far'), broker.local(name='other')
    source, size = tmp_path / 'source', 64 << 20
    with source.open('wb') as file:
        block = os.urandom(1 << 20)
        for number in range(size >> 20):
            file.write(block[number:] + block[:number])
    for each in (first, second, far, other):
        each.put(b'warm', tmp_path / each.name)
    pids = [os.getpid(), *(each.pid for each in (first, second, far, other))]
    before = [resident(pid) for pid in pids]
    most = list(before)

    def watch(_progress: object) -> None:
        most[:] = [max(found, resident(pid)) for found, pid in zip(most, pids, strict=True)]

    far.put(source, tmp_path / 'there', progress=watch)
    far.get(tmp_path / 'there', tmp_path / 'back', progress=watch)
    other.put(far.path(tmp_path / 'there'), tmp_path / 'between', progress=watch)
    assert filecmp.cmp(source, tmp_path / 'between', shallow=False)
    assert max(now - then for now, then in zip(most, before, strict=True)) < size // 3


def test_progress(child: econtext.Context, tmp_path: Path) -> None:
    make_tree(tmp_path / 'source')
    heard: list[object] = []
    child.put(tmp_path / 'source', tmp_path / 'there', progress=heard.append)
    last = heard[-1]
    assert last.bytes == last.total == (1 << 20) + 7 + 10 + 21  # type: ignore[attr-defined]
    assert last.complete and last.remaining == 0 and last.rate > 0  # type: ignore[attr-defined]  # noqa: PT018
    child.get(tmp_path / 'there', tmp_path / 'back', progress=heard.append)
    assert heard[-1].bytes == last.bytes  # type: ignore[attr-defined]


def test_a_callback_that_raises_ends_the_transfer(child: econtext.Context, tmp_path: Path) -> None:
    def stop(_progress: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        child.put(b'x', tmp_path / 'x', progress=stop)
    assert child.call(os.getpid)


# -- faults --------------------------------------------------------------------


class Cut(Exception):
    """The link is cut."""


class Pipe:
    """Messages from one end of a transfer to the other, cut off behind some of them."""

    def __init__(self, left: list[int]) -> None:
        self.messages: list[bytes] = []
        self.changed = threading.Condition()
        self.left = left
        self.closed = False

    def put(self, data: bytes) -> None:
        with self.changed:
            if self.left[0] <= 0 or self.closed:
                self.closed = True
                self.changed.notify_all()
                raise transfer.Broken
            self.left[0] -= 1
            self.messages.append(data)
            self.changed.notify_all()

    def take(self) -> bytes:
        with self.changed:
            while not self.messages:
                if self.closed:
                    raise transfer.Broken
                self.changed.wait()
            return self.messages.pop(0)

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()


class Ends:
    def __init__(self, out: Pipe, back: Pipe) -> None:
        self.out, self.back = out, back

    def send(self, data: bytes) -> None:
        self.out.put(data)

    def get(self) -> bytes:
        return self.back.take()


def carry(source: bytes, target: bytes, options: dict[str, object], messages: int) -> int | None:
    """Transfer without a context; return how many messages were left, None if the link was cut behind that many."""
    left = [messages]
    there, back = Pipe(left), Pipe(left)
    broken = []

    def send() -> None:
        try:
            sending.Sender(Ends(there, back), source, options).run()
        except transfer.Broken:
            broken.append(True)
        finally:
            there.close()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        receiving.Receiver(Ends(back, there), target, options).run()
    except transfer.Broken:
        broken.append(True)
    finally:
        back.close()
        thread.join()
    return None if broken else left[0]


@pytest.mark.parametrize('resume', [False, True])
def test_a_link_that_is_cut_leaves_the_old_file_or_the_new_one(tmp_path: Path, resume: bool) -> None:
    """Behind each message."""
    source, target = tmp_path / 'source', tmp_path / 'target'
    source.write_bytes(os.urandom(4 * transfer.BLOCK + 5))
    new = source.read_bytes()
    outcomes = []
    for messages in range(100):
        target.write_bytes(OLD)
        left = carry(os.fsencode(source), os.fsencode(target), {'resume': resume}, messages)
        found = target.read_bytes()
        assert found in (OLD, new)
        assert found == new or left is None
        if not resume or left is not None:
            assert beside(tmp_path) == []
        outcomes.append(left is None)
        if left:
            break
    assert outcomes == sorted(outcomes, reverse=True)
    assert outcomes.count(True) >= 5


def test_a_folder_that_is_cut_off_holds_whole_files(tmp_path: Path) -> None:
    make_tree(tmp_path / 'source')
    new = tree(tmp_path / 'source')
    for messages in range(100):
        target = tmp_path / str(messages)
        left = carry(os.fsencode(tmp_path / 'source'), os.fsencode(target), {}, messages)
        for name, found in tree(target).items():
            assert found[1] == new[name][1]
        if left:
            break
    assert tree(target) == new


def test_a_transfer_that_broke_is_resumed(tmp_path: Path) -> None:
    source, target = tmp_path / 'source', tmp_path / 'target'
    source.write_bytes(os.urandom(8 * transfer.BLOCK))
    assert carry(os.fsencode(source), os.fsencode(target), {'resume': True}, 8) is None
    assert not target.exists()
    kept = (tmp_path / beside(tmp_path)[0]).stat().st_size
    assert kept >= 3 * transfer.BLOCK
    needed = 100 - (carry(os.fsencode(source), os.fsencode(target), {'resume': True}, 100) or 0)
    assert needed == 15 - kept // transfer.BLOCK
    assert target.read_bytes() == source.read_bytes()
    assert beside(tmp_path) == []


def test_what_was_left_of_another_file_is_not_taken(tmp_path: Path) -> None:
    source, target = tmp_path / 'source', tmp_path / 'target'
    source.write_bytes(os.urandom(8 * transfer.BLOCK))
    assert carry(os.fsencode(source), os.fsencode(target), {'resume': True}, 8) is None
    for content in (os.urandom(8 * transfer.BLOCK), os.urandom(transfer.BLOCK)):
        source.write_bytes(content)
        assert carry(os.fsencode(source), os.fsencode(target), {'resume': True}, 100)
        assert target.read_bytes() == content


@pytest.mark.parametrize('resume', [False, True])
def test_a_context_that_is_lost(broker: econtext.Broker, tmp_path: Path, resume: bool) -> None:
    """It cleans up itself, or keeps what is to be resumed."""
    source, target = tmp_path / 'source', tmp_path / 'target'
    source.write_bytes(os.urandom(64 << 20))
    target.write_bytes(OLD)
    web = broker.local()

    def lose(progress: copying.Reporter) -> None:
        if progress.bytes > 4 << 20:
            web.close()

    with pytest.raises(econtext.ContextLost):
        web.put(source, target, resume=resume, progress=lose)  # type: ignore[arg-type]
    assert target.read_bytes() == OLD
    assert len(beside(tmp_path)) == resume
    broker.local().put(source, target, resume=resume)
    assert target.read_bytes() == source.read_bytes()
    assert beside(tmp_path) == []


# Writing takes longer than a context has to end, and heeds nothing, as where a disk is busy.
STUCK = """
import time
from econtext.child import drafts

def write(fd, data):
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass

drafts.transfer.write = write
"""


def test_a_context_that_ends_while_a_disk_holds_it_up(broker: econtext.Broker, tmp_path: Path) -> None:
    target = tmp_path / 'target'
    target.write_bytes(OLD)
    web = broker.local()
    web.call(exec, STUCK, {})
    failed: list[Exception] = []

    def put() -> None:
        try:
            web.put(NEW * 20, target)
        except econtext.ContextLost as error:
            failed.append(error)

    thread = threading.Thread(target=put)
    thread.start()
    eventually(lambda: beside(tmp_path))
    web.close()
    thread.join(60)
    assert len(failed) == 1
    assert target.read_bytes() == OLD
    assert beside(tmp_path) == []


def test_a_checksum_that_differs(tmp_path: Path, child: econtext.Context, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / 'source', tmp_path / 'target'
    source.write_bytes(NEW)
    target.write_bytes(OLD)
    send = copying.Near.send

    def spoil(self: copying.Near, data: bytes) -> None:
        send(self, data.replace(b'new', b'now') if data[:1] == transfer.CHUNK else data)

    monkeypatch.setattr(copying.Near, 'send', spoil)
    with pytest.raises(OSError, match='checksum') as caught:
        child.put(source, target)
    assert caught.value.filename == str(target)
    assert target.read_bytes() == OLD
    assert beside(tmp_path) == []




# -- two contexts, and the bar -----------------------------------------------------


def test_between_two_contexts(broker: econtext.Broker, child: econtext.Context, tmp_path: Path) -> None:
    other = broker.local(name='other')
    make_tree(tmp_path / 'source')
    done = other.put(child.path(tmp_path / 'source'), tmp_path / 'there')
    assert tree(tmp_path / 'there') == tree(tmp_path / 'source')
    assert done.files == 7
    child.get(tmp_path / 'source' / 'a' / 'large', other.path(tmp_path / 'one'))
    assert (tmp_path / 'one').read_bytes() == (tmp_path / 'source' / 'a' / 'large').read_bytes()
    with pytest.raises(FileNotFoundError, match='child: '):
        other.put(child.path(tmp_path / 'no'), tmp_path / 'x')
    with pytest.raises(FileNotFoundError, match='other: '):
        other.put(child.path(tmp_path / 'one'), tmp_path / 'no' / 'x')
    assert beside(tmp_path) == []


def test_progress_between_two_contexts(
    broker: econtext.Broker, child: econtext.Context, tmp_path: Path,
) -> None:
    other = broker.local(name='other')
    make_tree(tmp_path / 'source')
    with (tmp_path / 'source' / 'sparse').open('wb') as file:
        file.truncate(3 << 20)
    for number in range(1500):
        (tmp_path / 'source' / f'{number:04}').write_bytes(b'x')
    heard: list[object] = []
    other.put(child.path(tmp_path / 'source'), tmp_path / 'there', progress=heard.append)
    last = heard[-1]
    total = (1 << 20) + 7 + 10 + 21 + (3 << 20) + 1500
    assert (last.bytes, last.total, last.complete) == (total, total, True)  # type: ignore[attr-defined]
    assert last.files == 1506  # type: ignore[attr-defined]
    assert last.path  # type: ignore[attr-defined]
    # What is there does not go again.
    other.put(child.path(tmp_path / 'source'), tmp_path / 'there', progress=heard.append)
    assert (heard[-1].bytes, heard[-1].files) == (0, 0)  # type: ignore[attr-defined]

    def stop(_progress: object) -> None:
        raise IndexError('of the callback')

    (tmp_path / 'large').write_bytes(os.urandom(1 << 20))
    with pytest.raises(IndexError, match='of the callback'):
        other.put(child.path(tmp_path / 'large'), tmp_path / 'too', progress=stop)
    assert other.call(os.getpid)


@pytest.mark.parametrize('data', [
    b'', b'?', transfer.LIST + b'x', transfer.BEGIN, transfer.ZEROS + b'1', transfer.SMALL + b'12', transfer.KEPT,
    transfer.BEGIN + struct.pack(transfer.START, 7, 0), transfer.NEED, transfer.NEED + b'\xff' * 20,
    transfer.NEED + b'\x06sha256' + b'\xff' * 13])
def test_who_listens_to_nonsense_leaves_it_to_others(data: bytes) -> None:
    """The receiver refuses it; a callback just hears no more."""
    listener = progress.Listener(progress.Reporter(lambda _: None))
    listener.sent(data)
    listener.received(data)
    listener.sent(transfer.CHUNK + b'x')


def test_a_path_that_can_read_is_a_path(child: econtext.Context, tmp_path: Path) -> None:
    """Such as those of py.path."""
    class Text(str):
        __slots__ = ()

        def __fspath__(self) -> str:
            return str(self)

        def read(self) -> str:
            raise AssertionError

    (tmp_path / 'x').write_bytes(NEW)
    child.put(Text(tmp_path / 'x'), tmp_path / 'y')
    assert (tmp_path / 'y').read_bytes() == NEW


def test_a_bar_without_rich(child: econtext.Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'rich.progress', None)
    with pytest.raises(econtext.EcontextError, match='pip install'):
        child.put(OLD, tmp_path / 'x', progress=True)
    assert not (tmp_path / 'x').exists()


def test_a_bar(child: econtext.Context, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip('rich')
    child.put(NEW, tmp_path / 'x', progress=True)
    assert (tmp_path / 'x').read_bytes() == NEW
    assert 'x' in capfd.readouterr().err


@pytest.mark.every_python
def test_from_a_context_to_itself(broker: econtext.Broker, python: pythons.Interpreter, tmp_path: Path) -> None:
    """It has one thread for calls, which neither end waits for."""
    web = broker.local(python=python)
    source = tmp_path / 'source'
    make_tree(source)
    heard: list[progress.Progress] = []
    done = web.put(web.path(source), tmp_path / 'there', progress=heard.append)
    assert tree(tmp_path / 'there') == tree(source)
    assert (done.files, done.path) == (7, str(tmp_path / 'there'))
    assert (heard[-1].bytes, heard[-1].total, heard[-1].complete) == ((1 << 20) + 38, (1 << 20) + 38, True)
    assert web.get(source, web.path(tmp_path / 'there')).unchanged == 7
    with pytest.raises(FileNotFoundError, match=web.name) as caught:
        web.put(web.path(tmp_path / 'no'), tmp_path / 'x')
    assert caught.value.filename == str(tmp_path / 'no')
    with pytest.raises(FileNotFoundError, match=web.name) as caught:
        web.put(web.path(source / 'a' / 'large'), tmp_path / 'no' / 'x')
    assert caught.value.filename == str(tmp_path / 'no' / 'x')
    assert beside(tmp_path) == []


def test_a_callback_ends_a_transfer_within_a_context(
    child: econtext.Context, tmp_path: Path,
) -> None:
    with (tmp_path / 'large').open('wb') as file:
        file.truncate(8 << 30)
    heard: list[progress.Progress] = []

    def stop(far: progress.Progress) -> None:
        heard.append(far)
        raise IndexError('of the callback')

    with pytest.raises(IndexError, match='of the callback'):
        child.put(child.path(tmp_path / 'large'), tmp_path / 'copy', progress=stop)
    assert heard[0].path == str(tmp_path / 'copy')
    assert child.call(os.getpid)
    assert sorted(os.listdir(tmp_path)) == ['large']


def test_transfers_that_cross_do_not_wait_for_each_other(
    broker: econtext.Broker, child: econtext.Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each context carries out one call after the other: the two must begin with the same transfer."""
    other = broker.local(name='other')
    for name in 'ab':
        (tmp_path / name).write_bytes(NEW)
    both = threading.Barrier(2)
    submit = econtext.Context.submit

    def together(self: econtext.Context, function: object, *args: object) -> object:
        future = submit(self, function, *args)  # type: ignore[arg-type]
        if function is receiving.receive:
            # Where the other one can come as far, it does.
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(1)
        return future

    monkeypatch.setattr(econtext.Context, 'submit', together)
    ends = [(child, other, 'a'), (other, child, 'b')]
    threads = [
        threading.Thread(target=to.put, args=(one.path(tmp_path / name), tmp_path / f'{name}2'), daemon=True)
        for one, to, name in ends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for name in 'ab':
        assert (tmp_path / f'{name}2').read_bytes() == NEW


def test_what_is_told_of_what_nobody_listed(child: econtext.Context, tmp_path: Path) -> None:
    """A file says how long it is if it can; of a pipe nobody knows what remains."""
    heard: list[progress.Progress] = []

    def slowly(far: progress.Progress) -> None:
        heard.append(far)

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            now[0] += 1
            return data

    class Pipe(Slow):
        def seekable(self) -> bool:
            return False

    now = [0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress.time, 'monotonic', lambda: now[0])
        for kind, known in (Slow, True), (Pipe, False):
            heard.clear()
            file = kind(b'some' + NEW * 10)
            if known:
                file.seek(4)
            child.put(file, tmp_path / 'x', progress=slowly)
            assert len(heard) > 5
            assert {far.path for far in heard} == {str(tmp_path / 'x')}
            if known:
                assert {far.total for far in heard} == {len(NEW) * 10}
                assert all(far.complete and far.remaining is not None for far in heard)
                assert heard[1].remaining
            else:
                assert not any(far.complete for far in heard[:-1])
                assert {far.remaining for far in heard[:-1]} == {None}
            assert heard[-1].remaining == 0
