"""What becomes of an answer: a value, an exception, the end of the context, or a fault of ours."""

from __future__ import annotations

import time
from typing import Any

import pytest

import econtext
from econtext.child import nested
from econtext.controller.errors import ContextLost, CorruptStream, InternalError
from econtext.controller.raised import CallError
from econtext.controller.runtime.deadlines import Expired
from econtext.controller.session.results import FAILED, SHORT, clock, description, outcome
from econtext.core.codec import encode
from econtext.core.wire import DEAD, ERROR, RESULT, BadFrame
from unit.fakes import FakePeer, FakeSession, later

DESCRIPTION: tuple[Any, ...] = (
    'app.Odd', 'five', 'trace', [('app', 'Odd'), 'ValueError', 'Exception'], ('a', 5), {'n': 1})


@pytest.fixture
def peer() -> FakePeer:
    return FakeSession().add()


def get(peer: FakePeer, kind: int | None, body: Any, *deadline: float) -> Any:
    return outcome(peer, kind, body, *deadline)  # type: ignore[arg-type]


@pytest.mark.parametrize('value', [None, 5, 'x', [1], b'x' * (SHORT * 2)])
def test_a_result_is_its_value(peer: FakePeer, value: Any) -> None:
    assert get(peer, RESULT, encode(value)) == value
    assert get(peer, RESULT, encode(value), later(60)) == value


def test_a_context_in_a_result_is_the_one_that_there_is(peer: FakePeer) -> None:
    child = peer.broker.add(via=peer)
    assert get(peer, RESULT, b'x3:' + encode('context') + encode(2) + encode('peer2')) is child


def test_an_error_is_raised_as_what_it_was(peer: FakePeer) -> None:
    for deadline in (), (later(60),):
        with pytest.raises(ValueError, match='five') as caught:
            get(peer, ERROR, encode(DESCRIPTION), *deadline)
        error: Any = caught.value
        assert isinstance(error, CallError)
        assert (error.context, error.type_name, error.message) == ('peer1', 'app.Odd', 'five')
        assert (error.args, error.n, error.remote_traceback) == (('a', 5), 1, 'trace')
    assert peer.error is None


def within(levels: int) -> Any:
    return DESCRIPTION if not levels else (*DESCRIPTION, {'exceptions': [within(levels - 1)]})


@pytest.mark.parametrize('inner', [
    [], None, {5: DESCRIPTION}, {'a': 5}, {'a': [5]}, {'a': ()}, {'a': [DESCRIPTION[:4]]}, {'a': {'b': DESCRIPTION}},
    {'a': [DESCRIPTION] * (nested.MOST * 2 + 1)}, {'a': [(*DESCRIPTION, [])]}, {'a': within(nested.LEVELS)},
], ids=lambda inner: str(inner)[:20])  # fmt: skip
def test_exceptions_within_one_are_descriptions_too_within_bounds(inner: Any) -> None:
    with pytest.raises(BadFrame, match='no description'):
        description((*DESCRIPTION, inner))


def test_as_many_as_there_may_be_are_taken() -> None:
    for value in within(nested.LEVELS), (*DESCRIPTION, {'a': [DESCRIPTION] * nested.MOST, 'b': DESCRIPTION}):
        assert description(value) is value


@pytest.mark.parametrize(('kind', 'body', 'why'), [
    (RESULT, b'rubbish', 'no value'), (RESULT, b'n0:n0:', 'behind a value'), (ERROR, b'q', 'no value'),
    (ERROR, encode(None), 'no description of an exception'), (RESULT, b'x2:u3:setl0:', 'no value')])  # fmt: skip
def test_an_answer_that_makes_no_sense_ends_its_context(peer: FakePeer, kind: int, body: bytes, why: str) -> None:
    with pytest.raises(CorruptStream, match=f'peer1: its answer makes no sense [(].*{why}.*[)]; the context was ended'):
        get(peer, kind, body)
    ((ended, reason),) = peer.broker.corrupted
    assert ended is peer
    assert why in reason


