"""Threads of a fleet for what may take its time: order, what waits in line, what raises, and the end."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.controller.fleet import crew as crews
from econtext.controller.fleet.coordinator import Coordinator
from econtext.controller.fleet.crew import Crew
from lab import eventually

WAIT = 60.0


@pytest.fixture
def crew() -> Iterator[Crew]:
    coordinator = Coordinator('econtext fleet')
    coordinator.hold()
    made = Crew(coordinator)
    yield made
    made.end()
    eventually(lambda: not made.threads, WAIT)
    coordinator.release()
    coordinator.end(WAIT)


def never(error: BaseException) -> None:
    raise AssertionError('nothing here fails') from error


class Gate:
    """A task that waits to be let go."""

    def __init__(self) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.thread: threading.Thread | None = None

    def __call__(self) -> None:
        self.thread = threading.current_thread()
        self.entered.set()
        assert self.go_on.wait(WAIT)


def test_one_thread_is_enough_for_tasks_that_take_no_time(crew: Crew) -> None:
    threads: set[threading.Thread] = set()
    over = threading.Event()
    gate = Gate()
    crew.hand(gate, never)
    assert gate.entered.wait(WAIT)
    with crew.changed:
        # Nobody looks meanwhile.
        crew.watching = True
    for _ in range(100):
        crew.hand(lambda: threads.add(threading.current_thread()), never)
    crew.hand(over.set, never)
    gate.go_on.set()
    assert over.wait(WAIT)
    assert threads == {gate.thread}


@given(st.integers(1, 30))
def test_tasks_are_begun_in_the_order_in_which_they_were_handed_over(number: int) -> None:
    coordinator = Coordinator('econtext fleet')
    crew = Crew(coordinator)
    begun: list[int] = []
    gate = Gate()
    crew.hand(gate, never, patience=WAIT)
    assert gate.entered.wait(WAIT)
    with crew.changed:
        crew.watching = True
    for each in range(number):
        crew.hand(functools.partial(begun.append, each), never, patience=WAIT)
    gate.go_on.set()
    crew.end()
    coordinator.end(WAIT)
    assert begun == list(range(number))
    eventually(lambda: not crew.threads, WAIT)


def test_a_task_that_takes_long_holds_up_none_behind_it(crew: Crew) -> None:
    gates = [Gate() for _ in range(20)]
    for gate in gates:
        crew.hand(gate, never)
    for gate in gates:
        assert gate.entered.wait(WAIT)
    assert len({gate.thread for gate in gates}) == len(gates)
    for gate in gates:
        gate.go_on.set()


def test_threads_that_have_no_turn_get_no_more_beside_them(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with much other work: there are never more than tasks."""
    turn = threading.Event()
    work = crew._work

    def late() -> None:
        assert turn.wait(WAIT)
        work()

    monkeypatch.setattr(crew, '_work', late)
    done: list[int] = []
    with crew.changed:
        crew.watching = True
    for number in range(3):
        crew.hand(functools.partial(done.append, number), never)
    monkeypatch.setattr(crew.coordinator, 'at', lambda seconds, action: None)
    try:
        for _ in range(5):
            crew._look(crew.taken, 1)
        assert crew.threads == 3
    finally:
        turn.set()
    eventually(lambda: sorted(done) == [0, 1, 2], WAIT)


def test_one_that_is_to_be_alone_waits_for_no_look(crew: Crew) -> None:
    with crew.changed:
        # Nobody looks meanwhile.
        crew.watching = True
    gates = [Gate() for _ in range(5)]
    for gate in gates:
        crew.hand(gate, never, alone=True)
    for gate in gates:
        assert gate.entered.wait(WAIT)
    for gate in gates:
        gate.go_on.set()


def test_what_a_task_raises_is_posted_to_its_failed(crew: Crew) -> None:
    told: list[tuple[BaseException, bool]] = []
    over = threading.Event()

    def fail() -> None:
        raise SystemExit(3)

    def failed(error: BaseException) -> None:
        told.append((error, crew.coordinator.is_mine()))
        over.set()

    crew.hand(fail, failed)
    assert over.wait(WAIT)
    assert [(type(error), mine) for error, mine in told] == [(SystemExit, True)]
    # Its thread goes on.
    again = threading.Event()
    crew.hand(again.set, never)
    assert again.wait(WAIT)


def test_without_a_thread_what_is_handed_over_fails(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[BaseException] = []
    over = threading.Event()

    def failed(error: BaseException) -> None:
        told.append(error)
        over.set()

    crew.coordinator.attend()
    with monkeypatch.context() as patch:
        def start(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        patch.setattr(threading.Thread, 'start', start)
        crew.hand(lambda: told.append(AssertionError()), failed)
        assert over.wait(WAIT)
    assert [type(error) for error in told] == [RuntimeError]
    assert 'no thread is to be had' in str(told[0])
    assert not crew.line


def test_threads_end_when_nothing_is_left(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crews, 'IDLE', 0.0)
    threads: list[threading.Thread] = []
    crew.hand(lambda: threads.append(threading.current_thread()), never)
    eventually(lambda: threads, WAIT)
    threads[0].join(WAIT)
    assert crew.threads == crew.idle == 0


def test_the_end_waits_for_a_task_as_long_as_its_patience_says(crew: Crew) -> None:
    patient, other = Gate(), Gate()
    crew.hand(other, never, alone=True)
    crew.hand(patient, never, patience=WAIT, alone=True)
    assert patient.entered.wait(WAIT)
    assert other.entered.wait(WAIT)
    over = threading.Event()
    thread = threading.Thread(target=lambda: (crew.end(), over.set()))
    thread.start()
    assert not over.wait(0.05)
    patient.go_on.set()
    # The other one, which has no patience, still runs.
    assert over.wait(WAIT)
    other.go_on.set()
    thread.join()


def test_the_end_is_no_longer_than_the_patience(crew: Crew) -> None:
    gate = Gate()
    crew.hand(gate, never, patience=0.05)
    assert gate.entered.wait(WAIT)
    began = time.monotonic()
    crew.end()
    assert time.monotonic() - began < WAIT
    gate.go_on.set()
