"""Classes of attrs and pydantic need no more than `@econtext.register`: they cross both ways, made by constructors."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import pytest

import econtext

attr = pytest.importorskip('attr')
pydantic = pytest.importorskip('pydantic')
modelled = pytest.importorskip('travel.modelled')


@pytest.fixture(params=['below us', 'behind a hop'])
def context(broker: econtext.Broker, request: pytest.FixtureRequest) -> econtext.Context:
    origin: Any = broker.local() if request.param == 'behind a hop' else broker
    there: econtext.Context = origin.local(python=sys.executable, name='there')
    return there


def test_classes_of_attrs(context: econtext.Context, broker: econtext.Broker) -> None:
    value = modelled.Package('x', version='2', requires=[modelled.Package('y')])
    found = context.call(modelled.upgrade, value)
    assert found == modelled.Package('x', version='2.1', requires=[value])
    assert type(found.needs[0]) is modelled.Package
    package, title = context.call(modelled.titled, 'abc')
    assert (title, package) == ('Abc', modelled.Package('abc'))
    broker.allow(modelled.upgrade)
    assert context.call(modelled.ask, value) == found


@pytest.mark.parametrize('python', ['3.10', '3.13'], indirect=True)
def test_classes_of_attrs_where_it_is_not_installed(broker: econtext.Broker, python: Any) -> None:
    context = broker.local(python=python)
    value = modelled.Package('x', version='2')
    assert context.call(modelled.upgrade, value) == modelled.Package('x', version='2.1', requires=[value])


def test_models_of_pydantic(context: econtext.Context) -> None:
    user = modelled.User(name='ann', years=3, rights=modelled.Right.READ, home='/home/ann')
    found = context.call(modelled.older, user)
    assert found == modelled.User(name='ann', years=4, rights=modelled.Right.READ, home='/home/ann', friends=[user])
    assert (type(found.home), type(found.friends[0])) == (type(pathlib.Path()), modelled.User)
    assert found.rights is modelled.Right.READ
    assert found.friends[0].model_fields_set == user.model_fields_set
    loose = modelled.Loose(x=1, more=[2])
    assert context.call(modelled.Loose.model_copy, loose) == loose
    assert context.call(modelled.Loose.model_copy, loose).model_extra == {'more': [2]}


def test_validators_run_as_it_arrives(context: econtext.Context) -> None:
    with pytest.raises(econtext.CallError, match=r'travel\.modelled\.User refuses') as caught:
        context.call(modelled.unchecked, '')
    assert isinstance(caught.value.__cause__, pydantic.ValidationError)
    with pytest.raises(econtext.CallError, match='_seen is not as the constructor makes it'):
        context.call(modelled.seen, 5)
    assert context.call(modelled.seen, 0) == modelled.Loose(x=1)
    with pytest.raises(econtext.CallError, match='ValidationError'):
        context.call(modelled.older, modelled.unchecked(''))
    with pytest.raises(TypeError, match=r'attribute made, .*reduce='):
        context.call(modelled.upgrade, modelled.Plain('5'))
    assert context.call(len, 'abc') == 3
