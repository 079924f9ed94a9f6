"""Whoever may write into the target during a transfer leads nothing elsewhere, and reads nothing that is secret."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import econtext
from econtext.child import comparing, drafts, files, folders, receiving, transfer
from econtext.child.transfer import DIR, FILE, LEAVE, Entry
from lab import open_to_all

SUM = transfer.SUMS['sha256']
CONTENT = b'what was sent'
GREETING = transfer.GREETING + b'sha256'
FINISH = transfer.FINISH + SUM(CONTENT).digest()
ROOT, END = Entry(DIR, b'', 0o755), Entry(LEAVE, b'', 0o755)
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason='needs root')


def listing(*entries: Entry) -> bytes:
    return transfer.LIST + b''.join(map(transfer.pack_entry, entries))


def begin(index: int, start: int = 0) -> bytes:
    return transfer.BEGIN + struct.pack(transfer.START, index, start)


def file(index: int, content: bytes = CONTENT) -> list[bytes]:
    return [begin(index), transfer.CHUNK + content, transfer.FINISH + SUM(content).digest()]


class Script:
    """Messages of a sender, with functions that are called between them."""

    def __init__(self, *steps: Any) -> None:
        self.steps: list[Any] = [GREETING, *steps]
        self.sent: list[bytes] = []

    def get(self) -> bytes:
        while self.steps:
            step = self.steps.pop(0)
            if isinstance(step, bytes):
                return step
            step()
        raise transfer.Broken

    def send(self, data: bytes) -> None:
        self.sent.append(data)


@pytest.fixture(params=[False, True], ids=['by name', 'by descriptor'])
def descriptors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With descriptors of folders, and as Pythons before 3.3 do it."""
    if not request.param:
        monkeypatch.setattr(folders, 'USES_DESCRIPTORS', False)
    elif not folders.USES_DESCRIPTORS:
        pytest.skip('this Python has no functions for descriptors of folders')
    return bool(request.param)


def receive(target: Path, *steps: Any, **options: Any) -> Any:
    return receiving.Receiver(Script(*steps), os.fsencode(target), options).run()


def beside(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.endswith('.part')]


def by_a_link(folder: Path, victim: Path) -> Callable[[], None]:
    """Return what replaces the file that is being written by a link."""
    def swap() -> None:
        (path,) = beside(folder)
        path.unlink()
        path.symlink_to(victim)
    return swap


@pytest.mark.usefixtures('descriptors')
@pytest.mark.parametrize('options', [
    {'mode': 0o666}, {}, pytest.param({'owner': '65534:65534'}, marks=AS_ROOT)])
def test_what_is_done_to_a_file_is_done_to_the_one_that_was_opened(tmp_path: Path, options: dict[str, Any]) -> None:
    victim, folder = tmp_path / 'victim', tmp_path / 'folder'
    folder.mkdir()
    victim.write_bytes(b'secret')
    victim.chmod(0o600)
    os.utime(victim, (1, 1))
    was = victim.stat()
    steps = [listing(Entry(FILE, b'', 0o666, len(CONTENT), 10 ** 18)), begin(0), transfer.CHUNK + CONTENT,
             by_a_link(folder, victim), FINISH, transfer.KEPT, transfer.END]
    with contextlib.suppress(OSError):
        receive(folder / 'x', *steps, **options)
    now = victim.stat()
    assert (now.st_mode, now.st_uid, now.st_gid, now.st_mtime_ns) == (
        was.st_mode, was.st_uid, was.st_gid, was.st_mtime_ns)
    assert victim.read_bytes() == b'secret'


@pytest.mark.parametrize('options', [
    {'mode': 0o666, 'compare': 'time'}, {'compare': 'content'},
    pytest.param({'compare': 'time', 'owner': '65534:65534'}, marks=AS_ROOT)])
