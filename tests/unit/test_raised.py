"""The exception that a caller gets: of which type it is, what it holds, and that nothing of its class runs."""

from __future__ import annotations

import concurrent.futures
import copy
import json
import pickle
import subprocess
import sys
from typing import Any

import pytest

import econtext
from econtext.controller.raised import CallError, call_error, find, known, made_of


class Odd(Exception):
    """An exception of the program, none of whose code may run."""

    def __init__(self, *args: Any) -> None:
        raise AssertionError('a constructor ran')

    def __setattr__(self, name: str, value: Any) -> None:
        raise AssertionError('a setter ran')

    def __getattr__(self, name: str) -> Any:
        raise AssertionError('a getter ran')

    @property
    def number(self) -> int:
        raise AssertionError('a property ran')

    def method(self) -> str:
        return 'a method'


econtext.register(Odd, reduce=lambda error: (), restore=lambda: None)
HOME = Odd.__module__, 'Odd'


def made(types: Any, arguments: Any = None, attributes: Any = None, message: str = 'text', hint: str = '') -> Any:
    return call_error('web', ('app.Odd', message, 'Traceback', types, arguments, attributes or {}), hint)


# -- types -------------------------------------------------------------------


@pytest.mark.parametrize(('types', 'kind'), [
    (['ValueError', 'Exception'], ValueError), ([('app', 'Odd'), 'KeyError'], KeyError), ([HOME], Odd),
    ([('subprocess', 'CalledProcessError')], subprocess.CalledProcessError), (['Exception', 'ValueError'], None),
    ([('json.decoder', 'JSONDecodeError')], json.JSONDecodeError), ([('app', 'Odd')], None), ([], None),
    (['BaseException', 'ValueError'], None), (['int', 'ValueError'], ValueError), (['print', 'no'], None),
    (['StopIteration', 'ValueError'], None), (['TimeoutError', 'OSError'], None), (['KeyboardInterrupt'], None),
    (['SystemExit'], None), ([('ConfigParser', 'NoSectionError'), 'ValueError'], ValueError),
    ([('concurrent.futures._base', 'CancelledError'), 'ValueError'], None), ([('sys', 'modules')], None),
])  # fmt: skip
def test_the_first_type_that_is_known_here_is_it(types: Any, kind: Any) -> None:
    sys.modules.pop('configparser', None)
    assert known(types) is kind
    error = made(types)
    assert isinstance(error, CallError)
    assert isinstance(error, kind or CallError)
    if kind is None:
        assert type(error) is CallError


def test_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, 'wave', raising=False)
    assert find(('wave', 'Error')) is None
    assert 'wave' not in sys.modules


def test_no_module_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(name: str) -> Any:
        raise AssertionError('a module was asked')

    monkeypatch.setattr(json, '__getattr__', ask, raising=False)
    assert find(('json', 'NoSuch')) is None
    assert find((__name__, 'Odd')) is Odd


@pytest.mark.parametrize('name', [(5, 'x'), ('x', 5), ('x', None)])
def test_a_name_is_a_text(name: Any) -> None:
    with pytest.raises(ValueError, match='no text'):
        find(name)


def test_names_of_python_2_are_those_of_now() -> None:
    import queue

    assert find(('Queue', 'Empty')) is queue.Empty
    assert find(('_pickle', 'PicklingError')) is pickle.PicklingError


def test_no_end_of_a_loop_and_no_time_of_the_caller_is_one() -> None:
    for kind in (StopIteration, StopAsyncIteration, TimeoutError, concurrent.futures.CancelledError, GeneratorExit,
                 concurrent.futures.BrokenExecutor, KeyboardInterrupt, BaseException):
        assert made_of(kind) is None
    assert made_of(ValueError) is made_of(ValueError)


# -- what it holds -----------------------------------------------------------


