"""What is newer than a Python is told by reading, and each Python at hand agrees."""

from __future__ import annotations

import ast
import json
import subprocess
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.controller.modules import grammar, packer
from lab import pythons

# What brought it, and a source that has it and nothing newer.
SAMPLES = (
    ((2, 5), 'a = b if c else d'),
    ((2, 5), 'try: a()\nexcept B: pass\nfinally: c()'),
    ((2, 5), 'from . import a'),
    ((2, 5), 'from __future__ import absolute_import'),
    ((2, 6), 'with a as b: pass'),
    ((2, 6), 'try: a()\nexcept B as e: pass'),
    ((2, 6), "a = b''"),
    ((2, 6), '@a\nclass B: pass'),
    ((2, 6), 'f(*a, b=1)'),
    ((2, 6), 'a = 0o17'),
    ((2, 6), 'from __future__ import print_function\nprint(1, file=a)'),
    ((2, 7), '{1, 2}'),
    ((2, 7), '{a for a in b}'),
    ((2, 7), '{a: 1 for a in b}'),
    ((2, 7), 'with a, b: pass'),
    ((3, 0), 'def f():\n  a = 1\n  def g():\n    nonlocal a'),
    ((3, 0), 'def f(*, a): pass'),
    ((3, 0), 'def f(a: int): pass'),
    ((3, 0), 'def f() -> int: pass'),
    ((3, 0), 'class A(B, metaclass=C): pass'),
    ((3, 0), 'raise A from b'),
    ((3, 0), 'a, *b = c'),
    ((3, 0), 'for a, *b in c: pass'),
    ((3, 0), 'print(1, file=a)'),
    ((3, 0), 'a = print(1)'),
    ((3, 0), 'print(*a)'),
    ((3, 0), 'ä = 1'),
    ((3, 3), 'def f():\n  yield from a'),
    ((3, 3), 'def f():\n  yield 1\n  return 2'),
    ((3, 5), 'async def f(): pass'),
    ((3, 5), 'a @ b'),
    ((3, 5), 'from __future__ import generator_stop'),
    ((3, 5), '[*a, 1]'),
    ((3, 5), 'a = *b, 1'),
    ((3, 5), '{*a}'),
    ((3, 5), '{**a}'),
    ((3, 5), 'f(*a, *b)'),
    ((3, 5), 'f(*a, 1)'),
    ((3, 5), 'f(**a, **b)'),
    ((3, 5), 'f(**a, b=1)'),
    ((3, 5), 'f(*a,)'),
    ((3, 5), 'f(a, **b[1],)'),
    ((3, 6), 'def f(*a,): pass'),
    ((3, 6), "f'{a}'"),
    ((3, 6), 'a: int = 1'),
    ((3, 6), 'a = 1_000'),
    ((3, 6), 'async def f():\n  yield 1'),
    ((3, 6), 'async def f():\n  [a async for a in b]'),
    ((3, 7), 'from __future__ import annotations'),
    ((3, 8), '(a := 1)'),
    ((3, 8), 'def f(a, /): pass'),
    ((3, 8), 'lambda a, /: 1'),
    ((3, 8), "f'{x=}'"),
    ((3, 8), "f'a{x = !r:>10}'"),
    ((3, 8), "'a' f'b{x=}' 'c'"),
    ((3, 8), "f'''{\nx=\n}'''"),
    ((3, 8), 'f"{f\'{x=}\'}"'),
    ((3, 8), 'def f():\n  return 1, *a'),
    ((3, 8), 'for a in b:\n  try: c()\n  finally:\n    continue'),
    ((3, 9), 'with (a as b): pass'),
    ((3, 9), 'with (a as b, c as d,): pass'),
    ((3, 9), '@a[0]\ndef f(): pass'),
    ((3, 9), '@a.b().c\nclass D: pass'),
    ((3, 9), '@(lambda f: f)\ndef f(): pass'),
    ((3, 10), 'match a:\n  case 1: pass'),
    ((3, 11), 'try: a()\nexcept* B: pass'),
    ((3, 11), 'a[*b]'),
    ((3, 11), 'a[1, *b]'),
    ((3, 11), 'def f(*a: *b): pass'),
    ((3, 12), 'type A = int'),
    ((3, 12), 'def f[T](a): pass'),
    ((3, 12), 'class A[T]: pass'),
    ((3, 12), "f'{a['b']}'"),
    ((3, 12), "f'{f'{a}'}'"),
    ((3, 12), "f'{'\\n'.join(a)}'"),
    ((3, 12), 'f"{\'\\n\'.join(a)}"'),
    ((3, 12), "f'''{a # why\n}'''"),
    ((3, 12), "f'{a +\nb}'"),
    ((3, 13), 'def f[T = int](a): pass'),
    ((3, 14), "t'{a}'"),
    ((3, 14), 'try: a()\nexcept A, B: pass'),
    ((3, 15), '[*a for a in b]'),
    ((3, 15), '{**a for a in b}'),
    ((3, 15), 'lazy import a'),
    ((3, 15), 'lazy from a import b'),
)
# What every Python can read, though it may look newer.
OLD = (
    'a = b\nfor c in a:\n  print(c)',
    'print(1, 2)',
    'with_a = (1, 2)',
    'try: a()\nexcept (B, C): pass\nelse: d()',
    'f(1, b=2, *a, **c)\nf((1,),)\nf(a * b,)\ng(a, *b)',
    'def f(a, b=1, *c, **d):\n  return (c,)',
    'a[1:2, ...]\na[(1, 2)]',
    'match = 1\nmatch[1]\ntype = 2\nlazy = 3\nasynchronous = 4',
    'for a in b:\n  try:\n    continue\n  finally:\n    for c in d: continue',
    '@a.b(1)\ndef f(): pass',
    "a = '{x=}'",
    'def f():\n  def g():\n    yield 1\n  return g',
)
# What is newer than 2.4, and as old as the version says, though it may look newer.
FIRST = (
    ((2, 7), 'with (a), (b): pass'),
    ((2, 6), 'with (a): pass'),
    ((2, 6), 'with (a) as b: pass'),
    ((3, 5), 'a[(*b, 1)]'),
    ((3, 5), 'def f():\n  return (1, *a)'),
    ((3, 6), "f'{a == b}{a!r}{a:=>10}{{x=}}{a != b}{a <= b}'"),
    ((3, 6), "f'x={x}, {f(a=1)} {(lambda: 1)()}'"),
    ((3, 6), "f'{a:{b}}' rf'\\{c}' '\\n' f'\\n{d}'"),
    ((3, 6), "f'''{a['b']}{a[\"b\"]}'''"),
    ((3, 6), "f'\\N{EN DASH}{a}'"),
    ((3, 6), "f'''{\na}'''"),
    ((3, 6), 'f"{a[\'#\']} # no comment"'),
)

