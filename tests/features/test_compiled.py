"""Point 5, modules: a context with our own Python has our own modules' code ready made; no other is given any."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from travel import facts

import econtext
from econtext.controller.modules import bytecode, manifest
from lab import pythons
from lab.pythons import Interpreter

matrix = pytest.mark.controller_matrix

LIFE = 'econtext.child.life'
SOURCE = LIFE.replace('.', '/') + '.py'


def made_here(context: econtext.Context, name: str = LIFE, function: str = 'settle') -> bool:
    """Was that module compiled here, and not there from its source?"""
    path = context.call(facts.file_of, name, function)
    return path != name.replace('.', '/') + '.py'


@matrix
def test_a_context_of_our_own_python_has_the_code(broker: econtext.Broker) -> None:
    for context in broker.local(), broker.local(python=sys.executable):
        assert made_here(context)
        below = context.local()
        assert made_here(below)
        # What starts it came when it was known what Python the context has.
        assert made_here(context, 'econtext.parent.children', 'Birth.launch')


@pytest.mark.every_python
@matrix
def test_another_python_compiles_the_source(broker: econtext.Broker, python: Interpreter) -> None:
    context = broker.local(python=python)
    same = context.call(facts.whole_version) == sys.version
    assert not made_here(context)
    for each in broker.local(python=python), context.local(python=python):
        # Those that are started as one was that has our Python are expected to have it, too.
        assert made_here(each) == (same and each.via is None)


@pytest.mark.parametrize('version', ['2.7', '3.6', '3.13'])
def test_code_that_was_sent_by_mistake_is_not_run(broker: econtext.Broker, version: str) -> None:
    path = pythons.interpreter(version)
    broker._tree.same_python.known.add((0, 'econtext.connectors.local', repr(str(path))))
    context = broker.local(python=str(path))
    assert context._node.same_python
    assert not made_here(context)
    assert not context._node.same_python
    assert not broker._tree.same_python.known
    assert not made_here(broker.local(python=str(path)))


def test_a_python_that_was_replaced_is_noticed(broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same path, and another Python behind it."""
    monkeypatch.setattr(sys, 'executable', str(pythons.interpreter('3.13')))
    assert not made_here(broker.local())


def test_what_has_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages, what is made up for contexts, and what others wrote goes as source."""
    for name in 'econtext', 'econtext.core', 'econtext.ssh', 'econtext.controller.broker', 'json', 'travel.facts':
        assert bytecode.code_of(name) == b''
    assert bytecode.units(('econtext', 'json')) == b''
    monkeypatch.setattr(sys.modules['econtext.core.wire'], '__spec__', None)
    assert bytecode.code_of('econtext.core.wire') == b''
    assert all(bytecode.code_of(name) for name in manifest.FOR_CHILDREN)


@pytest.mark.parametrize('error', [None, OSError('gone'), ImportError('gone')], ids=repr)
def test_a_program_that_has_no_code_sends_sources(
    broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    def get_code(name: str) -> None:
        if error:
            raise error

    for name in list(sys.modules):
        spec = getattr(sys.modules[name], '__spec__', None)
        if name.startswith('econtext.') and spec is not None:
            monkeypatch.setattr(spec, 'loader', SimpleNamespace(get_code=get_code))
    monkeypatch.setattr(bytecode.importlib.util, 'find_spec', lambda name: None)
    bytecode.units.cache_clear()
    try:
        context = broker.local()
        assert not made_here(context)
        assert context._node.same_python
        assert not made_here(context.local())
    finally:
        bytecode.units.cache_clear()
