"""Classes of the application: a hostile context has none made that was not registered, and of those only sound ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from guarded import shapes

import econtext

ENEMY = str(Path(__file__).parent / 'enemy.py')


@pytest.fixture(autouse=True)
def made() -> Iterator[list[object]]:
    shapes.MADE.clear()
    yield shapes.MADE
    assert 'guarded.unseen' not in sys.modules, 'nothing is imported for whoever names it'


@pytest.fixture(params=['below us', 'behind a hop'])
def place(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def enemy(broker: econtext.Broker, place: str, act: str) -> econtext.Context:
    origin = broker.local(name='hop') if place == 'behind a hop' else broker
    return origin.local(python=[sys.executable, '-S', ENEMY, act], name='enemy')


@pytest.mark.parametrize('act', [
    'class_named_by_numbers', 'class_in_what_it_says_of_itself', 'class_with_more_than_bytes',
    'class_with_colliding_keys',
])
def test_who_says_what_no_honest_context_can_is_ended(
    broker: econtext.Broker, place: str, act: str, made: list[object]
) -> None:
    beside = broker.local()
    context = enemy(broker, place, act)
    with pytest.raises(econtext.CorruptStream, match=r'^enemy: '):
        context.options(timeout=60).call(os.getpid)
    assert made == []
    assert beside.call(os.getpid) == beside.pid


def test_what_is_not_registered_or_not_sound_is_refused_and_no_more(
    broker: econtext.Broker, place: str, made: list[object]
) -> None:
    context = enemy(broker, place, 'forged_classes')
    refused = []
    while True:
        try:
            answer = context.options(timeout=60).call(os.getpid)
            break
        except econtext.CallError as error:
            refused.append(error)
    assert answer == 'all refused'  # type: ignore[comparison-overlap]
    assert made == []
    assert len(refused) == 19
    assert sum('not registered here' in str(error) for error in refused) == 10
    for error in refused:
        assert len(str(error)) < 600
        assert all(line.isprintable() for line in str(error).splitlines())


def test_as_arguments_of_calls_of_the_program_too(
    broker: econtext.Broker, place: str, made: list[object]
) -> None:
    context = enemy(broker, place, 'asks_with_forged_classes')
    context.allow(shapes.take)
    assert context.options(timeout=60).call(os.getpid) == 'all refused'  # type: ignore[comparison-overlap]
    assert made == []


def test_what_the_constructor_judges(broker: econtext.Broker, place: str, made: list[object]) -> None:
    context = enemy(broker, place, 'package_beyond_measure')
    with pytest.raises(econtext.CallError, match='no name of a package') as caught:
        context.options(timeout=60).call(os.getpid)
    assert isinstance(caught.value.__cause__, ValueError)
    assert made == []


def test_an_honest_one_that_registered_more_than_we(broker: econtext.Broker, place: str) -> None:
    """What only the context imported is unknown here; the next call goes on."""
    context = broker.local() if place == 'below us' else broker.local().local()
    assert context.call(eval, "__import__('guarded.unseen').unseen.make().value") == 1
    with pytest.raises(econtext.CallError, match=r"'guarded\.unseen\.Seen', which is not registered here: import"):
        context.call(eval, "__import__('guarded.unseen').unseen.make()")
    assert context.call(os.getpid) == context.pid
