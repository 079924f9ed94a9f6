"""What a context's Python cannot read is found here: before it is sent, if the version there is known."""

from __future__ import annotations

import importlib
import pathlib
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import econtext
from econtext.controller.session import syntax_check
from lab import pythons

# The forms that a parser asked for an older grammar lets pass, and some that it does not.
FORMS = {
    'debug': ("x = 1\ny = f'{x=}'\n", 2, '"=" in an f-string', '3.8'),
    'parenthesised': ("with (open('/dev/null') as a, open('/dev/null') as b):\n    pass\n", 1, '"with"', '3.9'),
    'decorated': ('d = [lambda f: f]\n@d[0]\ndef g(): pass\n', 2, 'a decorator', '3.9'),
    'future': ('from __future__ import annotations\n', 1, 'annotations', '3.7'),
    'walrus': ('if (a := 1):\n    pass\n', 1, '":="', '3.8'),
    'match': ('\nmatch 1:\n    case 1: pass\n', 2, '"match"', '3.10'),
}
if sys.version_info >= (3, 11):
    FORMS['starred'] = ('class C:\n    def __class_getitem__(cls, i): pass\nC[*(1, 2)]\n', 3, 'a starred index', '3.11')
if sys.version_info >= (3, 12):
    FORMS['nested'] = ("d = {'k': 1}\nx = f'{d['k']}'\n", 2, 'the same quotes', '3.12')
TAIL = 'def f():\n    return 1\n'

Program = Callable[..., Any]


@pytest.fixture
def program(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    """Writes modules of a program and imports one of them; undone later."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, **files: str) -> Any:
        for stem, text in files.items():
            (tmp_path / f'{stem}.py').write_text(text)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield make
    for name in set(sys.modules) - before:
        if not name.startswith('econtext'):
            del sys.modules[name]


@pytest.fixture
def old(broker: econtext.Broker) -> econtext.Context:
    return broker.local(python=pythons.interpreter('3.6'), name='old').wait_ready()


@pytest.mark.controller_matrix
def test_each_form_is_refused_before_it_is_sent(old: econtext.Context, program: Program) -> None:
    for form, (text, line, what, since) in FORMS.items():
        name = f'ect_{form}'
        module = program(name, **{name: text + TAIL})
        with pytest.raises(SyntaxError) as caught:
            old.call(module.f)
        message = str(caught.value)
        here = '.'.join(map(str, sys.version_info[:3]))
        for word in (f'{name}.py, line {line}', what, since, 'Python 3.6.', here, 'Nothing was sent'):
            assert word in message, (word, message)
        assert isinstance(caught.value, econtext.CallError)
        assert name not in old._node.sent
    assert old.call(abs, -1) == 1


def test_what_is_surely_imported_is_refused_too(old: econtext.Context, program: Program) -> None:
    module = program(
        'ect_first', ect_first='import ect_second\ndef f(): pass\n', ect_second='from ect_third import x\n',
        ect_third='x = 1\n' + FORMS['walrus'][0],
    )  # fmt: skip
    with pytest.raises(SyntaxError, match=r'ect_third\.py, line 2'):
        old.call(module.f)
    assert not {'ect_first', 'ect_second', 'ect_third'} & old._node.sent


def test_what_only_some_versions_import_is_no_reason(old: econtext.Context, program: Program) -> None:
    module = program('ect_chooses', ect_chooses='''\
import sys
if sys.version_info >= (3, 8):
    import ect_modern as found
else:
    found = None
def f():
    return found and 1
def g():
    import ect_modern
''', ect_modern=FORMS['walrus'][0])  # fmt: skip
    assert old.call(module.f) is None
    with pytest.raises(SyntaxError, match=r'ect_modern\.py, line 1: ":=" is of Python 3\.8'):
        old.call(module.g)


def test_a_name_of_a_package_is_taken_for_no_module(old: econtext.Context, program: Program) -> None:
    module = program('ect_uses', ect_uses='from ect_has import ect_name\ndef f():\n    return ect_name\n',
                     ect_has='ect_name = 5\n', ect_name=FORMS['walrus'][0])  # fmt: skip
    assert old.call(module.f) == 5


def test_the_first_call_is_explained(broker: econtext.Broker, program: Program) -> None:
    """It goes out before the version is known; the context's own refusal is then read again."""
    module = program('ect_first_call', ect_first_call='x = 1\n' + FORMS['debug'][0] + TAIL)
    child = broker.local(python=pythons.interpreter('3.6'))
    with pytest.raises(SyntaxError) as caught:
        child.call(module.f)
    for word in ('ect_first_call.py, line 3: "=" in an f-string is of Python 3.8', 'runs Python 3.6.'):
        assert word in str(caught.value)
    assert child.call(abs, -1) == 1


def test_a_module_asked_for_is_answered_with_the_reason(broker: econtext.Broker, program: Program) -> None:
    for version in ('2.7', '3.6'):
        module = program('ect_asks', ect_asks='def f(name):\n    return __import__(name).x\n',
                         ect_asked='x = 1  # \u00e4\n' + FORMS['walrus'][0])  # fmt: skip
        child = broker.local(python=pythons.interpreter(version))
        for _ in range(2):
            with pytest.raises(SyntaxError, match=r'ect_asked\.py, line 2: ":=" is of Python 3\.8'):
                child.call(module.f, 'ect_asked')
        newer = child.local(python=sys.executable)
        assert newer.call(module.f, 'ect_asked') == 1, 'what one cannot read is not passed on'


@pytest.mark.parametrize(('version', 'refused'), [((2, 4), False), ((2, 7), False), ((3, 0), True), ((3, 2), True),
                                                  ((3, 3), False), ((3, 15), False)])  # fmt: skip
def test_a_literal_that_was_gone_for_a_while_is_found(version: tuple[int, int], refused: bool) -> None:
    context: Any = SimpleNamespace(python_version=version)
    found = syntax_check.newest(context, (False, 'program.py', b"a = 1\nb = u'x'\n"))
    assert (found is not None) is refused
    assert found is None or (found.line, found.what) == (2, "u''")


def test_a_version_that_is_unknown_is_no_error() -> None:
    modules = SimpleNamespace(is_own=lambda name: True)
    context: Any = SimpleNamespace(python_version=(), version='', magic=None, broker=SimpleNamespace(modules=modules))
    unit = syntax_check.fitting(context, 'name', (False, 'name.py', ('code',)))  # type: ignore[arg-type]
    assert unit is not None
    assert b'another Python cannot load it' in unit[2]


def test_what_travels_of_econtext_is_not_read(old: econtext.Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(source: bytes) -> Any:
        raise AssertionError('read')

    monkeypatch.setattr(syntax_check, 'constructs', never)
    assert old.run(['echo', 'said']).stdout == 'said\n'
    assert old.options(fork=True).call(abs, -3).value == 3
