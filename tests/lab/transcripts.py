"""A small program in the place of one that is not here, which says what that one said.

A transcript is a file of JSON: `tool`, the program and its version; `source`, where its words come from; `exchanges`,
each with the `argv` up to the command, and either `said` and `status`, or `runs`: the command is executed. In `command`
is the first word of the command, where that makes the difference.

Invariants:
* What the transcript does not hold ends with status 99 and the words that came.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PROGRAM = """\
#!{python}
import os, sys
given = sys.argv[1:]
for exchange in {exchanges!r}:
    argv = exchange['argv']
    command = given[len(argv):]
    if given[:len(argv)] != argv or exchange.get('command', command[0]) != command[0]:
        continue
    if exchange.get('runs'):
        os.execvp(command[0], command)
    sys.stderr.write(exchange['said'] and exchange['said'] + '\\n')
    sys.exit(exchange['status'])
sys.stderr.write('not in the transcript: %r\\n' % (given,))
sys.exit(99)
"""


def read(path: Path) -> dict[str, Any]:
    """Return a transcript."""
    found: dict[str, Any] = json.loads(path.read_text())
    assert {'tool', 'source', 'exchanges'} == found.keys(), path
    return found


def write_program(path: Path, transcript: dict[str, Any]) -> str:
    """Write the program that is held to a transcript; return its path."""
    path.write_text(PROGRAM.format(python=sys.executable, exchanges=transcript['exchanges']))
    path.chmod(0o755)
    return str(path)
