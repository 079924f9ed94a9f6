"""What a constructor takes is what a value is: its parameters are found, read, and given to it again."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from econtext.child import fields
from econtext.child.fields import REMEDY, Fields


class Point:
    """Its constructor takes all that it keeps, one of them in private."""

    def __init__(self, x: int, y: int = 0, *, name: str = '') -> None:
        self.x = x
        self._y = y
        self.name = name

    @functools.cached_property
    def twice(self) -> int:
        return self.x * 2


class Slotted:
    __slots__ = '__hidden', 'x'

    def __init__(self, x: int, hidden: Any = None) -> None:
        self.x = x
        if hidden is not None:
            self.__hidden = hidden


class _Under:
    __slots__ = '__hidden'

    def __init__(self) -> None:
        self.__hidden = 1


def raises(text: str, function: Any, *args: Any) -> None:
    with pytest.raises(TypeError) as caught:
        function(*args)
    assert str(caught.value) == text


def test_the_parameters_of_a_constructor_are_its_fields() -> None:
    assert fields.parameters(Point) == ('x', 'y', 'name')
    assert Fields(Point).names == ('x', 'y', 'name')
    assert Fields(Point).kind is Point


@pytest.mark.parametrize('kind', [object, int, Exception])
def test_a_constructor_of_c_tells_no_parameters(kind: type) -> None:
    raises(f'builtins.{kind.__name__} has no __init__ that tells what it is made of: {REMEDY}', fields.parameters, kind)


def test_parameters_without_a_name_are_refused() -> None:
    class Any_:
        def __init__(self, *args: Any) -> None: ...

    class Keywords:
        def __init__(self, **kwargs: Any) -> None: ...

    class Positional:
        def __init__(self, x: int, /) -> None: ...

    class Itself:
        def __init__(self, /, x: int) -> None: ...

    for kind in Any_, Keywords, Positional:
        raises(f'{fields.label(kind)}: its __init__ takes arguments without a name: {REMEDY}', fields.parameters, kind)
    assert fields.parameters(Itself) == ('x',)


def test_a_python_2_function_tells_its_parameters() -> None:
    class Function:
        func_code = Point.__init__.__code__

    class Method:
        im_func = Function()

    class Old:
        __init__ = Method()

    assert fields.parameters(Old) == ('x', 'y', 'name')


def test_a_value_is_its_parameters() -> None:
    value = Point(1, 2, name='n')
    assert Fields(Point).apart(value) == {'x': 1, 'y': 2, 'name': 'n'}
    assert value.twice == 2
    assert Fields(Point).apart(value) == {'x': 1, 'y': 2, 'name': 'n'}
    found = Fields(Point).build({'name': 'n', 'y': 2, 'x': 1})
    assert (type(found), found.x, found._y, found.name) == (Point, 1, 2, 'n')


def test_a_parameter_that_is_not_kept_is_named() -> None:
    value = Point(1)
    del value._y
    raises(f'a {__name__}.Point cannot cross between contexts: its constructor takes y, and it has no such attribute: '
           f'{REMEDY}', Fields(Point).apart, value)


@pytest.mark.parametrize('name', ['more', '_more', '__more', 'more__', '_x_', '__twice'])
def test_an_attribute_that_the_constructor_does_not_take_is_named(name: str) -> None:
    value = Point(1)
    setattr(value, name, 5)
    raises(f'a {__name__}.Point cannot cross between contexts: it has the attribute {name}, and its constructor does '
           f'not take it: {REMEDY}', Fields(Point).apart, value)


@pytest.mark.parametrize('name', ['__more__', '_x', '_name', 'y'])
def test_an_attribute_that_is_another_form_of_a_parameter_is_no_loss(name: str) -> None:
    value = Point(1, 2)
    setattr(value, name, 5)
    assert Fields(Point).apart(value)['x'] == 1


@pytest.mark.parametrize('state', [
    None, 5, [], ('x', 'y', 'name'), ['x', 'y', 'name'], {}, {'x': 1}, {'x': 1, 'y': 2}, {'x': 1, 'y': 2, 'z': 3},
    {'x': 1, 'y': 2, 'name': 3, 'more': 4}, type('Own', (dict,), {})({'x': 1, 'y': 2, 'name': 'n'})])  # fmt: skip
def test_other_fields_make_no_value(state: Any) -> None:
    raises('other fields than x, y, name', Fields(Point).build, state)


def test_what_stands_in_slots_is_held() -> None:
    assert fields.held(Slotted(1), Slotted) == ['x']
    assert fields.held(Slotted(1, 2), Slotted) == ['_Slotted__hidden', 'x']
    assert fields.held(_Under(), _Under) == ['_Under__hidden']
    assert fields.held(Point(1), Point) == ['x', '_y', 'name']
    assert fields.held(Point(1), None) == ['x', '_y', 'name']


def test_of_slots_nothing_is_asked_that_a_getter_would_make() -> None:
    class Lazy:
        __slots__ = ('lazy', 'x')

        def __init__(self, x: int) -> None:
            self.x = x

        def __getattr__(self, name: str) -> Any:
            assert name == '__dict__', name
            raise AttributeError(name)

    assert fields.held(Lazy(1), Lazy) == ['x']

    class Child(Lazy):
        __slots__ = ()

    assert fields.held(Child(1), Child) == ['x']


def test_a_slot_that_is_gone_from_its_class_is_passed_over() -> None:
    class Gone:
        __slots__ = ('first', 'gone', 'x')

    del Gone.gone       # type: ignore[attr-defined]
    value = Gone()
    value.first = value.x = 1       # type: ignore[attr-defined]
    assert fields.held(value, Gone) == ['first', 'x']


def test_a_class_is_called_by_its_module_and_name() -> None:
    class Inner: ...

    assert fields.label(Point) == f'{__name__}.Point'
    assert fields.label(Inner).endswith('.<locals>.Inner')

    class Old:
        __module__, __name__ = 'm', 'Old'

    assert fields.label(Old()) == 'm.Old'
