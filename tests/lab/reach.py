"""What was reached: tests record it, and docs/reference/reach.md is made from what they recorded.

    python tests/lab/reach.py LINES            writes the page
    python tests/lab/reach.py --check LINES    exit status 1 if the page lacks what was recorded, or knows more

A test says what it has just seen, after its last assertion:

    reach.record('connector', 'sudo', 'sudo 1.9.13p3')          a way in, and the real program it went by
    reach.record('connector', 'lxd', 'transcript of lxc 5.0')   or what stood for that
    reach.record('host', 'login shell csh', 'works')            an awkward host, and what becomes of it
    reach.record('host', 'no Python', 'ConnectError no-python')
    reach.record('python', '3.12 -> 2.7', 'all')                a controller and a child

Invariants:
* Without ECONTEXT_REACH, the name of a file, nothing is written.
* A line is written in one piece, so that several runs may share the file.
* The page is a function of the set of lines: their order and number do not matter.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'reference' / 'reach.md'
KINDS = ('connector', 'host', 'python')
ARROW = ' -> '

Line = tuple[str, str, str]

INTRODUCTION = """\
# Reach

Made by `scripts/reach` from what the tests saw; do not edit. Versions are those of the machine where it was made.

"""
WAYS = """\
## Ways in

| connector | went by |
|---|---|
"""
HOSTS = """\
## Awkward hosts

| host | what becomes of it |
|---|---|
"""
PYTHONS = """\
## Every Python

A row is a controller, a column a child. `all` is: every type of value both ways, exceptions, texts that are not ASCII
in names, messages and paths, modules sent, output, records of `logging`, and channels.

"""


def record(kind: str, subject: str, outcome: str) -> None:
    """Note that a test has seen `outcome` of `subject`; see above."""
    assert kind in KINDS, kind
    for text in (subject, outcome):
        assert text == text.strip(), text
        assert text.isprintable(), text
        assert '|' not in text, text
    assert kind != 'python' or ARROW in subject, subject
    name = os.environ.get('ECONTEXT_REACH')
    if name:
        line = json.dumps({'kind': kind, 'subject': subject, 'outcome': outcome}) + '\n'
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)


def read(path: Path) -> set[Line]:
    """Return the lines of a file that `record` wrote."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return {(line['kind'], line['subject'], line['outcome']) for line in found}


def page(lines: Iterable[Line]) -> str:
    """Return the page that tells `lines`."""
    known = sorted(set(lines))
    parts = [
        WAYS + rows(line for line in known if line[0] == 'connector'),
        HOSTS + rows(line for line in known if line[0] == 'host'),
        PYTHONS + matrix([line for line in known if line[0] == 'python']),
    ]
    return INTRODUCTION + '\n'.join(parts)


def rows(lines: Iterable[Line]) -> str:
    """Return a row for each subject; what was seen in several ways stands in one cell."""
    cells: dict[str, list[str]] = {}
    for _kind, subject, outcome in lines:
        cells.setdefault(subject, []).append(outcome)
    return ''.join(f'| {subject} | {"; ".join(cells[subject])} |\n' for subject in sorted(cells, key=natural))


def matrix(lines: list[Line]) -> str:
    cells: dict[tuple[str, ...], list[str]] = {}
    for _kind, subject, outcome in lines:
        cells.setdefault(tuple(subject.split(ARROW)), []).append(outcome)
    controllers = sorted({pair[0] for pair in cells}, key=natural)
    children = sorted({pair[1] for pair in cells}, key=natural)
    text = '| | ' + ' | '.join(children) + ' |\n|---' + '|---' * len(children) + '|\n'
    for controller in controllers:
        seen = [cells.get((controller, child), ['not run']) for child in children]
        text += f'| **{controller}** | ' + ' | '.join('; '.join(cell) for cell in seen) + ' |\n'
    return text


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sort 3.9 before 3.10, and names behind numbers."""
    parts = re.findall(r'\d+|\D+', text)
    return [(0, int(part), '') if part.isdigit() else (1, 0, part.lower()) for part in parts]


def told(text: str) -> set[tuple[str, str]]:
    """Return (kind, subject) of all that a page tells."""
    found: set[tuple[str, str]] = set()
    ways, hosts, pythons = re.split('^## .*', text, flags=re.MULTILINE)[1:4]
    for kind, part in (('connector', ways), ('host', hosts)):
        found.update((kind, cells[0]) for cells in list(table(part))[1:])
    head, *body = list(table(pythons)) or [[]]
    for cells in body:
        for child, outcome in zip(head[1:], cells[1:], strict=True):
            if outcome != 'not run':
                found.add(('python', cells[0].strip('*') + ARROW + child))
    return found


def table(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        if line.startswith('|') and not line.startswith('|---'):
            yield [cell.strip() for cell in line.strip('|').split('|')]


def check(lines: Iterable[Line], text: str, whole: bool) -> Iterator[str]:
    """Yield what differs between `lines` and the page; `whole`: every test that records has run."""
    seen = {(kind, subject) for kind, subject, _outcome in lines}
    for kind, subject in sorted(seen - told(text)):
        yield f'{PAGE.name} lacks {kind} {subject}: run scripts/reach'
    for kind, subject in sorted(told(text) - seen) if whole else ():
        yield f'{PAGE.name} has {kind} {subject}, which no test has seen: run scripts/reach'


def main(arguments: list[str]) -> int:
    *flags, name = arguments
    lines = read(Path(name))
    if flags != ['--check']:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page(lines))
        return 0
    found = list(check(lines, PAGE.read_text(), os.environ.get('CI') == 'true'))
    sys.stderr.write(''.join(line + '\n' for line in found))
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
