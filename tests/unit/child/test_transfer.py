"""The messages of a transfer: what one end packs the other unpacks, and all else is refused."""

from __future__ import annotations

import errno
import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import econtext
from econtext.child import transfer
from econtext.child.transfer import BATCH, BLOCK, CHUNK, DIR, FILE, LITTLE, STAYS, Broken, Entry, Nonsense
from econtext.core.wire import BadFrame

FIELDS = 'kind', 'name', 'mode', 'size', 'time', 'extra', 'digest'
SIGNED = st.integers(-(1 << 63), (1 << 63) - 1)
ENTRIES = st.lists(st.builds(
    Entry, st.integers(FILE, STAYS), st.binary(max_size=300), st.integers(0, 0xFFFFFFFF), SIGNED, SIGNED,
    st.binary(max_size=300), st.binary(max_size=255)), max_size=4)
NEEDS = st.lists(st.tuples(
    st.integers(0, 0xFFFFFFFF), st.integers(0, (1 << 63) - 1), st.binary(max_size=255)), max_size=4)


def told(entry: Entry) -> list[Any]:
    return [getattr(entry, name) for name in FIELDS]


# -- entries -------------------------------------------------------------------


@given(ENTRIES, st.binary(max_size=3))
def test_a_batch_of_entries_comes_back(entries: list[Entry], before: bytes) -> None:
    data = before + b''.join(map(transfer.pack_entry, entries))
    assert [told(entry) for entry in transfer.unpack_entries(data, len(before))] == [told(each) for each in entries]


def test_an_entry_has_a_form_that_does_not_change() -> None:
    entry = Entry(DIR, b'ab', 0o755, 5, -7, b'e', b'sum')
    data = transfer.pack_entry(entry)
    assert data == struct.pack('>BHHBIqq', 2, 2, 1, 3, 0o755, 5, -7) + b'abesum'
    assert told(Entry(FILE, b'a')) == [1, b'a', 0, 0, 0, b'', b'']
    assert (entry.path, entry.offset, entry.partial, entry.place, entry.beside, entry.was) == (
        b'', 0, None, None, None, None)


@pytest.mark.parametrize('cut', range(1, transfer.ENTRY_SIZE + 6))
def test_an_entry_that_is_cut_off_is_nonsense(cut: int) -> None:
    data = transfer.pack_entry(Entry(FILE, b'ab', extra=b'cd', digest=b'ef'))
    with pytest.raises(Nonsense):
        transfer.unpack_entries(data + data[:-cut], 0)


@pytest.mark.parametrize('kind', [0, STAYS + 1, 255])
def test_an_entry_of_no_kind_is_nonsense(kind: int) -> None:
    with pytest.raises(Nonsense):
        transfer.unpack_entries(transfer.pack_entry(Entry(kind, b'a')), 0)


def test_a_batch_has_so_many_entries() -> None:
    entry = transfer.pack_entry(Entry(FILE, b'a'))
    assert len(transfer.unpack_entries(entry * BATCH, 0)) == BATCH
    with pytest.raises(Nonsense):
        transfer.unpack_entries(entry * (BATCH + 1), 0)


@pytest.mark.parametrize('name', [b'', b'.', b'..', b'/', b'a/b', b'/a', b'a/', b'a\0', b'\0', b'../a'])
def test_a_name_that_leads_elsewhere_is_nonsense(name: bytes) -> None:
    with pytest.raises(Nonsense):
        transfer.check_name(name)


@pytest.mark.parametrize('name', [b'a', b'...', b'.a', b'a.', b' ', b'\xff', b'-', b'a\\b', b'\n'])
def test_a_name_of_a_file_is_one(name: bytes) -> None:
    transfer.check_name(name)


# -- what is wanted ------------------------------------------------------------


@given(st.sampled_from(['sha256', 'md5']), NEEDS)
def test_what_is_wanted_comes_back(algorithm: str, needs: list[tuple[int, int, bytes]]) -> None:
    data = transfer.pack_needs(algorithm, needs)
    assert data[:1] == transfer.NEED
    assert transfer.unpack_needs(data) == (algorithm, needs)
    assert type(transfer.unpack_needs(data)[0]) is str


def test_what_is_wanted_has_a_form_that_does_not_change() -> None:
    data = b'N\x03md5' + struct.pack('>IqB', 3, 700, 2) + b'ab'
    assert transfer.pack_needs('md5', [(3, 700, b'ab')]) == data


@pytest.mark.parametrize('data', [
    b'N', b'N\x03md', b'N\x03md6', b'N\x04md5x', b'N\x00', b'N\x03md5\0', b'N\x03md5' + struct.pack('>IqB', 3, 700, 2),
    b'N\x03md5' + struct.pack('>IqB', 3, 700, 2) + b'a', b'N\x03md5' + struct.pack('>IqB', 3, -1, 0),
    b'N\x03md5' + struct.pack('>IqB', 3, -(1 << 62), 2) + b'ab', b'N\x03\xffd5'])
