"""Contexts end when they are told to, whatever state they are in and however many ask."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

import econtext
from econtext.controller import lifecycle, tree
from econtext.parent import children
from lab import SOON

PATIENCE = 600.0  # seconds for what does not end by itself, here and in hops: far more than is waited for here


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (lifecycle, 'CLOSING'), (tree, 'CLOSING'), (children, 'PATIENCE'):
        monkeypatch.setattr(module, name, PATIENCE)


def patient(broker: econtext.Broker) -> econtext.Context:
    """Return a context that waits as long for those below it."""
    hop = broker.local()
    hop.call(exec, f'import econtext.parent.children as children; children.PATIENCE = {PATIENCE}')
    return hop


def closed_soon(context: econtext.Context | econtext.Broker) -> None:
    before = time.monotonic()
    context.close()
    assert time.monotonic() - before < SOON


def test_close_of_a_context_below_a_context(broker: econtext.Broker) -> None:
    below = patient(broker).local()
    below.call(os.getpid)
    closed_soon(below)


def test_close_of_one_that_is_still_starting(broker: econtext.Broker) -> None:
    hop = patient(broker)
    for _ in range(5):
        closed_soon(hop.local(python='/bin/cat'))
    assert hop.call(os.getpid)


def test_close_of_many_started_at_once(broker: econtext.Broker) -> None:
    hop = patient(broker)
    contexts = [hop.local() for _ in range(6)]
    for context in contexts:
        closed_soon(context)
    assert hop.call(os.getpid)


def test_many_close_one(broker: econtext.Broker) -> None:
    context = broker.local()
    context.call(os.getpid)
    taken: list[float] = []

    def close() -> None:
        before = time.monotonic()
        context.close()
        taken.append(time.monotonic() - before)

    threads = [threading.Thread(target=close) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(taken) == 6
    assert max(taken) < SOON


def test_a_broker_ends_what_failed_before_it_lets_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / 'ssh'
    program.write_text('#!/bin/sh\necho ssh: Connection refused >&2\nexit 255\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=':')
    for _ in range(20):
        broker = econtext.Broker()
        with pytest.raises(econtext.ConnectError):
            broker.ssh('foo').wait_ready(timeout=60)
        closed_soon(broker)
        assert not broker._tree.unreaped