def test_it_has_the_arguments_and_attributes_as_they_came() -> None:
    error = made(['ValueError'], ('a', 5), {'extra': [1], 'n': None})
    assert (error.args, error.extra, error.n) == (('a', 5), [1], None)
    assert made(['ValueError']).args == ('text',)
    assert made([]).args == ('text',)


def test_nothing_of_its_class_runs() -> None:
    error = made([HOME], ('a',), {'number': 5, 'method': 'x', 'plain': 1})
    assert type(error).__mro__[2:4] == (Odd, Exception) or isinstance(error, Odd)
    assert error.args == ('a',)
    assert error.plain == 1
    assert error.method() == 'a method'     # one stays one
    assert 'method' not in error.__dict__
    with pytest.raises(AttributeError):
        _ = error.missing


def test_ours_are_ours() -> None:
    forged = dict.fromkeys(('context', 'type_name', 'message', 'remote_traceback', 'hint'), 'forged')
    error = made(['ValueError'], ('a',), forged)
    assert (error.context, error.type_name, error.message, error.remote_traceback, error.hint) == (
        'web', 'app.Odd', 'text', 'Traceback', '')


@pytest.mark.parametrize(('name', 'usable'), [
    ('plain', True), ('_private', False), ('__class__', False), ('no name', False), ('args', False), ('obj', False)])
def test_only_names_that_tell_something_are_set(name: str, usable: bool) -> None:
    error = made(['ValueError'], ('a',), {name: 'set'})
    assert (error.__dict__.get(name) == 'set') is usable
    assert error.args == ('a',)


def test_errors_of_the_system_are_told_by_their_number() -> None:
    assert isinstance(made(['OSError'], (2, 'none'), {'errno': 2}), FileNotFoundError)
    old = made(['OSError'], (13, 'denied', '/x'))
    assert isinstance(old, PermissionError)
    assert (old.errno, old.strerror, old.filename) == (13, 'denied', '/x')
    assert type(made(['OSError'], ('x',)))._kind is OSError
    assert type(made(['OSError'], (10**6, 'x')))._kind is OSError


def test_what_no_honest_error_holds_is_left_out() -> None:
    error = made(['UnicodeDecodeError'], None, {'start': 'x', 'object': 'ab', 'end': 1 << 80})
    assert error.object == b'ab'
    assert error.start != 'x'


@pytest.mark.parametrize('described', [
    ('E', 'm', 't', [], [], {}), ('E', 'm', 't', [], 'x', {}), ('E', 'm', 't', [], None, []), ('E', 'm', 't')])
def test_what_is_no_description_is_refused(described: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- of whatever text: it goes to nobody
        call_error('web', described)


def test_a_syntax_error_shows_nothing_that_steers() -> None:
    error = made(['SyntaxError'], None, {'filename': 'a\x1b', 'text': 'b\x1b', 'lineno': 5})
    assert (error.filename, error.text, error.lineno) == ('a\\x1b', 'b\\x1b', 5)
    assert error.msg.startswith('app.Odd: text')


# -- its text and its copies -------------------------------------------------


def test_the_text_says_what_where_and_what_to_do() -> None:
    assert str(made(['ValueError'], hint='Do that.')) == 'app.Odd: text\nDo that.\n\nIn context web:\nTraceback'
    assert str(CallError('web', 'E', 'a\x1b', 't\x1b')) == 'E: a\\x1b\n\nIn context web:\nt\\x1b'
    assert str(CallError('web', 'E', 'm', '')) == 'E: m\n\nIn context web:'


@pytest.mark.parametrize('way', [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
@pytest.mark.parametrize('types', [['ValueError'], [('subprocess', 'CalledProcessError')], [], ['OSError'], [HOME]])
def test_a_copy_is_the_same(way: Any, types: Any) -> None:
    error = made(types, (2, 'a'), {'returncode': 5, 'plain': [1], 'errno': 2}, hint='Do that.')
    error.__dict__['later'] = 'set by the program'
    found = way(error)
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert found.__dict__ == error.__dict__
    assert found.args == error.args
