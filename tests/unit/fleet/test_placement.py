"""Which host is under which relay: spread evenly, kept, and placed anew once a relay is lost."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from econtext.controller.fleet.placement import LONGEST, REST, Placement

RELAYS = ['r1', 'r2', 'r3']
HOSTS = [f'h{number}' for number in range(8)]


@given(st.integers(1, 9), st.integers(0, 60))
def test_hosts_spread_evenly_and_stay(relays: int, hosts: int) -> None:
    placement: Placement[int, str] = Placement([f'r{number}' for number in range(relays)])
    places = [placement.place(host, 0.0) for host in range(hosts)]
    sizes = [len(each) for each in placement.hosts.values()]
    assert sum(sizes) == hosts
    assert max(sizes) - min(sizes) <= 1
    for host in range(hosts):
        placement.begin(host)
    assert [placement.place(host, 1e6) for host in range(hosts)] == places


@given(st.integers(2, 9), st.integers(1, 60), st.data())
def test_the_hosts_of_a_lost_relay_spread_over_the_others(relays: int, hosts: int, data: st.DataObject) -> None:
    names = [f'r{number}' for number in range(relays)]
    placement: Placement[int, str] = Placement(names)
    before = {host: placement.place(host, 0.0) for host in range(hosts)}
    lost = data.draw(st.sampled_from(names))
    placement.lost(lost, 1.0)
    assert {host for host in before if placement.relay_of(host) is None} == {
        host for host, relay in before.items() if relay == lost}
    after = {host: placement.place(host, 1.0) for host in range(hosts)}
    assert lost not in after.values()
    assert all(after[host] == relay for host, relay in before.items() if relay != lost)
    sizes = [len(placement.hosts[name]) for name in names if name != lost]
    assert max(sizes) - min(sizes) <= 1
    # Once it has rested it gets hosts again.
    assert lost in [placement.place(hosts + number, 1.0 + REST) for number in range(relays)]


def test_a_rest_is_longer_each_time_and_over_once_the_relay_works() -> None:
    placement: Placement[str, str] = Placement(['a', 'b'])
    for seconds in REST, REST * 2, REST * 4:
        placement.lost('a', 0.0)
        assert placement.rests_until['a'] == seconds
    for _ in range(2000):
        placement.lost('a', 0.0)
    assert placement.rests_until['a'] == LONGEST
    placement.works('a')
    assert placement.place('host', 0.0) == 'a'


def test_with_all_at_rest_the_one_that_is_back_soonest_is_used_at_once() -> None:
    placement: Placement[str, str] = Placement(['a', 'b'])
    placement.lost('a', 10.0)
    placement.lost('b', 0.0)
    assert placement.place('host', 10.0) == 'b'
    alone: Placement[str, str] = Placement(['only'])
    assert alone.place('host', 0.0) == 'only'
    alone.lost('only', 0.0)
    assert alone.relay_of('host') is None
    assert alone.place('host', 0.0) == 'only'


def test_an_attempt_tries_each_relay_once_and_the_next_attempt_all_again() -> None:
    placement: Placement[str, str] = Placement(RELAYS)
    placement.begin('host')
    tried = []
    while (relay := placement.place('host', 0.0)) is not None:
        tried.append(relay)
        placement.failed(relay, 0.0)
    assert sorted(tried) == RELAYS
    placement.retry('host')
    assert placement.place('host', 0.0) in RELAYS
    # A host that failed on its own is tried through another relay, which is no fault of the first.
    placement.begin('host')
    first = placement.place('host', 1e6)
    assert first is not None
    placement.avoid('host', first)
    placement.retry('host')
    assert placement.place('host', 1e6) != first
    assert placement.place('other', 1e6) == first


class Model(RuleBasedStateMachine):
    """Everything that a fleet may do with a placement, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.placement: Placement[str, str] = Placement(RELAYS)
        self.now = 0.0
        #: What place() said of each host, until the relay is lost or to be avoided.
        self.said: dict[str, str] = {}
        self.avoided: dict[str, set[str]] = {host: set() for host in HOSTS}

    @rule(host=st.sampled_from(HOSTS))
    def begin(self, host: str) -> None:
        self.placement.begin(host)
        self.avoided[host].clear()

    @rule(host=st.sampled_from(HOSTS))
    def place(self, host: str) -> None:
        rests = {relay for relay in RELAYS if self.placement.rests_until.get(relay, 0.0) > self.now}
        left = set(RELAYS) - self.avoided[host]
        sizes = {relay: len(self.placement.hosts[relay] - {host}) for relay in RELAYS}
        before = self.said.get(host)
        relay = self.placement.place(host, self.now)
        if before is not None:
            assert relay == before
        elif left:
            assert relay in left
            awake = left - rests
            if awake:
                assert relay in awake
                assert sizes[relay] == min(sizes[each] for each in awake)
        else:
            assert relay is None
        if relay is not None:
            self.said[host] = relay

    @rule(host=st.sampled_from(HOSTS), relay=st.sampled_from(RELAYS))
    def avoid(self, host: str, relay: str) -> None:
        self.placement.avoid(host, relay)
        self.avoided[host].add(relay)
        if self.said.get(host) == relay:
            del self.said[host]

    @precondition(lambda self: any(len(each) == len(RELAYS) for each in self.avoided.values()))
    @rule()
    def retry(self) -> None:
        for host, tried in self.avoided.items():
            self.placement.retry(host)
            if len(tried) == len(RELAYS):
                tried.clear()

    @rule(relay=st.sampled_from(RELAYS), failed=st.booleans())
    def lose(self, relay: str, failed: bool) -> None:
        hosts = [host for host, each in self.said.items() if each == relay]
        if failed:
            self.placement.failed(relay, self.now)
        else:
            self.placement.lost(relay, self.now)
        for host in hosts:
            del self.said[host]
            if failed:
                self.avoided[host].add(relay)

    @rule(relay=st.sampled_from(RELAYS))
    def works(self, relay: str) -> None:
        self.placement.works(relay)

    @rule(seconds=st.floats(0.0, 700.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(host=st.sampled_from(HOSTS))
    def remove(self, host: str) -> None:
        self.placement.remove(host)
        self.said.pop(host, None)

    @invariant()
    def each_is_under_one(self) -> None:
        assert {host: self.placement.relay_of(host) for host in HOSTS if self.placement.relay_of(host)} == self.said
        assert {(host, relay) for relay, hosts in self.placement.hosts.items() for host in hosts} == set(
            self.said.items())


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=50, stateful_step_count=30)
