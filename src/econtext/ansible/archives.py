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

BASIC = 'ansible/module_utils/basic.py'
MINIMUM = re.compile(rb'^_PY_MIN = \((\d+), (\d+)\)', re.MULTILINE)
UNSAID = 3, 9   # of an archive without that line

LOCAL = struct.Struct('<26xHH')     # before an entry: last, the lengths of its name and of what follows that
RAW = -zlib.MAX_WBITS               # deflate data without a head


class Archive:
    """
    What is in one archive: `members` are the contents of its files, by their names.

    `packed` are those of them that are at hand as raw deflate data.
    """

    def __init__(
        self, digest: bytes, members: Mapping[str, bytes], refused: Mapping[str, str] | None = None,
        packed: Mapping[str, bytes] | None = None,
    ) -> None:
        self.digest = digest
        self.files: dict[str, bytes] = {}       # digests of contents, by the names of files
        self.sources: dict[bytes, bytes] = {}   # contents as raw deflate data, by their digests
        #: Why a file could not be made older, by the names of files.
        self.refused: dict[str, str] = dict(refused or {})
        for name, content in members.items():
            found = self.files[name] = digest_of(content)
            if found not in self.sources:
                known = (packed or {}).get(name)
                self.sources[found] = deflated(content) if known is None else known
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


def deflated(content: bytes) -> bytes:
    """Return `content` as raw deflate data."""
    packer = zlib.compressobj(wbits=RAW)
    return packer.compress(content) + packer.flush()


def stored_data(archive: bytes, entry: zipfile.ZipInfo) -> bytes:
    """Return what `archive` holds of an entry, as it stands there."""
    name, extra = LOCAL.unpack(archive[entry.header_offset:entry.header_offset + LOCAL.size])
    start: int = entry.header_offset + LOCAL.size + name + extra
    return archive[start:start + entry.compress_size]


class Archives:
    """All archives that came so far."""

    def __init__(self) -> None:
        self._found: dict[bytes, Archive] = {}

    def open(self, text: bytes) -> Archive:
        """Return the archive that `text` is in base64; raise ValueError or zipfile.BadZipFile for what is none."""
        digest = digest_of(text)
        if digest not in self._found:
            data = base64.b64decode(text, validate=True)
            with zipfile.ZipFile(io.BytesIO(data)) as opened:
                entries = opened.infolist()
                self._found[digest] = Archive(
                    digest, {entry.filename: opened.read(entry) for entry in entries}, packed={
                        entry.filename: stored_data(data, entry)
                        for entry in entries if entry.compress_type == zipfile.ZIP_DEFLATED})
        return self._found[digest]


def digest_of(data: bytes) -> bytes:
    """Return what tells `data` from all else."""
    return hashlib.blake2b(data, digest_size=16).digest()
