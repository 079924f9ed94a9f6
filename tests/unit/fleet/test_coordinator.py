"""The one thread of a fleet: the order of actions and timers, what raises, and when the thread is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.controller.errors import InternalError
from econtext.controller.fleet import coordinator as coordinators
from econtext.controller.fleet.coordinator import Coordinator
from lab import eventually

WAIT = 20.0


@pytest.fixture
def made() -> Iterator[Coordinator]:
    coordinator = Coordinator('econtext fleet')
    yield coordinator
    coordinator.end(WAIT)
    assert coordinator.thread is None


def done_by(coordinator: Coordinator) -> threading.Thread:
    """Return the thread that runs an action, once all that was posted before was run."""
    ran: list[threading.Thread] = []
    over = threading.Event()

    def action() -> None:
        ran.append(threading.current_thread())
        over.set()

    coordinator.post(action)
    assert over.wait(WAIT)
    return ran[0]


def refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no thread be there for anybody."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, 'start', start)


@given(st.lists(st.lists(st.integers(0, 3), max_size=4), max_size=6))
def test_actions_run_in_order_one_at_a_time_and_what_they_post_behind_all_others(
    counts: list[list[int]]
) -> None:
    """Each posts as many as its list says, which post nothing; all in one thread."""
    coordinator = Coordinator('econtext fleet')
    ran: list[tuple[int, ...]] = []
    inside: list[tuple[int, ...]] = []
    threads = set()
    gate = threading.Event()

    def action(name: tuple[int, ...], more: list[int]) -> Callable[[], None]:
        def act() -> None:
            assert not inside
            inside.append(name)
            threads.add(threading.current_thread())
            for number, _ in enumerate(more):
                coordinator.post(action((*name, number), []))
            ran.append(name)
            inside.pop()
        return act

    coordinator.post(lambda: gate.wait(WAIT))
    for number, more in enumerate(counts):
        coordinator.post(action((number,), more))
    gate.set()
    coordinator.end(WAIT)
    assert coordinator.thread is None
    first = [(number,) for number, _ in enumerate(counts)]
    assert ran == first + [(number, inner) for number, more in enumerate(counts) for inner, _ in enumerate(more)]
    assert len(threads) <= 1
    assert threading.current_thread() not in threads


def test_what_raises_fails_who_waits_for_it_and_no_other(
    made: Coordinator, capfd: pytest.CaptureFixture[str]
) -> None:
    failures: list[BaseException] = []

    def fail() -> None:
        raise ZeroDivisionError

    def fail_again(error: BaseException) -> None:
        failures.append(error)
        raise KeyError

    made.hold()
    thread = done_by(made)
    made.post(fail, failures.append)
    made.post(fail, fail_again)
    made.post(fail)
    assert done_by(made) is thread
    made.release()
    assert [type(error) for error in failures] == [InternalError] * 2
    assert all('ZeroDivisionError' in str(error) for error in failures)
    assert capfd.readouterr().err.count('ZeroDivisionError') >= 3


def test_timers_run_in_order_of_their_time_and_those_cancelled_never(
    made: Coordinator, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []
    now = [1000.0]
    made.hold()
    with monkeypatch.context() as patch:
        patch.setattr(coordinators, 'time', SimpleNamespace(monotonic=lambda: now[0]))
        made.at(-1, lambda: ran.append('now'))
        eventually(lambda: ran, WAIT)
        over = threading.Event()
        made.at(60, over.set)
        made.at(40, lambda: ran.append('late'))
        made.at(20, lambda: ran.append('early'))
        made.cancel(made.at(30, lambda: ran.append('never')))
        made.cancel(made.at(10, lambda: ran.append('never')))
        done_by(made)
        assert ran == ['now']
        now[0] += 100
        made.attend()
        assert over.wait(WAIT)
    assert ran == ['now', 'early', 'late']
    assert capfd.readouterr().err == ''
    made.release()


def test_who_posts_from_an_action_is_told_that_the_thread_is_his(made: Coordinator) -> None:
    seen: list[bool] = []
    made.post(lambda: seen.append(made.is_mine()))
    done_by(made)
    assert seen == [True]
    assert not made.is_mine()


def test_the_thread_ends_when_nothing_is_left_and_stays_while_it_is_held(
    made: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinators, 'IDLE', 0.0)
    made.hold()
    made.hold()
    thread = done_by(made)
    made.release()
    assert done_by(made) is thread
    made.release()
    thread.join(WAIT)
    assert made.thread is None
    # And another comes when there is something to do.
    assert done_by(made) is not thread


def test_without_a_thread_nothing_is_held_and_who_posts_runs_the_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    coordinator = Coordinator('econtext fleet')
    ran: list[object] = []

    def first() -> None:
        coordinator.post(lambda: ran.append('behind'))
        ran.append(threading.current_thread())

    with monkeypatch.context() as patch:
        refuse(patch)
        with pytest.raises(RuntimeError, match='no thread is to be had'):
            coordinator.hold()
        assert coordinator.held == 0
        assert not coordinator.attend()
        coordinator.post(first)
        assert ran == [threading.current_thread(), 'behind']
        assert coordinator.thread is None
    # What another thread posts meanwhile would wait for that one; later there is a thread again.
    assert done_by(coordinator) is not threading.current_thread()
    coordinator.end(WAIT)


def test_the_end_waits_for_what_was_posted_and_no_longer_than_it_may(made: Coordinator) -> None:
    gate, inside = threading.Event(), threading.Event()
    ran: list[int] = []

    def hold_up() -> None:
        inside.set()
        gate.wait(WAIT)

    made.post(hold_up)
    made.post(lambda: ran.append(1))
    assert inside.wait(WAIT)
    began = time.monotonic()
    made.end(0.05)
    assert time.monotonic() - began >= 0.05
    assert ran == []
    gate.set()
    made.end(WAIT)
    assert ran == [1]
    assert made.thread is None


def test_what_is_posted_after_the_end_is_run_by_a_thread_that_ends_at_once(made: Coordinator) -> None:
    made.end(WAIT)
    thread = done_by(made)
    assert thread is not threading.current_thread()
    thread.join(WAIT)
    assert made.thread is None


def test_the_end_does_not_wait_for_the_thread_that_calls_it(made: Coordinator) -> None:
    over = threading.Event()

    def end() -> None:
        made.end(600)
        over.set()

    made.post(end)
    assert over.wait(WAIT)
    eventually(lambda: made.thread is None, WAIT)
