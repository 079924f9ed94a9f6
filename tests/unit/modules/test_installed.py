"""What is known of installed packages without importing them: the Pythons they require, the parts they need."""

from __future__ import annotations

import ast
import importlib.machinery
import pathlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from econtext.controller.modules import installed
from econtext.controller.modules.imports import imports_in
from econtext.controller.modules.repository import Modules
from lab.programs import write

RELEASES = st.lists(st.integers(0, 12), min_size=1, max_size=4).map(lambda parts: '.'.join(map(str, parts)))
PLAIN = st.tuples(st.sampled_from(['==', '!=', '<=', '>=', '<', '>']), RELEASES).map(''.join)
STARRED = st.tuples(st.sampled_from(['==', '!=']), RELEASES).map(lambda pair: f'{pair[0]}{pair[1]}.*')
LIKE = st.lists(st.integers(0, 12), min_size=2, max_size=3).map(lambda parts: '~=' + '.'.join(map(str, parts)))
OPERATORS = st.sampled_from(['<=', '>=', '<', '>', '==', '!='])
BEFORE = st.tuples(OPERATORS, RELEASES, st.sampled_from(['a1', 'rc2', '.dev0']))
CLAUSES = st.one_of(PLAIN, STARRED, LIKE, BEFORE.map(''.join))
VERSIONS = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12))


@given(st.lists(CLAUSES, max_size=4).map(', '.join), VERSIONS)
def test_requirements_are_read_as_installers_do(requirement: str, version: tuple[int, ...]) -> None:
    expected = SpecifierSet(requirement).contains('.'.join(map(str, version)), prereleases=True)
    assert installed.is_met(requirement, version) == expected, requirement


@pytest.mark.parametrize('requirement', ['', 'nonsense', '>=', '3', '>=3.6,nonsense', '<4,', ', ,'])
def test_what_cannot_be_read_is_no_reason(requirement: str) -> None:
    assert installed.is_met(requirement, (3, 8, 1))


@pytest.mark.parametrize(('files', 'expected'), [
    ({'demo-1.0.dist-info/METADATA': 'Name: demo\nRequires-Python: >=3.9\n\nRequires-Python: <2\n',
      'demo-1.0.dist-info/RECORD': 'demo/__init__.py,,\n'}, '>=3.9'),
    ({'Other_Name-1.dist-info/METADATA': 'Name: Other-Name\r\nRequires-Python: >=3.8\r\n\r\n',
      'Other_Name-1.dist-info/RECORD': 'a/b.py,,\ndemo/__init__.py,,\n'}, '>=3.8'),
    ({'x-1.egg-info/PKG-INFO': 'Requires-Python: >=3.7\n', 'x-1.egg-info/top_level.txt': 'demo\n'}, '>=3.7'),
    ({'demo-1.dist-info/METADATA': 'Name: demo\n', 'demo-1.dist-info/RECORD': 'demo.py,,\n'}, ''),
    ({'demo_more-1.dist-info/METADATA': 'Requires-Python: >=9\n',
      'demo_more-1.dist-info/RECORD': 'demo_more/__init__.py,,\n'}, ''),
    ({'broken.dist-info': ''}, ''),
])  # fmt: skip
def test_the_distribution_of_a_package_is_found(tmp_path: pathlib.Path, files: Any, expected: str) -> None:
    write(tmp_path, files)
    assert installed.requires_python('demo', str(tmp_path)) == expected
    assert installed.requires_python('demo', str(tmp_path / 'absent')) == ''


NEEDED = {
    'plain': 'import demo._c', 'relative': 'from . import _c', 'member': 'from ._c import x',
    'raises': 'try:\n    from . import _c\nexcept ImportError as e:\n    raise ImportError("no") from e',
    'finally': 'try:\n    pass\nfinally:\n    from . import _c', 'class': 'class X:\n    from ._c import x',
    'else': 'if x:\n    print("from the source folder")\nelse:\n    from . import _c',
    'with': 'with x:\n    from . import _c',
    'other error': 'try:\n    from . import _c\nexcept KeyError:\n    pass', 'through': 'from . import uses',
    'aliased': 'from .uses import other',
}  # fmt: skip
OPTIONAL = {
    'soft': 'try:\n    from ._c import x\nexcept ImportError:\n    x = None',
    'one': 'try:\n    from ._c import x\nexcept (KeyError, ImportError):\n    from .pure import x',
    'bare': 'try:\n    from . import _c\nexcept:\n    pass', 'late': 'def f():\n    from . import _c',
    'condition': 'if x:\n    from ._c import y\nelse:\n    from .pure import y',
    'alone': 'if x:\n    from ._c import y',
    'defined': 'if x:\n    y = 1\nelse:\n    from ._c import y', 'type': 'if TYPE_CHECKING:\n    from ._c import y',
    'sometimes': 'try:\n    from . import _c\nexcept ImportError:\n    if strict:\n        raise',
    'suppressed': 'with contextlib.suppress(ImportError):\n    from . import _c', 'pure': 'from . import pure',
    'nested': 'try:\n    from . import uses\nexcept ImportError:\n    uses = None', 'beside': 'from . import mypyc',
    'other': 'import other._c',
}  # fmt: skip


@pytest.mark.parametrize('form', [*NEEDED, *OPTIONAL])
def test_compiled_parts_that_a_package_needs(form: str, program: Any) -> None:
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    program({
        'demo/__init__.py': (NEEDED | OPTIONAL)[form], f'demo/_c{suffix}': b'\x7fELF', 'demo/pure.py': 'x = y = 1\n',
        'demo/uses.py': 'from demo import _c\nother = 1\n',
        f'demo/mypyc{suffix}': b'\x7fELF', 'demo/mypyc.py': 'x = 1\n',
    }, place='lib/site-packages')  # fmt: skip
    modules = Modules()
    spec = modules.find('demo')
    assert spec is not None
    assert installed.needed_part(modules, 'demo', spec) == ('demo._c' if form in NEEDED else '')
    assert ('demo._c' in installed.objection(modules, 'demo', (3, 8))) == (form in NEEDED)


def test_a_package_of_sources_alone_is_not_read(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    program({'demo/__init__.py': 'from . import x\n', 'demo/x.py': ''}, place='lib/site-packages')
    modules = Modules()
    monkeypatch.setattr(installed, 'parse', lambda source: pytest.fail('it was parsed'))
    assert installed.objection(modules, 'demo', (3, 8)) == ''
    tree = ast.parse('import a\nfrom b import c')
    assert list(imports_in(installed.always(tree.body), 'x', False)) == ['a', 'b', 'b.c']
