"""A hop whose way up is slow: what it keeps is bounded, each child is served, and nobody is taken for silent."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import floods
import pytest

import econtext
from lab import eventually, pythons

pytestmark = pytest.mark.alone

SLOW = str(Path(__file__).with_name('stops') / 'slow.py')
ENEMY = str(Path(__file__).parents[1] / 'security' / 'enemy.py')
KEPT = 8192     # KiB that a hop may grow by
BEAT = 0.4      # seconds; four times as much is less than the time for which the hop does not listen


def slow(broker: econtext.Broker, rate: int, version: str = '') -> econtext.Context:
    python = pythons.interpreter(version) if version else sys.executable
    return broker.local(python=[sys.executable, SLOW, str(rate), '--', python], name='hop')


@pytest.mark.parametrize('version', ['2.7', '3.13'])
def test_a_large_result_holds_up_no_sibling_and_silences_nobody(broker: econtext.Broker, version: str) -> None:
    """For seconds the hop does not listen to who sends it, and both ends go on to have signs of life."""
    hop = slow(broker, 100_000, version)
    large, beside = hop.local(heartbeat=BEAT, name='large'), hop.local(heartbeat=BEAT, name='beside')
    size = 1_200_000
    for context in large, beside:
        context.call(os.getpid)
    before = hop.call(floods.memory)
    answer = large.submit(bytearray, size)
    calls = 0
    while not answer.done():
        assert beside.options(timeout=60).call(len, 'abc') == 3
        calls += 1
    assert len(answer.result()) == size
    assert calls > 1, 'others are served between'
    assert hop.call(floods.memory) - before < KEPT
    assert large.call(len, 'abcd') == 4


@pytest.mark.parametrize('place', ['below the hop', 'below its hop'])
@pytest.mark.parametrize('act', ['answer_without_end', 'output_without_end', 'says_much_beside'])
def test_who_floods_costs_a_hop_little_and_its_siblings_nothing(
    broker: econtext.Broker, act: str, place: str
) -> None:
    hop = slow(broker, 500_000)
    origin = hop if place == 'below the hop' else hop.local(name='second')
    beside = origin.local(name='beside')
    hops = list({hop, origin})
    beside.call(os.getpid)
    before = {each: each.call(floods.memory) for each in hops}
    enemy = origin.local(python=[sys.executable, '-S', ENEMY, act], name='enemy')
    enemy.submit(os.getpid)
    eventually(lambda: enemy._node.ready)
    began = time.monotonic()
    while time.monotonic() - began < 4:
        beside.options(timeout=60).call(len, 'abc')
        for each in hops:
            assert each.options(timeout=60).call(floods.memory) - before[each] < KEPT
    enemy.close()
    assert beside.call(len, 'abc') == 3
