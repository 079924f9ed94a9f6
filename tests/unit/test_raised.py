"""The exception that a caller gets: of which type it is, what it holds, and that nothing of its class runs."""

from __future__ import annotations

import builtins
import concurrent.futures
import copy
import json
import pickle
import subprocess
import sys
import traceback
from typing import Any

import pytest

import econtext
from econtext.controller import raised
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

if raised.GROUP is not None:
    class OddGroup(raised.GROUP):  # type: ignore[misc, name-defined]
        """A group of the program, none of whose code may run."""

        def __new__(cls, *args: Any) -> Any:
            raise AssertionError('a constructor ran')

        exceptions = property(lambda self: 1 // 0)

    econtext.register(OddGroup, reduce=lambda error: (), restore=lambda: None)


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
def test_the_first_type_that_is_known_here_is_it(types: Any, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, 'configparser', raising=False)
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


# -- what is within it ---------------------------------------------------------

GROUPS = ['ExceptionGroup', 'BaseExceptionGroup', 'Exception']
MEMBER = 'ValueError', 'one', '', ['ValueError', 'Exception'], (1,), {}
newer = pytest.mark.skipif(raised.GROUP is None, reason='groups of exceptions are of Python 3.11')


def group(*members: Any, message: Any = 'all', attributes: Any = None, types: Any = GROUPS, **inner: Any) -> Any:
    return call_error('web', (
        'ExceptionGroup', 'all (2 sub-exceptions)', 'Trace', types, (message,), attributes or {},
        {'exceptions': list(members), **inner}))


@newer
def test_a_group_is_one_of_what_its_members_are() -> None:
    error = group(MEMBER, ('KeyError', "'k'", 't', ['KeyError'], ('k',), {}), attributes={'more': 5})
    assert isinstance(error, vars(builtins)['ExceptionGroup'])
    assert isinstance(error, CallError)
    assert (error.message, error.type_name, error.more) == ('all', 'ExceptionGroup', 5)
    assert [type(each).__bases__[1] for each in error.exceptions] == [ValueError, KeyError]
    assert [(type(each).__base__, each.args, each.context) for each in error.exceptions] == [
        (CallError, (1,), 'web'), (CallError, ('k',), 'web')]
    assert str(error) == 'ExceptionGroup: all (2 sub-exceptions)\n\nIn context web:\nTrace'
    assert error.args == ('all', list(error.exceptions))


@newer
def test_parts_of_a_group_are_of_its_kind() -> None:
    error = group(MEMBER, (*MEMBER[:3], ['KeyError'], ('k',), {}), attributes={'more': 5})
    error.__dict__['__notes__'] = ['a note']
    values, others = error.split(ValueError)
    assert type(values) is type(others) is type(error)
    assert (values.exceptions, others.exceptions) == (error.exceptions[:1], error.exceptions[1:])
    assert (values.context, values.remote_traceback, values.more) == ('web', 'Trace', 5)
    assert values.__notes__ == ['a note']
    assert error.subgroup(OSError) is None
    own = error.derive([ZeroDivisionError('mine')])
    assert [type(each) for each in own.exceptions] == [ZeroDivisionError]


@newer
def test_a_group_of_what_ends_a_program_is_an_exception_here() -> None:
    error = group((*MEMBER[:3], ['SystemExit', 'BaseException'], (3,), {'code': 3}), types=GROUPS[1:2])
    assert isinstance(error, vars(builtins)['BaseExceptionGroup'])
    assert isinstance(error, CallError)
    assert type(error.exceptions[0]) is CallError
    assert error.exceptions[0].code == 3


@newer
@pytest.mark.parametrize('inner', [
    {}, {'exceptions': []}, {'exceptions': MEMBER}, {'cause': [MEMBER]}], ids=['nothing', 'empty', 'one', 'other'])
def test_a_group_without_a_member_is_a_plain_error(inner: Any) -> None:
    error = call_error('web', ('ExceptionGroup', 'all', '', GROUPS, ('all',), {'exceptions': ()}, inner))
    assert type(error) is CallError
    assert error.args == ('all',)


@newer
def test_the_constructor_of_a_registered_group_does_not_run() -> None:
    error = group(MEMBER, types=[(HOME[0], 'OddGroup')])
    assert isinstance(error, OddGroup)
    assert len(error.exceptions) == 1


@pytest.mark.parametrize('message', [5, None, b'x', ['all']])
def test_a_message_that_is_no_text(message: Any) -> None:
    assert len(group(MEMBER, message=message).exceptions) == 1


def test_an_attribute_may_be_an_exception() -> None:
    error = call_error('web', ('URLError', 'no', '', ['OSError'], None, {'filename': None}, {
        'reason': ('OSError', 'gone', '', ['OSError'], (2, 'gone'), {}), 'tries': [MEMBER, MEMBER], '_own': MEMBER,
        'context': MEMBER, 'with_traceback': MEMBER, 'no name': MEMBER}))
    assert isinstance(error.reason, FileNotFoundError)
    assert isinstance(error.reason, CallError)
    assert [type(each).__bases__ for each in error.tries] == [(CallError, ValueError)] * 2
    assert error.context == 'web'
    assert callable(error.with_traceback)
    assert not {'_own', 'no name'} & set(error.__dict__)


def test_notes_are_shown_and_steer_nothing() -> None:
    error = made(['ValueError'], None, {'__notes__': ['a\x1b[2J', 5, 'b']})
    assert error.__notes__ == ['a\\x1b[2J', 'b']
    if sys.version_info >= (3, 11):
        assert ''.join(traceback.format_exception(error)).endswith('a\\x1b[2J\nb\n')
    assert made(['ValueError'], None, {'__notes__': 'text'}).__notes__ == []


# -- its text and its copies -------------------------------------------------


def test_the_text_says_what_where_and_what_to_do() -> None:
    assert str(made(['ValueError'], hint='Do that.')) == 'app.Odd: text\nDo that.\n\nIn context web:\nTraceback'
    assert str(CallError('web', 'E', 'a\x1b', 't\x1b')) == 'E: a\\x1b\n\nIn context web:\nt\\x1b'
    assert str(CallError('web', 'E', 'm', '')) == 'E: m\n\nIn context web:'


@newer
@pytest.mark.parametrize('way', [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_a_copy_of_a_group_is_the_same(way: Any) -> None:
    error = group(MEMBER, (*MEMBER[:5], {'n': 5}), attributes={'more': 5}, reason=MEMBER)
    found = way(error)
    assert type(found) is type(error)
    assert (str(found), found.more, found.message) == (str(error), 5, 'all')
    assert [str(each) for each in found.exceptions] == [str(each) for each in error.exceptions]
    assert (found.exceptions[1].n, found.reason.args) == (5, (1,))


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
