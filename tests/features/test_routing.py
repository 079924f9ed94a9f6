"""Point 3, multiplexer and router: contexts work for those below them at any time, and nobody speaks for another."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import sys
import threading

import pytest
from travel import calls, facts, hostile

import econtext
from lab import eventually, leaks, pythons
from lab.pythons import Interpreter

matrix = pytest.mark.controller_matrix


@pytest.mark.every_python
@matrix
@pytest.mark.parametrize('busy', [facts.wait_for, facts.compute_until])
def test_a_busy_context_still_passes_on(
    broker: econtext.Broker, python: Interpreter, tmp_path: pathlib.Path, busy: object
) -> None:
    flag = tmp_path / 'go'
    upper = broker.local(python=python)
    lower = upper.local(python=sys.executable)
    lower.wait_ready(60)
    work = upper.submit(busy, str(flag), 'done')  # type: ignore[arg-type]
    for i in range(20):
        assert lower.call(calls.echo, i) == i
    payload = 'x' * 1_000_000
    assert lower.call(calls.echo, payload) == payload
    assert lower.call(facts.loaded, 'wave') == [], 'and modules are still found through it'
    assert not work.done()
    flag.touch()
    assert work.result(60) == 'done'


@matrix
def test_a_busy_context_starts_others(broker: econtext.Broker, python: Interpreter, tmp_path: pathlib.Path) -> None:
    flag = tmp_path / 'go'
    upper = broker.local(python=python)
    upper.wait_ready(60)
    work = upper.submit(facts.wait_for, str(flag), 'done')
    lower = upper.local()
    assert lower.call(facts.version) == python.version
    assert not work.done()
    flag.touch()
    assert work.result(60) == 'done'


def test_a_program_that_blocks_there_blocks_nothing_else(broker: econtext.Broker, tmp_path: pathlib.Path) -> None:
    fifo = tmp_path / 'fifo'
    os.mkfifo(fifo)
    upper = broker.local()
    lower = upper.local()
    lower.wait_ready(60)
    work = upper.submit(os.system, f'read line < {fifo}')
    assert lower.call(calls.echo, 1) == 1
    assert not work.done()
    with open(fifo, 'w') as file:
        file.write('\n')
    assert work.result(60) == 0


@matrix
def test_a_chain_of_every_python(broker: econtext.Broker) -> None:
    """Each one is reached through all before it, and every version serves as a hop."""
    chain: list[econtext.Context] = []
    origin: econtext.Broker | econtext.Context = broker
    for name, path in pythons.interpreters().items():
        origin = origin.local(python=path, name=name)
        chain.append(origin)
    answers = [context.submit(facts.version) for context in reversed(chain)]
    versions = ['%d.%d' % answer.result(60) for answer in reversed(answers)]
    assert versions == [each.number for each in pythons.interpreters().values()]
    data = bytes(range(256)) * 4000
    assert chain[-1].call(calls.echo, data) == data
    pids = [context.call(os.getpid) for context in chain]
    assert [context.call(os.getppid) for context in chain[1:]] == pids[:-1]


def test_a_tree_is_reached_at_every_place(broker: econtext.Broker) -> None:
    roots = [broker.local() for _ in range(2)]
    middle = [root.local() for root in roots for _ in range(2)]
    leaves = [context.local() for context in middle]
    everybody = roots + middle + leaves
    found = [context.submit(os.getpid) for context in everybody for _ in range(5)]
    pids = {future.result(60) for future in found}
    assert len(pids) == len(everybody)
    for context in middle + leaves:
        assert context.via is not None
        assert context.call(os.getppid) == context.via.pid


@matrix
def test_much_both_ways_at_once_through_one_link(broker: econtext.Broker, python: Interpreter) -> None:
    upper = broker.local(python=python)
    lowers = [upper.local(python=sys.executable) for _ in range(3)]
    size = 3_000_000
    wrong: list[object] = []

    def work(context: econtext.Context) -> None:
        for i in range(3):
            text = chr(97 + i) * size
            if context.call(calls.echo, text) != text:
                wrong.append(context)

    threads = [threading.Thread(target=work, args=(context,)) for context in [upper, *lowers] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_small_answer_overtakes_nothing_but_waits_for_no_other_context(
    broker: econtext.Broker, tmp_path: pathlib.Path
) -> None:
    flag = tmp_path / 'go'
    upper = broker.local()
    one, two = upper.local(), upper.local()
    slow = one.submit(facts.wait_for, str(flag))
    assert two.call(calls.echo, 'quick') == 'quick'
    assert not slow.done()
    flag.touch()
    slow.result(60)


def test_a_lost_hop_takes_those_below_and_no_others(broker: econtext.Broker, tmp_path: pathlib.Path) -> None:
    flag = tmp_path / 'never'
    root = broker.local(name='root')
    hop, other = root.local(name='hop'), root.local(name='other')
    below = hop.local(name='below')
    waiting = [context.submit(facts.wait_for, str(flag)) for context in (hop, below)]
    below.wait_ready(60)
    pids = [hop.pid, below.pid]
    os.kill(hop.pid, 9)
    for future in waiting:
        with pytest.raises(econtext.ContextLost, match='hop'):
            future.result(60)
    assert other.call(calls.echo, 1) == 1
    assert root.call(calls.echo, 1) == 1
    eventually(lambda: not any(leaks.alive(pid) for pid in pids))
    with pytest.raises(econtext.ContextLost):
        below.call(os.getpid)


def test_closing_a_context_in_the_middle(broker: econtext.Broker) -> None:
    root = broker.local()
    hop = root.local()
    below = hop.local()
    pid = below.call(os.getpid)
    hop.close()
    eventually(lambda: not leaks.alive(pid))
    assert root.call(calls.echo, 1) == 1
    again = root.local().local()
    assert again.call(calls.echo, 2) == 2


# -- hostile children --------------------------------------------------------


@pytest.mark.parametrize('how', ['as sibling', 'as parent', 'as controller', 'as nobody'])
def test_nobody_answers_for_another(
    broker: econtext.Broker, python: Interpreter, tmp_path: pathlib.Path, how: str
) -> None:
    flag = tmp_path / 'go'
    upper = broker.local(name='upper')
    bad, good = upper.local(python=python, name='bad'), upper.local(name='good')
    waiting = good.submit(facts.wait_for, str(flag), 'the true one')
    above = upper.submit(facts.wait_for, str(flag), 'the true one')
    bad.wait_ready(60)
    who = {'as sibling': good._node.id, 'as parent': upper._node.id, 'as controller': 0, 'as nobody': 9999}[how]
    with pytest.raises(econtext.ContextLost):
        bad.call(hostile.answer_for, who, 200, str(flag) + '.never')
    assert not waiting.done()
    assert not above.done()
    flag.touch()
    assert waiting.result(60) == above.result(60) == 'the true one'


@pytest.mark.parametrize(
    'data', [b'rubbish' * 10, b'\0' * 100, b'\xec\x01' + b'\xff' * 40], ids=['text', 'nul', 'header']
)
def test_rubbish_on_the_link_ends_who_sent_it(broker: econtext.Broker, python: Interpreter, data: bytes) -> None:
    upper = broker.local(name='upper')
    bad, good = upper.local(python=python, name='bad'), upper.local(name='good')
    bad.wait_ready(60)
    pid = bad.pid
    with pytest.raises(econtext.CorruptStream, match='bad'):
        bad.call(hostile.write, list(data))
    assert good.call(calls.echo, 1) == 1
    eventually(lambda: not leaks.alive(pid))
    direct = broker.local(python=python, name='direct')
    with pytest.raises(econtext.CorruptStream, match='direct'):
        direct.call(hostile.write, list(data))
    with pytest.raises(econtext.CorruptStream, match='direct'):
        direct.call(os.getpid)
    assert good.call(calls.echo, 1) == 1


@pytest.mark.parametrize('kind', ['MODULE', 'CALL', 'START', 'STOP', 'ROUTE', 'LEVEL', 'TYPED'])
def test_what_goes_down_only_never_comes_up(
    broker: econtext.Broker, kind: str, tmp_path: pathlib.Path
) -> None:
    upper = broker.local(name='upper')
    bad, good = upper.local(name='bad'), upper.local(name='good')
    good.wait_ready(60)
    for target in (0, upper._node.id, good._node.id):
        bad = upper.local(name=f'bad{target}')
        with pytest.raises(econtext.ContextLost):
            bad.call(hostile.send, kind, target, str(tmp_path / 'never'))
    assert upper.call(calls.echo, 1) == 1
    assert good.call(calls.echo, 1) == 1


@pytest.mark.parametrize('body', [b'', b'x', b'l1:', b'x4:u6:systemu2:id', b't3:n0:', b'l7fffffff:', b'i:', b'd1:n0:'])
def test_an_answer_that_is_no_value_ends_who_sent_it(broker: econtext.Broker, body: bytes) -> None:
    bad, good = broker.local(name='bad'), broker.local()
    with pytest.raises(econtext.CorruptStream, match='bad'):
        bad.call(hostile.answer_with, list(body))
    assert good.call(calls.echo, 1) == 1


@matrix
def test_twenty_contexts_at_once(broker: econtext.Broker) -> None:
    upper = broker.local()
    contexts = [origin.local() for origin in (broker, upper) for _ in range(10)]
    futures = [context.submit(calls.echo, i) for i, context in enumerate(contexts)]
    concurrent.futures.wait(futures, timeout=60)
    assert [future.result(0) for future in futures] == list(range(20))
