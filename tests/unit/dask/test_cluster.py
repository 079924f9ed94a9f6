"""How long a cluster waits for what, and what of a configuration crosses."""

from __future__ import annotations

import datetime

import pytest

pytest.importorskip('distributed')

from econtext.controller.dask.cluster import LONGEST_WAIT, plain, wait_before  # noqa: E402


def test_each_wait_is_twice_as_long_up_to_a_bound() -> None:
    waits = [wait_before(count) for count in range(9)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, LONGEST_WAIT, LONGEST_WAIT]
    assert wait_before(10**9) == LONGEST_WAIT


def test_a_configuration_is_made_of_plain_values() -> None:
    given = {'a': {'b': (1, 2.5, None, True)}, 3: [datetime.timedelta(seconds=5)]}
    assert plain(given) == {'a': {'b': [1, 2.5, None, True]}, '3': ['0:00:05']}
