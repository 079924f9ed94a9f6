"""
Frames: how what contexts say to each other is cut into bytes.

A frame is a header and a body.  The header names the kind, the context it is
for, the context it is from, the handle under which somebody waits, and the
length of the body.

Invariants:

* ``feed()`` yields the same frames however the input is cut into pieces.
* A header is judged whole, before its body is awaited.
* Once a stream is bad it stays bad: nothing behind a bad header is believed.

Pure: no descriptors, threads or clocks.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    #: Kind, destination, source, handle, body.
    Frame = tuple[int, int, int, int, bytes]

import struct

MAGIC = 0xEC01
FORMAT = '>HBLLLL'
HEADER_SIZE = struct.calcsize(FORMAT)
EMPTY = ''.encode()

# What a child prints on its standard output before its first frame.
MARK = '\0econtext\0\n'.encode()

# Kinds that go down only, from a context to one below it.
MODULE, CALL, START, STOP, ROUTE, LEVEL, TYPED, PASS = range(8)

# Kinds that may also come up.  All of them are hostile until checked.
UP = 16
HELLO, RESULT, ERROR, DEAD, WANT, LOG, STDIO, REPORT = range(UP, UP + 8)
DATA, CLOSE, CREDIT = range(UP + 8, UP + 11)

# Who sends one of the first waits for one of the second.
EXPECTANT = CALL, WANT
ANSWERS = RESULT, ERROR, DEAD


class BadFrame(Exception):
    """What arrived is no frame, or none that this sender may send."""


def pack(kind, dst, src, handle, size):
    # type: (int, int, int, int, int) -> bytes
    """Return the header of a frame whose body has `size` bytes."""
    return struct.pack(FORMAT, MAGIC, kind, dst, src, handle, size)


class Decoder(object):
    """
    Cut a stream of bytes into frames.

    `accepts(kind, dst, src, handle, size)` judges each header, more than once if
    its body comes in pieces.
    """

    def __init__(self, accepts):
        # type: (Callable[[int, int, int, int, int], bool]) -> None
        self.accepts = accepts  # type: Callable[..., bool]
        self.parts = []  # type: list[bytes]
        self.have = 0  # type: int
        self.need = 0  # type: int

    def feed(self, data):
        # type: (bytes) -> list[Frame]
        """Return the frames that `data` completes; raise BadFrame."""
        frames = []  # type: list[Frame]
        self.have += len(data)
        if self.parts:
            self.parts.append(data)
            if self.have < self.need:
                return frames
            data = EMPTY.join(self.parts)
            self.parts = []
        start = 0
        while self.have >= HEADER_SIZE:
            body = start + HEADER_SIZE
            magic, kind, dst, src, handle, size = struct.unpack(
                FORMAT, data[start:body])
            if magic != MAGIC or not self.accepts(kind, dst, src, handle, size):
                self.accepts = lambda *header: False
                self.have = 0
                raise BadFrame(repr(data[start:start + 500]))
            self.need = HEADER_SIZE + size
            if self.have < self.need:
                break
            start = body + size
            frames.append((kind, dst, src, handle, data[body:start]))
            self.have -= self.need
            self.need = HEADER_SIZE
        if self.have:
            self.parts.append(data[start:])
        return frames
