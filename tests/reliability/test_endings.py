"""Who lost a context is told how it ended, as far as anybody knows, and what ran."""

from __future__ import annotations

import os
import pathlib
import signal
import time
from typing import Any

import pytest
from stops import crashes

import econtext
from econtext.parent import children
from lab import eventually, leaks, pythons
from lab.sshd import Sshd

VERSIONS = ('2.7', '3.6', '3.15')


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that has let go of its link ends, also on a busy machine."""
    monkeypatch.setattr(children, 'STATUS', 60.0)


def ending(context: econtext.Context, function: Any, *args: Any) -> str:
    with pytest.raises(econtext.ContextLost) as caught:
        context.call(function, *args)
    return str(caught.value)


@pytest.mark.parametrize('version', VERSIONS)
def test_a_killed_context_says_so(broker: econtext.Broker, version: str) -> None:
    text = ending(broker.local(python=pythons.interpreter(version), name='web'), crashes.kill)
    assert text.startswith('web: its process was ended by SIGKILL while kill ran')
    assert 'memory' in text
    assert text.endswith('start it again')


@pytest.mark.parametrize('version', VERSIONS)
def test_a_context_that_closed_its_own_link_says_what_may_have_been_done(
    broker: econtext.Broker, version: str
) -> None:
    text = ending(broker.local(python=pythons.interpreter(version), name='web'), crashes.close_all)
    # The context ends itself a while after its link, and a busy machine tells of the link alone.
    if text.startswith('web: its process was ended by SIGKILL while close_all ran'):
        assert 'code there closed descriptors that it had not opened' in text
    else:
        assert text.startswith('web: its link was lost while close_all ran')


@pytest.mark.parametrize('number', [signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM, signal.SIGUSR1])
def test_a_context_names_the_signal_that_ended_it(broker: econtext.Broker, number: signal.Signals) -> None:
    text = ending(broker.local(name='web'), crashes.end_by, number)
    assert f'web: its process was ended by {number.name}' in text
    assert 'while end_by ran' in text
    assert ('faulthandler' in text) == (number in (signal.SIGSEGV, signal.SIGABRT))


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_a_context_in_order_is_named(broker: econtext.Broker, number: signal.Signals) -> None:
    context = broker.local(name='web')
    for _ in range(2):  # settled down
        context.call(os.getpid)
    channel = context.channel()
    waiting = context.submit(crashes.wait_for_signal, channel)
    assert channel.get(60) == 'here'
    eventually(lambda: leaks.asleep(context.pid))
    os.kill(context.pid, number)
    with pytest.raises(econtext.ContextLost, match=f'ended by {number.name} while wait_for_signal ran'):
        waiting.result(60)


@pytest.mark.parametrize('version', VERSIONS)
@pytest.mark.parametrize('status', [0, 3])
def test_a_context_that_left_says_with_what_status(broker: econtext.Broker, version: str, status: int) -> None:
    text = ending(broker.local(python=pythons.interpreter(version), name='web'), crashes.leave, status)
    assert f'web: its process ended with status {status} while leave ran' in text
    assert ('os._exit()' in text) == bool(status)


@pytest.mark.parametrize('version', VERSIONS)
def test_what_ends_with_its_parent_says_that_the_parent_has_ended(
    broker: econtext.Broker, tmp_path: pathlib.Path, version: str
) -> None:
    """Not that its own link was lost, nor that its program did not start: no new start from that parent helps."""
    hop = broker.local(python=pythons.interpreter(version), name='hop')
    below = hop.local(name='below')
    further = below.local(name='further')
    further.call(os.getpid)
    started = tmp_path / 'started'
    slow = tmp_path / 'slow'
    slow.write_text(f'#!/bin/sh\necho > {started}\nexec sleep 60\n')
    slow.chmod(0o755)
    starting = hop.local(python=str(slow), name='starting')
    waiting = [starting.submit(os.getpid), further.submit(time.sleep, 60)]
    eventually(started.exists)
    os.kill(hop.pid, signal.SIGTERM)
    for call in waiting:
        with pytest.raises(econtext.ContextLost, match=r'hop, by which it was reached, is gone: .*SIGTERM'):
            call.result(60)
    for context in starting, below, further:
        with pytest.raises(econtext.ContextLost, match=r'hop, by which it was reached, is gone: .*SIGTERM'):
            context.call(os.getpid)


def test_the_end_of_a_context_behind_hops_is_told(broker: econtext.Broker) -> None:
    hop = broker.local(python=pythons.interpreter('2.7')).local()
    assert 'ended by SIGKILL while kill ran' in ending(hop.local(name='web'), crashes.kill)
    assert 'status 7' in ending(hop.local(name='web'), crashes.leave, 7)


def test_the_end_of_a_hop_is_told_to_those_below(broker: econtext.Broker) -> None:
    hop = broker.local(name='hop')
    below = hop.local(name='below')
    below.call(os.getpid)
    ending(hop, crashes.kill)
    text = ending(below, os.getpid)
    assert text.startswith('below: hop, by which it was reached, is gone: its process was ended by SIGKILL')


def test_a_program_between_says_what_it_was_told(broker: econtext.Broker) -> None:
    """As shells, su and the clients of engines do."""
    context = broker.command(['sh', '-c', '"$@"; exit $?', 'sh'], name='web')
    text = ending(context, crashes.kill)
    assert 'web: its program ended with status 137, as for a process ended by SIGKILL while kill ran' in text


def test_a_program_that_ends_behind_its_link_says_how(broker: econtext.Broker) -> None:
    lags = '"$@"; status=$?; exec >/dev/null 2>/dev/null; sleep 0.3; exit $status'
    context = broker.command(['sh', '-c', lags, 'sh'], name='web').wait_ready()
    assert 'web: its process ended with status 7 while leave ran' in ending(context, crashes.leave, 7)


def test_ssh_says_little(broker: econtext.Broker, sshd: Sshd) -> None:
    context = broker.ssh(sshd.address, ssh_args=sshd.ssh_args(), name='web')
    assert 'web: its program ended with status 255, as ssh does' in ending(context, crashes.kill)
    again = broker.ssh(sshd.address, ssh_args=sshd.ssh_args(), name='web too')
    assert 'web too: its process ended with status 5 while leave ran' in ending(again, crashes.leave, 5)
