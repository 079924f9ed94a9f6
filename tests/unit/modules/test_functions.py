"""The source of a function is found, cut out of its place, and makes the very code of the function again."""

from __future__ import annotations

import linecache
import textwrap
import types
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.child import sourced
from econtext.controller.modules import functions
from econtext.controller.modules.functions import Missing, Source, compiled, same, source_of, source_of_code

SEEN = iter(range(10**9))


def typed(text: str) -> tuple[dict[str, Any], str]:
    """Run `text` as a cell whose lines are known; return its names and what its file is called."""
    text = textwrap.dedent(text)
    path = f'<cell {next(SEEN)}>'
    linecache.cache[path] = len(text), None, text.splitlines(True), path
    names: dict[str, Any] = {'__name__': 'cell'}
    exec(compile(text, path, 'exec', 0, True), names)
    return names, path


def functions_in(code: types.CodeType) -> Iterator[types.CodeType]:
    for each in functions.codes(code):
        if (each.co_flags & 2 and not each.co_name.startswith('<')) or each.co_name == '<lambda>':
            yield each


PLACES = {
    'plain': 'def f(a, b=1, *c, d, **e):\n    return a, X\n',
    'at the first line': 'f = lambda a: a + X\n',
    'two on a line': 'f, g = lambda a: a + 1, lambda a: a + 2\n',
    'two that differ by a default alone': 'f, g = lambda a=1: a, lambda a=2: a\n',
    'over several lines': 'f = (lambda a:\n  a +\n X)\n',
    'of an argument': 'call = max\nv = call([1], key=lambda a: (a,\n  X))\nX = 3\n',
    'nested': 'def o(x):\n y = x\n def f(a):\n  nonlocal y\n  y += a\n  return x, y\n return f\n',
    'nested on one line': 'def o(x): return lambda a: a + x\n',
    'in a condition': 'if 1:\n    def f():\n        return """\n one\ntwo"""\n',
    'in a block that goes on': 'for i in range(2):\n    fs = [lambda a: (a, i) for j in range(3)]\n',
    'private': 'class C:\n    __x = 3\n    def f(self):\n        return self.__x\n    g = lambda self: self.__x\n',
    'with a class, in a class': 'class A:\n  def f(self):\n    class B:\n      x = 1\n    return B.x\nf = A.f\n',
    'private and nested': 'def o(x):\n  class C:\n    def f(self):\n        return self.__x, x\n  return C\n',
    'super': 'class C:\n    def __init__(self):\n        super().__init__()\n',
    'with tabs': 'class C:\n\tdef f(self, x):\n\t\tdef g():\n\t\t\treturn x\n\t\treturn g\n',
    'decorated': 'def d(*a):\n    return lambda f: f\n@d(1)\n@d(2,\n   3)\ndef f(a):\n    return a\n',
    'a lambda as the default of one': 'f = lambda a=lambda: 1: a\n',
    'a function of the same name inside': 'def f():\n def f():\n  def f():\n   return 3\n  return f\n return f\n',
    'generator': 'def f(n):\n    for i in range(n):\n        yield [x for x in range(i) if x != X]\n',
    'async': 'async def f(n):\n    async with n as x:\n        yield await x\n',
    'annotated': 'def f(a: int, b: "str" = "x") -> list[int]:\n    c: int = 3\n    return [c]\n',
    'not ASCII': 'def f():\n    """Grün."""\n    é = "€\\n"\n    return é, lambda: é + "ß"\n',
    'futures': 'from __future__ import annotations\ndef f(a: X) -> Y:\n    def g(b: Z): return b\n    return g\n',
}  # fmt: skip


@pytest.mark.parametrize('place', PLACES)
def test_the_text_alone_makes_the_very_code_of_the_function(place: str) -> None:
    text = textwrap.dedent(PLACES[place])
    path = f'<place {place}>'
    linecache.cache[path] = len(text), None, text.splitlines(True), path
    whole = compile(text, path, 'exec', 0, True)
    found = list(functions_in(whole))
    assert found
    for code in found:
        source = source_of_code(code, 'nowhere')
        made = compiled(source)
        assert made is not None
        assert made is not code
        assert same(made, code)
        assert source.path == path
        first, lines = sourced.shown(source.text)
        assert ''.join(lines) in text
        assert text.splitlines(True)[first - 1] == lines[0]


def test_what_is_around_a_function_is_not_in_its_text() -> None:
    names, _ = typed('''
        def outer():
            password = 'geheim'
            def f(): return 3
            return f
        ''')
    assert 'geheim' not in source_of(names['outer']()).text


def test_functions_on_one_line_are_told_apart() -> None:
    names, _ = typed('fs = [lambda: 1, lambda: 2, lambda: 1, lambda x: 1]\n')
    consts = [compiled(source_of(each)).co_consts for each in names['fs']]  # type: ignore[union-attr]
    assert [each[-1] for each in consts] == [1, 2, 1, 1]


