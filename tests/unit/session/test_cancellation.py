"""Giving a call up: what the context is told, and what becomes of one that does not heed it."""

from __future__ import annotations

import functools
import logging
from typing import Any

import pytest

from econtext.child.kinds import INTERRUPT
from econtext.controller.session.cancellation import give_up, label, send_interrupt
from econtext.core.wire import CALL, RESULT
from unit.fakes import FakePeer, FakeSession


class Call:
    """A call that may be given up."""

    _overdue: Any = None


@pytest.fixture
def peer() -> FakePeer:
    return FakeSession().add()


def ask(peer: FakePeer) -> int:
    handle: int = peer.broker.router.ask(CALL, peer.id, b'', lambda kind, body: None)
    peer.link.frames.clear()
    return handle


def given_up(peer: FakePeer, handle: int) -> Call:
    call = Call()
    give_up(peer, call, handle, 1.5, 'f was interrupted')  # type: ignore[arg-type]
    return call


def test_the_function_is_interrupted_by_a_module_that_is_sent_before(peer: FakePeer) -> None:
    handle = ask(peer)
    given_up(peer, handle)
    assert peer.link.frames == []   # not by the thread that leads
    peer.broker.loop.run()
    assert peer.pushed == ['econtext.child.interruption']
    assert peer.link.frames == [(INTERRUPT, 1, 0, handle, b'')]


def test_what_was_answered_meanwhile_is_not_interrupted(peer: FakePeer) -> None:
    handle = ask(peer)
    given_up(peer, handle)
    peer.broker.router.answer(1, handle, RESULT, b'n0:')
    peer.broker.loop.run()
    peer.broker.loop.expire()
    assert peer.link.frames == []
    assert peer.pushed == []
    assert peer.error is None


def test_a_context_that_does_not_heed_it_is_ended(peer: FakePeer) -> None:
    handle = ask(peer)
    call = given_up(peer, handle)
    peer.broker.loop.run()
    assert call._overdue in peer.broker.loop.timers
    peer.broker.loop.expire()
    ((ended, why),) = peer.broker.stopped
    assert ended is peer
    assert str(why) == ('peer1: f was interrupted, and did not heed its interruption for 1.5 s, so the context was '
                        'ended: start it again')


def test_a_context_that_is_only_starting_has_its_time_from_when_it_is_ready(peer: FakePeer) -> None:
    peer.ready = False
    handle = ask(peer)
    given_up(peer, handle)
    peer.broker.loop.expire()
    peer.ready = True
    peer.broker.loop.expire()
    assert peer.error is None
    peer.broker.loop.expire()
    assert peer.error is not None


def test_it_is_told_in_the_log(peer: FakePeer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, 'econtext.ctx.peer1')
    handle = ask(peer)
    send_interrupt(peer, handle)  # type: ignore[arg-type]
    peer.broker.loop.run()
    assert caplog.messages == ['> interrupt']
    send_interrupt(peer, handle + 1)  # type: ignore[arg-type]
    peer.broker.loop.run()
    assert caplog.messages == ['> interrupt']


class Named:
    """Something that names itself by what is no text."""

    def method(self) -> None:
        """Has a name that tells its class."""


@pytest.mark.parametrize(('function', 'name'), [
    (ask, 'ask'), (Named.method, 'Named.method'), (len, 'len'), (dict, 'dict')])  # fmt: skip
def test_a_function_is_called_by_its_name(function: Any, name: str) -> None:
    assert label(function) == name


def test_what_has_no_name_is_called_by_its_type() -> None:
    assert label(functools.partial(len)) == 'a functools.partial'
    named: Any = Named()
    named.__qualname__ = 5
    assert label(named) == f'a {Named.__module__}.Named'
