"""What is told of exceptions within an exception: all of them within bounds, and never fewer in silence."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.child import failure, nested, particulars
from econtext.controller.protocol import values
from econtext.controller.session.results import description
from econtext.core.codec import encode
from econtext.parent.values import decode

pytestmark = [
    pytest.mark.deadline(600),  # 2000 examples take their time
    pytest.mark.skipif('ExceptionGroup' not in vars(builtins), reason='groups of exceptions are of Python 3.11'),
]
Group: Any = vars(builtins).get('ExceptionGroup')


def told(error: BaseException, traced: bool = True) -> Any:
    """Return the description of `error` as it arrives: one that the program takes, and that goes down too."""
    kind = type(error)
    described = ('E', 'm', '', particulars.types_of(kind), *particulars.plainly(kind, error, 'm'))
    if particulars.errors(kind, error):
        described += nested.inner(kind, error, failure.entries if traced else None),
    values.encode(described, 'an error')
    return description(decode(encode(described)))


def shape(described: Any) -> Any:
    """Return the message and the members of a group, of another its name."""
    if len(described) > 6 and 'exceptions' in described[6]:
        return described[4][0], [shape(each) for each in described[6]['exceptions']]
    return described[0]


def count(described: Any) -> int:
    inner = described[6] if len(described) > 6 else {}
    return 1 + sum(count(each) for held in inner.values() for each in (held if isinstance(held, list) else [held]))


ERRORS = st.sampled_from([ValueError, KeyError, OSError]).map(lambda kind: kind('x'))
GROUPS: Any = st.recursive(
    ERRORS, lambda inner: st.builds(Group, st.text(max_size=3), st.lists(inner, min_size=1, max_size=4)), max_leaves=30
) if Group else st.nothing()


@given(GROUPS)
def test_each_member_is_told(error: Any) -> None:
    def expected(error: Any) -> Any:
        if isinstance(error, Group):
            return error.message, [expected(each) for each in error.exceptions]
        return 'E' if error is top else type(error).__name__

    top = error
    assert shape(told(error)) == expected(error)


def test_an_exception_that_holds_none_is_told_as_before() -> None:
    assert len(told(ValueError('x'))) == 6
    error = ValueError('x')
    error.found = []  # type: ignore[attr-defined]
    error.mixed = [ValueError(), 5]  # type: ignore[attr-defined]
    assert len(told(error)) == 6


def test_attributes_that_are_exceptions_are_told() -> None:
    error = ValueError('x')
    error.reason = OSError(2, 'gone')  # type: ignore[attr-defined]
    error.tries = (KeyError('k'), Group('g', [KeyError('l')]))  # type: ignore[attr-defined]
    error._own = KeyError()  # type: ignore[attr-defined]
    inner = told(error)[6]
    assert set(inner) == {'reason', 'tries'}
    assert (inner['reason'][3][0], inner['reason'][4]) == ('FileNotFoundError', (2, 'gone'))
    assert [shape(each) for each in inner['tries']] == ['KeyError', ('g', ['KeyError'])]


def test_tracebacks_stay_here_where_they_are_not_asked_for() -> None:
    try:
        raise ValueError('secret line')
    except ValueError as error:
        group = Group('g', [error])
    assert 'secret line' in told(group)[6]['exceptions'][0][2]
    assert told(group, traced=False)[6]['exceptions'][0][2] == ''


def test_more_members_than_there_may_be_are_counted() -> None:
    told_of = told(Group('g', [ValueError(number) for number in range(5000)]))[6]['exceptions']
    assert len(told_of) == nested.MOST + 1
    assert told_of[-1][1] == '4000 more exceptions are left out'


@pytest.mark.parametrize('make', [
    lambda levels: Group('g', [make_deep(levels)]), lambda levels: shared(levels), lambda levels: circular(levels),
    lambda levels: Group('g', [Group('h', [ValueError('x' * 100_000)] * 100)] * 20),
    lambda levels: many_lists(),
], ids=['deep', 'shared', 'circular', 'large', 'many lists'])
def test_whatever_it_holds_it_has_a_bound_and_is_taken(make: Any) -> None:
    described = told(make(40))
    assert 1 < count(described) <= nested.MOST * 2 + 1
    assert len(encode(described)) < nested.ROOM * 2


def make_deep(levels: int) -> Any:
    return Group('g', [make_deep(levels - 1), KeyError()]) if levels else ValueError()


def shared(levels: int) -> Any:
    value: Any = ValueError()
    for _ in range(min(levels, 8)):
        value = Group('g', [value] * 8)
    return value


def circular(levels: int) -> Any:
    error, other = ValueError(), KeyError()
    error.other = other  # type: ignore[attr-defined]
    other.others = [error] * 5  # type: ignore[attr-defined]
    return error


def many_lists() -> Any:
    error = ValueError()
    for number in range(90):
        setattr(error, f'n{number}', [many() for _ in range(20)])
    return error


def many() -> Any:
    error = KeyError()
    for number in range(50):
        setattr(error, f'n{number}', [ValueError()] * 3)
    return error


def test_one_that_cannot_be_described_costs_itself_alone() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError
        __repr__ = __str__

    class Meta(type):
        def __getattribute__(cls, name: str) -> Any:
            raise RuntimeError

    class Masked(Exception, metaclass=Meta):
        pass

    found = told(Group('g', [Silent(), Masked(), KeyError('k')]))[6]['exceptions']
    assert len(found) == 3
    assert found[2][0] == 'KeyError'


class Backport(Exception):
    """As the package exceptiongroup of PyPI has it."""

    _message: str
    _exceptions: tuple[BaseException, ...]


Backport.__module__, Backport.__name__, Backport.__qualname__ = 'exceptiongroup', *['BaseExceptionGroup'] * 2


def test_groups_of_older_pythons_are_told_too() -> None:
    error = Backport('ignored')
    error._message, error._exceptions = 'all', (ValueError('x'),)
    found = told(error)
    assert (found[3][0], found[4]) == (('exceptiongroup', 'BaseExceptionGroup'), ('all',))
    assert len(found[6]['exceptions']) == 1
