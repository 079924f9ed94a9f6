"""What travels is Python 2.4 to 3.15: each file by the gate's rules, and as each Python at hand reads it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import polyglot
import pytest

from econtext.child import pull
from econtext.controller.modules import packer
from lab import pythons

PACKAGE = Path(__file__).parents[2] / 'src' / 'econtext'
FILES = sorted(path for ring in ('core', 'child', 'parent', 'connectors') for path in (PACKAGE / ring).glob('*.py'))

VERMIN = 'from vermin import main; main()'
# What vermin takes for newer than it is.
FALSE_ALARMS = (
    'sys.dont_write_bytecode',  # setting it does nothing before 2.6, and no harm
)

# Reads names of files, one a line, and compiles each with warnings as errors; knows nothing newer than 2.4.
COMPILE = """\
import sys, warnings
warnings.simplefilter('error')
bad = 0
for line in sys.stdin:
    name = line.strip()
    source = open(name)
    text = source.read()
    source.close()
    try:
        compile(text, name, 'exec')
    except (SyntaxError, ValueError, Warning):
        bad = 1
        sys.stderr.write('%s: %s\\n' % (name, sys.exc_info()[1]))
sys.exit(bad)
"""

# What came after 2.4; which version brought it is tested with the table itself, tests/unit/modules/test_grammar.py.
NEWER = (
    'a = b if c else d', 'with a: pass', 'with a as b: pass', 'try: a()\nexcept B: pass\nfinally: c()',
    'try: a()\nexcept B as e: pass', 'try: a()\nexcept* B: pass', 'from . import a', 'from ..b import a',
    'from __future__ import annotations', 'from __future__ import with_statement', 'def f():\n  yield 1\n  return 2',
    'def f():\n  yield from a', '@a\nclass B(object): pass', '@a[0]\ndef f(): pass', '@a.b().c\ndef f(): pass',
    'class A(B, metaclass=C): pass', 'def f(*, a): pass', 'def f(*a, b=1): pass', 'def f(a, /): pass',
    'lambda *, a: 1', 'def f(a: int): pass', 'def f() -> int: pass', 'a: int', 'a: int = 1', 'def f(*a: int): pass',
    'f(*a, b=1)', 'f(*a, *b)', 'f(*a, 1)', 'f(**a, **b)', 'f(**a, b=1)', 'a, *b = c', '[*a, 1]', 'a = *b, 1',
    'for a, *b in c: pass', 'def f():\n  return 1, *a', '{**a}', '{1: 2, **a}', '(a := 1)', '{1, 2}',
    '{a for a in b}', '{a: 1 for a in b}', 'f"{a}"', 'f""', 'async def f(): pass', 'async def f():\n  await g()',
    'def f():\n  a = 1\n  def g():\n    nonlocal a', 'match a:\n  case 1: pass', 'type A = int', 'def f[T](a): pass',
    'raise A from b', 'a @ b', 'a @= b', "b'a'", "rb'a'", "b''", '0o17\n', '0b1\n', '1_000\n', 'f(*a,)\n',
    'f(**a,\n)\n', 'def f(*a,): pass\n', 'def f(b, **a,): pass\n', 'f(a, *b[1],)\n',
)  # fmt: skip

RULES = [*polyglot.RULES, *polyglot.TEXT_RULES]


def travels(path: Path) -> str:
    """Return the text of a file as other Pythons get it: without what type checkers alone read."""
    return packer.untyped(path.read_bytes().decode('utf-8'))



def parsed(samples: tuple[str, ...]) -> list[str]:
    """Return the samples that this Python can parse: some are newer than it is."""
    found = []
    for sample in samples:
        try:
            ast.parse(sample)
        except SyntaxError:
            continue
        found.append(sample)
    return found


def whys(sample: str) -> list[str]:
    return [why for _, why in polyglot.complaints(sample)]


@pytest.mark.parametrize('rule', RULES, ids=lambda rule: rule.why)
def test_rule_refuses(rule: polyglot.Rule | polyglot.TextRule) -> None:
    assert rule.bad, 'a rule without samples is not tested'
    for sample in parsed(rule.bad):
        assert any(why.startswith(rule.why) for why in whys(sample)), sample


@pytest.mark.parametrize('rule', RULES, ids=lambda rule: rule.why)
def test_rule_lets_pass(rule: polyglot.Rule | polyglot.TextRule) -> None:
    assert rule.good, 'a rule without samples is not tested'
    for sample in rule.good:
        assert not any(why.startswith(rule.why) for why in whys(sample)), sample


@pytest.mark.parametrize('sample', NEWER)
def test_what_a_later_grammar_brought_is_refused(sample: str) -> None:
    for source in parsed((sample,)):
        assert whys(source), source


def test_complaints_name_the_line() -> None:
    assert [line for line, _ in polyglot.complaints('a = 1\n\nb = a if a else 2\n')] == [3]


@pytest.mark.parametrize('path', FILES, ids=lambda path: '%s/%s' % (path.parent.name, path.name))
def test_file(path: Path) -> None:
    text = travels(path)
    assert [('line %d' % line, why) for line, why in sorted(polyglot.complaints(text))] == []


def test_guards_are_cut() -> None:
    text = 'import a\ntry:\n  import b\nexcept ImportError:\n  import c\nif hasattr(a, "d"):\n  a.d()\na.e()\n'
    assert polyglot.unguarded(text) == 'import a\npass\npass\na.e()\n'


def test_vermin_agrees(tmp_path: Path) -> None:
    for path in FILES:
        copy = tmp_path / path.relative_to(PACKAGE)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(polyglot.unguarded(travels(path)))
    options = ['--violations', '--no-tips', '--processes=1', '-t=2.4-', '-t=3.0-']
    for name in FALSE_ALARMS:
        options += ['--exclude', name]
    done = subprocess.run(
        [sys.executable, '-c', VERMIN, *options, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ''), done.stdout


@pytest.mark.parametrize('version', pythons.REQUIRED + pythons.WELCOME)
def test_compiles(version: str, tmp_path: Path) -> None:
    if version in pythons.WELCOME and version not in pythons.interpreters():
        pytest.skip(f'no Python {version} here')
    python = pythons.interpreter(version)
    names = ''
    for path in FILES:
        copy = tmp_path / f'{path.parent.name}_{path.name}'
        copy.write_text(travels(path), 'utf-8')
        names += f'{copy}\n'
    done = subprocess.run([python, '-E', '-c', COMPILE], input=names, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, '')


def tried(text: str) -> set[str]:
    """Return the modules of others that a source imports, and does without where there is none."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Try):
            for each in node.body:
                if isinstance(each, ast.Import):
                    found.update(alias.name for alias in each.names)
                elif isinstance(each, ast.ImportFrom):
                    found.add(str(each.module))
    return {name.partition('.')[0] for name in found} - {'econtext'}


@pytest.mark.parametrize('path', FILES, ids=lambda path: '%s/%s' % (path.parent.name, path.name))
def test_what_some_python_lacks_is_asked_for_nowhere(path: Path) -> None:
    """Such an import may stand where nobody may wait: in the leader, or in who holds a lock."""
    assert tried(travels(path)) <= polyglot.MODULES | set(pull.NEWER)
