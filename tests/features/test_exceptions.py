"""What a function raised arrives as itself, and as a CallError, with what it holds; within bounds, whatever it is."""

from __future__ import annotations

import asyncio
import builtins
import concurrent.futures.process
import configparser
import copy
import errno
import http.client
import json
import pickle
import queue
import socket
import struct
import subprocess
import sys
import threading
import traceback
import urllib.error
from collections.abc import Callable
from typing import Any

import pytest
from errands import coroutines
from travel import calls, raising

import econtext
from econtext.controller import raised
from lab import pythons

ENDS = pytest.mark.parametrize('python', ['2.7', '3.6', '3.13'], indirect=True)


def error_of(context: econtext.Context, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    with pytest.raises(econtext.CallError) as caught:
        context.options(timeout=60).call(function, *args, **kwargs)
    return caught.value


# -- as themselves -----------------------------------------------------------


@ENDS
def test_exceptions_of_the_standard_library_arrive_with_their_attributes(
    broker: econtext.Broker, python: pythons.Interpreter
) -> None:
    context = broker.local(python=python)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        context.call(raising.command, 'sh', '-c', 'exit 3')
    assert isinstance(caught.value, econtext.CallError)
    assert (caught.value.returncode, caught.value.cmd) == (3, ('sh', '-c', 'exit 3'))
    error = error_of(context, raising.called, 4, 'cmd', b'\xff\n')
    assert error.output == error.stdout
    assert error.output == (b'\xff\n' if python.version >= (3, 0) else '\udcff\n')
    if python.version >= (3, 3):
        with pytest.raises(subprocess.TimeoutExpired) as late:
            context.call(raising.expired, 'cmd', 2.5, b'out')
        assert (late.value.cmd, late.value.timeout, late.value.output) == ('cmd', 2.5, b'out')
        assert not isinstance(late.value, TimeoutError)
    with pytest.raises(configparser.NoOptionError) as missing:
        context.call(raising.missing_option)
    assert (missing.value.option, missing.value.section) == ('colour', 'paint')
    with pytest.raises(queue.Empty, match='nothing'):
        context.call(raising.empty)
    with pytest.raises(urllib.error.HTTPError) as web:
        context.call(raising.web)
    assert (web.value.code, web.value.msg) == (404, 'not here')
    assert not hasattr(web.value, 'no_such_thing')
    with pytest.raises(UnicodeDecodeError) as wrong:
        context.call(raising.undecodable)
    assert (wrong.value.encoding, wrong.value.object, wrong.value.start) == ('ascii', b'\xe4\xff', 0)
    with pytest.raises(KeyError) as key:
        context.call(raising.key, ('a', 1))
    assert key.value.args == (('a', 1),)
    assert error_of(context, raising.leave, 7).code == 7
    assert error_of(context, raising.stop, 5).args == (5,)


@ENDS
def test_exceptions_arrive_with_what_python_gives_them(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    context = broker.local(python=python)

    def caught(name: str, kind: type[BaseException]) -> Any:
        error = error_of(context, raising.standard, name)
        assert isinstance(error, kind), name
        return error

    error = caught('open', FileNotFoundError)
    assert (error.errno, error.strerror, error.filename) == (2, 'No such file or directory', '/no/such/a')
    error = caught('rename', FileNotFoundError)
    if python.version >= (3, 4):
        assert (error.filename, error.filename2) == ('/no/such/a', '/no/such/b')
    error = caught('json', ValueError)
    if python.version >= (3, 5):
        assert isinstance(error, json.JSONDecodeError)
        assert (error.doc, error.pos, error.lineno, error.colno) == ('{"a": }', 6, 1, 7)
        assert error.msg.startswith('Expecting value')
    error = caught('import', ImportError)
    if python.version >= (3, 6):
        assert isinstance(error, ModuleNotFoundError)
        assert error.name == 'no_such_module'
    error = caught('syntax line', SyntaxError)
    assert (error.filename, error.lineno, error.text.strip()) == ('file.py', 2, 'a b')
    error = caught('address', socket.gaierror)
    assert error.errno == error.args[0] == socket.EAI_NONAME
    error = caught('encode', UnicodeEncodeError)
    assert (error.encoding, error.object, error.start, error.end) == ('ascii', '\xe4', 0, 1)
    caught('struct', struct.error)
    caught('call', FileNotFoundError)
    caught('division', ZeroDivisionError)
    caught('attribute', AttributeError)
    caught('index', IndexError)
    caught('recursion', RecursionError if python.version >= (3, 5) else RuntimeError)
    error = caught('url', urllib.error.URLError)
    assert isinstance(error.reason, ConnectionRefusedError)
    assert isinstance(error.reason, econtext.CallError)
    stopped = error_of(context, raising.stop, 5)
    assert type(stopped) is econtext.CallError, 'it would end a loop of the caller'
    assert stopped.args == (5,)
    if python.version >= (3, 3):
        assert stopped.value == 5
    if python.version >= (3, 11):
        assert error_of(context, raising.noted).__notes__ == ['first', 'second']


OF_CONTROL = {
    'StopIteration': StopIteration, 'StopAsyncIteration': StopAsyncIteration, 'GeneratorExit': GeneratorExit,
    'SystemExit': SystemExit, 'KeyboardInterrupt': KeyboardInterrupt, 'TimeoutError': TimeoutError,
    'socket': TimeoutError, 'Interrupted': KeyboardInterrupt, 'ContextLost': econtext.ContextLost,
    'asyncio TimeoutError': asyncio.TimeoutError, 'asyncio CancelledError': asyncio.CancelledError,
    'futures TimeoutError': concurrent.futures.TimeoutError,
    'futures CancelledError': concurrent.futures.CancelledError,
    'futures BrokenExecutor': concurrent.futures.BrokenExecutor,
}  # fmt: skip
OLD = {'GeneratorExit', 'KeyboardInterrupt', 'StopIteration', 'SystemExit', 'socket', 'Interrupted', 'ContextLost'}


@pytest.mark.parametrize('name', OF_CONTROL)
@ENDS
def test_no_error_of_a_function_is_taken_for_one_of_the_caller(
    broker: econtext.Broker, python: pythons.Interpreter, name: str
) -> None:
    """Not for the end of its loop, its program, its time, its task, or its context; by no way of calling."""
    if python.version < (3, 8) and name not in OLD:
        pytest.skip('of Python 3')
    kind = OF_CONTROL[name]
    contexts = [broker.local(python=python), broker.local(python=python, threads=2)]
    fleet = broker.fleet(['one'], connector=lambda broker, host: contexts[0])

    def check(error: Any) -> None:
        assert type(error) is econtext.CallError
        assert not isinstance(error, kind)
        names = ('timeout', 'TimeoutError') if name == 'socket' else (name.rpartition(' ')[2],)
        assert error.type_name.rpartition('.')[2] in names
        assert 'said so' in str(error)

    for context in contexts:
        check(error_of(context, raising.of_control, name))
        check(context.submit(raising.of_control, name).exception(60))
        assert context.options(timeout=60).call(len, 'goes on') == 7
    stream = contexts[0].stream(raising.of_control_behind, name)
    assert next(stream) == 1
    if name == 'StopIteration' and python.version < (3, 7):
        assert list(stream) == [], 'a generator of these ends by it'
    elif name != 'StopIteration':
        with pytest.raises(econtext.CallError) as caught:
            next(stream)
        check(caught.value)
    stream.close()
    check(fleet.call(raising.of_control, name).failures['one'])

    async def awaited() -> None:
        context = econtext.aio.Broker(blocking=broker).local(python=python)
        with pytest.raises(econtext.CallError) as caught:
            await context.call(raising.of_control, name)
        check(caught.value)

    asyncio.run(awaited())


@pytest.mark.parametrize('name', [name for name in OF_CONTROL if name not in ('StopIteration', 'ContextLost')])
def test_no_error_of_a_coroutine_function_is_either(broker: econtext.Broker, name: str) -> None:
    async def main() -> None:
        context = econtext.aio.Broker(blocking=broker).local()
        beside = context.submit(coroutines.wait_for, 'the end')
        with pytest.raises(econtext.CallError) as caught:
            await context.call(coroutines.of_control, name)
        assert type(caught.value) is econtext.CallError
        assert not isinstance(caught.value, OF_CONTROL[name])
        # The others on that event loop go on.
        await context.call(coroutines.allow, 'the end')
        assert await beside == 'the end'

    asyncio.run(asyncio.wait_for(main(), 60))
    error = error_of(broker.local(), coroutines.of_control, name)
    assert type(error) is econtext.CallError


@ENDS
@pytest.mark.parametrize('name', ['ConnectionResetError', 'ConnectionRefusedError', 'BrokenPipeError', 'EOFError'])
def test_what_sounds_like_the_link_is_of_the_function(
    broker: econtext.Broker, python: pythons.Interpreter, name: str
) -> None:
    if python.version < (3, 3) and name != 'EOFError':
        pytest.skip('of Python 3.3')
    context = broker.local(python=python)
    error = error_of(context, raising.of_the_net, name)
    assert isinstance(error, getattr(builtins, name))
    for kind in econtext.ContextLost, econtext.ConnectError:
        assert not isinstance(error, kind)
        assert not issubclass(kind, (OSError, EOFError))
    assert context.call(len, 'abc') == 3


@pytest.mark.parametrize('python', ['2.7', '3.13'], indirect=True)
@pytest.mark.parametrize('name', ['StopIteration', 'StopAsyncIteration', 'TimeoutError', 'futures CancelledError'])
def test_a_context_takes_none_of_the_program_for_its_own(
    broker: econtext.Broker, python: pythons.Interpreter, name: str
) -> None:
    broker.allow(raising.of_control)
    context = broker.local(python=python)
    bases = context.call(raising.bases_of_control, name)
    assert bases[0] == 'CallError'
    assert not {'StopIteration', 'StopAsyncIteration', 'TimeoutError', 'CancelledError'}.intersection(bases)


NEWER = pytest.mark.parametrize('python', ['3.11', '3.13', '3.15', 'pypy3.11'], indirect=True)


@NEWER
@pytest.mark.skipif(sys.version_info < (3, 11), reason='groups of exceptions are of Python 3.11')
def test_groups_of_exceptions_arrive_as_groups(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    context = broker.local(python=python)
    kinds = vars(builtins)
    error = error_of(context, raising.group)
    assert isinstance(error, kinds['BaseExceptionGroup'])
    inner, gone = error.exceptions
    assert (error.message, inner.message, error.args[0]) == ('outer', 'inner', 'outer')
    assert isinstance(gone, FileNotFoundError)
    assert gone.filename == 'file'
    key, refused, left = inner.exceptions
    assert [type(each).__mro__[2] for each in (key, refused)] == [econtext.EcontextError] * 2
    assert (isinstance(key, KeyError), key.args) == (True, ('k',))
    assert (isinstance(refused, raising.Refused), refused.code) == (True, 5)
    assert (type(left), left.code) == (econtext.CallError, 3)
    assert 'raise KeyError(value)' in key.remote_traceback
    assert {each.context for each in (error, inner, gone, key, left)} == {context.name}
    assert isinstance(error_of(context, raising.group, 'ExceptionGroup'), kinds['ExceptionGroup'])
    assert context.call(len, 'abc') == 3


EXCEPT_STAR = """
try:
    call()
except* KeyError as error:
    caught.append(error)
except* FileNotFoundError as error:
    caught.append(error)
except* econtext.CallError as error:
    caught.append(error)
"""


@pytest.mark.skipif(sys.version_info < (3, 11), reason='groups of exceptions are of Python 3.11')
def test_except_star_takes_groups_apart(broker: econtext.Broker) -> None:
    context = broker.local()
    caught: list[Any] = []
    exec(EXCEPT_STAR, {'call': lambda: context.call(raising.group), 'caught': caught, 'econtext': econtext})
    keys, files, others = caught
    assert [type(each) for each in caught] == [type(keys)] * 3
    assert [each.args for each in keys.exceptions[0].exceptions] == [('k',)]
    assert files.exceptions[0].errno == errno.ENOENT
    assert len(others.exceptions[0].exceptions) == 2


@NEWER
def test_groups_arrive_in_contexts_too(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    context = broker.local(python=python)
    broker.allow(raising.group)
    if sys.version_info >= (3, 11):
        told = context.options(timeout=30).call(raising.ask_group)
        assert told[0][:4] == ['CallError', 'CallError', 'EcontextError', 'ExceptionGroup']
        assert told[1:] == ('CallError', errno.ENOENT, True, ['KeyError', 'Refused'], True, ('k',))
    below = context.local(python=python)
    told = context.options(timeout=60).call(raising.ask_group, below)
    assert told[0][:4] == ['CallError', 'CallError', 'EcontextError', 'ExceptionGroup']
    # What comes from below chooses among the built-in ones only.
    assert told[1:] == ('CallError', errno.ENOENT, True, ['KeyError', 'CallError'], True, ('k',))


@pytest.mark.skipif(sys.version_info < (3, 11), reason='groups of exceptions are of Python 3.11')
@pytest.mark.parametrize('python', ['2.7', '3.6'], indirect=True)
def test_an_old_context_has_the_members_of_a_group(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    broker.allow(raising.group)
    told = broker.local(python=python).options(timeout=30).call(raising.ask_group)
    assert 'ExceptionGroup' not in told[0]
    assert told[1:4] == ('CallError', errno.ENOENT, True)


@ENDS
@pytest.mark.parametrize('kind', ['OSError', 'IOError', 'socket', 'select'])
def test_errors_of_the_system_are_told_by_their_number(
    broker: econtext.Broker, python: pythons.Interpreter, kind: str
) -> None:
    context = broker.local(python=python)
    with pytest.raises(FileNotFoundError) as caught:
        context.call(raising.by_number, kind, 'ENOENT')
    assert caught.value.errno == errno.ENOENT
    assert isinstance(caught.value, econtext.CallError)
    with pytest.raises(BlockingIOError):
        context.call(raising.by_number, kind, 'EAGAIN')
    with pytest.raises(ConnectionResetError):
        context.call(raising.by_number, kind, 'ECONNRESET')
    assert error_of(context, raising.by_number, kind, 'ENOSPC').errno == errno.ENOSPC
    late = error_of(context, raising.by_number, kind, 'ETIMEDOUT')
    assert not isinstance(late, TimeoutError), 'it would be taken for the time of the caller'
    assert late.errno == errno.ETIMEDOUT or late.args[0] == errno.ETIMEDOUT


@ENDS
def test_registered_exceptions_arrive_with_their_attributes(
    broker: econtext.Broker, python: pythons.Interpreter
) -> None:
    context = broker.local(python=python)
    with pytest.raises(raising.Refused) as caught:
        context.call(raising.refused, 5, 'because')
    error: Any = caught.value
    assert isinstance(error, econtext.CallError)
    assert (error.code, error.reason, error.message) == (5, 'because', 'refused with 5')
    assert 'In context' in str(error)


def test_a_registered_exception_has_no_say_in_how_it_arrives(broker: econtext.Broker) -> None:
    error = error_of(broker.local(), raising.watchful, 8)
    assert isinstance(error, raising.Watchful)
    assert (error.number, error.args, error.message) == (8, (8,), 'watchful')  # type: ignore[attr-defined]
    assert {error: 1}[error] == 1
    assert not hasattr(error, 'no_such_thing')
    assert ''.join(traceback.format_exception(error))


def test_what_is_no_plain_value_is_left_out(broker: econtext.Broker) -> None:
    error = error_of(broker.local(), raising.odd, status=404, tags=['a', ('b', {1: 2.5})], context='own')
    assert type(error) is econtext.CallError
    assert (error.status, error.tags) == (404, ['a', ('b', {1: 2.5})])
    assert error.context != 'own', 'our own attributes are what they are'
    for name in 'handle', '_private':
        assert not hasattr(error, name)


def test_the_class_of_an_error_is_made_once(broker: econtext.Broker) -> None:
    context = broker.local()
    kinds = {type(error_of(context, raising.called, number, 'x', None)) for number in range(1, 4)}
    assert len(kinds) == 1


def test_copies_and_pickles_are_of_the_same_type(broker: econtext.Broker) -> None:
    context = broker.local()
    calls_that_fail: list[tuple[Any, ...]] = [
        (raising.called, 1, ['x'], 'y'), (raising.by_number, 'OSError', 'ENOENT'), (raising.key, 'k'),
        (raising.refused, 1, 'r'), (raising.undecodable,), (raising.missing_option,), (raising.web,),
        (raising.leave, 3), (calls.fail, 'SyntaxError', 'odd'), (raising.odd,)]
    for function, *args in calls_that_fail:
        error = error_of(context, function, *args)
        for again in copy.copy(error), copy.deepcopy(error), *(
                pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)):
            assert type(again) is type(error)
            assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))
            assert again.remote_traceback == error.remote_traceback
            for name in 'errno', 'filename', 'code', 'start', 'object':
                assert getattr(again, name, None) == getattr(error, name, None)


# -- what a context can do with it -------------------------------------------


def told(*types: Any, arguments: Any = (), **attributes: Any) -> Any:
    return raised.call_error('c', ('x.Y', 'text', 'Trace', list(types), arguments, attributes))


def test_nothing_is_imported_for_a_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, 'antigravity', raising=False)
    monkeypatch.delitem(sys.modules, 'mailbox', raising=False)
    monkeypatch.setattr('webbrowser.open', lambda *args: pytest.fail('it was imported'))
    for place in ('mailbox', 'Error'), ('antigravity', 'x'), ('no.such', 'Thing'), ('pytest', 'UsageError'):
        assert type(told(place, 'Exception')) is econtext.CallError
    ''.join(traceback.format_exception(told('ImportError', name='antigravity', name_from='x')))
    assert not {'antigravity', 'mailbox', 'no'}.intersection(sys.modules)


def test_only_exceptions_are_found() -> None:
    places = [
        ('subprocess', 'Popen'), ('subprocess', 'run'), ('os', 'environ'), ('threading', 'Thread'),
        ('http.client', '__dict__'), ('subprocess', 'os.error'), 'KeyboardInterrupt', 'BaseException', 'print', 'type',
    ]  # fmt: skip
    for place in places:
        assert type(told(place)) is econtext.CallError


def test_a_module_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http.client, '__getattr__', lambda name: pytest.fail('asked'), raising=False)
    assert type(told(('http.client', 'NoSuchError'))) is econtext.CallError