def test_a_file_that_is_the_same_and_gives_way_to_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], descriptors: bool,
) -> None:
    """Between the look at it and the change of its mode, times or owner."""
    victim, target = tmp_path / 'victim', tmp_path / 'folder' / 'x'
    target.parent.mkdir()
    for path in victim, target:
        path.write_bytes(CONTENT)
        path.chmod(0o600)
        os.utime(path, (7, 7))
    was = victim.stat()
    adjusted = comparing.Comparison.adjusted

    def swap(self: Any, folder: Any, entry: Any, status: Any) -> bool:
        target.unlink()
        target.symlink_to(victim)
        return adjusted(self, folder, entry, status)

    monkeypatch.setattr(comparing.Comparison, 'adjusted', swap)
    when = 7 * 10 ** 9 if options['compare'] == 'time' else 10 ** 18
    entry = Entry(FILE, b'', 0o666, len(CONTENT), when, b'', SUM(CONTENT).digest())
    receive(target, listing(entry), *file(0), transfer.KEPT, transfer.END, **options)
    assert not target.is_symlink()
    now = victim.stat()
    assert (now.st_mode, now.st_uid, now.st_gid, now.st_mtime_ns) == (
        was.st_mode, was.st_uid, was.st_gid, was.st_mtime_ns)


@pytest.mark.usefixtures('descriptors')
@pytest.mark.parametrize('there', [None, 0o600, 0o640, 0o6755])
@pytest.mark.parametrize('resume', [False, True])
def test_nobody_else_reads_a_file_before_it_has_its_place(tmp_path: Path, there: int | None, resume: bool) -> None:
    target = tmp_path / 'x'
    (tmp_path / 'new').touch()
    expected = stat.S_IMODE((tmp_path / 'new').stat().st_mode)
    if there is not None:
        target.write_bytes(b'old')
        target.chmod(there)
        expected = there & 0o777
    modes = []
    steps = [listing(Entry(FILE, b'', 0o666, len(CONTENT))), begin(0), transfer.CHUNK + CONTENT,
             lambda: modes.append(stat.S_IMODE(beside(tmp_path)[0].stat().st_mode)), FINISH,
             transfer.KEPT, transfer.END]
    receive(target, *steps, modes=False, resume=resume)
    assert modes == [0o600]
    assert stat.S_IMODE(target.stat().st_mode) == expected
    assert sorted(os.listdir(tmp_path)) == ['new', 'x']


@AS_ROOT
@pytest.mark.usefixtures('descriptors')
def test_a_file_that_is_replaced_keeps_its_owner(tmp_path: Path) -> None:
    target = tmp_path / 'x'
    for folder_mode, kept in (0o755, True), (0o1777, False), (0o777, False):
        tmp_path.chmod(folder_mode)
        target.write_bytes(b'old')
        os.chown(target, 1234, 4321)
        target.chmod(0o640)
        receive(target, listing(Entry(FILE, b'', 0, len(CONTENT))), *file(0), transfer.KEPT, transfer.END, modes=False)
        status = target.stat()
        assert (status.st_uid, status.st_gid) == ((1234, 4321) if kept else (0, 0))
        assert stat.S_IMODE(status.st_mode) == 0o640
    # Its own folder is no trap.
    os.chown(tmp_path, 1234, 4321)
    os.chown(target, 1234, 4321)
    receive(target, listing(Entry(FILE, b'', 0o600, len(CONTENT))), *file(0), transfer.KEPT, transfer.END)
    assert target.stat().st_uid == 1234
    receive(target, listing(Entry(FILE, b'', 0o600, len(CONTENT))), *file(0), transfer.KEPT, transfer.END, owner='0')
    assert (target.stat().st_uid, target.stat().st_gid) == (0, 4321)


