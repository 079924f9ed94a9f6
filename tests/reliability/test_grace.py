"""What ends with its context is let to its end: cleanup has the grace, and nothing of ours comes in between."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from stops import cleanup

import econtext
from econtext.controller import lifecycle
from econtext.parent import children
from lab import SOON, eventually, leaks, pythons

VERSIONS = ('2.7', '3.6', '3.11', '3.15')
QUIET = 'at_exit', 'two_at_exit', 'in_thread'
BUSY = (
    'in_finally', 'in_finally_of_a_computation', 'nested', 'forked', 'forked_and_waited_for', 'program',
    'program_in_front', 'in_plain_thread',
)  # fmt: skip


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits here for the end of a context waits for minutes, as ``cleanup.have_time`` has it do there."""
    monkeypatch.setattr(children, 'PATIENCE', 600.0)
    monkeypatch.setattr(lifecycle, 'CLOSING', 600.0)


def begun(context: econtext.Context, way: str, path: Path, caplog: pytest.LogCaptureFixture) -> Any:
    """Have `context` do what ends with cleanup, in the way of that name; return its call once it is there."""
    function = getattr(cleanup, way)
    if way in QUIET:
        context.call(function, str(path))
        return None
    caplog.set_level(logging.INFO)
    future = context.submit(function, str(path))
    eventually(lambda: 'busy' in caplog.text)
    return future


