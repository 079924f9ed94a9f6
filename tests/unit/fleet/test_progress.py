"""How far the work of a fleet is, for people: a bar on a terminal, lines elsewhere, nothing unless asked for."""

from __future__ import annotations

import io
import sys

import pytest

import econtext
from econtext.controller.fleet import progress
from econtext.controller.fleet.schedule import DONE, FAILED, STATES, WAITING


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
