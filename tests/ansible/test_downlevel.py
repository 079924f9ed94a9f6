"""Sources made older: what comes back does on Python 3.6 what the source does here, and nothing else is touched."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import textwrap
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import lab
from econtext.ansible import downlevel, lowering
from econtext.ansible.downlevel import TooNew
from econtext.ansible.payload_cache import Store
from lab import pythons

# Reads sources, one a line, runs each, and prints what is in `result` or which exception it raised.
SERVE = """
import json, sys
for line in sys.stdin:
    names = {'__name__': 'made'}
    module = type(sys)('made')
    sys.modules['made'] = module
    try:
        exec(compile(json.loads(line), 'made', 'exec', dont_inherit=True), module.__dict__)
        said = repr(module.__dict__.get('result'))
    except Exception as error:
        said = 'raised ' + type(error).__name__ + ': ' + str(error)
    sys.stdout.write(json.dumps(said) + '\\n')
    sys.stdout.flush()
"""


class Server:
    """An old Python that runs sources."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def run(self, source: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(source) + '\n')
        self.process.stdin.flush()
        said = json.loads(self.process.stdout.readline())
        assert isinstance(said, str)
        return said


@pytest.fixture(scope='module', params=['3.6', '3.7', '3.8'])
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if request.param not in pythons.interpreters():
        lab.unavailable(f'Python {request.param}: not on this machine')
    folder = tmp_path_factory.mktemp('older')
    for name, content in downlevel.older_members().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with subprocess.Popen(
            [pythons.interpreter(request.param), '-c', SERVE], env={'PYTHONPATH': str(folder), 'LC_ALL': 'C.UTF-8'},
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Server(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(lab.SOON)


def here(source: str) -> str:
    """Return what a source makes on this Python."""
    module: Any = types.ModuleType('made')
    sys.modules['made'] = module
    try:
        exec(compile(source, 'made', 'exec', dont_inherit=True), module.__dict__)
    except Exception as error:
        return f'raised {type(error).__name__}: {error}'
    finally:
        del sys.modules['made']
    return repr(getattr(module, 'result', None))


def both(source: str, old: Server) -> tuple[str, str]:
    source = textwrap.dedent(source)
    return old.run(downlevel.downlevel(source)), here(source)


SAME = {
    'prefixes and suffixes': '''
        class A:
            def removeprefix(self, x): return 'own', x
        a, log = 'abcab', []
        def f(x): log.append(x); return x
        result = [a.removeprefix('ab'), a.removesuffix('ab'), a.removesuffix(''), b'abc'.removeprefix(b'x'),
                  A().removeprefix('y'), f('xy').removeprefix(f('x')), a.removeprefix(p := 'a'), p, log]
    ''',
    'a walrus in each place': '''
        def f(x):
            while (n := x.pop()) > 2 and (m := n - 1):
                if not (m == 2 or (k := m * 2) > 10): yield n, m, k
                elif (z := m): yield z
            else:
                yield 'end'
            assert (w := n) is not None
            for each in (seen := [w, n]): yield each
            with open((name := '/dev/null')) as opened: yield name
            while (n := n - 1) > 0: pass
            else:
                for y in [1, 2]:
                    if y: break
                yield y
            s = 1
            s += (s := 5) + s
            yield s, (a := 1, b := a + 1)[1], a if (c := b) else -c, {'k': (v := 7), v: v}
            return
        result = list(f([1, 9, 4, 3]))
    ''',
    'order': '''
        log = []
        def f(x): log.append(x); return x
        y = 1
        result = [f(1) + (y := f(2)) * y, [y, (y := 5), y], f(*[y, ][:1]) + (y := 3) + y, (f(0) or (z := f(4))) and z]
        result = result, log
    ''',
    'positional-only': '''
        def f(a, b=2, /, c=3, *, d=4): return a, b, c, d
        result = f(1), f(1, 5, c=6, d=7), (lambda a, /: a)(3)
    ''',
    'f-strings': r'''
        x, w, d = 3.14159, 10, {'a': 1}
        result = f"{x=}", f'{x!r:>{w}.3}', f"{d['a']} {{}} {x:.{w - 8}f}", f'{x:%}' f"{'one'}", rf'\{d}'
    ''',
    'annotations': '''
        from __future__ import annotations
        import dataclasses, typing as t
        @dataclasses.dataclass(order=True)
        class A:
            a: int
            b: list[int] | None = None
            c: t.ClassVar[int] = 3
            d: list = dataclasses.field(default_factory=list, compare=False)
            def get(self, x: dict[str, A] | None = None) -> t.Self: return self
        result = A(1), A(1, d=[2]) == A(1), A(1) < A(2), dataclasses.asdict(A(1, [2])), A.c, dataclasses.astuple(A(5))
    ''',
    'frozen dataclasses': '''
        from dataclasses import dataclass, fields, replace, field, FrozenInstanceError, is_dataclass
        @dataclass(frozen=True)
        class A:
            a: int
            b: int = field(default=2, repr=False)
            def __post_init__(self): object.__setattr__(self, 'b', self.b + 1)
        @dataclass(frozen=True)
        class B(A):
            c: str = 'c'
        try:
            B(1).a = 2
        except FrozenInstanceError as error:
            result = str(error)
        result = result, B(1, c='x'), hash(A(1)) == hash(A(1)), [f.name for f in fields(B)]
        result += replace(A(1), a=5), A(1) == B(1), is_dataclass(A)
    ''',
    'generic classes': '''
        import abc, typing as t
        T = t.TypeVar('T')
        class A(t.Generic[T], metaclass=abc.ABCMeta):
            kind = None
            def __init_subclass__(cls, **kwargs):
                super().__init_subclass__(**kwargs)
                cls.kind = t.get_args(cls.__orig_bases__[0])[0]
        class B(A[int]): """Has a text."""
        class C(dict[type[int], int]): pass
        class D(t.Protocol):
            def run(self): ...
        @t.runtime_checkable
        class E(t.Protocol):
            def run(self): ...
        class F:
            def run(self): pass
        result = B.kind, B.__doc__, C(a=1), isinstance(F(), E), isinstance(1, E)
    ''',
    'types that are evaluated': '''
        import typing as t
        from typing import Literal, get_origin, Tuple, cast
        X = t.Union[list[int], Literal['a']]
        result = cast(dict[str, int], 1), get_origin(Tuple[int, str]) is tuple, list[int]([1])
        def f(x: list[int] = list[int]()) -> 'y': return x
        result += tuple(f())
    ''',
    'functools and contextlib': '''
        import functools, contextlib
        from functools import cache, lru_cache, partial
        count = []
        @functools.lru_cache
        def f(x): count.append(x); return x
        @cache
        def g(x): return f(x)
        @lru_cache
        def h(): return partial(f, 3)()
        class A:
            @functools.cached_property
            def p(self): count.append('p'); return 1
        a = A()
        with contextlib.nullcontext(5) as n: pass
        result = f(1) + f(1), g(2), g(2), h(), a.p, a.p, count, n
    ''',
    'processes': '''
        import subprocess
        done = subprocess.run(['echo', 'x'], capture_output=True, text=True)
        result = done.stdout, subprocess.Popen('echo y', shell=True, text=True, stdout=-1).communicate()
    ''',
    'decorators': '''
        table = [lambda f: f() + 1]
        @table[0]
        def a(): return 1
        class A:
            @(lambda f: property(f))
            def b(self): return 2
        result = a, A().b
    ''',
    'attributes of a module': '''
        import sys
        def __getattr__(name):
            if name == 'late': return 'came'
            raise AttributeError(name)
        result = None
    ''',
    'context variables': '''
        import contextvars
        v = contextvars.ContextVar('v')
        try: v.get()
        except LookupError: result = ['none']
        token = v.set(1)
        result += [v.get(), v.get(2)]
        v.reset(token)
        result += [v.get(7)]
    ''',
    'several managers': '''
        import io
        with (io.StringIO('a') as a, io.StringIO('b') as b): result = a.read() + b.read()
    ''',
}


@pytest.mark.parametrize('what', SAME)
def test_does_the_same(old: Server, what: str) -> None:
    there, same = both(SAME[what], old)
    assert there == same
    assert not same.startswith('raised')


def test_a_module_is_asked_for_attributes(old: Server) -> None:
    source = textwrap.dedent(SAME['attributes of a module']) + 'later = lambda: __import__("made").late\n'
    made = downlevel.downlevel(source)
    asked = 'from made import late\nresult = late, hasattr(sys.modules["made"], "no")'
    assert old.run(made + asked) == "('came', False)"


# Programs of random expressions: what is evaluated when shows in `log`.
NAMES = st.sampled_from('abc')
LEAVES = st.one_of(st.integers(0, 3).map(str), NAMES, st.integers(0, 3).map('f({})'.format))
EXPRESSIONS = st.recursive(LEAVES, lambda inner: st.one_of(
    st.tuples(NAMES, inner).map('({0[0]} := {0[1]})'.format),
    st.tuples(inner, st.sampled_from(['+', '-', 'and', 'or', '<', '==']), inner).map('({0[0]} {0[1]} {0[2]})'.format),
    st.tuples(inner, inner, inner).map('({0[1]} if {0[0]} else {0[2]})'.format),
    inner.map('(not {})'.format), inner.map('f({})'.format),
    st.tuples(inner, inner).map('g({0[0]}, x={0[1]})'.format),
    st.tuples(inner, inner).map('g(*[{0[0]}], {0[1]})'.format),
    st.tuples(inner, inner).map('[{0[0]}, {0[1]}][0]'.format),
    st.tuples(inner, inner).map('{{{0[0]}: {0[1]}}}.popitem()[1]'.format),
    st.tuples(inner, inner).map('f(f"{{{0[0]}}}{{{0[1]}:0{{{0[0]} * 0 + 2}}}}")'.format),
), max_leaves=8)
STATEMENTS = st.recursive(
    st.one_of(EXPRESSIONS.map('a = {}'.format), EXPRESSIONS.map('b += {}'.format), EXPRESSIONS.map('f({})'.format),
              EXPRESSIONS.map('assert {} is not None'.format)),
    lambda inner: st.one_of(
        st.tuples(EXPRESSIONS, inner, inner).map(lambda it: f'if {it[0]}:\n{block(it[1])}\nelse:\n{block(it[2])}'),
        st.tuples(EXPRESSIONS, EXPRESSIONS, inner).map(
            lambda it: f'if {it[0]}:\n    c = 1\nelif {it[1]}:\n{block(it[2])}'),
        st.tuples(EXPRESSIONS, inner, inner).map(
            lambda it: f'while f(1) and {it[0]}:\n{block(it[1])}\nelse:\n{block(it[2])}'),
        st.tuples(EXPRESSIONS, inner).map(lambda it: f'for c in range({it[0]} % 3):\n{block(it[1])}'),
    ), max_leaves=4)  # fmt: skip
PROGRAM = '''
log = []
def f(x):
    log.append(x)
    if len(log) > 60: raise OverflowError('enough')
    return int(x) % 1000
def g(*args, **options):
    return f(sum(int(each) for each in args) + int(options.get('x', 0)))
def main():
    a, b, c = 1, 2, 0
STATEMENTS
    return a, b, c
result = main(), log
'''


def block(text: str) -> str:
    return textwrap.indent(text, '    ')


@given(statements=st.lists(STATEMENTS, min_size=1, max_size=3))
def test_random_programs_do_the_same(old: Server, statements: list[str]) -> None:
    source = PROGRAM.replace('STATEMENTS', block('\n'.join(statements)))
    try:
        compile(source, 'made', 'exec')
    except SyntaxError:
        assume(False)   # an f-string within itself, before Python 3.12
    assert old.run(downlevel.downlevel(source)) == here(source)


@settings(max_examples=60)
@given(statements=st.lists(STATEMENTS, min_size=1, max_size=2))
def test_what_is_old_comes_back_as_it_is(statements: list[str]) -> None:
    source = PROGRAM.replace('STATEMENTS', block('\n'.join(statements))).replace(':=', '==')
    try:
        compile(source, 'made', 'exec')
    except SyntaxError:
        assume(False)
    assume('{f(f"' not in source)   # a form of Python 3.12
    assert downlevel.downlevel(source) == source


def test_the_standard_library_of_the_target_comes_back_as_it_is() -> None:
    if '3.6' not in pythons.interpreters():
        lab.unavailable('Python 3.6: not on this machine')
    done = subprocess.run([pythons.interpreter('3.6'), '-c', 'import os; print(os.__file__)'], capture_output=True,
                          text=True, check=True)  # fmt: skip
    files = sorted(Path(done.stdout.strip()).parent.glob('*.py'))[::4]
    changed = {path.name for path in files if is_changed(path.read_text('utf-8', 'replace'))}
    assert len(files) > 40
    assert changed == set()


def is_changed(source: str) -> bool:
    try:
        compile(source, 'made', 'exec')
    except SyntaxError:
        return False    # `async` was a name
    return downlevel.downlevel(source) != source


REFUSED = {
    'a match statement, line 1': 'match x:\n    case 1: pass\n',
    'GeneratorExp, line 1': 'any((y := each) for each in x)\n',
    'While, line 2': 'for x in y:\n    while (z := 0): pass\n    else:\n        if a: break\n',
    'Compare, line 1': 'a < b < (c := 1)\n',
    'str.removeprefix, line 2': '\nf = x.removeprefix\n',
    'Path.unlink(missing_ok=), line 1': 'x.unlink(missing_ok=True)\n',
    'zip(strict=), line 1': 'zip(a, b, strict=True)\n',
    'continue in a finally block, line 2': 'for x in y:\n    try: pass\n    finally: continue\n',
    'cannot be parsed': 'x = (\n',
    'a star in a subscript, line 1': 'x = y[*a]\n',
}


@pytest.mark.parametrize('what', REFUSED)
def test_what_cannot_be_made_older_is_named(what: str) -> None:
    try:
        compile(REFUSED[what], 'made', 'exec')
    except SyntaxError:
        if what != 'cannot be parsed':
            pytest.skip('this Python has no such construct')
    with pytest.raises(TooNew, match='my_module') as raised:
        downlevel.downlevel(REFUSED[what], (3, 6), 'my_module')
    assert what in str(raised.value)


def test_targets() -> None:
    assert downlevel.downlevel('(x := 1)\n', (3, 9)) == '(x := 1)\n'
    with pytest.raises(ValueError, match=r'3\.6 is the oldest'):
        downlevel.downlevel('', (2, 7))
    assert downlevel.downlevel('_PY_MIN = (3, 9)\n', (3, 7)) == '_PY_MIN = (3, 7)\n'


def test_a_payload_keeps_its_members(old: Server) -> None:
    made = io.BytesIO()
    sources = {'b.py': b'x = 1  # as it is\n', 'a.py': b'# coding: latin-1\ny = "\xe4"\n(z := y)\n',
               'data.txt': b'\xff', 'empty.py': b''}  # fmt: skip
    with zipfile.ZipFile(made, 'w', zipfile.ZIP_DEFLATED) as writing:
        for name, content in sources.items():
            writing.writestr(name, content)
    with zipfile.ZipFile(io.BytesIO(downlevel.downlevel_payload(made.getvalue()))) as reading:
        assert reading.namelist() == list(sources)
        assert {name: reading.read(name) for name in sources if name != 'a.py'} == {
            name: content for name, content in sources.items() if name != 'a.py'}
        assert old.run(reading.read('a.py').decode() + 'result = ascii(z)') == repr("'\\xe4'")
    with zipfile.ZipFile(made, 'a') as writing:
        writing.writestr('late.py', 'import dataclasses\n')
    with zipfile.ZipFile(io.BytesIO(downlevel.downlevel_payload(made.getvalue()))) as reading:
        assert 'ansible/module_utils/econtext_older/dataclasses.py' in reading.namelist()


def test_every_newer_module_is_there() -> None:
    there = {Path(name).stem for name in downlevel.older_members()}
    assert {*lowering.NEWER, 'resources', '__init__'} == there


def test_what_was_made_is_kept_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path / 'kept'))
    made: list[str] = []
    make = downlevel.lowered_member

    def counted(content: bytes, target: tuple[int, int], name: str) -> bytes:
        made.append(name)
        return make(content, target, name)

    monkeypatch.setattr(downlevel, 'lowered_member', counted)
    try:
        def members(text: str, target: tuple[int, int] = (3, 6)) -> dict[str, bytes]:
            zipped = io.BytesIO()
            with zipfile.ZipFile(zipped, 'w') as writing:
                writing.writestr('a.py', text)
                writing.writestr('b.py', 'y = 1\n')
            with zipfile.ZipFile(io.BytesIO(downlevel.downlevel_payload(zipped.getvalue(), target, store))) as reading:
                return {name: reading.read(name) for name in reading.namelist()}

        first = members('(x := 1)\n')
        assert first == members('(x := 1)\n') == {'a.py': b'x = 1\nx\n', 'b.py': b'y = 1\n'}
        assert made == ['a.py', 'b.py']
        assert members('(x := 2)\n')['a.py'] == b'x = 2\nx\n'
        members('(x := 1)\n', (3, 7))
        assert made == ['a.py', 'b.py', 'a.py', 'a.py', 'b.py']
        for entry in (tmp_path / 'kept').iterdir():
            entry.write_bytes(entry.read_bytes()[:-1] + b'?')
        assert members('(x := 1)\n') == first
        assert made[-2:] == ['a.py', 'b.py']
        # Whole entries, each under the name of another.
        found = sorted((tmp_path / 'kept').iterdir())
        contents = [entry.read_bytes() for entry in found]
        for entry, content in zip(found, contents[1:] + contents[:1], strict=True):
            entry.write_bytes(content)
        assert members('(x := 1)\n') == first
        assert made[-2:] == ['a.py', 'b.py']
    finally:
        store.close()