def test_a_source_that_was_changed_is_not_taken() -> None:
    names, path = typed('def f():\n    return 1\n')
    linecache.cache[path] = 0, None, ['def f():\n', '    return 2\n'], path
    with pytest.raises(Missing, match='line 1'):
        source_of(names['f'])


def test_what_an_import_hook_adds_is_no_change() -> None:
    # pytest rewrites this one.
    def f(a: int) -> int:
        assert a == 1, 'one'
        return a
    source = source_of(f)
    assert 'assert a ==' in source.text
    assert not same(compiled(source), f.__code__)  # type: ignore[arg-type]


def test_no_source_says_why() -> None:
    names: dict[str, Any] = {'__name__': 'cell'}
    exec('def f(): pass', names)
    with pytest.raises(Missing, match='it was made of a text'):
        source_of(names['f'])


def test_a_command_line_is_source(monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (['-c', '{}'], ['-Xdev', '-Ic', '{}', 'word'], ['-W', 'error', '-c{}']):
        names: dict[str, Any] = {'__name__': 'cell'}
        text = f'{len(words)}\n\ndef f():\n    return {words[0]!r}\n'
        monkeypatch.setattr('sys.orig_argv', ['python', *(word.format(text) for word in words)])
        exec(text, names)
        assert 'def f' in source_of(names['f']).text
        # Another one, of a text that is kept nowhere, is not taken for that.
        exec(text.replace('return', 'return 2,'), names)
        with pytest.raises(Missing):
            source_of(names['f'])


def test_a_history_is_source_where_it_makes_the_very_code(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ['import os', 'def f():', '    return 1', '', 'def f():', '    return 2', '', 'g = lambda: (1,', ' 2)']
    history = types.SimpleNamespace(
        get_current_history_length=lambda: len(lines), get_history_item=lambda number: lines[number - 1])
    monkeypatch.setitem(functions.sys.modules, 'readline', history)  # type: ignore[arg-type]
    names: dict[str, Any] = {'__name__': 'cell'}
    for text, name, part in (
            ('def f():\n    return 1\n', 'f', 'return 1'), ('def f():\n    return 2\n', 'f', 'return 2'),
            ('g = lambda: (1,\n 2)', 'g', '1,')):
        exec(compile(text, '<stdin>', 'single', 0, True), names)
        assert part in source_of(names[name]).text
    exec(compile('def f():\n    return 3\n', '<stdin>', 'single', 0, True), names)
    with pytest.raises(Missing, match='standard input'):
        source_of(names['f'])


# -- any function --------------------------------------------------------------

NAMES = st.sampled_from('abcdefgh')
VALUES = st.one_of(st.integers(-3, 10**6).map(str), st.sampled_from(['"a"', 'None', '1.5', '-0.0', 'b"x"', 'X']), NAMES)
EXPRESSIONS = st.recursive(VALUES, lambda inner: st.one_of(
    st.tuples(inner, inner).map(lambda pair: f'({pair[0]}, {pair[1]})'),
    st.tuples(NAMES, inner).map(lambda pair: f'(lambda {pair[0]}: {pair[1]})'),
    st.tuples(inner, NAMES).map(lambda pair: f'[{pair[0]} for {pair[1]} in ()]'),
    st.tuples(inner, inner).map(lambda pair: f'({pair[0]}\n if {pair[1]} else 0)')), max_leaves=6)  # fmt: skip


def indented(text: str) -> str:
    return ''.join('    ' + line for line in text.splitlines(True))


def defined(parts: tuple[str, str, str, str, str]) -> str:
    name, parameter, default, first, second = parts
    return f'def {name}({parameter}={default}):\n    {first}\n{indented(second)}    return {parameter}\n'


STATEMENTS = st.recursive(
    st.tuples(NAMES, EXPRESSIONS).map(lambda pair: f'{pair[0]} = {pair[1]}\n'),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(''.join),
        st.tuples(NAMES, NAMES, VALUES, EXPRESSIONS.map(lambda text: f'({text})'), inner).map(defined),
        st.tuples(st.sampled_from(['C', '_D']), inner).map(lambda pair: f'class {pair[0]}:\n{indented(pair[1])}'),
        inner.map(lambda text: f'if 1:\n{indented(text)}')), max_leaves=6)  # fmt: skip


@given(STATEMENTS)
def test_the_text_of_any_function_makes_its_code(text: str) -> None:
    path = f'<any {next(SEEN)}>'
    linecache.cache[path] = len(text), None, text.splitlines(True), path
    try:
        for code in functions_in(compile(text, path, 'exec', 0, True)):
            made = compiled(source_of_code(code, 'nowhere'))
            assert made is not None
            assert same(made, code)
    finally:
        del linecache.cache[path]


def test_sources_are_found_once() -> None:
    names, path = typed('def f(): return 1\n')
    found = source_of(names['f'])
    del linecache.cache[path]
    assert source_of(names['f']) is found
    assert isinstance(found, Source)
