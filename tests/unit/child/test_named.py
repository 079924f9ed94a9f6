"""Values of registered classes arrive equal, made by their constructor; nothing is lost, and nothing else is made."""

from __future__ import annotations

import builtins
import collections
import dataclasses
import enum
import functools
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import econtext
from econtext.child import named
from econtext.child.registry import TYPES
from econtext.controller.protocol.values import encode as encode_down
from econtext.core.codec import encode
from econtext.core.wire import BadFrame
from econtext.parent.values import DEEPEST, Refused, TooDeep, decode
from unit.both_ways import OWNER, WAYS, down, up
from unit.child.registered import (  # noqa: F401 -- the fixture is used by being here
    assert_refused,
    assert_registered_or_bad,
    forgotten,
    said,
)

pytestmark = pytest.mark.deadline(600)  # 2000 examples take their time


@econtext.register
class Colour(enum.Enum):
    RED = 'red'
    BLUE = 'blue'


@econtext.register
class Word(str, enum.Enum):
    YES = 'yes'


@econtext.register
class Permission(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4
    ALL = 7


@econtext.register
class Mode(enum.IntFlag):
    A = 1
    B = 8


@econtext.register
@dataclasses.dataclass(frozen=True)
class Package:
    name: str
    version: Any = None

    def __post_init__(self) -> None:
        if self.name == 'refused':
            raise LookupError(f'{self.name!r} is no package')


@econtext.register
@dataclasses.dataclass(slots=True, kw_only=True, eq=True)
class Slotted:
    left: Any
    right: Any = None


@econtext.register
class Point(typing.NamedTuple):
    x: Any
    y: Any = 0


@econtext.register
class Plain:
    """What it takes it keeps, under other names too."""

    def __init__(self, first: Any, *, second: Any) -> None:
        self.first = first
        self._second = second

    def __eq__(self, other: object) -> bool:
        return type(other) is Plain and vars(other) == vars(self)

    def __hash__(self) -> int:
        return 0


@econtext.register
class Outer:
    @econtext.register
    @dataclasses.dataclass
    class Inner:
        value: Any

    def __init__(self, inner: Any) -> None:
        self.inner = inner


class Celsius(float):
    pass


econtext.register(Celsius, reduce=lambda value: (float(value),))


@econtext.register
class Failed(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


LEAVES = st.none() | st.booleans() | st.integers() | st.text() | st.binary(max_size=9) | st.dates()
HASHABLE = st.recursive(
    LEAVES | st.sampled_from(Colour) | st.sampled_from(Word) | st.integers(0, 7).map(Permission) | st.fractions()
    | st.integers(0, 15).map(Mode),
    lambda inner: st.builds(Package, st.text(max_size=4), inner) | st.builds(Point, inner, inner), max_leaves=5)
VALUES = st.recursive(
    HASHABLE | st.floats(allow_nan=False).map(Celsius),
    lambda inner: st.builds(Package, st.text(max_size=4), inner)
    | st.builds(lambda left, right: Slotted(left=left, right=right), inner, inner)
    | st.builds(lambda first, second: Plain(first, second=second), inner, inner)
    | st.builds(Point, inner, inner) | st.builds(Outer.Inner, inner)
    | st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple)
    | st.dictionaries(HASHABLE, inner, max_size=3) | st.frozensets(HASHABLE, max_size=3),
    max_leaves=10,
)


@given(VALUES)
def test_round_trip(value: Any) -> None:
    for way in up, down:
        found = way(value)
        assert found == value
        assert type(found) is type(value)


@WAYS
def test_a_flag_is_the_very_one(way: Any) -> None:
    for value in (*Permission, Permission(0), Permission.READ | Permission.RUN, ~Permission.READ, Permission.ALL):
        assert way(value) is value
    for number in Mode.A | Mode.B, Mode(0), ~Mode.A, Mode.A | 16:
        assert way([number, {number: 1}]) == [number, {number: 1}]
        assert type(way(number)) is Mode


def test_values_of_a_flag_are_kept_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    class Many(enum.IntFlag):
        A = 1

    Many.__qualname__ = 'Many'
    econtext.register(Many)
    monkeypatch.setattr(named, 'MOST', 20)
    refused = 0
    for value in range(2, 100):
        try:
            decode(said(HERE, 'Many', value), OWNER)
        except Refused:
            refused += 1
    assert len(Many._value2member_map_) <= 21
    assert refused > 70
    assert decode(said(HERE, 'Many', 1), OWNER) is Many.A


@WAYS
def test_an_exception_is_a_value_like_others(way: Any) -> None:
    found = way(Failed(3))
    assert (type(found), found.code, found.args) == (Failed, 3, (3,))


@WAYS
def test_the_constructor_is_called(way: Any) -> None:
    value = Package('fine', 1)
    object.__setattr__(value, 'name', 'refused')
    with pytest.raises((Refused, LookupError), match='is no package'):
        way(value)


@WAYS
def test_a_cached_property_is_no_field(way: Any) -> None:
    @functools.cached_property
    def area(self: Any) -> int:
        return 6

    Package.area = area  # type: ignore[attr-defined]
    try:
        area.__set_name__(Package, 'area')
        value = Package('x')
        assert value.area == 6  # type: ignore[attr-defined]
        assert 'area' in vars(value)
        assert 'area' not in vars(way(value))
    finally:
        del Package.area  # type: ignore[attr-defined]


@econtext.register
@dataclasses.dataclass(frozen=True)
class Keyed:
    key: int
    notes: list[Any] = dataclasses.field(default_factory=list, compare=False)


@WAYS
def test_what_can_be_hashed_may_be_a_key(way: Any) -> None:
    """Also where a field of it could not."""
    key = Keyed(1, ['a'])
    for value in {key: {key}}, {key: [2], 'k': 1}, {frozenset([key, Package('x')])}, Package('x', {(key,): key}):
        assert way(value) == value
    (found,) = way({key})
    assert found.notes == ['a']


# -- what is refused --------------------------------------------------------------


class Unregistered(Package):
    pass


@WAYS
@pytest.mark.parametrize('wrap', [lambda v: v, lambda v: [v], lambda v: Package('x', v), lambda v: {'k': (v,)}])
def test_a_subclass_is_of_another_class(way: Any, wrap: Any) -> None:
    with pytest.raises(TypeError, match=r'Unregistered cannot cross .*econtext\.register'):
        way(wrap(Unregistered('x')))


@WAYS
def test_what_would_be_lost_is_refused(way: Any) -> None:
    value = Plain(1, second=2)
    value.third = 3  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r'attribute third, .*reduce='):
        way(value)
    value = Plain(1, second=2)
    del value.first
    with pytest.raises(TypeError, match=r'takes first, .*reduce='):
        way(value)


