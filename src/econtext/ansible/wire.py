"""
What a worker and the daemon say to each other: messages of plain values, each with its length before it.

Both ends are processes of one run, by one interpreter, so the format is that of ``marshal``.

Pure but for `ask`; any thread may enter.
"""

from __future__ import annotations

import marshal
import socket
import struct
from typing import Any

HEAD = struct.Struct('>I')
PLAIN = bytes, str, int, bool, float, type(None)

# How a request ended, before what there is to say of it.
DONE = 'done'           # (status, output, errors)
REFUSED = 'refused'     # (kind, text, last lines): no login
BECOME = 'become'       # (kind, text, last lines): no other user
LOST = 'lost'           # a text: the context ended meanwhile
FAILED = 'failed'       # a text: the daemon cannot do it


def plain(value: Any) -> Any:
    """Return `value` without the types by which Ansible marks where texts and numbers come from."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return str.__getitem__(value, slice(None))
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    return bytes(value)


def packed(value: Any) -> bytes:
    """Return a message as bytes."""
    data = marshal.dumps(plain(value))
    return HEAD.pack(len(data)) + data


def length(head: bytes) -> int:
    """Return the length of the message behind `head`."""
    found: int = HEAD.unpack(head)[0]
    return found


def unpacked(data: bytes) -> Any:
    """Return the message in `data`."""
    return marshal.loads(data)


def ask(link: socket.socket, message: Any) -> Any:
    """Send a message and return the answer; EOFError if the other end has gone, TimeoutError if it takes too long."""
    try:
        link.sendall(packed(message))
        return unpacked(exactly(link, length(exactly(link, HEAD.size))))
    except TimeoutError:
        raise
    except OSError as error:
        raise EOFError(str(error)) from None


def exactly(link: socket.socket, size: int) -> bytes:
    """Read `size` bytes."""
    pieces = bytearray()
    while len(pieces) < size:
        piece = link.recv(min(size - len(pieces), 1 << 20))
        if not piece:
            raise EOFError('the connection has ended')
        pieces += piece
    return bytes(pieces)
