"""A typed program keeps its types through calls, futures and streams, and slips are found before it runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.deadline(240)
def test_types_of_a_user_s_program() -> None:
    done = subprocess.run(
        [sys.executable, '-m', 'mypy', '--strict', '--config-file=', '--follow-imports=silent', 'tests/rules/typed.py'],
        cwd=ROOT, env={'MYPYPATH': 'src'}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
