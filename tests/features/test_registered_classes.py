"""Point 4, values of the application's own classes: they cross both ways, and arrive as what they are."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from travel import apart, classes, plain

import econtext
from lab import pythons

PYTHONS = pytest.mark.parametrize('python', ['2.7', '3.6', '3.13', '3.15', 'pypy3.11'], indirect=True)
PLACES = pytest.mark.parametrize('place', ['below us', 'behind a hop'])


def start(broker: econtext.Broker, place: str, python: pythons.Interpreter, hop: str = '3.13') -> econtext.Context:
    origin = broker.local(python=pythons.interpreter(hop)) if place == 'behind a hop' else broker
    return origin.local(python=python, name='there')


@PLACES
@PYTHONS
def test_there_and_back(broker: econtext.Broker, place: str, python: pythons.Interpreter) -> None:
    context = start(broker, place, python)
    value = classes.Package('n\u00e4me', '1', [classes.Point(1, None), {'k': classes.Package('inner')}])
    assert context.call(classes.upgrade, value) == classes.Package('n\u00e4me', '1.1', [value])
    assert context.call(classes.kinds, [value, classes.Point(1, 2), classes.Old(1), apart.Distance(1)]) == [
        'travel.classes.Package', 'travel.classes.Point', 'travel.classes.Old', 'travel.apart.Distance']
    made = context.call(classes.make)
    assert type(made['old']) is classes.Old
    assert made['old'].value == {'a': classes.Package('a')}
    assert type(made['slotted']) is type(made['slotted'].right[0]) is classes.Slotted
    assert made['slotted'].right[0].right == 'x'
    assert (made['point'], type(made['point'].y)) == ((1, (2, 3)), classes.Point)
    assert made['key'] == {classes.Package('k'): 1}
    assert made['distance'].metres == 5
    (again,) = context.call(classes.echo, {classes.Package('k'), 1})
    assert again == {classes.Package('k'), 1}
    if python.version >= (3, 4):
        assert context.call(classes.colour) is classes.Colour.BLUE
        assert context.call(classes.echo, classes.Colour.RED) == (classes.Colour.RED,)


@PYTHONS
def test_their_methods_are_called_there(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    """The object is copied, as an argument is; its method runs there, whoever asks for it."""
    context = start(broker, 'below us', python)
    package = classes.Package('app', needs=['one', 'two'])
    assert context.call(package.called, 'an ', after='!') == 'an app!'
    assert context.call(functools.partial(package.called, after='?'), 'an ') == 'an app?'
    assert context.call(package.decorated, 'an ') == ['an app']
    assert context.call(package, 'an ') == 'an app'
    assert list(context.stream(package.each)) == ['one', 'two']
    assert context.call(classes.decorated, 1) == [(1, 2)]
    assert context.call(classes.listed(lambda value: value), 3) == [3]
    with broker.fleet(['a', 'b'], connector=lambda broker, host: broker.local(python=python)) as fleet:
        assert dict(fleet.call(package.called, 'an ').successes) == {'a': 'an app', 'b': 'an app'}
        assert dict(fleet.map(package, ['x ', 'y ']).successes) == {'a': 'x app', 'b': 'y app'}
        assert sorted(fleet.stream(package.each)) == [('a', 'one'), ('a', 'two'), ('b', 'one'), ('b', 'two')]
    nobody = classes.Nobody(1)
    with pytest.raises(TypeError, match=r'bound to an object of this process: .*Nobody cannot cross'):
        context.call(nobody.called)


@PYTHONS
def test_what_may_not_cross_is_told_with_the_remedy(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    context = start(broker, 'below us', python)
    with pytest.raises(TypeError, match=r'^travel\.classes\.echo: a travel\.classes\.Nobody .* econtext\.register'):
        context.call(classes.echo, classes.Nobody(1))
    with pytest.raises(TypeError, match=r'a travel\.classes\.Derived cannot cross'):
        context.call(classes.echo, classes.Derived('d'))
    for function, why in (classes.derived, r'Derived cannot cross .*register'), (classes.grown, r'attribute size'):
        with pytest.raises(econtext.CallError, match=why):
            context.call(function)
    with pytest.raises(econtext.CallError, match=r'travel\.classes\.Package refuses: a package needs a name') as caught:
        context.call(classes.refused)
    assert caught.value.type_name == 'ValueError'
    assert isinstance(caught.value.__cause__, ValueError)
    package = classes.Package('x')
    package.name = ''
    with pytest.raises(econtext.CallError, match='ValueError: a package needs a name'):
        context.call(classes.upgrade, package)
    assert context.call(classes.echo, 1) == (1,), 'it goes on'


@PYTHONS
def test_streams_and_channels(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    context = start(broker, 'below us', python)
    assert list(context.stream(classes.each, 3)) == [classes.Package(f'p{number}') for number in range(3)]
    channel = context.channel()
    future = context.submit(classes.work, classes.Job(channel, [classes.Package('a'), classes.Package('b')]))
    assert [channel.get(60).name for _ in range(2)] == ['a', 'b']
    channel.send(classes.Package('back'))
    assert channel.get(60) == ['back', ['travel.classes.Package']]
    future.result(60)


@PYTHONS
def test_calls_of_the_program(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    context = start(broker, 'below us', python)
    context.allow(classes.upgrade)
    value = classes.Package('x', '2')
    assert context.call(classes.ask, value) == classes.Package('x', '2.1', [value])
    name, text = context.call(classes.ask_for_what_it_refuses)
    assert name == 'CallError'
    assert 'a package needs a name' in text


@pytest.mark.parametrize('hop', ['2.7', '3.13'])
@PYTHONS
def test_calls_of_contexts_below(broker: econtext.Broker, python: pythons.Interpreter, hop: str) -> None:
    above = broker.local(python=pythons.interpreter(hop))
    below = above.local(python=python)
    value = classes.Package('x', '2')
    assert above.call(classes.call_below, below, value) == classes.Package('x', '2.1', [value])


def test_a_class_of_another_is_known_where_the_module_that_registers_it_is(broker: econtext.Broker) -> None:
    context = broker.local()
    assert context.call(plain.describe, plain.Foreign(3)) == ('Foreign', 3), 'it comes by itself'
    other = broker.local()
    with pytest.raises(econtext.CallError, match=r'plain\.Foreign cannot cross .*register'):
        other.call(plain.Foreign, 3)
    other.call(apart.Distance, 1)
    assert other.call(plain.Foreign, 3).what == 3


def test_the_module_that_registers_it_is_under_policy() -> None:
    with econtext.Broker(deny_modules=['travel.apart']) as broker:
        context = broker.local()
        with pytest.raises(econtext.NotAllowed, match=r'travel\.apart'):
            context.call(plain.describe, plain.Foreign(3))
        assert context.call(len, 'abc') == 3


PROGRAM = '''
import dataclasses
import econtext


@econtext.register
@dataclasses.dataclass
class Package:
    name: str


def upgrade(package):
    return package.__class__.__module__, Package(package.name + '!')


if __name__ == '__main__' and not econtext.slave:
    with econtext.Broker() as broker:
        module, package = broker.local().call(upgrade, Package('x'))
        print(module, package, type(package) is Package)
'''


def test_a_class_of_the_program_itself(tmp_path: Path) -> None:
    path = tmp_path / 'single.py'
    path.write_text(PROGRAM)
    environ = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run([sys.executable, str(path)], env=environ, capture_output=True, text=True, timeout=60)
    assert done.stdout == "single Package(name='x!') True\n", done.stderr
