"""What came of work on many hosts: a mapping, its failures, and the group that they are raised as."""

from __future__ import annotations

import builtins
import copy
import pickle
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import econtext

OUTCOMES = st.dictionaries(st.text(min_size=1), st.sampled_from(['done', 'failed', 'skipped']))


def results(outcomes: dict[str, str]) -> econtext.Results[str]:
    return econtext.Results(
        list(outcomes), {host: host for host, end in outcomes.items() if end == 'done'},
        {host: OSError(host) for host, end in outcomes.items() if end == 'failed'})


@given(OUTCOMES)
def test_each_host_is_in_exactly_one_part(outcomes: dict[str, str]) -> None:
    made = results(outcomes)
    assert list(made) == list(outcomes)
    assert len(made) == len(outcomes)
    parts = [*made.successes, *made.failures, *made.skipped]
    assert sorted(parts) == sorted(outcomes)
    for host, end in outcomes.items():
        assert host in made
        if end == 'done':
            assert made[host] == host
        else:
            with pytest.raises(OSError if end == 'failed' else econtext.EcontextError):
                made[host]


def test_another_name_is_a_key_error() -> None:
    made = results({'a': 'done', 'b': 'failed'})
    with pytest.raises(KeyError):
        made['c']
    assert 'c' not in made
    assert 7 not in made


@given(OUTCOMES)
def test_failures_are_raised_together(outcomes: dict[str, str]) -> None:
    made = results(outcomes)
    if not made.failures:
        assert made.raise_for_failures() is made
        return
    with pytest.raises(econtext.FleetError) as caught:
        made.raise_for_failures()
    assert caught.value.failures == made.failures
    assert list(caught.value.exceptions) == list(made.failures.values())
    assert f'{len(made.failures)} of {len(made)} hosts failed' in str(caught.value)


def test_the_error_is_a_group_where_python_has_groups() -> None:
    with pytest.raises(econtext.EcontextError) as caught:
        results({'a': 'failed', 'b': 'failed', 'c': 'skipped'}).raise_for_failures()
    error = caught.value
    assert isinstance(error, econtext.FleetError)
    assert '1 more were not begun' in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert list(again.failures) == ['a', 'b']
    assert str(copy.copy(error)) == str(error)
    if sys.version_info >= (3, 11):
        assert isinstance(error, builtins.ExceptionGroup)
        matched, rest = error.split(lambda each: str(each) == 'a')
        assert isinstance(matched, econtext.FleetError)
        assert isinstance(rest, econtext.FleetError)
        assert list(matched.failures) == ['a']
        assert list(rest.failures) == ['b']


def test_repr_shows_numbers_only() -> None:
    assert repr(results({'a': 'failed', 'b': 'done', 'c': 'skipped'})) == (
        '<econtext.Results: 1 succeeded, 1 failed, 1 skipped>')
