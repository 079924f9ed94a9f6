"""What makes transfers quick changes nothing of what they do."""

from __future__ import annotations

import errno
import fcntl
import io
import marshal
import os
import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import econtext
from econtext.child import comparing, drafts, folders, receiving, transfer
from econtext.child.transfer import BLOCK, CHUNK, DIR, FILE, LEAVE, LITTLE, Entry
from econtext.controller.protocol import values

SUM = transfer.SUMS['sha256']
CONTENT = b'what was sent'
NAMES = [b'a', b'b', b'c']
QUICK = pytest.mark.skipif(not folders.QUICK, reason='this Python has no functions for descriptors of folders')


class Script:
    """Messages of a sender."""

    def __init__(self, *messages: bytes) -> None:
        self.messages = [transfer.GREETING + b'sha256', *messages]

    def get(self) -> bytes:
        if not self.messages:
            raise transfer.Broken
        return self.messages.pop(0)

    def send(self, data: bytes) -> None:
        pass


def listing(*entries: Entry) -> bytes:
    inside = [Entry(DIR, b'', 0o755), *entries, Entry(LEAVE, b'', 0o755)]
    return transfer.LIST + b''.join(map(transfer.pack_entry, inside))


def small(*indexes: int) -> bytes:
    digest = SUM(CONTENT).digest()
    return transfer.SMALL + b''.join(
        struct.pack(transfer.PIECE, index, len(CONTENT), len(digest)) + CONTENT + digest for index in indexes)


def receive(target: Path, *messages: bytes, **options: Any) -> dict[str, Any]:
    done: dict[str, Any] = receiving.Receiver(Script(*messages), os.fsencode(target), options).run()
    return done


# Large pieces of files, without copies.


@given(st.binary(max_size=40), st.sampled_from([0, LITTLE - 1, LITTLE, BLOCK]), st.integers(0, 4))
def test_whatever_marshal_wrote_is_taken(data: bytes, more: int, version: int) -> None:
    value = data + bytes(more)
    assert transfer.taken(marshal.dumps(value, version), lambda each: each) == value


@pytest.mark.parametrize('size', [LITTLE + 1, BLOCK])
def test_a_large_chunk_is_a_view_of_what_was_read(size: int) -> None:
    frame = bytearray(values.head_of_bytes(size + 1) + CHUNK + bytes(size))
    found = transfer.taken(memoryview(frame), lambda each: each)
    frame[-1] = 7
    assert bytes(found) == CHUNK + bytes(size - 1) + b'\7'


def test_a_chunk_of_another_length_than_its_head_says_is_left_to_marshal() -> None:
    with pytest.raises(EOFError):
        transfer.taken(values.head_of_bytes(BLOCK + 2) + CHUNK + bytes(BLOCK), lambda each: each)


class Reused(io.RawIOBase):
    """Gives the same memory each time, with other bytes in it."""

    def __init__(self, count: int) -> None:
        self.left = list(range(count))
        self.memory = bytearray(BLOCK)

    def read(self, size: int = -1) -> Any:
        if not self.left:
            return b''
        self.memory[:] = bytes([65 + self.left.pop(0)]) * BLOCK
        return self.memory


def test_a_file_object_that_uses_its_memory_again(tmp_path: Path, broker: econtext.Broker) -> None:
    broker.local(name='child').put(Reused(30), tmp_path / 'copy')
    assert (tmp_path / 'copy').read_bytes() == b''.join(bytes([65 + number]) * BLOCK for number in range(30))


@pytest.mark.skipif(sys.platform != 'linux', reason='pipes have a size on Linux')
def test_the_pipes_of_the_link_hold_more() -> None:
    reading, writing = os.pipe()
    try:
        transfer.widen(SimpleNamespace(fd=reading, out=None))
        assert fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ) == transfer.ROOM
    finally:
        os.close(reading)
        os.close(writing)


def test_what_is_no_pipe_stays_as_it_is(tmp_path: Path) -> None:
    with (tmp_path / 'file').open('wb') as file:
        transfer.widen(SimpleNamespace(fd=None, out=file.fileno()))


# Files that are there as they are.


