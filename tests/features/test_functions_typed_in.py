"""Functions that no module holds run in contexts: lambdas, functions inside of functions, what was typed in."""

from __future__ import annotations

import contextlib
import functools
import linecache
import logging
import operator
import re
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
from errands import factory

import econtext
from lab import pythons

FACTOR = 3
SEEN = iter(range(10**9))


@pytest.fixture
def child(broker: econtext.Broker, python: str) -> econtext.Context:
    return broker.local(python=python)


def cell(text: str, **given: Any) -> dict[str, Any]:
    """Run `text` as a cell of a notebook; return its names."""
    text = textwrap.dedent(text)
    path = f'<cell {next(SEEN)}>'
    linecache.cache[path] = len(text), None, text.splitlines(True), path
    names: dict[str, Any] = {'__name__': '__main__', **given}
    exec(compile(text, path, 'exec', 0, True), names)
    return names


def test_lambdas_and_functions_inside_of_functions(child: econtext.Context) -> None:
    number, items = 4, [1, {'a': (2, 'ü')}]

    def factorial(n):  # type: ignore[no-untyped-def]
        return 1 if n == 0 else n * factorial(n - 1)

    def even(n):  # type: ignore[no-untyped-def]
        return n == 0 or odd(n - 1)

    def odd(n):  # type: ignore[no-untyped-def]
        return n != 0 and even(n - 1)

    def with_default(a, b=items, c=len):  # type: ignore[no-untyped-def]
        return a, b, c(b)

    assert child.call(lambda a, b=2: (a, b, number, items), 1) == (1, 2, number, items)
    one, two = (lambda: 1), (lambda: 2)
    assert [child.call(each) for each in (one, two)] == [1, 2]
    assert child.call(factorial, 10) == 3628800
    assert child.call(even, 10) is True
    assert child.submit(odd, 10).result() is False
    assert child.call(with_default, 1) == (1, items, 2)
    assert child.call(lambda: FACTOR * number) == 12
    assert child.call(lambda text: re.findall(r'\w+', text), 'a b') == ['a', 'b']


@pytest.mark.controller_matrix
def test_what_a_cell_defines(child: econtext.Context) -> None:
    names = cell('''
        import re
        import os.path
        import xml.dom.minidom
        FACTOR = 7
        WORD = re.compile('[a-z]+')
        def helper(text):
            return [FACTOR] + WORD.findall(text)
        def shout(function):
            def wrapper(*args):
                return [str(each).upper() for each in function(*args)]
            return wrapper
        @shout
        def loud(text):
            return helper(text)
        table = {'helper': helper, 'join': os.path.join, 'list': [loud]}
        def by_table(text):
            return table['helper'](text), table['join'](text, text), table['list'][0](text)
        def parse(text):
            return xml.dom.minidom.parseString(text).documentElement.tagName
        def missing():
            return not_there
        ''')
    assert child.call(names['helper'], 'a1b') == [7, 'a', 'b']
    assert child.call(names['loud'], 'a1b') == ['7', 'A', 'B']
    assert child.call(names['by_table'], 'x') == ([7, 'x'], 'x/x', ['7', 'X'])
    assert child.call(names['parse'], '<tag/>') == 'tag'
    with pytest.raises(NameError, match='not_there'):
        child.call(names['missing'])
    names['FACTOR'] = 8
    assert child.call(names['helper'], 'a') == [8, 'a']
    names['helper'] = lambda text: 'another'
    assert child.call(names['by_table'], 'x')[2] == list('ANOTHER')


def test_partials_bound_methods_and_what_operator_makes(child: econtext.Context) -> None:
    def three(a, b, c=0):  # type: ignore[no-untyped-def]
        return a, b, c

    assert child.call(functools.partial(three, 1, c=3), 2) == (1, 2, 3)
    assert child.call(functools.partial(functools.partial(factory.echo, 5))) == 5
    assert child.call('a-b'.split, '-') == ['a', 'b']
    assert child.call({'a': 1}.get, 'a') == 1
    assert child.call(lambda: list(map(operator.itemgetter(1), ['ab', 'cd']))) == ['b', 'd']
    assert child.call(operator.methodcaller('split', '-'), 'a-b') == ['a', 'b']
    assert child.call(operator.methodcaller('format', 1, b=2), '{0}-{b}') == '1-2'


def test_functions_share_their_variables_and_calls_share_nothing(child: econtext.Context) -> None:
    names = cell('''
        def counter():
            count = [0]
            def add():
                count[0] += 1
                return get()
            def get():
                return count[0]
            return add
        total = 0
        def add_up():
            global total
            total += 1
            return total
        ''')
    add = names['counter']()
    assert child.call(add) == child.call(add) == 1
    assert child.call(names['add_up']) == child.call(names['add_up']) == 1
    assert (add(), names['add_up']()) == (1, 1)
    assert child.call(add) == 2


