"""A typed program keeps its types through calls, futures and streams, and slips are found before it runs."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# No program imports them: they stand in for standard modules, in modules of Ansible on Python 3.6.
OLDER = 'econtext.ansible.older.'


@pytest.mark.deadline(240)
def test_types_of_a_user_s_program() -> None:
    done = subprocess.run(
        [sys.executable, '-m', 'mypy', '--strict', '--config-file=', '--follow-imports=silent', 'tests/rules/typed.py'],
        cwd=ROOT, env={'MYPYPATH': 'src'}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.deadline(240)
def test_every_type_is_known_to_other_checkers() -> None:
    """Pyright takes what has no annotation, and could be inferred otherwise by others, for incomplete."""
    if importlib.util.find_spec('pyright') is None:
        assert not os.environ.get('CI'), 'pyright is not installed'
        pytest.skip('pyright is not installed')
    done = subprocess.run(
        [sys.executable, '-m', 'pyright', '--pythonpath', sys.executable, '--verifytypes', 'econtext',
         '--ignoreexternal', '--outputjson'],
        cwd=ROOT, env={**os.environ, 'PYTHONPATH': str(ROOT / 'src'), 'PYRIGHT_PYTHON_IGNORE_WARNINGS': '1'},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    found = json.loads(done.stdout[done.stdout.index('{'):])['typeCompleteness']
    incomplete = [
        (symbol['name'], [each['message'] for each in symbol['diagnostics'] if each['severity'] == 'error'])
        for symbol in found['symbols'] if not symbol['isTypeKnown'] or symbol['isTypeAmbiguous']
        if not symbol['name'].startswith(OLDER)
    ]  # fmt: skip
    assert incomplete == []
    assert found['completenessScore'] > 0.97
    assert found['exportedSymbolCounts']['withKnownType'] > 1000, done.stderr
