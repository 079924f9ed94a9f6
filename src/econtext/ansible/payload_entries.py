"""
Entries of the payload cache as bytes: packed, read again, and which of them go when there are too many.

Invariants:

* An entry that was cut, lengthened or changed in any bit is Damaged: nothing of it is believed.
* A payload is read without executing it. Of a pickle only the classes in CLASSES may occur, and stand-ins take their
  place.
* Two different sequences of parts have different digests, wherever the parts are cut.
* What `surplus` leaves fits the limits, and was used no earlier than what `surplus` names.

Pure: no file, no clock; any thread may enter.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterable
from typing import NamedTuple

MAGIC = b'econtext payload 1\n'
HEAD = struct.Struct('>32sI')   # the checksum of all that follows it, the length of the header
LARGEST = 64 * 1024 * 1024  # bytes of a payload, and of all that a payload holds
# What ansible-core 2.19 and later pickle for one module of one run.
CLASSES = {
    ('ansible.executor.module_common', '_CachedModule'),
    ('ansible.executor.module_common', 'ModuleMetadataV1'),
}


class Damaged(Exception):
    """An entry or a payload is not what was written; the text says what was seen."""


class Header(NamedTuple):
    """What an entry says of its payload, to decide whether the payload still is what its sources make."""

    file: str   # the name that ansible-core gives the payload within one run
    collections: tuple[str, ...]    # those that its sources name, installed or not
    embeds: tuple[str, ...]     # members that are no Python
    sources: str    # the digest of the collections and of these members


class Kept(NamedTuple):
    name: str
    size: int   # bytes
    used: float     # any clock that runs forwards


def digest(*parts: bytes) -> str:
    """Return a name for exactly these parts, as 64 hexadecimal digits."""
    total = hashlib.sha256()
    for part in parts:
        total.update(struct.pack('>Q', len(part)))
        total.update(part)
    return total.hexdigest()


def pack(header: Header, payload: bytes) -> bytes:
    """Return the entry of `payload`."""
    words = json.dumps(header._asdict(), sort_keys=True).encode()
    rest = struct.pack('>I', len(words)) + words + payload
    return MAGIC + hashlib.sha256(rest).digest() + rest


def unpack(entry: bytes) -> tuple[Header, bytes]:
    """
    Return the header and the payload of an entry.

    Raises Damaged if the entry is not what `pack` returned.
    """
    if not entry.startswith(MAGIC) or len(entry) < len(MAGIC) + HEAD.size:
        raise Damaged('the entry is cut, or none')
    checksum, length = HEAD.unpack_from(entry, len(MAGIC))
    if hashlib.sha256(entry[len(MAGIC) + 32:]).digest() != checksum:
        raise Damaged('the checksum is another one')
    start = len(MAGIC) + HEAD.size
    try:
        found = json.loads(entry[start:start + length])
        header = Header(found['file'], tuple(found['collections']), tuple(found['embeds']), found['sources'])
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged('the header is none') from error
    return header, entry[start + length:]


class StandIn:
    """Takes the place of a class of ansible-core in a pickle: keeps the state, and does nothing."""

    state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


def first(state: object) -> object:
    return state[0] if isinstance(state, list) and state else None


class Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[StandIn]:
        if (module, name) not in CLASSES:
            raise Damaged(f'the payload names {module}.{name}')
        return StandIn


def archive(payload: bytes) -> bytes:
    """
    Return the zip in a payload, as ansible-core keeps it: base64 text (2.18), or a pickle that holds such text.

    Raises Damaged if there is none, or if the pickle names a class that does not belong into a payload.
    """
    text: object = payload
    if payload.startswith(b'\x80'):
        try:
            state = getattr(Reader(io.BytesIO(payload)).load(), 'state', None)
        except Damaged:
            raise
        except Exception as error:  # whatever a pickle of foreign bytes raises
            raise Damaged(f'the payload cannot be read: {type(error).__name__}') from error
        # Classes with slots give a list of their fields, in order; the zip is the first.
        text = state.get('zip_data') if isinstance(state, dict) else first(state)
    if not isinstance(text, bytes):
        raise Damaged('the payload holds no zip')
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise Damaged('the payload is no base64') from error


def members(payload: bytes) -> dict[str, bytes]:
    """
    Return name -> content of the files in a payload.

    Raises Damaged if the payload cannot be read, holds a name twice, or is larger than LARGEST.
    """
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(archive(payload))) as opened:
            infos = opened.infolist()
            if sum(info.file_size for info in infos) > LARGEST:
                raise Damaged('the payload is too large')
            for info in infos:
                if info.filename in found:
                    raise Damaged('the payload holds a name twice')
                found[info.filename] = opened.read(info)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise Damaged(f'the zip cannot be read: {type(error).__name__}') from error
    return found


def surplus(entries: Iterable[Kept], size: int, count: int) -> list[str]:
    """Return the names of the entries that go, those used longest ago first, so that the rest fits the limits."""
    kept = sorted(entries, key=lambda each: (each.used, each.name))
    total = sum(each.size for each in kept)
    gone = []
    for number, each in enumerate(kept):
        if total <= size and len(kept) - number <= count:
            break
        total -= each.size
        gone.append(each.name)
    return gone
