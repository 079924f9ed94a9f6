"""Public names stand in one list, from which all else is written; a connector is its file and its method."""

from __future__ import annotations

import importlib.util
import inspect
import json
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import econtext
from econtext.child import face

ROOT = Path(__file__).parents[2]
CONNECTOR = '''
from econtext.parent import boxes

OPTIONS = 'box', 'python', 'planted_path'
MISSING = 'not-found'
PROMPTS = ()
FAILURES = boxes.FAILURES


def plan(options):
    return boxes.inside(boxes.program(options, OPTIONS, 'env'), options)
'''
METHOD = '''
    def planted(
        self, box: str, *, python: Python = None, planted_path: str | None = None, **common: Unpack[Common],
    ) -> C:
        """
        Start a context in `box`; `python`, `planted_path` and `common` are as everywhere. Raises nothing.

        Example::

            box = broker.planted('box')
        """
        return self.start_in('planted', None, {'box': box, 'python': python, 'planted_path': planted_path}, common)
'''


def load() -> Any:
    spec = importlib.util.spec_from_file_location('public_names', ROOT / 'scripts' / 'public_names.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load()


@pytest.mark.parametrize('path', script.pages(), ids=lambda path: path.name)
def test_file_is_up_to_date(path: Path) -> None:
    assert path.read_text('utf-8') == script.pages()[path], 'run: python3 scripts/public_names.py'


def test_each_name_is_there() -> None:
    assert sorted(econtext.__all__) == sorted({*econtext._HOMES, 'slave'})
    for name in econtext.__all__:
        assert getattr(econtext, name) is not None


def test_each_name_is_there_in_contexts() -> None:
    """Errors as errors, everything else as itself or as what says that it works in the controller only."""
    package = types.ModuleType('econtext')
    face.furnish(package)
    assert set(econtext.__all__) - set(vars(package)) == {'slave', *script.OTHERWISE}
    for name in econtext._HOMES:
        value = getattr(econtext, name)
        if inspect.isclass(value) and issubclass(value, BaseException):
            assert inspect.isclass(getattr(package, name)), f'core.face.ERRORS lacks {name}'


def test_a_connector_is_one_file_and_its_method(tmp_path: Path) -> None:
    for needed in ('distributed', 'joblib'):
        pytest.importorskip(needed)     # the reference page shows what needs these
    for folder in ('src', 'scripts', 'docs'):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns('__pycache__'))
    package = tmp_path / 'src' / 'econtext'
    (package / 'connectors' / 'planted.py').write_text(CONNECTOR)
    family = package / 'controller' / 'connect' / 'namespaces.py'
    family.write_text(family.read_text() + METHOD)
    subprocess.run([sys.executable, str(tmp_path / 'scripts' / 'reference.py')], check=True, cwd=tmp_path)
    reference = (tmp_path / 'docs' / 'reference.md').read_text()
    assert '\n### planted\n' in reference
    program = (
        'import json, econtext; broker = econtext.Broker();'
        'print(json.dumps(["planted" in dir(broker), callable(broker.local().planted)])); broker.close()')
    done = subprocess.run(
        [sys.executable, '-c', program], cwd=tmp_path, env={'PYTHONPATH': str(tmp_path / 'src')},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == [True, True]
