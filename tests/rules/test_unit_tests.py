"""The unit tests mirror the source tree.

The tests of `controller/session/router.py` stand in `tests/unit/session/test_router.py`. A file that tests several
modules together stands beside them, and THEMES names its theme.
"""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = ROOT / 'src' / 'econtext'
UNIT = ROOT / 'tests' / 'unit'

#: A file that tests no single module -> what it tests.
THEMES = {
    'connectors/test_connectors.py': 'what each connector starts, and what it refuses to start',
    'child/test_races.py': 'two threads in the same function of a context',
    'runtime/test_alarms.py': 'handlers of signals that raise, in the loop of a context and in the loop of the program',
}

FILES = sorted(path.relative_to(UNIT).as_posix() for path in UNIT.rglob('test_*.py'))


def candidates(file: str) -> list[Path]:
    """Return where the module that `file` tests may stand."""
    path = Path(file)
    module = path.with_name(path.name.removeprefix('test_'))
    return [SOURCES / 'controller' / module, SOURCES / module]


@pytest.mark.parametrize('file', FILES)
def test_each_file_of_unit_tests_names_a_module_or_a_theme(file: str) -> None:
    found = [path for path in candidates(file) if path.is_file()]
    if file in THEMES:
        assert not found, f'{file} has the name of a module: it needs no theme'
    else:
        assert found, f'{file} tests no module of that name: move it with its module, or name its theme in THEMES'


def test_each_theme_has_its_file() -> None:
    assert set(THEMES) <= set(FILES)


def test_each_folder_of_unit_tests_is_a_package() -> None:
    """Two files may then have one name, and helpers are imported as `unit.fakes`."""
    folders = {path.parent for path in UNIT.rglob('*.py')}
    assert [str(folder) for folder in sorted(folders) if not (folder / '__init__.py').is_file()] == []
