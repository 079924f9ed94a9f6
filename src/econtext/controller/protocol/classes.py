"""
Classes of the application whose values cross, once it has registered them.

One decorator in the module that both ends import: here it judges the class and
enters it in ``registry.TYPES``, the one table of the process; in a context, where that
module is imported, ``child.registry.register`` enters it there.

Invariants:

* Nothing from a context is looked up but in that table: no import, no attribute.
* What cannot be taken apart and made again without loss is refused when it is
  registered, or when it is sent; never left out.

Any thread may enter.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from econtext.child.labels import seen
from econtext.child.registry import TYPES, enter
from econtext.controller.modules import manifest

if TYPE_CHECKING:
    class Naming(Protocol):
        """What names functions, see ``names``."""

        def name_of(
            self, function: Callable[..., Any], streamed: bool | None = False, awaited: bool = False
        ) -> tuple[str, str]: ...

    class Receiver(Protocol):
        """What is about to be sent values: a context."""

        @property
        def complete(self) -> Container[str]: ...
        @property
        def broker(self) -> Naming: ...

        def may_have(self, module: str) -> None: ...
        def push(self, *modules: str) -> None: ...


Kind = TypeVar('Kind', bound=type)

BASICS = (object, BaseException, tuple)


def register(
    kind: Kind, /, *, reduce: Callable[[Any], tuple[Any, ...]] | None = None,
    restore: Callable[..., Any] | None = None,
) -> Kind:
    """
    Let values of the class `kind` cross between contexts; return the class.

    A decorator, at the top of a module that both ends import: dataclasses, classes
    of attrs, models and dataclasses of pydantic, named tuples, Enums and Flags, and
    classes whose ``__init__`` takes by name what they keep as attributes.  The other
    end calls the constructor with these, so validators run.  For any other
    class, `reduce` gives of a value the tuple of arguments from which `restore`,
    or else the class, makes it again.  A value of a subclass does not cross unless
    that is registered too.

    Once registered, any context may have such a value made here, of whatever it
    sends: let the constructor check it, and do nothing else.

    Raises TypeError for a class that values cannot be made of so.

    Example::

        @econtext.register
        @dataclasses.dataclass(frozen=True)
        class Package:
            name: str
            version: str

        econtext.register(deque, reduce=lambda value: (list(value), value.maxlen))
    """
    judge(kind, reduce, restore)
    home = str(sys._getframe(1).f_globals.get('__name__', kind.__module__))
    enter(kind, travelling(kind.__module__), travelling(home), reduce, restore)
    return kind


def judge(kind: Any, reduce: Any, restore: Any) -> None:
    """Raise TypeError for a class that cannot be registered so."""
    # Here, for most programs register no class.
    from econtext.child import named, rich
    from econtext.child.fields import REMEDY, label
    from econtext.controller.raised import of_c

    if not isinstance(kind, type):
        raise TypeError(f'{seen(kind)} is no class: register the class itself')
    name = label(kind)
    if '<locals>' in name:
        raise TypeError(f'{name} is defined inside a function: move it to the top of a module')
    if kind.__module__ == '__main__' and not hasattr(sys.modules['__main__'], '__file__'):
        raise TypeError(f'{name} is of no file, and a context imports the classes of values: move it to a module')
    if kind in rich.SIMPLE or kind in rich.HOLDERS or rich.listed(kind):
        raise TypeError(f'{name} crosses without being registered')
    if restore is not None and reduce is None:
        raise TypeError(f'{name}: restore= needs a reduce=, which says what it is given')
    if reduce is not None:
        return
    if hasattr(kind, '__members__'):
        return
    for base in kind.__mro__:
        if base not in BASICS and not issubclass(base, BaseException) and of_c(base):
            raise TypeError(f'{name} holds what {label(base)} does: {REMEDY}')
    if issubclass(kind, tuple):
        if not hasattr(kind, '_fields'):
            raise TypeError(f'{name} holds what a tuple does: {REMEDY}')
        return
    for field in getattr(kind, '__dataclass_fields__', {}).values():
        if field._field_type.name == '_FIELD_INITVAR':
            raise TypeError(f'{name}: of {field.name}, an InitVar, nothing is kept: {REMEDY}')
    named.by_constructor(kind)


def travelling(module: str) -> str:
    """Return the name under which `module` is known to contexts."""
    if module == '__main__':
        from econtext.controller.modules.repository import main_name

        return main_name()
    return module


def carriers() -> tuple[str, ...]:
    """Return the modules of ours that a context needs for values of registered classes."""
    return manifest.FOR_CLASSES if TYPES else ()


def place_of(context: Receiver | None, function: Any) -> tuple[str, str] | None:
    """
    Return where `context` finds a function or class, having sent its module; None for no context.

    Raises TypeError for what another interpreter finds by no name, NotAllowed if policy forbids to send the module.
    """
    if context is None:
        return None
    module, name = context.broker.name_of(function, None)
    if module not in context.complete:
        context.may_have(module)
        context.push(module, *carriers())
    return module, name


def provide(context: Receiver | None, kind: type) -> None:
    """
    Have `context` get what it needs to make a value of `kind`, which is on its way.

    Raises NotAllowed if policy forbids to send the module that registers it.
    """
    if context is not None:
        home = TYPES[kind][3]
        context.may_have(home)
        if home not in context.complete:
            context.push(home, *carriers())
