"""get() from a context that lies: nothing is written outside of the target, and nothing is kept without end."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import pytest

from econtext.child import receiving, transfer
from econtext.child.transfer import DIR, FILE, LEAVE, LINK, SPECIAL, Entry

GREETING = transfer.GREETING + b'sha256'
SMALL = b'content'


def listing(*entries: Entry) -> bytes:
    return transfer.LIST + b''.join(map(transfer.pack_entry, entries))


def small(index: int) -> bytes:
    digest = transfer.SUMS['sha256'](SMALL).digest()
    return transfer.SMALL + struct.pack(transfer.PIECE, index, len(SMALL), len(digest)) + SMALL + digest


ROOT = Entry(DIR, b'', 0o755)
END = Entry(LEAVE, b'', 0o755)


class Liar:
    def __init__(self, messages: list[bytes]) -> None:
        self.messages = [GREETING, *messages]
        self.sent = 0

    def get(self) -> bytes:
        if not self.messages:
            raise transfer.Broken
        return self.messages.pop(0)

    def send(self, data: bytes) -> None:
        self.sent += 1


def receive(target: Path, *messages: bytes, **options: object) -> object:
    return receiving.Receiver(Liar(list(messages)), os.fsencode(target), {'safe': True, **options}).run()


def everything(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob('*')}


@pytest.mark.parametrize('name', [b'', b'.', b'..', b'/etc/x', b'../x', b'a/b', b'a\0b', b'a/../../x'])
@pytest.mark.parametrize('kind', [FILE, DIR, LINK])
def test_names_that_lead_elsewhere(tmp_path: Path, name: bytes, kind: int) -> None:
    with pytest.raises(transfer.Nonsense):
        receive(tmp_path / 'target', listing(ROOT, Entry(kind, name, 0o644, 7, 0, b'/etc')), small(1))
    assert everything(tmp_path) <= {'target'}


def test_by_way_of_a_link_that_it_sent(tmp_path: Path) -> None:
    outside = tmp_path / 'outside'
    outside.mkdir()
    link = Entry(LINK, b'a', 0, 0, 0, os.fsencode(outside))
    for number, batch in enumerate((
        (ROOT, link, Entry(DIR, b'a', 0o755), Entry(FILE, b'x', 0o644, 7), END, END),
        (ROOT, Entry(DIR, b'a', 0o755), Entry(FILE, b'x', 0o644, 7), END, link, END),
    )):
        with pytest.raises(transfer.Nonsense):
            receive(tmp_path / str(number), listing(*batch), small(3), small(2), transfer.KEPT, transfer.END)
    assert everything(outside) == set()


def test_by_way_of_a_link_of_an_earlier_time(tmp_path: Path) -> None:
    outside, target = tmp_path / 'outside', tmp_path / 'target'
    outside.mkdir()
    receive(target, listing(ROOT, Entry(LINK, b'a', 0, 0, 0, os.fsencode(outside)), END), transfer.KEPT, transfer.END)
    assert (target / 'a').is_symlink()
    batch = listing(ROOT, Entry(DIR, b'a', 0o755), Entry(FILE, b'x', 0o644, 7), END, END)
    with pytest.raises(NotADirectoryError):
        receive(target, batch, small(2), transfer.KEPT, transfer.END)
    assert everything(outside) == set()
    receive(target, batch, small(2), transfer.KEPT, transfer.END, delete=True)
    assert (target / 'a' / 'x').read_bytes() == SMALL
    assert everything(outside) == set()


def test_a_folder_that_was_replaced_meanwhile(tmp_path: Path) -> None:
    """Whoever did it: it is looked at again before a file is written."""
    outside, target = tmp_path / 'outside', tmp_path / 'target'
    outside.mkdir()

    class Swap(Liar):
        def send(self, data: bytes) -> None:
            (target / 'a').rename(target / 'b')
            (target / 'a').symlink_to(outside)

    liar = Swap([listing(ROOT, Entry(DIR, b'a', 0o755), Entry(FILE, b'x', 0o644, 7), END, END), small(2)])
    with pytest.raises(OSError, match='replaced'):
        receiving.Receiver(liar, os.fsencode(target), {}).run()
    assert everything(outside) == set()


@pytest.mark.parametrize(
    'messages',
    [
        [listing(Entry(SPECIAL, b''))], [listing(Entry(LINK, b'', 0, 0, 0, b'/etc'))], [b'?'], [b''],
        [listing(ROOT, Entry(SPECIAL, b'x'))], [listing(ROOT, END, Entry(FILE, b'x'))], [listing(ROOT, END, END)],
        [transfer.CHUNK + b'x'], [transfer.FINISH], [transfer.KEPT], [transfer.END], [small(0)],
        [listing(ROOT), small(0)], [listing(ROOT), small(7)], [listing(ROOT), transfer.END],
        [listing(ROOT, Entry(FILE, b'x'), Entry(FILE, b'x'))], [transfer.LIST + b'x' * 50],
        [listing(ROOT, *[Entry(FILE, b'%05d' % number) for number in range(transfer.BATCH)])],
        [transfer.LIST] * (transfer.MANY + 1), [listing(ROOT, Entry(FILE, b'x')), transfer.BEGIN + b'x'],
        [listing(ROOT, Entry(FILE, b'x')), transfer.BEGIN + struct.pack(transfer.START, 1, 5)],
        [listing(Entry(FILE, b'')), transfer.BEGIN + struct.pack(transfer.START, 0, 0),
         transfer.ZEROS + struct.pack(transfer.RUN, 1 << 40)],
        [listing(Entry(FILE, b'')), transfer.BEGIN + struct.pack(transfer.START, 0, 0),
         transfer.ZEROS + struct.pack(transfer.RUN, -1)],
    ],
)  # fmt: skip
def test_what_no_honest_sender_says(tmp_path: Path, messages: list[bytes]) -> None:
    with pytest.raises(transfer.Nonsense):
        receive(tmp_path / 'target', *messages)
    assert everything(tmp_path) <= {'target'}


def test_bits_of_the_mode_that_give_rights_stay_away(tmp_path: Path) -> None:
    receive(tmp_path / 'x', listing(Entry(FILE, b'', 0o6755, 7)), small(0), transfer.KEPT, transfer.END)
    assert (tmp_path / 'x').stat().st_mode & 0o7777 == 0o755


ONE = listing(Entry(FILE, b'', 0o644, 7))
START = transfer.BEGIN + struct.pack(transfer.START, 0, 0)


@pytest.mark.parametrize('memory', [False, True])
@pytest.mark.parametrize(
    'messages',
    [
        [ONE, START, transfer.CHUNK + b'12345678'], [ONE, START, transfer.CHUNK + b'1234', transfer.CHUNK + b'1234'],
        [ONE, START, transfer.ZEROS + struct.pack(transfer.RUN, 8)],
        [listing(Entry(FILE, b'', 0o644, 3)), small(0)],
        [listing(Entry(FILE, b'', 0o644, 0)), START, transfer.ZEROS + struct.pack(transfer.RUN, 1)],
        [listing(Entry(FILE, b'', 0o644, -1)), START, transfer.ZEROS + struct.pack(transfer.RUN, 1)],
    ],
)  # fmt: skip
def test_more_of_a_file_than_was_listed(tmp_path: Path, messages: list[bytes], memory: bool) -> None:
    """A message of nine bytes cannot become a quarter of a megabyte."""
    file = io.BytesIO() if memory else None
    liar = Liar([*messages, transfer.FINISH, transfer.KEPT, transfer.END])
    with pytest.raises(transfer.Nonsense):
        receiving.Receiver(liar, os.fsencode(tmp_path / 'x'), {'safe': True}, None, file).run()
    assert everything(tmp_path) == set()
    if file is not None:
        assert len(file.getvalue()) < 8


@pytest.mark.parametrize('kind', [transfer.STAYS, SPECIAL, 7, 255, 0])
def test_kinds_of_roots_and_entries(tmp_path: Path, kind: int) -> None:
    with pytest.raises(transfer.Nonsense):
        receive(tmp_path / 'target', listing(Entry(kind, b'')))
    if kind != transfer.STAYS:
        with pytest.raises(transfer.Nonsense):
            receive(tmp_path / 'target', listing(ROOT, Entry(kind, b'x')))
    else:
        with pytest.raises(transfer.Nonsense):
            receive(tmp_path / 'target', listing(ROOT, Entry(kind, b'x'), END), small(1))