ASK = """\
import json, sys, warnings
warnings.simplefilter('ignore')
answers = []
for source in json.loads(sys.stdin.read()):
    try:
        compile(source.encode('utf-8'), 'sample', 'exec')
        answers.append(True)
    except SyntaxError:
        answers.append(False)
sys.stdout.write(json.dumps(answers))
"""


def parsed(source: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            ast.parse(source)
    except SyntaxError:
        return False
    return True


ALL = [each for each in (*SAMPLES, *FIRST, *(((2, 4), old) for old in OLD)) if parsed(each[1])]


@pytest.mark.controller_matrix
@pytest.mark.parametrize(('since', 'source'), ALL, ids=lambda value: str(value))
def test_newest_construct_of_a_source(since: tuple[int, int], source: str) -> None:
    # `except A, B` was there in 2, with another meaning.
    found = grammar.newer(source, (2, 4) if since < (3, 14) else (3, 13))
    assert max([each.since for each in found], default=(2, 4)) == since, found


@pytest.mark.controller_matrix
def test_every_python_agrees() -> None:
    """What has nothing newer than a version, that version reads; and nothing else."""
    sources = ['# -*- coding: utf-8 -*-\n' + source + '\n' for _, source in ALL]
    for python in pythons.interpreters().values():
        done = subprocess.run([python, '-E', '-c', ASK], input=json.dumps(sources), capture_output=True, text=True)
        for source, answer in zip(sources, json.loads(done.stdout), strict=True):
            assert answer is (not grammar.newer(source, python.version)), (python.name, source)


def test_every_construct_has_a_sample() -> None:
    if len(ALL) < len(SAMPLES) + len(FIRST) + len(OLD):
        pytest.skip('this Python cannot read all samples')
    seen = {(each.since, each.what) for _, source in ALL for each in grammar.newer(source, (2, 3))}
    assert {(each.since, each.what) for each in grammar.CONSTRUCTS} - seen == set()


def test_line_and_words() -> None:
    found = grammar.newer('a = 1\n\nif (b := a):\n  c = f"{d=}"\n', (3, 7))
    assert found == [(3, (3, 8), '":="'), (4, (3, 8), '"=" in an f-string')]


def test_bytes_with_a_cookie() -> None:
    source = '# -*- coding: latin-1 -*-\r\nx = "ä"\r\ny = f"{x}"\r\n'.encode('latin-1')
    assert [each.line for each in grammar.newer(source, (2, 7))] == [3]


@pytest.mark.parametrize('source', [b'print "old"\n', b'\0', b'def f(:\n', b'# coding: nonsense\n', b'('])
def test_what_cannot_be_parsed_is_left_to_the_target(source: bytes) -> None:
    assert grammar.newer(source, (2, 7)) == []


def test_own_sources_are_as_old_as_they_say() -> None:
    root = Path(grammar.__file__).parents[2]
    for ring, version in (
        ('core', (2, 4)), ('child', (2, 4)), ('parent', (2, 4)), ('connectors', (2, 4)), ('controller', (3, 10)),
    ):
        paths = list((root / ring).rglob('*.py'))
        assert len(paths) > 5, ring
        for path in paths:
            text = path.read_text('utf-8')
            assert grammar.newer(text if ring == 'controller' else packer.untyped(text), version) == [], path


PIECES = st.sampled_from([*'f" f\' f\'\'\' rf" " \' \'\'\' { } {{ }} x = : !r \\ # ( )'.split(), ' ', '\n'])


@given(st.lists(PIECES, max_size=20).map(''.join))
def test_any_text_comes_to_an_end(text: str) -> None:
    assert isinstance(grammar.newer(text, (2, 4)), list)
    if parsed(text):
        assert grammar.newer(text, (3, 15)) == []
