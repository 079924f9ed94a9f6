"""A Python 2.4, made of 2.7 by hiding what came later: tests of 2.4 run with this, for a real one is seldom at hand.

Hidden are the version, timers (`setitimer`), `io`, `ctypes`, `struct.Struct`, `memoryview`, what `marshal` of 2.4
cannot read (binary floats, sets), and what `struct` of 2.4 cannot pack (infinity, NaN, -0.0). What cannot be hidden is
as it is in 2.7: exceptions are classes of the new kind.
"""

from __future__ import annotations

from pathlib import Path

from lab import pythons

SCRIPT = r'''#!%s -E
import __builtin__, marshal, signal, struct, sys

sys.executable = %r
sys.version_info = (2, 4, 6, 'final', 0)
sys.version = '2.4.6 (2.7 in disguise)'
for name in 'setitimer', 'getitimer', 'ITIMER_REAL', 'ITIMER_VIRTUAL', 'ITIMER_PROF':
    delattr(signal, name)
for name in 'io', 'ctypes':
    sys.modules[name] = None
for name in 'memoryview',:
    delattr(__builtin__, name)
del struct.Struct


def fields(data, at):
    """Return where the value ends that begins at `at`; refuse what 2.4 cannot read."""
    tag, at = data[at], at + 1
    if tag in 'NTFS.0':
        return at
    if tag == 'R' or tag == 'i':
        return at + 4
    if tag == 'I':
        return at + 8
    if tag == 'f':
        return at + 1 + ord(data[at])
    if tag == 'x':
        at += 1 + ord(data[at])
        return at + 1 + ord(data[at])
    if tag == '{':
        while data[at] != '0':
            at = fields(data, fields(data, at))
        return at + 1
    if tag not in 'lsut([c':
        raise ValueError('bad marshal data: ' + tag)
    if tag == 'c':
        raise ValueError('a code object, of another version')
    size, = struct.unpack('<i', data[at:at + 4])
    at += 4
    if tag == 'l':
        return at + 2 * abs(size)
    if tag in 'sut':
        return at + size
    for _ in range(size):
        at = fields(data, at)
    return at


def strict(data, loads=marshal.loads):
    fields(str(data), 0)
    return loads(data)


def narrow(format, *values):
    if format == '>d':
        if values[0] - values[0] != 0:
            raise SystemError('frexp() result out of range')
        values = values[0] + 0.0,
    return pack(format, *values)


pack, struct.pack, marshal.loads = struct.pack, narrow, strict
assert sys.argv[1] == '-Ec', sys.argv
code, sys.argv = sys.argv[2], ['-c'] + sys.argv[3:]
exec(code, {'__name__': '__main__', '__builtins__': __builtin__})
'''


def write(folder: Path) -> str:
    """Write the program into `folder` and return its path; where there is no 2.7, skip the test, or fail it in CI."""
    path = folder / 'python2.4'
    path.write_text(SCRIPT % (pythons.interpreter('2.7'), str(path)))
    path.chmod(0o755)
    return str(path)
