"""What is read in sources: which modules they import."""

from __future__ import annotations

import ast
import pathlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.controller.modules import manifest, packer
from econtext.controller.modules.imports import imports_in, naming_main, read_imports, statements
from econtext.controller.modules.repository import FACES, own_children, own_unit
from econtext.controller.modules.source import own_imports

FOLDER = pathlib.Path(packer.__file__).parents[2]
OURS = [f'econtext.{ring}.{module}' for ring in manifest.RINGS for module in own_children(str(FOLDER / ring))]
NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=3).map(lambda name: f'm_{name}')
IMPORTS = st.one_of(
    NAMES.map(lambda name: f'import {name}'),
    st.tuples(NAMES, NAMES).map(lambda pair: f'from .{pair[0]} import {pair[1]} as x'),
    st.just('x = [lambda: y for y in (1, 2)] if x else {}'),
)
HEADS = st.sampled_from([
    'if x:', 'for x in y:', 'while x:', 'with x:', 'def x():', 'class X:', 'async def x():', 'try:',
    'match x:', 'if x:|else:', 'for x in y:|else:', 'try:|except E:', 'try:|except E:|else:|finally:', 'try:|finally:',
])  # fmt: skip


def indented(lines: list[str], by: str = '    ') -> list[str]:
    return [by + line for line in lines]


@st.composite
def sources(draw: st.DrawFn, depth: int = 3) -> list[str]:
    """Lines with imports in blocks of all kinds."""
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        if not depth or draw(st.booleans()):
            lines.append(draw(IMPORTS))
            continue
        head = draw(HEADS)
        if head == 'match x:':
            lines += [head, '    case 1:', *indented(draw(sources(depth - 1)), '        ')]
            continue
        parts = head.split('|')
        if parts == ['try:']:
            parts.append('except* E:')
        for part in parts:
            lines += [part, *indented(draw(sources(depth - 1)))]
    return lines


@given(sources())
def test_every_import_is_found_wherever_it_stands(lines: list[str]) -> None:
    text = '\n'.join(lines)
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return  # `except*` before Python 3.11
    everywhere = set(imports_in(ast.walk(tree), 'a.b', False))
    assert set(imports_in(statements(tree), 'a.b', False)) == everywhere
    assert set(read_imports('a.b', (False, 'a/b.py', text.encode()))) == everywhere


@pytest.mark.parametrize('name', [*OURS, *FACES])
def test_what_our_own_modules_import_of_ours(name: str) -> None:
    """Read in lines, it is what a parser finds."""
    unit = own_unit(name)
    assert unit is not None
    found = imports_in(ast.walk(ast.parse(unit[2])), name, unit[0])
    assert set(own_imports(unit[2].decode())) == {each for each in found if each.startswith('econtext')}


@pytest.mark.parametrize('name', FACES)
def test_what_stands_for_a_module_of_ours_has_its_names(name: str) -> None:
    path = (FOLDER.parent / name.replace('.', '/')).with_suffix('.py')
    if not path.exists():
        path = path.with_suffix('') / '__init__.py'
    (names,) = (ast.literal_eval(each.value) for each in ast.parse(path.read_text()).body
                if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == '__all__')
    assert sorted(FACES[name]) == sorted(names)


@pytest.mark.parametrize(('source', 'expected'), [
    ('import __main__', 'import prog as __main__'), ('import os, __main__', 'import os, prog as __main__'),
    ('import __main__ as m, sys', 'import prog as m, sys'), ('from __main__ import f, g', 'from prog import f, g'),
    ('def f():\n    x = "\u2603"; from  __main__  import f', 'def f():\n    x = "\u2603"; from  prog  import f'),
    ('from \\\n  __main__ import f', 'from \\\n  prog import f'),
    ('import \\\n  __main__', 'import \\\n  prog as __main__'),
    ('from __main__ import *; import __main__', 'from prog import *; import prog as __main__'),
    *((each, each) for each in (
        'from .__main__ import f', 'from . import __main__', 'import a.__main__', 'x = "import __main__"',
        '# import __main__',
        'if __name__ == "__main__":\n    import x', 'print "import __main__"', 'from a.__main__ import b', '')),
])  # fmt: skip
def test_the_program_is_imported_by_its_name(source: str, expected: str) -> None:
    assert naming_main(source.encode(), 'prog').decode() == expected
