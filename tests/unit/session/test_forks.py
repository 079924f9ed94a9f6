"""Isolated calls, here: what an answer of a context is taken for, and what is not believed."""

from __future__ import annotations

import dataclasses
import subprocess
from typing import Any

import pytest

import econtext
from econtext.child import separate
from econtext.controller.errors import CorruptStream, ForkExited
from econtext.controller.runtime.deadlines import Expired
from econtext.controller.session import forks
from econtext.controller.session.results import SHORT
from econtext.core.codec import encode
from unit.fakes import FakePeer, FakeSession, later

DESCRIPTION: tuple[Any, ...] = ('ValueError', 'five', 'trace', ['ValueError', 'Exception'], ('five',), {})


@pytest.fixture
def peer() -> FakePeer:
    return FakeSession().add()


def install() -> None:
    """Stands for what was called."""


def get(peer: FakePeer, *answer: Any, deadline: float | None = None) -> Any:
    return forks.opened(peer, install, answer, deadline)  # type: ignore[arg-type]


def test_a_result(peer: FakePeer) -> None:
    done = get(peer, separate.RETURNED, 0, b'out', b'err', encode({'a': [1]}))
    assert done == econtext.ForkResult({'a': [1]}, b'out', b'err', 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        done.value = 5


def test_an_exception_has_the_output_beside(peer: FakePeer) -> None:
    with pytest.raises(ValueError, match='five') as caught:
        get(peer, separate.RAISED, 1, b'out', b'err', encode(DESCRIPTION))
    error: Any = caught.value
    assert (error.stdout, error.stderr, error.fork) == (b'out', b'err', econtext.ForkResult(None, b'out', b'err', 1))


def test_an_exception_keeps_what_it_calls_so_itself(peer: FakePeer) -> None:
    described = ('subprocess.CalledProcessError', '', '', [('subprocess', 'CalledProcessError')], (3, 'cmd'),
                 {'returncode': 3, 'cmd': 'cmd', 'output': 'its own', 'stderr': None})  # fmt: skip
    with pytest.raises(subprocess.CalledProcessError) as caught:
        get(peer, separate.RAISED, 1, b'out', b'err', encode(described))
    error: Any = caught.value
    assert (error.stdout, error.stderr, error.fork.stdout) == ('its own', None, b'out')


@pytest.mark.parametrize(('status', 'words'), [
    (0, 'with status 0'), (3, 'with status 3'), (-9, r'by signal 9 \(SIGKILL\)'), (-250, 'by signal 250'),
    (None, 'with a status that somebody else was told'),
])  # fmt: skip
def test_a_process_that_has_ended(peer: FakePeer, status: int | None, words: str) -> None:
    with pytest.raises(ForkExited, match=f'^peer1: the process of install ended {words}') as caught:
        get(peer, separate.EXITED, status, b'out', b'err', b'')
    assert (caught.value.returncode, caught.value.stdout, caught.value.stderr) == (status, b'out', b'err')
    with pytest.raises(ForkExited, match='max_output='):
        get(peer, separate.EXCEEDED, status, b'out', b'err', b'')


@pytest.mark.parametrize('answer', [
    (), ('returned',), ('other', 0, b'', b'', b''), (separate.EXITED, '0', b'', b'', b''),
    (separate.EXITED, True, b'', b'', b''), (separate.EXITED, 0, '', b'', b''),
    (separate.EXITED, 0, b'', b'', b'', b''),
    (separate.EXITED, 0, b'', b'', None), ([], 0, b'', b'', b''), (separate.RAISED, 0, b'', b'', encode(5)),
    (separate.RETURNED, 0, b'', b'', b'nonsense'),
])  # fmt: skip
def test_nonsense_ends_the_context(peer: FakePeer, answer: Any) -> None:
    with pytest.raises(CorruptStream, match='peer1: its answer makes no sense'):
        get(peer, *answer)
    assert peer.broker.corrupted


def test_no_answer_of_any_kind(peer: FakePeer) -> None:
    for answer in None, 5, [separate.EXITED, 0, b'', b'', b'']:
        with pytest.raises(CorruptStream):
            forks.opened(peer, install, answer)  # type: ignore[arg-type]


def test_a_value_is_not_decoded_beyond_the_deadline(peer: FakePeer) -> None:
    body = encode([5] * SHORT)
    with pytest.raises(Expired):
        get(peer, separate.RETURNED, 0, b'', b'', body, deadline=later(-1))
    assert get(peer, separate.RETURNED, 0, b'', b'', body, deadline=later(60)).value[-1] == 5
