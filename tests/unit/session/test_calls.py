"""Calls whose answer nobody would give: asked while their context is being lost, or given up here and not there."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

import econtext
from econtext.controller.runtime import signals
from econtext.controller.session import backpressure
from lab import SOON, eventually


@pytest.mark.parametrize('way', ['call', 'submit'])
def test_a_call_asked_while_its_context_is_lost_is_answered(
    broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    child = broker.local()
    child.call(os.getpid)
    request = child._node.request

    def lost_behind(*args: Any) -> bytes:
        body = request(*args)
        broker._tree.mark_lost(child._node, child._node.lost('it was lost meanwhile'))  # and its link is there yet
        return body

    monkeypatch.setattr(child._node, 'request', lost_behind)
    ask = child.options(timeout=60).call if way == 'call' else lambda function: child.submit(function).result(60)
    with pytest.raises(econtext.ContextLost, match='meanwhile'):
        ask(os.getpid)
    assert not child._node.pending

pytestmark = pytest.mark.slow


def test_calls_that_are_over_here_count_until_they_are_answered(
    broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = broker.local(heartbeat=0)
    pid = child.call(os.getpid)
    monkeypatch.setattr(backpressure, 'MOST', 8 * backpressure.EACH)
    os.kill(pid, signal.SIGSTOP)
    try:
        options = child.options(timeout=0.02, grace=600)
        for _ in range(8):
            assert isinstance(options.submit(len, 'abc').exception(60), econtext.CallTimeout)
        with pytest.raises(econtext.CallTimeout, match='calls wait for it'):
            options.submit(len, 'abc')
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: not child._node.pending)
    assert child.call(len, 'abc') == 3


def test_a_wait_that_ctrl_c_leaves_is_over(broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    child = broker.local()
    child.call(os.getpid)
    future = child.submit(signal.pause)
    waits: list[Any] = []

    def left(wait: Any) -> None:
        waits.append(wait)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(broker._tree.loop, 'wait', left)
        with pytest.raises(KeyboardInterrupt):
            future.result()
    assert waits[0].done
    assert not future._waits


def test_who_lets_signals_run_meets_the_one_that_was_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the pause until it comes again has become."""
    came: list[int] = []
    monkeypatch.setattr(signals, 'PENDING', {})
    monkeypatch.setattr(signals, 'PATIENCE', SOON)
    before = signal.signal(signal.SIGUSR1, signals.Deferred(lambda signum, frame: came.append(signum)))
    try:
        for times in range(1, 4):
            signals.PENDING[signal.SIGUSR1] = object()
            timer = threading.Timer(signals.LONGEST, os.kill, (os.getpid(), signal.SIGUSR1))
            timer.start()
            signals.let_signals_run()
            heard = list(came)
            # Not behind the handler.
            timer.join(SOON)
            assert heard == [signal.SIGUSR1] * times
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_that_was_put_off_comes_until_it_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    def came(how: str) -> None:
        sent.append(how)
        if len(sent) == 3:
            signals.PENDING[signal.SIGINT] = 'another time'

    handlers: list[Any] = [signals.Deferred(print)]
    monkeypatch.setattr(signals, 'interrupt_main', lambda signum: came('within'))
    monkeypatch.setattr(signals.os, 'kill', lambda pid, signum: came('from the kernel'))
    monkeypatch.setattr(signals, 'getsignal', lambda signum: handlers[0])
    monkeypatch.setattr(signals, 'OPEN', {1})
    monkeypatch.setattr(signals, 'PENDING', {signal.SIGINT: 'this'})
    signals.again(signal.SIGINT, 'this')
    assert sent == ['within', 'from the kernel', 'from the kernel']
    # It is not sent where it would end the program.
    handlers[0] = signal.SIG_DFL
    signals.again(signal.SIGINT, 'another time')
    assert len(sent) == 3
    assert not signals.PENDING
    signals.PENDING[signal.SIGINT] = 'one more'
    signals.run_pending()
    assert not signals.PENDING
