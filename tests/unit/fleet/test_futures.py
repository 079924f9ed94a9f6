"""What comes of work on each host: a future ends once, whoever comes first."""

from __future__ import annotations

import concurrent.futures

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.controller.fleet.coordinator import Coordinator
from econtext.controller.fleet.futures import HostFuture, settle

OUTCOMES = st.none() | st.just(ValueError())


@given(st.lists(st.tuples(st.integers(), OUTCOMES), min_size=1, max_size=5))
def test_the_first_who_settles_it_does(outcomes: list[tuple[int, ValueError | None]]) -> None:
    future: concurrent.futures.Future[int] = concurrent.futures.Future()
    assert [settle(future, *each) for each in outcomes] == [True] + [False] * (len(outcomes) - 1)
    value, error = outcomes[0]
    assert future.exception(0) is error
    if error is None:
        assert future.result(0) == value


def test_one_that_was_cancelled_stays_so_and_who_waits_hears_of_it() -> None:
    future: HostFuture[int] = HostFuture('web1', Coordinator('econtext fleet'))
    ended: list[object] = []
    future._listen(ended.append)
    assert future.cancel()
    assert ended == [future]
    waits = concurrent.futures.wait([future], timeout=0)
    assert waits.not_done == {future}
    future._settle(3, None)
    assert future.cancelled()
    assert concurrent.futures.wait([future], timeout=0).done == {future}
    # A second time tells nobody.
    future._settle(3, None)
    assert ended == [future]


def test_it_cannot_be_cancelled_once_its_call_may_begin() -> None:
    future: HostFuture[int] = HostFuture('web1', Coordinator('econtext fleet'))
    assert future._may_begin()
    assert not future._may_begin()
    assert not future.cancel()
    call: concurrent.futures.Future[int] = concurrent.futures.Future()
    assert future.interrupt()
    future._began(call)
    # Interrupted before its call was known: that is given up by the means it has.
    assert call.cancelled()
    future._settle(None, KeyError())
    with pytest.raises(KeyError):
        future.result(0)
    assert not future.interrupt()
