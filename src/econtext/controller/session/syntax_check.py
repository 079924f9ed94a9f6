"""
Whether the Python of a context can read what it is sent.

Invariants:

* What is refused before it is sent would surely be imported there, and not
  compile: modules that only some versions import are no reason.
* Nothing is refused while the version there is unknown; then what comes back is
  explained by the same reading.
* Where the version there is ours or newer nothing is read at all.  Modules of econtext that travel are not read either:
  every Python that econtext supports can read them.
* What reads sources is imported when it is first needed: most contexts have a Python as new as ours.

Any thread may enter.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib.util import MAGIC_NUMBER
from typing import TYPE_CHECKING, Any

from econtext.controller.modules.source import Unit
from econtext.controller.modules.stdlib import STANDARD
from econtext.controller.protocol import values
from econtext.controller.raised import CallError, call_error

if TYPE_CHECKING:
    from econtext.controller.modules.literals import Found
    from econtext.controller.modules.repository import Modules
    from econtext.controller.session.interfaces import Peer

HERE = '.'.join(str(part) for part in values.VERSION)
KINDS = ('SyntaxError', 'IndentationError', 'TabError')


def check(context: Peer, module: str) -> None:
    """Raise what the context would, if it surely cannot read what a call in `module` needs."""
    if not is_older(context) or is_ours(module):
        return
    for name, unit in sure(context.broker.modules, module):
        found = newest(context, unit)
        if found is not None and name not in context.sent:
            raise refusal(context, unit, found)


def fitting(context: Peer, name: str, unit: Unit | None) -> Unit | None:
    """Return `unit` if the context can load it, else one that says why it cannot."""
    if unit is None or is_ours(name):
        return unit
    is_installed = not context.broker.modules.is_own(name)
    if is_installed and '.' not in name:
        from econtext.controller.modules.installed import objection

        reason = objection(context.broker.modules, name, context.python_version)
        if reason:
            return False, name, failing('ImportError', reason)
    if isinstance(unit[2], tuple):
        # A code object, which fits one version.
        if context.magic == MAGIC_NUMBER:
            return unit
        message = (
            f'module {name} is here as a code object of Python {HERE} '
            f'alone, and {there(context)} cannot load it: ship its source'
        )
        return unit[0], unit[1], failing('ImportError', message)
    found = newest(context, unit) if is_older(context) else None
    if found is None:
        return unit
    if is_installed:
        # Whoever says `try: import …` of what may not be there is to go on.
        return unit[0], name, failing(
            'ImportError', f'{message_of(unit, found)}, the context has {there(context)}: '
            f'install a version of {name.partition(".")[0]} that fits for the Python there')
    line = ascii(line_of(unit, found)) if context.python_version >= (3, 0) else 'None'
    return unit[0], unit[1], (
        f'raise SyntaxError({message_of(unit, found)!a}, '
        f'({unit[1]!a}, {found.line}, None, {line}))\n'
    ).encode()


def failing(kind: str, message: str) -> bytes:
    """Return the source of a module that cannot be imported, and says why."""
    return f'raise {kind}({message!a})\n'.encode()


def hint(context: Peer, described: Any) -> str:
    """Return what to add to an error that may be one of the grammar."""
    if described[0] not in KINDS or context.python_version[:2] == values.VERSION[:2]:
        return ''
    return explanation(context, str(described[2])) + (
        f'The context runs {there(context)}, this program {HERE}: write the module so that '
        'both can read it, or give the connector another python='
    )


def is_supported(version: str) -> bool:
    """Tell whether we know what to expect of an interpreter with that ``sys.version``."""
    return 'Graal' not in version


def there(context: Peer) -> str:
    """Return what to call the Python of a context, which is unknown till it has said HELLO."""
    version = '.'.join(str(part) for part in context.python_version)
    return f'Python {version}' if version else 'another Python'


def is_readable(context: Peer, unit: Unit) -> bool:
    """Can the context load `unit` as it is here?"""
    return isinstance(unit[2], bytes) and not (is_older(context) and newest(context, unit))


def is_older(context: Peer) -> bool:
    return () < context.python_version[:2] < values.VERSION[:2]


def is_ours(module: str) -> bool:
    return module.partition('.')[0] == 'econtext'


def sure(modules: Modules, module: str) -> Iterator[tuple[str, Unit]]:
    """Yield the program's own modules that are imported whenever `module` is."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        parts = waiting.pop().split('.')
        for length in range(1, len(parts) + 1):
            name = '.'.join(parts[:length])
            if name in seen:
                continue
            if parts[0] in STANDARD or is_ours(name) or not modules.is_own(name):
                break
            unit = modules.unit(name)
            if unit is None or not isinstance(unit[2], bytes):
                break
            seen.add(name)
            yield name, unit
            waiting.extend(each for each in first_imports(name, unit[0], unit[2])
                           if not is_mentioned(modules, each))


@functools.lru_cache(maxsize=1024)
def first_imports(name: str, children: Any, source: bytes) -> tuple[str, ...]:
    """Return the imports at the left margin of a source, under no condition."""
    from econtext.controller.modules.imports import imports_in
    from econtext.controller.modules.parser import parse

    tree = parse(source)
    return () if tree is None else tuple(imports_in(tree.body, name, children))


def is_mentioned(modules: Modules, name: str) -> bool:
    """May `name` be something that its package defines, rather than a module?"""
    package, _, last = name.rpartition('.')
    unit = modules.unit(package) if package and modules.is_own(package) else None
    return unit is not None and isinstance(unit[2], bytes) and last.encode() in unit[2]


def newest(context: Peer, unit: Unit) -> Found | None:
    """Return the first construct of a unit that is newer than the Python of `context`."""
    if not isinstance(unit[2], bytes):
        return None
    return next((found for found in constructs(unit[2])
                 if not has(context.python_version, found)), None)


def has(version: tuple[int, ...], found: Found) -> bool:
    from econtext.controller.modules import grammar

    return grammar.has(version, found)


@functools.lru_cache(maxsize=1024)
def constructs(source: bytes) -> tuple[Found, ...]:
    from econtext.controller.modules import grammar

    return tuple(grammar.late(source))


def message_of(unit: Unit, found: Found) -> str:
    since = '.'.join(str(part) for part in found.since)
    return f'{unit[1]}, line {found.line}: {found.what} is of Python {since} or newer'


def line_of(unit: Unit, found: Found) -> str:
    lines = unit[2].decode('utf-8', 'replace').splitlines()
    return str(lines[found.line - 1]) + '\n' if found.line <= len(lines) else ''


def refusal(context: Peer, unit: Unit, found: Found) -> CallError:
    message = message_of(unit, found) + '\n    ' + line_of(unit, found).strip()
    described = ('SyntaxError', message, 'Nothing was sent.', ('SyntaxError',), ())
    return call_error(context.name, described, hint(context, described))


def explanation(context: Peer, trace: str) -> str:
    """Return which construct made the context refuse the last file of a traceback."""
    path = trace.rpartition('File "')[2].partition('"')[0]
    if not is_older(context):
        return ''
    for name in sorted(context.sent):
        unit = context.broker.modules.units.get(name)
        # Before 3.9 what stands in an f-string is compiled as a file of its own.
        if unit is not None and path in (unit[1], '<fstring>'):
            found = newest(context, unit)
            if found is not None and (path == unit[1] or 'f-string' in found.what):
                return message_of(unit, found) + '. '
    return ''
