"""Events: begun in their order, by one thread; one that takes long holds up no other; none is lost at the end."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from econtext.controller.runtime import events
from econtext.controller.runtime.events import MOST_WORKERS, STUCK, Events, attempt
from lab import eventually

SOON = 20.0     # seconds until an event that does not run is given up


class Home:
    """A loop whose timers the test has run, and which notes who is called up."""

    def __init__(self) -> None:
        self.closed = self.parted = False
        self.busy: dict[int, tuple[Any, ...]] = {}
        self.timers: list[Any] = []
        self.called_up: list[Any] = []

    def call_at(self, when: float, action: Any) -> None:
        self.timers.append(action)

    def call_up(self, waiter: Any) -> None:
        self.called_up.append(waiter)


class Scene:
    def __init__(self) -> None:
        self.home = Home()
        self.events = Events(self.home)
        #: Events that wait are let go at the end.
        self.over = threading.Event()

    def post(self, event: Any) -> None:
        self.events.queue.append(event)
        self.events.ring()

    def block(self) -> threading.Event:
        """Post an event that takes until the end; return what is set once it has begun."""
        begun = threading.Event()

        def event() -> None:
            begun.set()
            self.over.wait()

        self.post(event)
        return begun


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.over.set()
    made.home.closed = True
    assert made.events.part()
    eventually(lambda: not made.events.workers)


def test_events_are_begun_in_their_order_by_one_thread(scene: Scene) -> None:
    seen: list[tuple[int, int]] = []
    done = threading.Event()
    for number in range(100):
        scene.post(lambda number=number: seen.append((number, threading.get_ident())))
    scene.post(done.set)
    assert done.wait(SOON)
    assert [number for number, _ in seen] == list(range(100))
    assert len({thread for _, thread in seen}) == 1


def test_one_that_takes_long_holds_up_no_other(scene: Scene) -> None:
    assert scene.block().wait(SOON)
    done = threading.Event()
    scene.post(done.set)
    assert len(scene.home.timers) == 1, 'somebody is to look whether the thread is stuck'
    assert len(scene.events.workers) == 1
    scene.events.workers[0].since -= STUCK
    scene.home.timers.pop()()
    assert done.wait(SOON)


def test_there_are_only_so_many_threads(scene: Scene) -> None:
    for number in range(MOST_WORKERS):
        begun = scene.block()
        for worker in scene.events.workers:
            worker.since -= STUCK
        scene.events.look()
        assert begun.wait(SOON)
        assert len(scene.events.workers) == number + 1
    scene.block()
    for worker in scene.events.workers:
        worker.since -= STUCK
    scene.events.look()
    assert len(scene.events.workers) == MOST_WORKERS
    assert len(scene.events.queue) == 1


def test_who_waits_within_an_event_is_called_up_for_the_next(scene: Scene) -> None:
    assert scene.block().wait(SOON)
    waiter = object()
    scene.events.workers[0].nested = waiter
    scene.post(bool)
    assert scene.home.called_up == [waiter]
    # That thread runs it where it waits.
    worker = scene.events.workers[0]
    assert worker.is_due(0)
    worker.handle()
    assert not worker.is_due(0)


def test_a_thread_says_that_it_is_busy_while_it_runs_events(scene: Scene) -> None:
    found: list[Any] = []
    done = threading.Event()

    def event() -> None:
        found.append(scene.home.busy[threading.get_ident()])
        done.set()

    scene.post(event)
    assert done.wait(SOON)
    assert found == [(scene.events.workers[0],)]
    eventually(lambda: not scene.home.busy)


def test_a_thread_without_events_ends_and_another_begins(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, 'IDLE', 0.001)
    for _ in range(3):
        done = threading.Event()
        scene.post(done.set)
        assert done.wait(SOON)
        eventually(lambda: not scene.events.workers)


def test_behind_the_end_nothing_is_begun(scene: Scene) -> None:
    scene.home.parted = True
    scene.post(bool)
    assert scene.events.workers == []
    assert len(scene.events.queue) == 1


def test_what_is_left_at_the_end_is_run(scene: Scene) -> None:
    seen: list[int] = []
    for number in range(9):
        scene.events.queue.append(functools.partial(seen.append, number))
    scene.home.closed = True
    assert scene.events.part()
    assert seen == list(range(9))


def test_an_event_that_never_ends_bounds_the_end(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, 'PARTING', 0.05)
    assert scene.block().wait(SOON)
    assert not scene.events.part()


def test_what_fails_is_shown_and_the_rest_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr('sys.excepthook', lambda kind, *rest: shown.append(kind.__name__))
    made = Scene()
    seen: list[int] = []
    made.events.queue.extend([lambda: seen.append(1), lambda: 1 / 0, lambda: seen.append(2)])
    made.events.run()
    assert seen == [1, 2]
    assert shown == ['ZeroDivisionError']


def test_what_ends_the_program_is_not_shown() -> None:
    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        attempt(leave)


def test_a_forked_process_has_no_thread_for_events(scene: Scene) -> None:
    assert scene.block().wait(SOON)
    workers = list(scene.events.workers)
    with scene.events.lock:
        scene.events.disown()
        assert scene.events.workers == []
    assert scene.events.lock.acquire(blocking=False), 'the lock is another'
    scene.events.lock.release()
    scene.events.workers = workers
