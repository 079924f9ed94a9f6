"""Downwards goes what every Python can read: never code, never what contains itself."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import marshal
import types
import uuid
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import econtext
from econtext.child import rich
from econtext.controller.protocol import values
from econtext.controller.protocol.values import encode, encode_call

pytestmark = pytest.mark.deadline(600)  # many examples take their time


def arrived(data: bytes) -> Any:
    """What a child makes of it."""
    value = marshal.loads(data)
    if type(value) is tuple and value[:1] == (...,):
        value = rich.restore(None, value[1])
    return value


LEAVES: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False) | st.binary(max_size=20) | st.text()
    | st.datetimes() | st.dates() | st.timedeltas() | st.decimals(allow_nan=False) | st.uuids()
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4)
    | st.lists(inner, max_size=4).map(tuple)
    | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_round_trip(value: Any) -> None:
    found = arrived(encode(value, 'f'))
    assert found == value
    assert type(found) is type(value)


@given(st.lists(VALUES, max_size=3), st.dictionaries(st.text(), VALUES, max_size=3))
def test_a_call(args: list[Any], kwargs: dict[str, Any]) -> None:
    data = encode_call('module', 'name', tuple(args), kwargs)
    assert arrived(data) == ('module', 'name', tuple(args), kwargs)


class Colour(str, enum.Enum):
    RED = 'red'


Point = collections.namedtuple('Point', 'x y')


@econtext.register
@dataclasses.dataclass
class Registered:
    name: str


@pytest.mark.parametrize(('value', 'there'), [
    (Colour.RED, 'red'), (Point(1, 2), (1, 2)), (collections.OrderedDict(a=1), {'a': 1}),
    (bytearray(b'x'), b'x'), ({1, 2}, {1, 2}), (frozenset('a'), frozenset('a')),
    (PurePosixPath('/x'), PurePosixPath('/x')), (uuid.UUID(int=5), uuid.UUID(int=5)),
    (decimal.Decimal('1.50'), decimal.Decimal('1.50')), (datetime.date(2000, 1, 2), datetime.date(2000, 1, 2)),
    (True, True), ('c', 'c'), (b'c' * 100, b'c' * 100),
])
def test_subclasses_arrive_as_listed_types(value: Any, there: Any) -> None:
    for wrap in (lambda v: v), (lambda v: [v]), (lambda v: {'k': v}), (lambda v: (v, v)):
        found = arrived(encode(wrap(value), 'f'))
        assert found == wrap(there)
        assert type(arrived(encode(value, 'f'))) is type(there)


CODE = test_round_trip.__code__


def holders(value: Any) -> list[Any]:
    return [value, [value], (value,), {'k': value}, {'k': [(value,)]}, [[[[value]]]], {value: 1}, frozenset([value])]


@pytest.mark.parametrize('value', [
    CODE, test_a_call, len, Colour, object(), types, (lambda: 0), iter(()),
], ids=lambda value: type(value).__name__)
def test_refused_wherever_it_is(value: Any) -> None:
    for holder in holders(value):
        with pytest.raises(TypeError, match=r'^web\.f: .*cannot cross'):
            encode(holder, 'web.f')


@pytest.mark.parametrize('rest', [uuid.UUID(int=1), {1}, 'c', None], ids=repr)
def test_code_beside_other_values(rest: Any) -> None:
    for value in [rest, CODE], {'k': CODE, 'r': rest}, (CODE, rest):
        with pytest.raises(TypeError, match='code cannot cross'):
            encode(value, 'f')


def test_what_contains_itself() -> None:
    ring: list[Any] = []
    ring.append(ring)
    table: dict[str, Any] = {}
    table['k'] = [table]
    for value in ring, table, (ring,), [uuid.UUID(int=1), ring], [ring, CODE]:
        with pytest.raises(ValueError, match='contains itself'):
            encode(value, 'f')


def test_what_is_too_deep() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ValueError, match='too deeply'):
        encode(value, 'f')


# -- the version that the Python there reads ---------------------------------


@pytest.mark.parametrize(('python', 'version'), [
    ((), 1), ((2, 4), 1), ((2, 4, 6), 1), ((2, 5), 2), ((2, 5, 0), 2), ((2, 6), 2), ((3, 12, 1), 2)])  # fmt: skip
def test_before_2_5_python_reads_version_1(python: tuple[int, ...], version: int) -> None:
    assert values.version_for(python) == version


def test_our_own_values_are_read_by_every_python() -> None:
    assert values.plainest(('a', 1.5)) == marshal.dumps(('a', 1.5), 1) != marshal.dumps(('a', 1.5), 2)


class There:
    """A context that reads one version of marshal, and has no module yet."""

    def __init__(self, version: int) -> None:
        self.marshal_version = version
        self.complete: set[str] = set()
        self.pushed: list[str] = []
        self.broker = self

    def name_of(self, function: Any, streamed: Any = False) -> tuple[str, str]:
        return function.__module__, function.__qualname__

    def may_have(self, module: str) -> None:
        self.pushed.append(f'{module}?')

    def push(self, *modules: str) -> None:
        self.pushed.append(modules[0])


@pytest.mark.parametrize('value', [
    1.5, [1.5], {'a': 1.5}, (Ellipsis,)[:0], {1, 2}, [{'a': frozenset([1])}],
    {(1, 2): {3}}])  # fmt: skip
def test_python_2_4_gets_what_it_reads(value: Any) -> None:
    for version in 1, 2:
        for context in [There(version), None][:3 - version]:
            data = encode(value, 'f', context)
            assert arrived(data) == value
            call = encode_call('m', 'f', (value,), {'k': value}, context)
            assert arrived(call) == ('m', 'f', (value,), {'k': value})
            if version == 1:
                # Neither a set nor a binary float is in it.
                for body in data, call:
                    assert marshal.dumps(marshal.loads(body), 1) == body
                    assert not holds(marshal.loads(body), (set, frozenset))
            elif not holds(value, (set, frozenset)):
                assert data == marshal.dumps(value, 2)


def holds(value: Any, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, kinds):
        return True
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return isinstance(value, (tuple, list)) and any(holds(item, kinds) for item in value)


@pytest.mark.parametrize('levels', [199, 200, 201, 202])
@pytest.mark.parametrize('wrap', [lambda value: [value], lambda value: (value,), lambda value: {'k': value}])
@pytest.mark.parametrize('leaf', [1, uuid.UUID(int=1), 'c' * 700])
def test_values_are_two_hundred_levels_deep_at_most(levels: int, wrap: Any, leaf: Any) -> None:
    value = leaf
    for _ in range(levels - (type(leaf) is uuid.UUID)):
        value = wrap(value)
    if levels <= 200:
        assert arrived(encode(value, 'f')) == value
        assert arrived(encode_call('m', 'f', (value,), {'k': value})) == ('m', 'f', (value,), {'k': value})
        return
    with pytest.raises(ValueError, match='f: a value is nested too deeply'):
        encode(value, 'f')
    for args, kwargs in ((value,), {}), ((), {'k': value}):
        with pytest.raises(ValueError, match=r'm\.f: a value is nested too deeply'):
            encode_call('m', 'f', args, kwargs)


@pytest.mark.parametrize('value', [(...,), (..., 1), (..., 'set', 1)])
def test_what_we_mark_is_no_value(value: Any) -> None:
    with pytest.raises(TypeError, match=r'f: a builtins\.ellipsis cannot cross'):
        encode(value, 'f')
    assert arrived(encode([value], 'f')) == [value]    # in there nothing is taken for ours


def test_code_is_refused_where_it_stands_in_a_call() -> None:
    for args, kwargs in ((CODE,), {}), ((), {'k': CODE}), (([CODE],), {}), ((1, {CODE}), {'k': 1}), (({CODE: 1},), {}):
        with pytest.raises(TypeError, match=r'm\.f: a builtins\.code cannot cross'):
            encode_call('m', 'f', args, kwargs)
    with pytest.raises(TypeError, match=r'm\.f: a builtins\.object cannot cross'):
        encode_call('m', 'f', (object(),), {})


@pytest.mark.parametrize('version', [1, 2])
def test_code_in_a_set_is_refused_for_every_python(version: int) -> None:
    for value in {CODE}, frozenset([CODE]), [1, {(CODE,)}], {'k': frozenset([(1, CODE)])}, ({1: {CODE}},):
        with pytest.raises(TypeError, match=r'f: a builtins\.code cannot cross'):
            encode(value, 'f', There(version))
        with pytest.raises(TypeError, match=r'm\.f: a builtins\.code cannot cross'):
            encode_call('m', 'f', (value,), {}, There(version))
    assert arrived(encode(({}, {1}, [{}], 'c'), 'f', There(version))) == ({}, {1}, [{}], 'c')


@pytest.mark.parametrize('data', [b'', b'x', bytes(range(256)) * 300])
def test_bytes_behind_their_head_are_one_value(data: bytes) -> None:
    """As every Python reads it: marshal's letter of bytes, and four bytes of the size, the least first."""
    head = values.head_of_bytes(len(data))
    assert head[:1] == b's'
    assert len(head) == 5
    assert marshal.loads(head + data) == data