def test_a_value_that_cannot_be_made_is_an_error_of_the_call(peer: FakePeer) -> None:
    with pytest.raises(CallError, match='the result holds a value of the class') as caught:
        get(peer, RESULT, b'x4:' + encode('type') + encode('app') + encode('Thing') + encode(None))
    assert caught.value.type_name == 'TypeError'
    assert caught.value.__cause__ is None
    with pytest.raises(CallError, match='ValueError: the result is nested'):
        get(peer, RESULT, b'l1:' * 300 + b'n0:')
    assert peer.broker.corrupted == []


@pytest.mark.parametrize('kind', [DEAD, None])
def test_without_an_answer_the_reason_is_raised(peer: FakePeer, kind: int | None) -> None:
    peer.error = peer.lost('it went')
    with pytest.raises(ContextLost, match='peer1: it went'):
        get(peer, kind, b'')


def test_a_fault_of_ours_is_raised_as_it_is(peer: FakePeer) -> None:
    fault = InternalError('ours')
    with pytest.raises(InternalError) as caught:
        get(peer, FAILED, fault)
    assert caught.value is fault


def test_a_fault_of_ours_in_an_answer_ends_nobody(peer: FakePeer, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any) -> Any:
        raise OSError('no memory')

    monkeypatch.setattr(peer, 'make', fails)
    with pytest.raises(InternalError, match='peer1: its answer could not be taken in') as caught:
        get(peer, RESULT, b'x3:' + encode('context') + encode(2) + encode('peer2'))
    assert isinstance(caught.value.__cause__, OSError)
    assert peer.broker.corrupted == []


@pytest.mark.parametrize('kind', [RESULT, ERROR])
def test_a_long_answer_is_not_decoded_beyond_the_deadline(peer: FakePeer, kind: int) -> None:
    body = encode([None] * 5000)
    with pytest.raises(Expired):
        get(peer, kind, body, time.monotonic() - 1)
    assert peer.broker.corrupted == []
    assert get(peer, RESULT, encode([None] * 100), time.monotonic() - 1) == [None] * 100    # at once


def test_a_clock_is_needed_for_what_is_long_and_has_a_deadline() -> None:
    assert clock(None, SHORT + 1) is None
    assert clock(later(1), SHORT) is None
    look = clock(later(60), SHORT + 1)
    assert look is not None
    look()
    over = clock(time.monotonic() - 1, SHORT + 1)
    assert over is not None
    with pytest.raises(Expired):
        over()


@pytest.mark.parametrize('value', [
    DESCRIPTION, DESCRIPTION[:5], (*DESCRIPTION[:3], (), None), (*DESCRIPTION[:3], [], None, {}),
    (*DESCRIPTION[:3], ['E'] * 50 + [5], None)])  # fmt: skip
def test_a_description_is_taken_as_it_is(value: Any) -> None:
    assert description(value) is value


@pytest.mark.parametrize('value', [
    None, list(DESCRIPTION), DESCRIPTION[:4], (*DESCRIPTION, 1), (5, *DESCRIPTION[1:]), ('E', 5, *DESCRIPTION[2:]),
    ('E', 'm', b't', *DESCRIPTION[3:]), ('E', 'm', 't', 'x', None), ('E', 'm', 't', {}, None),
    ('E', 'm', 't', [5], None),
    ('E', 'm', 't', [('a',)], None), ('E', 'm', 't', [('a', 'b', 'c')], None), ('E', 'm', 't', [('a', 5)], None),
    ('E', 'm', 't', [{}], None), ('E', 'm', 't', ['E'] * 49 + [5], None), ('E', 'm', 't', [], []),
    ('E', 'm', 't', [], 'x'), ('E', 'm', 't', [], (), None), ('E', 'm', 't', [], (), [])])  # fmt: skip
def test_what_is_no_description_is_refused(value: Any) -> None:
    with pytest.raises(BadFrame, match='no description of an exception'):
        description(value)


def test_call_errors_are_public() -> None:
    assert econtext.CallError is CallError
