"""Runs mutmut in the folder at hand, then tells how many changes the tests have found, and shows the others.

scripts/mutation calls it. Ends with 1 if the tests find less than LEAST of 100 changes.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

LEAST = 95
FOUND, ENDLESS, MISSED, UNREACHED, LEFT_OUT = (
    'found', 'found, by running too long', 'not found', 'reached by no test', 'left out')
#: Exit status of pytest, or of mutmut for it -> what became of a change; any other is MISSED.
VERDICTS: dict[int | None, str] = {
    1: FOUND, 3: FOUND, 24: ENDLESS, -24: ENDLESS, 36: ENDLESS, 152: ENDLESS, -9: ENDLESS, -11: FOUND,
    5: UNREACHED, 33: UNREACHED, 34: LEFT_OUT, None: LEFT_OUT,
}  # fmt: skip


def run(arguments: list[str]) -> None:
    from mutmut.__main__ import cli

    with contextlib.suppress(SystemExit):
        cli(['run', *arguments])


def report() -> int:
    counts: dict[str, int] = {}
    left = []
    for path in sorted(Path('mutants').rglob('*.meta')):
        for name, status in json.loads(path.read_text())['exit_code_by_key'].items():
            what = VERDICTS.get(status, MISSED)
            counts[what] = counts.get(what, 0) + 1
            if what in (MISSED, UNREACHED):
                left.append((name, what))
    for name, what in left:
        shown = subprocess.run([sys.executable, '-m', 'mutmut', 'show', name], capture_output=True, text=True).stdout
        lines = [line for line in shown.splitlines() if line[:1] in '+-' and line[:3] not in ('+++', '---')]
        print(f'{what}: {name}', *lines, sep='\n    ')
    found = counts.get(FOUND, 0) + counts.get(ENDLESS, 0)
    tried = found + len(left)
    print(', '.join(f'{what}: {number}' for what, number in sorted(counts.items())))
    if not tried:
        return 1
    print(f'the tests find {found} of {tried} changes: {100 * found / tried:.1f} %')
    return int(100 * found < LEAST * tried)


if __name__ == '__main__':
    if sys.argv[1:2] != ['report']:
        run(sys.argv[1:])
    sys.exit(report())
