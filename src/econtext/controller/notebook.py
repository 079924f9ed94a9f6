"""
What notebooks show in place of plain text: tables of contexts, fleets and results, and bars that move.

Jupyter and IPython ask an object for `_repr_html_`; those of econtext answer with what is made here.

Invariants:

* All that is shown is escaped here: nothing that a context says becomes markup, or a script, of the notebook.
* What is shown has a bound: so many rows, so long a text.
* Nothing of IPython is imported but where a notebook runs, which has imported it.

Any thread may enter.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

from econtext.controller.text import harmless_lines, shown

MOST = 100      # rows
LONGEST = 1000  # characters of a value


def is_notebook() -> bool:
    """Does this program run in a notebook, whose cells show more than text?"""
    ipython = sys.modules.get('IPython')
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, 'kernel', None) is not None


def escaped(text: str) -> str:
    import html  # few programs run in a notebook

    return html.escape(harmless_lines(text))


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with that caption; without a `head` the first cell of each row is its heading."""
    lines = [f'<table><caption>{escaped(title)}</caption>']
    if head:
        lines.append(f'<thead><tr>{"".join(f"<th>{escaped(word)}</th>" for word in head)}</tr></thead>')
    lines.append('<tbody>')
    for first, *rest in rows[:MOST]:
        cells = [f'<td>{escaped(first)}</td>' if head else f'<th>{escaped(first)}</th>']
        cells += [f'<td style="text-align: left">{escaped(text)}</td>' for text in rest]
        lines.append(f'<tr>{"".join(cells)}</tr>')
    if len(rows) > MOST:
        lines.append(f'<tr><td colspan="{max(len(head), 2)}">and {len(rows) - MOST:,} more</td></tr>')
    return '\n'.join([*lines, '</tbody></table>'])


def value(found: object) -> str:
    """Return the text that stands for a value: its repr, cut where it is long."""
    import reprlib

    short = reprlib.Repr()
    short.maxlevel = 4
    short.maxdict = short.maxlist = short.maxtuple = short.maxset = short.maxfrozenset = 20
    short.maxstring = short.maxother = short.maxlong = 200
    text = short.repr(found)
    return text if len(text) <= LONGEST else text[:LONGEST] + ' …'


def failure(error: BaseException) -> str:
    """Return the first line of an exception, which begins with its type."""
    from econtext.controller.raised import CallError

    text = str(error).partition('\n')[0]
    return shown(text if isinstance(error, CallError) else f'{type(error).__name__}: {text}'.removesuffix(': '))


def version(numbers: Sequence[int]) -> str:
    """Return the version of an interpreter as it is written; nothing if it is not known yet."""
    return '.'.join(str(number) for number in numbers[:3])


class Bar:
    """One bar in the output of a cell."""

    def __init__(self) -> None:
        self.display: Any = importlib.import_module('IPython.display').display
        self.handle: Any = None

    def show(self, done: int, total: int | None, text: str) -> None:
        """Show how far it is; if nobody knows how much there is, `total` is None."""
        share = '' if total is None else f' value="{done}" max="{total}"'
        data = {'text/plain': text, 'text/html': f'<progress{share}></progress> {escaped(text)}'}
        if self.handle is None:
            self.handle = self.display(data, raw=True, display_id=True)
        else:
            self.handle.update(data, raw=True)