@econtext.register
class Private:
    __slots__ = ('__hidden', 'shown')

    def __init__(self, shown: int) -> None:
        self.shown = shown
        self.__hidden = shown + 1


@WAYS
def test_what_a_private_slot_holds_is_not_lost(way: Any) -> None:
    with pytest.raises(TypeError, match='_Private__hidden'):
        way(Private(1))


@WAYS
def test_reduce_must_return_a_tuple(way: Any) -> None:
    @dataclasses.dataclass
    class Wrong:
        value: int

    Wrong.__qualname__ = 'Wrong'
    econtext.register(Wrong, reduce=lambda value: value.value)
    with pytest.raises(TypeError, match='tuple of arguments'):
        way(Wrong(1))


@WAYS
def test_what_contains_itself(way: Any) -> None:
    value = Outer.Inner(None)
    value.value = [value]
    with pytest.raises((ValueError, RecursionError)):
        way(value)


def test_what_its_reduce_raises_is_raised() -> None:
    class Broken(list):  # type: ignore[type-arg]
        pass

    def fail(value: Any) -> Any:
        raise ValueError('mine')

    Broken.__qualname__ = 'Broken'
    econtext.register(Broken, reduce=fail)
    with pytest.raises(ValueError, match=r'^mine$'):
        encode_down(Broken(), 'f')


def local() -> type:
    class Local:
        def __init__(self, a: int) -> None:
            self.a = a
    return Local


class Takes:
    def __init__(self, *args: int) -> None:
        self.args = args


class Positional:
    def __init__(self, a: int, /) -> None:
        self.a = a


class Nothing:
    pass


class Names(list):  # type: ignore[type-arg]
    def __init__(self, owner: str) -> None:
        self.owner = owner


class Queue(collections.deque):  # type: ignore[type-arg]
    def __init__(self, owner: str) -> None:
        self.owner = owner


class Pair(tuple):  # type: ignore[type-arg]
    pass


@dataclasses.dataclass
class Initial:
    a: int
    seed: dataclasses.InitVar[int] = 0


