"""How far the work of a fleet is, for people: a bar on a terminal, lines elsewhere, nothing unless asked for."""

from __future__ import annotations

import io
import re
import sys
import types
from typing import Any

import pytest

import econtext
from econtext.controller import notebook
from econtext.controller.fleet import progress
from econtext.controller.fleet.schedule import CONNECTING, DONE, FAILED, RUNNING, STATES, WAITING


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def counts() -> dict[str, int]:
    return {**dict.fromkeys(STATES, 0), WAITING: 4}


def test_lines_where_no_terminal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(sys, 'stderr', file)
    now = counts()
    display = progress.display_of(True, now)
    assert display is not None
    assert 0 < display.show() <= 1
    now.update({WAITING: 0, DONE: 3, FAILED: 1})
    display.show()
    display.finish()
    display.finish()
    lines = file.getvalue().splitlines()
    assert lines[0].startswith('0/4 hosts: 4 waiting')
    assert lines[-1].startswith('4/4 hosts: 3 done, 1 failed (')
    assert len(lines) == 2


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('rich')
    file = Terminal()
    monkeypatch.setattr(sys, 'stderr', file)
    now = counts()
    display = progress.display_of(True, now)
    assert display is not None
    assert file.getvalue() == ''
    display.show()
    now.update({WAITING: 0, DONE: 4})
    display.finish()
    assert '4/4 hosts: 4 done' in file.getvalue()


def test_the_bar_shows_states_rate_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('rich')
    file = Terminal()
    monkeypatch.setattr(sys, 'stderr', file)
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('COLUMNS', '100')
    now = counts()
    display = progress.display_of(True, now)
    assert isinstance(display, progress.Bar)
    display.begun -= 10
    now.update({WAITING: 0, CONNECTING: 1, RUNNING: 1, DONE: 1, FAILED: 1})
    display.show()
    text = re.sub(r'\x1b\[[\d;]*m', '', file.getvalue())
    assert '0.2/s 0:10 2/4 hosts: 1 failed, 1 done, 1 running, 1 connecting' in text
    # Drawn again for its times, though nothing has changed; then given back.
    before = len(file.getvalue())
    display.show()
    assert len(file.getvalue()) == before
    display.last -= progress.STALE
    display.show()
    assert len(file.getvalue()) > before
    display.finish()
    assert file.getvalue().endswith('\x1b[?25h')


class Gone(Terminal):
    """A terminal that is closed after some text."""

    left = 200

    def write(self, text: str) -> int:
        self.left -= len(text)
        if self.left < 0:
            raise BrokenPipeError('the terminal is gone')
        return super().write(text)


class GoneFile(Gone):
    def isatty(self) -> bool:
        return False


@pytest.mark.parametrize('place', [Gone, GoneFile])
def test_a_place_that_is_gone_ends_the_display_only(place: type[Gone], monkeypatch: pytest.MonkeyPatch) -> None:
    if place is Gone:
        pytest.importorskip('rich')
    monkeypatch.setattr(sys, 'stderr', place())
    now = counts()
    display = progress.display_of(True, now)
    assert isinstance(display, progress.Shown)
    for number in range(20):
        now[DONE] = number
        display.last = 0.0
        display.show()
    assert display.finished
    display.finish()


def test_without_a_standard_error_nothing_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'stderr', None)
    progress.check_wanted(True)
    assert progress.display_of(True, counts()) is None
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, 'stderr', closed)
    progress.check_wanted(True)
    display = progress.display_of(True, counts())
    assert display is not None
    display.show()
    display.finish()


class Handle:
    """What IPython returns for a display that may change."""

    def __init__(self, shown: list[dict[str, str]]) -> None:
        self.shown = shown

    def update(self, data: dict[str, str], raw: bool) -> None:
        assert raw
        self.shown.append(data)


def test_one_bar_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []

    def display_data(data: dict[str, str], raw: bool, display_id: bool) -> Handle:
        assert (raw, display_id, shown) == (True, True, [])
        shown.append(data)
        return Handle(shown)

    ipython: Any = types.ModuleType('IPython')
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.display = types.ModuleType('IPython.display')
    ipython.display.display = display_data
    monkeypatch.setitem(sys.modules, 'IPython', ipython)
    monkeypatch.setitem(sys.modules, 'IPython.display', ipython.display)
    # A notebook needs no rich.
    monkeypatch.setitem(sys.modules, 'rich.progress', None)
    monkeypatch.setattr(sys, 'stderr', Terminal())
    progress.check_wanted(True)
    now = counts()
    display = progress.display_of(True, now)
    assert display is not None
    display.show()
    now.update({WAITING: 0, DONE: 3, FAILED: 1})
    display.finish()
    assert [each['text/plain'].split(' (')[0] for each in shown] == [
        '0/4 hosts: 4 waiting, 0 done', '4/4 hosts: 3 done, 1 failed']
    assert shown[1]['text/html'].startswith('<progress value="4" max="4">')
    # IPython in a terminal is no notebook.
    ipython.get_ipython = lambda: types.SimpleNamespace()
    assert not notebook.is_notebook()
    ipython.get_ipython = lambda: None
    assert not notebook.is_notebook()


def test_the_time_left() -> None:
    def at(done: int, seconds: float) -> econtext.Progress:
        return progress.progress_of({**counts(), WAITING: 4 - done, DONE: done}, seconds)

    assert at(0, 5.0).remaining is None
    assert at(1, 5.0).remaining == 15.0
    assert str(at(1, 1250.0)).endswith('(0.0/s, 1:02:30 left)')
    assert at(4, 5.0).remaining == 0.0
    assert str(at(4, 5.0)) == '4/4 hosts: 4 done (0.8/s)'
    assert [progress.clock(seconds) for seconds in (0.4, 59.6, 61, 3600)] == ['0:00', '1:00', '1:01', '1:00:00']


def test_without_rich_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in 'rich.progress', 'rich.console':
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(sys, 'stderr', Terminal())
    with pytest.raises(econtext.EcontextError, match=r"pip install 'econtext\[progress\]'"):
        progress.check_wanted(True)
    monkeypatch.setattr(sys, 'stderr', io.StringIO())
    progress.check_wanted(True)


def test_nothing_unless_asked_for() -> None:
    assert progress.display_of(None, counts()) is None
    assert progress.display_of(False, counts()) is None


def test_a_function_gets_each_change() -> None:
    seen: list[econtext.Progress] = []
    now = counts()
    display = progress.display_of(seen.append, now)
    assert display is not None
    display.show()
    display.show()
    now.update({WAITING: 2, DONE: 1, FAILED: 1})
    display.finish()
    assert [(each.waiting, each.ended, each.total) for each in seen] == [(4, 0, 4), (2, 2, 4)]
    assert seen[1].rate > 0
    assert progress.progress_of(now, 2.0).rate == 1.0
