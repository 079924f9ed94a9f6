"""What is said of an exception."""

from __future__ import annotations

from typing import Any

from econtext.child import particulars


class Classic:
    """A class as exceptions were before Python 2.5: with bases, and without an order of them."""

    def __init__(self, name: str, module: str, *bases: Classic) -> None:
        self.__name__, self.__module__, self.__bases__ = name, module, bases


def built_in_types(kind: Any) -> list[Any]:
    return [name for name in particulars.types_of(kind) if not isinstance(name, tuple)]


def test_built_in_types_of_exceptions_of_the_old_kind() -> None:
    top: Any = Classic('Exception', 'exceptions')
    standard = Classic('StandardError', 'exceptions', top)
    value = Classic('ValueError', 'exceptions', standard)
    own = Classic('Own', 'application', value)
    assert built_in_types(own) == ['ValueError', 'StandardError', 'Exception']
    assert built_in_types('a string, which Python 2.4 could raise') == []


def test_built_in_types() -> None:
    class Own(KeyError):
        pass

    assert built_in_types(Own)[:3] == ['KeyError', 'LookupError', 'Exception']
