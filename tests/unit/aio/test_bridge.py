"""An event loop as a visitor: when it watches, when it is called, and what it hands over."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from econtext.controller.aio.bridge import Bridge, build, hold
from econtext.controller.errors import EcontextError


class Controller:
    """The controller's loop, of which another thread may lead."""

    def __init__(self) -> None:
        self.poller = select.epoll()
        self.lock = threading.Lock()
        self.visitors: tuple[Any, ...] = ()
        self.chores: list[Any] = []
        self.led = self.closed = False
        self.disowned = ''
        self.made_way = self.hailed = 0
        #: What a turn does.
        self.turn: Callable[[], object] = bool

    def visit(self, waiter: Any) -> bool:
        if self.led:
            return False
        self.turn()
        return True

    def make_way(self) -> None:
        self.made_way += 1

    def have_chores_run(self) -> None:
        self.hailed += 1


class Loop:
    """An event loop that runs nothing by itself."""

    def __init__(self) -> None:
        self.readers: dict[int, Callable[[], object]] = {}
        self.called: list[Callable[[], object]] = []
        self.closed = False

    def add_reader(self, fd: int, callback: Callable[[], object]) -> None:
        self.readers[fd] = callback

    def remove_reader(self, fd: int) -> None:
        del self.readers[fd]

    def call_soon_threadsafe(self, callback: Callable[[], object]) -> None:
        if self.closed:
            raise RuntimeError('Event loop is closed')
        self.called.append(callback)

    def is_closed(self) -> bool:
        return self.closed

    def run(self) -> None:
        called, self.called = self.called, []
        for each in called:
            each()


@pytest.fixture
def controller() -> Iterator[Controller]:
    made = Controller()
    yield made
    made.poller.close()


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def bridge(controller: Any, loop: Any) -> Iterator[Bridge]:
    made = build(controller, loop)
    yield made
    made.close()


def elsewhere(action: Callable[[], object]) -> None:
    thread = threading.Thread(target=action)
    thread.start()
    thread.join()


def test_it_watches_from_the_first_await_on(bridge: Bridge, loop: Loop) -> None:
    assert loop.readers == {}
    bridge.begin()
    assert list(loop.readers) == [bridge.fd]
    bridge.over()
    assert list(loop.readers) == [bridge.fd]


def test_what_comes_in_its_own_turn_is_handed_over_behind_that(
    bridge: Bridge, controller: Controller, loop: Loop
) -> None:
    done: list[int] = []

    def turn() -> None:
        for number in range(3):
            bridge.post(lambda number=number: done.append(number))  # type: ignore[misc]
        assert done == []

    controller.turn = turn
    bridge.begin()
    bridge.ready()
    assert done == [0, 1, 2]
    assert loop.called == []
    assert controller.made_way == 0


def test_another_thread_calls_it_once_for_all_that_it_posts(
    bridge: Bridge, controller: Controller, loop: Loop
) -> None:
    done: list[int] = []
    elsewhere(lambda: [bridge.post(lambda number=number: done.append(number))  # type: ignore[func-returns-value,misc]
                       for number in range(3)])
    assert len(loop.called) == 1
    assert controller.made_way == 3
    loop.run()
    assert done == [0, 1, 2]
    bridge.post(lambda: done.append(3))
    assert len(loop.called) == 1


def test_where_another_thread_leads_it_watches_no_more_until_it_is_recalled(
    bridge: Bridge, controller: Controller, loop: Loop
) -> None:
    bridge.begin()
    controller.led = True
    bridge.ready()
    assert loop.readers == {}
    controller.led = False
    bridge.recall()
    bridge.recall()
    assert len(loop.called) == 1
    loop.run()
    assert list(loop.readers) == [bridge.fd]
    # It watches: nobody need call it.
    bridge.recall()
    assert loop.called == []


def test_a_leader_that_leaves_before_it_could_see_that_nobody_watches(
    bridge: Bridge, controller: Controller, loop: Loop
) -> None:
    bridge.begin()
    controller.led = True
    remove = loop.remove_reader

    def left_meanwhile(fd: int) -> None:
        remove(fd)
        controller.led = False

    loop.remove_reader = left_meanwhile  # type: ignore[method-assign]
    bridge.ready()
    assert list(loop.readers) == [bridge.fd]


def test_nobody_is_recalled_who_awaits_nothing(bridge: Bridge, controller: Controller, loop: Loop) -> None:
    bridge.begin()
    bridge.over()
    controller.led = True
    bridge.ready()
    controller.led = False
    bridge.recall()
    assert loop.called == []


def test_an_action_that_is_left_by_ctrl_c_keeps_none_of_the_others(bridge: Bridge, loop: Loop) -> None:
    done: list[int] = []

    def interrupted() -> None:
        raise KeyboardInterrupt

    elsewhere(lambda: (bridge.post(interrupted), bridge.post(lambda: done.append(1))))
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    loop.run()
    assert done == [1]


def test_chores_are_left_to_the_spare_thread(bridge: Bridge, controller: Controller) -> None:
    bridge.begin()
    bridge.ready()
    assert controller.hailed == 0
    controller.chores.append(print)
    bridge.ready()
    assert controller.hailed == 1


def test_its_descriptor_is_closed_by_the_event_loop(bridge: Bridge, loop: Loop) -> None:
    bridge.begin()
    fd = bridge.fd
    elsewhere(bridge.end)
    assert os.fstat(fd)
    loop.run()
    assert bridge.fd == -1
    assert loop.readers == {}
    bridge.begin()
    assert loop.readers == {}


def test_of_an_event_loop_that_has_ended_nothing_is_left(controller: Any, bridge: Bridge, loop: Loop) -> None:
    bridge.begin()
    loop.closed = True
    elsewhere(lambda: bridge.post(print))
    other: Any = Loop()
    second = build(controller, other)
    assert controller.visitors == (second,)
    assert bridge.fd == -1
    second.end()
    other.run()
    assert second.fd == -1


def test_a_forked_process_gets_none(controller: Any, loop: Any) -> None:
    controller.disowned = 'this process was forked'
    with pytest.raises(EcontextError, match='forked'):
        build(controller, loop)


def test_of_a_closed_broker_nothing_is_watched(controller: Any, loop: Any) -> None:
    controller.closed = True
    bridge = build(controller, loop)
    bridge.begin()
    assert loop.readers == {}
    assert controller.visitors == ()


class Link:
    def __init__(self, out: int) -> None:
        self.writing = threading.Lock()
        self.out = out
        self.queue: list[bytes] = []
        self.transport = self
        self.loop: Any = self
        self.watched: dict[int, int] = {}

    def watch(self, fd: int, watcher: object, events: int) -> None:
        self.watched[fd] = events


def test_a_link_is_held_once_and_watched_for_room() -> None:
    link: Any = Link(7)
    hold(link)
    hold(link)
    assert link.queue == [b'']
    assert link.watched == {7: select.POLLOUT}


def test_a_link_that_is_not_open_yet_is_left_alone() -> None:
    link: Any = Link(-1)
    hold(link)
    assert link.queue == []
