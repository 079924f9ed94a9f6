"""Where records go: to the program's handlers, and where it has set up none, to standard error."""

from __future__ import annotations

import io
import itertools
import logging
import sys
from collections.abc import Callable, Iterator

import pytest

from econtext.controller.runtime import log
from econtext.controller.session.output import Lines
from unit.fakes import FakeLoop

NAMES = (f'econtext.ctx.test_log_{number}' for number in itertools.count())
VALUE = ('app.db', logging.WARNING, 0.0, 'slow\nquery', 'Traceback: 1\nValueError: 2')


@pytest.fixture
def err(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Standard error of a program that has set up no logging."""
    # A root of our own: the test runner adds handlers to the real one behind each fixture.
    root = logging.RootLogger(logging.WARNING)
    own = logging.getLogger('econtext')
    monkeypatch.setattr(own, 'parent', root)
    monkeypatch.setattr(own, 'handlers', [])
    own.manager._clear_cache()
    yield lambda: capsys.readouterr().err
    own.manager._clear_cache()


@pytest.fixture
def name() -> str:
    return next(NAMES)


@pytest.fixture
def lines(name: str) -> Lines:
    return Lines(name.removeprefix(log.PREFIX), FakeLoop(), lambda size: None)  # type: ignore[arg-type]


def short(name: str) -> str:
    return name.removeprefix(log.PREFIX)


def say_all(lines: Lines) -> None:
    lines.emit(1, b'out\x1b')
    lines.emit(2, b'err\r')
    lines.logged(VALUE)
    log.say(lines.logger, logging.WARNING, '%d lost', 3)
    log.say(lines.logger, logging.DEBUG, 'how')


def test_without_logging_lines_and_warnings_show_with_their_context(
    err: Callable[[], str], lines: Lines, name: str
) -> None:
    say_all(lines)
    assert err().splitlines() == [
        f'[{short(name)}] out\\x1b',
        f'[{short(name)}] stderr: err',
        f'[{short(name)}] WARNING: app.db: slow',
        '    query',
        '    Traceback: 1',
        '    ValueError: 2',
        f'[{short(name)}] WARNING: 3 lost',
    ]


@pytest.mark.parametrize('where', ['name', 'econtext', 'root'])
def test_one_handler_anywhere_and_nothing_is_written(
    err: Callable[[], str], lines: Lines, name: str, where: str
) -> None:
    own = logging.getLogger('econtext')
    logger = {'name': logging.getLogger(name), 'econtext': own, 'root': own.parent}[where]
    assert logger is not None
    handler = logging.NullHandler()
    logger.addHandler(handler)
    try:
        say_all(lines)
    finally:
        logger.removeHandler(handler)
    assert err() == ''


def test_a_level_of_a_logger_of_econtext_counts(
    err: Callable[[], str], lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger('econtext'), 'level', logging.ERROR)
    say_all(lines)
    assert err() == ''


def test_the_level_of_the_root_holds_records_and_no_lines(
    err: Callable[[], str], lines: Lines, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger('econtext').parent, 'level', logging.ERROR)
    say_all(lines)
    assert err() == f'[{short(name)}] out\\x1b\n[{short(name)}] stderr: err\n'


@pytest.mark.parametrize('how', ['disabled', 'disable', 'filter', 'last resort'])
def test_what_logging_refuses_is_not_written(
    err: Callable[[], str], lines: Lines, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == 'disabled':
        lines.logger.disabled = True
    elif how == 'disable':
        monkeypatch.setattr(logging.root.manager, '_disable', logging.CRITICAL)
    elif how == 'filter':
        lines.logger.addFilter(lambda record: False)
    else:
        monkeypatch.setattr(logging, 'lastResort', None)
    say_all(lines)
    assert err() == ''


class Broken(io.StringIO):
    encoding = 'ascii'

    def write(self, text: str) -> int:
        raise OSError(28, 'No space left on device')




@pytest.mark.parametrize('stream', [None, Broken()])
def test_a_stream_that_is_not_there_or_full_raises_nothing(
    err: Callable[[], str], lines: Lines, monkeypatch: pytest.MonkeyPatch, stream: io.StringIO | None
) -> None:
    monkeypatch.setattr(sys, 'stderr', stream)
    say_all(lines)


def test_a_closed_stream_raises_nothing(
    err: Callable[[], str], lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, 'stderr', closed)
    say_all(lines)


def test_text_that_the_stream_cannot_encode_is_escaped(
    err: Callable[[], str], lines: Lines, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, 'stderr', io.TextIOWrapper(raw, encoding='ascii', write_through=True))
    lines.emit(1, 'grün'.encode())
    assert raw.getvalue() == f'[{short(name)}] gr\\xfcn\n'.encode()