def test_streams_of_functions_typed_in(child: econtext.Context) -> None:
    names = cell('''
        step = 2
        def count(most):
            for number in range(most):
                yield number * step
        ''')
    for _ in range(2):
        assert list(child.stream(names['count'], 3)) == [0, 2, 4]
    assert list(child.stream(lambda: ['a', 'b'])) == ['a', 'b']
    with pytest.raises(TypeError, match=r'stream\('):
        child.call(names['count'], 3)


def test_a_traceback_shows_the_lines_of_the_cell(child: econtext.Context) -> None:
    names = cell('''
        def outer(number):
            # A comment.
            return inner(number)

        def inner(number):
            return 1 // number  # this line
        ''')
    for _ in range(2):
        with pytest.raises(ZeroDivisionError) as caught:
            child.call(names['outer'], 0)
        text = str(caught.value)
        assert 'return 1 // number  # this line' in text
        assert 'return inner(number)' in text
        assert 'line 7' in text
        assert 'sourced' not in text
    with pytest.raises(ZeroDivisionError) as caught:
        child.call(lambda: 1 // 0)  # the line of the lambda
    assert '# the line of the lambda' in str(caught.value)


def test_what_cannot_be_sent_is_refused_by_its_name(broker: econtext.Broker) -> None:
    child = broker.local()
    lock, secret = threading.Lock(), 'geheim'
    names = cell('''
        import threading
        event = threading.Event()
        def waits():
            return helper()
        def helper():
            return event.is_set()
        ''')

    class Local:
        password = 'geheim'

    local = Local()
    for function, words in (
            (lambda: lock, ['lock', 'make one there', 'line']), (names['waits'], ['helper', 'event']),
            (lambda: local.password, ['local', 'econtext.register']), (lambda: secret or Local, ['Local']),
            (lambda: {'x': [lock, len]}, [])):
        if not words:
            assert child.call(lambda: 1) == 1
            continue
        with pytest.raises(TypeError) as caught:
            child.call(function)
        assert not isinstance(caught.value, econtext.CallError)
        assert all(word in str(caught.value) for word in words), str(caught.value)
        assert 'geheim' not in str(caught.value)
    # Each is one sentence: no thing is named twice, and no comma stands before the colon.
    with pytest.raises(TypeError, match=r'^the class test_functions_typed_in\.\S+ is found by no import: move'):
        child.call(Local)
    with pytest.raises(TypeError, match=r'^the lambda at \S+, line \d+: a builtins\.'):
        child.call(lambda value: value, iter([]))
    nowhere: dict[str, Any] = {'__name__': '__main__'}
    exec('def f(): pass', nowhere)
    with pytest.raises(TypeError, match='save it in a file'):
        child.call(nowhere['f'])


def test_the_source_goes_once_and_the_values_when_they_changed(broker: econtext.Broker) -> None:
    child = broker.local().wait_ready()
    sizes: list[int] = []
    send = broker._tree.router.send
    ask = broker._tree.router.ask

    def note(kind: int, dst: int, handle: int, body: bytes) -> Any:
        sizes.append(len(body))
        return send(kind, dst, handle, body)

    def note_asked(kind: int, dst: int, body: bytes, answer: Any) -> Any:
        sizes.append(len(body))
        return ask(kind, dst, body, answer)
    broker._tree.router.send, broker._tree.router.ask = note, note_asked  # type: ignore[method-assign]
    names = cell('def f(x):\n    """' + 'd' * 5000 + '"""\n    return x\n')
    assert child.call(names['f'], 1) == 1
    del sizes[:]
    assert child.call(names['f'], 2) == 2
    assert sum(sizes) < 400


def test_decorators_of_modules_decorate_there(broker: econtext.Broker) -> None:
    child = broker.local()
    size = 2

    @contextlib.contextmanager
    def opened():  # type: ignore[no-untyped-def]
        yield size

    @functools.lru_cache(maxsize=size)
    def cached(number: int) -> int:
        return number + size

    @functools.lru_cache
    def fibonacci(number: int) -> int:
        return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)

    def use() -> int:
        with opened() as found:
            return cached(found)  # type: ignore[no-any-return]

    assert child.call(use) == 4
    assert child.call(cached, 5) == 7
    assert child.call(fibonacci, 50) == 12586269025


def test_functions_typed_in_obey_the_policy() -> None:
    with econtext.Broker(deny_modules=['__main__']) as broker:
        names = cell('def f(): return 1')
        with pytest.raises(econtext.NotAllowed):
            broker.local().call(names['f'])


def test_contexts_are_captured_as_well(broker: econtext.Broker) -> None:
    upper = broker.local()
    lower = upper.local().wait_ready()
    assert upper.call(lambda: lower.call(factory.echo, 3)) == 3


