"""Nobody pays for the output of another context, and nobody longer than a deadline for that of the own one."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator

import floods
import pytest

import econtext
from econtext.child.flow import LINE, WINDOW, weight
from econtext.controller import lifecycle, tree
from lab import SOON, eventually
from lab.hearing import hearing


class Slow(logging.Handler):
    """Takes its time for each record, or until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.let_go = threading.Event()
        self.entered = threading.Event()
        self.texts: list[str] = []

    def createLock(self) -> None:
        """Each record may wait for itself."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        self.entered.set()
        if self.seconds:
            self.let_go.wait(self.seconds)
        self.texts.append(record.getMessage())


@pytest.fixture
def slow() -> Iterator[Slow]:
    with hearing(Slow()) as handler:
        yield handler
        handler.let_go.set()


def longest(context: econtext.Context, seconds: float, *call: object) -> float:
    """Return the longest of the calls that fit into that time."""
    worst, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        context.options(timeout=2 * SOON).call(*call)  # type: ignore[arg-type]
        worst = max(worst, time.monotonic() - began)
    return worst


def waiting(context: econtext.Context) -> int:
    """Return how many of its lines wait here."""
    return len(context._node.lines.lines) + sum(item[2] for item in list(context._node.lines.queue))


@pytest.mark.parametrize('prints', [False, True])
def test_a_flood_of_empty_lines_delays_no_other_context(broker: econtext.Broker, slow: Slow, prints: bool) -> None:
    source, quiet = broker.local(), broker.local()
    quiet.call(os.getpid), source.call(os.getpid)
    slow.seconds = 0.01
    source.submit(floods.say, '\n' * (1 << 20))
    assert slow.entered.wait(60)
    call = (floods.answer, 'mine') if prints else (os.getpid,)
    assert longest(quiet, 2, *call) < SOON
    slow.let_go.set()


def test_a_handler_that_never_returns_holds_up_its_own_context_alone(broker: econtext.Broker, slow: Slow) -> None:
    """Others print, have callbacks called, and are closed."""
    source, other = broker.local(), broker.local()
    source.call(os.getpid), other.call(os.getpid)
    slow.seconds = 600
    source.submit(floods.say, 'one\n')
    assert slow.entered.wait(60)
    slow.seconds = 0
    assert other.options(timeout=60).call(floods.answer, 'mine') == 'mine'
    assert 'stdout: mine' in slow.texts
    called = threading.Event()
    other.submit(floods.answer, 'again').add_done_callback(lambda future: called.set())
    assert called.wait(60)
    assert 'stdout: again' in slow.texts
    other.close()
    slow.let_go.set()


@pytest.mark.parametrize('how', ['call', 'result'])
def test_a_deadline_holds_whatever_handlers_do(broker: econtext.Broker, slow: Slow, how: str) -> None:
    context = broker.local()
    context.call(floods.say, '')
    slow.seconds = 600
    began = time.monotonic()
    # Long enough for the answer to be there, and to wait for what was printed before it.
    options = context.options(timeout=15)
    future = context.submit(floods.answer, 'mine') if how == 'result' else None
    if future:
        eventually(future.done, what='the answer is there')
    with pytest.raises(TimeoutError, match='handlers of logging'):
        future.result(0.5) if future else options.call(floods.answer, 'mine')
    assert time.monotonic() - began < SOON
    slow.let_go.set()
    eventually(lambda: slow.texts == ['stdout: mine'], what='nothing is lost')
    assert context.options(timeout=60).call(os.getpid) == context.pid


def test_what_was_printed_before_the_answer_is_handled_before_the_call_returns(
    broker: econtext.Broker, slow: Slow
) -> None:
    context = broker.local()
    context.call(floods.say, '')
    for options in context, context.options(timeout=60):
        slow.texts.clear()
        options.call(floods.flood, 3000)
        assert slow.texts == [f'stdout: {i} {floods.WORD}' for i in range(3000)]
        slow.texts.clear()
        context.submit(floods.flood, 3000).result(60)
        assert len(slow.texts) == 3000


@pytest.mark.parametrize('what', ['context', 'broker'])
@pytest.mark.parametrize('seconds', [0.05, 600])
def test_closing_has_a_bound_and_tells_what_was_dropped(
    broker: econtext.Broker, slow: Slow, what: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, 'CLOSING', 2.0)
    monkeypatch.setattr(tree, 'CLOSING', 2.0)
    context = broker.local()
    context.call(os.getpid)
    slow.seconds = seconds
    context.submit(floods.flood, 3000)
    assert slow.entered.wait(60)
    eventually(lambda: waiting(context) > 300)
    began = time.monotonic()
    context.close() if what == 'context' else broker.close()
    assert time.monotonic() - began < 2.0 + lifecycle.LAST + SOON
    slow.let_go.set()
    told = eventually(lambda: [text for text in slow.texts if 'lines were dropped' in text], what='that is told')
    assert len(told) == 1
    assert int(told[0].split()[0]) > 100


def test_a_line_counts_beside_its_bytes() -> None:
    assert weight(b'') == 0
    assert weight(b'abc') == 3
    assert weight(b'\n' * 1000) == 1000 * (1 + LINE)


def test_a_context_that_prints_empty_lines_is_held_back_soon(broker: econtext.Broker, slow: Slow) -> None:
    """What waits is bounded in lines, not in bytes alone."""
    context = broker.local()
    context.call(os.getpid)
    slow.seconds = 600
    context.submit(floods.say, '\n' * (4 << 20))
    assert slow.entered.wait(60)
    eventually(lambda: context._node.lines.allowance.left() <= 0, what='it used up its credit')
    assert waiting(context) < WINDOW / LINE + 2 * (1 << 16)
    slow.let_go.set()
