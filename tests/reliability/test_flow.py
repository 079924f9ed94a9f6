"""Floods of output: they slow their source, cost no memory here, lose no line, and hold up nobody else."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import floods
import pytest

import econtext
from econtext.child.flow import WINDOW
from econtext.controller import lifecycle
from econtext.controller.connect.options import NARROWEST, WIDEST
from econtext.controller.session.output import SLACK
from lab import eventually, leaks, pythons
from lab.hearing import hearing

PIECE = 1 << 16


class Gate(logging.Handler):
    """Lets records through while it is open, and keeps their texts."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.entered = threading.Event()
        self.texts: list[str] = []
        self.also: Callable[[str], object] = len

    def emit(self, record: logging.LogRecord) -> None:
        self.entered.set()
        self.open.wait()
        self.texts.append(record.getMessage())
        self.also(self.texts[-1])


@pytest.fixture
def gate() -> Iterator[Gate]:
    with hearing(Gate(), 'econtext.ctx.source') as handler:
        yield handler
        handler.open.set()


def held(context: econtext.Context) -> bool:
    """Has the context used up its credit?"""
    return context._node.lines.allowance.left() <= 0


def waiting(context: econtext.Context) -> int:
    """Return how many bytes of its output wait here."""
    lines = context._node.lines
    return lines.allowance.came - lines.allowance.granted


def wanted(number: int) -> list[str]:
    return [f'{i} {floods.WORD}' for i in range(number)]


# -- every Python ------------------------------------------------------------

SOURCES = {
    'stdout': ('flood', 'stdout: '),
    'records': ('flood_of_records', 'errands.floods: '),
}


@pytest.mark.every_python
def test_a_flood_waits_for_its_handler(broker: econtext.Broker, python: pythons.Interpreter, gate: Gate) -> None:
    held_and_let_go(broker.local(python=python, name='source'), gate, 'stdout')


@pytest.mark.parametrize('version', ['2.7', '3.13'])
def test_a_flood_of_records(broker: econtext.Broker, gate: Gate, version: str) -> None:
    held_and_let_go(broker.local(python=pythons.interpreter(version), name='source'), gate, 'records')


def held_and_let_go(context: econtext.Context, gate: Gate, source: str, window: int = WINDOW) -> None:
    """Hold it in the middle; all of it is there before the result."""
    function, prefix = SOURCES[source]
    number = 6000 + window // 70
    context.call(floods.say, '')
    flooding = context.submit(getattr(floods, function), number)
    assert gate.entered.wait(60)
    eventually(lambda: held(context), what='the source used up its credit')
    assert window <= waiting(context) <= window + PIECE + SLACK
    assert not flooding.done()
    gate.open.set()
    assert flooding.result(60) == number
    assert gate.texts == [prefix + text for text in wanted(number)]
    assert waiting(context) < window
    # All of it was here: its end is nothing to be told of.
    context.close()
    assert not [text for text in gate.texts if 'may be missing' in text]


@pytest.mark.parametrize(('version', 'source', 'window'), [
    ('2.7', 'stdout', NARROWEST), ('2.7', 'records', NARROWEST), ('3.13', 'records', NARROWEST),
    ('3.13', 'stdout', NARROWEST), ('3.13', 'stdout', 2 * WINDOW)])  # fmt: skip
def test_a_window_of_its_own(broker: econtext.Broker, gate: Gate, version: str, source: str, window: int) -> None:
    """Less is on its way, or more; all of it arrives, however narrow. Behind a hop, to have both."""
    origin = broker.local() if window == NARROWEST else broker
    context = origin.local(python=pythons.interpreter(version), name='source', output_window=window)
    held_and_let_go(context, gate, source, window)


def test_windows_that_are_none(broker: econtext.Broker) -> None:
    for window in 0, NARROWEST - 1, WIDEST + 1, 1e6, True, '65536', None:
        with pytest.raises(ValueError, match='output_window= must be 65,536 to 268,435,456 bytes'):
            broker.local(output_window=window)  # type: ignore[arg-type]
    assert not broker._tree.contexts


@pytest.mark.parametrize('version', ['2.7', '3.11'])
def test_a_flood_by_threads_and_programs(broker: econtext.Broker, gate: Gate, version: str) -> None:
    context = broker.local(python=pythons.interpreter(version), name='source')
    gate.open.set()
    assert context.call(floods.flood_by_threads, 'flood_of_records', 3000, 4) == 12_000
    assert sorted(gate.texts) == sorted('errands.floods: ' + text for text in wanted(3000) * 4)
    gate.texts.clear()
    assert context.call(floods.flood_by_program, 100_000) == 0
    assert gate.texts == [f'stdout: {i}' for i in range(1, 100_001)]


# -- what goes on meanwhile --------------------------------------------------


def test_the_rest_of_the_link_goes_on(broker: econtext.Broker, gate: Gate) -> None:
    """A handler that hangs holds the flood of a context, not its channels, its children or other contexts."""
    context = broker.local(name='source')
    below = context.local(name='below')
    other = broker.local(name='other')
    channel = below.channel()
    below.submit(floods.echo, channel)
    flooding = context.submit(floods.flood, 30_000)
    assert gate.entered.wait(60)
    eventually(lambda: held(context), what='the source used up its credit')
    for i in range(100):
        assert other.call(abs, -i) == i
        channel.send(i)
        assert channel.get(60) == i
    channel.close()
    third = context.local(name='third')  # through the context that is held
    assert third.call(os.getppid) == context.pid
    assert not flooding.done()
    gate.open.set()
    assert flooding.result(60) == 30_000
    assert gate.texts == ['stdout: ' + text for text in wanted(30_000)]


