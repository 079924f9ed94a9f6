"""Calls from contexts to the program: only of what was allowed, and never a deadlock."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator

import pytest
from guarded import callers

import econtext
from lab import eventually
from lab.pythons import Interpreter


@pytest.fixture(autouse=True)
def box() -> Iterator[None]:
    yield
    callers.BOX.clear()


@pytest.mark.parametrize('where', ['below us', 'behind a hop'])
@pytest.mark.parametrize('python', ['2.7', '3.6', '3.13'], indirect=True)
def test_a_function_of_the_program_is_called(broker: econtext.Broker, python: Interpreter, where: str) -> None:
    origin = broker.local() if where == 'behind a hop' else broker
    context = origin.local(python=python)
    context.allow(callers.where, callers.put, callers.fail)
    assert context.call(callers.ask_where) == os.getpid()
    assert context.call(callers.ask_put, 'text \u2603') == 1
    assert callers.BOX == {'key': ('text \u2603', ['text \u2603'])}
    assert context.call(callers.ask_put, b'x' * 1_000_000) == 1
    assert context.call(callers.ask_fail) == ('CallError', True, True)
    assert context.call(callers.ask, 'guarded.callers.where') == os.getpid(), 'by its dotted name'
    refused = context.call(callers.ask_forbidden)
    assert 'guarded.callers.forbidden' in refused
    assert 'allow()' in refused
    assert 'forbidden' not in callers.BOX


def test_it_is_allowed_to_whom_it_was_allowed(broker: econtext.Broker) -> None:
    upper, other = broker.local(), broker.local()
    lower = upper.local()
    upper.allow(callers.where)
    assert lower.call(callers.ask_where) == os.getpid(), 'also below it'
    with pytest.raises(econtext.CallError, match='NotAllowed'):
        other.call(callers.ask_where)
    broker.allow(callers.where)
    assert other.call(callers.ask_where) == os.getpid()
    for name in 'os.system', 'guarded.callers.BOX', 'guarded', '', 'subprocess.call', '__main__.x':
        with pytest.raises(econtext.CallError, match='NotAllowed'):
            other.call(callers.ask, name)


def test_it_may_call_into_other_contexts_and_is_told_why_not_into_its_own(broker: econtext.Broker) -> None:
    context, other = broker.local(name='asker'), broker.local()
    broker.allow(callers.call_back)
    callers.BOX.update(asker=other, other=other)
    assert context.call(callers.ask_call_back) == (other.pid, other.pid)
    callers.BOX.update(asker=context)
    assert 'asker: it waits for the function that calls it' in context.call(callers.ask_call_back)
    assert context.call(os.getpid) == context.pid


# -- calls that would wait for each other ------------------------------------


@pytest.mark.parametrize('where', ['below us', 'behind a hop'])
@pytest.mark.parametrize('python', ['2.7', '3.6', '3.13'], indirect=True)
def test_a_ring_is_refused_at_once(broker: econtext.Broker, python: Interpreter, where: str) -> None:
    """A waits for a function that waits for B, which waits for one that calls A."""
    origin = broker.local() if where == 'behind a hop' else broker
    broker.allow(callers.call_on)
    for name in 'one', 'two', 'three':
        callers.BOX[name] = origin.local(python=python, name=name)
    one = callers.BOX['one'].options(timeout=60)
    found = one.call(callers.ask_on, ['two', 'one'])
    assert 'one: it waits, by way of two, for the function that calls it: have' in found
    found = one.call(callers.ask_on, ['two', 'three', 'one'])
    assert 'one: it waits, by way of two and three, for the function' in found
    found = one.call(callers.ask_on, ['two', 'three', 'two'])
    assert 'two: it waits, by way of three, for the function' in found
    assert one.call(callers.ask_on, ['two', 'three']) == callers.BOX['three'].pid
    for name in 'one', 'two', 'three':
        assert callers.BOX[name].options(timeout=60).call(os.getpid) == callers.BOX[name].pid


def test_two_that_call_each_other_at_the_same_time(broker: econtext.Broker) -> None:
    """Whoever comes second is refused, and so the first goes on."""
    broker.allow(callers.call_on)
    one, two = callers.BOX['one'], callers.BOX['two'] = broker.local(name='one'), broker.local(name='two')
    for _ in range(50):
        callers.BOX['barrier'] = threading.Barrier(2)
        futures = [one.submit(callers.ask_on, ['two']), two.submit(callers.ask_on, ['one'])]
        found = [future.result(60) for future in futures]
        refused = [text for text in found if 'for the function that calls it' in str(text)]
        assert len(refused) == 1, found
        assert {one.pid, two.pid}.intersection(found), found


@pytest.mark.parametrize('waits', [True, False])
def test_futures(broker: econtext.Broker, waits: bool) -> None:
    """What is submitted closes a ring only where it is waited for."""
    broker.allow(callers.submit_on, callers.submitted)
    one, two = callers.BOX['one'], callers.BOX['two'] = broker.local(name='one'), broker.local(name='two')
    callers.BOX.update(waits=waits, asked=threading.Event())
    future = one.submit(callers.ask_text, 'guarded.callers.submit_on', 'two', 'one')
    found = [future.result(60)]
    if not waits:
        assert found == ['gone on']
        found = [callers.BOX['future'].result(60)]
        assert found == [one.pid]
    else:
        # Refused is whoever began to wait second.
        assert one.pid in found or 'for the function that calls it' in found[0]
    assert one.options(timeout=60).call(os.getpid) == one.pid
    assert two.options(timeout=60).call(os.getpid) == two.pid


def test_what_is_no_ring_is_not_refused(broker: econtext.Broker) -> None:
    broker.allow(callers.call_on)
    callers.BOX.update(one=broker.local(name='one'), two=broker.local(name='two'), many=broker.local(threads=2))
    one, many = callers.BOX['one'], callers.BOX['many']
    # A thread beside the call asks: the call may end.
    one.call(callers.ask_on_beside, ['two', 'one'])
    assert eventually(lambda: one.call(callers.later)) == [one.pid]
    # There is another thread for it, directly and by way of others.
    assert many.options(timeout=60).call(callers.ask_on, ['many']) == many.pid
    assert many.options(timeout=60).call(callers.ask_on, ['two', 'many']) == many.pid
    # There is none left once both wait so.
    callers.BOX['barrier'] = threading.Barrier(2)
    found = [each.result(60) for each in [many.submit(callers.ask_on, ['many']) for _ in range(2)]]
    assert len([text for text in found if 'for the function that calls it' in str(text)]) == 1, found
    assert many.pid in found
    # Nothing of it is left.
    assert eventually(lambda: not broker._tree.callbacks.running)


def test_what_was_waited_for_is_no_part_of_a_ring(broker: econtext.Broker) -> None:
    broker.allow(callers.call_on, callers.call_and_stay)
    one, two = callers.BOX['one'], callers.BOX['two'] = broker.local(name='one'), broker.local(name='two')
    callers.BOX.update({'asked': threading.Event(), 'go on': threading.Event()})
    first = one.submit(callers.ask_text, 'guarded.callers.call_and_stay', 'two')
    assert callers.BOX['asked'].wait(60)
    second = two.submit(callers.ask_on, ['one'])
    running = broker._tree.callbacks.running
    eventually(lambda: [asked for asked in running.get(two._node.id, ()) if asked.waits_for() is one._node])
    callers.BOX['go on'].set()
    assert second.result(60) == one.pid
    assert first.result(60) is None


def test_many_at_once_and_while_the_program_waits_for_them(broker: econtext.Broker) -> None:
    broker.allow(callers.wait_for_all)
    callers.BOX['barrier'] = threading.Barrier(8)
    contexts = [broker.local() for _ in range(2)]
    futures = [context.submit(callers.ask_from_threads, 4) for context in contexts]
    assert [sorted(future.result(60)) for future in futures] == [[0, 1, 2, 3]] * 2


def test_too_many_at_once_are_refused(broker: econtext.Broker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    broker.allow(callers.wait_for_all)
    callers.BOX['barrier'] = threading.Barrier(17)
    context = broker.local()
    future = context.submit(callers.ask_from_threads, 20)
    eventually(lambda: caplog.text.count('refused') == 4)
    callers.BOX['barrier'].wait(60)
    assert sorted(map(str, future.result(60)))[-4:] == ['refused'] * 4


def test_a_deep_argument_is_an_error_of_the_call(broker: econtext.Broker) -> None:
    context = broker.local()
    context.allow(callers.put)
    with pytest.raises(econtext.CallError, match=r'ValueError: an argument is nested .* in parts'):
        context.call(callers.ask_put_deep, 199)
    assert callers.BOX == {}
    assert context.call(callers.ask_put, 1) == 1, 'it goes on'


def test_what_cannot_be_named_is_not_allowed(broker: econtext.Broker) -> None:
    with pytest.raises(TypeError, match='lambda'):
        broker.allow(lambda: None)
    assert econtext.program.call(callers.where) == os.getpid(), 'in the program it is a plain call'
