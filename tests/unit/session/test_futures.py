"""Futures: settled once, told in order, withdrawn, interrupted; without a link, a thread or a process."""

from __future__ import annotations

import concurrent.futures
import copy
import functools
from typing import Any

import pytest

from econtext.child.kinds import BEGUN, INTERRUPT, WITHDRAW
from econtext.controller.errors import ContextLost
from econtext.controller.session.futures import Future
from econtext.core.codec import encode
from econtext.core.wire import CALL, DEAD, RESULT, STDIO
from unit.fakes import FakePeer, FakeSession


@pytest.fixture
def peer() -> FakePeer:
    return FakeSession().add()


def ask(peer: FakePeer) -> Future[Any]:
    """Return the future of a call that was sent."""
    future: Future[Any] = Future(peer)  # type: ignore[arg-type]
    future._function = ask
    peer.pending.add(future)
    future._handle = peer.broker.router.ask(CALL, peer.id, b'', future._set_answer)
    peer.link.frames.clear()
    return future


def answer(future: Future[Any], kind: int = RESULT, value: Any = 5) -> None:
    future._context.broker.router.answer(1, future._handle, kind, encode(value) if kind == RESULT else b'')


def test_a_future_is_pending_until_it_is_answered(peer: FakePeer) -> None:
    future = ask(peer)
    assert (future.done(), future.running(), future.cancelled()) == (False, True, False)
    assert peer.pending == {future}
    answer(future)
    assert (future.done(), future.cancelled()) == (True, False)
    assert peer.pending == set()
    assert future.result() == future.result(timeout=0) == 5
    assert future.exception() is None


def test_who_waits_leads_until_the_answer_is_here(peer: FakePeer) -> None:
    future = ask(peer)
    peer.broker.loop.meanwhile = lambda: answer(future)
    assert future.result() == 5


def test_a_time_that_is_over_leaves_nothing_behind(peer: FakePeer) -> None:
    future = ask(peer)
    for wait in future.result, future.exception:
        with pytest.raises(concurrent.futures.TimeoutError):
            wait(timeout=0.01)
    assert future._waits == ()
    assert not future.done()
    answer(future)
    assert future.result() == 5


def test_what_was_answered_first_stands(peer: FakePeer) -> None:
    future = ask(peer)
    answer(future)
    future._set_outcome(lambda *_: 6)
    assert future.result() == 5


def test_an_answer_is_decoded_by_who_wants_it(peer: FakePeer) -> None:
    future = ask(peer)
    peer.broker.router.answer(1, future._handle, RESULT, b'rubbish')
    assert future.done()
    assert peer.broker.corrupted == []
    with pytest.raises(ContextLost, match='makes no sense'):
        future.result()
    assert len(peer.broker.corrupted) == 1
    assert isinstance(future.exception(), ContextLost)


def test_a_context_that_is_gone_is_the_result(peer: FakePeer) -> None:
    future = ask(peer)
    peer.broker.stop(peer, peer.lost('it went'))
    with pytest.raises(ContextLost, match='it went'):
        future.result()
    assert not future.cancelled()


@pytest.mark.parametrize('watch', [
    lambda future: future.running(), lambda future: future.add_done_callback(lambda done: None)])
@pytest.mark.parametrize('before', [True, False])
def test_a_result_can_be_had_again_before_its_watchers_are_told(peer: FakePeer, watch: Any, before: bool) -> None:
    """They are told by another thread, when it comes to that."""
    future = ask(peer)
    if before:
        watch(future)
    peer.lines.put(lambda: None)
    answer(future)
    if not before:
        assert future.result() == 5
        peer.lines.put(lambda: None)
        watch(future)
    for _ in range(3):
        assert future.result() == future.result(timeout=0) == 5
        assert future.exception() is None
    peer.broker.loop.run()
    assert future.result() == 5


# -- watchers ----------------------------------------------------------------


def test_callbacks_are_told_by_the_loop_in_order(peer: FakePeer) -> None:
    future = ask(peer)
    told: list[str] = []
    future.add_done_callback(lambda done: told.append(f'first {done.result()}'))
    future.add_done_callback(lambda done: told.append('second'))
    answer(future)
    assert told == []   # not by the thread that leads
    peer.broker.loop.run()
    assert told == ['first 5', 'second']
    future.add_done_callback(lambda done: told.append('late'))
    assert told[-1] == 'late'


def test_a_watcher_is_told_of_failures_too(peer: FakePeer) -> None:
    future = ask(peer)
    told: list[Any] = []
    future.add_done_callback(lambda done: told.append(done.exception()))
    peer.broker.stop(peer, peer.lost('it went'))
    peer.broker.loop.run()
    assert [str(error) for error in told] == ['peer1: it went']


def test_a_watcher_is_told_behind_what_was_printed_before(peer: FakePeer) -> None:
    future = ask(peer)
    told: list[str] = []
    future.add_done_callback(lambda done: told.append('answer'))
    peer.lines.put(lambda: told.append('line'))
    answer(future)
    peer.broker.loop.run()
    assert told == ['line', 'answer']


