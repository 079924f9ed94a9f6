"""Contexts made by forking a context: they have what it has, and none of its ties."""

from __future__ import annotations

import logging
import os
import pathlib
import signal
import time
from typing import Any

import copies
import pytest

import econtext
from econtext.controller import tree
from econtext.parent import children
from lab import SOON, eventually, leaks, pythons, reach


@pytest.fixture(params=['2.7', '3.6', '3.13'])
def base(broker: econtext.Broker, request: Any) -> econtext.Context:
    context = broker.local(python=pythons.interpreter(request.param))
    context.call(copies.keep, 'mark', 'made once')
    return context


def test_a_copy_has_what_is_loaded(base: econtext.Context) -> None:
    one, two = base.fork(), base.fork(name='two')
    assert one.call(copies.kept, 'mark') == 'made once'
    two.call(copies.keep, 'mark', 'mine')
    assert [context.call(copies.kept, 'mark') for context in (base, one, two)] == ['made once', 'made once', 'mine']
    assert one.call(os.getppid) == two.call(os.getppid) == base.pid
    assert len({base.pid, one.pid, two.pid}) == 3
    assert two.name == 'two'
    again = two.fork()
    assert again.call(copies.kept, 'mark') == 'mine'
    assert again.local().call(os.getppid) == again.pid
    assert one.call(len, b'x' * 3_000_000) == 3_000_000
    with pytest.raises(OSError, match='nowhere'):
        one.call(os.stat, '/nowhere')
    reach.record('connector', 'fork', 'os.fork in a context')


def test_a_copy_has_no_ties(
    base: econtext.Context, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    fd = base.call(copies.occupy, str(tmp_path / 'file'))
    copy = base.fork()
    name, count = copy.call(copies.named, fd)
    assert name == '/dev/null'
    assert count <= copy.local(python=pythons.interpreter('.'.join(map(str, base.python_version[:2])))).call(
        copies.named, 0)[1]
    caplog.clear()
    assert base.call(copies.speak, 'base') > copy.call(copies.speak, 'copy') == 1
    said = [record.getMessage() for record in caplog.records]
    assert said == ['stdout: base', 'copies: logged base', 'stdout: copy', 'copies: logged copy']
    copy.close()
    assert (tmp_path / 'file').read_text() == ''


def test_forks_in_a_copy_lose_nothing_of_its_own(base: econtext.Context) -> None:
    others = [base.local().wait_ready(60) for _ in range(3)]  # links, which a copy has no more
    copy = base.fork()
    again = copy.fork()
    assert [other.call(os.getppid) for other in others] == [base.pid] * 3
    assert [context.call(copies.lost_in_a_fork, 64) for context in (base, copy, again)] == ['[]'] * 3
    # What starts programs forks too, where there is no posix_spawn.
    assert [again.local().call(os.getppid) for _ in range(5)] == [again.pid] * 5


def test_each_ends_for_itself(base: econtext.Context) -> None:
    copies_made = [base.fork().wait_ready(60) for _ in range(3)]
    first = copies_made.pop(0)
    first.close()
    assert not leaks.alive(first.pid)
    assert [context.call(os.getppid) for context in copies_made] == [base.pid] * 2
    os.kill(base.pid, signal.SIGKILL)
    for context in copies_made:
        eventually(lambda context=context: not leaks.alive(context.pid))  # type: ignore[misc]


def test_it_waits_for_the_call_that_runs(broker: econtext.Broker, tmp_path: pathlib.Path) -> None:
    base = broker.local()
    running = base.submit(copies.wait_for_file, str(tmp_path / 'go'))
    late = base.fork(connect_timeout=0.3, name='late')
    copy = base.fork(connect_timeout=SOON)
    with pytest.raises(econtext.ConnectError) as caught:
        late.call(os.getpid)
    assert caught.value.kind == 'timeout'
    assert not copy._node.ready
    (tmp_path / 'go').touch()
    assert copy.call(os.getppid) == base.pid
    assert running.done()
    assert base.call(os.getpid) == base.pid


def test_a_copy_that_is_still_awaited_holds_up_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, 'PATIENCE', 600.0)  # what is not to be waited for
    monkeypatch.setattr(tree, 'CLOSING', 600.0)
    with econtext.Broker() as broker:
        base = broker.local()
        channel = base.channel()
        base.submit(copies.wait_for, channel)
        assert next(channel) == 'begun'
        base.fork()
        began = time.monotonic()
    assert time.monotonic() - began < SOON


def test_the_program_itself_is_not_forked(broker: econtext.Broker) -> None:
    with pytest.raises(ValueError, match='fork is for contexts'):
        broker.fork()
    with pytest.raises(TypeError, match='no option'):
        broker.local().fork(color='red')  # type: ignore[call-arg]