@pytest.mark.usefixtures('descriptors')
def test_a_partial_file_that_became_the_target_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another transfer renames it between our opening and locking it."""
    target, part = tmp_path / 'x', tmp_path / '.x.part'
    part.write_bytes(b'what the other one wrote')
    lock = drafts.lock

    def rename(fd: int) -> Any:
        if part.exists() and not target.exists():
            part.rename(target)
        return lock(fd)

    monkeypatch.setattr(drafts, 'lock', rename)
    steps = [listing(Entry(FILE, b'', 0o644, 1000)), begin(0), transfer.CHUNK + CONTENT,
             lambda: seen.append(target.read_bytes())]
    seen: list[bytes] = []
    with pytest.raises(transfer.Broken):
        receive(target, *steps, resume=True)
    assert seen == [b'what the other one wrote']
    assert target.read_bytes() == b'what the other one wrote'


@pytest.mark.usefixtures('descriptors')
def test_nothing_of_a_longer_partial_file_stays(tmp_path: Path) -> None:
    target, part = tmp_path / 'x', tmp_path / '.x.part'
    part.write_bytes(CONTENT[:5])
    steps = [listing(Entry(FILE, b'', 0o644, len(CONTENT))), lambda: part.write_bytes(CONTENT + b' and a tail'),
             begin(0, 5), transfer.CHUNK + CONTENT[5:], FINISH, transfer.KEPT, transfer.END]
    receive(target, *steps, resume=True)
    assert target.read_bytes() == CONTENT


@pytest.mark.usefixtures('descriptors')
def test_many_partial_files_take_few_descriptors(tmp_path: Path) -> None:
    names = [b'%03d' % number for number in range(100)]
    for name in names:
        (tmp_path / f'.{name.decode()}.part').write_bytes(CONTENT[:5])
    counts = []
    entries = [Entry(FILE, name, 0o644, len(CONTENT)) for name in names]
    served = [message for index in range(1, 101) for message in
              ([begin(index, 5), transfer.CHUNK + CONTENT[5:], FINISH] if index <= 16 else file(index))]
    receive(tmp_path, listing(ROOT, *entries, END), lambda: counts.append(len(os.listdir('/proc/self/fd'))),
            *served, transfer.KEPT, transfer.END, resume=True)
    counts.append(len(os.listdir('/proc/self/fd')))
    assert counts[0] - counts[1] < 30
    assert beside(tmp_path) == []
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {CONTENT}


@pytest.mark.usefixtures('descriptors')
@pytest.mark.parametrize('number', [errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_no_file_can_be_locked_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int,
) -> None:
    def flock(_fd: int, _how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(drafts.fcntl, 'flock', flock)
    receive(tmp_path / 'x', listing(Entry(FILE, b'', 0o644, len(CONTENT))), *file(0), transfer.KEPT, transfer.END,
            resume=True)
    assert os.listdir(tmp_path) == ['x']


@pytest.mark.usefixtures('descriptors')
@pytest.mark.parametrize('act', ['delete', 'rmtree'])
def test_a_deletion_is_not_led_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    """A folder gives way to a link between the look at it and the removal of what it has."""
    outside, target = tmp_path / 'outside', tmp_path / 'target'
    outside.mkdir()
    (outside / 'precious').write_bytes(CONTENT)
    (target / 'sub').mkdir(parents=True)
    (target / 'sub' / 'precious').write_bytes(b'not so')
    names = folders.Folder.names

    def swap(self: folders.Folder) -> list[bytes]:
        found = names(self)
        if self.path.endswith(b'sub') and not (tmp_path / 'moved').exists():
            (target / 'sub').rename(tmp_path / 'moved')
            (target / 'sub').symlink_to(outside)
        return found

    monkeypatch.setattr(folders.Folder, 'names', swap)
    if act == 'rmtree':
        assert files.do('rmtree', os.fsencode(target))[0] == 'error'
    else:
        with pytest.raises(OSError, match=r'Not a directory|replaced'):
            receive(target, listing(ROOT, END), transfer.KEPT, transfer.END, delete=True)
    assert (outside / 'precious').read_bytes() == CONTENT


@pytest.mark.usefixtures('descriptors')
def test_a_deep_tree_is_copied_and_removed(tmp_path: Path) -> None:
    """Deeper than functions nest, and than there are descriptors."""
    deep, levels = tmp_path / 'deep', 1200
    deep.mkdir()
    fd = os.open(deep, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir('d', dir_fd=fd)
        below = os.open('d', os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    entries = [ROOT, *[Entry(DIR, b'd', 0o755)] * 1000, *[END] * 1001]
    batches = [listing(*entries[at:at + 1000]) for at in range(0, len(entries), 1000)]
    receive(tmp_path / 'copy', *batches, *[transfer.KEPT] * len(batches), transfer.END)
    assert files.do('rmtree', os.fsencode(deep)) == ('done', None)
    assert files.do('rmtree', os.fsencode(tmp_path / 'copy')) == ('done', None)
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures('descriptors')
def test_a_link_to_a_folder_is_no_tree(tmp_path: Path) -> None:
    (tmp_path / 'real').mkdir()
    (tmp_path / 'link').symlink_to('real')
    answer = files.do('rmtree', os.fsencode(tmp_path / 'link'))
    assert answer[:2] == ('error', 'ENOTDIR')
    assert (tmp_path / 'link').is_symlink()
    assert files.do('rmtree', b'/')[:2] == ('error', 'EBUSY')


@pytest.mark.usefixtures('descriptors')
def test_an_error_of_closing_is_told_before_the_file_has_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As network file systems and quotas tell of a full disk."""
    target = tmp_path / 'x'
    target.write_bytes(b'old')
    close = os.close

    def full(fd: int) -> None:
        path = os.readlink(f'/proc/self/fd/{fd}')
        close(fd)
        if path.startswith(str(tmp_path)) and path.endswith('.part'):
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, 'close', full)
    with pytest.raises(OSError, match='quota'):
        receive(target, listing(Entry(FILE, b'', 0o644, len(CONTENT))), *file(0), transfer.KEPT, transfer.END,
                durable=False)
    monkeypatch.undo()
    assert target.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['x']


