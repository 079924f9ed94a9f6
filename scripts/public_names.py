"""Writes the public names where text has to name them: for type checkers, and for code in contexts.

    python3 scripts/public_names.py

The names stand in ``_HOMES`` of ``src/econtext/__init__.py``.  From these this program writes ``__init__.pyi``, which
type checkers and editors read in the place of that file; and the lines between BEGIN and END in ``child/face.py``,
which name what works only in the controller.

A test holds the files to what this program would write (tests/rules/test_public_names.py).
"""

from __future__ import annotations

import ast
import sys
import textwrap
import types
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / 'src' / 'econtext'
sys.path.insert(0, str(ROOT / 'src'))

from econtext.child import face  # noqa: E402 -- found through the line above

BEGIN = '# Written by scripts/public_names.py, up to END.\n'
END = '# END\n'
# What a program imports in contexts too, as a module of its own; and what each context makes for itself.
OTHERWISE = {'utils', 'program'}


def homes(text: str) -> dict[str, str]:
    """Return what the file `text` says of each public name: the module that has it."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == '_HOMES':
            found: dict[str, str] = ast.literal_eval(node.value)
            return found
    raise ValueError('the file assigns no _HOMES')


def words(names: Iterable[str], width: int = 100) -> list[str]:
    """Return lines of literals that together are `names`, apart by blanks."""
    lines = textwrap.wrap(' '.join(names), width)
    return [f"    '{line} '" for line in lines[:-1]] + [f"    '{line}'" for line in lines[-1:]]


def for_type_checkers(homes: Mapping[str, str]) -> str:
    """Return the file that names `homes`."""
    imports = sorted(
        ('econtext' + ('.' + home if home else ''), name) for name, home in homes.items()
    )  # fmt: skip
    lines = ['# Written by scripts/public_names.py.', '']
    lines += [f'from {module} import {name} as {name}' for module, name in imports]
    return '\n'.join([*lines, '', '__version__: str', 'slave: bool', ''])


def for_contexts(names: Iterable[str]) -> str:
    """Return the lines of `core.face` that name what works only in the controller."""
    return '\n'.join(['ELSEWHERE = (', *words(names), ').split()', ''])


def furnished() -> set[str]:
    """Return the names that `core.face` has something for."""
    package = types.ModuleType('econtext')
    before = set(vars(package))
    elsewhere, face.ELSEWHERE = face.ELSEWHERE, []
    try:
        face.furnish(package)
    finally:
        face.ELSEWHERE = elsewhere
    return set(vars(package)) - before


def replaced(text: str, lines: str) -> str:
    """Return `text` with `lines` between BEGIN and END."""
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    return text[:begin] + lines + text[end:]


def pages(package: Path = PACKAGE) -> dict[Path, str]:
    """Return each file that names public names, as it is to be."""
    context = package / 'child' / 'face.py'
    names = homes((package / '__init__.py').read_text('utf-8'))
    elsewhere = sorted(set(names) - furnished() - OTHERWISE)
    return {
        package / '__init__.pyi': for_type_checkers(names),
        context: replaced(context.read_text('utf-8'), for_contexts(elsewhere)),
    }


if __name__ == '__main__':
    for path, text in pages().items():
        path.write_text(text, 'utf-8')
