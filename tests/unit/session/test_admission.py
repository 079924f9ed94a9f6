"""Who may say what now: each kind of frame, each standing of its sender, each report of a child."""

from __future__ import annotations

import itertools

import pytest

from econtext.child.kinds import PART
from econtext.controller.protocol import messages
from econtext.controller.session import admission
from econtext.controller.session.admission import (
    BURIED,
    ENDING,
    FAULT,
    HEARD,
    IGNORED,
    KEPT,
    LIFE,
    LIVE,
    OVER,
    REJECTED,
    SPEAKS,
    STARTED,
    TOLD,
)
from econtext.core.wire import LOG, REPORT, STDIO
from econtext.parent.judge import LIMITS

STANDINGS = LIVE, ENDING, REJECTED
STATES = STARTED, SPEAKS, OVER, BURIED
EVENTS = sorted(messages.EVENTS)


@pytest.mark.parametrize('kind', LIMITS)
def test_each_kind_is_heard_from_the_living_and_only_output_and_burials_from_the_ending(kind: int) -> None:
    assert admission.is_heard(LIVE, kind)
    assert admission.is_heard(ENDING, kind) == (kind in (LOG, STDIO, REPORT, PART))
    assert not admission.is_heard(REJECTED, kind)
    # In parts comes nothing but what would be heard whole.
    assert admission.is_kept(LIVE, kind)
    assert admission.is_kept(ENDING, kind) == (kind in (LOG, STDIO))
    assert not admission.is_kept(REJECTED, kind)


def test_the_tables_are_whole() -> None:
    assert set(HEARD) == set(KEPT) == set(TOLD) == set(STANDINGS)
    assert TOLD[LIVE] == set(EVENTS)
    assert set(LIFE) == set(itertools.product(STATES, EVENTS))
    assert set(LIFE.values()) <= {*STATES, IGNORED, FAULT}


@pytest.mark.parametrize(('state', 'event'), [*itertools.product(STATES, EVENTS)])
def test_nobody_but_the_parent_tells_of_a_child(state: str, event: str) -> None:
    assert admission.report(LIVE, False, state, event) == FAULT
    for standing in ENDING, REJECTED:
        assert admission.report(standing, False, state, event) == IGNORED


@pytest.mark.parametrize(('state', 'event'), [*itertools.product(STATES, EVENTS)])
def test_a_parent_that_is_given_up_can_bury_and_no_more(state: str, event: str) -> None:
    assert admission.report(REJECTED, True, state, event) == IGNORED
    told = admission.report(ENDING, True, state, event)
    assert told == (BURIED if event == 'buried' and state != BURIED else IGNORED)


@pytest.mark.parametrize('events', [
    'ready lost buried', 'ready silent lost buried', 'ready buried', 'failed buried', 'failed failed buried',
    'said ask said ready said lost said buried', 'ready ask failed', 'failed buried failed buried',
    'ask ask failed ready',
])  # fmt: skip
def test_what_an_honest_parent_tells_is_no_fault(events: str) -> None:
    state = STARTED
    for event in events.split():
        told = admission.report(LIVE, True, state, event)
        assert told != FAULT
        state = state if told == IGNORED else told


@pytest.mark.parametrize('events', ['lost', 'silent', 'ready ready', 'ask lost'])
def test_what_no_parent_can_have_seen_is_its_fault(events: str) -> None:
    *before, last = events.split()
    state = STARTED
    for event in before:
        state = admission.report(LIVE, True, state, event)
    assert admission.report(LIVE, True, state, last) == FAULT


@pytest.mark.parametrize('state', STATES)
def test_a_child_ends_once(state: str) -> None:
    """However it is told, nobody is ready again behind the end."""
    after = admission.report(LIVE, True, state, 'buried')
    assert after in (BURIED, IGNORED)
    for event in EVENTS:
        assert admission.report(LIVE, True, BURIED, event) == IGNORED
