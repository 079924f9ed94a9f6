"""The decoder of what children send: each tag, each bound, and what an error says of an honest value."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import ipaddress
import struct
import sys
import uuid
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest

import econtext
from econtext.core.codec import encode, series, tagged
from econtext.core.wire import BadFrame
from econtext.parent import values
from econtext.parent.values import DEEPEST, Refused, TooDeep, Unusable, decode


@econtext.register
@dataclasses.dataclass(frozen=True)
class Even:
    """A class of the program, whose constructor refuses what is odd."""

    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise LookupError(f'{self.number} is odd')


class Owner:
    """Who makes contexts and channels."""

    def make(self, *args: Any) -> Any:
        return ('made', *args)


def refuses(data: bytes, why: str, owner: Any = None) -> None:
    """Anything that is wrong is a BadFrame, and no error of a call."""
    with pytest.raises(BadFrame, match=why) as caught:
        decode(data, owner)
    assert not isinstance(caught.value, Unusable)


# -- tags --------------------------------------------------------------------


@pytest.mark.parametrize(('data', 'value'), [
    (b'n0:', None), (b'o0:', False), (b'o1:', True), (b'i0:', 0), (b'iff:', 255), (b'i-1:', -1), (b'iFF:', 255),
    (b'f8:' + struct.pack('>d', -1.5), -1.5), (b'b2:\xff\0', b'\xff\0'), (b'b0:', b''), (b'u2:\xc3\xa4', 'ä'),
    (b'u3:\xed\xa0\x80', '\ud800'), (b's2:\xc3\xa4', 'ä'), (b's1:\xff', '\udcff'), (b't0:', ()), (b'l0:', []),
    (b'd0:', {}), (b't2:i1:i2:', (1, 2)), (b'l1:l0:', [[]]), (b'd2:i1:i2:', {1: 2}),
    (b'd4:i1:i2:u1:ai3:', {1: 2, 'a': 3}),
])  # fmt: skip
def test_each_tag_is_read(data: bytes, value: Any) -> None:
    for body in data, memoryview(data):
        found = decode(body)
        assert found == value
        assert type(found) is type(value)
    refuses(data + b'n', '1 bytes behind a value') if data != b'n0:' else refuses(data + b'xx', '2 bytes behind')


@pytest.mark.parametrize(('data', 'why'), [
    (b'', 'no value: '), (b'i1', 'no value'), (b'q1:', 'no value'), (b'i:', 'no value'), (b'ix:', 'no value'),
    (b'b2:a', 'beyond the end'), (b'b-1:', 'beyond the end'), (b'u5:abc', 'beyond the end'),
    (b'f7:1234567', 'no value'),
    (b'f9:123456789', 'no value'), (b't1:', 'more values than bytes'), (b't2:n0:', 'more values than bytes'),
    (b'l-1:', 'more values than bytes'), (b'd1:n0:', 'a key without a value'), (b'd3:n0:n0:n0:', 'a key without'),
    (b'd2:l0:n0:', 'no value'), (b'x0:', 'no value'), (b'u1:\xff', 'no value'),
])  # fmt: skip
def test_what_is_no_value_is_refused(data: bytes, why: str) -> None:
    refuses(data, why)


def test_a_number_has_an_end_within_reach() -> None:
    digits = 1 << 20
    assert decode(b'b' + b'0' * (digits - 2) + b':') == b''
    refuses(b'b' + b'0' * (digits - 1) + b':', 'no value')


@pytest.mark.parametrize('size', [0, 1, 300])
def test_large_bytes_are_taken_from_where_they_were_read(size: int) -> None:
    data = b'x' * size
    body = encode(data)
    assert decode(memoryview(body)) == data
    assert type(decode(memoryview(body))) is bytes
    refuses(memoryview(body + b'x'), 'behind a value')     # type: ignore[arg-type]
    refuses(memoryview(body)[:-1] if size else memoryview(b'b1:'), 'beyond the end')   # type: ignore[arg-type]
    assert decode(memoryview(b'u' + body[1:])) == 'x' * size


def test_depth_has_a_bound_and_what_lies_beside_does_not_count() -> None:
    assert decode(b'l1:' * DEEPEST + b'n0:')
    with pytest.raises(TooDeep, match='more than %d levels deep' % DEEPEST):
        decode(b'l1:' * (DEEPEST + 1) + b'n0:')
    beside = b'l1:' * (DEEPEST - 1) + b'n0:'
    assert decode(b'l3:' + beside * 3)
    refuses(b't1:' * DEEPEST + b'q0:', 'no value')


def test_without_room_on_the_stack_a_value_is_too_deep() -> None:
    def below(levels: int) -> Any:
        return below(levels - 1) if levels else decode(b'l1:' * 190 + b'n0:')

    frame, used = sys._getframe(), 0
    while frame is not None:
        frame, used = frame.f_back, used + 1  # type: ignore[assignment]
    with pytest.raises(TooDeep, match='too deeply: send it in parts'):
        below(sys.getrecursionlimit() - used - 60)


# -- time --------------------------------------------------------------------


class Clock:
    looks = 0

    def __call__(self) -> None:
        self.looks += 1


@pytest.mark.parametrize(('count', 'looks'), [(1, 0), (500, 0), (501, 1), (1000, 1), (1001, 1), (1501, 2), (5000, 5)])
def test_the_clock_is_looked_at_as_values_come(count: int, looks: int) -> None:
    clock = Clock()
    assert decode(series('l', [None] * count), None, clock) == [None] * count
    assert clock.looks == looks


def test_short_lists_count_together() -> None:
    clock = Clock()
    decode(encode([[None] * 9] * 450), None, clock)
    assert 7 < clock.looks < 11


def test_the_clock_is_looked_at_for_each_rich_value() -> None:
    clock = Clock()
    assert decode(encode([uuid.UUID(int=5)] * 7), None, clock) == [uuid.UUID(int=5)] * 7
    assert clock.looks == 7


# -- rich values -------------------------------------------------------------


def rich(*parts: Any) -> bytes:
    return series('x', parts)


@pytest.mark.parametrize(('parts', 'value'), [
    (('complex', 1.0, -2.0), 1 - 2j), (('set', 1, 2), {1, 2}), (('frozenset', 1), frozenset([1])), (('set',), set()),
    (('date', 2000, 2, 29), datetime.date(2000, 2, 29)), (('timedelta', 1, 2, 3), datetime.timedelta(1, 2, 3)),
    (('decimal', '1.50'), decimal.Decimal('1.50')), (('uuid', 'f' * 32), uuid.UUID(int=(1 << 128) - 1)),
    (('path', '/a'), Path('/a')),
    (('posixpath', '/a'), PurePosixPath('/a')), (('windowspath', 'c:/a'), PureWindowsPath('c:/a')),
    (('range', 1, 9, 2), range(1, 9, 2)), (('ipaddress.IPv4Address', '1.2.3.4'), ipaddress.ip_address('1.2.3.4')),
    (('datetime', 2000, 1, 2, 3, 4, 5, 6, None, 0), datetime.datetime(2000, 1, 2, 3, 4, 5, 6)),
    (('datetime', 2000, 1, 2, 3, 4, 5, 6, None, 1), datetime.datetime(2000, 1, 2, 3, 4, 5, 6, fold=1)),
    (('time', 3, 4, 5, 6, None, 0), datetime.time(3, 4, 5, 6)),
    (('time', 3, 4, 5, 6, None, 1), datetime.time(3, 4, 5, 6, fold=1)),
    (('time', 3, 4, 5, 6, (-60, 'here', None), 0),
     datetime.time(3, 4, 5, 6, datetime.timezone(datetime.timedelta(minutes=-1), 'here'))),
])  # fmt: skip
def test_each_rich_value_is_made(parts: Any, value: Any) -> None:
    found = decode(rich(*parts))
    assert found == value
    assert repr(found) == repr(value)
    assert type(found) is type(value)
    refuses(rich(*parts) + b'x', 'behind')


@pytest.mark.parametrize('parts', [
    ('complex', '1'), ('complex', b'1'), ('complex', 1.0, '2'), ('date', '2000'), ('date', b'\x07\xd0\x01\x02'),
    ('datetime', b'\x07\xd0\x01\x02\x03\x04\x05\0\0\0'), ('time', b'\x01\x02\x03\0\0\0'), ('timedelta', 'x'),
    ('decimal', 1), ('decimal', (0, (1,), 0)), ('decimal',), ('decimal', '1', None), ('uuid', None), ('uuid', '1', '2'),
    ('path', 5), ('path', '/a', 'b'), ('path', b'/a'), ('path',),
    ('posixpath', 5), ('posixpath',), ('windowspath', b'x'), ('secret', 5), ('secret', 'a', 'b'), ('nothing', 1),
    (None,),
    (5, 1), ((), 1), ('context', 1), ('channel', 1), ('type', 'a', 'b', 'c'),
])  # fmt: skip
def test_what_no_rich_value_is_made_of_is_refused(parts: Any) -> None:
    refuses(rich(*parts), 'no value')


@pytest.mark.parametrize(('size', 'fits'), [(values.LONGEST, True), (values.LONGEST + 1, False)])
def test_an_address_has_a_longest_text(size: int, fits: bool) -> None:
    address = 'fe80::1%' + 'a' * (size - 8)
    if fits:
        assert str(decode(rich('ipaddress.IPv6Address', address))) == address
    else:
        refuses(rich('ipaddress.IPv6Address', address), 'made of a long text')


def test_a_secret_is_made_again() -> None:
    secret = decode(rich('secret', 'word'))
    assert type(secret) is econtext.Secret
    assert secret.reveal() == 'word'


def test_contexts_and_channels_are_made_by_who_decodes() -> None:
    assert decode(rich('context', 1, 'a'), Owner()) == ('made', 'context', 1, 'a')
    assert decode(rich('channel', 5), Owner()) == ('made', 'channel', 5)


# -- collisions --------------------------------------------------------------

PRIME = sys.hash_info.modulus


def crowd(count: int, others: int = 0) -> list[int]:
    """`count` keys of one hash, among others."""
    return [number * PRIME for number in range(count)] + list(range(1, others + 1))


@pytest.mark.parametrize(('keys', 'fits'), [
    (crowd(32), True), (crowd(33), False), (crowd(32, 1), True), (crowd(200), False),
    # On the average each may collide with so many: 33 * 33 + 1 <= 32 * 34.
    (crowd(33, 1), False), (crowd(33, 2), True), (crowd(64, 66), False), (crowd(64, 67), True),
    (list(range(1000)), True), (crowd(64, 30), False), (crowd(64, 100), True),
])  # fmt: skip
def test_keys_that_collide_are_refused_where_it_takes_long(keys: list[int], fits: bool) -> None:
    bodies = [series('d', [part for key in keys for part in (key, None)]), rich('set', *keys)]
    if fits:
        assert decode(bodies[0]) == dict.fromkeys(keys)
    else:
        refuses(bodies[0], 'chosen to collide')
    if len(keys) not in (33, 34, 130):  # the name is among the parts of a set
        if fits:
            assert decode(bodies[1]) == set(keys)
        else:
            refuses(bodies[1], 'chosen to collide')


# -- registered classes ------------------------------------------------------

PLACE = Even.__module__, 'Even'


def test_a_registered_value_is_made_for_who_has_classes() -> None:
    assert decode(encode(Even(4)), Owner()) == Even(4)
    refuses(encode(Even(4)), 'no value')


def test_what_a_constructor_refuses_is_an_error_of_the_call() -> None:
    body = encode(Even(4)).replace(b'i4:', b'i5:')
    with pytest.raises(Refused) as caught:
        decode(body, Owner())
    assert caught.value.kind == 'LookupError'
    assert isinstance(caught.value.cause, LookupError)
    assert str(caught.value) == f'holds a value that {Even.__module__}.Even refuses: 5 is odd'


def test_a_class_that_is_not_registered_is_an_error_of_the_call() -> None:
    with pytest.raises(Refused) as caught:
        decode(rich('type', 'app', 'Thing' + 'x' * 300, None), Owner())
    assert caught.value.kind == 'TypeError'
    assert caught.value.cause is None
    assert str(caught.value) == (
        "holds a value of the class '%s', which is not registered here: import the module "
        'whose econtext.register names it, or have a dict sent' % ('app.Thing' + 'x' * 191))


@pytest.mark.parametrize('parts', [
    (5, 'Even', None), (PLACE[0], 5, None), (PLACE[0], None, None), (None, None, None), PLACE, (),
    (*PLACE, None, 1, 2)])  # fmt: skip
def test_a_class_without_a_name_is_refused(parts: Any) -> None:
    refuses(rich('type', *parts), 'no value', Owner())


def test_the_errors_of_honest_values_have_their_kinds() -> None:
    assert Unusable('x').kind == TooDeep('x').kind == 'ValueError'
    assert Unusable('x').cause is None
    assert (Refused('x').kind, Refused('x').cause) == ('TypeError', None)


def test_what_is_no_fault_of_the_bytes_is_none() -> None:
    class Broken:
        def make(self, *args: Any) -> Any:
            raise MemoryError

    with pytest.raises(MemoryError):
        decode(rich('context', 1), Broken())


def test_a_tag_is_one_byte() -> None:
    refuses(b':' + tagged('n', 0), 'no value')


@pytest.mark.parametrize('data', [b'', b'x', b'a:b:' * 3, b'x' * 0x2a, b':' * 0xabc, b'x' * (1 << 17)], ids=len)
def test_bytes_in_a_buffer_are_copied_once(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """A buffer that holds bytes alone is not copied whole, for a decoder, before they are copied out of it."""
    body = encode(data)
    monkeypatch.setattr(values, 'Decoder', None)
    assert decode(memoryview(body)) == data
    with pytest.raises(TypeError):
        decode(body)


def test_in_crowds_of_that_many_keys_may_collide() -> None:
    crowds = [number + PRIME * each for number in (1, 2) for each in range(values.CROWDED)]
    values.spread(crowds)
    with pytest.raises(ValueError, match='chosen to collide'):
        values.spread([*crowds, 1 + PRIME * values.CROWDED])


def nested(levels: int) -> bytes:
    return b'l1:' * levels + b'n0:'


def test_what_stands_beside_a_value_is_as_deep_as_it_was() -> None:
    """A level counts once: what ended before neither lets more levels in, nor takes some away."""
    for before, levels in ((nested(1), 1), (nested(50), 1), (nested(1) * 3, 1)):
        fits = b'l%x:' % (before.count(b'n') + 1) + before
        decode(fits + nested(DEEPEST - levels))
        with pytest.raises(TooDeep):
            decode(fits + nested(DEEPEST - levels + 1))
        decode(b'l1:' + fits + nested(DEEPEST - levels - 1))
        with pytest.raises(TooDeep):
            decode(b'l1:' + fits + nested(DEEPEST - levels))
