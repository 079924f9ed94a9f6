"""A context that was given up, closed, refused or too late: what it still says harms nobody, and is told to nobody."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import econtext
from econtext.controller.secret import hidden
from econtext.controller.session.admission import SPEAKS
from lab import eventually, leaks

ENEMY = str(Path(__file__).parent / 'enemy.py')


def give_up(enemy: econtext.Context, act: str) -> None:
    """Have it know that it is ended; return while its program is still there."""
    if act == 'forges_when_closed':
        assert enemy.call(os.getpid) == 'honest'  # type: ignore[comparison-overlap]
        enemy._node.broker.stop(enemy._node, enemy._node.lost('it was closed'))
    elif act == 'forges_when_refused':
        with pytest.raises(econtext.ConnectError):
            enemy.call(os.getpid)
    else:
        with pytest.raises(econtext.CallTimeout):
            enemy.options(timeout=0.2, grace=0.1).call(os.getpid)


@pytest.mark.parametrize('place', ['below us', 'behind a hop', 'behind two hops'])
@pytest.mark.parametrize('act', ['forges_when_closed', 'forges_when_refused', 'forges_when_it_is_late'])
def test_what_a_context_says_that_is_being_ended_has_no_effect(
    broker: econtext.Broker, place: str, act: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    asked: list[str] = []
    beside, hop = broker.local(name='beside'), broker.local(name='hop')
    behind = hop.local(name='behind')
    honest = [beside, hop, behind, behind.local(name='last')]
    pids = [context.call(os.getpid) for context in honest]
    starting = hop.local(python=[sys.executable, '-S', ENEMY, 'says_nothing'], name='starting', connect_timeout=600)
    starting._node.answers = {'password': hidden(asked.append)}
    origin = {'below us': broker, 'behind a hop': hop, 'behind two hops': behind}[place]
    enemy = origin.local(python=[sys.executable, '-S', ENEMY, act], name='enemy')
    give_up(enemy, act)
    eventually(lambda: enemy._node.id not in broker._tree.unreaped, what='its program is gone')
    assert [context.call(os.getpid) for context in honest] == pids
    assert not any(context._node.error for context in [*honest, starting])
    assert starting._node.id in broker._tree.unreaped
    assert asked == []
    assert 'forged' not in caplog.text
    assert not enemy._node.ready or act != 'forges_when_refused'
    starting._node.reported = True
    broker.close()
    eventually(lambda: not any(map(leaks.alive, pids)), what='no process outlives the broker')


@pytest.mark.parametrize('place', ['below us', 'behind a hop'])
def test_a_context_that_is_being_ended_can_bury_its_children(broker: econtext.Broker, place: str) -> None:
    """Closing a child need not wait until its parent is gone as well."""
    origin = broker.local(name='hop') if place == 'behind a hop' else broker
    act = 'buries_its_child_when_closed'
    parent = origin.local(python=[sys.executable, '-S', ENEMY, act], name='enemy')
    assert parent.call(os.getpid) == 'honest'  # type: ignore[comparison-overlap]
    child = parent.local(name='child')
    eventually(lambda: child._node.counters.life == SPEAKS, what='it has started')
    pid, buried = parent.pid, []

    class Unreaped(dict[int, Any]):
        def pop(self, number: int, *default: Any) -> Any:
            buried.append((number, leaks.alive(pid)))
            return super().pop(number, *default)

    broker._tree.unreaped = broker._tree.frames.unreaped = Unreaped(broker._tree.unreaped)
    broker._tree.stop(parent._node, parent._node.lost('it was closed'))
    eventually(lambda: child._node.id not in broker._tree.unreaped, what='it is buried')
    assert buried[0] == (child._node.id, True), 'before its parent is'
    with pytest.raises(econtext.ContextLost):
        child.call(os.getpid)
    eventually(lambda: parent._node.id not in broker._tree.unreaped, what='its program is gone')
