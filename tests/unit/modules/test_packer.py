"""The packer: what is squeezed still means the same, line by line, and what is packed runs on every Python."""

from __future__ import annotations

import ast
import marshal
import os
import random
import subprocess
import sys
import sysconfig
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from econtext.controller.modules import built, manifest, packer
from econtext.controller.modules.repository import PUSHED, first_bodies
from lab.pythons import Interpreter

PACKAGE = Path(packer.__file__).parents[2]
SAMPLE = 200  # of the standard library's files, the same in each run of one version
LARGE = 30_000  # bytes: a few giants would take most of the time

# As the command line of a child has it.
FIRST_STAGE = (
    r'import sys;del sys.path[0];import os,zlib;d=zlib.decompressobj();exec("b=s=d.unused_data\n'
    r'while not d.unused_data:c=os.read(0,4096)or os._exit(66);b+=c;s+=d.decompress(c)");exec(s)'
)


# -- squeeze ---------------------------------------------------------------------


def without_docstrings(source: str) -> ast.Module:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            line = node.body.pop(0).lineno
            if not node.body and not isinstance(node, ast.Module):
                node.body.append(ast.Pass(lineno=line, col_offset=0))
    return tree


def meaning(tree: ast.Module) -> tuple[str, list[tuple[str, int]]]:
    """Return all that compilers make of a tree, but columns."""
    places = [(type(node).__name__, getattr(node, 'lineno', 0)) for node in ast.walk(tree)]
    return ast.dump(tree), places


