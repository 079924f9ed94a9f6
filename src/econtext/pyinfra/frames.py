"""
What the process of pyinfra and its helper say to each other: tuples of plain values, each behind its length.

Both ends are of one user, one machine and one interpreter, on a pair of sockets that nobody else has; so marshal does.

Invariants:

* However the bytes are cut into pieces, the messages are the same.

Pure; any thread may enter.
"""

from __future__ import annotations

import marshal
import struct
from collections.abc import Iterator
from typing import Any

HEAD: struct.Struct = struct.Struct('>Q')
BLOCK = 1 << 18     # bytes of a file in one message

# What is asked of the helper; with each the number of the request and its arguments.
CONNECT, CLOSE, RUN, PUT, GET, ANSWER = 'connect', 'close', 'run', 'put', 'get', 'answer'
# What the helper says: the last word on a request, its failure, or something before that.
DONE, FAILED, OUTPUT, ASK = 'done', 'failed', 'output', 'ask'
# Kinds of failures.
CONNECTING, CANNOT, STALE, TIMEOUT, SYSTEM, LOST = 'connecting', 'cannot', 'stale', 'timeout', 'system', 'lost'


def packed(*message: Any) -> bytes:
    """Return the bytes of a message."""
    body = marshal.dumps(message)
    return HEAD.pack(len(body)) + body


class Unpacker:
    """Finds the messages in what is read."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size: int = 0
        self.wanted: int = HEAD.size

    def feed(self, data: bytes) -> Iterator[tuple[Any, ...]]:
        """Yield the messages that end within `data`."""
        self.pieces.append(data)
        self.size += len(data)
        while self.size >= self.wanted:
            whole = b''.join(self.pieces)
            end = HEAD.size + HEAD.unpack_from(whole)[0]
            if len(whole) < end:
                self.pieces, self.wanted = [whole], end
                return
            self.pieces, self.size, self.wanted = [whole[end:]], len(whole) - end, HEAD.size
            yield marshal.loads(whole[HEAD.size:end])
