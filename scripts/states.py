"""Writes the diagrams of the start and of the life of a context into docs/design/reliability.md, from their tables.

    python3 scripts/states.py

A test holds the page to what this would write (tests/rules/test_states.py).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'src'))

from econtext.controller.session import states  # noqa: E402 -- found through the line above
from econtext.parent import start  # noqa: E402

PAGE = ROOT / 'docs' / 'design' / 'reliability.md'
#: The name of each diagram -> the module that has its table.
TABLES: dict[str, Any] = {'start': start, 'states': states}


def diagram(states: Any) -> str:
    """Return the moves in the table of `states` as a diagram, and below it the events that change nothing."""
    lines = ['```mermaid', 'stateDiagram-v2', f'    [*] --> {states.NEW}']
    lines += [f'    {state} --> {to}: {event}' for (state, event), to in states.TABLE.items() if to != state]
    lines += ['```', '', '| state | events that change nothing |', '|---|---|']
    for state in states.STATES:
        idle = [event for event in states.EVENTS if states.TABLE.get((state, event)) == state]
        if idle:
            lines.append(f'| {state} | {", ".join(idle)} |')
    return '\n'.join(lines)


def page(text: str) -> str:
    """Return the page with its diagrams written anew."""
    for name, module in TABLES.items():
        first, last = f'<!-- {name}: written by scripts/states.py -->', f'<!-- {name}: end -->'
        before, rest = text.split(first)
        after = rest.split(last)[1]
        text = f'{before}{first}\n\n{diagram(module)}\n\n{last}{after}'
    return text


if __name__ == '__main__':
    PAGE.write_text(page(PAGE.read_text(encoding='utf-8')), encoding='utf-8')