class Unrooted:
    """The rights of nobody for a while."""

    def __enter__(self) -> None:
        os.setegid(65534)
        os.seteuid(65534)

    def __exit__(self, *_: object) -> None:
        os.seteuid(0)
        os.setegid(0)


@AS_ROOT
@pytest.mark.usefixtures('descriptors')
def test_a_folder_that_only_takes(tmp_path: Path) -> None:
    """It can be written and searched, and not be read."""
    folder = tmp_path / 'drop'
    folder.mkdir()
    folder.chmod(0o333)
    open_to_all(tmp_path)
    with Unrooted():
        receive(folder / 'x', listing(Entry(FILE, b'', 0o644, len(CONTENT))), *file(0), transfer.KEPT, transfer.END)
    assert (folder / 'x').read_bytes() == CONTENT


@AS_ROOT
@pytest.mark.usefixtures('descriptors')
def test_what_cannot_be_compared_or_changed_is_replaced(tmp_path: Path) -> None:
    open_to_all(tmp_path)
    folder = tmp_path / 'folder'
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    mine = folder / 'x'
    for mode, compare in (0o000, 'content'), (0o644, 'time'):
        if mine.exists():
            mine.unlink()
        mine.write_bytes(CONTENT)
        mine.chmod(mode)
        os.utime(mine, (7, 7))
        entry = Entry(FILE, b'x', 0o600, len(CONTENT), 7 * 10 ** 9, b'', SUM(CONTENT).digest())
        with Unrooted():
            done = receive(folder, listing(ROOT, entry, END), *file(1), transfer.KEPT, transfer.END, compare=compare)
        assert done['files'] == 1
        assert (mine.stat().st_uid, stat.S_IMODE(mine.stat().st_mode)) == (65534, 0o600)


@AS_ROOT
@pytest.mark.usefixtures('descriptors')
def test_of_a_folder_of_another_it_is_told_at_the_end(tmp_path: Path) -> None:
    open_to_all(tmp_path)
    target = tmp_path / 'target'
    (target / 'sub').mkdir(parents=True)
    target.chmod(0o777)
    (target / 'sub').chmod(0o777)
    first = listing(ROOT, Entry(DIR, b'sub', 0o755), Entry(FILE, b'x', 0o644, len(CONTENT)), END)
    second = listing(Entry(FILE, b'y', 0o644, len(CONTENT)), END)
    with Unrooted(), pytest.raises(PermissionError) as caught:
        receive(target, first, second, *file(2), transfer.KEPT, *file(0), transfer.KEPT, transfer.END)
    assert caught.value.filename == os.fsencode(target / 'sub')
    assert (target / 'y').read_bytes() == (target / 'sub' / 'x').read_bytes() == CONTENT