def test_what_nobody_wants_is_refused(data: bytes) -> None:
    with pytest.raises((Nonsense, struct.error, UnicodeDecodeError)):
        transfer.unpack_needs(data)


# -- checksums and times --------------------------------------------------------


def test_times_are_compared_as_the_oldest_python_sets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert transfer.close_in_time(5000, 5000 + transfer.EXACT - 1)
    assert transfer.close_in_time(5000 + transfer.EXACT - 1, 5000)
    assert not transfer.close_in_time(5000, 5000 + transfer.EXACT)
    assert not transfer.close_in_time(5000 + transfer.EXACT, 5000)
    assert not transfer.close_in_time(-3000, 3000)
    second = 10 ** 9
    monkeypatch.setattr(transfer, 'COARSE', lambda: True)
    assert not transfer.close_in_time(5 * second, 6 * second - 1)
    monkeypatch.setattr(transfer, 'COARSE', lambda: False)
    assert transfer.close_in_time(5 * second, 6 * second - 1)
    assert not transfer.close_in_time(5 * second - 1, 5 * second)


def test_the_time_of_a_file_is_in_nanoseconds() -> None:
    class Status:
        st_mtime = 1.0000014

    assert transfer.time_of(Status()) == 1_000_001_000
    Status.st_mtime = 2.0000016
    assert transfer.time_of(Status()) == 2_000_002_000
    Status.st_mtime_ns = 7      # type: ignore[attr-defined]
    assert transfer.time_of(Status()) == 7


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[int, bytes]]:
    """A file of more than two blocks."""
    data = os.urandom(2 * BLOCK + 100)
    (tmp_path / 'file').write_bytes(data)
    fd = os.open(tmp_path / 'file', os.O_RDONLY)
    yield fd, data
    os.close(fd)


@pytest.mark.parametrize('size', [-1, 0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 100, 2 * BLOCK + 101])
@pytest.mark.parametrize('algorithm', ['sha256', 'md5'])
def test_the_checksum_of_the_beginning_of_a_file(opened: tuple[int, bytes], size: int, algorithm: str) -> None:
    fd, data = opened
    wanted = data if size < 0 else data[:size]
    assert transfer.sum_of(fd, size, algorithm).digest() == hashlib.new(algorithm, wanted).digest()
    assert os.lseek(fd, 0, os.SEEK_CUR) == len(wanted)


