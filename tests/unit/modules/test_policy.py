"""What allow_modules= and deny_modules= say of a module."""

from __future__ import annotations

from typing import Any

import pytest

from econtext.controller.errors import NotAllowed
from econtext.controller.modules import policy
from econtext.controller.modules.policy import Policy

DENIED = 'module {} is not to leave this program: deny_modules= of its Broker names it'
UNNAMED = 'module {} is not to leave this program: allow_modules= of its Broker does not name it'


def test_unless_told_otherwise_all_may_leave() -> None:
    plain = Policy()
    assert not plain.is_set
    assert plain.objection('app.secrets') == ''
    plain.check('app.secrets')
    assert not plain.denies('app.secrets')
    assert plain.verdicts == {}


@pytest.mark.parametrize(('options', 'is_set'), [
    ({'allow': []}, True), ({'allow': ['a']}, True), ({'deny': ['a']}, True), ({'deny': []}, False), ({}, False)])
def test_an_empty_list_of_what_may_leave_is_a_list(options: Any, is_set: bool) -> None:
    assert Policy(**options).is_set is is_set


@pytest.mark.parametrize(('pattern', 'name', 'denied'), [
    ('app', 'app', True), ('app', 'app.settings', True), ('app', 'app.a.b', True), ('app', 'apple', False),
    ('app', 'other.app', False), ('app.settings', 'app', False), ('app.settings', 'app.settings.local', True),
    ('app.settings', 'app.other', False), ('*.settings', 'app.settings', True), ('*.settings', 'app.settings.x', True),
    ('*.settings', 'settings', False), ('app.*', 'app', False), ('app.*', 'app.x', True), ('APP', 'app', False),
    ('a?p', 'app', True), ('[ab]pp', 'app.x', True), ('*', 'any', True), ('json', 'json', True),
])  # fmt: skip
def test_what_is_denied_does_not_leave(pattern: str, name: str, denied: bool) -> None:
    made = Policy(deny=['never', pattern])
    assert made.denies(name) is denied
    assert made.objection(name) == (DENIED.format(name) if denied else '')
    assert made.objection(name) == (DENIED.format(name) if denied else '')      # as it was said before
    if denied:
        with pytest.raises(NotAllowed, match=f'module {name.replace(".", "[.]")} is'):
            made.check(name)
    else:
        made.check(name)


@pytest.mark.parametrize(('name', 'allowed'), [
    ('app', True), ('app.x.y', True), ('lib', False), ('lib.a', True), ('lib.a.b', True), ('other', False),
    ('json', True), ('json.decoder', True), ('os.path', True), ('jsonx', False), ('x.json', False),
])  # fmt: skip
def test_what_is_not_allowed_does_not_leave(name: str, allowed: bool) -> None:
    made = Policy(allow=['app', 'lib.*'])
    assert made.objection(name) == ('' if allowed else UNNAMED.format(name))
    assert not made.denies(name)


def test_what_is_denied_and_allowed_is_denied() -> None:
    made = Policy(allow=['app'], deny=['app.settings', 'json'])
    assert made.objection('app') == ''
    assert made.objection('app.settings') == DENIED.format('app.settings')
    assert made.objection('json.decoder') == DENIED.format('json.decoder')


@pytest.mark.parametrize('name', ['econtext', 'econtext.core.wire'])
def test_our_own_modules_are_no_question(name: str) -> None:
    assert Policy(allow=[], deny=['*']).objection(name) == ''
    assert Policy(allow=[], deny=['*']).objection('econtextual') != ''


def test_the_program_is_known_by_both_its_names() -> None:
    made = Policy(deny=['__main__'], main='prog')
    assert made.objection('prog') == DENIED.format('prog')
    assert made.objection('program') == ''
    assert Policy(deny=['prog'], main='prog').objection('prog') != ''
    assert Policy(allow=['__main__'], main='prog').objection('prog') == ''
    assert Policy(allow=['__main__'], main='prog').objection('prog.part') == UNNAMED.format('prog.part')
    assert Policy(allow=['tools'], main='tools.prog').objection('tools.prog') == UNNAMED.format('tools.prog')
    assert Policy().main == ''


def test_verdicts_are_remembered_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, 'MOST', 3)
    made = Policy(deny=['no'])
    for name in ('a', 'b', 'no'):
        made.objection(name)
    assert made.verdicts == {'a': '', 'b': '', 'no': DENIED.format('no')}
    made.objection('a')
    assert len(made.verdicts) == 3
    made.objection('c')
    assert made.verdicts == {'c': ''}
    made.verdicts['c'] = 'as it was found'
    assert made.objection('c') == 'as it was found'


@pytest.mark.parametrize('values', ['app', [5], ['a', None], [b'a']])
def test_what_is_no_list_of_names_is_refused(values: Any) -> None:
    with pytest.raises(TypeError, match='allow_modules= must be a list of names of modules, not '):
        Policy(allow=values)
    with pytest.raises(TypeError, match='deny_modules= must be a list of names of modules, not '):
        Policy(deny=values)


def test_lists_are_taken_as_they_are_now() -> None:
    names = ['app']
    made = Policy(allow=iter(names), deny=(name for name in ['app.x']))
    names.append('other')
    assert made.allow == ('app',)
    assert made.deny == ('app.x',)
