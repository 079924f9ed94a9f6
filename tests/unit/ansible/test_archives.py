"""The sources of archives arrive as they were packed."""

from __future__ import annotations

import base64
import io
import zipfile
import zlib

import pytest

from econtext.ansible.archives import Archives
from econtext.child import ansiballz

CONTENTS = {'a.py': b'', 'long/name/of/a/module.py': b'x = 1\n' * 5000, 'data.bin': bytes(range(256)) * 3}


def packed(kind: int) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, 'w', kind) as archive:
        for name, content in CONTENTS.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = kind
            entry.extra = b'\x55\x00\x02\x00ab'
            archive.writestr(entry, content)
    return base64.b64encode(made.getvalue())


@pytest.mark.parametrize('kind', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_contents_arrive(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in 'SOURCES', 'PAYLOADS':
        monkeypatch.setattr(ansiballz, name, {})
    archives = Archives()
    archive = archives.open(packed(kind))
    ansiballz.add(archive.digest, archive.files, archive.sources)
    assert {name: ansiballz.SOURCES[digest] for name, digest in archive.files.items()} == CONTENTS
    assert archives.open(packed(kind)) is archive


def test_equal_contents_are_one_source() -> None:
    archives = Archives()
    stored, deflated = (archives.open(packed(kind)) for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    assert stored.files == deflated.files
    for digest, data in stored.sources.items():
        assert zlib.decompress(data, -zlib.MAX_WBITS) == zlib.decompress(deflated.sources[digest], -zlib.MAX_WBITS)