@pytest.mark.parametrize('version', [1, 2])
@pytest.mark.parametrize('argument', [1.5, [1.5, {1}], [1.5, decimal.Decimal(1)], [1.5, 'c' * 700]])
def test_a_call_is_written_as_its_context_reads_it(argument: Any, version: int) -> None:
    data = encode_call('m', 'f', (argument,), {'k': argument}, There(version))
    found = marshal.loads(data)
    assert data == marshal.dumps(found, version)
    assert holds(found, (set,)) == (version == 2 and argument == [1.5, {1}])
    assert arrived(data) == ('m', 'f', (argument,), {'k': argument})


def test_python_2_4_gets_sets_in_a_call_of_two_hundred_levels() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    for args in (deep, {1}), (deep, 'c', {1}):
        assert arrived(encode_call('m', 'f', args, {}, There(1))) == ('m', 'f', args, {})
    with pytest.raises(ValueError, match=r'm\.f: a value is nested too deeply'):
        encode_call('m', 'f', ([deep], {1}), {}, There(1))


def test_a_function_goes_by_the_name_that_its_context_finds_once_it_has_the_module() -> None:
    there = There(2)
    found = marshal.loads(encode([arrived, Colour], 'f', there))
    assert found == (..., [(..., 'function', __name__, 'arrived'), (..., 'function', __name__, 'Colour')])
    assert there.pushed == [f'{__name__}?', __name__] * 2
    there.complete.add(__name__)
    there.pushed.clear()
    found = marshal.loads(encode_call('m', 'f', (arrived,), {}, there))
    assert found[1][2] == ((..., 'function', __name__, 'arrived'),)
    assert there.pushed == []


def test_a_value_of_a_registered_class_goes_once_its_context_has_the_module() -> None:
    there = There(2)
    value = Registered('x')
    assert marshal.loads(encode([value], 'f', there))[1][0][:3] == (..., 'type', __name__)
    assert there.pushed == [f'{__name__}?', __name__]
    assert marshal.loads(encode([value], 'f'))[1][0][:3] == (..., 'type', __name__)     # of nobody nothing is asked
