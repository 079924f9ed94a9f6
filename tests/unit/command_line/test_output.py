"""What commands print on a terminal where a bar is drawn as well."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

import econtext

PROGRAM = """
from econtext.command_line import execute, output
from econtext.controller.fleet.progress import Progress

with execute.bar(2) as show:
    show(Progress(0, 0, 0, 2, 0, 0, 0, 1.0))
    output.Output(['a', 'b'], 'tagged').line('a', '{stream}', 'some words')
"""


@pytest.mark.parametrize('stream', ['stdout', 'stderr'])
def test_a_line_stands_in_the_place_of_the_bar(stream: str) -> None:
    source = Path(econtext.__file__).resolve().parent.parent
    ours, theirs = pty.openpty()
    environ = {**os.environ, 'PYTHONPATH': str(source), 'TERM': 'xterm', 'COLUMNS': '80'}
    with subprocess.Popen(
        [sys.executable, '-c', PROGRAM.format(stream=stream)],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environ,
    ) as process:  # fmt: skip
        os.close(theirs)
        said = b''
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:
                break
            if not piece:
                break
            said += piece
    os.close(ours)
    assert process.returncode == 0, said
    assert b'2 running' in said, 'a bar was drawn'
    assert re.search(rb'\r\x1b\[2K(\x1b\[\d+m)?\[a\](\x1b\[0m)? some words\r\n', said), said
