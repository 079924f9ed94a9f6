"""Many hosts at once: calls, streams, limits, batches, attempts, and what is left when it ends."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from errands import fleets

import econtext
from lab import SOON, eventually, leaks

WAIT = SOON
NAMES = ['alpha', 'beta', 'gamma']


@pytest.fixture
def fleet(broker: econtext.Broker) -> econtext.Fleet:
    return broker.fleet(NAMES, connector='local')


@pytest.fixture
def hanging(tmp_path: Path) -> str:
    """An interpreter that never says anything."""
    return script(tmp_path / 'hanging', 'exec sleep 600')


def script(path: Path, text: str) -> str:
    path.write_text('#!/bin/sh\n' + text + '\n')
    path.chmod(0o755)
    return str(path)


def failing_first(path: Path, times: int) -> str:
    """An interpreter that fails so many times before it works; each attempt leaves a line in PATH.tried."""
    return script(path, f'''
        echo tried >> {path}.tried
        [ $(wc -l < {path}.tried) -gt {times} ] && exec {sys.executable} "$@"
        echo 'not today' >&2
        exit 1''')


# -- The same on each ----------------------------------------------------------


def test_call_returns_what_each_returned(fleet: econtext.Fleet) -> None:
    results = fleet.call(os.getpid)
    assert list(results) == NAMES
    assert len(set(results.values())) == 3
    assert results.raise_for_failures() is results
    # The same contexts again.
    assert dict(fleet.call(os.getpid)) == dict(results)


def test_map_gives_one_argument_each(fleet: econtext.Fleet) -> None:
    assert dict(fleet.map(abs, [-1, -2, -3])) == {'alpha': 1, 'beta': 2, 'gamma': 3}
    assert dict(fleet.map(abs, {'gamma': -7})) == {'gamma': 7}
    for wrong in [1, 2], [1, 2, 3, 4], {'delta': 1}:
        with pytest.raises(ValueError, match='map'):
            fleet.map(abs, wrong)


def test_a_failure_is_that_hosts_alone(fleet: econtext.Fleet) -> None:
    results = fleet.map(divmod_by, {'alpha': 1, 'beta': 0, 'gamma': 2})
    assert dict(results.successes) == {'alpha': (1, 0), 'gamma': (0, 1)}
    assert isinstance(results.failures['beta'], ZeroDivisionError)
    assert isinstance(results.failures['beta'], econtext.CallError)
    with pytest.raises(econtext.FleetError, match='1 of 3 hosts failed: beta'):
        results.raise_for_failures()


def divmod_by(number: int) -> tuple[int, int]:
    return divmod(1, number)


def test_what_cannot_be_called_is_refused_at_once(fleet: econtext.Fleet) -> None:
    lock = threading.Lock()
    for method in fleet.call, fleet.submit, fleet.stream:
        with pytest.raises(TypeError, match='lock'):
            method(lambda: lock)
    with pytest.raises(TypeError):
        fleet.call(fleets.numbers, 3)


def test_functions_without_a_module_run_on_each_host(fleet: econtext.Fleet) -> None:
    number = 3
    assert set(fleet.call(lambda: number + 1).raise_for_failures().values()) == {4}
    assert sorted(value for _, value in fleet.stream(lambda: [number])) == [3] * len(fleet)


def test_submit_returns_at_once_and_tells_as_they_come(broker: econtext.Broker, tmp_path: Path) -> None:
    fleet = broker.fleet(NAMES, connector='local')
    arguments = {name: str(tmp_path / name) for name in NAMES}
    order = []
    begun = fleet[:2].submit(fleets.wait_for, arguments['alpha'])
    assert not begun['alpha'].done()
    other = fleet[2:].submit(os.getpid)
    assert other['gamma'].result(WAIT) > 0
    assert isinstance(begun['alpha'], concurrent.futures.Future)
    (tmp_path / 'alpha').touch()
    for host, future in begun.as_completed(WAIT):
        order.append(host)
        assert future.host == host
        assert future.done()
    assert sorted(order) == ['alpha', 'beta']
    assert begun.results() == {host: future.result() for host, future in begun.items()}
    assert set(concurrent.futures.as_completed(begun.values(), WAIT)) == set(begun.values())


def test_one_that_hangs_holds_nobody(broker: econtext.Broker, hanging: str, tmp_path: Path) -> None:
    fleet = broker.fleet(['ok', {'slow': {'python': hanging}}, 'holds', 'fine'], connector='local')
    begun = fleet.submit(os.getpid)
    for host in 'ok', 'holds', 'fine':
        assert begun[host].result(WAIT)
    assert not begun['slow'].done()
    held = fleet['holds'].submit(fleets.hold, str(tmp_path))
    eventually(lambda: list(tmp_path.glob('*.begun')), WAIT)
    assert fleet.filter(lambda host: host.name in ('ok', 'fine')).call(os.getpid).raise_for_failures()
    held.interrupt(WAIT)
    assert isinstance(held['holds'].exception(WAIT), econtext.CallError)
    begun.interrupt()
    assert begun['slow'].cancelled()


def test_a_host_that_cannot_be_connected_is_a_failure(broker: econtext.Broker) -> None:
    fleet = broker.fleet(['ok', econtext.Host('bad', {'python': '/no/such/python'})], connector='local')
    results = fleet.call(os.getpid)
    assert list(results.successes) == ['ok']
    error = results.failures['bad']
    assert isinstance(error, econtext.ConnectError)
    assert error.context == 'bad'
    with pytest.raises(econtext.ConnectError):
        fleet.context('bad')
    with pytest.raises(KeyError):
        fleet.context('other')
    assert fleet.context('ok').call(os.getpid) == results['ok']
    connected = fleet.connect_all()
    assert list(fleet & connected.successes) == ['ok']
    assert isinstance(connected['ok'], econtext.Context)


def test_a_deadline_is_each_hosts_own(fleet: econtext.Fleet, tmp_path: Path) -> None:
    fleet.connect_all().raise_for_failures()
    results = fleet.options(timeout=0.3, grace=WAIT).call(fleets.hold, str(tmp_path))
    assert {type(error) for error in results.failures.values()} == {econtext.CallTimeout}
    eventually(lambda: fleets.all_ended(str(tmp_path)), WAIT, 'each that began is interrupted')
    assert fleet.call(os.getpid).raise_for_failures()


def test_waiting_has_a_deadline_too(fleet: econtext.Fleet, tmp_path: Path) -> None:
    with fleet.submit(fleets.hold, str(tmp_path)) as futures:
        with pytest.raises(econtext.CallTimeout, match='3 of 3 hosts'):
            futures.results(timeout=0.1)
        with pytest.raises(TimeoutError):
            list(futures.as_completed(timeout=0.1))
    for future in futures.values():
        eventually(future.done, WAIT)


# -- What a context starts, a fleet starts on each ------------------------------


def test_contexts_below(fleet: econtext.Fleet) -> None:
    above = fleet.call(os.getpid)
    below = fleet.local(cwd='/')
    assert dict(below.call(os.getppid)) == dict(above)
    assert set(below.call(os.getcwd).values()) == {'/'}
    assert below.context('beta').via is fleet.context('beta')
    assert below.context('beta').name.startswith('beta.')
    with pytest.raises(ValueError, match='not the same context'):
        fleet | below
    with pytest.raises(TypeError):
        fleet.local(pyton='x')  # type: ignore[call-arg]
    assert list(fleet.connect('local').call(os.getppid).values()) == list(above.values())


def test_options_that_make_no_sense_are_refused_at_once(broker: econtext.Broker) -> None:
    for wrong in (
        {'pyton': 'x'}, {'connect_limit': 0}, {'connect_retries': -1}, {'retry_delay': 'soon'}, {'connector': 7},
        {'connector': 'carrier-pigeon'}, {'nice': 'very'}, {'threads': 0},
    ):
        with pytest.raises((TypeError, ValueError)):
            broker.fleet(['a'], **{'connector': 'local', **wrong})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='port'):
        broker.fleet(['ok', 'web:22'])
    fleet = broker.fleet(['a'], connector='local')
    for wrong in (
        {'timeout': 'long'}, {'grace': -1}, {'limit': 0}, {'batch': 0}, {'batch': [1, '200%']}, {'stop_after': '0%'},
        {'progress': 3},
    ):
        with pytest.raises((TypeError, ValueError)):
            fleet.options(**wrong)  # type: ignore[arg-type]


def test_a_connector_of_the_programs_own(broker: econtext.Broker) -> None:
    def start(origin: econtext.Broker, host: econtext.Host) -> econtext.Context:
        return origin.local(name=f'mine.{host.name}', cwd=host.variables['cwd'])

    fleet = broker.fleet([econtext.Host('a', variables={'cwd': '/'})], connector=start)
    assert fleet.call(os.getcwd)['a'] == '/'
    assert fleet.context('a').name == 'mine.a'


# -- Sets, slices and the like ---------------------------------------------------


def test_fleets_are_sequences_and_sets_of_names(broker: econtext.Broker) -> None:
    fleet = broker.fleet([econtext.Host('a', groups=['x']), 'b', econtext.Host('c', groups=['x', 'y']), 'd'],
                         connector='local')
    assert list(fleet) == ['a', 'b', 'c', 'd']
    assert (fleet[0], fleet[-1], len(fleet), 'c' in fleet) == ('a', 'd', 4, True)
    assert list(fleet[1:3]) == ['b', 'c']
    assert list(fleet[::-1]) == ['d', 'c', 'b', 'a']
    assert list(fleet['@x']) == ['a', 'c']
    assert list(fleet['[ab]']) == ['a', 'b']
    assert list(fleet.filter(lambda host: host.groups)) == ['a', 'c']
    first, last = fleet[:3], fleet[2:]
    assert list(first | last) == ['a', 'b', 'c', 'd']
    assert list(last | first) == ['c', 'd', 'a', 'b']
    assert list(first & last) == ['c']
    assert list(first - last) == ['a', 'b']
    assert list(first ^ last) == ['a', 'b', 'd']
    assert list(fleet - ['a', 'nobody']) == ['b', 'c', 'd']
    assert fleet[:2] == fleet - ['c', 'd']
    assert {fleet[:2]: 1}[fleet[:2]] == 1
    assert not fleet.filter('nobody')
    for wrong in (lambda: fleet['nobody'], lambda: fleet[9]):
        with pytest.raises(LookupError):
            wrong()
    with pytest.raises(TypeError):
        fleet - 'a'
    with pytest.raises(TypeError, match='not by a list: write fleet & names'):
        fleet[['a', 'b']]  # type: ignore[call-overload]
    assert list(fleet & ['a', 'b']) == ['a', 'b']
    assert [repr(fleet[:number]) for number in (1, 2)] == ['<econtext.Fleet of 1 host>', '<econtext.Fleet of 2 hosts>']
    with econtext.Broker() as other, pytest.raises(ValueError, match='different brokers'):
        fleet | other.fleet(['z'], connector='local')
    assert dict(broker.fleet([]).call(os.getpid)) == {}


# -- Limits, batches, attempts ---------------------------------------------------


def test_a_limit_of_calls(broker: econtext.Broker, tmp_path: Path) -> None:
    fleet = broker.fleet([f'h{number}' for number in range(6)], connector='local')
    fleet.connect_all().raise_for_failures()
    assert max(fleet.options(limit=2).call(fleets.overlap, str(tmp_path), 0.2).raise_for_failures().values()) <= 2
    assert min(fleet.call(fleets.meet, str(tmp_path), 6).raise_for_failures().values()) == 6


def test_a_limit_of_connecting(broker: econtext.Broker, tmp_path: Path) -> None:
    folder = tmp_path / 'now'
    folder.mkdir()
    # Each counts those that start at a time with it.
    python = script(tmp_path / 'python', f'''
        touch {folder}/$$
        sleep 0.2
        ls {folder} | wc -l >> {tmp_path}/seen
        rm {folder}/$$
        exec {sys.executable} "$@"''')
    fleet = broker.fleet(
        [f'h{number}' for number in range(5)], connector='local', connect_limit=2, python=python)
    fleet.call(os.getpid).raise_for_failures()
    seen = [int(line) for line in (tmp_path / 'seen').read_text().split()]
    assert len(seen) == 5
    assert max(seen) <= 2


def test_batches_end_before_the_next_begins_and_stop_after_failures(broker: econtext.Broker) -> None:
    fleet = broker.fleet([f'h{number}' for number in range(6)], connector='local')
    rolling = fleet.options(batch=[1, 2], stop_after=2)
    results = rolling.map(divmod_by, [1, 0, 1, 0, 1, 1])
    assert list(results.successes) == ['h0', 'h2', 'h4']
    assert list(results.failures) == ['h1', 'h3']
    assert results.skipped == ('h5',)
    with pytest.raises(econtext.EcontextError, match='h5: nothing was begun'):
        results['h5']
    assert broker.fleet(['x'], connector='local').options(batch='10%').call(os.getpid).raise_for_failures()


def test_hosts_of_later_batches_are_not_even_connected(broker: econtext.Broker) -> None:
    started = []

    def start(origin: econtext.Broker, host: econtext.Host) -> econtext.Context:
        started.append(host.name)
        return origin.local(name=host.name)

    fleet = broker.fleet(['a', 'b', 'c'], connector=start).options(batch=1, stop_after=1)
    results = fleet.map(divmod_by, [1, 0, 1])
    assert started == ['a', 'b']
    assert results.skipped == ('c',)


def test_connecting_is_tried_again(broker: econtext.Broker, tmp_path: Path) -> None:
    hosts = {name: {'python': failing_first(tmp_path / name, times)} for name, times in (('two', 2), ('nine', 9))}
    fleet = broker.fleet({**hosts, 'one': {}}, connector='local', connect_retries=2, retry_delay=0.05)
    results = fleet.call(os.getpid)
    assert list(results.successes) == ['two', 'one']
    assert isinstance(results.failures['nine'], econtext.ConnectError)
    assert len((tmp_path / 'two.tried').read_text().split()) == 3
    assert len((tmp_path / 'nine.tried').read_text().split()) == 3


def test_a_lost_context_is_connected_again_when_there_is_work(fleet: econtext.Fleet) -> None:
    before = dict(fleet.call(os.getpid))
    lost = fleet.context('beta')
    os.kill(before['beta'], signal.SIGKILL)
    eventually(lambda: lost._node.error is not None, WAIT)
    after = dict(fleet.call(os.getpid).raise_for_failures())
    assert after['alpha'] == before['alpha']
    assert after['beta'] != before['beta']


def test_below_a_lost_context_all_is_connected_again(fleet: econtext.Fleet) -> None:
    below = fleet.local().local()
    before = below.call(os.getpid).raise_for_failures()
    assert isinstance(fleet.call(os._exit, 3).failures['alpha'], econtext.ContextLost)
    after = below.call(os.getpid).raise_for_failures()
    assert not set(before.values()) & set(after.values())


# -- Streams --------------------------------------------------------------------


def test_a_stream_of_all_is_tagged_by_host(fleet: econtext.Fleet) -> None:
    found: dict[str, list[Any]] = {}
    with fleet.stream(fleets.numbers, 300) as values:
        for host, value in values:
            found.setdefault(host, []).append(value)
    assert found == {name: list(range(300)) for name in NAMES}
    assert values.failures == {}


def test_a_host_that_fails_yields_why_and_the_others_go_on(broker: econtext.Broker) -> None:
    fleet = broker.fleet(['a', 'b', {'bad': {'python': '/no/such/python'}}], connector='local')
    found: dict[str, list[Any]] = {}
    with fleet.stream(fleets.fails_behind, 3) as values:
        for host, value in values:
            found.setdefault(host, []).append(value)
    assert found['a'][:3] == found['b'][:3] == [0, 1, 2]
    assert isinstance(found['a'][3], ValueError)
    assert isinstance(found['bad'][0], econtext.ConnectError)
    assert set(values.failures) == {'a', 'b', 'bad'}
    assert sum(len(each) for each in found.values()) == 9


def test_values_come_while_another_host_hangs(broker: econtext.Broker, hanging: str, tmp_path: Path) -> None:
    fleet = broker.fleet([{'slow': {'python': hanging}}, 'a'], connector='local')
    with fleet.options(grace=WAIT).stream(fleets.endless, str(tmp_path)) as values:
        found = [next(values) for _ in range(3000)]
    assert found == [('a', number) for number in range(3000)]
    eventually(lambda: list(tmp_path.glob('*.ended')), WAIT, 'the function is ended')


@pytest.mark.parametrize('how', ['close', 'block', 'garbage'])
def test_a_stream_that_is_left_ends_its_functions(fleet: econtext.Fleet, tmp_path: Path, how: str) -> None:
    def read_some() -> None:
        values = fleet.options(grace=WAIT).stream(fleets.endless, str(tmp_path))
        seen = set()
        while seen != set(NAMES):
            seen.add(next(values)[0])
        if how == 'close':
            values.close()
            values.close()
            assert list(values) == []
        elif how == 'block':
            with pytest.raises(KeyError), values:
                raise KeyError

    read_some()
    eventually(lambda: len(list(tmp_path.glob('*.ended'))) == 3, WAIT)
    assert fleet.call(os.getpid).raise_for_failures()


def test_a_stream_with_a_limit_reads_one_after_the_other(fleet: econtext.Fleet) -> None:
    with fleet.options(limit=1).stream(fleets.numbers, 3) as values:
        hosts = [host for host, _ in values]
    assert len(hosts) == 9
    # In no special order, but none within another.
    assert sum(before != after for before, after in itertools.pairwise(hosts)) == 2


def test_a_streams_deadline(fleet: econtext.Fleet, tmp_path: Path) -> None:
    fleet.connect_all()
    with fleet.options(timeout=0.3).stream(fleets.endless, str(tmp_path)) as values:
        failures = {host: value for host, value in values if isinstance(value, BaseException)}
    assert {type(error) for error in failures.values()} == {econtext.CallTimeout}
    assert set(failures) == set(NAMES)


# -- How it ends ------------------------------------------------------------------


@pytest.mark.parametrize('how', ['call', 'stream', 'map'])
def test_ctrl_c_interrupts_what_runs(fleet: econtext.Fleet, tmp_path: Path, how: str) -> None:
    fleet.connect_all().raise_for_failures()

    def strike() -> None:
        eventually(lambda: len(list(tmp_path.glob('*.begun'))) == 3, WAIT)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=strike)
    thread.start()
    # Time enough to stop on a machine with other work: a context that does not stop is ended.
    patient = fleet.options(grace=WAIT)
    ways: dict[str, Callable[[], Any]] = {
        'call': lambda: patient.call(fleets.hold, str(tmp_path)),
        'map': lambda: patient.map(fleets.hold, [str(tmp_path)] * 3),
        'stream': lambda: drain(patient, str(tmp_path)),
    }
    with pytest.raises(KeyboardInterrupt):
        ways[how]()
    thread.join()
    eventually(lambda: len(list(tmp_path.glob('*.ended'))) == 3, WAIT, 'all are interrupted')
    assert fleet.call(os.getpid).raise_for_failures()


def drain(fleet: econtext.Fleet, folder: str) -> None:
    with fleet.stream(fleets.hold_stream, folder) as values:
        for _ in values:
            pass


def test_the_block_of_a_fleet_ends_its_contexts(broker: econtext.Broker, tmp_path: Path) -> None:
    with broker.fleet(NAMES, connector='local') as fleet:
        below = fleet.local()
        pids = [*fleet.call(os.getpid).values(), *below.call(os.getpid).values()]
        begun = fleet.submit(fleets.wait_for, str(tmp_path / 'go'))
        threading.Timer(0.2, (tmp_path / 'go').touch).start()
    # It waited for what was begun.
    assert begun.results().raise_for_failures()
    assert not any(leaks.alive(pid) for pid in pids)
    for dead in fleet, below:
        failures = dead.call(os.getpid).failures
        assert list(failures) == NAMES
        assert all(isinstance(error, econtext.EcontextError) for error in failures.values())


def test_an_error_in_the_block_ends_all_at_once(broker: econtext.Broker, hanging: str, tmp_path: Path) -> None:
    begun_at = time.monotonic()
    with pytest.raises(KeyError), broker.fleet(  # noqa: PT012 -- what the block does is the test
        [*NAMES, {'slow': {'python': hanging}}], connector='local', connect_timeout=600
    ) as fleet:
        running = fleet.submit(fleets.hold, str(tmp_path))
        eventually(lambda: len(list(tmp_path.glob('*.begun'))) == 3, WAIT)
        raise KeyError
    for future in running.values():
        assert isinstance(future.exception(WAIT), econtext.EcontextError)
    assert time.monotonic() - begun_at < WAIT


@pytest.mark.parametrize('state', ['connecting', 'running', 'before another attempt'])
def test_closing_the_broker_ends_work_in_any_state(hanging: str, tmp_path: Path, state: str) -> None:
    options: dict[str, Any] = {}
    if state == 'connecting':
        options = {'python': hanging, 'connect_timeout': 600}
    elif state != 'running':
        options = {'python': failing_first(tmp_path / 'python', 9), 'connect_retries': 5, 'retry_delay': 60.0}
    with econtext.Broker() as broker:
        fleet = broker.fleet(NAMES, connector='local', **options)
        running = fleet.submit(fleets.hold, str(tmp_path))
        if state == 'running':
            eventually(lambda: len(list(tmp_path.glob('*.begun'))) == 3, WAIT)
        elif state != 'connecting':
            eventually(lambda: (tmp_path / 'python.tried').exists(), WAIT)
        threading.Timer(0.3, broker.close).start()
        for future in running.values():
            assert isinstance(future.exception(WAIT), econtext.EcontextError)
    assert all(isinstance(error, econtext.EcontextError) for error in fleet.call(os.getpid).failures.values())


def test_callbacks_may_take_long_and_use_the_fleet(fleet: econtext.Fleet) -> None:
    release, found = threading.Event(), []

    def slow(future: concurrent.futures.Future[int]) -> None:
        found.append(fleet[1:].call(os.getpid).raise_for_failures())
        release.wait(WAIT)

    futures = fleet[:1].submit(os.getpid)
    futures['alpha'].add_done_callback(slow)
    assert fleet.call(os.getpid).raise_for_failures()
    eventually(lambda: found, WAIT)
    release.set()


def test_a_thousand_hosts_need_no_thousand_threads(
    broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A thread that has no turn for some looks gets others beside it.
    monkeypatch.setattr('econtext.controller.fleet.crew.LOOK', WAIT)

    def start(origin: econtext.Broker, host: econtext.Host) -> econtext.Context:
        raise econtext.EcontextError(f'{host.name}: not at home')

    before = threading.active_count()
    seen = []
    fleet = broker.fleet([f'h{number}' for number in range(1000)], connector=start).options(
        limit=3, progress=lambda progress: seen.append(threading.active_count()))
    results = fleet.call(os.getpid)
    assert len(results.failures) == 1000
    assert max(seen) <= before + 3


def test_one_context_gets_one_call_at_a_time(broker: econtext.Broker, tmp_path: Path) -> None:
    for threads, most in (1, 1), (3, 3):
        fleet = broker.fleet([f'with{threads}'], connector='local', threads=threads)
        begun = [fleet.submit(fleets.wait_for, str(tmp_path / f'go{threads}')) for _ in range(3)]
        fleet.connect_all()
        eventually(lambda: sum(each[f'with{threads}'].running() for each in begun) == most, WAIT)  # noqa: B023
        (tmp_path / f'go{threads}').touch()
        assert all(each.results().raise_for_failures() for each in begun)


# -- An executor -------------------------------------------------------------------


def test_an_executor_gives_work_to_whoever_is_free(fleet: econtext.Fleet, tmp_path: Path) -> None:
    with fleet.executor() as executor:
        assert isinstance(executor, concurrent.futures.Executor)
        held = executor.submit(fleets.wait_for, str(tmp_path / 'go'))
        results = list(executor.map(abs, range(-50, 0)))
        assert results == list(range(50, 0, -1))
        assert not held.done()
        (tmp_path / 'go').touch()
    assert held.result(0) > 0
    assert held.host in NAMES
    with pytest.raises(RuntimeError, match='takes no more work'):
        executor.submit(abs, 1)
    with pytest.raises(ValueError, match='retries'):
        fleet.executor(retries=-1)
    # The contexts are the fleet's, and stay.
    assert fleet.call(os.getpid).raise_for_failures()


def test_a_lost_contexts_work_is_begun_elsewhere_if_asked(fleet: econtext.Fleet, tmp_path: Path) -> None:
    with fleet.executor(retries=1) as executor:
        assert executor.submit(fleets.leave_once, str(tmp_path / 'asked')).result(WAIT) > 0
    with fleet.executor() as executor:
        lost = executor.submit(fleets.leave_once, str(tmp_path / 'not asked'))
        assert isinstance(lost.exception(WAIT), concurrent.futures.BrokenExecutor)


def test_an_executor_gets_hosts_that_other_work_leaves(fleet: econtext.Fleet, tmp_path: Path) -> None:
    busy = fleet.submit(fleets.wait_for, str(tmp_path / 'go'))
    eventually(lambda: all(future.running() for future in busy.values()), WAIT)
    with fleet.executor() as executor:
        future = executor.submit(abs, -3)
        fleet.connect_all()
        assert not future.done()
        (tmp_path / 'go').touch()
        assert future.result(WAIT) == 3


def test_an_executor_does_without_hosts_that_cannot_be_connected(broker: econtext.Broker) -> None:
    bad = econtext.Host('bad', {'python': '/no/such/python'})
    with broker.fleet(['ok', bad], connector='local').executor() as executor:
        assert sum(executor.map(abs, range(20))) == sum(range(20))
    with broker.fleet([bad], connector='local').executor() as executor:
        assert isinstance(executor.submit(abs, 1).exception(WAIT), econtext.ConnectError)


def test_an_executor_cancels_what_has_not_begun(fleet: econtext.Fleet, tmp_path: Path) -> None:
    executor = fleet.executor()
    begun = [executor.submit(fleets.wait_for, str(tmp_path / 'go')) for _ in range(3)]
    eventually(lambda: all(future.running() for future in begun), WAIT)
    behind = [executor.submit(abs, 1) for _ in range(5)]
    executor.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in behind)
    (tmp_path / 'go').touch()
    assert all(future.result(WAIT) for future in begun)
    with pytest.raises(KeyError), fleet.executor() as other:  # noqa: PT012 -- what the block does is the test
        running = other.submit(fleets.hold, str(tmp_path))
        eventually(lambda: list(tmp_path.glob('*.begun')), WAIT)
        raise KeyError
    assert running.done()
    executor.shutdown()
