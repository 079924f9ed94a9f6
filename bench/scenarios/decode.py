"""What contexts send, decoded: the worst input of each tag, and of what each rich value is made from."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import Any

from bench.scenario import Row, pick

CONTENDERS = ['econtext']
ROUNDS = 3, 1
SIZE = 1 << 20  # bytes of a body, if its value is large
LEAST = 1  # MB/s


def tagged(tag: str, number: int, data: bytes = b'') -> bytes:
    return b'%s%x:' % (tag.encode(), number) + data


def text(value: str) -> bytes:
    data = value.encode()
    return tagged('u', len(data), data)


def whole(number: int) -> bytes:
    return b'i%x:' % number if number >= 0 else b'i-%x:' % -number


def real(number: float) -> bytes:
    return tagged('f', 8, struct.pack('>d', number))


def series(tag: str, items: list[bytes]) -> bytes:
    return tagged(tag, len(items), b''.join(items))


def rich(name: str, *items: bytes) -> bytes:
    return series('x', [text(name), *items])


def many(size: int, make: Callable[[int], bytes], tag: str = 'l') -> bytes:
    """Return a body of about `size` bytes: what `make` makes of 0, 1, 2, …"""
    items, have = [], 0
    while have < size:
        items.append(make(len(items)))
        have += len(items[-1])
    return series(tag, items)


def nested(size: int, depth: int = 190) -> bytes:
    one = b'l0:'
    for _ in range(depth):
        one = b'l1:' + one
    return many(size, lambda n: one)


def zone(key: str) -> bytes:
    return series('t', [whole(3600), text('CET'), text(key)])


def moment(key: str) -> bytes:
    return rich('datetime', *map(whole, (2026, 1, 2, 3, 4, 5, 6)), zone(key), whole(0))


PRIME = (1 << 61) - 1  # what hash() divides by
INPUTS: dict[str, Callable[[int], bytes]] = {
    'n': lambda size: many(size, lambda n: b'n0:'),
    'o': lambda size: many(size, lambda n: b'o1:'),
    'i': lambda size: many(size, lambda n: b'i0:'),
    'i large': lambda size: b'i' + b'f' * (size - 8) + b':',
    'f': lambda size: many(size, lambda n: real(n)),
    'b': lambda size: many(size, lambda n: b'b0:'),
    's': lambda size: many(size, lambda n: b's1:\xff'),
    'u': lambda size: many(size, lambda n: b'u0:'),
    'u surrogates': lambda size: tagged('u', size // 3 * 3, b'\xed\xb2\x80' * (size // 3)),
    't': lambda size: many(size, lambda n: b't0:'),
    'l': lambda size: many(size, lambda n: b'l0:'),
    'l nested': nested,
    'd': lambda size: many(size, lambda n: b'd0:'),
    'd colliding': lambda size: many(size, lambda n: series('d', [
        part for k in range(150) for part in (whole(k * PRIME), b'n0:')])),
    'x set colliding': lambda size: many(size, lambda n: rich('set', *[
        rich('fraction', whole(k * PRIME + 1), whole(1)) for k in range(150)])),
    'x complex': lambda size: many(size, lambda n: rich('complex', real(1), real(2))),
    'x date': lambda size: many(size, lambda n: rich('date', whole(1), whole(1), whole(1))),
    'x datetime': lambda size: many(size, lambda n: moment('Europe/Berlin')),
    'x datetime unknown': lambda size: many(size, lambda n: moment('A%x' % n)),
    'x timedelta': lambda size: many(size, lambda n: rich('timedelta', whole(n), whole(1), whole(1))),
    'x timedelta large': lambda size: rich('timedelta', whole(0), b'i' + b'f' * (size - 50) + b':', whole(0)),
    'x decimal': lambda size: many(size, lambda n: rich('decimal', text('1'))),
    'x decimal long': lambda size: rich('decimal', text('9' * size)),
    'x fraction': lambda size: many(size, lambda n: rich('fraction', whole(n), whole(3))),
    'x fraction large': lambda size: many(size, lambda n: rich(
        'fraction', whole((1 << 14) - 1 << 16300 | n), whole((1 << 16380) + 7 ** 5000 * n + 1))),
    'x range': lambda size: many(size, lambda n: rich('range', whole(0), whole(n), whole(1))),
    'x range large': lambda size: rich(
        'range', whole(0), b'i' + b'f' * (size * 2 // 3) + b':', b'i' + b'f' * (size // 3) + b':'),
    'x uuid': lambda size: many(size, lambda n: rich('uuid', text('%032x' % n))),
    'x posixpath': lambda size: many(size, lambda n: rich('posixpath', text('/a'))),
    'x posixpath long': lambda size: rich('posixpath', text('/a' * (size // 2))),
    'x windowspath': lambda size: many(size, lambda n: rich('windowspath', text('/a'))),
    'x IPv4Network': lambda size: many(size, lambda n: rich('ipaddress.IPv4Network', text('1.2.3.0/24'))),
    'x IPv6Interface': lambda size: many(size, lambda n: rich('ipaddress.IPv6Interface', text('::1/64'))),
    'x completed': lambda size: many(size, lambda n: rich('completed', b'n0:', whole(0), b'n0:', b'n0:')),
    'x stat_result': lambda size: many(size, lambda n: rich(
        'os.stat_result', series('t', [whole(k) for k in range(10)]), b'd0:')),
}
# One row, the slowest input; the file of numbers has all of them.
ROWS = [Row('a value from a context, decoded', 'MB/s of the slowest kind of value', 'slowest', 'MB/s', f'>= {LEAST}',
            high=True)]


def measure(contender: Any, size: str) -> dict[str, float]:
    from econtext.core.wire import BadFrame
    from econtext.parent.values import decode

    contender.prepare()
    found = {}
    for tag, make in INPUTS.items():
        body = make(pick(size, SIZE, SIZE // 4, SIZE // 64))
        begun = time.perf_counter()
        try:
            decode(body)
        except BadFrame:
            # Refused: that takes time too.
            pass
        found[tag] = len(body) / 1e6 / max(time.perf_counter() - begun, 1e-6)
    found['slowest'] = min(found.values())
    return found
