"""When a context that nobody uses is over: never too soon, and at most a step too late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from econtext.controller.session.idle import LOOKS, SOONEST, IdleTime


@given(st.floats(0.001, 1e6), st.lists(st.booleans(), max_size=40))
def test_over_behind_the_time_and_one_step(seconds: float, looks: list[bool]) -> None:
    idle, now = IdleTime(seconds, 100.0), 100.0
    unused = 0
    for used in looks:
        now += idle.step
        unused = 0 if used else unused + 1
        over = idle.look(now, used)
        if over:
            # What happened right behind a look counts at the next one.
            assert (unused - 1) * idle.step >= seconds * (1 - 1e-6) - SOONEST
            assert idle.look(now, True), 'over is over'
            return
        assert unused * idle.step <= seconds + 2 * idle.step


def test_looks_are_few() -> None:
    assert IdleTime(600, 0).step == 600 / LOOKS
    assert IdleTime(0.001, 0).step == SOONEST
