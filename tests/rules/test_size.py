"""What it takes to reach a machine stays small: held against what a recording `ssh` is really given.

The limits are the original Econtext's own figures.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

import pytest

import econtext
from econtext.controller.modules import built, manifest
from econtext.core import wire

COMMAND_LIMIT = 411
PREAMBLE_LIMIT = 4845
FIRST_WINDOW = 14_000  # bytes: TCP's first window, beyond which the first write costs another round trip

# Stands in the place of ssh: notes its arguments and all it is sent without an answer, then fails as ssh does.
# That is the preamble and two frames, the modules and the first cast; and whatever comes within a moment behind them.
RECORDER = """\
#!{python} -IS
import base64, json, os, select, struct, sys, zlib

def frames(data):
    count = 0
    while len(data) >= {header}:
        size = {header} + struct.unpack({format!r}, data[:{header}])[-1]
        if len(data) < size:
            break
        data, count = data[size:], count + 1
    return count

received, stream = b'', zlib.decompressobj()
while frames(stream.unused_data) < 2 or select.select([0], [], [], 0.3)[0]:
    data = os.read(0, 65536)
    if not data:
        break
    received += data
    stream.decompress(data)
with open({record!r}, 'w') as file:
    json.dump([sys.argv[1:], base64.b64encode(received).decode()], file)
sys.stderr.write('ssh: connect to host foo port 22: Connection refused\\n')
sys.exit(255)
"""


class Record(NamedTuple):
    argv: list[str]
    preamble: bytes
    behind: bytes  # the frames that follow at once


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    """What `broker.ssh('foo')` makes ssh do."""
    program, notes = tmp_path / 'ssh', tmp_path / 'record.json'
    program.write_text(RECORDER.format(
        python=sys.executable, record=str(notes), header=wire.HEADER_SIZE, format=wire.FORMAT))
    program.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=':')
    # It is sent, and is otherwise as long as the tests' own.
    monkeypatch.setattr(sys, 'argv', ['/usr/local/bin/program', '--option', 'argument'])
    with econtext.Broker() as broker:
        context = broker.ssh('foo')
        with pytest.raises(econtext.ConnectError):
            context.wait_ready(timeout=60)
    arguments, encoded = json.loads(notes.read_text())
    received = base64.b64decode(encoded)
    stream = zlib.decompressobj()
    stream.decompress(received)
    assert stream.eof, 'what is sent starts with a whole preamble'
    behind = stream.unused_data
    return Record(['ssh', *arguments], received[: len(received) - len(behind)], behind)


def test_command(record: Record) -> None:
    command = ' '.join(record.argv)
    assert 'foo' in record.argv
    assert len(command) <= COMMAND_LIMIT, command


def test_preamble(record: Record) -> None:
    assert len(record.preamble) <= PREAMBLE_LIMIT
    assert record.preamble == built.preamble(manifest.PREAMBLE), 'a constant: nothing of a connection is in it'


def test_first_write(record: Record) -> None:
    assert len(record.preamble) + len(record.behind) <= FIRST_WINDOW


def test_the_program_tells_the_truth(record: Record, repository: Path) -> None:
    program = [sys.executable, str(repository / 'preamble_size.py')]
    lines = subprocess.run(program, check=True, capture_output=True, text=True).stdout.splitlines()
    kib = r' \((\d+\.\d\d)KiB\)'
    assert lines[0] == 'SSH command size: %d' % len(' '.join(record.argv))
    found = re.fullmatch('Preamble size: (\\d+)' + kib, lines[1])
    assert found, lines[1]
    assert int(found[1]) == len(record.preamble)
    assert found[2] == '%.2f' % (len(record.preamble) / 1024)
    assert re.fullmatch('econtext.master size: (\\d+)' + kib, lines[2])
    named = {line.split()[0] for line in lines[4:]}
    assert {*manifest.PREAMBLE, 'econtext.child.life'} <= named
    assert {'econtext.parent.nursery', 'econtext.connectors.ssh'} <= named
