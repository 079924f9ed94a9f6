"""How far a transfer of files is, in a notebook: one bar in the output of the cell."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from econtext.controller.files import progress
from econtext.controller.files.progress import TransferProgress


@pytest.mark.parametrize(('size', 'text'), [
    (0, '0 bytes'), (999, '999 bytes'), (1000, '1.0 kB'), (5000.0, '5.0 kB'), (999_999, '1000.0 kB'),
    (1_500_000, '1.5 MB'), (2 * 10**9, '2.0 GB'), (3 * 10**12, '3.0 TB'), (4 * 10**15, '4000.0 TB'),
])  # fmt: skip
def test_sizes_are_told_in_units(size: float, text: str) -> None:
    assert progress.in_units(size) == text


def test_a_bar_in_the_cell_of_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []
    ipython: Any = types.ModuleType('IPython')
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.display = types.ModuleType('IPython.display')

    def display(data: dict[str, str], **options: bool) -> Any:
        assert options == {'raw': True, 'display_id': True}
        shown.append(data)
        return types.SimpleNamespace(update=lambda data, raw: shown.append(data))

    ipython.display.display = display
    monkeypatch.setitem(sys.modules, 'IPython', ipython)
    monkeypatch.setitem(sys.modules, 'IPython.display', ipython.display)
    # A notebook needs no rich.
    monkeypatch.setitem(sys.modules, 'rich.progress', None)
    bar = progress.bar_for('<site>')
    bar(TransferProgress('a', 500, 1, 700, False, 1.0))
    bar(TransferProgress('b', 4000, 2, 8000, True, 2.0))
    bar.stop()
    assert [each['text/plain'] for each in shown] == [
        '<site>: 500 bytes, 500 bytes/s', '<site>: 4.0 kB of 8.0 kB, 2.0 kB/s']
    # It is not known how much there is.
    assert shown[0]['text/html'].startswith('<progress></progress> &lt;site&gt;: ')
    assert shown[1]['text/html'].startswith('<progress value="4000" max="8000"></progress> ')


@pytest.mark.parametrize('columns', [40, 60, 80])
def test_a_bar_on_a_terminal_has_one_line(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of a file gives way, and no figure."""
    monkeypatch.setenv('COLUMNS', str(columns))
    bar = progress.Bar('a-rather-long-name-of-a-file-for-a-narrow-terminal.bin')
    try:
        bar(TransferProgress('a', 25_700_000, 1, 130_000_000, True, 1.0))
        with bar.bar.console.capture() as captured:
            bar.bar.console.print(bar.bar.get_renderable())
    finally:
        bar.stop()
    line, = captured.get().splitlines()
    assert len(line) <= columns
    assert '25.7/130.0 MB' in line
    assert line.startswith('a-ra')
    assert line.count('…') == 1
