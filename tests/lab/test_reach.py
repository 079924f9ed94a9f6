"""The page of what was reached is made from lines, and held to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import reach

LINES = {
    ('connector', 'sudo', 'sudo 1.9'),
    ('connector', 'sudo', 'sudo-rs 0.2'),
    ('connector', 'ssh', 'OpenSSH 9.2'),
    ('host', 'no Python', 'ConnectError no-python'),
    ('python', '3.9 -> 2.7', 'all'),
    ('python', '3.10 -> 2.7', 'all'),
    ('python', '3.10 -> PyPy 3.11', 'all'),
}


def test_record_appends_where_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('ECONTEXT_REACH', raising=False)
    reach.record('host', 'nowhere', 'works')
    monkeypatch.setenv('ECONTEXT_REACH', str(tmp_path / 'lines'))
    for line in sorted(LINES) * 2:
        reach.record(*line)
    assert reach.read(tmp_path / 'lines') == LINES


@pytest.mark.parametrize('line', [('way', 'a', 'b'), ('host', 'a|b', 'c'), ('host', 'a\nb', 'c'), ('python', 'a', 'b')])
def test_record_refuses_what_no_table_holds(line: reach.Line) -> None:
    with pytest.raises(AssertionError):
        reach.record(*line)


def test_page() -> None:
    text = reach.page(LINES)
    assert '| sudo | sudo 1.9; sudo-rs 0.2 |\n' in text
    assert '| | 2.7 | PyPy 3.11 |\n|---|---|---|\n| **3.9** | all | not run |\n| **3.10** | all | all |\n' in text
    assert reach.told(text) == {line[:2] for line in LINES}
    assert list(reach.check(LINES, text, whole=True)) == []


def test_what_differs_is_found_both_ways() -> None:
    text = reach.page(LINES)
    more = {*LINES, ('host', 'new', 'works'), ('python', '3.9 -> PyPy 3.11', 'all')}
    assert len(list(reach.check(more, text, whole=False))) == 2
    less = {line for line in LINES if line[0] != 'python'}
    assert len(list(reach.check(less, text, whole=True))) == 3
    assert list(reach.check(less, text, whole=False)) == []
    newer = {line if line[0] != 'connector' else (*line[:2], line[2] + '.1') for line in LINES}
    assert list(reach.check(newer, text, whole=True)) == [], 'versions may differ'


def test_the_page_at_hand_can_be_read() -> None:
    if reach.PAGE.exists():
        assert reach.told(reach.PAGE.read_text())
