"""Writes the diagram of the life of a context into docs/design/reliability.md, from its table.

    python3 scripts/states.py

A test holds the page to what this would write (tests/rules/test_states.py).
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'src'))

from econtext.controller.session import states  # noqa: E402 -- found through the line above

PAGE = ROOT / 'docs' / 'design' / 'reliability.md'
FIRST, LAST = '<!-- states: written by scripts/states.py -->', '<!-- states: end -->'


def diagram() -> str:
    """Return the moves as a diagram, and below it the events that change nothing."""
    lines = ['```mermaid', 'stateDiagram-v2', f'    [*] --> {states.NEW}']
    lines += [f'    {state} --> {to}: {event}' for (state, event), to in states.TABLE.items() if to != state]
    lines += ['```', '', '| state | events that change nothing |', '|---|---|']
    for state in states.STATES:
        idle = [event for event in states.EVENTS if states.TABLE.get((state, event)) == state]
        if idle:
            lines.append(f'| {state} | {", ".join(idle)} |')
    return '\n'.join(lines)


def page(text: str) -> str:
    """Return the page with its diagram written anew."""
    before, rest = text.split(FIRST)
    after = rest.split(LAST)[1]
    return f'{before}{FIRST}\n\n{diagram()}\n\n{LAST}{after}'


if __name__ == '__main__':
    PAGE.write_text(page(PAGE.read_text(encoding='utf-8')), encoding='utf-8')