@pytest.mark.usefixtures('patient')
@pytest.mark.parametrize('version', VERSIONS)
@pytest.mark.parametrize('way', QUIET + BUSY)
def test_cleanup_runs_to_its_end_when_a_context_is_closed(
    broker: econtext.Broker, tmp_path: Path, version: str, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    context = broker.local(python=pythons.interpreter(version), name='web')
    begun(context, way, tmp_path / 'seen', caplog)
    context.close()
    assert (tmp_path / 'seen').read_text() in ('.' * cleanup.DOTS + 'done', '...done')


@pytest.mark.usefixtures('patient')
@pytest.mark.parametrize('version', ['2.7', '3.11'])
@pytest.mark.parametrize('way', ['at_exit', 'in_finally', 'forked'])
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_cleanup_runs_to_its_end_when_a_signal_ends_a_context(
    broker: econtext.Broker, tmp_path: Path, version: str, way: str, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Also if the signal comes again and again."""
    context = broker.local(python=pythons.interpreter(version), name='web')
    begun(context, way, tmp_path / 'seen', caplog)
    eventually(lambda: leaks.asleep(context.pid))
    for _ in range(3):
        with contextlib.suppress(ProcessLookupError):  # it may be over before the last one
            os.kill(context.pid, number)
    eventually(lambda: (tmp_path / 'seen').exists() and (tmp_path / 'seen').read_text().endswith('done'))
    with pytest.raises(econtext.ContextLost):
        context.call(os.getpid)


@pytest.mark.usefixtures('patient')
@pytest.mark.parametrize('version', VERSIONS)
def test_a_signal_leaves_no_lock_of_ours_shut(
    broker: econtext.Broker, tmp_path: Path, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It comes where econtext has just taken a lock: nothing is raised there, and the context ends all the same."""
    context = broker.local(python=pythons.interpreter(version), name='web')
    context.call(cleanup.tell)  # what the end needs is there
    pid, channel = context.pid, context.channel()
    future = context.submit(cleanup.with_a_lock_in_hand, channel, str(tmp_path / 'seen'))
    with pytest.raises(econtext.ContextLost):
        future.result(60)
    eventually(lambda: not leaks.alive(pid))
    assert (tmp_path / 'seen').read_text().endswith('done')


@pytest.mark.usefixtures('patient')
@pytest.mark.parametrize('version', ['2.7', '3.11', '3.15'])
def test_cleanup_below_a_hop_runs_to_its_end(
    broker: econtext.Broker, tmp_path: Path, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    hop = broker.local(python=pythons.interpreter(version))
    hop.call(cleanup.have_patience, 600)
    below = hop.local()
    begun(below, 'in_finally', tmp_path / 'seen', caplog)
    hop.close()
    assert (tmp_path / 'seen').read_text().endswith('done')


@pytest.mark.usefixtures('patient')
@pytest.mark.parametrize('version', ['3.6', '3.11', '3.15'])  # before 3.5 any signal ends what cleanup waits for
def test_cleanup_after_an_interruption_is_not_interrupted_again(
    broker: econtext.Broker, tmp_path: Path, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its grace is over, and the context is ended; but nothing is raised in the middle of its cleanup."""
    context = broker.local(python=pythons.interpreter(version))
    context.call(cleanup.clean, str(tmp_path / 'warm'))  # what it needs is there
    future = begun(context, 'slow_to_stop', tmp_path / 'seen', caplog)
    assert future.interrupt(grace=0.05)
    assert future.exception(60) is not None
    eventually(lambda: (tmp_path / 'seen').exists() and (tmp_path / 'seen').read_text().endswith('done'))


@pytest.mark.usefixtures('patient')
@pytest.mark.parametrize('version', VERSIONS)
def test_cleanup_runs_also_if_the_main_thread_does_not_hear_the_first_signal(
    broker: econtext.Broker, tmp_path: Path, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    context = broker.local(python=pythons.interpreter(version))
    context.submit(cleanup.unheard_at_first, context.channel(), str(tmp_path / 'seen'))
    eventually(lambda: 'busy' in caplog.text)
    context.close()
    assert (tmp_path / 'seen').read_text().endswith('done')


@pytest.mark.usefixtures('patient')
@pytest.mark.parametrize('version', VERSIONS)
def test_cleanup_at_the_end_of_a_context_is_not_interrupted(
    broker: econtext.Broker, tmp_path: Path, version: str
) -> None:
    context = broker.local(python=pythons.interpreter(version))
    future = context.submit(cleanup.interrupted_as_it_ends, context.channel(), str(tmp_path / 'seen'))
    with pytest.raises(econtext.ContextLost):
        future.result(60)
    eventually(lambda: (tmp_path / 'seen').exists() and (tmp_path / 'seen').read_text().endswith('done'))


@pytest.mark.usefixtures('patient')
@pytest.mark.parametrize('version', VERSIONS)
def test_a_stream_over_an_iterator_of_the_system_is_left(
    broker: econtext.Broker, tmp_path: Path, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    context = broker.local(python=pythons.interpreter(version))
    stream = context.stream(cleanup.over_an_iterator, str(tmp_path / 'seen'))
    eventually(lambda: 'busy' in caplog.text)
    context.close()
    assert (tmp_path / 'seen').read_text().endswith('done')
    stream.close()


@pytest.mark.usefixtures('patient')
@pytest.mark.skipif(os.geteuid() != 0, reason='only root becomes others')
@pytest.mark.parametrize('way', ['signal', 'link'])
def test_cleanup_runs_to_its_end_where_there_are_no_threads(
    broker: econtext.Broker, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    caplog.set_level(logging.INFO)
    context = broker.local(python=pythons.everyones(), user=65534)
    pid = context.call(os.getpid)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        path = Path(folder, 'seen')
        context.submit(cleanup.without_threads, str(path))
        eventually(lambda: 'busy' in caplog.text)
        if way == 'signal':
            os.kill(pid, signal.SIGTERM)
        else:
            context.close()
        eventually(lambda: not leaks.alive(pid))
        assert path.read_text().endswith('done')


@pytest.mark.parametrize('version', VERSIONS)
def test_cleanup_has_a_second(
    broker: econtext.Broker, tmp_path: Path, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    context = broker.local(python=pythons.interpreter(version), name='web')
    begun(context, 'without_end', tmp_path / 'seen', caplog)
    pid = context.pid
    began = time.monotonic()
    context.close()
    eventually(lambda: not leaks.alive(pid))
    assert time.monotonic() - began >= 1.0


HEEDS_NOTHING = 'trap "" HUP INT TERM; while :; do sleep 0.05; done'


@pytest.mark.parametrize('way', ['close', 'hop', 'signal'])
@pytest.mark.parametrize('levels', [1, 3])
def test_a_program_that_heeds_nothing_ends_with_the_tree(
    broker: econtext.Broker, levels: int, way: str
) -> None:
    """Neither the end of its input nor a signal ends it, and those who started it go away as well."""
    hops = [broker.local(python=pythons.interpreter('2.7' if levels == 1 else '3.11'))]
    while len(hops) < levels:
        hops.append(hops[-1].local())
    started = hops[-1].call(os.getpid)
    hops[-1].command(['sh', '-c', HEEDS_NOTHING], tty=False, connect_timeout=60)
    # Within the loop, and so deaf.
    eventually(lambda: any(leaks.command_line(each.pid).startswith('sleep') for each in leaks.descendants(started)))
    below = [entry.pid for entry in leaks.descendants(started)]
    if way == 'signal':
        os.kill(hops[0].pid, signal.SIGTERM)
    elif way == 'hop':
        hops[0].close()
    else:
        broker.close()
    eventually(lambda: not any(leaks.alive(pid) for pid in [started, *below]))


@pytest.mark.parametrize('version', ['2.7', '3.6', '3.15'])
def test_a_hop_waits_no_longer_than_those_below_it_need(
    broker: econtext.Broker, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What they may take at most is long, here and there.
    monkeypatch.setattr(children, 'PATIENCE', 600.0)
    monkeypatch.setattr(lifecycle, 'CLOSING', 600.0)
    hop = broker.local(python=pythons.interpreter(version))
    middle = [hop.local() for _ in range(3)]
    below = [context.local() for context in middle]
    pids = [context.call(os.getpid) for context in below]
    for context in hop, *middle:
        context.call(cleanup.have_patience, 600)
    began = time.monotonic()
    hop.close()
    assert time.monotonic() - began < SOON
    assert not any(leaks.alive(pid) for pid in pids)
