"""A link that goes silent is noticed at both ends; code that holds the interpreter lock is ended."""

from __future__ import annotations

import itertools
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest
from stops import work

import econtext
from econtext.parent import children
from lab import eventually, leaks, pythons
from lab.sshd import Sshd

pytestmark = pytest.mark.alone

VERSIONS = ('2.7', '3.6', '3.13')
PROXY = str(Path(__file__).with_name('stops') / 'proxy.py')
BEAT = 0.5  # seconds; four of them is longer than a loaded machine has a process wait for its turn
LOST = 4 * 1.25 * BEAT + 55  # seconds until both ends have noticed, and some for a loaded machine


def behind_proxy(version: str, down: int = -1, up: int = -1) -> list[str]:
    """The `python=` of a context whose link a proxy may break."""
    return [sys.executable, PROXY, str(down), str(up), '--', pythons.interpreter(version)]


# -- heartbeats --------------------------------------------------------------


@pytest.mark.parametrize('version', VERSIONS)
def test_a_silent_link_is_noticed_by_both_ends(
    broker: econtext.Broker, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else the proxy would be killed, and the child have an end to its input, where the child takes its time.
    monkeypatch.setattr(children, 'PATIENCE', 4 * LOST)
    child = broker.local(python=behind_proxy(version), heartbeat=BEAT, name='web')
    pid = child.call(os.getpid)
    waiting = child.submit(work.sleep)
    proxy = leaks.process(pid)
    assert proxy is not None
    assert PROXY in leaks.command_line(proxy.parent)
    os.kill(proxy.parent, signal.SIGUSR1)
    with pytest.raises(econtext.ContextLost, match=r'web: nothing was heard of it .*heartbeat='):
        waiting.result(LOST)
    with pytest.raises(econtext.ContextLost, match='heartbeat='):
        child.call(os.getpid)
    # The child hears nothing of that: the proxy heeds no SIGTERM, and keeps its pipes open.
    eventually(lambda: not leaks.alive(pid), LOST)
    assert leaks.alive(proxy.parent)
    os.kill(proxy.parent, signal.SIGKILL)


def test_a_silent_ssh(broker: econtext.Broker, sshd: Sshd) -> None:
    """What the network drops is dropped for ssh itself."""
    command = f'{sys.executable} {PROXY} -1 -1 -- tcp {sshd.address} %p'
    child = broker.ssh(
        sshd.address, ssh_args=[*sshd.ssh_args(), '-o', f'ProxyCommand={command}'], heartbeat=BEAT,
        python=sys.executable)  # fmt: skip
    pid = child.call(os.getpid)
    hop = child.local(heartbeat=BEAT)
    below = hop.call(os.getpid)
    proxies = [entry.pid for entry in leaks.descendants(os.getpid()) if PROXY in leaks.command_line(entry.pid)
               and leaks.command_line(entry.pid).startswith(sys.executable)]  # fmt: skip
    for proxy in proxies:
        os.kill(proxy, signal.SIGUSR1)
    with pytest.raises(econtext.ContextLost, match='heartbeat='):
        child.submit(work.sleep).result(LOST)
    eventually(lambda: not leaks.alive(pid) and not leaks.alive(below), LOST)
    for proxy in proxies:
        os.kill(proxy, signal.SIGKILL)


@pytest.mark.parametrize('version', ['2.7', '3.13'])
def test_silence_that_is_none(broker: econtext.Broker, version: str) -> None:
    """In C code, stopped and continued, or the controller computing: within the bounds nobody is given up."""
    beat = 1.0
    via = broker.local(heartbeat=beat) if version == '2.7' else broker
    child = via.local(python=pythons.interpreter(version), heartbeat=beat)
    pid = child.call(os.getpid)
    holding = child.submit(work.hold_for, 5 * beat)
    assert work.burn(5 * beat)
    holding.result(60)
    sleeping = child.submit(time.sleep, 5 * beat)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(1.5 * beat)
    os.kill(pid, signal.SIGCONT)
    sleeping.result(60)
    assert child.call(os.getpid) == pid


def test_a_stop_of_any_length_is_one_question(broker: econtext.Broker) -> None:
    """The child was stopped for longer than the bound: it asks before it gives up."""
    child = broker.local(heartbeat=10.0)
    hop = child.local(heartbeat=1.0)
    pid = child.call(os.getpid)
    below = hop.call(os.getpid)
    os.kill(pid, signal.SIGSTOP)
    os.kill(below, signal.SIGSTOP)
    time.sleep(5.5)
    os.kill(below, signal.SIGCONT)
    os.kill(pid, signal.SIGCONT)
    assert child.call(os.getpid) == pid
    assert hop.call(os.getpid) == below


def test_beats_cost_nothing_while_there_is_traffic(broker: econtext.Broker) -> None:
    child = broker.local(heartbeat=1.0)
    child.call(os.getpid)
    pulses: list[float] = []
    beat = broker._tree.router.handlers[27]
    broker._tree.router.handlers[27] = lambda *frame: (pulses.append(time.monotonic()), beat(*frame))[1]
    calls: list[tuple[float, float]] = []
    while not calls or calls[-1][1] < calls[0][0] + 2.2:
        began = time.monotonic()
        child.call(os.getpid)
        calls.append((began, time.monotonic()))
    # A loaded machine may have held both up for an interval: then there was none. What either end sends for two
    # calls in a row is sent between the begin of the first and the end of the second.
    quiet = [(first[0], second[1]) for first, second in itertools.pairwise([calls[0], *calls])
             if second[1] - first[0] >= 1.0]
    assert [pulse for pulse in pulses if not any(began <= pulse <= end for began, end in quiet)] == []


@pytest.mark.parametrize('option', ['heartbeat', 'gil_limit'])
def test_options_are_judged(broker: econtext.Broker, option: str) -> None:
    for value in (-1, float('nan'), 'ten', True):
        with pytest.raises(ValueError, match=option):
            broker.local(**{option: value})  # type: ignore[arg-type]


# -- the interpreter lock ----------------------------------------------------


def check_line(text: str, wanted: str) -> None:
    """Hold that `text` tells the line that hung, or none: the kernel may have met the thread that reads the link."""
    told = re.search(r'line \d+ of (.*); start it again', text)
    assert not told or re.match(wanted, told[1])


@pytest.mark.parametrize('version', VERSIONS)
def test_code_that_holds_the_lock_is_ended(broker: econtext.Broker, version: str) -> None:
    child = broker.local(python=pythons.interpreter(version), gil_limit=1, name='web')
    pid = child.call(os.getpid)
    with pytest.raises(econtext.ContextLost, match='gil_limit=1 s') as caught:
        child.call(re.match, '(a+)+$', 'a' * 60 + 'b')
    check_line(str(caught.value), r'.*re.*py, in match')
    eventually(lambda: not leaks.alive(pid))


def test_the_line_it_hung_on_comes_through_a_hop(broker: econtext.Broker) -> None:
    child = broker.local().local(gil_limit=1, name='web')
    with pytest.raises(econtext.ContextLost, match=r'web: .*gil_limit=1 s') as caught:
        child.call(work.hold)
    check_line(str(caught.value), r'.*in match')


@pytest.mark.parametrize('version', ['2.7', '3.13'])
def test_who_lets_go_is_not_ended(broker: econtext.Broker, version: str) -> None:
    """Computing, threads in C code, many short holds, forwarding, or doing nothing: no reason to die."""
    # Threads of 2.7 may wait long for their turn.
    child = broker.local(python=pythons.interpreter(version), gil_limit=3 if version == '2.7' else 0.7)
    pid = child.call(os.getpid)
    assert child.call(work.burn, 1.0)
    assert child.call(work.crowd, 1.0) == 'done'
    for _ in range(8):
        child.call(work.hold_for, 0.1)
    below = child.local()
    end = time.monotonic() + 0.8
    while time.monotonic() < end:
        below.call(len, 'x' * 1000)
    assert child.call(os.getpid) == pid


def test_many_calls_that_let_go_are_not_taken_for_one_that_does_not(broker: econtext.Broker) -> None:
    """A timer that an earlier call set counts the time of that call, too: it was set for so much longer."""
    child = broker.local(gil_limit=0.3)
    pid = child.call(os.getpid)
    end = time.monotonic() + 2.0
    while time.monotonic() < end:
        child.call(work.hold_for, 0)
        child.call(work.burn, 0.02)
    assert child.call(os.getpid) == pid


def test_a_stopped_context_has_used_no_time(broker: econtext.Broker) -> None:
    child = broker.local(gil_limit=0.5)
    pid = child.call(os.getpid)
    waiting = child.submit(time.sleep, 1.0)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.8)
    os.kill(pid, signal.SIGCONT)
    assert waiting.result(60) is None
    assert child.call(os.getpid) == pid


def test_the_limit_may_be_off(broker: econtext.Broker) -> None:
    child = broker.local(gil_limit=0)
    child.call(work.hold_for, 0.1)
    assert child.call(work.timer) == (0.0, 0.0)
    assert broker.local(gil_limit=5).call(work.timer)[0] > 0


def test_an_idle_context_is_not_woken(broker: econtext.Broker) -> None:
    child = broker.local()
    pid = child.call(os.getpid)
    eventually(lambda: not any(moved(pid) for _ in range(2)), what='no switch for a second')


def moved(pid: int) -> int:
    """How often the threads of a process gave up the processor within half a second."""

    def switches() -> int:
        found = 0
        for thread in os.listdir(f'/proc/{pid}/task'):
            try:
                text = Path(f'/proc/{pid}/task/{thread}/status').read_text()
            except (FileNotFoundError, ProcessLookupError):
                # It has ended since: something moved.
                found += 1 << 32
                continue
            found += int(re.search(r'^voluntary_ctxt_switches:\s+(\d+)', text, re.MULTILINE)[1])  # type: ignore[index]
        return found

    before = switches()
    time.sleep(0.5)
    return switches() - before
