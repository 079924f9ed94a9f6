"""The hand-over: whoever waits is woken, whoever is there leads, and at most one leads."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from econtext.controller.runtime.deadlines import Expired
from econtext.controller.runtime.loop import ControllerLoop
from econtext.controller.runtime.waiting import Wait
from econtext.core.loop import Link, Loop, Reader, Waiter
from econtext.core.router import Router
from econtext.core.wire import CALL, DATA, RESULT, Decoder, pack
from lab import eventually

SOON = 20.0     # seconds until a thread that is not woken is given up
THREADS, CALLS = 8, 150


class One:
    """Counts the threads inside of ``turn``."""

    def __init__(self, loop: Any) -> None:
        self.inside = self.most = 0
        self.turn = loop.turn
        loop.turn = self

    def __call__(self, waiter: Waiter) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            self.turn(waiter)
        finally:
            self.inside -= 1


class Echo:
    """A peer over pipes: answers each frame, by a thread of its own."""

    def __init__(self, loop: Any) -> None:
        self.router = Router(0)
        ours, theirs = os.pipe(), os.pipe()
        self.link = Link(loop, self.router, self)
        self.link.open(ours[0], theirs[1])
        self.router.links[1] = self.link
        self.peer = threading.Thread(target=self.answer, args=(theirs[0], ours[1]))
        self.peer.start()
        self.ended = 0

    def answer(self, read: int, write: int) -> None:
        decoder = Decoder(lambda *header: True)
        while data := os.read(read, 65536):
            for _kind, dst, src, handle, body in decoder.feed(data):
                os.write(write, pack(RESULT, src, dst, handle, len(body)) + body)
        os.close(read)
        os.close(write)

    def lost(self, link: Link, reason: str) -> None:
        self.ended += 1

    def call(self, loop: Any, body: bytes) -> bytes | None:
        waiter = Wait(loop) if isinstance(loop, ControllerLoop) else Waiter(loop)
        self.router.ask(CALL, 1, body, waiter.settle)
        loop.wait(waiter)
        return waiter.body


def run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.daemon = True
        thread.start()
    deadline = time.monotonic() + SOON
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    stuck = [thread for thread in threads if thread.is_alive()]
    assert not stuck, f'{len(stuck)} were never woken'


def idle(loop: Loop) -> bool:
    return not loop.parked and loop.led == loop.relief.leads


@pytest.fixture
def controller() -> Iterator[ControllerLoop]:
    loop = ControllerLoop()
    yield loop
    loop.close()


class Unrelieved(ControllerLoop):
    """Without its spare thread, which leads in place of a test's own where the machine lets those wait."""

    def spare(self) -> None: ...


@pytest.fixture
def unrelieved() -> Iterator[ControllerLoop]:
    loop = Unrelieved()
    yield loop
    loop.close()


@pytest.mark.parametrize('spare', [False, True])
def test_all_are_answered_and_one_leads(spare: bool) -> None:
    loop: Any = ControllerLoop() if spare else Loop()
    one, echo = One(loop), Echo(loop)
    wrong: list[bytes | None] = []

    def calls(number: int) -> None:
        for count in range(CALLS):
            body = b'%d.%d' % (number, count)
            found = echo.call(loop, body)
            if found != body:
                wrong.append(found)

    run([threading.Thread(target=calls, args=(number,)) for number in range(THREADS)])
    assert wrong == []
    assert one.most == 1
    assert idle(loop)
    echo.link.hang_up()
    echo.peer.join(SOON)
    echo.link.close()
    if spare:
        loop.close()
    else:
        loop.poller.close()


@pytest.mark.parametrize('kind', ['controller', 'unrelieved'])
def test_finished_by_threads_that_do_not_lead(kind: str, request: pytest.FixtureRequest) -> None:
    """The one that leads sleeps in poll() when another thread finishes it."""
    controller = request.getfixturevalue(kind)
    one = One(controller)
    handed: list[Wait] = []
    ready = threading.Semaphore(0)

    def waits() -> None:
        for _ in range(CALLS):
            wait = Wait(controller)
            handed.append(wait)
            ready.release()
            controller.wait(wait)

    def finishes() -> None:
        for _ in range(THREADS * CALLS):
            ready.acquire()
            controller.finish(handed.pop())

    run([threading.Thread(target=waits) for _ in range(THREADS)] + [threading.Thread(target=finishes)])
    # The spare thread may have led before `one` counted, and nothing wakes it.
    assert one.most == 1 or (kind == 'controller' and one.most == 0)
    assert idle(controller)


def test_finish_between_the_last_look_and_the_sleep(unrelieved: ControllerLoop) -> None:
    """It is finished by the very thread that led last, when the new leader is about to sleep."""
    wait, looked, finished = Wait(unrelieved), threading.Event(), threading.Event()
    turn = unrelieved.turn

    def slow(waiter: Waiter) -> None:
        if waiter is wait and not looked.is_set():
            looked.set()
            finished.wait(SOON)
        turn(waiter)

    unrelieved.turn = slow  # type: ignore[method-assign]
    first = Wait(unrelieved, 0.0)
    with pytest.raises(Expired):
        unrelieved.wait(first)      # so that this thread has led
    waits = threading.Thread(target=unrelieved.wait, args=(wait,), daemon=True)
    waits.start()
    while not looked.wait(0.01):
        pass
    unrelieved.finish(wait)
    finished.set()
    waits.join(SOON)
    assert not waits.is_alive(), 'nobody woke it'


