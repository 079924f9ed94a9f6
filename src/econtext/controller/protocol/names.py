"""
Name a function so that another interpreter finds it: ``(module, dotted name)``.

Invariants:

* What cannot be named is refused here, before anything is sent, with the remedy.
* A name that is returned leads to this very function on the controller.

Pure, but for looking into ``sys.modules``.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from typing import Any

from econtext.child.labels import seen, type_name
from econtext.controller.modules.repository import Modules

# Homes that differ between systems and versions -> where they are public.
PUBLIC: dict[str, tuple[str, ...]] = {
    'posix': ('os', 'os.path'),
    'nt': ('os', 'os.path'),
    'posixpath': ('os.path', 'os'),
    'ntpath': ('os.path', 'os'),
    'genericpath': ('os.path',),
}
# Flags of code, as `inspect` has them, which takes long to import.
GENERATOR, COROUTINE, ASYNC_GENERATOR = 0x20, 0x80, 0x200
# What a process that multiprocessing spawned calls its main module, beside its usual name.
MULTIPROCESSING = '__mp_main__'


class NoName(TypeError):
    """Raised for what can be called, but by no name."""


class Served(tuple[str, str]):
    """Where a function of ours is found that calls another one there: the one that was asked for."""

    #: What the function of ours is told; the units that it needs.
    told: tuple[Any, ...]
    modules: tuple[str, ...]
    #: What errors call the function that was asked for.
    label: str


def name_of(function: Callable[..., Any], main: str) -> tuple[str, str]:
    """
    Return where another interpreter finds `function`.

    `main` is the name under which the program itself travels.
    Raises TypeError for what has no such place.
    """
    refuse(function)
    name = getattr(function, '__qualname__', None) or getattr(function, '__name__', None)
    module = home(function)
    if not name or not isinstance(name, str) or not module:
        raise NoName(
            f'{seen(function)} has no name to call it by: call a function of a module'
        )
    bound = getattr(function, '__self__', None)
    if isinstance(bound, type) and isinstance(function, types.MethodType):
        # Of the class that was named, which may have inherited it.
        module, name = bound.__module__, f'{bound.__qualname__}.{function.__name__}'
    if module == MULTIPROCESSING:
        module = '__main__'
    if name.startswith('_') and module in PUBLIC:
        # From Python 3.13 on, os.path.normpath is `posix._path_normpath`.
        module, name = public_name(function, module) or (module, name)
    for place in places(module):
        if reach(place, name) == function:
            return (main if place == '__main__' else place), name
    raise NoName(
        f'{module}.{name} is not this function, or is nothing: '
        'call a function that its module holds under its own name'
    )


def refuse(function: Any) -> None:
    """Raise TypeError for what looks like a function and is bound to this process."""
    if not callable(function):
        kind = 'None' if function is None else 'a ' + type_name(type(function))
        raise TypeError(
            f'{kind} cannot be called: give the function itself, and its arguments behind it, as in call(f, 1), '
            'and not call(f(1)) or the name of f')
    if isinstance(function, functools.partial):
        raise NoName(
            'a functools.partial cannot be sent: pass its function, and behind it the arguments'
        )
    bound = getattr(function, '__self__', None)
    if (
        bound is not None
        and not isinstance(bound, (type, types.ModuleType))
    ):
        raise NoName(
            f'{seen(function)} is bound to an object of this process: '
            'pass a function of a module, and what it needs of the object as arguments'
        )
    name = str(getattr(function, '__qualname__', ''))
    if '<lambda>' in name:
        raise NoName('a lambda has no name to call it by: make it a function of a module')
    if '<locals>' in name:
        raise NoName(
            f'{name} is defined inside a function, and may use what it finds there: '
            'move it to the top of a module, and pass what it uses as arguments'
        )


def flags_of(function: Any) -> int:
    """Return the flags of the code of a function or a method; 0 of anything else."""
    code = getattr(getattr(function, '__func__', function), '__code__', None)
    return code.co_flags if isinstance(code, types.CodeType) else 0


def is_coroutine_function(function: Any) -> bool:
    """Is `function` one that an event loop runs, or a partial of such a function?"""
    while isinstance(function, functools.partial):
        function = function.func
    return bool(flags_of(function) & COROUTINE)


def refuse_later(function: Any, streamed: bool, awaited: bool = False) -> bool:
    """
    Raise TypeError for a function that would return before it has run; tell whether it generates, or is `awaited`.

    One that generates is for `streamed` calls.
    """
    flags = flags_of(function)
    label = getattr(function, '__qualname__', 'it')
    if flags & ASYNC_GENERATOR:
        raise TypeError(
            f'{label} is an async generator function, whose values nobody would await there: write a plain '
            'function that collects them under asyncio.run() and returns a list, and call that')
    if flags & COROUTINE and awaited:
        return True
    if flags & COROUTINE:
        raise TypeError(
            f'{label} is an async function, which nobody would await '
            + (f'value by value: run it by call({label}, ...)' if streamed else
               f'here: write a plain function that returns asyncio.run({label}(...)), and take that'))
    if flags & GENERATOR and not streamed:
        raise TypeError(
            f'{label} is a generator function, and what it returns cannot cross: iterate over it by '
            f'stream({label}, ...), or have a function return a list of its values')
    return bool(flags & GENERATOR)


def home(function: Any) -> str | None:
    """Return the module where `function` lives, which may be a private one."""
    bound = getattr(function, '__self__', None)
    for owner in (
        function if isinstance(getattr(function, '__module__', None), str) else None,
        bound,
        getattr(function, '__objclass__', None),
    ):
        module = getattr(owner, '__module__', None)
        if isinstance(module, str):
            return module
        if isinstance(owner, types.ModuleType):
            return owner.__name__
    return None


def places(module: str) -> list[str]:
    """Return where a function of `module` may be found, public places first."""
    found = list(PUBLIC.get(module, ()))
    if module.startswith('_') and module != '__main__':
        found.append(module.lstrip('_'))
        found += [
            name
            for name in sorted(sys.modules)
            if name in sys.stdlib_module_names and not name.startswith('_')
        ]
    return [*found, module]


def public_name(function: Any, module: str) -> tuple[str, str] | None:
    """Return the public place of a `function` whose name in the private `module` is another; None if it has none."""
    for place in PUBLIC[module]:
        for name, value in vars(sys.modules[place]).items() if place in sys.modules else ():
            if value is function and not name.startswith('_'):
                return place, name
    return None


def reach(module: str, name: str) -> Any:
    """Return what `name`, dotted, is in a module that is loaded; None if nothing."""
    value: Any = sys.modules.get(module)
    for part in name.split('.'):
        value = getattr(value, part, None)
    return value


class Names:
    """What names functions to contexts, and remembers it."""

    names: dict[Any, tuple[str, str]]
    modules: Modules

    def name_of(
        self, function: Callable[..., Any], streamed: bool | None = False, awaited: bool = False
    ) -> tuple[str, str]:
        """
        Return the (module, name) under which `function` is found elsewhere.

        `streamed`, to iterate over it; None, to be referred to only; `awaited`, to run it on an event loop there.
        Raises TypeError for what cannot be called so, NoName for what another interpreter finds by no name.
        """
        try:
            found = self.names.get(function)
        except TypeError:
            return name_of(function, self.modules.main)
        if found is None:
            generates = streamed is None or refuse_later(function, streamed, awaited)
            found = name_of(function, self.modules.main)
            if found[0] == self.modules.main and (
                    is_typed(function) or self.modules.unit(found[0]) is None):
                raise NoName(
                    f'{found[1]} was typed into an interpreter, and its source is nowhere: '
                    'save it in a file, and import that'
                )
            if generates:
                # Refused where it is not iterated over.
                return found
            if len(self.names) > 10000:
                self.names.clear()
            self.names[function] = found
        return found


def is_typed(function: Any) -> bool:
    """Was a function of the program typed in, rather than read from the file of the program?"""
    code = getattr(function, '__code__', None)
    if not isinstance(code, types.CodeType):
        return False
    # Between such brackets Python names what no file held.
    return code.co_filename[:1] == '<' and code.co_filename != getattr(sys.modules['__main__'], '__file__', None)
