"""The system may take long to start a program: nobody waits for that who only asks for a context."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import econtext
from econtext.parent import process
from lab import SOON as WAIT
from lab import eventually
from lab.sshd import Sshd


class Held:
    """Holds up each start until it is `released`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = threading.Event()
        self.released = threading.Event()
        self.real: Callable[..., Any] = process.spawn
        monkeypatch.setattr(process, 'spawn', self.spawn)

    def spawn(self, *args: Any) -> Any:
        self.reached.set()
        assert self.released.wait(WAIT)
        return self.real(*args)


def test_ssh_returns_before_its_program_has_started(
    broker: econtext.Broker, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    contexts = [broker.ssh(sshd.address, ssh_args=sshd.ssh_args(), python=sys.executable) for _ in range(2)]
    calls = [context.submit(os.getpid) for context in contexts]
    assert held.reached.wait(WAIT)
    assert not held.released.is_set()
    held.released.set()
    assert len({call.result(WAIT) for call in calls}) == 2


@pytest.mark.parametrize('what', ['context', 'broker'])
def test_one_that_is_closed_while_its_program_starts_leaves_nothing(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    with econtext.Broker() as broker:
        held = Held(monkeypatch)
        context = broker.ssh(sshd.address, ssh_args=sshd.ssh_args(), python=sys.executable)
        call = context.submit(os.getpid)
        assert held.reached.wait(WAIT)
        closing = threading.Thread(target=context.close if what == 'context' else broker.close)
        closing.start()
        assert isinstance(call.exception(WAIT), econtext.EcontextError)
        held.released.set()
        closing.join(WAIT)
        assert not closing.is_alive()


def test_a_start_that_fails_unforeseen_fails_the_context(
    broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(sys, 'unraisablehook', shown.append)

    def spawn(*args: Any) -> Any:
        raise MemoryError('no room')

    monkeypatch.setattr(process, 'spawn', spawn)
    with pytest.raises(econtext.ConnectError, match='MemoryError: no room') as caught:
        broker.ssh('web1').call(os.getpid)
    assert caught.value.kind == 'ended'
    eventually(lambda: shown, WAIT, 'the program shows it, too')


def test_without_a_thread_it_starts_all_the_same(
    broker: econtext.Broker, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*args: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr('econtext.controller.lifecycle._thread.start_new_thread', none)
        context = broker.ssh(sshd.address, ssh_args=sshd.ssh_args(), python=sys.executable)
    assert context.call(os.getpid)
