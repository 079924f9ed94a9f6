"""Point 3, multiplexer and router: large frames go in parts, in order, and nobody on the way holds them whole."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from pathlib import Path

import pytest
from travel import calls, heavy

import econtext
from lab import eventually
from lab.pythons import Interpreter

matrix = pytest.mark.controller_matrix
PROXY = str(Path(__file__).parents[1] / 'reliability' / 'stops' / 'proxy.py')


def settled(context: econtext.Context) -> econtext.Context:
    """Return `context` once it has said that it takes parts; what is sent there before goes whole."""
    context.wait_ready(60)
    eventually(lambda: context._node.id in context._node.broker.router.parts.able)
    return context


SIZES = [10, 3_000_000, 0, 262_145, 5, 1_000_000, 262_144, 1]


@pytest.mark.every_python
@matrix
def test_what_goes_in_parts_arrives_whole(broker: econtext.Broker, python: Interpreter) -> None:
    """Through a context of each Python, to one of each, both ways."""
    upper = broker.local(python=python)
    lower = upper.local(python=python)
    for context in upper, lower:
        for size in (262_143, 262_144, 262_145, 5_000_000):
            data = os.urandom(size)
            there = context.call(heavy.echo, data)
            if isinstance(there, str):
                # What Python 2 calls a str.
                there = there.encode('utf-8', 'surrogateescape')
            assert there == data
        text = '\xe9\u20ac' * 1_000_000
        assert context.call(calls.echo, text) == text


@matrix
def test_calls_do_not_overtake(broker: econtext.Broker, python: Interpreter) -> None:
    context = broker.local(python=python)
    context.wait_ready(60)
    sent = [(f'{number}', os.urandom(size)) for number, size in enumerate(SIZES * 2)]
    for future in [context.submit(heavy.note, name, data) for name, data in sent]:
        future.result(60)
    assert context.call(heavy.noted) == [(name, len(data), hashlib.md5(data).hexdigest()) for name, data in sent]


@matrix
def test_values_of_a_channel_do_not_overtake(broker: econtext.Broker, python: Interpreter) -> None:
    context = broker.local(python=python).local(python=python)
    channel, other = context.channel(), context.channel()
    fed, fed_too = context.submit(heavy.feed, channel, SIZES), context.submit(heavy.feed, other, SIZES)
    assert [len(value) for value in channel] == SIZES
    assert [len(value) for value in other] == SIZES
    assert (fed.result(60), fed_too.result(60)) == ('fed', 'fed')


def test_output_comes_before_a_large_result(
    broker: econtext.Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    context = broker.local()
    for _ in range(3):
        caplog.clear()
        assert len(context.call(heavy.print_and_return, 2_000_000)) == 2_000_000
        assert [record.getMessage() for record in caplog.records] == ['stdout: before it']


def test_a_hop_holds_no_large_frame(broker: econtext.Broker) -> None:
    """48 MiB each way, through a context that never has a quarter of it."""
    upper = broker.local()
    lower = settled(upper.local())
    data = bytes(48 << 20)
    assert lower.call(heavy.echo, b'warm') == b'warm'
    before = upper.call(heavy.most_memory)
    assert lower.call(heavy.echo, data) == data
    grown = upper.call(heavy.most_memory) - before
    assert grown < 12 << 20, f'{grown >> 20} MiB'


def test_a_large_frame_holds_up_nobody_else(broker: econtext.Broker) -> None:
    """Many calls to one context while another is sent a large value."""
    hop = broker.local()
    slow, quick = settled(hop.local()), settled(hop.local())
    data = bytes(32 << 20)
    large = slow.submit(heavy.echo, data)
    done = 0
    while not large.done():
        assert quick.call(calls.echo, done) == done
        done += 1
    assert done > 3, 'they had to wait for it'
    assert large.result(60) == data


def test_a_context_that_ends_in_the_middle(broker: econtext.Broker) -> None:
    """Its parts are let go of, on both sides; who waits is told; others go on."""
    hop = broker.local()
    # The link ends in the middle of the large value, on its way there or back.
    for down, up in (8 << 20, -1), (-1, 8 << 20):
        python = [sys.executable, PROXY, str(down), str(up), '--', sys.executable]
        lost, kept = settled(hop.local(python=python)), settled(hop.local())
        future = lost.submit(heavy.echo, bytes(32 << 20))
        with pytest.raises(econtext.ContextLost):
            future.result(60)
        assert kept.call(heavy.echo, b'still here') == b'still here'
        assert not broker._tree.router.parts.begun
