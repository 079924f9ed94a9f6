"""What goes up arrives equal; what is no value is refused; nothing else is ever built."""

from __future__ import annotations

import datetime
import decimal
import itertools
import time
import uuid
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.core.codec import encode
from econtext.core.wire import BadFrame
from econtext.parent.values import DEEPEST, decode

pytestmark = pytest.mark.deadline(600)  # many examples take their time

ZONES = st.none() | st.integers(-23 * 60, 23 * 60).map(
    lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes))
)
TEXT = st.text(st.characters())  # surrogates too
LEAVES: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.integers(-(2**300), 2**300)
    | st.floats(allow_nan=False) | st.complex_numbers(allow_nan=False)
    | st.binary(max_size=40) | TEXT
    | st.dates() | st.datetimes(timezones=ZONES) | st.times() | st.timedeltas()
    | st.decimals(allow_nan=False) | st.uuids()
    | st.sampled_from([PurePosixPath('/a/b'), PureWindowsPath('c:/x')])
)
HASHABLE = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=5)
VALUES = st.recursive(
    LEAVES | st.frozensets(HASHABLE, max_size=3) | st.sets(HASHABLE, max_size=3),
    lambda inner: st.lists(inner, max_size=4)
    | st.lists(inner, max_size=4).map(tuple)
    | st.dictionaries(HASHABLE, inner, max_size=4),
    max_leaves=12,
)
LISTED = {
    type(None), bool, int, float, complex, bytes, str, tuple, list, dict, set, frozenset,
    datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone,
    decimal.Decimal, uuid.UUID, PurePosixPath, PureWindowsPath,
}


def types_in(value: Any) -> set[type]:
    found = {type(value)}
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, (tuple, list, set, frozenset)):
        for item in value:
            found |= types_in(item)
    return found


@pytest.mark.parametrize(('value', 'data'), [
    (None, b'n0:'), (True, b'o1:'), (False, b'o0:'), (0, b'i0:'), (255, b'iff:'), (-1, b'i-1:'),
    (1.5, b'f8:?\xf8\0\0\0\0\0\0'), (b'\xff', b'b1:\xff'), (b'x' * 16, b'b10:' + b'x' * 16), ('ä', b'u2:\xc3\xa4'),
    ('\ud800', b'u3:\xed\xa0\x80'), ((), b't0:'), ((1, None), b't2:i1:n0:'), ([b''], b'l1:b0:'),
    ({1: 'a', 'b': 2}, b'd4:i1:u1:au1:bi2:'), (3j, b'x3:u7:complexf8:\0\0\0\0\0\0\0\0f8:@\x08\0\0\0\0\0\0'),
    (bytearray(b'x'), b'b1:x'), (memoryview(b'x'), b'b1:x'), ({5}, b'x2:u3:seti5:'),
])  # fmt: skip
def test_what_goes_over_the_link(value: Any, data: bytes) -> None:
    assert encode(value) == data


@given(VALUES)
def test_round_trip(value: Any) -> None:
    found = decode(encode(value))
    assert found == value
    assert types_in(found) <= LISTED
    assert type(found) is type(value)


@given(st.datetimes(timezones=ZONES))
def test_time_zones_arrive(value: datetime.datetime) -> None:
    found = decode(encode(value))
    assert found.utcoffset() == value.utcoffset()
    assert found.tzname() == value.tzname()


class Owner:
    """Makes contexts and channels as the controller might: never."""

    def make(self, name: str, *args: Any) -> Any:
        raise ValueError(name)


def judged(data: bytes) -> None:
    """`data` is refused as BadFrame, or says a value of listed types."""
    try:
        value = decode(data, Owner())
    except BadFrame:
        return
    assert types_in(value) <= LISTED


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    judged(data)


TAGS = b'noifbsutldx0123456789abcdef:::-_ '


@given(st.lists(st.sampled_from([bytes([byte]) for byte in TAGS]), max_size=60).map(b''.join))
def test_bytes_of_our_own_alphabet(data: bytes) -> None:
    judged(data)


@given(VALUES, st.data())
def test_mutated_values(value: Any, data: st.DataObject) -> None:
    good = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(good) - 1))
        good[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not good:
            return
    judged(bytes(good))


MAKERS = ['complex', 'set', 'frozenset', 'datetime', 'time', 'date', 'timedelta', 'decimal', 'uuid',
          'posixpath', 'windowspath', 'context', 'channel', 'bytes', 'os', '__import__']


@given(st.sampled_from(MAKERS), st.lists(VALUES, max_size=9))
def test_makers_with_any_arguments(name: str, args: list[Any]) -> None:
    judged(b'x%x:' % (len(args) + 1) + encode(name) + b''.join(map(encode, args)))


@pytest.mark.parametrize('data', [
    b'', b':', b'i:', b'n', b'q0:', b'b5:1234', b'b-1:', b'l-1:', b'lffffffffffff:', b'd1:n0:',
    b't7fffffff:n0:', b'n0:n0:', b'l1:' * 100_000 + b'n0:', b'x0:', b'x1:n0:', b'x1:l0:', b'd2:l0:n0:',
    b'u1:\xff', b'f1:x', b'i' + b'f' * (2 << 20) + b':', b'x2:u3:setl0:',
    b'x2:u7:decimalu' + b'%x:' % 5_000_000 + b'9' * 5_000_000,
], ids=lambda data: data[:12].decode('latin-1') or 'empty')
def test_refused_at_once(data: bytes) -> None:
    before = time.process_time()
    if b'decimal' in data:
        judged(data)
    else:
        with pytest.raises(BadFrame):
            decode(data, Owner())
    assert time.process_time() - before < 2


def test_depth_has_a_limit_above_what_is_allowed() -> None:
    assert decode(b'l1:' * (DEEPEST - 1) + b'n0:') is not None
    with pytest.raises(BadFrame):
        decode(b'l1:' * (DEEPEST + 1) + b'n0:')


@pytest.mark.parametrize('value', [object(), len, type, test_any_bytes, test_any_bytes.__code__, Owner(), ...])
def test_what_may_not_cross(value: object) -> None:
    for wrapped in value, [value], {1: value}, (value,):
        with pytest.raises(TypeError, match='cannot cross'):
            encode(wrapped)


@pytest.mark.slow
def test_keys_that_collide_are_refused():
    """Ints that are equal modulo the prime of Python's hash would take hours as a table."""
    keys = [number * (2**61 - 1) for number in range(4000)]
    half = dict.fromkeys([*keys, *range(1, 5000)])
    for value in (dict.fromkeys(keys), half, set(keys[:4])):
        encoded = encode(value)
        if len(value) > 1000:
            with pytest.raises(BadFrame, match='collide'):
                decode(encoded)
        else:
            assert decode(encoded) == value
    # -1 and -2 have the same hash, and honest keys hold both.
    grid = set(itertools.product(range(-3, 3), repeat=6))
    assert decode(encode(grid)) == grid
