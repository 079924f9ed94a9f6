"""What waits in a fleet, what is stopped, given up, closed or broken: all of it ends, and nothing more is begun."""

from __future__ import annotations

import concurrent.futures
import gc
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from errands import fleets

import econtext
from econtext.controller.fleet import coordinator, executor, fleet, members, schedule
from econtext.controller.session import backpressure
from lab import SOON, eventually

WAIT = SOON
NAMES = ['a', 'b', 'c']


def within(function: Callable[[], Any], seconds: float = WAIT) -> Any:
    """Return what `function` returns, which is not to hang."""
    done: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def run() -> None:
        try:
            done.set_result(function())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done.result(seconds)


@pytest.fixture
def local(broker: econtext.Broker) -> econtext.Fleet:
    made = broker.fleet(NAMES, connector='local')
    made.connect_all().raise_for_failures()
    return made


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a test waits at is opened behind it."""
    made = threading.Event()
    yield made
    made.set()


def hanging(path: Path) -> str:
    path.write_text('#!/bin/sh\nexec sleep 600\n')
    path.chmod(0o755)
    return str(path)


# -- A stop ----------------------------------------------------------------------


def test_a_stop_skips_hosts_that_wait_for_a_place(local: econtext.Fleet, tmp_path: Path) -> None:
    busy = (local - ['a']).submit(fleets.wait_for, str(tmp_path / 'go'))
    eventually(lambda: all(future.running() for future in busy.values()), WAIT)
    futures = local.options(stop_after=1).submit(fleets.fail_once_begun, str(tmp_path))
    results = futures.results(WAIT)
    assert list(results.failures) == ['a']
    assert results.skipped == ('b', 'c')
    (tmp_path / 'go').touch()
    assert busy.results(WAIT).raise_for_failures()
    assert local.call(os.getpid).raise_for_failures()
    assert len(list(tmp_path.glob('*.begun'))) == 1


def test_a_stop_connects_nothing_that_waits_for_it(broker: econtext.Broker, gate: threading.Event) -> None:
    started = []

    def start(origin: econtext.Broker, host: econtext.Host) -> econtext.Context:
        started.append(host.name)
        if host.name == 'b':
            gate.wait(WAIT)
        return origin.local(name=host.name)

    fleet = broker.fleet(NAMES, connector=start, connect_limit=1)
    results = within(lambda: fleet.options(stop_after=1).call(divmod, 1, 0))
    assert list(results.failures) == ['a']
    assert results.skipped == ('b', 'c')
    gate.set()
    assert fleet['b'].call(os.getpid).raise_for_failures()
    assert started == ['a', 'b']


def test_what_waits_for_a_place_can_be_cancelled(local: econtext.Fleet, tmp_path: Path) -> None:
    one = local['a']
    busy = one.submit(fleets.wait_for, str(tmp_path / 'go'))
    eventually(busy['a'].running, WAIT)
    behind = one.submit(os.getpid)
    # As soon as it is in line, not running.
    assert not behind['a'].running()
    assert behind['a'].cancel()
    assert concurrent.futures.wait(behind.values(), WAIT).done
    (tmp_path / 'go').touch()
    assert busy.results(WAIT).raise_for_failures()


# -- Long queues -------------------------------------------------------------------


def test_a_closed_fleet_of_many_batches_fails_on_each_host(broker: econtext.Broker) -> None:
    fleet = broker.fleet([f'h{number}' for number in range(3000)], connector='local')
    fleet.close()
    assert len(within(lambda: fleet.options(batch=1).call(os.getpid)).failures) == 3000


def test_many_batches_that_cannot_be_connected(broker: econtext.Broker) -> None:
    def start(origin: econtext.Broker, host: econtext.Host) -> econtext.Context:
        raise econtext.EcontextError(f'{host.name}: not at home')

    fleet = broker.fleet([f'h{number}' for number in range(2000)], connector=start)
    assert len(within(lambda: fleet.options(batch=1).call(os.getpid)).failures) == 2000


def test_a_long_line_at_one_host_may_be_given_up(local: econtext.Fleet, tmp_path: Path) -> None:
    one = local['a']
    first = one.submit(fleets.wait_for, str(tmp_path / 'go'))
    eventually(first['a'].running, WAIT)
    behind = [one.submit(os.getpid) for _ in range(3000)]
    for each in behind:
        each.interrupt()
    (tmp_path / 'go').touch()
    assert first.results(WAIT).raise_for_failures()
    assert within(lambda: one.call(os.getpid)).raise_for_failures()
    assert all(each['a'].cancelled() for each in behind)


def test_a_long_line_of_an_executor_may_be_cancelled(local: econtext.Fleet, tmp_path: Path) -> None:
    with local.executor() as executor:
        held = [executor.submit(fleets.wait_for, str(tmp_path / 'go')) for _ in NAMES]
        eventually(lambda: all(future.running() for future in held), WAIT)
        behind = [executor.submit(os.getpid) for _ in range(3000)]
        last = executor.submit(abs, -7)
        assert all(future.cancel() for future in behind)
        (tmp_path / 'go').touch()
        assert last.result(WAIT) == 7
    assert concurrent.futures.wait(behind, WAIT).not_done == set()


# -- Defects -----------------------------------------------------------------------


DEFECTS = [
    (schedule.Schedule, 'begin'), (schedule.Schedule, 'ready'), (schedule.Schedule, 'sent'),
    (schedule.Schedule, 'finished'), (members.Pool, 'want'), (members.Pool, 'admit'), (members.Pool, 'connect'),
    (members.Pool, 'tell'), (members.Pool, 'occupy'), (members.Pool, 'serve'), (members.Pool, 'free'),
    (members.Pool, 'started'), (members.Pool, 'attempted'),
]


@pytest.mark.parametrize(('where', 'name'), DEFECTS, ids=lambda each: getattr(each, '__name__', each))
def test_a_defect_fails_the_work_and_hangs_nobody(
    broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch, where: type, name: str
) -> None:
    fleet = broker.fleet(NAMES, connector='local')
    shown = []
    monkeypatch.setattr(sys, 'excepthook', lambda *error: shown.append(error))

    def fail(*args: object) -> None:
        raise ZeroDivisionError('a defect')

    with monkeypatch.context() as patched:
        patched.setattr(where, name, fail)
        results = within(lambda: fleet.options(batch=1).call(os.getpid))
    assert shown
    assert results.failures or name in ('sent', 'free', 'finished', 'serve')
    for error in results.failures.values():
        assert isinstance(error, econtext.InternalError)
    within(fleet.close)


@pytest.mark.parametrize('name', ['enqueue', 'dispatch', 'serve', 'connected', 'run', 'over'])
def test_a_defect_of_an_executor_fails_the_work(
    local: econtext.Fleet, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(sys, 'excepthook', lambda *error: None)

    def fail(*args: object) -> None:
        raise ZeroDivisionError('a defect')

    monkeypatch.setattr(executor.Jobs, name, fail)
    future = local.executor().submit(os.getpid)
    assert isinstance(within(lambda: future.exception(WAIT)), econtext.InternalError)


# -- Nobody waits in the coordinator -------------------------------------------------


def test_a_connector_that_waits_holds_up_no_other_host(broker: econtext.Broker, gate: threading.Event) -> None:
    def start(origin: econtext.Broker, host: econtext.Host) -> econtext.Context:
        if host.name != 'b':
            gate.wait(WAIT)
        return origin.local(name=host.name)

    fleet = broker.fleet(NAMES, connector=start)
    futures = fleet.submit(os.getpid)
    assert futures['b'].result(WAIT)
    assert not futures['a'].done()
    gate.set()
    assert futures.results(WAIT).raise_for_failures()


def test_a_connector_may_use_the_fleet_itself(broker: econtext.Broker) -> None:
    def start(origin: econtext.Broker, host: econtext.Host) -> econtext.Context:
        if host.name == 'gateway':
            return origin.local(name='gateway')
        return fleet.context('gateway').local(name=host.name)

    fleet = broker.fleet(['inner', 'gateway'], connector=start)
    assert within(lambda: fleet.call(os.getpid)).raise_for_failures()
    assert fleet.context('inner').via is fleet.context('gateway')


def test_what_a_connector_does_wrong_is_that_hosts_failure(broker: econtext.Broker) -> None:
    def start(origin: econtext.Broker, host: econtext.Host) -> Any:
        if host.name == 'a':
            return None
        if host.name == 'b':
            sys.exit(3)
        return origin.local(name=host.name)

    results = within(lambda: broker.fleet(NAMES, connector=start).call(os.getpid))
    assert list(results.successes) == ['c']
    assert isinstance(results.failures['a'], TypeError)
    assert 'must return a context' in str(results.failures['a'])
    assert isinstance(results.failures['b'], econtext.EcontextError)


def test_a_host_whose_backlog_is_full_holds_up_no_other(
    broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fleet = broker.fleet({'a': {'threads': 2}, 'b': {}}, connector='local')
    fleet.connect_all().raise_for_failures()
    assert fleet.call(os.getpid).raise_for_failures()
    monkeypatch.setattr(backpressure, 'MOST', 1 << 20)
    held = fleet['a'].submit(fleets.take, b'x' * (2 << 20), str(tmp_path / 'go'))
    eventually(held['a'].running, WAIT)
    eventually(lambda: fleet.context('a')._node.backlog.is_full(), WAIT)
    behind = fleet['a'].submit(os.getpid)
    with fleet.executor() as executor:
        assert executor.submit(os.getpid).result(WAIT)
    assert within(lambda: fleet['b'].call(os.getpid)).raise_for_failures()
    assert not behind['a'].running()
    (tmp_path / 'go').touch()
    assert held.results(WAIT).raise_for_failures()
    assert behind.results(WAIT).raise_for_failures()


class Awaited:
    """Something that crosses only once a gate is open."""

    gate = threading.Event()

    def __init__(self, number: int = 0) -> None:
        pass


def awaited(value: Awaited) -> tuple[int]:
    Awaited.gate.wait(WAIT)
    return (1,)


def test_encoding_arguments_that_takes_long_holds_up_no_other(local: econtext.Fleet) -> None:
    econtext.register(Awaited, reduce=awaited)
    values: Any = {'a': Awaited(), 'b': 1, 'c': 2}
    done: concurrent.futures.Future[Any] = concurrent.futures.Future()
    threading.Thread(target=lambda: done.set_result(local.map(repr, values))).start()
    try:
        eventually(lambda: within(lambda: (local - ['a']).call(os.getpid)).raise_for_failures(), WAIT)
        assert not done.done()
    finally:
        Awaited.gate.set()
    assert set(done.result(WAIT).successes) >= {'b', 'c'}


# -- Closing -----------------------------------------------------------------------


def test_two_that_close_at_a_time_both_return(gate: threading.Event) -> None:
    broker = econtext.Broker()
    fleet = broker.fleet(NAMES, connector='local')
    fleet.call(os.getpid).raise_for_failures()
    # Somebody is at work there when both come.
    fleet._pool.post(lambda: gate.wait(WAIT))
    closers = [threading.Thread(target=each, daemon=True) for each in (fleet.close, broker.close, fleet.shutdown)]
    for each in closers:
        each.start()
    eventually(lambda: broker._tree.closed, WAIT)
    gate.set()
    for each in closers:
        each.join(WAIT)
        assert not each.is_alive()


def test_callbacks_are_called_when_the_broker_closes() -> None:
    called = []

    def tell(future: concurrent.futures.Future[Any]) -> None:
        time.sleep(0.01)
        called.append(future)

    with econtext.Broker() as broker:
        fleet = broker.fleet(NAMES, connector='local')
        futures = fleet.submit(time.sleep, 600)
        for future in futures.values():
            future.add_done_callback(tell)
        eventually(lambda: all(future.running() for future in futures.values()), WAIT)
    eventually(lambda: len(called) == 3, WAIT)


def test_closing_a_rolling_fleet_connects_no_other_host(broker: econtext.Broker, tmp_path: Path) -> None:
    started = []
    python = hanging(tmp_path / 'hanging')

    def start(origin: econtext.Broker, host: econtext.Host) -> econtext.Context:
        started.append(host.name)
        return origin.local(name=host.name, python=python, connect_timeout=600)

    fleet = broker.fleet([f'h{number}' for number in range(6)], connector=start)
    futures = fleet.options(batch=1).submit(os.getpid)
    eventually(lambda: started == ['h0'], WAIT)
    within(fleet.close)
    assert len(futures.results(WAIT).failures) == 6
    assert started == ['h0']


def test_a_context_that_comes_after_the_close_is_ended(broker: econtext.Broker, gate: threading.Event) -> None:
    made = []

    def start(origin: econtext.Broker, host: econtext.Host) -> econtext.Context:
        gate.wait(WAIT)
        made.append(origin.local(name=host.name))
        return made[0]

    fleet = broker.fleet(['a'], connector=start)
    futures = fleet.submit(os.getpid)
    eventually(lambda: fleet._pool.connecting, WAIT)
    within(fleet.close)
    assert isinstance(futures['a'].exception(WAIT), econtext.EcontextError)
    gate.set()
    eventually(lambda: made and made[0]._node.error is not None, WAIT)


# -- Streams -----------------------------------------------------------------------


def test_a_value_that_cannot_be_decoded_ends_that_hosts_stream_alone(local: econtext.Fleet, tmp_path: Path) -> None:
    counts = dict.fromkeys(NAMES, 0)
    # Time enough to stop on a machine with other work: a context that does not stop is ended.
    with local.options(grace=WAIT).stream(fleets.lone_value, str(tmp_path)) as values:
        for host, _ in values:
            counts[host] += 1
            if values.failures and sum(number > 10 for number in counts.values()) == 2:
                break
    (failed,) = values.failures
    assert isinstance(values.failures[failed], ValueError)
    assert str(values.failures[failed]).startswith(f'{failed}: a value')
    eventually(lambda: len(list(tmp_path.glob('*.ended'))) == 2, WAIT)
    assert within(lambda: local.call(os.getpid)).raise_for_failures()


def test_a_stream_that_an_exception_leaves_ends_its_functions(local: econtext.Fleet, tmp_path: Path) -> None:
    def show(progress: econtext.Progress) -> None:
        if list(tmp_path.glob('*.begun')):
            raise KeyError('of the program')

    stream = local.options(progress=show, grace=WAIT).stream(fleets.hold_stream, str(tmp_path))
    with pytest.raises(KeyError):  # noqa: PT012 -- whichever value comes first
        while True:
            eventually(lambda: list(tmp_path.glob('*.begun')), WAIT)
            next(stream)
    assert list(stream) == []
    eventually(lambda: fleets.all_ended(str(tmp_path)), WAIT)
    assert within(lambda: local.call(os.getpid)).raise_for_failures()


# -- Executors ---------------------------------------------------------------------


def lost_then_hanging(broker: econtext.Broker, python: str) -> econtext.Fleet:
    """A fleet of one host, whose context is never ready again once it was lost."""
    started = []

    def start(origin: econtext.Broker, host: econtext.Host) -> econtext.Context:
        started.append(host.name)
        if len(started) > 1:
            return origin.local(name=f'again{len(started)}', python=python, connect_timeout=600)
        return origin.local(name=host.name)

    return broker.fleet(['a'], connector=start)


def test_work_between_two_attempts_ends_when_it_is_interrupted(broker: econtext.Broker, tmp_path: Path) -> None:
    fleet = lost_then_hanging(broker, hanging(tmp_path / 'hanging'))
    executor = fleet.executor(retries=1)
    future = executor.submit(os._exit, 3)
    eventually(lambda: future.running() and executor._jobs.line, WAIT)
    assert future.interrupt(0.2)
    assert isinstance(future.exception(WAIT), econtext.ContextLost)
    within(executor.shutdown)


def test_an_executor_left_by_an_exception_waits_for_no_other_attempt(broker: econtext.Broker, tmp_path: Path) -> None:
    fleet = lost_then_hanging(broker, hanging(tmp_path / 'hanging'))

    def leave() -> None:
        with fleet.executor(retries=1) as executor:
            futures.append(executor.submit(os._exit, 3))
            eventually(lambda: futures[0].running() and executor._jobs.line, WAIT)
            raise KeyError

    futures: list[Any] = []
    with pytest.raises(KeyError):
        within(leave)
    assert isinstance(futures[0].exception(0), econtext.ContextLost)


def test_the_block_of_a_fleet_waits_for_its_executors(broker: econtext.Broker, tmp_path: Path) -> None:
    with broker.fleet(['a'], connector='local') as fleet:
        futures = [fleet.executor().submit(fleets.wait_for, str(tmp_path / 'go')) for _ in range(2)]
        eventually(futures[0].running, WAIT)
        threading.Timer(0.2, (tmp_path / 'go').touch).start()
    assert all(future.result(0) > 0 for future in futures)


def test_part_of_a_fleet_waits_only_for_what_is_there(local: econtext.Fleet, tmp_path: Path) -> None:
    executor = local['b'].executor()
    held = executor.submit(fleets.wait_for, str(tmp_path / 'go'))
    eventually(held.running, WAIT)
    within(local['a'].shutdown)
    assert not held.done()
    (tmp_path / 'go').touch()
    assert held.result(WAIT)
    assert list(local.call(os.getpid).failures) == ['a']


def test_a_fleet_keeps_no_executor_that_has_no_work(local: econtext.Fleet) -> None:
    executor = local.executor()
    assert list(executor.map(abs, [-1, -2])) == [1, 2]
    seen = weakref.ref(executor)
    del executor

    def is_gone() -> bool:
        gc.collect()
        return seen() is None

    eventually(is_gone, WAIT)
    eventually(lambda: not local._pool.work, WAIT)


# -- Threads that are not to be had ---------------------------------------------------


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called on, no thread of a fleet can be started."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith('econtext fleet'):
            raise RuntimeError("can't start new thread")
        start(thread)

    return lambda: monkeypatch.setattr(threading.Thread, 'start', refuse)


def test_work_under_way_needs_no_new_thread(
    local: econtext.Fleet, tmp_path: Path, no_threads: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator, 'IDLE', 0.0)
    eventually(lambda: local._pool.coordinator.thread is None, WAIT)
    futures = local.submit(fleets.wait_for, str(tmp_path / 'go'))
    eventually(lambda: all(future.running() for future in futures.values()), WAIT)
    stays = threading.Event()
    wait = local._pool.coordinator.changed.wait

    def waiting(timeout: float | None = None) -> bool:
        if timeout is None:
            stays.set()
        return wait(timeout)

    monkeypatch.setattr(local._pool.coordinator.changed, 'wait', waiting)
    # Once this is done its thread would end, were it not held.
    local._pool.coordinator.post(lambda: None)
    assert stays.wait(WAIT)
    no_threads()
    (tmp_path / 'go').touch()
    assert futures.results(WAIT).raise_for_failures()


def test_without_a_thread_nothing_is_begun(
    local: econtext.Fleet, no_threads: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator, 'IDLE', 0.0)
    eventually(lambda: local._pool.coordinator.thread is None, WAIT)
    executor = local.executor()
    no_threads()
    for begin in (lambda: local.submit(os.getpid), lambda: executor.submit(os.getpid), lambda: local.call(os.getpid)):
        with pytest.raises(RuntimeError, match='thread'):
            begin()
    # What ends things does.
    within(executor.shutdown)
    within(local.close)


# -- Ctrl-C ------------------------------------------------------------------------


@pytest.mark.parametrize('how', ['call', 'map', 'run', 'put'])
def test_ctrl_c_right_behind_the_begin_interrupts_what_was_begun(
    local: econtext.Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    launch = fleet.Fleet._launch
    begun = []

    def struck(self: econtext.Fleet, *args: Any, **options: Any) -> Any:
        begun.append(launch(self, *args, **options))
        os.kill(os.getpid(), signal.SIGINT)
        return begun[0]

    monkeypatch.setattr(fleet.Fleet, '_launch', struck)
    ways: dict[str, Callable[[], Any]] = {
        'call': lambda: local.options(grace=WAIT).call(fleets.hold, str(tmp_path)),
        'map': lambda: local.options(grace=WAIT).map(fleets.hold, [str(tmp_path)] * 3),
        'run': lambda: local.run(['sleep', '600']),
        'put': lambda: local.put(b'x', str(tmp_path / 'pipe')),
    }
    if how == 'put':
        os.mkfifo(tmp_path / 'pipe')
    with pytest.raises(KeyboardInterrupt):
        ways[how]()
    assert len(begun) == 1
    for future in begun[0].values():
        eventually(future.done, WAIT)
    eventually(lambda: fleets.all_ended(str(tmp_path)), WAIT)
    monkeypatch.undo()
    assert within(lambda: local.call(os.getpid)).raise_for_failures()


def test_ctrl_c_at_the_end_of_the_block_closes_the_fleet(broker: econtext.Broker, tmp_path: Path) -> None:
    def strike() -> None:
        eventually(lambda: list(tmp_path.glob('*.begun')), WAIT)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=strike)
    with pytest.raises(KeyboardInterrupt), broker.fleet(  # noqa: PT012 -- what the block does is the test
        ['a'], connector='local'
    ) as fleet:
        futures = fleet.submit(fleets.hold, str(tmp_path))
        thread.start()
    thread.join()
    assert isinstance(futures['a'].exception(WAIT), econtext.EcontextError)
    assert list(within(lambda: fleet.call(os.getpid)).failures) == ['a']
