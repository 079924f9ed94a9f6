"""
The archives of packed modules, as the daemon keeps them: each is opened once, and its files are known by their content.

Not shared between threads: the daemon's event loop enters.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import NamedTuple

BASIC = 'ansible/module_utils/basic.py'
MINIMUM = re.compile(rb'^_PY_MIN = \((\d+), (\d+)\)', re.MULTILINE)
UNSAID = 3, 9   # of an archive without that line

LOCAL = struct.Struct('<26xHH')     # before an entry: last, the lengths of its name and of what follows that
RAW = -zlib.MAX_WBITS               # deflate data without a head


class Member(NamedTuple):
    """A file of an archive: the digest of the content, and the content as raw deflate data."""

    digest: bytes
    data: bytes


class Archive:
    """
    What is in one archive: `members` are its files, or the contents of these, by their names.

    `refused` says why a file could not be made older, by the names of files.
    """

    def __init__(
        self, digest: bytes, members: Mapping[str, bytes | Member], refused: Mapping[str, str] | None = None,
    ) -> None:
        self.digest = digest
        found = {name: packed(each) if isinstance(each, bytes) else each for name, each in members.items()}
        #: The digests of contents, by the names of files.
        self.files: dict[str, bytes] = {name: each.digest for name, each in found.items()}
        #: Contents as raw deflate data, by their digests.
        self.sources: dict[bytes, bytes] = dict(found.values())
        self.refused: dict[str, str] = dict(refused or {})
        self.minimum: tuple[int, int] = self._minimum()

    def members(self) -> dict[str, bytes]:
        """Return the contents of the files, by their names."""
        return {name: zlib.decompress(self.sources[digest], RAW) for name, digest in self.files.items()}

    def zipped(self) -> bytes:
        """Return the archive as a zip."""
        made = io.BytesIO()
        with zipfile.ZipFile(made, 'w', zipfile.ZIP_DEFLATED) as writing:
            for name, content in self.members().items():
                info = zipfile.ZipInfo(name)
                info.compress_type = zipfile.ZIP_DEFLATED
                writing.writestr(info, content)
        return made.getvalue()

    def _minimum(self) -> tuple[int, int]:
        """Return the oldest Python that the modules of this ansible-core accept."""
        if BASIC not in self.files:
            return UNSAID
        found = MINIMUM.search(zlib.decompress(self.sources[self.files[BASIC]], RAW))
        return (int(found[1]), int(found[2])) if found else UNSAID


def packed(content: bytes) -> Member:
    """Return a file with this content."""
    packer = zlib.compressobj(wbits=RAW)
    return Member(digest_of(content), packer.compress(content) + packer.flush())


def stored_data(archive: bytes, entry: zipfile.ZipInfo) -> bytes:
    """Return what `archive` holds of an entry, as it stands there."""
    name, extra = LOCAL.unpack(archive[entry.header_offset:entry.header_offset + LOCAL.size])
    start: int = entry.header_offset + LOCAL.size + name + extra
    return archive[start:start + entry.compress_size]


class Archives:
    """All archives that came so far, and their files: most have the same."""

    def __init__(self) -> None:
        self._found: dict[bytes, Archive] = {}
        #: Files that were read and found whole, by all that their archives say of them.
        self._members: dict[tuple[int, int, bytes], Member] = {}

    def open(self, text: bytes) -> Archive:
        """Return the archive that `text` is in base64; raise ValueError or zipfile.BadZipFile for what is none."""
        digest = digest_of(text)
        if digest not in self._found:
            data = base64.b64decode(text, validate=True)
            with zipfile.ZipFile(io.BytesIO(data)) as opened:
                self._found[digest] = Archive(
                    digest, {entry.filename: self._member(opened, data, entry) for entry in opened.infolist()})
        return self._found[digest]

    def _member(self, opened: zipfile.ZipFile, archive: bytes, entry: zipfile.ZipInfo) -> Member:
        if entry.compress_type != zipfile.ZIP_DEFLATED:
            return packed(opened.read(entry))
        data = stored_data(archive, entry)
        key = entry.CRC, entry.file_size, data
        found = self._members.get(key)
        if found is None:
            found = self._members[key] = Member(digest_of(opened.read(entry)), data)
        return found


def digest_of(data: bytes) -> bytes:
    """Return what tells `data` from all else."""
    return hashlib.blake2b(data, digest_size=16).digest()