@pytest.mark.parametrize(('kind', 'pair', 'why'), [
    (local(), {}, 'inside a function'), (Takes, {}, 'without a name'), (Positional, {}, 'without a name'),
    (Nothing, {}, 'no __init__'), (Names, {}, r'builtins\.list'),
    (Queue, {}, r'collections\.deque'), (Pair, {}, 'tuple'), (Initial, {}, 'seed'), (dict, {}, 'crosses without'),
    (set, {}, 'crosses without'), (functools, {}, 'no class'), (Takes(), {}, 'no class'),
    (Takes, {'restore': Takes}, 'needs a reduce'),
])
def test_what_cannot_be_registered(kind: Any, pair: dict[str, Any], why: str) -> None:
    before = dict(TYPES)
    with pytest.raises(TypeError, match=why):
        econtext.register(kind, **pair)
    assert before == TYPES


def test_another_class_of_that_name() -> None:
    @dataclasses.dataclass
    class Twice:
        a: int

    Twice.__qualname__ = 'Twice'
    econtext.register(Twice)
    again = dataclasses.dataclass(slots=True)(Twice)
    with pytest.raises(TypeError, match='above all other decorators'):
        encode(again(1))


# -- what a hostile context may say -------------------------------------------------


HERE = __name__


@pytest.mark.parametrize('parts', [
    ('os', 'system', ('id',)), ('antigravity', 'x', {}), (HERE, 'test_round_trip', ()), (HERE, 'Unregistered', {}),
    (HERE, 'Package.__init__', ()), (HERE, 'Takes', ()), ('', '', ()), ('builtins', 'eval', ('1',)),
    (HERE, 'Package', {'name': 'x', 'version': 1}, 'antigravity'),
], ids=repr)
def test_nothing_is_imported_or_looked_up(parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def ours_alone(name: str, *args: Any) -> Any:
        # What makes classes again is imported with the first one.
        assert name == 'econtext.child', name
        return real(name, *args)

    data = said(*parts)
    with monkeypatch.context() as patch:
        patch.setattr('builtins.__import__', ours_alone)
        if len(parts) == 4:
            assert decode(data, OWNER) == Package('x', 1)
            return
        with pytest.raises(Refused, match='not registered here: import the module'):
            decode(data, OWNER)


@pytest.mark.parametrize(('name', 'state'), [
    ('Package', {'name': 'x'}), ('Package', {'name': 'x', 'version': 1, 'more': 2}), ('Package', {'name': 'x', 1: 2}),
    ('Package', ('x', 1)), ('Package', None), ('Point', {'x': 1, 'y': 2}), ('Point', (1, 2, 3)), ('Colour', 'mro'),
    ('Colour', '_generate_next_value_'), ('Colour', 5), ('Colour', {}),
    ('Permission', 8), ('Permission', 'READ'), ('Permission', None), ('Permission', 1.0), ('Permission', True),
    ('Mode', 1 << 2000), ('Mode', '1'), ('Celsius', (1, 2)), ('Celsius', ('x',)),
    ('Package', {'name': 'refused', 'version': 1}), ('Plain', {'self': 1, 'first': 2}),
], ids=repr)
def test_what_does_not_fit_is_an_error_of_the_call(name: str, state: Any) -> None:
    assert_refused(HERE, name, state)


@pytest.mark.parametrize('parts', [
    (), (1, 2, 3), (HERE,), (HERE, 'Package'), (None, None, None), (HERE, 'Package', {}, 1, 2), (b'os', b'system', ()),
])
def test_what_no_honest_context_says(parts: Any) -> None:
    with pytest.raises(BadFrame) as caught:
        decode(said(*parts), OWNER)
    assert not isinstance(caught.value, Refused)


def test_what_is_read_for_nobody_holds_none() -> None:
    """What contexts say of themselves is read by the thread that leads: no code of the application runs there."""
    with pytest.raises(BadFrame) as caught:
        decode(encode(Package('x')))
    assert not isinstance(caught.value, Refused)


def test_depth_counts_as_ever() -> None:
    value: Any = None
    for _ in range(DEEPEST // 2 + 2):
        value = Outer.Inner(value)
    with pytest.raises(TooDeep, match='nested'):
        up(value)


NASTY = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(
    st.sampled_from(['name', 'version', 'left', 'right', 'first', 'second', 'self', 'value', '__class__']), inner))
NAMES = ['Package', 'Slotted', 'Point', 'Plain', 'Outer', 'Outer.Inner', 'Colour', 'Word', 'Permission', 'Mode',
         'Celsius', 'Failed', 'Takes']


@given(st.sampled_from(NAMES) | st.text(max_size=5), NASTY)
def test_any_state(name: str, state: Any) -> None:
    assert_registered_or_bad(HERE, name, state)