def test_who_comes_late_is_told_behind_what_was_printed_before(peer: FakePeer) -> None:
    future = ask(peer)
    told: list[str] = []
    peer.lines.put(lambda: told.append('line'))
    answer(future)
    future.add_done_callback(lambda done: told.append('answer'))
    peer.broker.loop.run()
    assert told == ['line', 'answer']


def test_who_has_the_result_has_handled_what_came_before(peer: FakePeer) -> None:
    future = ask(peer)
    told: list[str] = []
    peer.lines.put(lambda: told.append('line'))
    answer(future)
    peer.lines.put(lambda: told.append('later'))
    assert future.result() == 5
    assert told == ['line']
    peer.broker.loop.run()
    assert told == ['line', 'later']


def test_an_unfinished_line_is_one_when_the_call_has_ended(peer: FakePeer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level('INFO', 'econtext.ctx.peer1')
    future = ask(peer)
    peer.talked = True
    peer.lines.put(lambda: peer.lines.printed(1, b'no end'))
    answer(future)
    assert not peer.talked
    future.result()
    assert caplog.messages == ['stdout: no end']
    assert STDIO


def test_waiting_for_many_goes_through_the_standard_library(peer: FakePeer) -> None:
    futures = [ask(peer) for _ in range(3)]
    for future in futures:
        answer(future)
    peer.broker.loop.run()
    assert concurrent.futures.wait(futures, timeout=60).done == set(futures)
    assert list(concurrent.futures.as_completed(futures, timeout=5)) != []


# -- withdrawn and interrupted -----------------------------------------------


def test_a_call_that_has_not_begun_is_withdrawn(peer: FakePeer) -> None:
    future = ask(peer)
    peer.broker.loop.meanwhile = lambda: answer(future, DEAD)
    assert future.cancel()
    assert peer.link.frames == [(INTERRUPT, 1, 0, future._handle, WITHDRAW)]
    assert (future.cancelled(), future.done()) == (True, True)
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    with pytest.raises(concurrent.futures.CancelledError):
        future.exception()
    assert future.cancel()
    assert len(peer.link.frames) == 1


def test_a_call_that_has_begun_goes_on(peer: FakePeer) -> None:
    future = ask(peer)
    peer.broker.loop.meanwhile = lambda: future._set_answer(BEGUN, b'')
    assert not future.cancel()
    assert (future.cancelled(), future.done()) == (False, False)
    assert peer.pending == {future}
    answer(future)
    assert future.result() == 5


def test_a_context_that_does_not_say_is_waited_for_a_while(peer: FakePeer) -> None:
    future = ask(peer)
    assert not future.cancel()
    answer(future)
    assert not future.cancel()
    assert future.result() == 5


def test_the_answer_comes_while_it_is_withdrawn(peer: FakePeer) -> None:
    future = ask(peer)
    peer.broker.loop.meanwhile = lambda: answer(future)
    assert not future.cancel()
    assert future.result() == 5


def test_a_lost_context_withdraws_nothing(peer: FakePeer) -> None:
    future = ask(peer)
    peer.broker.loop.meanwhile = lambda: peer.broker.stop(peer, peer.lost('it went'))
    assert not future.cancel()
    with pytest.raises(ContextLost):
        future.result()


def test_a_call_is_interrupted(peer: FakePeer) -> None:
    future = ask(peer)
    assert future.interrupt(grace=0.5)
    peer.broker.loop.run()
    assert peer.link.frames == [(INTERRUPT, 1, 0, future._handle, b'')]
    assert future._overdue is not None
    assert future._overdue.action is not None
    answer(future)
    assert future._overdue.action is None    # it has heeded it
    assert not future.interrupt()
    assert peer.error is None


def test_one_that_was_interrupted_before_it_began_is_cancelled(peer: FakePeer) -> None:
    future = ask(peer)
    future.interrupt()
    answer(future, DEAD)
    assert future.cancelled()


def test_one_that_does_not_heed_it_costs_its_context(peer: FakePeer) -> None:
    future = ask(peer)
    future.interrupt(grace=0.5)
    peer.broker.loop.run()
    peer.broker.loop.expire()
    with pytest.raises(ContextLost, match=r'ask was interrupted, and did not heed its interruption for 0\.5 s'):
        future.result()


def test_a_time_that_was_given_is_over_here_and_the_call_counts_there(peer: FakePeer) -> None:
    future = ask(peer)
    future._timer = peer.broker.loop.call_at(0.0, lambda: None)
    future._set_outcome(functools.partial(int, '7'), peer.broker.loop.call_in_order)
    assert future._timer is not None
    assert future._timer.action is None
    assert peer.pending == {future}
    answer(future)
    assert peer.pending == set()


def test_a_future_stays_in_its_process(peer: FakePeer) -> None:
    with pytest.raises(TypeError, match='bound to this process'):
        copy.copy(ask(peer))
