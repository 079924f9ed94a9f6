"""How a program ends that an exception ends."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from econtext.child import uncaught


def hook(error: BaseException | None) -> Any:
    def tells(*_: object) -> None:
        if error is not None:
            raise error

    return tells


@pytest.fixture
def shown() -> list[str]:
    return []


@pytest.mark.parametrize(('error', 'of_hook', 'status', 'names'), [
    (ValueError(), None, 1, []),
    (KeyboardInterrupt(), None, 130, []),
    (ValueError(), SystemExit(7), 7, []),
    (KeyboardInterrupt(), SystemExit(), 0, []),
    (ValueError(), KeyError(), 1, ['KeyError', 'ValueError']),
    (KeyboardInterrupt(), KeyError(), 130, ['KeyError', 'KeyboardInterrupt']),
    (SystemExit(256 + 5), KeyError(), 5, []),
])  # fmt: skip
def test_the_hook_of_the_program_tells(
    monkeypatch: pytest.MonkeyPatch, shown: list[str], error: BaseException, of_hook: BaseException | None,
    status: int, names: list[str],
) -> None:
    monkeypatch.setattr(sys, 'excepthook', hook(of_hook))
    assert uncaught.end((type(error), error, None), lambda kind, *_: shown.append(kind.__name__)) == status
    assert shown == names


def test_without_a_hook_the_exception_is_shown(monkeypatch: pytest.MonkeyPatch, shown: list[str]) -> None:
    def show(kind: type, *_: object) -> None:
        shown.append(kind.__name__)

    monkeypatch.setattr(sys, 'excepthook', sys.__excepthook__)
    assert uncaught.end((ValueError, ValueError(), None), show) == 1
    monkeypatch.delattr(sys, 'excepthook')
    assert uncaught.end((ValueError, ValueError(), None), show) == 1
    assert shown == ['ValueError', 'AttributeError', 'ValueError']


def test_a_text_as_status_is_written(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert uncaught.status_of(SystemExit('so')) == 1
    assert capsys.readouterr().err == 'so\n'
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, 'stderr', closed)
    assert uncaught.status_of(SystemExit('so')) == 1
