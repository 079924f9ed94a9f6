"""Who uses which context, and when it ends: any order of events, without processes and without time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.controller.attach import sharing
from econtext.controller.connect.options import ConnectRequest
from unit.fakes import FakePeer, FakeSession


class Broker(FakeSession):
    """A broker that starts contexts at once."""

    def start_context(self, via: FakePeer | None, request: ConnectRequest) -> FakePeer:
        context = self.add(via)
        context.connect_request = request  # type: ignore[attr-defined]
        return context


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Ground:
    def __init__(self) -> None:
        self.broker: Any = Broker()
        self.busy: set[tuple[object, int]] = set()
        self.sharing = sharing.Sharing(self.broker, lambda program, context: (program, context.id) in self.busy)

    def take(self, program: str, name: str | None, via: Any = None, idle: float | None = None) -> Any:
        return self.sharing.take(program, via, ConnectRequest('local', {}, {}, {}, name), idle)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(sharing, 'time', made)
    return made


STEPS = st.lists(st.tuples(st.sampled_from(['take', 'below', 'release', 'leave']), st.sampled_from('ABC'),
                           st.sampled_from(['x', 'y', None])), max_size=30)


@given(STEPS)
def test_a_context_lives_while_it_or_one_below_is_used(steps: list[tuple[str, str, str | None]]) -> None:
    ground = Ground()
    uses: set[tuple[str, int]] = set()
    made: dict[int, Any] = {}
    for what, program, name in steps:
        mine = [made[number] for owner, number in sorted(uses) if owner == program]
        if what == 'take' or (what == 'below' and mine):
            context = ground.take(program, name, mine[0] if what == 'below' else None)
            assert name is None or context.error is None
            assert name is not None or context.id not in made, 'one without a name is new'
            made[context.id] = context
            uses.add((program, context.id))
        elif what == 'release' and mine:
            ground.sharing.release(program, mine[0])
            uses.discard((program, mine[0].id))
        elif what == 'leave':
            ground.sharing.leave(program)
            uses = {use for use in uses if use[0] != program}
        needed = {each.id for _, number in uses for each in made[number].route()}
        assert {number for number, context in made.items() if context.error is None} == needed


def test_those_who_ask_for_the_same_share(clock: Clock) -> None:
    ground = Ground()
    first = ground.take('A', 'x')
    assert ground.take('B', 'x') is first
    assert ground.take('B', 'x', via=first) is not first
    own = ground.broker.start_context(None, ConnectRequest('local', {}, {}, {}, 'own'))
    assert ground.take('A', 'own') is own
    assert ground.sharing.release('A', own) == sharing.NOT_SHARED
    assert ground.sharing.release('A', first) == sharing.STAYS
    first.error = first.lost('gone')
    assert ground.take('A', 'x') is not first


def test_an_idle_use_ends(clock: Clock) -> None:
    ground = Ground()
    context = ground.take('A', 'x', idle=10)
    shared = ground.sharing.shared[context.id]
    ground.busy.add(('A', context.id))
    clock.now += 30
    ground.sharing.look(shared)
    ground.busy.clear()
    clock.now += 9
    ground.sharing.look(shared)
    assert context.error is None
    ground.sharing.used('A', context)
    ground.sharing.leave('A')
    clock.now += 9
    ground.sharing.look(shared)
    assert ground.take('B', 'x', idle=2) is context
    clock.now += 3
    ground.sharing.look(shared)
    assert 'it was idle' in str(context.error())
    assert not ground.sharing.shared


def test_a_use_without_an_idle_time_holds(clock: Clock) -> None:
    ground = Ground()
    context = ground.take('A', 'x', idle=10)
    assert ground.take('B', 'x') is context
    clock.now += 100
    ground.sharing.look(ground.sharing.shared[context.id])
    assert context.error is None
    assert ground.sharing.release('B', context) == sharing.ENDS
    assert context.error is not None


def test_one_that_starts_is_not_idle(clock: Clock) -> None:
    ground = Ground()
    context = ground.take('A', 'x', idle=1)
    context.ready = False
    clock.now += 5
    ground.sharing.look(ground.sharing.shared[context.id])
    assert context.error is None


def test_one_that_waits_for_its_first_call_is_idle(clock: Clock) -> None:
    ground = Ground()
    context = ground.take('A', 'x', idle=1)
    context.ready, context.deferred = False, object()
    clock.now += 5
    ground.sharing.look(ground.sharing.shared[context.id])
    assert 'it was idle' in str(context.error())


def test_who_comes_back_has_the_same_idle_time(clock: Clock) -> None:
    """B has held the context while the use of A was over; A has used it again since, and B is gone."""
    ground = Ground()
    context = ground.take('A', 'x', idle=10)
    assert ground.take('B', 'x') is context
    shared = ground.sharing.shared[context.id]
    clock.now += 100
    ground.sharing.look(shared)
    ground.sharing.use('A', context)
    ground.sharing.leave('B')
    assert context.error is None
    clock.now += 11
    ground.sharing.look(shared)
    assert 'it was idle' in str(context.error())


def test_what_fails_as_one_ends_keeps_no_other_one(clock: Clock) -> None:
    ground = Ground()
    contexts = [ground.take('A', name) for name in 'xyz']
    stop = ground.broker.stop

    def fails(context: Any, error: Any) -> None:
        if context is contexts[0]:
            raise RuntimeError("can't start new thread")
        stop(context, error)

    ground.broker.stop = fails
    ground.sharing.leave('A')
    assert [context.error is None for context in contexts] == [True, False, False]
