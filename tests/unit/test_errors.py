"""The errors of econtext: what each is to code that knows none of them, and what its text says."""

from __future__ import annotations

import concurrent.futures
import copy
import pickle
import sys
from typing import Any

import pytest

import econtext
from econtext.controller import errors
from econtext.controller.errors import ConnectError, EcontextError, InternalError, internal_error, show_exception, stays


@pytest.mark.parametrize(('error', 'kinds'), [
    ('ConnectError', [EcontextError]), ('ContextLost', [EcontextError, concurrent.futures.BrokenExecutor]),
    ('CallTimeout', [EcontextError, TimeoutError]), ('NotAllowed', [EcontextError]), ('CallError', [EcontextError]),
    ('CorruptStream', [errors.ContextLost]), ('InternalError', [EcontextError]), ('Interrupted', [KeyboardInterrupt]),
])  # fmt: skip
def test_an_error_is_what_code_expects(error: str, kinds: list[type]) -> None:
    kind = getattr(errors, error, None) or getattr(econtext, error)
    assert all(issubclass(kind, each) for each in kinds)
    assert issubclass(kind, Exception) == (error != 'Interrupted')


@pytest.mark.parametrize(('lines', 'command', 'text'), [
    ('', '', 'web: it went wrong. Do that.'),
    ('one\ntwo', '', 'web: it went wrong. Do that.\nLast lines seen:\n    one\n    two'),
    ('', 'ssh web …', 'web: it went wrong. Do that.\nThe command:\n    ssh web …'),
    ('one', 'ssh web …', 'web: it went wrong. Do that.\nThe command:\n    ssh web …\nLast lines seen:\n    one'),
])  # fmt: skip
def test_a_failure_to_connect_says_what_and_what_to_do(lines: str, command: str, text: str) -> None:
    error = ConnectError('web', 'kind', 'it went wrong', lines, 'Do that.', command)
    assert str(error) == text
    for each in error, copy.copy(error), pickle.loads(pickle.dumps(error)):
        assert str(each) == text
        assert (each.context, each.kind, each.what, each.lines, each.remedy, each.command) == (
            'web', 'kind', 'it went wrong', lines, 'Do that.', command)


def fail(depth: int) -> None:
    if depth:
        fail(depth - 1)
    raise LookupError('deep')


def test_a_fault_of_ours_tells_the_end_of_its_traceback() -> None:
    with pytest.raises(LookupError) as caught:
        fail(900)
    found = internal_error('a frame came', caught.value)
    assert type(found) is InternalError
    assert str(found).startswith('a frame came; this is a defect of econtext, or of the machine:\n')
    assert str(found).endswith('LookupError: deep')
    assert len(str(found)) < errors.MOST_TRACE + 200


def test_an_exception_is_shown_by_the_hook_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []

    def hook(*what: Any) -> None:
        shown.append(what)
        raise SystemExit if len(shown) > 1 else ValueError

    monkeypatch.setattr(sys, 'excepthook', hook)
    error = LookupError('x')
    for _ in range(2):
        try:
            raise error
        except LookupError:
            show_exception()    # whatever the hook raises
    assert [(kind, found) for kind, found, _ in shown] == [(LookupError, error)] * 2


def test_what_is_bound_to_its_process_says_so() -> None:
    class Bound:
        __reduce_ex__ = stays

        def __repr__(self) -> str:
            return '<bound>'

    for way in copy.copy, copy.deepcopy, pickle.dumps:
        with pytest.raises(TypeError, match='<bound> is bound to this process, and cannot be copied or pickled: '):
            way(Bound())
