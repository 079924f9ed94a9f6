"""No input, from the corpus or found by a fuzzer, breaks an invariant of what reads the bytes of a child."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lab

sys.path.insert(0, str(Path(__file__).parent))

import targets

HERE = Path(__file__).parent
SECONDS = 2     # of each target; `python tests/fuzz/run.py` fuzzes for longer


@pytest.mark.parametrize('name', targets.TARGETS)
def test_the_corpus(name: str) -> None:
    inputs = sorted((HERE / 'corpus' / name).iterdir())
    assert inputs
    for path in inputs:
        targets.TARGETS[name](path.read_bytes())


@pytest.mark.parametrize('name', targets.TARGETS)
def test_what_a_fuzzer_finds(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec('atheris') is None:
        lab.unavailable('atheris is not installed')
    environment = dict(os.environ, PYTHONPATH=str(HERE.parents[1] / 'src'))
    done = subprocess.run(
        [sys.executable, str(HERE / 'run.py'), name, str(SECONDS), str(tmp_path), str(HERE / 'corpus' / name)],
        env=environment, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode('utf-8', 'replace')[-4000:]
