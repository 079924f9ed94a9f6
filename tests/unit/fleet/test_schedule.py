"""Which hosts of a fleet are worked on next: batches, the limit, the stop, and the waits between attempts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.controller.errors import ConnectError, ContextLost
from econtext.controller.failures import REMEDIES
from econtext.controller.fleet import backoff
from econtext.controller.fleet.schedule import (
    DONE,
    ENDS,
    FAILED,
    SKIPPED,
    STATES,
    Amount,
    Schedule,
    Steps,
    at_least,
    at_most,
    batches,
    check_amount,
)

AMOUNTS = st.one_of(st.integers(1, 12), st.integers(1, 100).map(lambda share: f'{share}%'))


class Model:
    """Does what a schedule says, and holds each step against what is promised."""

    def __init__(self, number: int, limit: int | None, batch: list[Amount], stop_after: Amount | None) -> None:
        self.hosts = [f'h{index}' for index in range(number)]
        self.schedule = Schedule(self.hosts, limit=limit, batch=batch, stop_after=stop_after)
        self.limit = limit or number
        self.batches = [set(each) for each in batches(self.hosts, batch)]
        self.stop = None if stop_after is None else at_least(stop_after, number)
        self.connecting: set[str] = set()
        self.ready: set[str] = set()
        self.turn: set[str] = set()
        self.running: set[str] = set()
        #: What is to be skipped, and was not told as ended yet.
        self.to_skip: set[str] = set()
        self.over: dict[str, str] = {}
        self.take(self.schedule.begin())

    def stopped(self) -> bool:
        return self.stop is not None and list(self.over.values()).count(FAILED) >= self.stop

    def take(self, steps: Steps) -> None:
        for host in steps.skip:
            assert self.stopped()
            assert host not in self.over
            assert host not in self.running
            self.to_skip.add(host)
        for host in steps.connect:
            assert not self.stopped()
            assert host not in self.over
            assert host not in self.connecting | self.ready | self.turn | self.running
            before = self.batches[: next(number for number, each in enumerate(self.batches) if host in each)]
            assert all(other in self.over for each in before for other in each)
            self.connecting.add(host)
        for host in steps.run:
            assert not self.stopped()
            self.ready.remove(host)
            self.turn.add(host)
        assert len(self.turn | self.running) <= self.limit
        if self.stopped():
            # Nothing is left that would be begun later.
            assert {*self.hosts} == {*self.over, *self.running, *self.to_skip}
        assert {host: state for host, state in self.schedule.states.items() if state in ENDS} == self.over
        for state in STATES:
            assert self.schedule.counts[state] == list(self.schedule.states.values()).count(state)

    def connect(self, host: str) -> None:
        self.connecting.discard(host)
        self.ready.add(host)
        self.take(self.schedule.ready(host))

    def send(self, host: str) -> None:
        """Its call is sent, maybe at the moment when it is to be skipped."""
        self.turn.discard(host)
        self.to_skip.discard(host)
        self.running.add(host)
        self.schedule.sent(host)

    def lose(self, host: str) -> None:
        self.turn.discard(host)
        self.take(self.schedule.lost(host))

    def finish(self, host: str, end: str) -> None:
        for each in self.connecting, self.ready, self.turn, self.running, self.to_skip:
            each.discard(host)
        self.over[host] = end
        self.take(self.schedule.finished(host, end))


@given(st.integers(0, 12), st.none() | st.integers(1, 5), st.lists(AMOUNTS, max_size=3), st.none() | AMOUNTS, st.data())
def test_all_end_in_order_within_the_limit(
    number: int, limit: int | None, batch: list[Amount], stop_after: Amount | None, data: st.DataObject
) -> None:
    model = Model(number, limit, batch, stop_after)
    steps = 0
    while not model.schedule.is_over():
        steps += 1
        # There is always something that somebody waits for: the work never stands still.
        active = sorted(model.to_skip | model.connecting | model.turn | model.running)
        assert active
        host = data.draw(st.sampled_from(active))
        if host in model.to_skip:
            if host in model.turn and data.draw(st.booleans()):
                model.send(host)
            else:
                model.finish(host, SKIPPED)
        elif host in model.connecting:
            if data.draw(st.booleans()):
                model.connect(host)
            else:
                model.finish(host, FAILED)
        elif host in model.turn:
            if steps < 50 and data.draw(st.integers(0, 5)) == 0:
                model.lose(host)
            else:
                model.send(host)
        else:
            model.finish(host, data.draw(st.sampled_from([DONE, DONE, FAILED, SKIPPED])))
        if data.draw(st.integers(0, 9)) == 0:
            # Somebody cancels one that is not under way.
            left = [each for each in model.hosts if each not in model.over and each not in model.running]
            if left:
                model.finish(data.draw(st.sampled_from(left)), SKIPPED)
        if data.draw(st.integers(0, 9)) == 0:
            # What comes late, or twice, changes nothing.
            late = data.draw(st.sampled_from(model.hosts))
            if late in model.over:
                before = dict(model.schedule.states)
                for steps_of_late in (
                    model.schedule.ready(late), model.schedule.lost(late), model.schedule.finished(late, FAILED),
                ):
                    model.take(steps_of_late)
                model.schedule.sent(late)
                assert all(model.schedule.states[each] == before[each] for each in before if each in model.over)
    assert set(model.over) == set(model.hosts)
    if model.stop is None:
        failures = list(model.over.values()).count(FAILED)
        assert failures == model.schedule.counts[FAILED]


@given(st.integers(1, 500), AMOUNTS)
def test_amounts(total: int, amount: Amount) -> None:
    check_amount('batch', amount)
    down, up = at_most(amount, total), at_least(amount, total)
    assert 1 <= down <= up <= down + 1
    if isinstance(amount, str):
        share = int(amount[:-1])
        assert up * 100 >= share * total
        assert down == 1 or down * 100 <= share * total


@pytest.mark.parametrize('amount', [0, -1, True, 1.5, '', '0%', '101%', '5', 'ten%', '-5%', None, [1]])
def test_what_is_no_amount_is_refused(amount: object) -> None:
    with pytest.raises(ValueError, match='batch= must be'):
        check_amount('batch', amount)  # type: ignore[arg-type]


@given(st.lists(st.text(min_size=1), unique=True), st.lists(AMOUNTS, min_size=1, max_size=4))
def test_batches_are_the_hosts_in_order(hosts: list[str], sizes: list[Amount]) -> None:
    cut = batches(hosts, sizes)
    assert [host for each in cut for host in each] == hosts
    assert all(cut)
    for number, each in enumerate(cut[:-1]):
        assert len(each) == at_most(sizes[min(number, len(sizes) - 1)], len(hosts))


def test_a_stop_skips_all_that_does_not_run() -> None:
    schedule = Schedule(['a', 'b', 'c', 'd', 'e'], limit=3, batch=[4], stop_after='20%')
    assert schedule.begin() == Steps(['a', 'b', 'c', 'd'], [], [])
    for host in 'a', 'b', 'c':
        assert schedule.ready(host).run == [host]
    schedule.sent('a')
    schedule.sent('b')
    # c has its turn, but its context is busy.
    assert schedule.finished('a', FAILED) == Steps([], [], ['c', 'd', 'e'])
    for host in 'c', 'd', 'e':
        assert schedule.finished(host, SKIPPED) == Steps([], [], [])
    assert not schedule.is_over()
    assert schedule.finished('b', DONE) == Steps([], [], [])
    assert schedule.is_over()


def test_nothing_that_was_lost_is_connected_after_a_stop() -> None:
    schedule = Schedule(['a', 'b'], stop_after=1)
    schedule.begin()
    schedule.ready('a')
    schedule.ready('b')
    schedule.sent('a')
    assert schedule.finished('a', FAILED).skip == ['b']
    assert schedule.lost('b') == Steps([], [], [])


@given(st.floats(0, 1e6), st.integers(1, 10_000), st.floats(0, 1))
def test_waits_double_up_to_a_longest(first: float, attempt: int, chance: float) -> None:
    seconds = backoff.delay(first, attempt, chance)
    assert 0 <= seconds <= backoff.LONGEST
    assert seconds >= min(backoff.LONGEST, first) / 2
    assert backoff.delay(first, attempt, 0) <= backoff.delay(first, attempt + 1, 0)
    assert backoff.delay(1.0, 3, 0) == 4.0


def test_what_another_attempt_cannot_mend_is_not_tried_again() -> None:
    def error(kind: str) -> ConnectError:
        return ConnectError('web1', kind, '', '', '')

    assert set(REMEDIES) >= backoff.TRANSIENT
    assert backoff.may_help(error('unreachable'))
    assert backoff.may_help(ContextLost('web1: lost'))
    # A second wrong password may lock an account.
    for kind in 'wrong-password', 'refused-key', 'changed-host-key', 'no-python', 'not-allowed':
        assert not backoff.may_help(error(kind))
    assert not backoff.may_help(TypeError())