def assert_same(source: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of invalid escapes, which are the sources' own
        squeezed = packer.squeeze(source)
        assert meaning(ast.parse(squeezed)) == meaning(without_docstrings(source))
    return squeezed


def standard_library() -> list[Path]:
    root = Path(sysconfig.get_path('stdlib'))
    every = sorted(path for path in root.rglob('*.py') if 'site-packages' not in path.parts)
    found = [path for path in every if path.stat().st_size < LARGE]
    return random.Random(2).sample(found, min(SAMPLE, len(found)))


def test_the_standard_library_keeps_its_meaning() -> None:
    tried = 0
    for path in standard_library():
        try:
            with tokenize.open(path) as file, warnings.catch_warnings():
                warnings.simplefilter('ignore')
                source = file.read()
                ast.parse(source)
        except (SyntaxError, UnicodeError, ValueError):
            continue  # some are broken on purpose
        assert_same(source)
        tried += 1
    assert tried > SAMPLE / 2


@pytest.mark.parametrize('path', sorted(PACKAGE.rglob('*.py')), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_our_own_modules_keep_their_meaning(path: Path) -> None:
    source = path.read_text('utf-8')
    assert len(assert_same(source)) <= len(source)


@pytest.mark.parametrize(
    ('source', 'expected'),
    [
        ('"""doc"""\nx = 1  # why\n', '\nx=1\n'),
        ('def f():\n    """doc"""\n', 'def f():\n pass\n'),
        ('def f(): "doc"\n', 'def f():pass\n'),
        ('def f(): "doc"; return 1\n', 'def f():return 1\n'),
        ('class A:\n    "doc"; x = 1\n    y = 2\n', 'class A:\n x=1\n y=2\n'),
        ('class A:\n  ("a"\n   "b")\n  x = 1\n', 'class A:\n\n\n x=1\n'),
        ('class A:\n    """a\n    b"""; x = 1\n', 'class A:\n\n x=1\n'),
        ('x = [1,  # one\n\n     2]\n', 'x=[1,\n\n2]\n'),
        ('x = 1 + \\\n    2\n', 'x=1+\\\n2\n'),
        ('if a:\n\tif b:\n\t\tc\n\td\n', 'if a:\n if b:\n  c\n d\n'),
        ('x = "# no comment"\n', 'x="# no comment"\n'),
        ('x = """a\n   b  # c\n"""\ny = 1\n', 'x="""a\n   b  # c\n"""\ny=1\n'),
        ("x = '' 'a'\n", "x='' 'a'\n"),
        ('x = 1 .real\n', 'x=1 .real\n'),
        ('x = 1 if a else 2\n', 'x=1 if a else 2\n'),
        ("x = a in 'b' or b'c'\n", "x=a in'b'or b'c'\n"),
        ('x = f"{ a = } {b!r:>{ c }}" + d\n', 'x=f"{ a = } {b!r:>{ c }}"+d\n'),
        ('x = f"{ a }" f"{ f(\'b\') }"\n', 'x=f"{ a }" f"{ f(\'b\') }"\n'),
        ('def f(a):\n    # type: (int) -> int\n    return a\n', 'def f(a):\n\n return a\n'),
        ('# coding: latin-1\nx = "\u00e9"\n', '# coding: latin-1\nx="\u00e9"\n'),
        ('# coding: latin-1\nx = 1\n', '\nx=1\n'),
        ('class \u00e9: "doc"\n', 'class \u00e9:pass\n'),
        ('x = 1\r\ny = 2\r\n', 'x=1\ny=2\n'),
        ('x = 1', 'x=1\n'),
        ('', '\n'),
        ('"""doc"""', '\n'),
        ('# nothing\n', '\n'),
        ('@a\nclass B: pass\n', '@a\nclass B:pass\n'),
        ('from . import a\n', 'from.import a\n'),
        ('f(* a, ** b)\n', 'f(*a,**b)\n'),
        ('x = - - 1 if not + 1 else ~ 1\n', 'x=--1 if not+1 else~1\n'),
    ],
)
def test_squeeze(source: str, expected: str) -> None:
    assert assert_same(source) == expected


WORDS = st.sampled_from('a b 1 0x1f 1.5 .5 1j "s" \'\' r"\\d" b"" f"{a}" None lambda:a [] () {} ...'.split())
OPERATORS = st.sampled_from('+ - * ** / // % << >> < > == != <= >= & | ^ and or in is'.split() + ['not in', 'is not'])
BLANKS = st.sampled_from(['', ' ', '  ', ' \\\n ', '\t'])


@st.composite
def expressions(draw: st.DrawFn) -> str:
    parts = [draw(WORDS)]
    for _ in range(draw(st.integers(0, 4))):
        unary = draw(st.sampled_from(['', '-', '~', 'not ', '- -', '+']))
        parts += [' ', draw(OPERATORS), draw(BLANKS), ' ', unary, draw(BLANKS), draw(WORDS)]
    return 'x =' + draw(BLANKS) + ''.join(parts) + draw(st.sampled_from(['\n', '  # c\n', ' ;y=1\n', '']))


@given(expressions())
@settings(deadline=None)
def test_any_expression_keeps_its_meaning(source: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            ast.parse(source)
    except SyntaxError:
        return  # `1 in not 2`
    assert_same(source)


# -- pack ------------------------------------------------------------------------

UNITS = [
    ('econtext', packer.FACE),
    ('econtext.core', '"""Docs."""\n'),
    ('econtext.core.wire', 'SEEN = r"""\\n\'\'\'"""\n\n\n\ndef fail():\n    raise ValueError(SEEN)\n'),
    (
        'econtext.core.main',
        """\
import sys
import econtext
import econtext.core.wire as wire
from econtext.core.wire import fail

def main(b, d):
    assert econtext.slave and econtext.core.wire is wire is sys.modules['econtext.core.wire']
    assert wire.__file__ == 'econtext/core/wire.py' and wire.__name__ == 'econtext.core.wire'
    assert econtext.__path__ == [] == econtext.core.__path__ and not hasattr(wire, '__path__')
    assert len(wire.__source__.splitlines()) == 6
    import traceback
    try:
        fail()
    except ValueError:
        frames = traceback.extract_tb(sys.exc_info()[2])
    names = ['%s:%d' % (frame[0], frame[1]) for frame in frames]
    sys.stdout.write(repr((len(b), len(d.unused_data), names)))
""",
    ),
]


def squeezed_units() -> list[packer.Unit]:
    return [(name, packer.squeeze(source)) for name, source in UNITS]


def run(python: str, sent: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([python, '-Ec', FIRST_STAGE], input=sent, capture_output=True, check=False)


@pytest.mark.every_python
def test_packed_units_are_real_modules(python: Interpreter) -> None:
    packed = packer.pack(squeezed_units())
    done = run(python, packed + b'the first frame')
    assert done.stderr == b''
    size, unused, names = ast.literal_eval(done.stdout.decode())
    assert (size, unused) == (len(packed) + 15, 15)
    assert names == ['econtext/core/main.py:13', 'econtext/core/wire.py:6']


def test_the_first_stage_ends_with_its_input() -> None:
    packed = packer.pack(squeezed_units())
    assert run(sys.executable, packed[:100]).returncode == 66


def test_pack_is_a_function_of_its_units() -> None:
    program = 'import sys; from econtext.controller.modules import built, manifest; ' + (
        'sys.stdout.buffer.write(built.preamble(manifest.PREAMBLE))')
    outputs = set()
    for seed in ('0', '1'):
        environ = dict(os.environ, PYTHONPATH=str(PACKAGE.parent), PYTHONHASHSEED=seed)
        outputs.add(
            subprocess.run([sys.executable, '-c', program], env=environ, capture_output=True, check=True).stdout
        )
    assert outputs == {built.preamble(manifest.PREAMBLE)}


def test_a_form_feed_is_refused() -> None:
    with pytest.raises(ValueError, match='form feed'):
        packer.pack([('a', 'x="\f"\n')])


@pytest.mark.parametrize('text', ["'''", '"""', '\'\'\'"""', "a'", 'a"', '\\', 'a\\\\', '\\n\n', "'''\\"])
def test_quote(text: str) -> None:
    assert ast.literal_eval(packer.quote(text)) == text


def test_preamble_holds_the_core() -> None:
    program = zlib.decompress(built.preamble(manifest.PREAMBLE)).decode('ascii')
    for name in manifest.PREAMBLE:
        assert '%s\n' % name in program
    assert '# type:' not in program
    assert '    ' not in program.replace('\n    ', '\n'), 'indentation of one space'


def test_squeezed_knows_packages_and_modules() -> None:
    assert built.squeezed('econtext.core').strip() == ''
    text = (PACKAGE / 'core' / 'wire.py').read_text('utf-8')
    assert built.squeezed('econtext.core.wire') == packer.squeeze(packer.untyped(text))


def test_no_source_is_an_error_that_names_the_module() -> None:
    with pytest.raises(ImportError, match=r'no source of econtext\.core\.nothing'):
        built.squeezed('econtext.core.nothing')


# -- what type checkers read ---------------------------------------------------------

BLOCK = """\
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from b import Link

    class Owner(Protocol):
        '''Has a link.'''
        def lost(self, link: Link) -> None: ...

    Table = dict[str, Any]  # within the block
"""


def test_untyped_keeps_lines() -> None:
    before, after = '"""What."""\n\n', 'import os  # here\n\n\ndef f():\n    raise OSError\n'
    assert packer.untyped(before + BLOCK + after) == before + '\n' * BLOCK.count('\n') + after
    squeezed = packer.travelling(before + BLOCK + after)
    assert squeezed == '\n' * (2 + BLOCK.count('\n')) + 'import os\n\n\ndef f():\n raise OSError\n'


def test_nothing_but_the_block_is_untyped() -> None:
    assert packer.untyped('a = 1\nif a:\n    b = 2\n') == 'a = 1\nif a:\n    b = 2\n'
    assert packer.untyped("a = 'TYPE_CHECKING'  # TYPE_CHECKING\n") == "a = 'TYPE_CHECKING'  # TYPE_CHECKING\n"


def test_a_block_in_one_line_or_at_the_end() -> None:
    assert packer.untyped('TYPE_CHECKING = False\nif TYPE_CHECKING: import a; import b  # x\nc = 1\n') == '\n\nc = 1\n'
    assert packer.travelling(BLOCK) == '\n'
    assert packer.travelling(BLOCK.rstrip('\n')) == '\n'


def test_the_block_costs_next_to_nothing() -> None:
    """It only makes a run of line feeds longer."""
    source = packer.untyped((PACKAGE / 'child' / 'life.py').read_text('utf-8'))
    _, doc, rest = source.split('"""', 2)
    plain, typed = (packer.travelling(f'"""{doc}"""\n{block}{rest}') for block in ('', BLOCK))
    assert len(packer.deflate(typed.encode())) - len(packer.deflate(plain.encode())) <= 3


@pytest.mark.parametrize(
    'source',
    [
        'if TYPE_CHECKING:\n    import a\nelse:\n    import b\n',
        'if TYPE_CHECKING:\n    import a\nelif c:\n    import b\n',
        'if not TYPE_CHECKING:\n    import a\n',
        'if TYPE_CHECKING and b:\n    import a\n',
        'if TYPE_CHECKING:\n    if TYPE_CHECKING:\n        import a\n',
        'def f():\n    if TYPE_CHECKING:\n        import a\n',
        'class A:\n    TYPE_CHECKING = False\n',
        'TYPE_CHECKING = True\n', 'TYPE_CHECKING = 0\n', 'TYPE_CHECKING = a = False\n',
        'a = 1; TYPE_CHECKING = False\n', 'TYPE_CHECKING = False; a = 1\n',
        'print(TYPE_CHECKING)\n', 'try:\n    TYPE_CHECKING = False\nfinally:\n    a()\n',
    ],
)  # fmt: skip
def test_the_switch_is_refused_elsewhere(source: str) -> None:
    with pytest.raises(ValueError, match='may stand only in'):
        packer.untyped(source)


# -- where the preamble comes from -------------------------------------------------


def ask(path: Path, what: str = 'built.preamble(manifest.PREAMBLE)') -> bytes:
    """Return what the econtext at `path` of sys.path answers."""
    program = 'import sys; from econtext.controller.modules import built, manifest; sys.stdout.buffer.write(%s)' % what
    environ = dict(os.environ, PYTHONPATH=str(path))
    return subprocess.run([sys.executable, '-c', program], env=environ, capture_output=True, check=True).stdout


def sources() -> Iterator[tuple[Path, str]]:
    for path in PACKAGE.rglob('*.py'):
        yield path, str(path.relative_to(PACKAGE.parent))


def test_out_of_an_archive(tmp_path: Path) -> None:
    archive = tmp_path / 'app.zip'
    with zipfile.ZipFile(archive, 'w') as made:
        for path, name in sources():
            made.write(path, name)
    assert ask(archive) == built.preamble(manifest.PREAMBLE)


def test_out_of_a_built_package(tmp_path: Path) -> None:
    for path, name in sources():
        copy = tmp_path / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / 'econtext' / built.BUILT).write_bytes(b'built')
    assert ask(tmp_path) == b'built'
    (tmp_path / 'econtext' / built.BUILT_SOURCES).write_bytes(marshal.dumps({'econtext.core.wire': 'small'}, 2))
    assert ask(tmp_path, "built.squeezed('econtext.core.wire').encode()") == b'small'
    (tmp_path / 'econtext' / built.BUILT_BODIES).write_bytes(marshal.dumps({PUSHED: b'body'}, 2))
    pushed = "__import__('econtext.controller.modules.repository', fromlist='*').pushed"
    assert ask(tmp_path, f'{pushed}({PUSHED!r})') == b'body'


@pytest.mark.alone  # while scripts/test runs the other parts there is something in the sources
def test_a_wheel_holds_the_preamble(tmp_path: Path, repository: Path) -> None:
    before = sorted(PACKAGE.rglob('*.bin'))
    command = [sys.executable, '-m', 'hatchling', 'build', '-t', 'wheel', '-d', str(tmp_path)]
    subprocess.run(command, cwd=repository, check=True, capture_output=True)
    (wheel,) = tmp_path.glob('*.whl')
    with zipfile.ZipFile(wheel) as made:
        assert made.read('econtext/' + built.BUILT) == packer.pack(
            packer.preamble_units(manifest.PREAMBLE, built.read_source))
        sources = marshal.loads(made.read('econtext/' + built.BUILT_SOURCES))
        assert marshal.loads(made.read('econtext/' + built.BUILT_BODIES)) == first_bodies()
        assert 'econtext/py.typed' in made.namelist()
    expected = {path for ring in manifest.RINGS for path in (PACKAGE / ring).glob('*.py')}
    assert len(sources) == len(expected)
    for name, source in sources.items():
        assert source == packer.travelling(built.read_source(name))
    assert sorted(PACKAGE.rglob('*.bin')) == before == [], 'nothing is built into the sources'
