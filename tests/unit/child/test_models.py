"""Values of attrs and pydantic arrive as they were, made by their constructors; what would be lost is refused."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import econtext
from econtext.parent.values import Refused, decode
from unit.both_ways import OWNER, WAYS, down, up
from unit.child.registered import (  # noqa: F401 -- the fixture is used by being here
    assert_refused,
    assert_registered_or_bad,
    forgotten,
    said,
)

attrs = pytest.importorskip('attrs')
pydantic = pytest.importorskip('pydantic')

pytestmark = pytest.mark.deadline(600)  # 2000 examples take their time
HERE = __name__
old: Any = None
with warnings.catch_warnings():
    warnings.simplefilter('ignore')     # it says so where Python is too new for it
    try:
        import pydantic.v1 as old
    except Exception:
        old = None


@econtext.register
@attrs.define
class Defined:
    x: Any
    _y: Any = 2
    zed: Any = attrs.field(default=3, alias='zz', kw_only=True)

    @functools.cached_property
    def cached(self) -> Any:
        return [self.x]


@econtext.register
@attrs.frozen(cache_hash=True, slots=False)
class Frozen:
    x: Any
    y: Any = attrs.field(factory=list, validator=attrs.validators.instance_of(list), hash=False)


@econtext.register
@attrs.define(init=False)
class Own:
    x: int

    def __init__(self, x: int) -> None:
        self.x = x


@econtext.register
@attrs.define
class Error(Exception):
    code: int


class Model(pydantic.BaseModel):  # type: ignore[misc, name-defined]
    a: int
    b: list[int] = []  # noqa: RUF012
    c: str | None = pydantic.Field(None, alias='see')
    d: Any = pydantic.Field(None, validation_alias=pydantic.AliasChoices(pydantic.AliasPath('q', 0), 'dee'))
    _private: int = pydantic.PrivateAttr(1)
    _unset: int

    @functools.cached_property
    def cached(self) -> int:
        return self.a


@econtext.register
class Fixed(Model):
    model_config = pydantic.ConfigDict(frozen=True, extra='forbid', strict=True)


@econtext.register
class Open(Model):
    model_config = pydantic.ConfigDict(extra='allow', populate_by_name=True)


@econtext.register
class Rooted(pydantic.RootModel):  # type: ignore[misc, name-defined, type-arg]
    root: list[int]


@econtext.register
@pydantic.dataclasses.dataclass(frozen=True)
class Data:
    a: int
    b: str = pydantic.Field('b', alias='bee')
    c: int = dataclasses.field(default=3)


@econtext.register
class Within(pydantic.BaseModel):  # type: ignore[misc, name-defined]
    a: int = pydantic.Field(0, validation_alias=pydantic.AliasPath('x', 'y'))


if old:
    @econtext.register
    class Old(old.BaseModel):  # type: ignore[misc, name-defined]
        a: int
        b: int = old.Field(2, alias='bee')
        _private: int = old.PrivateAttr(1)

        class Config:
            extra = 'allow'


NUMBERS = st.integers(-9, 9)
VALUES = (
    st.builds(Defined, NUMBERS, st.text(max_size=3), zz=NUMBERS) | st.builds(Frozen, NUMBERS, st.lists(NUMBERS))
    | st.builds(Own, NUMBERS) | st.builds(Fixed, a=NUMBERS, b=st.lists(NUMBERS)) | st.builds(Fixed, a=NUMBERS)
    | st.builds(Open, a=NUMBERS, c=st.text(max_size=3), d=NUMBERS, other=st.dates())
    | st.builds(Rooted, st.lists(NUMBERS)) | st.builds(Data, NUMBERS)
    | st.builds(Data, NUMBERS, bee=st.text(max_size=3))
)


@given(st.recursive(VALUES, lambda inner: st.builds(Defined, inner) | st.lists(inner, max_size=3)))
def test_round_trip(value: Any) -> None:
    for way in up, down:
        found = way(value)
        assert found == value
        assert type(found) is type(value)
        if isinstance(value, pydantic.BaseModel):
            assert found.model_fields_set == value.model_fields_set
            assert found.model_extra == value.model_extra


@WAYS
def test_what_is_found_again_is_no_field(way: Any) -> None:
    value, frozen, model = Defined(1), Frozen(1), Fixed(a=1)
    assert (value.cached, model.cached) == ([1], 1)
    hash(frozen)
    assert way([value, frozen, model]) == [value, frozen, Fixed(a=1)]
    again = way(value)
    again.x = 5
    assert again.cached == [5], 'it was not made on the way'


@WAYS
def test_an_exception_of_attrs(way: Any) -> None:
    assert way(Error(5)).code == 5


@WAYS
def test_the_constructor_judges(way: Any) -> None:
    frozen = Frozen(1)
    object.__setattr__(frozen, 'y', 'no list')
    for value in frozen, Fixed.model_construct(a='x', b=[], c=None, d=None):
        with pytest.raises((Refused, TypeError, ValueError)):
            way(value)


@WAYS
def test_what_would_be_lost_is_refused(way: Any) -> None:
    private = Fixed(a=1)
    private._private = 5
    with pytest.raises(TypeError, match=r'private attribute _private is not as the constructor makes it: .*reduce='):
        way(private)
    private = Fixed(a=1)
    private._unset = 5
    with pytest.raises(TypeError, match='_unset'):
        way(private)
    with pytest.raises(TypeError, match='it has no b'):
        way(bare())
    with pytest.raises(TypeError, match='takes a from within another argument'):
        way(Within())
    own = Frozen(1)
    object.__setattr__(own, 'more', 5)
    with pytest.raises(TypeError, match='attribute more'):
        way(own)


def bare() -> Any:
    value = Fixed(a=1)
    del value.__dict__['b']
    return value


@WAYS
@pytest.mark.skipif(old is None, reason='pydantic has no earlier version here')
def test_a_model_of_the_version_before(way: Any) -> None:
    value = Old(a=1, bee=5, other='x')
    found = way(value)
    assert (found, type(found), found.__fields_set__) == (value, Old, {'a', 'b', 'other'})
    assert way(Old(a=1)).__fields_set__ == {'a'}
    value._private = 7
    with pytest.raises(TypeError, match='_private'):
        way(value)


@WAYS
def test_a_model_is_refused_by_name_where_a_field_is(way: Any) -> None:
    with pytest.raises(TypeError, match=r'cannot cross between contexts'):
        way(Open(a=1, other=object()))


FIELDS = {'a': 1, 'b': [], 'c': None, 'd': None}


@pytest.mark.parametrize(('name', 'state'), [
    ('Fixed', {}), ('Fixed', ({}, {}, ())), ('Fixed', (FIELDS, {'more': 1}, ())), ('Fixed', (FIELDS, {}, (5,))),
    ('Fixed', ({**FIELDS, 'e': 1}, {}, ())), ('Open', (FIELDS, {'a': 5}, ())), ('Open', (FIELDS, {5: 5}, ())),
    ('Fixed', (FIELDS, {}, [])), ('Fixed', ({**FIELDS, 'a': 'x'}, {}, ())), ('Fixed', (FIELDS, {})), ('Fixed', None),
    ('Rooted', ({'root': ['x']}, {}, ())), ('Rooted', ({'data': [1]}, {}, ())), ('Data', {'a': 1}),
    ('Defined', {'x': 1}),
    ('Data', {'a': 1, 'b': 'x', 'c': 3}), ('Frozen', {'x': 1, 'y': 'x'}), ('Defined', {'x': 1, '_y': 1, 'zed': 1}),
], ids=repr)  # fmt: skip
def test_what_does_not_fit_is_an_error_of_the_call(name: str, state: Any) -> None:
    assert_refused(HERE, name, state)


def test_names_only_take_away_from_what_was_set() -> None:
    found = decode(said(HERE, 'Fixed', (FIELDS, {}, ('a', 'no_field'))), OWNER)
    assert found.model_fields_set == {'a'}


NASTY: Any = st.recursive(
    st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3).map(tuple)
    | st.dictionaries(st.sampled_from(['a', 'b', 'root', 'x', 'self', '__class__', '_private']), inner))


@given(st.sampled_from(['Fixed', 'Open', 'Rooted', 'Data', 'Defined', 'Frozen', 'Own']), NASTY)
def test_any_state(name: str, state: Any) -> None:
    assert_registered_or_bad(HERE, name, state)