def test_a_file_is_read_a_block_at_a_time(opened: tuple[int, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    fd, data = opened
    asked: list[int] = []

    def read(fd: int, size: int) -> bytes:
        asked.append(size)
        return os.read(fd, min(size, 1000 if len(asked) == 1 else size))

    monkeypatch.setattr(transfer, 'read', read)
    found = transfer.sum_of(fd, BLOCK + 1500, 'md5')
    assert asked == [BLOCK, BLOCK, 500]
    assert found.digest() == hashlib.md5(data[:BLOCK + 1500]).digest()


def test_what_a_signal_ends_is_done_again() -> None:
    errors = [OSError(errno.EINTR, 'signal'), OSError(errno.EINTR, 'signal')]
    seen: list[Any] = []

    def function(*args: Any) -> str:
        seen.append(args)
        if errors:
            raise errors.pop()
        return 'done'

    assert transfer.repeated(function)(1, 2) == 'done'
    assert seen == [(1, 2)] * 3
    errors.append(OSError(errno.EIO, 'no signal'))
    with pytest.raises(OSError, match='no signal'):
        transfer.repeated(function)()


# -- paths and errors -----------------------------------------------------------


@pytest.mark.parametrize(('folder', 'path'), [(b'/', b'/a'), (b'/b', b'/b/a'), (b'/b/', b'/b/a'), (b'', b'/a')])
def test_a_name_behind_its_folder(folder: bytes, path: bytes) -> None:
    assert transfer.join(folder, b'a') == path


def test_paths_and_answers_are_bytes() -> None:
    assert transfer.as_bytes(None) is None
    assert transfer.as_bytes(b'\xff') == b'\xff'
    assert transfer.as_bytes('ä\udcff') == b'\xc3\xa4\xff'

    class Old(str):
        """Python 2 has no `surrogateescape`."""

        def encode(self, encoding: str = '', errors: str = 'strict') -> bytes:
            if errors == 'surrogateescape':
                raise LookupError(errors)
            return str.encode(self, encoding)

    assert transfer.as_bytes(Old('ä')) == b'\xc3\xa4'


def test_an_error_crosses_as_plain_values() -> None:
    error = transfer.failed(errno.ENOENT, 'not there', '/ä')
    assert (type(error), error.errno, error.strerror, error.filename) == (
        FileNotFoundError, errno.ENOENT, 'not there', '/ä')
    assert transfer.failed(errno.EIO, 'broken').filename is None
    assert transfer.failure(error) == ('error', 'ENOENT', 'not there', b'/\xc3\xa4')
    assert transfer.failure(OSError(99999, 'odd')) == ('error', 'EIO', 'odd', None)
    assert transfer.failure(OSError('text alone')) == ('error', 'EIO', 'text alone', None)

    class Bare(Exception):
        errno = errno.EPERM

    assert transfer.failure(Bare('bare')) == ('error', 'EPERM', 'bare', None)


def test_an_attempt_is_told_in_values() -> None:
    def fails(error: Exception) -> None:
        raise error

    assert transfer.attempt(lambda *args: args, 1, 2) == ('done', (1, 2))
    assert transfer.attempt(fails, OSError(errno.EIO, 'x')) == ('error', 'EIO', 'x', None)
    assert transfer.attempt(fails, Broken()) == ('broken',)
    with pytest.raises(BadFrame):
        transfer.attempt(fails, BadFrame('ours'))


# -- a channel ----------------------------------------------------------------


class End:
    """The end of a channel: what is sent, and what comes."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, ...]] = []
        self.bodies: list[Any] = []
        self.open = True

    def send(self, *parts: bytes) -> bool:
        self.sent.append(parts)
        return self.open

    def get(self) -> Any:
        return self.bodies.pop(0)


class Channel:
    """A channel of a context, whose link are pipes."""

    def __init__(self) -> None:
        self.end = End()
        self.link = self.home = self
        self.fd, self.out = os.pipe()
        self.sent: list[bytes] = []

    def restore(self, value: Any) -> Any:
        return ('restored', value)

    def send(self, data: bytes) -> None:
        if not self.end.open:
            raise econtext.EcontextError('closed')
        self.sent.append(data)


@pytest.fixture
def channel() -> Iterator[Channel]:
    made = Channel()
    yield made
    os.close(made.fd)
    os.close(made.out)


def test_a_channel_takes_messages_until_it_is_closed(channel: Channel) -> None:
    far = transfer.Far(channel)
    far.send(b'message')
    assert channel.sent == [b'message']
    channel.end.open = False
    with pytest.raises(Broken):
        far.send(b'message')


def test_bytes_of_a_file_go_as_they_are(channel: Channel) -> None:
    far = transfer.Far(channel)
    data = b'x' * 300
    far.send_chunk(data)
    ((head, body),) = channel.end.sent
    assert head == b'b12d:' + CHUNK
    assert body is data
    channel.end.open = False
    with pytest.raises(Broken):
        far.send_chunk(data)


def string(data: bytes) -> bytes:
    return b's' + struct.pack('<i', len(data)) + data


def test_a_large_chunk_comes_as_a_view(channel: Channel) -> None:
    far = transfer.Far(channel)
    large = string(CHUNK + b'x' * LITTLE)
    channel.end.bodies = [bytearray(large), None]
    found = far.get()
    assert isinstance(found, memoryview)
    assert found == CHUNK + b'x' * LITTLE
    with pytest.raises(Broken):
        far.get()


@pytest.mark.parametrize('data', [
    b'', CHUNK, CHUNK + b'x' * (LITTLE - 6), b'S' + b'x' * LITTLE, b'xC' + b'x' * LITTLE], ids=len)
def test_all_else_is_what_marshal_makes_of_it(channel: Channel, data: bytes) -> None:
    channel.end.bodies = [string(data)]
    assert transfer.Far(channel).get() == ('restored', data)


def test_what_is_like_a_chunk_and_of_another_length_is_read_by_marshal() -> None:
    body = string(CHUNK + b'x' * LITTLE)
    assert transfer.taken(body + b'behind', lambda value: value) == CHUNK + b'x' * LITTLE
    with pytest.raises((EOFError, ValueError)):
        transfer.taken(body[:-1], lambda value: value)
    least = string(CHUNK + b'x' * (LITTLE - 5))
    assert len(least) == LITTLE + 1
    assert isinstance(transfer.taken(least, lambda value: value), memoryview)


def test_the_pipes_of_a_link_hold_more(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: list[Any] = []

    class Fcntl:
        @staticmethod
        def fcntl(*args: Any) -> None:
            set_to.append(args)
            raise OSError(errno.EPERM, 'more than a user may have')

    monkeypatch.setattr(transfer, 'fcntl', Fcntl)
    transfer.widen(channel)
    assert set_to == [(channel.fd, 1031, 1 << 20), (channel.out, 1031, 1 << 20)]
    monkeypatch.setattr(transfer, 'fcntl', None)
    transfer.widen(channel)
