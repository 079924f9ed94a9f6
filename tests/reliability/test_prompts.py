"""A start that stands at a question: questions without end, and ends while one waits for its answer."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import econtext
from econtext.parent.handshake import MOST
from lab import SOON, eventually, leaks, pythons
from lab.accounts import Accounts
from lab.sshd import Sshd

BOUND = SOON    # seconds until who waits has its error
PROXY = str(Path(__file__).with_name('stops') / 'proxy.py')

# In the place of sudo: says which process it is, and asks for ever, each time in other words.
ASKER = """\
#!/bin/sh
echo $$ > {pid}
exec </dev/tty
n=0
while :; do
    n=$((n+1))
    printf '[sudo] password for %d: ' $n > /dev/tty
    read word || exit 3
    echo > /dev/tty
done
"""


class Desk:
    """Answers questions once it is let; counts them."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.entered, self.go_on = threading.Event(), threading.Event()

    def __call__(self, question: str) -> str:
        self.asked.append(question)
        self.entered.set()
        assert self.go_on.wait(60)
        return 'a word'


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.go_on.set()


@pytest.fixture
def asker(tmp_path: Path) -> tuple[str, Path]:
    """The program, and where it says which process it is."""
    program, pid = tmp_path / 'asker', tmp_path / 'pid'
    program.write_text(ASKER.format(pid=pid))
    program.chmod(0o755)
    return str(program), pid


def waits(context: econtext.Context, count: int) -> tuple[Any, list[concurrent.futures.Future[Any]]]:
    """Have threads wait for the context: until it is ready, and the last one by a call."""
    threads = concurrent.futures.ThreadPoolExecutor(count)
    ways: list[Callable[[], Any]] = [lambda: context.wait_ready(60)] * (count - 1) + [lambda: context.call(os.getpid)]
    return threads, [threads.submit(way) for way in ways]


def all_hear(futures: list[concurrent.futures.Future[Any]], desk: Desk, *kinds: str) -> None:
    """
    Each gets its error in time, though the answer never came.

    But for the thread that was to give it, and for a call, whose output may be yet to be handled: they
    hear of it when that is over.
    """
    began = time.monotonic()
    eventually(lambda: sum(future.done() for future in futures) >= len(futures) - 2, BOUND, 'they are told')
    assert time.monotonic() - began < BOUND
    desk.go_on.set()
    for future in futures:
        error = future.exception(BOUND)
        assert isinstance(error, econtext.ConnectError if kinds else econtext.ContextLost), repr(error)
        assert not kinds or getattr(error, 'kind', None) in kinds, str(error)
    assert len(desk.asked) == 1


# -- without end -------------------------------------------------------------


@pytest.mark.parametrize('where', ['below us', 'behind a hop'])
def test_questions_without_end(
    broker: econtext.Broker, desk: Desk, asker: tuple[str, Path], where: str
) -> None:
    """The start fails once it has asked too often, and by that alone: the hop goes on."""
    program, pid = asker
    origin = broker.local() if where == 'behind a hop' else broker
    desk.go_on.set()
    root = origin.sudo(password=desk, sudo_path=program)
    with pytest.raises(econtext.ConnectError, match='without end') as caught:
        root.wait_ready(60)
    assert caught.value.kind == 'endless-questions'
    assert 'answers=' in caught.value.remedy
    assert len(desk.asked) == MOST
    if isinstance(origin, econtext.Context):
        assert origin.call(len, 'abc') == 3
    eventually(lambda: not leaks.alive(int(pid.read_text())), BOUND, 'it is gone')


# -- an end while a question waits --------------------------------------------


@pytest.mark.parametrize('where', ['below us', 'behind a hop'])
def test_the_program_dies_at_its_question(
    broker: econtext.Broker, desk: Desk, asker: tuple[str, Path], where: str
) -> None:
    program, pid = asker
    origin = broker.local() if where == 'behind a hop' else broker
    root = origin.sudo(password=desk, sudo_path=program)
    threads, futures = waits(root, 4)
    assert desk.entered.wait(60)
    os.kill(int(pid.read_text()), signal.SIGKILL)
    all_hear(futures, desk, 'ended')
    threads.shutdown()
    if isinstance(origin, econtext.Context):
        assert origin.call(len, 'abc') == 3


def test_the_hop_dies_at_a_question_of_its_child(
    broker: econtext.Broker, desk: Desk, asker: tuple[str, Path]
) -> None:
    program, pid = asker
    hop = broker.local(name='hop').wait_ready()
    root = hop.sudo(password=desk, sudo_path=program)
    threads, futures = waits(root, 4)
    assert desk.entered.wait(60)
    os.kill(hop.pid, signal.SIGKILL)
    all_hear(futures, desk)
    threads.shutdown()
    eventually(lambda: not leaks.alive(int(pid.read_text())), BOUND, 'it has gone with its terminal')


def test_closing_at_a_question(
    broker: econtext.Broker, desk: Desk, asker: tuple[str, Path]
) -> None:
    program, pid = asker
    root = broker.sudo(password=desk, sudo_path=program)
    threads, futures = waits(root, 4)
    assert desk.entered.wait(60)
    began = time.monotonic()
    closing = threading.Thread(target=root.close)
    closing.start()
    eventually(lambda: not leaks.alive(int(pid.read_text())), BOUND, 'it is gone')
    assert time.monotonic() - began < BOUND
    desk.go_on.set()
    closing.join(BOUND)
    assert not closing.is_alive()
    for future in futures:
        assert isinstance(future.exception(BOUND), econtext.EcontextError)
    threads.shutdown()


def test_sudo_loses_its_hop_at_a_question(broker: econtext.Broker, desk: Desk, accounts: Accounts) -> None:
    """The real one, of which no signal of ours ends it: it is hung up on."""
    hop = broker.local(python=[*accounts['sudo'].argv(), pythons.everyones()], name='hop').wait_ready()
    root = hop.sudo(password=desk)
    threads, futures = waits(root, 4)
    assert desk.entered.wait(60)
    below = leaks.descendants(hop.pid)
    assert [each for each in below if 'sudo' in str(each)]
    os.kill(hop.pid, signal.SIGKILL)
    all_hear(futures, desk)
    threads.shutdown()
    eventually(lambda: not [each for each in below if leaks.alive(each.pid)], BOUND, 'sudo is gone')


@pytest.mark.parametrize('answered', [True, False])
def test_ssh_loses_its_server_at_a_question(
    broker: econtext.Broker, desk: Desk, accounts: Accounts, sshd: Sshd, tmp_path: Path, answered: bool
) -> None:
    """It hears of that once it has its answer, or its time is over."""
    plain, pid = accounts['plain'], tmp_path / 'pid'
    command = f"sh -c 'echo $$ > {pid}; exec {sys.executable} {PROXY} -1 -1 -- tcp {sshd.address} %p'"
    context = broker.ssh(
        sshd.address, python=sys.executable, password=desk, connect_timeout=120 if answered else 30,
        ssh_args=[*sshd.ssh_args(plain.name), '-o', 'PubkeyAuthentication=no', '-o', f'ProxyCommand={command}'])
    threads, futures = waits(context, 4)
    assert desk.entered.wait(60)
    os.kill(int(pid.read_text()), signal.SIGKILL)
    if answered:
        desk.go_on.set()
    # What ssh says depends on how far it is as it hears of it.
    all_hear(futures, desk, *(('hung-up', 'proxy-ended', 'ended') if answered else ('timeout',)))
    threads.shutdown()