def test_what_would_be_taken_for_something_else_is_a_plain_error() -> None:
    broken = concurrent.futures.process.BrokenProcessPool.__module__
    for place in ('StopIteration', 'TimeoutError', ('concurrent.futures._base', 'CancelledError'), 'ExceptionGroup',
                  ('concurrent.futures._base', 'BrokenExecutor'), (broken, 'BrokenProcessPool')):
        assert type(told(place, 'OSError')) is econtext.CallError


@pytest.mark.parametrize('described', [
    (), (1,), ('a', 'b', 'c'), ('a', 'b', 'c', 3), ('a', 'b', 'c', [1], ()), ('a', 'b', 'c', [(1, 2)], ()),
    ('a', 'b', 'c', [('x',)], ()), ('a', 'b', 'c', [], 3), ('a', 'b', 'c', [], (), 3), ('a', 'b', 'c', None, ()),
])  # fmt: skip
def test_what_is_no_description_is_refused(described: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        raised.call_error('c', described)


def test_attributes_of_the_wrong_type_do_no_harm() -> None:
    error = told('UnicodeDecodeError', object=3, start='x', end=2**70, reason=[], with_traceback=3, add_note=4,
                 split=5, __class__=int, __cause__=3)
    assert callable(error.with_traceback)
    traceback.format_exception(error)
    error = told('OSError', arguments=('x', 'y'), errno='z', characters_written='w', filename=None)
    assert isinstance(error, OSError)
    error = told('SyntaxError', filename='a\x1b[2J', text='\u202e', lineno='x', offset=None)
    assert all(line.isprintable() for line in ''.join(traceback.format_exception(error)).splitlines())
    traceback.format_exception(told('SyntaxError', filename=3, text=4, lineno=2, offset=5, end_lineno=[]))


# -- bounds ------------------------------------------------------------------


@ENDS
def test_what_an_exception_holds_is_cut(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    context = broker.local(python=python)
    sizes: list[int] = []
    finish = context._node.broker.router.answer

    def answer(src: int, handle: int, kind: int, body: bytes) -> None:
        sizes.append(len(body))
        finish(src, handle, kind, body)

    context.call(len, 'abc')
    context._node.broker.router.answer = answer  # type: ignore[method-assign]
    text = error_of(context, raising.large, 'text', 50_000_000)
    assert text.message.startswith('<xxx')
    assert text.message.endswith('xxx>')
    assert '(48951426 characters are left out)' in text.message
    assert isinstance(text, ValueError)
    assert text.args == (text.message,)
    assert max(sizes) < 1_100_000, 'it is sent once'
    error = error_of(context, raising.large, 'attribute', 5_000_000)
    assert 1 << 20 <= len(error.output) < (1 << 20) + 100
    assert error_of(context, raising.large, 'list', 5_000_000).message == 'x'
    assert error_of(context, raising.large, 'shared', 0).message == 'x'
    assert len(error_of(context, raising.large, 'name', 5_000_000).type_name) < 300
    many = error_of(context, raising.large, 'many', 50_000_000)
    assert len([name for name in vars(many) if name[0] == 'n' and name[1:].isdigit()]) <= 100
    assert max(sizes) < 6_000_000


@ENDS
def test_a_deep_failure_shows_its_ends(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    error = error_of(broker.local(python=python), raising.deep_failure, 5000)
    lines = error.remote_traceback.splitlines()
    assert len(lines) < 300
    assert 'calls are left out' in error.remote_traceback
    assert 'in deep_failure' in error.remote_traceback
    assert lines[-1] == 'ValueError: at the bottom'


# -- an answer, whatever is raised -------------------------------------------


@pytest.mark.parametrize('threads', [1, 3])
@ENDS
def test_whatever_is_raised_there_is_answered(
    broker: econtext.Broker, python: pythons.Interpreter, threads: int
) -> None:
    context = broker.local(python=python, threads=threads)
    pid = context.call(calls.os.getpid)
    for name in raising.HOSTILE:
        error = error_of(context, raising.hostile, name)
        str(error)
        assert context.call(calls.os.getpid) == pid, name
    with pytest.raises(econtext.CallError):
        list(context.stream(raising.hostile, 'silent'))


@ENDS
def test_whatever_a_function_of_the_program_raises_is_answered(
    broker: econtext.Broker, python: pythons.Interpreter
) -> None:
    context = broker.local(python=python).options(timeout=60)
    names: list[str]
    broker.allow(raising.hostile, raising.leave, raising.large, calls.deep, calls.unencodable)
    for name in [*raising.HOSTILE, 'qualified']:
        names, *_ = context.call(raising.ask, 'travel.raising.hostile', name)
        assert names[1] == 'CallError', name
    names, *_ = context.call(raising.ask, 'travel.raising.leave', 3)
    assert 'CallError' in names
    assert len(context.call(raising.ask, 'travel.raising.large', 'text', 5_000_000)[1]) < 1_100_000
    assert 'nested too deeply' in context.call(raising.ask, 'travel.calls.deep', 1000)[1]
    assert 'cannot cross' in context.call(raising.ask, 'travel.calls.unencodable', 'object')[1]


@ENDS
def test_what_a_function_of_the_program_raises_arrives_as_itself(
    broker: econtext.Broker, python: pythons.Interpreter
) -> None:
    context = broker.local(python=python).options(timeout=60)
    broker.allow(raising.key, raising.by_number, raising.refused, raising.called)
    assert context.call(raising.ask_key, 'k') == (True, 'k')
    assert context.call(raising.ask_missing, 'OSError', 'ENOENT') == errno.ENOENT
    assert context.call(raising.ask_refused, 4) == (True, 4, 'why', 'Refused: refused with 4')
    names, _, _, attributes = context.call(raising.ask, 'travel.raising.called', 3, 'cmd', 'out')
    assert 'CalledProcessError' in names
    assert ('returncode', 3) in attributes


@ENDS
def test_what_is_raised_below_a_context_arrives_there(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    above = broker.local(python=python)
    below = above.local(python=python)
    names, text, code = above.call(raising.below, below, 'refused', 5, 'x')
    assert names[:2] == ['CallError', 'CallError']
    assert 'refused with 5' in text
    assert code == 5
    names, _, _ = above.call(raising.below, below, 'key', 'x')
    assert 'KeyError' in names
    names, *_ = above.call(raising.below, below, 'undecodable')
    assert 'UnicodeDecodeError' in names


def test_a_call_of_the_program_for_which_there_is_no_thread_is_answered(
    broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = broker.local().options(timeout=60)
    broker.allow(raising.key)
    assert context.call(raising.ask_key, 'k') == (True, 'k')
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name.startswith('econtext '):
            raise RuntimeError("can't start new thread")
        start(self)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, 'start', refuse)
        for _ in range(20):
            with pytest.raises(econtext.CallError, match='has no thread'):
                context.call(raising.ask_key, 'k')
    assert context.call(raising.ask_key, 'k') == (True, 'k')


def test_a_module_that_we_fail_to_find_is_answered(broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    context = broker.local().options(timeout=60)

    def fail(*args: Any) -> None:
        raise SystemError('a defect')

    monkeypatch.setattr(sys, 'excepthook', lambda *args: None)
    monkeypatch.setattr(threading, 'excepthook', lambda *args: None)
    with monkeypatch.context() as patch:
        patch.setattr(broker._tree.modules, 'answer', fail)
        with pytest.raises(econtext.CallError):
            context.call(__import__, 'no_such_module')
    assert context.call(len, 'abc') == 3


# -- depth -------------------------------------------------------------------


@pytest.mark.parametrize('kind', ['list', 'tuple', 'dict'])
def test_one_limit_of_nesting_both_ways(broker: econtext.Broker, python: pythons.Interpreter, kind: str) -> None:
    context = broker.local(python=python)
    channel = context.channel()
    make: Any = {
        'list': lambda value: [value], 'tuple': lambda value: (value,), 'dict': lambda value: {'k': value}}[kind]
    value: Any = 'c'  # what code objects are told from
    for _ in range(200):
        value = make(value)
    assert context.call(calls.echo, value) == value
    assert context.call(calls.echo, value=value) == value
    channel.send(value)
    sent = context.call(calls.echo, 1)
    assert sent == 1
    for deeper in (1, 800, 990, 5000):
        for _ in range(deeper):
            value = make(value)
        for send in (lambda value: context.call(calls.echo, value), lambda value: context.submit(calls.echo, a=value),
                     channel.send, lambda value: context.stream(calls.echo, value)):  # fmt: skip
            with pytest.raises(ValueError, match='nested too deeply') as caught:
                send(value)
            assert not isinstance(caught.value, econtext.CallError)
    for levels in 201, 300, 500, 5000:
        with pytest.raises(econtext.CallError, match='ValueError: the result is nested'):
            context.call(calls.deep, levels)
    assert context.call(calls.echo, 1) == 1
