"""What the thread that leads reads is judged by its shape before anything is made of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.scenarios.decode import many, moment, rich, series, text, whole
from econtext.child import rich as riches
from econtext.controller.protocol import flat, messages
from econtext.core.codec import encode
from econtext.core.wire import BadFrame
from econtext.parent import values
from lab import no_collection

SIZE = 900_000
HELLO = '3.11.7', (3, 11, 7), b'abcd', '/bin/python', 5, None
READERS: dict[Callable[[bytes], Any], tuple[Any, ...]] = {
    messages.hello: HELLO,
    messages.want: ('app', False),
    messages.record: ('app', 20, 1.5, 'text', None),
    messages.report: ('lost', 'why', None, True),
    messages.failure: ('ValueError', 'message', 'trace', [], None, {}),
}
HEAVY = {
    'times of no zone': many(SIZE, lambda n: moment('A%x' % n)),
    'tables': many(SIZE, lambda n: b'd0:'),
    'lists in lists': b'l1:' * (SIZE // 3) + b'n0:',
    'a set': rich('set', *[whole(n) for n in range(SIZE // 10)]),
    'a number of a million digits': b'i' + b'f' * SIZE + b':',
}


@pytest.mark.parametrize('heavy', HEAVY)
@pytest.mark.parametrize(('reader', 'place'), [
    (reader, place) for reader, value in READERS.items() for place in range(len(value))])
def test_nothing_heavy_is_made_of_what_a_context_says_of_itself(
    reader: Callable[[bytes], Any], place: int, heavy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reader is messages.failure and place > 2:
        pytest.skip('this is for who raises the error, and is not read')
    monkeypatch.setattr(values, 'decode', None)
    monkeypatch.setattr(riches, 'make', None)
    parts = [encode(part) for part in READERS[reader]]
    parts[place] = HEAVY[heavy]
    with no_collection():
        began = time.thread_time()
        with pytest.raises(BadFrame):
            reader(series('t', parts))
        assert time.thread_time() - began < 0.05


@pytest.mark.parametrize('reader', READERS)
def test_what_an_honest_context_says_is_read(reader: Callable[[bytes], Any]) -> None:
    assert reader(encode(READERS[reader]))


@given(st.tuples(st.text(), st.integers(-flat.DIGITS, 1 << 60), st.floats(allow_nan=False), st.binary(), st.none()))
def test_what_is_read_flat_is_what_the_rich_reader_reads(value: tuple[Any, ...]) -> None:
    body = encode(value)
    shape = flat.TEXT, flat.INTEGER, flat.NUMBER, flat.BYTES, flat.NOTHING
    assert tuple(flat.read(body, *shape)) == value == values.decode(body)
    for cut in range(len(body)):
        with pytest.raises(BadFrame):
            flat.read(body[:cut], *shape)
    with pytest.raises(BadFrame, match='behind'):
        flat.read(body + b'x', *shape)


@given(st.binary(max_size=60))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    for reader in READERS:
        try:
            reader(data)
        except BadFrame:
            pass


def test_a_level_beyond_all_levels_is_none() -> None:
    from econtext.child.records import number

    assert [number(10 ** 100), number(-10 ** 100), number(30), number(1e300)] == [0, 0, 30, 1e300]


# -- zones -------------------------------------------------------------------


def test_zones_of_no_database_do_not_touch_the_disk_each(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    monkeypatch.setattr(riches, 'look_up', lambda key: looked.append(key))
    monkeypatch.setattr(riches, 'database', lambda: frozenset(['Europe/Berlin']))
    zones = riches.Zones()
    for number in range(10_000):
        assert zones.get('A%x' % number) is None
    assert len(looked) == riches.UNKNOWN
    assert len(zones.found) <= riches.UNKNOWN
    zones.get('Europe/Berlin')
    zones.get('right/Europe/Berlin')
    assert looked[-2:] == ['Europe/Berlin', 'right/Europe/Berlin']


def test_a_zone_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    monkeypatch.setattr(riches, 'look_up', lambda key: looked.append(key) or key)  # type: ignore[func-returns-value]
    zones = riches.Zones()
    assert [zones.get('Europe/Berlin') for _ in range(3)] == ['Europe/Berlin'] * 3
    assert len(looked) == 1


def test_a_key_that_is_a_folder_of_zones_is_no_zone() -> None:
    value = values.decode(moment('Europe'))
    assert value.tzinfo is not None
    assert value.tzname() == 'CET'


# -- the deadline ------------------------------------------------------------


class Over(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize('body', [
    many(SIZE, lambda n: b'n0:'), many(SIZE, lambda n: b'l2:n0:n0:'),
    many(SIZE, lambda n: rich('uuid', text('%032x' % n))),
    series('t', [many(SIZE, lambda n: b'i0:'), b'n0:'])], ids=['flat', 'lists', 'rich', 'inner'])  # fmt: skip
def test_the_clock_is_looked_at_while_a_value_is_made(body: bytes) -> None:
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise Over

    with pytest.raises(Over):
        values.decode(body, None, look)
    looks = 10
    assert values.decode(body, None, look) == values.decode(body)
    assert looks > len(body) / 10 / values.STEP


@pytest.mark.parametrize('name', ['range', 'fraction'])
def test_numbers_that_take_long_to_divide_are_refused(name: str) -> None:
    large = b'i' + b'f' * (SIZE // 3) + b':'
    parts = {'range': (whole(0), b'i' + b'f' * (SIZE * 2 // 3) + b':', large), 'fraction': (large, large)}[name]
    with no_collection():
        began = time.thread_time()
        with pytest.raises(BadFrame):
            values.decode(rich(name, *parts))
        assert time.thread_time() - began < 0.5
    with pytest.raises(TypeError, match='cannot cross'):
        encode(range(0, 1 << 100_000, 3))