def test_memory_stays_flat_on_every_hop(broker: econtext.Broker, gate: Gate) -> None:
    first = broker.local(name='first')
    second = first.local(name='second')
    source = second.local(name='source')
    hops = [first, second, source]
    before = [hop.call(floods.memory) for hop in hops]
    ours = floods.memory()
    flooding = source.submit(floods.flood, 40_000)     # 4 MB
    assert gate.entered.wait(60)
    eventually(lambda: held(source), what='the source used up its credit')
    for hop, was in zip(hops[:2], before, strict=False):
        assert hop.call(floods.memory) - was < 4096
    gc.collect()
    assert floods.memory() - ours < 16_384
    gate.open.set()
    assert flooding.result(60) == 40_000
    assert len(gate.texts) == 40_000
    after = [hop.call(floods.memory) for hop in hops]
    assert max(now - was for now, was in zip(after, before, strict=True)) < 4096


def test_a_handler_that_calls_the_flooding_context(broker: econtext.Broker, gate: Gate) -> None:
    """Its calls come behind output that waits for the handler itself."""
    context = broker.local(name='source')
    answers: list[Any] = []

    def ask(text: str) -> None:
        if text.endswith('000 ' + floods.WORD):
            answers.append(context.call(floods.answer, 'asked'))

    gate.also = ask
    gate.open.set()
    context.call(floods.flood_in_the_background, 'flood', 30_000)
    eventually(lambda: len(gate.texts) == 30_000 + 29 and len(answers) == 29, what='all lines, all answers')
    lines = [text for text in gate.texts if floods.WORD in text]
    assert lines == ['stdout: ' + text for text in wanted(30_000)]


def test_a_call_that_prints_beside_a_flood(broker: econtext.Broker, gate: Gate) -> None:
    """It gets its turn between the lines of the other."""
    context = broker.local(name='source')
    quiet = broker.local(name='quiet')
    seen: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger('econtext.ctx.quiet')
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        gate.open.set()
        flooding = context.submit(floods.flood, 30_000)
        assert gate.entered.wait(60)
        while not flooding.done():
            quiet.call(floods.say, 'line\n')
            assert seen.pop() == 'stdout: line'
        assert seen == []
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


# -- the end -----------------------------------------------------------------


@pytest.mark.parametrize('version', ['2.7', '3.11'])
def test_a_context_that_is_killed_while_it_is_held(broker: econtext.Broker, gate: Gate, version: str) -> None:
    """What was sent is logged, in order; that there may have been more is said."""
    context = broker.local(python=pythons.interpreter(version), name='source').wait_ready()
    flooding = context.submit(floods.flood, 30_000)
    assert gate.entered.wait(60)
    eventually(lambda: held(context), what='the source used up its credit')
    os.kill(context.pid, signal.SIGKILL)
    gate.open.set()
    with pytest.raises(econtext.ContextLost):
        flooding.result(60)
    eventually(lambda: 'may be missing' in ''.join(gate.texts[-1:]), what='the loss is told')
    assert all(('stdout: ' + text).startswith(got) for got, text in zip(gate.texts[:-1], wanted(30_000), strict=False))
    assert 1000 < len(gate.texts) < 100_000
    assert len([text for text in gate.texts if 'may be missing' in text]) == 1


def test_closing_a_context_that_is_held(
    broker: econtext.Broker, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a busy machine has not handled by then is dropped.
    monkeypatch.setattr(lifecycle, 'CLOSING', 60.0)
    context = broker.local(name='source')
    context.wait_ready()
    context.submit(floods.flood, 30_000)
    assert gate.entered.wait(60)
    eventually(lambda: held(context), what='the source used up its credit')
    pid = context.pid
    closing = threading.Thread(target=context.close)
    closing.start()
    eventually(lambda: not leaks.alive(pid), what='the context ends though nobody takes its output')
    gate.open.set()
    closing.join(60)
    assert not closing.is_alive()
    assert 'may be missing' in gate.texts[-1]


def test_the_last_line_of_one_that_dies(broker: econtext.Broker, gate: Gate) -> None:
    """Complete or not it is logged, and nothing is said to be missing."""
    context = broker.local(name='source')
    gate.open.set()
    context.call(floods.say, '')
    channel = context.channel()
    breaking = context.submit(floods.break_off, 'one\ntw', channel)
    eventually(lambda: gate.texts == ['stdout: one'], what='the line is here, and with it what was written at once')
    channel.send('now')
    with pytest.raises(econtext.ContextLost):
        breaking.result(60)
    eventually(lambda: gate.texts == ['stdout: one', 'stdout: tw'], what='what it said last is here')


def test_one_that_takes_more_than_it_was_granted_is_ended(broker: econtext.Broker, gate: Gate) -> None:
    context = broker.local(name='source')
    taking = context.submit(floods.take_too_much)
    assert gate.entered.wait(60)
    error = eventually(lambda: context._node.error, what='the context is ended')
    assert 'more output than it was' in str(error())
    gate.open.set()
    with pytest.raises(econtext.CorruptStream):
        taking.result(60)