def test_syntax_that_is_too_new_is_named_before_anything_is_sent(broker: econtext.Broker) -> None:
    child = broker.local(python=pythons.interpreter('3.6')).wait_ready()
    names = cell('def fine(): return 1\n\ndef new():\n    return (x := 1)\n')
    assert child.call(names['fine']) == 1
    with pytest.raises(SyntaxError, match='line 4') as caught:
        child.call(names['new'])
    assert 'Nothing was sent' in str(caught.value)


def test_globals_are_copied_or_had_from_the_module(child: econtext.Context) -> None:
    log = logging.getLogger('typed')
    assert child.call(lambda: log.name) == 'typed'
    for _ in range(2):
        assert child.call(factory.maker(5), 6) == (5, 6, 'errands.factory', 1)
    assert factory.KEPT == []
    # What cannot be copied its module has there as well.
    assert child.call(factory.locked()) == 'locked'


# -- programs ------------------------------------------------------------------

PROGRAM = '''
import econtext
import os.path as path, re
FACTOR = 3
def twice(number):
    return number * 2 * FACTOR
def fails():
    return 1 // (FACTOR - 3)  # in the program
with econtext.Broker() as broker:
    child = broker.local(python=PYTHON)
    print(child.call(twice, 4), child.call(lambda number: twice(number) + 1, 5), list(child.stream(lambda: [FACTOR])))
    print(child.call(lambda: re.findall('[a-z]', path.join('a', 'b'))))
    try:
        child.call(fails)
    except ZeroDivisionError as error:
        print('# in the program' in str(error))
'''
SAID = ['24 31 [3]', "['a', 'b']", 'True']


def ran(words: list[str], **given: Any) -> list[str]:
    done = subprocess.run(
        [sys.executable, *words], text=True, capture_output=True, timeout=60, check=False, **given)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.controller_matrix
def test_a_program_of_the_command_line(python: str) -> None:
    assert ran(['-c', PROGRAM.replace('PYTHON', repr(str(python)))]) == SAID


@pytest.mark.controller_matrix
def test_a_program_of_standard_input(python: str, tmp_path: Path) -> None:
    script = tmp_path / 'script'
    script.write_text(PROGRAM.replace('PYTHON', repr(str(python))))
    with open(script) as file:
        assert ran([], stdin=file) == SAID


# What was made of a text at run time keeps no source; nor is anything else taken for it.
MADE = '''
import econtext
def f():
    return 'of the program'
names = {}
exec("def f(): return 'of a text'", names)
exec(compile('def h(): pass', 'a name of my own', 'exec'), names)
broker = econtext.Broker()
child = broker.local()
print(child.call(f))

for function in eval('lambda: 1'), names['f'], names['h']:
    try:
        child.call(function)
    except TypeError as error:
        print(error)

import linecache
text = 'def g():\\n    return 1 // 0  # of a text that is kept\\n'
linecache.cache['<kept>'] = len(text), None, text.splitlines(True), '<kept>'
exec(compile(text, '<kept>', 'exec'), names)
try:
    child.call(names['g'])
except ZeroDivisionError as error:
    print('# of a text that is kept' in str(error))

broker.close()
'''


@pytest.mark.parametrize('words', [['-c', MADE], [], ['-']], ids=['a command', 'standard input', 'a dash'])
def test_what_a_program_makes_of_texts_is_refused_by_name(tmp_path: Path, words: list[str]) -> None:
    script = tmp_path / 'script.py'
    script.write_text(MADE)
    with open(script) as file:
        first, *refused, last = ran(words, stdin=file)
    assert (first, last) == ('of the program', 'True')
    for line, name in zip(refused, ['the lambda at <string>, line 1', 'f', 'h'], strict=True):
        assert line.startswith(f'{name}, ' if 'lambda' in name else f'{name} has no module'), line
        assert line.endswith('save it in a file, and run or import that')
        assert 'Python does not keep' in line or 'a name of my own cannot be read' in line


@pytest.mark.parametrize('read', [['-'], []])
def test_a_program_of_a_pipe_is_refused_by_name(read: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *read], input=PROGRAM.replace('PYTHON', 'None'), text=True, capture_output=True, timeout=60,
        check=False)
    assert done.returncode == 1
    assert 'TypeError: twice has no module' in done.stderr
    assert 'standard input, which keeps no source' in done.stderr


DOCTEST = '''
"""
>>> import econtext
>>> broker = econtext.Broker()
>>> child = broker.local()
>>> FACTOR = 3
>>> def twice(number):
...     return number * 2 * FACTOR
>>> child.call(twice, 4), child.call(lambda: twice(5))
(24, 30)
>>> broker.close()
"""
'''


def test_examples_of_doctest(tmp_path: Path) -> None:
    (tmp_path / 'examined.py').write_text(DOCTEST)
    assert ran(['-m', 'doctest', str(tmp_path / 'examined.py')]) == []


