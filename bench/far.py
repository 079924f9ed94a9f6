"""What runs in the children: functions with nothing in them but the work that is measured.

Imports nothing that a bare interpreter has not loaded, `typing` neither.
"""

from __future__ import annotations

import os
import sys


def noop() -> None:
    pass


def pid() -> int:
    return os.getpid()


def size(data: bytes) -> int:
    return len(data)


def block(count: int) -> bytes:
    """Return bytes that do not compress: zlib looks back 32 KiB, and they repeat after 64."""
    if count <= 65536:
        return os.urandom(count)
    return (os.urandom(65536) * (count // 65536 + 1))[:count]


MADE: dict[int, bytes] = {}


def make(count: int) -> bytes:
    """Return bytes, the same as before if as many were asked for before."""
    if count not in MADE:
        MADE.clear()
        MADE[count] = block(count)
    return MADE[count]


def status(name: str) -> int:
    """Return a field of /proc/self/status in bytes, such as VmRSS or VmHWM."""
    with open('/proc/self/status') as file:
        for line in file:
            if line.startswith(name + ':'):
                return int(line.split()[1]) * 1024
    raise KeyError(name)


def memory() -> int:
    """Return the resident bytes, having forgotten the peak of the past."""
    try:
        with open('/proc/self/clear_refs', 'w') as file:
            file.write('5')
    except OSError:
        pass
    return status('VmRSS')


def peak() -> int:
    return status('VmHWM')


def carried() -> tuple[int, int]:
    """Return how many bytes this process has read and written so far."""
    with open('/proc/self/io') as file:
        fields = dict(line.split(': ') for line in file)
    return int(fields['rchar']), int(fields['wchar'])


def feed(sink, size, count):  # type: ignore[no-untyped-def]
    data = block(size)
    for _ in range(count):
        sink.send(data)
    sink.close()


def drain(source):  # type: ignore[no-untyped-def]
    total = 0
    for data in source:
        total += len(data)
    return total


def say(count: int) -> None:
    for number in range(count):
        print(f'line {number:06} of what a program says while it is at work')
    sys.stdout.flush()