def test_deadlines_while_another_leads(controller: ControllerLoop) -> None:
    leading, late = Wait(controller), []

    def expires() -> None:
        before = time.monotonic()
        with pytest.raises(Expired):
            controller.wait(Wait(controller, before + 0.05))
        late.append(time.monotonic() - before)

    leader = threading.Thread(target=controller.wait, args=(leading,))
    leader.start()
    run([threading.Thread(target=expires) for _ in range(THREADS)])
    assert len(late) == THREADS
    assert min(late) >= 0.05
    controller.finish(leading)
    leader.join(SOON)
    assert not leader.is_alive()
    assert idle(controller)


def test_an_error_in_a_turn_passes_the_lead_on() -> None:
    loop = Loop()
    read, write = os.pipe()
    broken: list[bool] = []

    def receive(data: bytes) -> None:
        if not broken:
            broken.append(True)
            raise LookupError('a handler that fails')
        loop.finish(waiters[1])
        loop.finish(waiters[0])

    reader = Reader(loop, read, receive)
    waiters = [Waiter(loop), Waiter(loop)]
    failed: list[BaseException] = []

    def waits(waiter: Waiter) -> None:
        try:
            loop.wait(waiter)
        except LookupError as error:
            failed.append(error)
            os.write(write, b'again')

    threads = [threading.Thread(target=waits, args=(waiter,)) for waiter in waiters]
    os.write(write, b'once')
    run(threads)
    assert len(failed) == 1
    assert not loop.led
    assert not loop.parked
    reader.close()
    os.close(write)
    loop.poller.close()


def test_frames_of_many_threads_arrive_whole_and_in_the_order_of_each() -> None:
    """Small and large ones, more than the pipe holds, to a reader that starts late."""
    loop, router = ControllerLoop(), Router(0)
    read, write = os.pipe()
    spare_read, spare_write = os.pipe()
    link = Link(loop, router, None)
    link.open(spare_read, write)
    router.links[1] = link
    count, sizes = 40, (1, 70_000, 300, 20_000)

    def sends(number: int) -> None:
        for turn in range(count):
            router.send(DATA, 1, number, b'%06d' % turn + b'x' * sizes[turn % len(sizes)])

    run([threading.Thread(target=sends, args=(number,)) for number in range(4)])
    decoder = Decoder(lambda *header: True)
    heard: list[Any] = []
    while len(heard) < 4 * count:
        heard += decoder.feed(os.read(read, 65536))
    for number in range(4):
        bodies = [frame[4] for frame in heard if frame[3] == number]
        assert [int(body[:6]) for body in bodies] == list(range(count))
        assert [len(body) - 6 for body in bodies] == [sizes[turn % len(sizes)] for turn in range(count)]
    # What was written is here before its writer has taken it off the queue.
    eventually(lambda: not link.queue)
    link.hang_up()
    link.close()
    loop.close()
    os.close(read)
    os.close(spare_write)


def test_closed_descriptors_are_not_written_to() -> None:
    """What wakes a loop that is closed must not reach who got its descriptor's number."""
    loop = ControllerLoop()
    number = loop.waker
    loop.close()
    read, write = os.pipe()
    os.dup2(write, number)
    loop.call_in_order(lambda: None)
    loop.call_at(0.0, lambda: None)
    loop.wake()
    os.set_blocking(read, False)
    with pytest.raises(BlockingIOError):
        os.read(read, 1)
    for fd in {read, write, number}:
        os.close(fd)


def test_events_run_in_order_and_not_under_the_lead(controller: ControllerLoop) -> None:
    seen: list[tuple[int, bool]] = []
    done = threading.Event()

    def note(number: int) -> None:
        seen.append((number, threading.get_ident() == controller.leader))

    for number in range(50):
        controller.call_in_order(functools.partial(note, number))
    controller.call_in_order(done.set)
    assert done.wait(SOON)
    assert seen == [(number, False) for number in range(50)]


@pytest.mark.parametrize('seconds', [86400.0 * 30, 1e12, float('inf')])
def test_more_time_than_a_poller_can_wait(controller: ControllerLoop, seconds: float) -> None:
    timer = controller.call_at(time.monotonic() + seconds, lambda: None)
    leader, parked = (Wait(controller, time.monotonic() + seconds) for _ in range(2))
    threads = [threading.Thread(target=controller.wait, args=(waiter,)) for waiter in (leader, parked)]
    for thread in threads:
        thread.start()
    while not controller.parked:
        # Both wait; each would raise at once.
        assert all(thread.is_alive() for thread in threads)
        time.sleep(0.001)
    for waiter in parked, leader:
        controller.finish(waiter)
    for thread in threads:
        thread.join(SOON)
        assert not thread.is_alive()
    assert controller.helper.is_alive()
    timer.action = None


def test_an_event_that_raises_whatever_it_likes_ends_no_thread(
    controller: ControllerLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as what test frameworks raise, which is no Exception; nobody waits, so a thread of the loop runs it."""
    class Outcome(BaseException):
        pass

    def fail() -> None:
        raise Outcome

    shown: list[type[BaseException]] = []
    monkeypatch.setattr('sys.excepthook', lambda kind, *rest: shown.append(kind))
    controller.call_in_order(fail)
    done = threading.Event()
    controller.call_in_order(done.set)
    assert done.wait(SOON)
    assert shown == [Outcome]


def test_chores_without_end_hold_up_nobody(controller: ControllerLoop) -> None:
    echo = Echo(controller)
    over, count = False, 0

    def chore() -> None:
        nonlocal count
        count += 1
        if not over:
            controller.call_soon(chore)

    try:
        for _ in range(50):
            controller.call_soon(chore)
        for _ in range(20):
            wait = Wait(controller, time.monotonic() + SOON)
            echo.router.ask(CALL, 1, b'', wait.settle)
            controller.wait(wait)
        assert count > 20
    finally:
        over = True
        echo.link.hang_up()
        echo.peer.join(SOON)