def test_names_of_what_stands_beside() -> None:
    """They have room, differ as the names do, and are cut between characters."""
    names = ['é' * 127, 'é' * 126 + 'e', 'xé' * 85, 'x', 'x' * 255]
    made = [drafts.name_to_resume(name.encode()) for name in names]
    assert len(set(made)) == len(names)
    for name in made:
        assert len(name) <= 255
        name.decode()
    assert made[3] == b'.x.part'
    assert drafts.name_to_resume(b'\xff' * 255)
    assert len(drafts.name_beside(b'\xff' * 255)) <= 255


def test_the_umask_of_the_program_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def umask(_mask: int) -> int:
        raise AssertionError

    mask = os.umask(0o22)
    os.umask(mask)
    monkeypatch.setattr(os, 'umask', umask)
    receive(tmp_path / 'x', listing(Entry(FILE, b'', 0, len(CONTENT))), *file(0), transfer.KEPT, transfer.END,
            modes=False, resume=True)
    assert stat.S_IMODE((tmp_path / 'x').stat().st_mode) == 0o666 & ~mask


@AS_ROOT
@pytest.mark.usefixtures('descriptors')
@pytest.mark.parametrize('refuse', ['user', 'group'])
def test_the_group_is_set_where_the_user_is_not_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuse: str,
) -> None:
    fchown = os.fchown

    def partly(fd: int, uid: int, gid: int) -> None:
        if (uid if refuse == 'user' else gid) != -1:
            raise PermissionError(errno.EPERM, 'no')
        fchown(fd, uid, gid)

    monkeypatch.setattr(os, 'fchown', partly)
    entry = Entry(FILE, b'', 0o644, len(CONTENT), 0, b'1234:4321')
    receive(tmp_path / 'x', listing(entry), *file(0), transfer.KEPT, transfer.END, owner=True)
    status = (tmp_path / 'x').stat()
    assert (status.st_uid, status.st_gid) == ((0, 4321) if refuse == 'user' else (1234, 0))


@AS_ROOT
def test_links_have_owners(child: econtext.Context, tmp_path: Path) -> None:
    source, target = tmp_path / 'source', tmp_path / 'target'
    source.mkdir()
    (source / 'link').symlink_to('nowhere')
    os.lchown(source / 'link', 1234, 4321)
    for _ in range(2):
        child.put(source, target, owner=True)
        status = (target / 'link').lstat()
        assert (status.st_uid, status.st_gid) == (1234, 4321)
        os.lchown(target / 'link', 0, 0)
    child.put(source, target, owner='77:88')
    status = (target / 'link').lstat()
    assert (status.st_uid, status.st_gid) == (77, 88)
    assert os.readlink(target / 'link') == 'nowhere'


@pytest.mark.parametrize('owner', [b'\xc2\xb2:\xc2\xb2', b'99999999999999999999:4294967295', b'a\0b:', b':::', b''])
def test_owners_that_make_no_sense_are_none(tmp_path: Path, owner: bytes) -> None:
    entry = Entry(FILE, b'', 0o644, len(CONTENT), 0, owner)
    receive(tmp_path / 'x', listing(entry), *file(0), transfer.KEPT, transfer.END, owner=True)
    assert (tmp_path / 'x').stat().st_uid == os.geteuid()


def test_what_is_left_out_is_no_reason_to_delete(child: econtext.Context, tmp_path: Path) -> None:
    source, target = tmp_path / 'source', tmp_path / 'target'
    for folder in source, target:
        folder.mkdir()
        (folder / 'link').symlink_to('anything')
    os.mkfifo(source / 'pipe')
    (target / 'pipe').write_bytes(CONTENT)
    (target / 'else').write_bytes(CONTENT)
    done = child.put(source, target, delete=True, symlinks='skip')
    assert sorted(os.listdir(target)) == ['link', 'pipe']
    assert (done.deleted, done.left_out) == (1, (str(source / 'link'), str(source / 'pipe')))


@pytest.fixture
def child(broker: econtext.Broker) -> econtext.Context:
    return broker.local(name='child')


