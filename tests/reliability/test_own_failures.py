"""What fails in econtext itself is an InternalError, logged with its traceback: it blames, ends and unlocks nobody."""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import floods
import pytest

import econtext
from econtext.controller.runtime.loop import ControllerLoop
from econtext.controller.runtime.waiting import Wait
from econtext.core.wire import HELLO, LOG, BadFrame
from lab import SOON, eventually


class Defect(Exception):
    pass


def fail(*_args: object) -> Any:
    raise Defect('of ours')


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if 'Defect' in record.getMessage()]


# -- whose fault it is -------------------------------------------------------


def test_a_defect_of_ours_ends_no_context(
    broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    child = broker.local()
    pid = child.call(os.getpid)
    caplog.set_level(logging.INFO)
    monkeypatch.setitem(broker._tree.router.handlers, LOG, fail)
    child.call(floods.flood_of_records, 1)
    assert eventually(lambda: told(caplog), what='it is logged')
    assert 'Traceback' in told(caplog)[0]
    assert child.name in told(caplog)[0]
    assert child.call(os.getpid) == pid


def test_what_a_context_sent_wrong_ends_it(
    broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    child = broker.local()
    child.call(os.getpid)

    def refuse(*_frame: object) -> None:
        raise BadFrame('no honest one sends this')

    monkeypatch.setitem(broker._tree.router.handlers, LOG, refuse)
    with pytest.raises(econtext.CorruptStream, match='no honest one'):
        child.call(floods.flood_of_records, 1)


@pytest.mark.parametrize('how', ['call', 'submit', 'timeout'])
def test_who_waits_for_a_frame_that_we_could_not_take_in_is_told(
    broker: econtext.Broker, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = broker.local()
    child.call(os.getpid)
    calls: dict[str, Callable[[], Any]] = {
        'call': lambda: child.call(os.getpid),
        'submit': lambda: child.submit(os.getpid).result(60),
        'timeout': lambda: child.options(timeout=60).call(os.getpid),
    }
    with monkeypatch.context() as patch:
        patch.setattr('econtext.core.router.Router.answer', fail)
        with pytest.raises(econtext.InternalError, match='Defect: of ours'):
            calls[how]()
    with monkeypatch.context() as patch:
        patch.setattr('econtext.controller.session.results.decode', fail)
        with pytest.raises(econtext.InternalError, match='Defect: of ours'):
            calls[how]()
    assert calls[how]() == child.pid


def test_a_start_that_we_could_not_take_in_fails_as_ours(
    broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(broker._tree.router.handlers, HELLO, fail)
    with pytest.raises(econtext.InternalError, match='Defect: of ours'):
        broker.local().wait_ready(60)


# -- the threads of the loop -------------------------------------------------


@pytest.fixture
def loop() -> Iterator[ControllerLoop]:
    made = ControllerLoop()
    yield made
    made.close()


class Watcher:
    def __init__(self, loop: ControllerLoop, error: Exception) -> None:
        self.loop, self.error = loop, error
        self.read, self.write = os.pipe()
        self.seen = 0
        loop.watch(self.read, self)  # type: ignore[arg-type]

    def ready(self, fd: int) -> None:
        os.read(fd, 1)
        self.seen += 1
        raise self.error

    def close(self) -> None:
        os.close(self.read)
        os.close(self.write)


@pytest.mark.parametrize('error', [Defect('of ours'), OSError(errno.EMFILE, 'Too many'), MemoryError()], ids=repr)
@pytest.mark.parametrize('leads', ['spare', 'caller'])
def test_what_escapes_in_a_turn_ends_no_thread_and_comes_out_of_no_wait(
    loop: ControllerLoop, leads: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    watcher = Watcher(loop, error)
    for number in range(1, 4):
        os.write(watcher.write, b'.')
        if leads == 'spare':
            eventually(lambda number=number: watcher.seen >= number, what='the spare thread goes on')  # type: ignore[misc]
        else:
            wait = Wait(loop, time.monotonic() + SOON)
            loop.call_at(time.monotonic() + 0.05, lambda wait=wait: loop.finish(wait))  # type: ignore[misc]
            loop.wait(wait)
            # The turn that finished the wait may have begun before that byte was there.
            eventually(lambda number=number: watcher.seen >= number, what='it was read')  # type: ignore[misc]
    assert watcher.seen == 3
    assert loop.helper.is_alive()
    eventually(lambda: [record for record in caplog.records if type(error).__name__ in record.getMessage()])


def test_a_timer_that_fails_leaves_the_others(loop: ControllerLoop, caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()
    now = time.monotonic() + 0.05
    loop.call_at(now, fail)
    loop.call_at(now, lambda: done.set())
    assert done.wait(60)
    eventually(lambda: told(caplog))


def test_a_poller_that_fails_is_asked_again(loop: ControllerLoop, caplog: pytest.LogCaptureFixture) -> None:
    poller = loop.poller
    failed = threading.Event()

    class Failing:
        def poll(self, patience: float) -> Any:
            loop.poller = poller
            failed.set()
            raise OSError(errno.ENOMEM, 'Cannot allocate memory')

    loop.poller = Failing()
    loop.wake()
    assert failed.wait(60)
    wait = Wait(loop, time.monotonic() + SOON)
    loop.call_at(time.monotonic() + 0.05, lambda: loop.finish(wait))
    loop.wait(wait)
    assert loop.helper.is_alive()


# -- locks -------------------------------------------------------------------


@pytest.mark.parametrize('name', ['lock', 'writing'])
def test_closing_opens_no_lock_that_another_thread_holds(broker: econtext.Broker, name: str) -> None:
    kept, closed = broker.local(), broker.local()
    kept.call(os.getpid), closed.call(os.getpid)
    lock = getattr(broker._tree.router.links[kept._node.id], name)
    held, let_go, wrong = threading.Event(), threading.Event(), []

    def hold() -> None:
        with lock:
            held.set()
            let_go.wait(60)
            if not lock._is_owned():
                wrong.append('it was opened')

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    closing = threading.Timer(0.2, let_go.set)
    try:
        broker._tree.recover()
        assert not lock.acquire(blocking=False)
        # What waits for that lock goes on in a moment.
        closing.start()
        closed.close()
        closing.join()
    finally:
        let_go.set()
        thread.join()
    assert wrong == []
    assert broker._tree.loop.helper.is_alive()
    assert kept.options(timeout=60).call(os.getpid) == kept.pid


# -- programs that attach ----------------------------------------------------


def test_who_cannot_be_let_in_disturbs_nobody(
    broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    child = broker.local()
    child.call(os.getpid)
    path = broker.listen()
    assert broker._tree.attach_server is not None
    tries, real = [], broker._tree.attach_server.socket

    class Lacking:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def accept(self) -> Any:
            tries.append(time.monotonic())
            if len(tries) < 3:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return real.accept()

    monkeypatch.setattr('econtext.controller.attach.server.AGAIN', 0.2)
    monkeypatch.setattr(broker._tree.attach_server, 'socket', Lacking())
    with socket.socket(socket.AF_UNIX) as guest:
        guest.connect(path)
        for number in range(20):
            assert child.submit(abs, -number).result(60) == number
        eventually(lambda: broker._tree.attach_server.programs, what='it is let in in the end')  # type: ignore[union-attr]
    assert len(tries) == 3
    assert tries[1] - tries[0] > 0.15
    assert [record for record in caplog.records if 'no program can attach now' in record.getMessage()]
    assert broker._tree.loop.helper.is_alive()
