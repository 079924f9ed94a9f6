"""What travels uses no member of the standard library that some Python lacks, but where it asks first."""

from __future__ import annotations

import subprocess
from pathlib import Path

import names
import pytest
from test_polyglot import FILES, travels

from lab import pythons

# Reads dotted names, one a line, and prints those that are not there; knows nothing newer than 2.4.
ASK = """\
import sys
for line in sys.stdin:
    module, member = line.strip().rsplit('.', 1)
    __import__(module)
    if not hasattr(sys.modules[module], member):
        sys.stdout.write(line)
"""


@pytest.mark.parametrize('path', FILES, ids=lambda path: '%s/%s' % (path.parent.name, path.name))
def test_file(path: Path) -> None:
    assert names.unknown(travels(path)) == []


@pytest.mark.parametrize(
    ('text', 'found'),
    [
        ('import os\nos.read(0, 1)\n', []),
        ('import os\nos.writev(1, [])\n', [(2, 'os.writev')]),
        ('from os import pipe2\n', [(1, 'os.pipe2')]),
        ('try:\n  from os import pipe2\nexcept ImportError:\n  pipe2 = None\n', []),
        ('import os\nif hasattr(os, "pipe2"):\n  os.pipe2(0)\n', []),
        ('import os\nos.path.relpath("a")\n', [(2, 'os.path.relpath')]),
        ('import a\na.writev\n', []),
    ],
)
def test_what_is_found(text: str, found: list[tuple[int, str]]) -> None:
    assert names.unknown(text) == found


def test_every_python_at_hand_has_them() -> None:
    for python in pythons.interpreters().values():
        done = subprocess.run(
            [python, '-E', '-c', ASK], input='\n'.join(sorted(names.MEMBERS)) + '\n', capture_output=True, text=True
        )
        assert (done.stdout, done.stderr, done.returncode) == ('', '', 0), python.name
