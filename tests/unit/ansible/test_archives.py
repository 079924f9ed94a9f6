"""Archives of packed modules: what is in them comes back, travels as packed, and says which Pythons it is for."""

from __future__ import annotations

import base64
import io
import zipfile
import zlib

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from econtext.ansible.archives import BASIC, UNSAID, Archive, Archives, digest_of
from econtext.child import ansiballz

NAMES = st.from_regex(r'[a-z]{1,8}(/[a-z]{1,8})?\.py', fullmatch=True)
MEMBERS = st.dictionaries(NAMES, st.binary(max_size=50), max_size=4)


@settings(max_examples=40)
@given(MEMBERS)
def test_what_is_in_an_archive_comes_back(members: dict[str, bytes]) -> None:
    archive = Archive(b'x', members)
    assert archive.members() == members
    text = base64.b64encode(archive.zipped())
    again = Archives().open(text)
    assert (again.members(), again.digest) == (members, digest_of(text))


def test_an_archive_is_opened_once() -> None:
    archives, text = Archives(), base64.b64encode(Archive(b'x', {'a.py': b'1'}).zipped())
    assert archives.open(text) is archives.open(text)
    for wrong, error in (b'no base64!', ValueError), (base64.b64encode(b'no zip'), zipfile.BadZipFile):
        with pytest.raises(error):
            archives.open(wrong)


@pytest.mark.parametrize(('text', 'minimum'), [
    ('x = 1\n_PY_MIN = (3, 8)\n', (3, 8)), ('_PY_MIN = (3, 12)', (3, 12)), ('# _PY_MIN = (3, 8)', UNSAID),
    (' _PY_MIN = (3, 8)', UNSAID), ('', UNSAID),
])  # fmt: skip
def test_the_oldest_python_is_what_ansible_core_says(text: str, minimum: tuple[int, int]) -> None:
    assert Archive(b'x', {BASIC: text.encode()}).minimum == minimum
    assert Archive(b'x', {'other.py': text.encode()}).minimum == UNSAID


def test_a_zip_has_the_files_in_their_order() -> None:
    names = ['b.py', 'a.py', 'c/d.txt']
    archive = Archive(b'x', dict.fromkeys(names, b'text'))
    with zipfile.ZipFile(io.BytesIO(archive.zipped())) as opened:
        assert opened.namelist() == names


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


def test_a_file_that_several_archives_have_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    open_member = zipfile.ZipFile.open
    shared = {'a.py': b'x = 1\n', 'b.py': b'y = 2\n'}
    texts = [base64.b64encode(Archive(b'', {**shared, 'own.py': b'%d' % number}).zipped()) for number in range(3)]
    monkeypatch.setattr(zipfile.ZipFile, 'open', lambda self, entry, *args, **options: (
        read.append(entry.filename), open_member(self, entry, *args, **options))[1])
    archives = Archives()
    for number, text in enumerate(texts):
        assert archives.open(text).members() == {**shared, 'own.py': b'%d' % number}
    assert read == ['a.py', 'b.py', 'own.py', 'own.py', 'own.py']


def test_a_file_that_is_not_what_its_archive_says_is_none() -> None:
    """Also where another archive has the same data, and says the truth."""
    archives = Archives()
    text = base64.b64encode(Archive(b'', {'a.py': b'x = 1\n'}).zipped())
    archives.open(text)
    whole = base64.b64decode(text)
    broken = bytearray(whole)
    broken[whole.index(b'PK\x01\x02') + 16] ^= 1     # the checksum
    with pytest.raises(zipfile.BadZipFile):
        archives.open(base64.b64encode(bytes(broken)))
