"""
The archives of packed modules, as the daemon keeps them: each is opened once, and its files are known by their content.

Not shared between threads: the daemon's event loop enters.
"""

from __future__ import annotations

import base64
import hashlib
import io
import struct
import zipfile
import zlib

LOCAL = struct.Struct('<26xHH')     # before an entry: last, the lengths of its name and of what follows that
RAW = -zlib.MAX_WBITS               # deflate data without a head


class Archive:
    """What is in one archive."""

    def __init__(self, digest: bytes, data: bytes) -> None:
        self.digest = digest
        self.files: dict[str, bytes] = {}       # digests of contents, by the names of files
        self.sources: dict[bytes, bytes] = {}   # deflated contents, by their digests
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            for entry in opened.infolist():
                content = opened.read(entry)
                found = self.files[entry.filename] = digest_of(content)
                self.sources[found] = deflated(data, entry, content)


def deflated(archive: bytes, entry: zipfile.ZipInfo, content: bytes) -> bytes:
    """Return the content of an entry as raw deflate data: that of the archive, if it has such."""
    if entry.compress_type == zipfile.ZIP_DEFLATED:
        head = archive[entry.header_offset:entry.header_offset + LOCAL.size]
        name, extra = LOCAL.unpack(head)
        start = entry.header_offset + LOCAL.size + name + extra
        return archive[start:start + entry.compress_size]
    packer = zlib.compressobj(wbits=RAW)
    return packer.compress(content) + packer.flush()


class Archives:
    """All archives that came so far."""

    def __init__(self) -> None:
        self._found: dict[bytes, Archive] = {}

    def open(self, text: bytes) -> Archive:
        """Return the archive that `text` is in base64; raise ValueError or zipfile.BadZipFile for what is none."""
        digest = digest_of(text)
        if digest not in self._found:
            self._found[digest] = Archive(digest, base64.b64decode(text, validate=True))
        return self._found[digest]


def digest_of(data: bytes) -> bytes:
    """Return what tells `data` from all else."""
    return hashlib.blake2b(data, digest_size=16).digest()
