"""Point 4, calls: functions run in a context, and what they return or raise arrives. And the values that cross."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import copy
import datetime
import decimal
import enum
import functools
import math
import os
import pathlib
import pickle
import platform
import socket
import subprocess
import sys
import threading
import time
import traceback
import uuid
import zoneinfo
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from travel import calls, facts, values

import econtext
from lab import SOON, eventually, pythons

matrix = pytest.mark.controller_matrix


@pytest.fixture
def child(broker: econtext.Broker) -> econtext.Context:
    return broker.local(name='child')


# -- what may be called ------------------------------------------------------


@pytest.mark.every_python
@matrix
def test_functions_of_every_kind(
    broker: econtext.Broker, python: pythons.Interpreter, tmp_path: pathlib.Path
) -> None:
    child = broker.local(python=python)
    for name in 'abc':
        (tmp_path / name).touch()
    assert child.call(calls.same, 1, 'two', a=3, b=None) == ((1, 'two'), {'a': 3, 'b': None})
    assert child.call(calls.nothing) is None
    assert child.call(calls.decorated, 20) == 42
    assert child.call(calls.Tool.static, 1) == ('static', 1)
    assert child.call(calls.Tool.make, 2) == ('Tool', 'mm', 2)
    assert child.call(calls.Tool.Part.deep, 3) == ('deep', 3)
    assert child.call(os.getpid) == child.pid
    assert child.call(os.system, 'exit 3') >> 8 == 3
    assert child.call(os.path.exists, '/') is True
    assert child.call(os.path.join, 'a', 'b') == 'a/b'
    assert child.call(os.listdir, str(tmp_path)) == os.listdir(tmp_path)
    assert child.call(socket.gethostname) == socket.gethostname()
    assert child.call(len, [1, 2]) == 2
    assert child.call(sorted, [2, 1], reverse=True) == [2, 1]
    assert child.call(dict, [('a', 1)]) == {'a': 1}
    assert child.call(math.sqrt, 4.0) == 2.0
    assert child.call(platform.python_version).startswith(python.number + '.')
    assert child.call(facts.in_main_thread) is True
    assert child.call(facts.version) == python.version


def test_methods_by_the_name_of_their_class(child: econtext.Context) -> None:
    assert child.call(str.upper, 'abc') == 'ABC'
    assert child.call(str.join, '-', ['a', 'b']) == 'a-b'
    assert child.call(calls.Tool.method, 'as self', 2) == ['as self', 2]
    assert child.call(dict.fromkeys, 'ab', 1) == {'a': 1, 'b': 1}
    assert child.call(datetime.date.fromordinal, 1) == datetime.date.min


def test_a_class_method_is_called_on_the_class_that_was_named(child: econtext.Context) -> None:
    assert child.call(calls.Base.inherited) == 'Base'
    assert child.call(calls.Tool.inherited) == 'Tool'


def test_keywords_may_have_any_name(child: econtext.Context) -> None:
    assert child.call(calls.named, function=1, self=2, timeout=3, args=4, context=5) == (1, 2, 3, 4, 5)
    assert child.submit(calls.named, function=1, self=2, timeout=3, args=4, context=5).result() == (1, 2, 3, 4, 5)
    assert child.options(timeout=60).call(calls.named, timeout=9) == (None, None, 9, None, None)


def test_keyword_names_are_native(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    assert broker.local(python=python).call(calls.types_of_names, a=1, b=2) == [True, True]


def test_state_stays_between_calls_and_contexts_are_apart(broker: econtext.Broker) -> None:
    one, other = broker.local(), broker.local()
    assert [one.call(facts.count) for _ in range(3)] == [1, 2, 3]
    assert other.call(facts.count) == 1


def test_calls_run_in_the_order_they_were_sent(child: econtext.Context) -> None:
    futures = [child.submit(facts.count) for _ in range(200)]
    assert [future.result() for future in futures] == list(range(1, 201))


class Local:
    def bound(self) -> None: ...


def local_function() -> Any:
    def inner() -> None: ...
    return inner


@matrix
@pytest.mark.parametrize(('function', 'remedy'), [
    (Local().bound, 'register the class'),
    (functools.partial(calls.echo, Local()), 'register the class'),
    ('os.getpid', 'give the function itself'),
    (None, 'cannot be called'),
    (Local(), 'cannot be called'),
])  # fmt: skip
def test_what_has_no_name_there_is_refused_with_the_remedy(
    child: econtext.Context, function: Any, remedy: str
) -> None:
    with pytest.raises(TypeError, match=remedy):
        child.call(function)
    with pytest.raises(TypeError, match=remedy):
        child.submit(function)
    assert child.call(facts.count) == 1, 'nothing was sent'


# -- what is raised ----------------------------------------------------------


@pytest.mark.every_python
@matrix
def test_an_exception_arrives_whole(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    child = broker.local(python=python, name='place')
    with pytest.raises(econtext.CallError) as caught:
        child.call(calls.fail_deeply, 'the message')
    error = caught.value
    assert isinstance(error, ValueError)
    assert (error.type_name, error.message, error.context) == ('ValueError', 'the message', 'place')
    assert str(error).startswith('ValueError: the message\n')
    assert 'In context place' in str(error)
    trace = error.remote_traceback
    assert trace.startswith('Traceback (most recent call last):')
    assert 'travel/calls.py' in trace
    assert 'in fail_deeply' in trace
    assert "raise ValueError(message)  # the line that a traceback must show" in trace
    assert 'econtext/core' not in trace, 'our own frames tell the caller nothing'
    assert child.call(calls.echo, 1) == 1


@pytest.mark.parametrize(('name', 'args', 'builtin'), [
    ('KeyError', ('k',), KeyError),
    ('ZeroDivisionError', ('z',), ZeroDivisionError),
    ('NotImplementedError', (), NotImplementedError),
    ('AssertionError', ('a',), AssertionError),
    ('MemoryError', (), MemoryError),
    ('ImportError', ('i',), ImportError),
    ('OSError', ('o',), OSError),
    ('EOFError', (), EOFError),
    ('AttributeError', ('a',), AttributeError),
    ('UnicodeError', ('u',), UnicodeError),
    ('OddKey', ('k',), KeyError),
])  # fmt: skip
def test_built_in_exceptions_are_caught_as_such(
    child: econtext.Context, name: str, args: tuple[str, ...], builtin: type[Exception]
) -> None:
    with pytest.raises(builtin) as caught:
        child.call(calls.fail, name, *args)
    assert isinstance(caught.value, econtext.CallError)
    assert str(caught.value).startswith(('travel.calls.' if name == 'OddKey' else '') + name + ':')


@pytest.mark.parametrize('name', ['Odd', 'Bare', 'StopIteration', 'TimeoutError', 'StopAsyncIteration'])
def test_the_rest_are_plain_call_errors(child: econtext.Context, name: str) -> None:
    with pytest.raises(econtext.CallError) as caught:
        child.call(calls.fail, name, 'text')
    assert type(caught.value) is econtext.CallError
    assert caught.value.type_name.split('.')[-1] == name
    assert caught.value.message == 'text'
    assert not isinstance(caught.value, (TimeoutError, StopIteration, econtext.CallTimeout))


@pytest.mark.every_python
@matrix
def test_misbehaviour_is_an_error_and_the_context_goes_on(
    broker: econtext.Broker, python: pythons.Interpreter
) -> None:
    child = broker.local(python=python)
    pid = child.call(os.getpid)

    def fails(word: str, function: Any, *args: Any, plain: bool = True) -> econtext.CallError:
        with pytest.raises(econtext.CallError) as caught:
            child.call(function, *args)
        assert word in str(caught.value)
        assert not plain or type(caught.value) is econtext.CallError
        assert child.call(os.getpid) == pid
        return caught.value

    fails('SystemExit', calls.leave)
    assert fails('SystemExit', calls.leave, 3).message == '3'
    fails('SystemExit', calls.leave, 'goodbye')
    fails('KeyboardInterrupt', calls.interrupt)
    fails('GeneratorExit', calls.close_generator)
    fails('StopIteration', calls.stop)
    fails('recursion', calls.recurse, plain=False)
    fails('Speechless', calls.fail, 'Speechless')
    fails('Odd', calls.unencodable_message)
    assert fails('x' * 1000, calls.long_message, 1 << 20, plain=False).message == 'x' * (1 << 20)
    for kind in ('object', 'inside', 'generator', 'function', 'class', 'module', 'file', 'exception', 'range',
                 'ellipsis', 'loop'):  # fmt: skip
        fails('', calls.unencodable, kind, plain=False)
    fails('', calls.deep, 100_000, plain=False)


@pytest.mark.parametrize('kind', ['object', 'inside', 'generator', 'class', 'exception'])
def test_a_result_that_cannot_cross_says_so(child: econtext.Context, kind: str) -> None:
    with pytest.raises(econtext.CallError, match='cannot cross between contexts') as caught:
        child.call(calls.unencodable, kind)
    assert type(caught.value) is econtext.CallError, 'our refusal is no TypeError of the function'


def test_errors_of_the_system_keep_their_numbers(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    child = broker.local(python=python)
    with pytest.raises(OSError) as caught:  # noqa: PT011
        child.call(calls.refuse_access)
    assert (caught.value.errno, caught.value.filename) == (13, '/secret')
    with pytest.raises(OSError, match='/does/not/exist'):
        child.call(calls.open_missing, '/does/not/exist')
    if python.version >= (3, 3):
        with pytest.raises(PermissionError):
            child.call(calls.refuse_access)
        with pytest.raises(FileNotFoundError):
            child.call(calls.open_missing, '/does/not/exist')


@pytest.mark.parametrize('text', ['', 'ä€😀', 'a\nb', '\ud800', '\0'])
def test_any_message_arrives(broker: econtext.Broker, python: pythons.Interpreter, text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        broker.local(python=python).call(calls.speak, text)
    assert isinstance(caught.value, econtext.CallError)
    assert caught.value.message == text


def test_exceptions_whose_construction_wants_more(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    child = broker.local(python=python)
    with pytest.raises(UnicodeDecodeError) as caught:
        child.call(calls.decode_rubbish)
    assert isinstance(caught.value, econtext.CallError)
    assert str(caught.value).startswith("UnicodeDecodeError: 'ascii' codec can't decode")
    repr(caught.value)
    if python.version >= (3, 11):
        with pytest.raises(econtext.CallError, match='many') as grouped:
            child.call(calls.group)
        assert 'KeyError' in grouped.value.remote_traceback


def test_the_first_exception_is_seen_behind_the_second(child: econtext.Context) -> None:
    with pytest.raises(ValueError, match='second') as caught:
        child.call(calls.fail_in_handler)
    assert "KeyError: 'first'" in str(caught.value)


def built_in_exceptions() -> list[str]:
    import builtins

    return [name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, Exception)]


def test_every_built_in_exception_arrives(child: econtext.Context) -> None:
    for name in built_in_exceptions():
        if 'Group' in name or name in ('UnicodeDecodeError', 'UnicodeEncodeError', 'UnicodeTranslateError'):
            continue
        with pytest.raises(econtext.CallError) as caught:
            child.call(calls.fail, name, 'text')
        assert 'text' in str(caught.value)
        shown = ''.join(traceback.format_exception_only(caught.value))
        assert f'{caught.value.type_name}: ' in shown, 'what is seen when nobody catches it'
        assert 'in fail' in shown


def test_errors_can_be_pickled_and_raised_again(child: econtext.Context) -> None:
    import pickle

    with pytest.raises(KeyError) as caught:
        child.call(calls.fail, 'KeyError', 'k')
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


def test_a_function_that_ends_the_process_loses_the_context(child: econtext.Context) -> None:
    child.wait_ready()
    with pytest.raises(econtext.ContextLost, match='child'):
        child.call(facts.exit_hard, 3)
    with pytest.raises(econtext.ContextLost, match='child'):
        child.call(os.getpid)
    with pytest.raises(econtext.ContextLost, match='child'):
        child.local()


def test_what_a_test_of_syntax_errors_shows(child: econtext.Context) -> None:
    with pytest.raises(SyntaxError) as caught:
        child.call(calls.fail, 'SyntaxError', 'odd')
    assert isinstance(caught.value, econtext.CallError)
    same = child.python_version[:2] == sys.version_info[:2]
    assert ('python=' in caught.value.hint) != same     # with the same grammar here and there it is no remedy
    assert ''.join(traceback.format_exception_only(caught.value)).startswith('econtext.CallError: SyntaxError: odd')


# -- time --------------------------------------------------------------------


@matrix
def test_a_deadline_is_kept_and_the_context_serves_on(child: econtext.Context, tmp_path: pathlib.Path) -> None:
    child.wait_ready()
    flag = tmp_path / 'go'
    start = time.monotonic()
    with pytest.raises(econtext.CallTimeout, match='child') as caught:
        child.options(timeout=0.2, grace=60).call(facts.wait_for, str(flag), 'late')
    assert 0.2 <= time.monotonic() - start < SOON
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, econtext.EcontextError)
    future = child.submit(calls.echo, 'next')
    flag.touch()
    assert future.result(60) == 'next', 'the late answer is nobody else\'s'


def test_a_deadline_of_a_future(child: econtext.Context, tmp_path: pathlib.Path) -> None:
    child.wait_ready()
    flag = tmp_path / 'go'
    future = child.options(timeout=0.2, grace=60).submit(facts.wait_for, str(flag))
    with pytest.raises(econtext.CallTimeout):
        future.result(60)
    flag.touch()
    assert child.options(timeout=60).submit(calls.echo, 2).result() == 2


def test_result_with_a_timeout_does_not_give_up_the_call(child: econtext.Context, tmp_path: pathlib.Path) -> None:
    flag = tmp_path / 'go'
    future = child.submit(facts.wait_for, str(flag), 'done')
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(0.05)
    flag.touch()
    assert future.result(60) == 'done'


@pytest.mark.parametrize('timeout', [-1, float('nan')])
def test_a_timeout_that_is_none_is_refused(child: econtext.Context, timeout: float) -> None:
    with pytest.raises(ValueError, match='timeout='):
        child.options(timeout=timeout)


# -- futures -----------------------------------------------------------------


@matrix
def test_futures_are_those_of_the_standard_library(child: econtext.Context) -> None:
    future = child.submit(calls.echo, 5)
    assert isinstance(future, concurrent.futures.Future)
    assert isinstance(future, econtext.Future)
    assert future.result() == 5
    assert future.done()
    failing = child.submit(calls.fail, 'KeyError', 'k')
    assert isinstance(failing.exception(), KeyError)
    with pytest.raises(KeyError):
        failing.result()
    seen: list[Any] = []
    child.submit(calls.echo, 6).add_done_callback(lambda done: seen.append(done.result()))
    eventually(lambda: seen == [6])
    assert list(child.map(calls.echo, [1, 2, 3])) == [1, 2, 3]


@matrix
def test_many_contexts_at_once(broker: econtext.Broker, tmp_path: pathlib.Path) -> None:
    contexts = [broker.local() for _ in range(4)]
    flag = tmp_path / 'go'
    waiting = [context.submit(facts.wait_for, str(flag), context.name) for context in contexts[1:]]
    first = contexts[0].submit(calls.echo, contexts[0].name)
    done, rest = concurrent.futures.wait([first, *waiting], return_when=concurrent.futures.FIRST_COMPLETED)
    assert done == {first}
    flag.touch()
    names = {future.result() for future in concurrent.futures.as_completed([first, *rest], timeout=60)}
    assert names == {context.name for context in contexts}


def test_from_asyncio(child: econtext.Context) -> None:
    async def main() -> list[Any]:
        return await asyncio.gather(*(asyncio.wrap_future(child.submit(calls.echo, i)) for i in range(10)))

    assert asyncio.run(main()) == list(range(10))


@matrix
def test_from_many_threads(broker: econtext.Broker) -> None:
    contexts = [broker.local() for _ in range(2)]
    wrong: list[Any] = []

    def work(number: int) -> None:
        for i in range(50):
            value = [number, i]
            try:
                if contexts[i % 2].call(calls.echo, value) != value:
                    wrong.append(value)
            except BaseException as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# -- pinned ------------------------------------------------------------------

EXPORTED = (
    'Broker Context Channel Future ssh sudo local slave EcontextError ConnectError ContextLost CallError CallTimeout '
    'NotAllowed CorruptStream select'
).split()


@matrix
def test_import_alone_gives_all_names_and_loads_little() -> None:
    code = (
        'import sys; before = set(sys.modules); import econtext; new = set(sys.modules) - before\n'
        'assert econtext.slave is False\n'
        'heavy = new & set("asyncio subprocess multiprocessing ssl socket logging concurrent.futures".split())\n'
        'assert not heavy, heavy\n'
        f'for name in {EXPORTED!r}: getattr(econtext, name)\n'
        'for name in "ssh sudo local".split(): getattr(econtext, name).connect\n'
        'late = set(name.split(".")[0] for name in sys.modules) - set(sys.stdlib_module_names)\n'
        'late = set(n for n in late if not n.startswith(("_", "econtext", "sitecustomize")))\n'
        'assert not late, late\n'
    )
    done = subprocess.run([sys.executable, '-S', '-c', code], capture_output=True, text=True,
                          env={**os.environ, 'PYTHONPATH': str(pathlib.Path(econtext.__file__).parent.parent)})
    assert (done.returncode, done.stderr) == (0, '')


def test_the_tree_of_errors() -> None:
    for name in EXPORTED:
        kind = getattr(econtext, name)
        if isinstance(kind, type) and name.endswith(('Error', 'Lost', 'Timeout', 'Allowed', 'Stream')):
            assert issubclass(kind, econtext.EcontextError)
            assert kind.__module__.startswith('econtext')
    assert issubclass(econtext.CallTimeout, TimeoutError)
    assert not issubclass(econtext.CallError, (OSError, ValueError))


# -- values ------------------------------------------------------------------

BERLIN = zoneinfo.ZoneInfo('Europe/Berlin')
FIXED = datetime.timezone(datetime.timedelta(hours=-3, minutes=-30))

SAMPLES: list[Any] = [
    None, True, False, 0, 1, -1, 2**15, -2**31, 2**31, 2**63, -2**64, 10**1000, -10**999,
    0.0, -0.0, 0.1, 1e308, 5e-324, math.inf, -math.inf, 1 + 2j, complex(0, -math.inf),
    {(complex(-0.0, -0.0), uuid.UUID(int=2))},
    '', 'a', 'ä€😀', 'a\0b\r\n', '\ud800', 'x' * 70_000,
    (), (1,), (1, (2, (3, ()))), [], [1, [2, [3, []]]], {}, {'a': {'b': {'c': None}}},
    {1: 'int', 2.5: 'float', None: 'none', (1, 2): 'tuple', frozenset([1]): 'frozenset', 'ä': 'text'},
    set(), {1, 'a', (2, 3)}, frozenset(), frozenset({1, frozenset({2})}),
    datetime.datetime(2024, 2, 29, 23, 59, 59, 999999), datetime.datetime.min, datetime.datetime.max,
    datetime.datetime(2024, 7, 1, 12, tzinfo=datetime.timezone.utc), datetime.datetime(2024, 7, 1, 12, tzinfo=FIXED),
    datetime.datetime(2024, 7, 1, 12, tzinfo=BERLIN),
    datetime.date(1, 1, 1), datetime.date.max, datetime.time(23, 59, 59, 1), datetime.time(1, tzinfo=FIXED),
    datetime.timedelta(days=-999999999), datetime.timedelta.max, datetime.timedelta(microseconds=-1),
    decimal.Decimal('0.10'), decimal.Decimal('-0'), decimal.Decimal('1E-400'), decimal.Decimal('Infinity'),
    uuid.UUID(int=0), uuid.UUID('12345678123456781234567812345678'),
    {'mixed': [(datetime.date(2024, 1, 1), {decimal.Decimal(1): {uuid.UUID(int=1)}}), 1j, {2j}]},
    {datetime.date(2024, 1, 1), decimal.Decimal(2), uuid.UUID(int=3)},
]  # fmt: skip
BINARY: list[Any] = [b'', b'abc', bytes(range(256)), 'ä'.encode(), [b'\xff', (b'\0',)], {b'k': b'v'}]
PATHS = [
    pathlib.Path('/a/b c/ä'), pathlib.Path(), pathlib.PurePosixPath('/a/b c/ä'), pathlib.PurePosixPath('.'),
    pathlib.PureWindowsPath('c:\\x\\y')]  # fmt: skip


def shape(value: Any) -> Any:
    """Return `value` with all its types, so that 1, True and 1.0 differ, and -0.0 from 0.0."""
    if isinstance(value, (list, tuple)):
        return type(value), [shape(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return type(value), sorted(repr(shape(item)) for item in value)
    if isinstance(value, dict):
        return type(value), sorted((repr(shape(key)), repr(shape(item))) for key, item in value.items())
    if isinstance(value, (datetime.datetime, datetime.time)):
        return type(value), value.replace(tzinfo=None), value.utcoffset()
    return type(value), repr(value)


def as_of_python2(value: Any) -> Any:
    """Return what comes back from Python 2, whose str is both text and bytes."""
    if isinstance(value, bytes):
        return value.decode('utf-8', 'surrogateescape')
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value)(as_of_python2(item) for item in value)
    if isinstance(value, dict):
        return {as_of_python2(key): as_of_python2(item) for key, item in value.items()}
    return value


@pytest.mark.every_python
@matrix
def test_every_type_crosses_both_ways(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    child = broker.local(python=python)
    for value in SAMPLES + BINARY:
        expected = value if python.version >= (3, 0) else as_of_python2(value)
        assert shape(child.call(values.echo, value)) == shape(expected), repr(value)
    for path in PATHS:
        expected = path if python.version >= (3, 4) else str(path)
        assert shape(child.call(values.echo, path)) == shape(expected)
    assert math.isnan(child.call(values.echo, math.nan))
    assert child.call(values.echo, decimal.Decimal('NaN')).is_nan()


def test_the_same_through_a_hop(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    child = broker.local(python=python).local(python=sys.executable)
    everything = [*SAMPLES, *BINARY, *PATHS]
    assert shape(child.call(values.echo, everything)) == shape(everything)


def test_what_arrives_there_is_of_the_right_type(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    child = broker.local(python=python)
    sent = [None, True, 1, 2**100, 1.5, 1j, 'text', b'bytes', (), [], {}, set(), frozenset(), datetime.date.min,
            datetime.datetime.min, datetime.time.min, datetime.timedelta.min, decimal.Decimal(1), uuid.UUID(int=1),
            pathlib.Path('x'), pathlib.PurePosixPath('x')]  # fmt: skip
    found = child.call(values.kinds, sent)
    expected = [type(value).__name__ for value in sent]
    if python.version < (3, 0):
        expected[expected.index('str')] = 'unicode'
        expected[expected.index('bytes')] = 'str'
        expected[expected.index('PosixPath')] = expected[expected.index('PurePosixPath')] = 'unicode'
        assert found[3] == 'long'
        found[3] = 'int'
    assert found == expected


def test_what_was_made_there_arrives(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    made = broker.local(python=python).call(values.build)
    expected = values.build()
    if python.version < (3, 0):
        expected['datetime'] = expected['datetime'].replace(tzinfo=None)
        del expected['path']
    for name, value in expected.items():
        assert shape(made[name]) == shape(value), name


def test_derived_types_arrive_as_what_they_derive_from(
    broker: econtext.Broker, python: pythons.Interpreter
) -> None:
    child = broker.local(python=python)
    binary = bytes([1, 2, 255])
    assert shape(child.call(values.build_derived)) == shape([7, 'w', (1, 2), {'b': 1, 'a': 2}, {'k': [1]}, binary])

    class Colour(enum.IntEnum):
        RED = 3

    class Word(str):
        __slots__ = ()

    point = collections.namedtuple('point', 'x y')
    sent = [Colour.RED, Word('w'), point(1, 2), collections.OrderedDict(a=1), collections.Counter('aa')]
    assert shape(child.call(values.echo, sent)) == shape([3, 'w', (1, 2), {'a': 1}, {'a': 2}])
    if python.version >= (3, 0):
        assert child.call(values.echo, [bytearray(b'ab'), memoryview(b'cd')]) == [b'ab', b'cd']
        home = pathlib.Path('/home')
        assert child.call(values.echo, home) == pathlib.PurePosixPath('/home')
        assert child.call(pathlib.Path.exists, home)


def test_zones_without_a_name(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    class Zone(datetime.tzinfo):
        def __init__(self, name: str | None) -> None:
            self.name = name

        def utcoffset(self, moment: datetime.datetime | None) -> datetime.timedelta:
            return datetime.timedelta(hours=1)

        def tzname(self, moment: datetime.datetime | None) -> str | None:
            return self.name

    child = broker.local(python=python)
    for name in (None, 'ü'):
        value = datetime.datetime(2024, 1, 1, tzinfo=Zone(name))
        assert child.call(values.echo, value) == value


def test_order_of_a_dict_is_kept(broker: econtext.Broker) -> None:
    value = dict.fromkeys('qwertyuiopasdfghjkl')
    assert list(broker.local().call(values.echo, value)) == list(value)


@pytest.mark.parametrize('data', [b'plain', 'ä€'.encode(), b'\xff\xfe\0', bytes(range(256))])
def test_a_str_of_python_2_loses_nothing(broker: econtext.Broker, data: bytes) -> None:
    child = broker.local(python=pythons.interpreter('2.7'))
    text = child.call(values.native, list(data))
    assert text == data.decode('utf-8', 'surrogateescape')
    assert text.encode('utf-8', 'surrogateescape') == data
    assert child.call(values.native_in, list(data)) == {'key': [text, (text,)], text: 1}


def test_what_python_2_receives(broker: econtext.Broker) -> None:
    child = broker.local(python=pythons.interpreter('2.7'))
    assert child.call(values.receive, 'ä') == ('unicode', [0xE4])
    assert child.call(values.receive, b'a\xff') == ('str', [0x61, 0xFF])


@pytest.mark.parametrize('value', [object(), Local(), [object()], {'k': {1: object()}}, sys, lambda: 1,
                                   calls.echo.__code__, [calls.echo.__code__], iter(()), slice(3),
                                   ValueError('x')])  # fmt: skip
def test_what_cannot_cross_is_refused_before_it_is_sent(child: econtext.Context, value: Any) -> None:
    with pytest.raises(TypeError, match='echo'):
        child.call(values.echo, value)
    with pytest.raises(TypeError, match='echo'):
        child.submit(values.echo, value=value)
    assert child.call(facts.count) == 1


def test_values_that_contain_themselves_are_refused(child: econtext.Context) -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match='contains itself'):
        child.call(values.echo, loop)
    with pytest.raises(ValueError, match='too deeply'):
        child.call(values.echo, calls.deep(100_000))
    assert child.call(values.echo, 1) == 1


def test_depth(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    child = broker.local(python=python)
    for levels in (100, 190):
        value = calls.deep(levels)
        assert child.call(calls.echo, value) == value
        assert child.call(calls.deep, levels) == value


@pytest.mark.parametrize('levels', [201, 500, 900])
def test_a_result_that_is_too_deep_is_an_error_of_the_call(child: econtext.Context, levels: int) -> None:
    with pytest.raises(econtext.CallError, match='deep'):
        child.call(calls.deep, levels)
    assert child.call(calls.echo, 1) == 1


def test_a_value_that_is_too_deep_for_a_channel_ends_no_context(child: econtext.Context) -> None:
    channel = child.channel()
    sent = child.submit(calls.send_deep, channel, 210)
    with pytest.raises(ValueError, match='deep'):
        channel.get(timeout=60)
    sent.result(60)
    assert child.call(calls.echo, 1) == 1


def test_large_values(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    child = broker.local(python=python)
    size = 8 << 20
    assert child.call(calls.length, bytes(size)) == size
    assert child.call(calls.big, size) == (b'x' * size if python.version >= (3, 0) else 'x' * size)
    assert child.call(calls.length, list(range(200_000))) == 200_000


def test_contexts_as_values(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    child = broker.local(python=python)
    below = child.local()
    assert child.call(values.echo, {'list': [child, below]}) == {'list': [child, below]}
    assert child.call(values.kinds, [below]) == ['Context']


ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary(),
    st.text(st.characters(min_codepoint=0xD700, max_codepoint=0xE100, categories=['Cs', 'Co', 'Lo'])),
    st.complex_numbers(allow_nan=False), st.datetimes(timezones=st.none() | st.just(datetime.timezone.utc) |
                                                      st.just(FIXED)),
    st.dates(), st.times(), st.timedeltas(), st.decimals(allow_nan=False), st.uuids(),
    st.sampled_from(PATHS),
)  # fmt: skip
HASHABLE = st.recursive(ATOMS, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4), max_leaves=6)
VALUES = st.recursive(
    ATOMS | HASHABLE,
    lambda inner: st.lists(inner, max_size=5) | st.tuples(inner, inner) | st.sets(HASHABLE, max_size=4)
    | st.dictionaries(HASHABLE, inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


def test_property_any_value_comes_back_the_same(broker: econtext.Broker) -> None:
    child = broker.local(python=pythons.interpreter('3.11'))

    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(VALUES)
    def comes_back(value: Any) -> None:
        assert shape(child.call(values.echo, value)) == shape(value)

    comes_back()


def test_what_is_bound_to_this_process_is_not_copied(broker: econtext.Broker) -> None:
    """A copy would not hear of the end of what it stands for."""
    context = broker.local()
    for thing in broker, context, context.channel(), context.submit(os.getpid), context.stream(range, 3):
        for way in copy.copy, copy.deepcopy, pickle.dumps:
            with pytest.raises(TypeError, match='bound to this process'):
                way(thing)
    assert context.call(abs, -1) == 1
