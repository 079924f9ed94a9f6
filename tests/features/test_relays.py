"""Hosts of a fleet that are reached through relays: spread, few descriptors, and a relay that is lost."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from errands import fleets

import econtext
from lab import eventually
from lab.sshd import Sshd

WAIT = 60
FORTY = [f'h{number}' for number in range(40)]


def relay_of(fleet: econtext.Fleet, host: str) -> econtext.Context:
    relay = fleet.context(host).via
    assert relay is not None
    return relay


def kill(relay: econtext.Context) -> None:
    """Kill the process of `relay`, and wait until the loss is known."""
    os.kill(relay.pid, signal.SIGKILL)
    eventually(lambda: relay._node.error is not None, WAIT)


def script(path: Path, text: str) -> str:
    path.write_text('#!/bin/sh\n' + text + '\n')
    path.chmod(0o755)
    return str(path)


# -- Where hosts are placed -------------------------------------------------------


def test_hosts_are_spread_over_local_processes_and_go_on_through_the_others(broker: econtext.Broker) -> None:
    descriptors = len(os.listdir('/proc/self/fd'))
    fleet = broker.fleet(FORTY, connector='local', relays=4)
    assert Counter(fleet.call(os.getppid).raise_for_failures().values()).most_common()[0][1] == 10
    assert len(os.listdir('/proc/self/fd')) - descriptors <= 4 * 6
    relays = {relay_of(fleet, host) for host in fleet}
    assert {relay.via for relay in relays} == {None}
    assert sorted(relay.name for relay in relays) == ['relay.1', 'relay.2', 'relay.3', 'relay.4']
    assert fleet.context('h7').name == 'h7'
    before = fleet.call(os.getpid).raise_for_failures()
    relay = relay_of(fleet, 'h7')
    below = {host for host in fleet if relay_of(fleet, host) is relay}
    kill(relay)
    after = fleet.call(os.getpid).raise_for_failures()
    assert {host for host in fleet if before[host] != after[host]} == below
    spread = Counter(fleet.call(os.getppid).raise_for_failures().values())
    assert relay.pid not in spread
    assert sorted(spread.values()) == [13, 13, 14]


def test_a_host_that_is_lost_alone_comes_back_by_the_same_relay(broker: econtext.Broker) -> None:
    fleet = broker.fleet(['a', 'b', 'c'], connector='local', relays=2)
    relays = {host: relay_of(fleet, host) for host in fleet}
    before = fleet.call(os.getpid)
    assert isinstance(fleet['b'].call(os._exit, 3).failures['b'], econtext.ContextLost)
    after = fleet.call(os.getpid).raise_for_failures()
    assert after['b'] != before['b']
    assert {host: relay_of(fleet, host) for host in fleet} == relays


def test_no_more_relays_are_started_than_there_are_hosts(broker: econtext.Broker) -> None:
    fleet = broker.fleet(['a', 'b'], connector='local', relays=50)
    assert fleet.call(os.getpid).raise_for_failures()
    assert len(broker._tree.contexts) == 4


def test_relays_are_hosts_connected_as_the_others(broker: econtext.Broker) -> None:
    fleet = broker.fleet(
        ['a', 'b', 'hub2'], connector='local', relays=['hub1', econtext.Host('hub2', {'cwd': '/'})])
    assert fleet.call(os.getpid).raise_for_failures()
    assert {relay_of(fleet, host).name for host in ('a', 'b')} == {'relay.hub1', 'relay.hub2'}
    # The way to a relay is that of the relay.
    assert fleet.context('hub2').via is None
    with pytest.raises(TypeError, match='pyton'):
        broker.fleet(['a'], connector='local', relays=[{'hub': {'pyton': 'x'}}])


def test_relays_are_contexts_of_the_program(broker: econtext.Broker) -> None:
    first, second = broker.local(), broker.local()
    fleet = broker.fleet(['a', 'b', 'c', 'd'], connector='local', relays=[first, second])
    assert Counter(fleet.call(os.getppid).values()) == {first.call(os.getpid): 2, second.call(os.getpid): 2}
    kill(first)
    assert set(fleet.call(os.getppid).raise_for_failures().values()) == {second.pid}
    kill(second)
    failures = fleet.call(os.getpid).failures
    assert len(failures) == 4
    assert all(isinstance(error, econtext.ContextLost) for error in failures.values())
    assert 'none of its relays' in str(failures['a'])
    one = broker.local()
    with broker.fleet(['a', 'b'], connector='local', relays=one) as fleet:
        assert set(fleet.call(os.getppid).values()) == {one.call(os.getpid)}
    # It is the program's, which goes on.
    assert one.call(os.getpid) == one.pid


def test_relays_are_a_fleet(broker: econtext.Broker) -> None:
    hubs = broker.fleet(['hub1', 'hub2'], connector='local', relays=1)
    fleet = broker.fleet(['a', 'b', 'c', 'd'], connector='local', relays=hubs)
    above = hubs.call(os.getpid)
    assert Counter(fleet.call(os.getppid).values()) == dict.fromkeys(above.values(), 2)
    assert [hop.name for hop in fleet.context('a')._node.route()] == ['relay.1', 'hub1', 'a']
    kill(hubs.context('hub1'))
    assert set(fleet.call(os.getppid).raise_for_failures().values()) == {above['hub2']}
    # The lowest level's relay goes, and with it all.
    kill(relay_of(hubs, 'hub2'))
    assert fleet.call(os.getpid).raise_for_failures()
    fleet.close()
    assert hubs.call(os.getpid).raise_for_failures()


def test_relays_that_are_none_are_refused_at_once(broker: econtext.Broker) -> None:
    for wrong in 0, -1, True, 2.5, [], object(), [object()]:
        with pytest.raises((TypeError, ValueError), match=r'relays=|hosts are|functions'):
            broker.fleet(['a'], connector='local', relays=wrong)  # type: ignore[arg-type]
    with econtext.Broker() as other:
        for strange in (other.local(), [other.local()], other.fleet(['x'], connector='local')):
            with pytest.raises(ValueError, match='another broker'):
                broker.fleet(['a'], connector='local', relays=strange)


def test_a_connector_of_the_programs_own_starts_from_the_relay(broker: econtext.Broker) -> None:
    def start(origin: Any, host: econtext.Host) -> econtext.Context:
        context: econtext.Context = origin.local(name=host.name)
        return context

    fleet = broker.fleet(['a', 'b'], connector=start, relays=1)
    assert {relay.pid for relay in {relay_of(fleet, host) for host in fleet}} == set(
        fleet.call(os.getppid).raise_for_failures().values())


# -- Relays that fail -----------------------------------------------------------------


def test_a_relay_that_cannot_be_connected_is_left_out(broker: econtext.Broker) -> None:
    bad = econtext.Host('bad', {'python': '/no/such/python'})
    fleet = broker.fleet(['a', 'b', 'c', 'd'], connector='local', relays=[bad, 'good'])
    assert fleet.call(os.getpid).raise_for_failures()
    assert {relay_of(fleet, host).name for host in fleet} == {'relay.good'}
    lonely = broker.fleet(['a', 'b'], connector='local', relays=[bad])
    failures = lonely.call(os.getpid).failures
    assert {type(error) for error in failures.values()} == {econtext.ConnectError}
    error = failures['a']
    assert isinstance(error, econtext.ConnectError)
    assert error.context == 'a'
    assert error.kind == 'no-python'
    assert 'relay.bad' in str(error)


def test_a_relay_that_is_lost_while_hosts_connect_fails_none_of_them(broker: econtext.Broker, tmp_path: Path) -> None:
    # Those below the first relay say nothing until it is gone. A link is made and filled in one step.
    first = tmp_path / 'first'
    python = script(tmp_path / 'python', f'''
        ln -s $PPID {first} 2> {os.devnull}
        [ $PPID = "$(readlink {first})" ] && exec cat > {os.devnull}
        exec {sys.executable} "$@"''')
    fleet = broker.fleet([f'h{number}' for number in range(6)], connector='local', python=python, relays=3)
    running = fleet.submit(os.getpid)
    eventually(first.is_symlink, WAIT)
    hanging = int(os.readlink(first))
    eventually(lambda: sum(future.done() for future in running.values()) == 4, WAIT)
    os.kill(hanging, signal.SIGKILL)
    assert running.results(WAIT).raise_for_failures()
    assert hanging not in fleet.call(os.getppid).raise_for_failures().values()


def test_one_relay_that_is_lost_is_started_again(broker: econtext.Broker) -> None:
    fleet = broker.fleet(['a', 'b'], connector='local', relays=1)
    first = relay_of(fleet, 'a')
    kill(first)
    assert fleet.call(os.getpid).raise_for_failures()
    assert relay_of(fleet, 'a') is relay_of(fleet, 'b')
    assert relay_of(fleet, 'a').pid != first.pid


def test_a_lost_relays_work_is_begun_elsewhere_if_asked(broker: econtext.Broker, tmp_path: Path) -> None:
    fleet = broker.fleet(['a', 'b'], connector='local', relays=2)
    fleet.connect_all().raise_for_failures()
    with fleet.executor(retries=1) as executor:
        jobs = [executor.submit(fleets.wait_for, str(tmp_path / 'go')) for _ in range(2)]
        eventually(lambda: all(job.running() for job in jobs), WAIT)
        kill(relay_of(fleet, 'a'))
        (tmp_path / 'go').touch()
        assert all(job.result(WAIT) for job in jobs)


def test_work_that_ran_below_a_lost_relay_names_the_cause(broker: econtext.Broker, tmp_path: Path) -> None:
    fleet = broker.fleet(['a', 'b'], connector='local', relays=2)
    relays = {host: relay_of(fleet, host) for host in fleet}
    running = fleet.submit(fleets.wait_for, str(tmp_path / 'go'))
    eventually(lambda: all(future.running() for future in running.values()), WAIT)
    kill(relays['a'])
    error = running['a'].exception(WAIT)
    assert isinstance(error, econtext.ContextLost)
    assert relays['a'].name in str(error)
    (tmp_path / 'go').touch()
    assert running['b'].result(WAIT) > 0


# -- What it does with the rest of a fleet -----------------------------------------------


def test_attempts_that_fail_are_tried_again_through_another_relay(broker: econtext.Broker, tmp_path: Path) -> None:
    python = script(tmp_path / 'python', f'''
        echo $PPID >> {tmp_path}/tried
        [ $(wc -l < {tmp_path}/tried) -gt 3 ] && exec {sys.executable} "$@"
        echo 'not today' >&2
        exit 1''')
    fleet = broker.fleet(['a'], connector='local', python=python, relays=2, connect_retries=3, retry_delay=0.01)
    assert fleet.call(os.getpid).raise_for_failures()
    tried = (tmp_path / 'tried').read_text().split()
    assert len(tried) == 4
    assert len(set(tried)) == 2
    assert tried[0] != tried[1]


def test_what_is_below_the_hosts_works_and_one_connects_at_a_time(broker: econtext.Broker) -> None:
    fleet = broker.fleet(['a', 'b', 'c'], connector='local', relays=2, connect_limit=1)
    below = fleet.local()
    assert below.call(os.getppid).raise_for_failures() == fleet.call(os.getpid).raise_for_failures()
    kill(relay_of(fleet, 'a'))
    assert below.call(os.getppid).raise_for_failures() == fleet.call(os.getpid).raise_for_failures()


def test_the_relays_of_a_fleet_end_with_its_last_host(broker: econtext.Broker) -> None:
    fleet = broker.fleet(['a', 'b', 'c'], connector='local', relays=2)
    pids = [*fleet.call(os.getpid).raise_for_failures().values(), *set(fleet.call(os.getppid).values())]
    fleet[:2].close()
    assert fleet['c'].call(os.getpid).raise_for_failures()
    fleet['c'].close()
    assert not broker._tree.contexts
    eventually(lambda: not any(os.path.exists(f'/proc/{pid}') for pid in pids), WAIT)
    assert all(isinstance(error, econtext.EcontextError) for error in fleet.call(os.getpid).failures.values())


def test_closing_while_relays_and_hosts_connect(tmp_path: Path) -> None:
    hanging = script(tmp_path / 'hanging', f'touch {tmp_path}/begun\nexec sleep 600')
    for relays in (2, [{'hub': {'python': hanging}}]):
        (tmp_path / 'begun').unlink(missing_ok=True)
        with econtext.Broker() as broker:
            fleet = broker.fleet(
                ['a', 'b'], connector='local', python=hanging, connect_timeout=600.0, relays=relays)
            running = fleet.submit(os.getpid)
            eventually((tmp_path / 'begun').exists, WAIT)
            threading.Thread(target=fleet.close).start()
            concurrent.futures.wait(running.values(), WAIT)
            assert all(isinstance(future.exception(0), econtext.EcontextError) for future in running.values())


# -- With a real ssh ---------------------------------------------------------------------------


def test_hosts_by_ssh_through_local_processes_and_through_hosts(broker: econtext.Broker, sshd: Sshd) -> None:
    options: dict[str, Any] = {'ssh_args': sshd.ssh_args(), 'python': sys.executable}
    hosts = {f'web{number}': {'hostname': sshd.address} for number in range(6)}
    fleet = broker.fleet(hosts, relays=2, **options)
    assert len(set(fleet.call(os.getpid).raise_for_failures().values())) == 6
    relays = {relay_of(fleet, host) for host in fleet}
    assert {relay.name for relay in relays} == {'relay.1', 'relay.2'}
    kill(relay_of(fleet, 'web0'))
    assert len(set(fleet.call(os.getpid).raise_for_failures().values())) == 6
    assert len({relay_of(fleet, host) for host in fleet}) == 1
    hubs = {f'hub{number}': {'hostname': sshd.address} for number in range(2)}
    nested = broker.fleet(hosts, relays=hubs, **options)
    assert len(set(nested.call(os.getpid).raise_for_failures().values())) == 6
    assert {relay_of(nested, host).name for host in nested} == {'relay.hub0', 'relay.hub1'}
    kill(relay_of(nested, 'web3'))
    assert len(set(nested.call(os.getpid).raise_for_failures().values())) == 6