def test_an_unchanged_file_is_told_by_a_look_and_not_taken(tmp_path: Path) -> None:
    entry = Entry(FILE, b'x', 0o640, len(CONTENT), 7 * 10 ** 9)
    messages = listing(entry), small(1), transfer.KEPT, transfer.END
    receive(tmp_path / 'target', *messages)
    seen = (tmp_path / 'target' / 'x').stat()
    done = receive(tmp_path / 'target', listing(entry), transfer.KEPT, transfer.END, compare='time')
    assert (done['same'], done['files']) == (1, 0)
    with pytest.raises(transfer.Nonsense, match='not wanted'):
        receive(tmp_path / 'target', *messages, compare='time')
    assert (tmp_path / 'target' / 'x').stat() == seen


@pytest.mark.parametrize(('mode', 'size', 'when'), [
    (0o600, len(CONTENT), 7 * 10 ** 9), (0o640, len(CONTENT) + 1, 7 * 10 ** 9), (0o640, len(CONTENT), 8 * 10 ** 9)])
def test_what_differs_in_one_of_them_is_not_the_same_by_a_look(
    tmp_path: Path, mode: int, size: int, when: int,
) -> None:
    receive(tmp_path / 'target', listing(Entry(FILE, b'x', 0o640, len(CONTENT), 7 * 10 ** 9)), small(1), transfer.KEPT,
            transfer.END)
    comparison = comparing.Comparison({'compare': 'time'}, b'target')
    status = (tmp_path / 'target' / 'x').stat()
    assert not comparison.looks_same(Entry(FILE, b'x', mode, size, when), status)
    assert comparison.looks_same(Entry(FILE, b'x', 0o640, len(CONTENT), 7 * 10 ** 9), status)


# New small files, in fewer steps.


@QUICK
@pytest.mark.parametrize('step', ['write', 'fchmod', 'utime', 'close', 'rename'])
def test_a_step_that_fails_leaves_what_came_before_it_and_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str,
) -> None:
    where: Any = transfer if step == 'write' else folders.set_times.__globals__['anything'] if step == 'utime' else os
    real = getattr(where, step)
    calls: list[Any] = []

    def fails(*args: Any, **more: Any) -> Any:
        begun = [path for path in drafts.DRAFTS if b'/.b.' in path]
        if begun and not calls:
            calls.append(begun)
            if step == 'close':
                real(*args)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args, **more)

    monkeypatch.setattr(where, step, fails)
    if step == 'utime':
        monkeypatch.setattr(folders, 'BY_DESCRIPTOR', {*folders.BY_DESCRIPTOR, os.utime})
    entries = [Entry(FILE, name, 0o644, len(CONTENT), 7 * 10 ** 9) for name in NAMES]
    open_before = len(os.listdir('/proc/self/fd')) if sys.platform == 'linux' else 0
    with pytest.raises(OSError, match='No space') as caught:
        receive(tmp_path / 'target', listing(*entries), small(1, 2, 3), transfer.KEPT, transfer.END)
    assert os.fsdecode(caught.value.filename) == str(tmp_path / 'target' / 'b')
    assert os.listdir(tmp_path / 'target') == ['a']
    assert calls
    assert not [path for path in drafts.DRAFTS if os.fsencode(tmp_path) in path]
    if sys.platform == 'linux':
        assert len(os.listdir('/proc/self/fd')) == open_before


def test_a_new_small_file_has_its_mode_and_time(tmp_path: Path) -> None:
    entries = [Entry(FILE, name, mode, len(CONTENT), 7 * 10 ** 9)
               for name, mode in zip(NAMES, [0o400, 0o644, 0o4755], strict=True)]
    done = receive(tmp_path / 'target', listing(*entries), small(1, 2, 3), transfer.KEPT, transfer.END)
    assert (done['files'], done['bytes']) == (3, 3 * len(CONTENT))
    found = [(tmp_path / 'target' / os.fsdecode(name)).stat() for name in NAMES]
    assert [status.st_mode & 0o7777 for status in found] == [0o400, 0o644, 0o4755]
    assert {status.st_mtime for status in found} == {7}
