"""Timers: each action is due once, in the order of times, and those that were taken back take no room."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.controller.runtime.timers import FEW, LONGEST, Timer, Timers

MILLISECONDS = 1000


def action(number: int) -> Any:
    return lambda: number


def run(timers: Timers, now: float) -> list[Any]:
    """Return what the actions that are due return."""
    return [each() for each in timers.due(now)]


@given(st.lists(st.integers(0, 9)), st.integers(0, 9))
def test_what_is_due_comes_once_in_its_order(times: list[int], now: int) -> None:
    timers = Timers(1)
    for number, when in enumerate(times):
        timers.add(when, action(number))
    due = [number for number, when in sorted(enumerate(times), key=lambda each: each[1]) if when <= now]
    assert run(timers, now) == due
    assert run(timers, now) == []
    assert len(run(timers, 10)) == len(times) - len(due)


def test_a_timer_that_was_taken_back_is_not_due() -> None:
    timers = Timers(1)
    first, _ = timers.add(1.0, action(1)), timers.add(2.0, action(2))
    first.action = None
    assert run(timers, 3.0) == [2]


@pytest.mark.parametrize(('deadline', 'expected'), [(None, -1), (float('inf'), LONGEST), (0.0, 0.0)])
def test_without_timers_the_deadline_counts(deadline: float | None, expected: float) -> None:
    assert Timers(1).patience(deadline) == expected


def test_the_next_that_happens_ends_the_patience() -> None:
    timers = Timers(MILLISECONDS)
    now = time.monotonic()
    timers.add(now + 500.0, action(1))
    assert 400_000 < timers.patience(None) <= 500_000
    assert 400_000 < timers.patience(now + 600.0) <= 500_000
    assert 200_000 < timers.patience(now + 300.0) <= 300_000
    timers.add(now - 1.0, action(2))
    assert timers.patience(now + 300.0) == 0


def test_nobody_waits_for_a_timer_that_was_taken_back() -> None:
    timers = Timers(1)
    first, second = timers.add(0.0, action(1)), timers.add(0.0, action(2))
    first.action = second.action = None
    assert timers.patience(None) == -1
    assert timers.heap == []


def test_many_that_were_taken_back_take_no_room() -> None:
    """A program whose calls all have a limit makes a timer for each, far in the future."""
    timers = Timers(1)
    kept: list[Timer] = []
    for number in range(50 * FEW):
        timer = timers.add(1e9 + number, action(number))
        if number % 100:
            timer.action = None
        else:
            kept.append(timer)
    assert len(timers.heap) <= 3 * FEW
    assert run(timers, 2e9) == [each.order for each in kept]


def test_threads_may_add_at_once() -> None:
    timers = Timers(1)
    threads = [threading.Thread(target=lambda: [timers.add(1.0, action(0)) for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(timers.due(2.0)) == 2000
