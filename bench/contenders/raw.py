"""The floor: two Pythons, two pipes, and no library. It knows five requests and calls nothing."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable
from typing import Any

from bench import far
from bench.contender import Contender, lacks

CHILD = """
import os, struct

def take(count):
    data = bytearray(count)
    view = memoryview(data)
    while view:
        view = view[os.readv(0, [view]):]
    return data

def write(data):
    view = memoryview(data)
    while view:
        view = view[os.write(1, view):]

made = {}
block = b'\\xa5' * 65536
while 1:
    head = os.read(0, 9)
    if not head:
        break
    kind, size = head[:1], int.from_bytes(head[1:], 'little')
    if kind == b'n':                # no-op
        write(b'n')
    elif kind == b'a':              # argument
        take(size)
        write(b'a')
    elif kind == b'r':              # result
        if size not in made:
            made = {size: b'\\xa5' * size}
        write(made[size])
    elif kind == b'u':              # stream up
        while size > 0:
            write(block[:size])
            size -= len(block)
    elif kind == b'd':              # stream down
        while size > 0:
            size -= len(os.read(0, min(size, 65536)))
        write(b'd')
"""


class Adapter(Contender):
    title = 'raw pipe'

    def prepare(self) -> None:
        self.children: list[subprocess.Popen[bytes]] = []

    def close(self) -> None:
        for child in self.children:
            assert child.stdin
            assert child.stdout
            child.stdin.close()
            child.wait()
            child.stdout.close()

    def local(self) -> Any:
        child = subprocess.Popen(
            [self.ground.python, '-c', CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        )  # fmt: skip
        self.children.append(child)
        assert child.stdin
        assert child.stdout
        return child.stdin.fileno(), child.stdout.fileno()

    def call(self, child: Any, function: Callable[..., Any], *args: Any) -> Any:
        there, here = child
        if function is far.noop:
            os.write(there, struct.pack('<cQ', b'n', 0))
            return os.read(here, 1)
        if function is far.size:
            os.write(there, struct.pack('<cQ', b'a', len(args[0])))
            write(there, args[0])
            os.read(here, 1)
            return len(args[0])
        if function is far.make:
            os.write(there, struct.pack('<cQ', b'r', args[0]))
            return take(here, args[0])
        return lacks('calls nothing')

    def stream_up(self, child: Any, size: int, count: int) -> int:
        there, here = child
        os.write(there, struct.pack('<cQ', b'u', size * count))
        total = 0
        while total < size * count:
            total += len(os.read(here, 65536))
        return total

    def stream_down(self, child: Any, size: int, count: int) -> int:
        there, here = child
        os.write(there, struct.pack('<cQ', b'd', size * count))
        data = far.block(size)
        for _ in range(count):
            write(there, data)
        os.read(here, 1)
        return size * count


def write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def take(fd: int, count: int) -> bytearray:
    data = bytearray(count)
    view = memoryview(data)
    while view:
        view = view[os.readv(fd, [view]) :]
    return data
