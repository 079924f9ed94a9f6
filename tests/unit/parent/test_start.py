"""The start of a child: each pair of state and event, events in random order, and what a Birth makes of them."""

from __future__ import annotations

import itertools
import threading
import types
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.connectors import local
from econtext.core.loop import Link, Loop
from econtext.core.router import Router
from econtext.parent import start
from econtext.parent.children import Birth
from econtext.parent.start import (
    BURY,
    CLOSE,
    CLOSED,
    EVENTS,
    FAIL,
    FAILED,
    GONE,
    LAUNCH,
    LOSE,
    LOST,
    MARK,
    NEW,
    READY,
    STARTING,
    STATES,
    STOP,
    STOPPING,
    TABLE,
    UNDECIDED,
    IllegalTransition,
    transition,
)

#: Pairs that only a fault of econtext could bring about.
ILLEGAL = (
    {(state, LAUNCH) for state in STATES if state not in (NEW, FAILED)}
    | {(state, MARK) for state in STATES if state not in (STARTING, FAILED, GONE)}
    | {(state, CLOSE) for state in STATES if state not in (STARTING, FAILED, GONE)}
    | {(state, FAIL) for state in STATES if state not in (STARTING, CLOSED, FAILED, GONE)}
    | {(state, LOSE) for state in (NEW, STARTING, CLOSED, FAILED)}
    | {(state, BURY) for state in STATES if state not in (FAILED, STOPPING, LOST)}
)
SPOKE = READY, STOPPING, LOST


@pytest.mark.parametrize(('state', 'event'), [*itertools.product(STATES, EVENTS)])
def test_each_pair_has_a_next_state_or_is_illegal(state: str, event: str) -> None:
    if (state, event) in ILLEGAL:
        with pytest.raises(IllegalTransition, match=f'a start that is {state} .*{event}'):
            transition(state, event)
    else:
        assert transition(state, event) in STATES


@given(st.lists(st.sampled_from(EVENTS)))
def test_a_start_ends_once(events: list[str]) -> None:
    state, passed = NEW, [NEW]
    for event in events:
        if (state, event) not in TABLE:
            with pytest.raises(IllegalTransition):
                transition(state, event)
            continue
        before, state = state, transition(state, event)
        passed.append(state)
        assert before in UNDECIDED or state not in UNDECIDED
        assert before != state or passed.count(state) >= 2
    assert not (FAILED in passed and any(each in passed for each in SPOKE))
    assert GONE not in passed or any(each in passed for each in (FAILED, STOPPING, LOST))
    assert not any(each in passed for each in SPOKE) or passed.index(STARTING) < passed.index(READY)


def test_each_state_can_be_reached_and_left_for_the_end_of_the_program() -> None:
    reached = {NEW}
    for _ in STATES:
        reached |= {to for (state, _), to in TABLE.items() if state in reached}
    assert reached == set(STATES)
    for state in STATES[:-1]:
        assert transition(transition(state, STOP), BURY) == GONE


class Home:
    """Whose child it is."""

    preamble = b''

    def __init__(self) -> None:
        self.loop, self.router = Loop(), Router(0)

    def height(self, who: int) -> int:
        return 0

    def attend(self, who: int, link: Link, interval: float) -> None:
        raise AssertionError('no heartbeat was wanted')


@pytest.fixture
def scene() -> Iterator[Any]:
    """A start whose reports are noted."""
    home, gone = Home(), threading.Event()
    reports: list[str] = []

    def report(event: str, *details: Any) -> None:
        reports.append(event)
        if event == 'buried':
            gone.set()

    link = Link(home.loop, home.router, types.SimpleNamespace())
    birth = Birth(home, link, local, {'python': '/no/such/python'}, {}, report)
    yield types.SimpleNamespace(birth=birth, reports=reports, gone=gone)
    home.loop.poller.close()


def test_a_program_that_is_not_there_fails_and_is_gone(scene: Any) -> None:
    scene.birth.begin()
    assert scene.gone.wait(60)
    assert scene.reports == ['failed', 'buried']
    assert scene.birth.state == GONE


def test_a_start_that_is_stopped_before_it_was_begun_starts_no_program(scene: Any) -> None:
    scene.birth.stop()
    assert scene.birth.state == FAILED
    scene.birth.begin()
    assert scene.gone.wait(60)
    assert scene.birth.process is None
    assert scene.reports == ['failed', 'buried']


def test_who_stops_again_changes_nothing(scene: Any) -> None:
    for _ in range(3):
        scene.birth.stop()
    scene.birth.begin()
    assert scene.gone.wait(60)
    scene.birth.stop()
    assert scene.reports == ['failed', 'buried']


def test_a_mark_that_comes_as_another_thread_stops_the_child_makes_no_child(scene: Any) -> None:
    """Whoever asked hears once how the start ended."""
    scene.birth.stop()
    scene.birth.obey([('ready', b'')])
    assert scene.reports == ['failed']
    assert scene.birth.state == FAILED
    scene.birth.begin()
    assert scene.gone.wait(60)


@pytest.mark.parametrize('event', [MARK, FAIL, CLOSE, LOSE, BURY])
def test_an_event_that_cannot_be_raises(scene: Any, event: str) -> None:
    with pytest.raises(IllegalTransition, match='new'):
        scene.birth.advance(event)
    assert scene.birth.state == NEW
    assert scene.birth.lock.acquire(False), 'the lock is free again'
    scene.birth.lock.release()


def test_a_program_that_says_nothing_is_closed_before_it_fails(scene: Any) -> None:
    birth, states = scene.birth, []
    birth.advance(LAUNCH)
    birth.begun = True
    advance = birth.advance

    def noted(event: str) -> tuple[str, str]:
        states.append(advance(event))
        return states[-1]

    birth.advance = noted
    birth.hear('out', b'')
    assert scene.gone.wait(60)
    assert states == [(STARTING, CLOSED), (CLOSED, FAILED), (FAILED, GONE)]
    assert scene.reports == ['failed', 'buried']


def test_the_table_is_the_one_that_births_use() -> None:
    assert start.TABLE is TABLE