@AS_ROOT
@pytest.mark.usefixtures('descriptors')
def test_read_only_folders(tmp_path: Path) -> None:
    """They are written into, by whoever owns them, and are read-only behind that."""
    open_to_all(tmp_path)
    os.chown(tmp_path, 65534, 65534)
    locked, end = Entry(DIR, b'', 0o555), Entry(LEAVE, b'', 0o555)
    entries = [locked, Entry(DIR, b'sub', 0o555), Entry(FILE, b'x', 0o644, len(CONTENT)), end,
               Entry(FILE, b'y', 0o644, len(CONTENT)), end]
    for _ in range(2):
        with Unrooted():
            receive(tmp_path / 'target', listing(*entries), *file(2), *file(4), transfer.KEPT, transfer.END)
        for folder in tmp_path / 'target', tmp_path / 'target' / 'sub':
            assert stat.S_IMODE(folder.stat().st_mode) == 0o555


@pytest.mark.usefixtures('descriptors')
def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """Whatever ends the transfer."""
    entries = [ROOT, Entry(DIR, b'a', 0o755), Entry(FILE, b'x', 0o644, len(CONTENT)), END,
               Entry(FILE, b'y', 0o644, len(CONTENT)), END]
    messages = [listing(*entries), *file(2), *file(4), transfer.KEPT, transfer.END]
    before = len(os.listdir('/proc/self/fd'))
    for resume in False, True:
        for end in range(len(messages) + 1):
            for further in ([], [b'?'], [lambda: os.fsync(1 << 20)]):
                try:
                    receive(tmp_path / 'target', *messages[:end], *further, resume=resume)
                except (transfer.Broken, transfer.Nonsense, OSError):
                    pass
                assert len(os.listdir('/proc/self/fd')) == before


@pytest.mark.usefixtures('descriptors')
def test_what_comes_into_a_new_folder_meanwhile_gives_way_unless_it_is_a_folder(tmp_path: Path) -> None:
    """Nobody looks into a folder that the transfer has just made."""
    target = tmp_path / 'new'
    entry = Entry(FILE, b'x', 0o644, len(CONTENT))
    ends = [transfer.KEPT, listing(END), transfer.KEPT, transfer.END]
    receive(target, listing(ROOT, entry), lambda: (target / 'x').write_bytes(b'another'), *file(1), *ends)
    assert (target / 'x').read_bytes() == CONTENT
    other = tmp_path / 'other'
    for small in [small_file(1)], file(1):
        with pytest.raises(IsADirectoryError):
            receive(other, listing(ROOT, entry), lambda: (other / 'x').mkdir(), *small, *ends)
        assert os.listdir(other) == ['x']
        (other / 'x').rmdir()
        other.rmdir()


@pytest.mark.usefixtures('descriptors')
def test_a_folder_that_another_transfer_makes_at_the_same_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hosts may share a disk: each finds no folder, and one is the first to make it."""
    mkdir = os.mkdir

    def late(*args: Any, **where: Any) -> None:
        mkdir(*args, **where)
        mkdir(*args, **where)

    target, entry = tmp_path / 'new', Entry(FILE, b'x', 0o644, len(CONTENT))
    monkeypatch.setattr(os, 'mkdir', late)
    receive(target, listing(ROOT, Entry(DIR, b'd', 0o755), entry, END, END),
            small_file(2), transfer.KEPT, transfer.END)
    assert (target / 'd' / 'x').read_bytes() == CONTENT
    dangling = tmp_path / 'dangling'
    dangling.symlink_to('nowhere')
    with pytest.raises(FileExistsError):
        receive(dangling, listing(ROOT, END), transfer.KEPT, transfer.END)


@pytest.mark.usefixtures('descriptors')
def test_a_small_file_of_another_checksum_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / 'x').write_bytes(b'old')
    with pytest.raises(OSError, match='checksum') as caught:
        receive(tmp_path, listing(ROOT, Entry(FILE, b'x', 0o644, len(CONTENT)), END),
                small_file(1, SUM(b'other').digest()), transfer.KEPT, transfer.END)
    assert caught.value.errno == errno.EIO
    assert (tmp_path / 'x').read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['x']


def small_file(index: int, digest: bytes = SUM(CONTENT).digest()) -> bytes:
    return transfer.SMALL + struct.pack(transfer.PIECE, index, len(CONTENT), len(digest)) + CONTENT + digest
