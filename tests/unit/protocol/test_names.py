"""A function is named so that another interpreter finds it, or refused with the remedy."""

from __future__ import annotations

import builtins
import functools
import json
import math
import operator
import os
import os.path
import posixpath
import sys
from collections.abc import Callable
from typing import Any

import pytest

from econtext.controller.protocol.names import name_of


class Box:
    class Inner:
        def method(self) -> None: ...

    def method(self) -> None: ...

    @classmethod
    def made(cls) -> None: ...

    @staticmethod
    def still() -> None: ...

    def __call__(self) -> None: ...


class Sub(Box):
    pass


def plain() -> None: ...


@functools.wraps(plain)
def shadow() -> None: ...


def closure() -> Callable[[], int]:
    number = 1
    return lambda: number


def inner() -> Callable[[], None]:
    def function() -> None: ...
    return function


HERE = __name__
NAMED: list[tuple[Callable[..., Any], str, str]] = [
    (plain, HERE, 'plain'),
    (Box, HERE, 'Box'),
    (Box.method, HERE, 'Box.method'),
    (Box.Inner.method, HERE, 'Box.Inner.method'),
    (Box.made, HERE, 'Box.made'),
    (Box.still, HERE, 'Box.still'),
    (Sub.still, HERE, 'Box.still'),
    (Sub.made, HERE, 'Sub.made'),
    (os.path.exists, 'os.path', 'exists'),
    (os.path.join, 'os.path', 'join'),
    (os.system, 'os', 'system'),
    (os.getpid, 'os', 'getpid'),
    (os.getcwd, 'os', 'getcwd'),
    (len, 'builtins', 'len'),
    (int, 'builtins', 'int'),
    (str.upper, 'builtins', 'str.upper'),
    (dict.fromkeys, 'builtins', 'dict.fromkeys'),
    (ValueError, 'builtins', 'ValueError'),
    (math.sqrt, 'math', 'sqrt'),
    (operator.add, 'operator', 'add'),
    (json.dumps, 'json', 'dumps'),
    (functools.reduce, 'functools', 'reduce'),
]


@pytest.mark.parametrize(('function', 'module', 'name'), NAMED, ids=[name for _, _, name in NAMED])
def test_named(function: Callable[..., Any], module: str, name: str) -> None:
    assert name_of(function, 'program') == (module, name)


@pytest.mark.parametrize('function', [function for function, _, _ in NAMED], ids=[name for _, _, name in NAMED])
def test_the_name_leads_to_the_function(function: Callable[..., Any]) -> None:
    module, name = name_of(function, 'program')
    assert operator.attrgetter(name)(sys.modules[module]) == function


def test_public_homes_only() -> None:
    for module in os, posixpath, builtins, math:
        for name, function in vars(module).items():
            if not name.startswith('_') and type(function) is type(len):
                place = name_of(function, 'program')[0]
                assert not place.startswith('_')
                assert place not in ('posix', 'posixpath', 'genericpath')


def test_the_program_travels_under_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    main = sys.modules['__main__']
    monkeypatch.setattr(plain, '__module__', '__main__')
    monkeypatch.setattr(main, 'plain', plain, raising=False)
    assert name_of(plain, 'program') == ('program', 'plain')


@pytest.mark.parametrize(('function', 'remedy'), [
    (lambda: 0, 'make it a function of a module'),
    (closure(), 'make it a function of a module'),
    (inner(), 'top of a module'),
    (Box().method, 'as arguments'),
    (Box().__call__, 'as arguments'),
    ('x'.upper, 'as arguments'),
    ([].append, 'as arguments'),
    (functools.partial(plain), 'behind it the arguments'),
    (functools.partial(len, []), 'behind it the arguments'),
    ('os.getpid', 'give the function itself'),
    (None, 'give the function itself'),
    (Box(), 'call a function of a module'),
], ids=lambda value: getattr(value, '__qualname__', None) or repr(value)[:30])
def test_refused_with_the_remedy(function: Any, remedy: str) -> None:
    with pytest.raises(TypeError, match=remedy):
        name_of(function, 'program')


def test_what_another_name_hides_is_refused() -> None:
    with pytest.raises(TypeError, match='call a function that its module holds'):
        name_of(shadow, 'program')


def test_a_function_is_named_as_other_versions_know_it() -> None:
    """In some versions it is of C, and has another name in a private module."""
    for function in os.path.normpath, os.path.join, os.path.abspath:
        assert name_of(function, 'program') == ('os.path', function.__name__.removeprefix('_path_'))


def test_a_private_function_has_the_public_name_of_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    def private() -> None:
        pass

    private.__qualname__, private.__module__ = '_path_private', 'posix'
    monkeypatch.setattr(os.path, '_hidden', private, raising=False)
    with pytest.raises(TypeError, match='is not this function, or is nothing'):
        name_of(private, 'program')
    monkeypatch.setattr(os.path, 'shown', private, raising=False)
    assert name_of(private, 'program') == ('os.path', 'shown')
