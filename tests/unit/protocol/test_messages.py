"""What contexts say of themselves: each message is read whole, within its bounds, or refused."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.controller.protocol import flat, messages
from econtext.core.codec import encode, series, tagged
from econtext.core.wire import BadFrame

MOST = 1 << 62
STEERS = 'a\x1b[2Jb'
HARMLESS = 'a\\x1b[2Jb'


def old(text: bytes) -> bytes:
    """A str of Python 2."""
    return tagged('s', len(text), text)


def message(*parts: Any) -> bytes:
    """Encode a tuple; what is given in bytes of type `Raw` stands there as it is."""
    return tagged('t', len(parts), b''.join(part if type(part) is Raw else encode(part) for part in parts))


class Raw(bytes):
    """Bytes of a message, as they are to stand there."""


def refuses(reader: Callable[[bytes], Any], body: bytes, why: str | None = None) -> None:
    with pytest.raises(BadFrame, match=why):
        reader(body)


# -- HELLO -------------------------------------------------------------------

GREETING = '3.11.7 (main)\n[GCC]', (3, 11, 7), b'magic', '/bin/python', 5, None


def test_a_greeting_is_read() -> None:
    said = messages.hello(encode(GREETING))
    assert said == ('3.11.7 (main)\n[GCC]', (3, 11, 7), b'magic', '/bin/python', 5, '')
    assert said.version == GREETING[0]
    assert said.numbers == (3, 11, 7)
    assert (said.magic, said.executable, said.pid, said.trouble) == (b'magic', '/bin/python', 5, '')


def test_a_greeting_may_lack_what_python_does_not_know() -> None:
    assert messages.hello(encode(('2.4', (2, 4, 0), b'', None, 5, 'no prctl'))) == (
        '2.4', (2, 4, 0), b'', '', 5, 'no prctl')


def test_the_magic_number_of_python_2_is_its_str() -> None:
    body = message('2.7', (2, 7, 1), Raw(old(b'\x03\xf3')), '/p', 5, None)
    assert messages.hello(body).magic == '\x03\udcf3'


@pytest.mark.parametrize('place', [0, 3, 5])
def test_nothing_in_a_greeting_steers_a_terminal(place: int) -> None:
    parts: list[Any] = list(GREETING)
    parts[place] = STEERS
    said = messages.hello(encode(tuple(parts)))
    assert said[place] == HARMLESS


@pytest.mark.parametrize('number', [MOST + 1, -MOST - 1])
@pytest.mark.parametrize('place', ['major', 'minor', 'micro', 'pid'])
def test_a_greeting_with_numbers_beyond_all_numbers_is_refused(place: str, number: int) -> None:
    numbers = [3, 11, 7]
    pid = 5
    if place == 'pid':
        pid = number
    else:
        numbers[['major', 'minor', 'micro'].index(place)] = number
    refuses(messages.hello, encode(('3.11', tuple(numbers), b'', '/p', pid, None)), 'too large')
    near = MOST if number > 0 else -MOST
    numbers = [near if each == number else each for each in numbers]
    assert messages.hello(encode(('3.11', tuple(numbers), b'', '/p', near if pid == number else pid, None)))


@pytest.mark.parametrize('version', ['', ' ', '\n\t'])
def test_a_python_has_a_version(version: str) -> None:
    refuses(messages.hello, encode((version, *GREETING[1:])), 'no version')


# -- WANT --------------------------------------------------------------------


@pytest.mark.parametrize('here', ['file.txt', '', True, False])
def test_a_question_for_a_module_is_read_as_it_came(here: Any) -> None:
    name, found = messages.want(encode((STEERS, here)))
    assert (name, found) == (STEERS, here)
    assert type(found) is type(here)


# -- LOG ---------------------------------------------------------------------


def test_a_record_is_read() -> None:
    assert messages.record(encode(('app', 30, 1.5, 'one\ntwo', 'trace\nback'))) == (
        'app', 30, 1.5, 'one\ntwo', 'trace\nback')
    assert messages.record(encode(('app', 30, 2, '', None))) == ('app', 30, 2.0, '', '')
    assert type(messages.record(encode(('app', 30, 2, '', None)))[2]) is float
    assert messages.record(encode(('app', 30, 2, '', '')))[4] == ''


@pytest.mark.parametrize(('level', 'found'), [
    (0, 0), (-1, 0), (1, 1), (999, 999), (1000, 1000), (1001, 1000), (1 << 60, 1000), (-(1 << 60), 0),
    (20.0, 0), (math.inf, 0), (True, 1)])  # fmt: skip
def test_levels_are_within_bounds(level: Any, found: int) -> None:
    assert messages.record(encode(('app', level, 0.0, '', None)))[1] == found


@pytest.mark.parametrize(('created', 'found'), [
    (0.0, 0.0), (0.5, 0.5), (-0.5, 0.0), (-1, 0.0), ((1 << 40) - 1, float((1 << 40) - 1)), (1 << 40, 0.0),
    (math.inf, 0.0), (-math.inf, 0.0), (math.nan, 0.0)])  # fmt: skip
def test_times_are_within_bounds(created: Any, found: float) -> None:
    assert messages.record(encode(('app', 20, created, '', None)))[2] == found


def test_nothing_in_a_record_steers_a_terminal() -> None:
    assert messages.record(encode((STEERS, 20, 0.0, STEERS, STEERS))) == (HARMLESS, 20, 0.0, HARMLESS, HARMLESS)
    assert messages.record(encode(('a\nb', 20, 0.0, '', None)))[0] == 'a\\x0ab'   # a name has no lines


# -- REPORT ------------------------------------------------------------------

REPORTS: dict[str, list[tuple[Any, ...]]] = {
    'ready': [()],
    'said': [('err', b'\x1b bytes as they are'), ('tty', b'')],
    'ask': [('password', 'Password: ')],
    'failed': [('not-found', 'no such\nfile')],
    'lost': [('why', None, True), ('why', 5, False), ('why', -9, True)],
    'silent': [(1.5,)],
    'buried': [(None,), (0,), (MOST,), (-MOST,)],
}


@pytest.mark.parametrize('event', REPORTS)
def test_a_report_is_read_whole(event: str) -> None:
    for details in REPORTS[event]:
        body = encode((event, *details))
        assert messages.report(body) == (event, *details)
        refuses(messages.report, encode((event, *details, None)), 'another form')
        refuses(messages.report, body + b'x', 'behind')
        if details:
            refuses(messages.report, encode((event, *details[:-1])), 'another form')


def test_there_are_no_other_events() -> None:
    assert set(messages.EVENTS) == set(REPORTS)
    for name in ('', 'Ready', 'gone'):
        refuses(messages.report, encode((name,)), 'nothing we know')
    refuses(messages.report, encode(()), 'another form')
    refuses(messages.report, encode(('lost', 'why', None, True, True)), 'another form')
    refuses(messages.report, encode([]), 'other types')


@pytest.mark.parametrize('number', [MOST + 1, -MOST - 1])
def test_a_report_with_numbers_beyond_all_numbers_is_refused(number: int) -> None:
    refuses(messages.report, encode(('buried', number)), 'too large')
    refuses(messages.report, encode(('lost', 'why', number, True)), 'too large')


def test_what_a_program_said_are_bytes_also_from_python_2() -> None:
    body = message('said', 'err', Raw(old(b'\xff\x1b')))
    assert messages.report(body) == ('said', 'err', b'\xff\x1b')


@pytest.mark.parametrize(('event', 'details', 'found'), [
    ('ask', (STEERS, STEERS), (HARMLESS, HARMLESS)), ('failed', (STEERS, 'a\nb'), (HARMLESS, 'a\nb')),
    ('lost', (STEERS, 1, True), (HARMLESS, 1, True))])  # fmt: skip
def test_nothing_in_a_report_steers_a_terminal(event: str, details: Any, found: Any) -> None:
    assert messages.report(encode((event, *details))) == (event, *found)


# -- ERROR of a cast ---------------------------------------------------------


@pytest.mark.parametrize('rest', [([], None), ([], None, {}), (['x'], ('a',), {'b': 1})])
def test_a_failure_is_its_traceback(rest: Any) -> None:
    assert messages.failure(encode(('E', 'm', 'trace\n' + STEERS, *rest))) == 'trace\n' + HARMLESS


@pytest.mark.parametrize('value', [
    ('E', 'm', 'trace', []), ('E', 'm', 'trace', [], None, {}, 1), ('E', 'm', 5, [], None), (5, 'm', 't', [], None),
    ('E', None, 't', [], None), ['E', 'm', 'trace', [], None], 'trace'])  # fmt: skip
def test_what_is_no_failure_is_refused(value: Any) -> None:
    refuses(messages.failure, encode(value))


@pytest.mark.parametrize(('reader', 'value'), [
    (messages.report, ('ready',)), (messages.failure, ('E', 'm', 'trace', [], None)), (messages.want, ('app', True)),
])  # fmt: skip
def test_a_message_is_a_tuple(reader: Any, value: Any) -> None:
    body = encode(value)
    reader(body)
    for tag in b'Xlduxn':
        refuses(reader, bytes([tag]) + body[1:], 'other types')


# -- CREDIT ------------------------------------------------------------------


@pytest.mark.parametrize(('body', 'amount'), [(b'1', 1), (b'ff', 255), (b'10000', 65536)])
def test_credit_is_read(body: bytes, amount: int) -> None:
    assert messages.credit(body) == amount
    assert messages.credit(memoryview(body)) == amount  # type: ignore[arg-type]


@pytest.mark.parametrize('body', [b'', b'0', b'-1', b'x', b'1.0', b'\xff', '١'.encode()])
def test_credit_that_is_none_is_refused(body: bytes) -> None:
    refuses(messages.credit, body, 'none')


# -- the reader --------------------------------------------------------------


@pytest.mark.parametrize('body', [
    b'', b':', b't', b't0', b't5', b't1:', b't1:i', b't1:u5:abc', b't1:u-1:', b't1:b2:x', b't1:ux:a', b't-1:',
    b't1:f7:1234567', b't1:f9:123456789', b't1:u1:\xff', b't1:' + b'i' + b'1' * 19 + b':'])  # fmt: skip
def test_what_breaks_off_is_refused(body: bytes) -> None:
    shape = flat.TEXT + flat.BYTES + flat.NUMBER + flat.NOTHING
    refuses(lambda body: flat.read(body, shape), body)


def test_a_number_has_eighteen_digits_at_most() -> None:
    assert flat.read(b't1:i' + b'f' * 18 + b':', flat.INTEGER) == [(1 << 72) - 1]
    refuses(lambda body: flat.read(body, flat.INTEGER), b't1:i' + b'f' * 19 + b':', 'too long')
    assert flat.read(b't1:i-' + b'f' * 17 + b':', flat.INTEGER) == [-(1 << 68) + 1]


KINDS: dict[str, tuple[Any, bytes]] = {
    'n': (None, b'n0:'), 'o': (True, b'o1:'), 'i': (7, b'i7:'), 'f': (1.5, b'f8:' + struct.pack('>d', 1.5)),
    'u': ('ä', b'u2:\xc3\xa4'), 's': ('\udcff', b's1:\xff'), 'b': (b'\xff', b'b1:\xff'),
}  # fmt: skip


@pytest.mark.parametrize('tag', [*KINDS, 't', 'l', 'd', 'x', 'z'])
@pytest.mark.parametrize('wanted', [flat.TEXT, flat.BYTES, flat.NOTHING, flat.FLAG, flat.INTEGER, flat.NUMBER])
def test_a_value_has_a_tag_that_was_asked_for(tag: str, wanted: bytes) -> None:
    value, body = KINDS.get(tag, (None, tag.encode() + b'0:'))
    if tag.encode() in wanted:
        (found,) = flat.read(b't1:' + body, wanted)
        assert found == value
        assert type(found) is type(value)
    else:
        refuses(lambda body: flat.read(body, wanted), b't1:' + body, 'other types')


def test_a_shape_is_held() -> None:
    shape = flat.TEXT, (flat.INTEGER, flat.INTEGER)
    assert flat.read(encode(('a', (1, 2))), *shape) == ['a', (1, 2)]
    for value in ('a', (1,)), ('a', (1, 2, 3)), ('a',), ('a', (1, 2), 3), ('a', [1, 2]):
        refuses(lambda body: flat.read(body, *shape), encode(value))


@pytest.mark.parametrize('body', [b'X1:i1:', b't1:X1:i1:', b'X1:t1:i1:'])
def test_a_tuple_has_one_tag(body: bytes) -> None:
    for shape in flat.INTEGER, (flat.INTEGER,):
        refuses(lambda body, shape=shape: flat.read(body, shape), body, 'other types')    # type: ignore[misc]


@pytest.mark.parametrize('size', [-1, 3, 1 << 60])
def test_no_more_is_taken_than_is_there(size: int) -> None:
    reader = flat.Reader(b'ab')
    with pytest.raises(BadFrame, match='breaks off'):
        reader.take(size)
    assert reader.take(2) == b'ab'
    reader.end()


def test_a_count_is_within_its_bounds() -> None:
    for count, fits in ((1, False), (2, True), (4, True), (5, False)):
        reader = flat.Reader(series('t', [None] * count))
        if fits:
            assert reader.series(b't', 2, 4) == count
        else:
            with pytest.raises(BadFrame, match='form'):
                reader.series(b't', 2, 4)


def test_texts_hold_lone_surrogates() -> None:
    assert flat.read(encode(('\ud800',)), flat.TEXT) == ['\ud800']


@given(st.tuples(st.text(), st.binary(), st.integers(-(1 << 60), 1 << 60)))
def test_pieces_follow_each_other(value: tuple[Any, ...]) -> None:
    assert tuple(flat.read(memoryview(encode(value)), flat.TEXT, flat.BYTES, flat.INTEGER)) == value
