"""Contexts are sent each module of ours when the manifest says so: what they have shows it."""

from __future__ import annotations

from concurrent import futures

import pytest
from errands import manifests, streams

import econtext
from econtext.controller.modules import manifest
from econtext.controller.protocol import classes


def ours(context: econtext.Context) -> set[str]:
    """Return what `context` has, other than the package and what other tests have registered classes for."""
    return set(context.call(manifests.loaded)) - {'econtext.core', 'econtext.child', *classes.carriers()}


def test_a_first_call_needs_only_what_is_sent_unasked(broker: econtext.Broker) -> None:
    found = ours(broker.local())
    assert found >= {*manifest.PREAMBLE, *manifest.FIRST_WRITE}
    assert found <= {*manifest.PREAMBLE, *manifest.FIRST_WRITE, *manifest.AFTER_HELLO}


def test_behind_hello(broker: econtext.Broker) -> None:
    context = broker.local().wait_ready()
    context.call(manifests.loaded)
    assert ours(context) == {*manifest.PREAMBLE, *manifest.FIRST_WRITE, *manifest.AFTER_HELLO}


def test_with_threads(broker: econtext.Broker) -> None:
    assert ours(broker.local(threads=2)) >= set(manifest.FOR_THREADS)


def test_to_start_a_context(broker: econtext.Broker) -> None:
    hop = broker.local()
    hop.local().call(int)
    assert ours(hop) >= {*manifest.FOR_CHILDREN, 'econtext.connectors.local'}


def test_to_interrupt_a_call(broker: econtext.Broker) -> None:
    context = broker.local()
    channel = context.channel()
    held = context.submit(streams.hold, channel)
    assert next(channel) == 'here'
    held.interrupt(60)
    with pytest.raises((econtext.CallError, econtext.Interrupted, futures.CancelledError)):
        held.result(timeout=60)
    assert ours(context) >= set(manifest.FOR_INTERRUPTIONS)


def test_with_the_first_stream(broker: econtext.Broker) -> None:
    context = broker.local()
    assert list(context.stream(manifests.numbers)) == [1]
    assert ours(context) >= {'econtext.child.streams'}
