"""Functions as arguments: on the way down they cross by their names."""

from __future__ import annotations

import functools
import os
import os.path
from pathlib import Path

import pytest
from errands import handed

import econtext
from lab import pythons


@pytest.fixture
def old_python() -> str:
    return str(pythons.public_python('2.7'))


def test_functions_of_modules(broker: econtext.Broker, python: str) -> None:
    context = broker.local(python=python)
    assert context.call(handed.apply, handed.double, 4) == 8
    assert context.call(handed.is_double, handed.double), 'the very one of the module there'
    assert context.call(handed.apply, os.path.basename, '/a/b') == 'b'
    assert context.call(handed.apply, os.getpid) == context.pid
    assert context.call(handed.apply, len, 'abc') == 3
    assert context.call(handed.apply, dict.get, {'a': 1}, 'a') == 1
    assert context.call(handed.apply, handed.Maker.fixed, 4) == 5
    assert context.call(handed.apply, handed.Maker.name) == 'Maker'
    assert context.call(handed.apply, handed.Kind.name) == 'Kind'
    assert context.call(handed.size_of, handed.Maker, handed.Maker.size) == 3
    assert context.call(handed.apply, int, '7') == 7


def test_within_other_values_and_by_keyword(broker: econtext.Broker, python: str) -> None:
    context = broker.local(python=python)
    table = {'a': (handed.double, 1), 'b': [os.path.basename, 'x/y']}
    assert context.call(handed.apply_all, table) == [('a', 2), ('b', 'y')]
    assert context.call(handed.names, functions=[handed.double, os.path.join]) == ['double', 'join']
    assert context.submit(handed.apply, handed.double, 1).result() == 2
    assert context.options(fork=True).call(handed.apply, handed.double, 1).value == 2
    channel = context.channel()
    future = context.submit(handed.through, channel)
    channel.send(handed.double)
    assert channel.get(timeout=30) == 6
    channel.send(str)
    assert channel.get(timeout=30) == '3'
    channel.close()
    future.result()


def test_what_a_function_of_the_program_returns(broker: econtext.Broker) -> None:
    context = broker.local()
    broker.allow(handed.give)
    assert context.call(handed.ask_back) == 'double'


def test_its_module_is_sent(broker: econtext.Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = 'import ect_third\n\n\ndef work(value):\n    return ect_third.ADDED + value\n'
    (tmp_path / 'ect_other.py').write_text(source)
    (tmp_path / 'ect_third.py').write_text('ADDED = 40\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    other = __import__('ect_other')
    below = broker.local().local()
    assert below.call(handed.apply, other.work, 2) == 42
    hop = broker.local()
    assert hop.call(handed.apply, other.work, 2) == 42


def test_what_another_interpreter_finds_by_no_name(broker: econtext.Broker) -> None:
    context = broker.local()

    def inner() -> None:
        pass

    for function, words in (
        (lambda: 1, 'lambda has no name'), (inner, 'defined inside a function'), ([].append, 'bound to an object'),
        (handed.Maker().size, 'bound to an object'), (functools.partial(len, 'a'), 'cannot cross'),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=words) as caught:
            context.call(handed.apply, function)
        assert str(caught.value).startswith('errands.handed.apply: ')
    assert context.call(os.getpid) == context.pid


def test_policy_is_asked() -> None:
    with econtext.Broker(deny_modules=['errands.orders']) as strict:
        from errands import orders
        with pytest.raises(econtext.NotAllowed, match=r'errands\.orders'):
            strict.local().call(handed.apply, orders.in_turns, 1)


def test_nothing_from_below_names_a_function(broker: econtext.Broker) -> None:
    context = broker.local()
    with pytest.raises(econtext.CallError, match='cannot cross'):
        context.call(handed.hand_back, handed.double)
    with pytest.raises(econtext.CallError, match='cannot cross'):
        context.call(handed.where)
    child = context.local()
    with pytest.raises(econtext.CallError, match='cannot cross'):
        context.call(handed.below, child, handed.double)


def test_a_function_that_is_not_there(broker: econtext.Broker, old_python: str) -> None:
    """The call fails, and the next one does not."""
    context = broker.local(python=old_python)
    with pytest.raises(econtext.CallError, match='fspath'):
        context.call(handed.apply, os.fspath, 'a')
    assert context.call(handed.apply, handed.double, 1) == 2


def test_attached_programs(tmp_path: Path) -> None:
    path = str(tmp_path / 'socket')
    with econtext.Broker() as broker:
        broker.listen(path)
        with econtext.attach(path) as other:
            assert other.local(name='box').call(handed.apply, handed.double, 5) == 10
