"""Files of many hosts: where each goes, and how a transfer ends that is interrupted or whose time is over."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from econtext.controller.errors import CallTimeout, EcontextError
from econtext.controller.fleet.transfers import Transfer, file_name, places_for, source_of

NAMES = st.text(st.sampled_from('ab./%2EF:@~') | st.characters(exclude_categories=['C', 'Z']), min_size=1, max_size=8)


@given(st.lists(NAMES, unique=True, max_size=8))
@example(['.', '..', 'a/b', 'a%2Fb', 'user@[::1]:22', 'grün', '~root', 'C:\\x', '%2E', 'c:\\X'])
def test_no_two_hosts_share_a_place(hosts: list[str]) -> None:
    names = [file_name(host) for host in hosts]
    assert len(set(names)) == len(hosts)
    for name in names:
        assert '/' not in name
        assert name not in ('', '.', '..')
    places = places_for(hosts, 'logs')
    assert list(places) == hosts
    # In a folder of its own, below the one that was named.
    assert [os.path.dirname(os.path.normpath(place)) for place in places.values()] == ['logs'] * len(hosts)
    assert all(place.endswith('/') for place in places.values())
    assert len({os.path.realpath(place) for place in places.values()}) == len(hosts)


def test_the_name_of_a_host_stands_where_it_is_asked_for() -> None:
    assert places_for(['a/b', '..'], Path('copies', '{host}.txt')) == {
        'a/b': 'copies/a%2Fb.txt', '..': 'copies/%2E%2E.txt'}
    assert places_for(['a'], '{host}/{host}') == {'a': 'a/a'}
    assert places_for([], 'logs') == {}


def test_two_hosts_that_would_meet_are_refused(tmp_path: Path) -> None:
    (tmp_path / 'b').symlink_to('a')
    with pytest.raises(ValueError, match="'a' and 'b' would be copied to one path"):
        places_for(['a', 'b'], tmp_path / '{host}')
    with pytest.raises(ValueError, match="'a' and 'c' would be copied to one path"):
        places_for(['a', 'b', 'c'], {'a': 'x', 'b': 'y', 'c': './z/../x'})


def test_a_mapping_has_a_path_for_each_host() -> None:
    assert places_for(['a'], {'a': 'x', 'other': 'y'}) == {'a': 'x'}
    with pytest.raises(ValueError, match="no path for 'b'"):
        places_for(['a', 'b'], {'a': 'x'})


@pytest.mark.parametrize('local', [None, 7, b'a', io.BytesIO(), ['a'], {'a': 3}])
def test_what_is_no_path_is_a_type_error(local: Any) -> None:
    with pytest.raises(TypeError, match='get'):
        places_for(['a'], local)


def test_what_is_copied_can_be_read_many_times(tmp_path: Path) -> None:
    assert source_of(io.BytesIO(b'text')) == b'text'
    assert source_of(b'text') == b'text'
    assert source_of(tmp_path) is tmp_path
    with pytest.raises(FileNotFoundError):
        source_of(tmp_path / 'missing')
    with pytest.raises(TypeError):
        source_of(7)


class FakeSeat:
    name = 'web1'

    def __init__(self) -> None:
        self.stopped: float | None = None

    def stop(self, grace: float) -> None:
        self.stopped = grace


def transfer() -> Transfer:
    return Transfer(FakeSeat(), 5.0, 1.0)  # type: ignore[arg-type]


def fail(seat: Any) -> Any:
    raise ConnectionError('of the work')


def test_a_transfer_ends_as_its_work_does() -> None:
    made = transfer()
    made.run(lambda seat: seat.name)
    assert made.result(0) == 'web1'
    made = transfer()
    made.run(fail)
    with pytest.raises(ConnectionError, match='of the work'):
        made.result(0)


def test_one_that_was_ended_says_why() -> None:
    made = transfer()
    made.interrupt(0.5)
    made.run(fail)
    with pytest.raises(EcontextError, match='web1: the transfer was interrupted'):
        made.result(0)
    made = transfer()
    made.expire()
    assert made.seat.stopped == 1.0
    made.run(fail)
    with pytest.raises(CallTimeout, match='web1: the transfer did not end within 5 s'):
        made.result(0)
