"""The life of a context: each pair of state and event, and events in random order."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.controller.session.states import (
    DEFER,
    DEFERRED,
    EVENTS,
    GONE,
    GREET,
    GREETED,
    LAUNCH,
    NEW,
    OVER,
    STATES,
    TABLE,
    transition,
)
from econtext.parent.start import IllegalTransition

#: Pairs that only a fault of econtext could bring about.
ILLEGAL = (
    {(state, DEFER) for state in STATES if state != NEW}
    | {(state, LAUNCH) for state in STATES if state not in (NEW, DEFERRED, 'failing')}
    | {(state, GREET) for state in (NEW, DEFERRED, 'ready')}
    | {(state, GONE) for state in STATES if state not in OVER}
)


@pytest.mark.parametrize(('state', 'event'), [*itertools.product(STATES, EVENTS)])
def test_each_pair_has_a_next_state_or_is_illegal(state: str, event: str) -> None:
    if (state, event) in ILLEGAL:
        with pytest.raises(IllegalTransition, match=f'{state} .*{event}'):
            transition(state, event)
    else:
        assert transition(state, event) in STATES


@given(st.lists(st.sampled_from(EVENTS)))
def test_a_context_that_is_over_or_has_greeted_stays_so(events: list[str]) -> None:
    state, heard = NEW, []
    for event in events:
        if (state, event) not in TABLE:
            with pytest.raises(IllegalTransition):
                transition(state, event)
            continue
        before, state = state, transition(state, event)
        heard.append(event)
        assert before not in OVER or state in OVER
        assert before not in GREETED or state in GREETED
        assert (state in OVER) == ('end' in heard)
        if state in GREETED:
            assert heard.index(LAUNCH) < heard.index(GREET)
            assert 'end' not in heard or heard.index(GREET) < heard.index('end')
        assert (state in ('failed', 'ended')) == (GONE in heard)


def test_each_state_can_be_reached_and_left_for_the_end_of_the_program() -> None:
    reached = {NEW}
    for _ in STATES:
        reached |= {to for (state, _), to in TABLE.items() if state in reached}
    assert reached == set(STATES)
    for start in STATES:
        assert transition(transition(start, 'end'), GONE) in ('failed', 'ended')
