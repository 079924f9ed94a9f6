"""
Find the module of a connector: one of ours, or a third party's.

Invariants:

* Ours are found by their name alone; what is installed is looked at only for other
  names, so that starting by ssh reads no package's metadata.
* What is returned has all that a connector must have, and is found by its name by
  whoever imports it: so it can travel to a context that is to use it.

Any thread may enter.
"""

from __future__ import annotations

import functools
import importlib
import sys
from types import ModuleType

from econtext import connectors
from econtext.child.labels import seen

__all__ = ['GROUP', 'NEEDED', 'find', 'ours']

#: The entry points of third parties: their names, and modules as values.
GROUP = 'econtext.connectors'
#: What a connector must have, see ``econtext.connectors``.
NEEDED = ('plan', 'PROMPTS', 'FAILURES', 'MISSING')


def find(connector: str | ModuleType) -> ModuleType:
    """Return the module of `connector`, a name or the module itself; raise TypeError or ValueError."""
    if isinstance(connector, ModuleType):
        return checked(connector)
    if not isinstance(connector, str):
        raise TypeError(f'a connector is a name or a module, not {seen(connector)}')
    module = f'{GROUP}.{connector}'
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
    from importlib import metadata  # takes longer than a child to start

    entries = metadata.entry_points(group=GROUP)
    for entry in entries:
        if entry.name == connector:
            return checked(entry.load())
    known = ', '.join(sorted({*ours(), *(entry.name for entry in entries)}))
    raise ValueError(f'there is no connector {seen(connector)}; there are: {known}')


def ours() -> list[str]:
    """Return the names of our own connectors."""
    return list(names_in(tuple(connectors.__path__)))


@functools.cache
def names_in(folders: tuple[str, ...]) -> list[str]:
    """Return the names of the modules in `folders`, which are looked at once: a fleet asks for each host."""
    import pkgutil

    return sorted(module.name for module in pkgutil.iter_modules(folders))


def checked(module: ModuleType) -> ModuleType:
    """Return `module` if it can serve as a connector."""
    if not isinstance(module, ModuleType):
        raise TypeError(f'the entry point of a connector names a module, not {seen(module)}')
    lacks = [name for name in NEEDED if not hasattr(module, name)]
    if lacks:
        raise ValueError(f'{module.__name__} is no connector: it has no {", ".join(lacks)}')
    if module.__name__ == '__main__' or sys.modules.get(module.__name__) is not module:
        raise ValueError(
            f'{module.__name__} is not found by that name elsewhere: '
            'make the connector a module of its own, and import it')
    return module
