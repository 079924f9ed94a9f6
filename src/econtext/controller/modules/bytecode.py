"""
The code of our own modules, for contexts on this machine.

A context compiles what it is sent, and that takes it about as long as Python takes to
start.  Here the same modules are compiled already, as a rule in the files that
importing left.  `core.importer` takes such code where its Python is the one that made
it, and the source, which is sent as well, everywhere else.

The strategy: code is four times as long as source, so it goes to contexts on this
machine only, and there to those whose Python is likely to be ours: because it was
asked for, or because one that was started in the same way said so.

Invariants:

* Nothing but speed depends on the guess.
* Only modules of the rings that travel are sent so, and none that is made up for contexts.

Any thread may enter.
"""

from __future__ import annotations

import functools
import importlib.util
import marshal
import sys
import zlib
from typing import TYPE_CHECKING, Any, Protocol

from econtext.controller.modules.repository import RINGS

if TYPE_CHECKING:
    class Started(Protocol):
        """A context, as far as its Python is concerned."""

        id: int
        version: str
        start_key: tuple[int, str, str] | None
        same_python: bool

        @property
        def via(self) -> Started | None: ...


class SamePython:
    """Which contexts are likely to have our Python."""

    def __init__(self) -> None:
        # How those were started that have it.
        self.known: set[tuple[int, str, str]] = set()

    def expect(self, context: Started, connector: str, python: Any) -> None:
        """`context` is about to be started by a connector for this machine, with that `python`."""
        via = context.via
        context.start_key = via.id if via else 0, connector, repr(python)
        same = connector == 'econtext.connectors.local' and python in (None, sys.executable)
        context.same_python = context.start_key in self.known or (same and (via is None or via.same_python))

    def learn(self, context: Started) -> None:
        """`context` has told its version."""
        if context.start_key:
            context.same_python = context.version == sys.version
            (self.known.add if context.same_python else self.known.discard)(context.start_key)


@functools.cache
def units(names: tuple[str, ...]) -> bytes:
    """Return the body that carries the code of those of `names` that have some; or nothing."""
    found = [(f'{name}!', (False, sys.version, (code,))) for name in names if (code := code_of(name))]
    # Not compressed, which would take longer than all the rest.
    return zlib.compress(marshal.dumps(found, 2), 0) if found else b''


def code_of(name: str) -> bytes:
    """Return the code of module `name`; nothing if it is none of ours, or has to be had otherwise."""
    if name.rpartition('.')[0] not in RINGS:
        return b''
    module = sys.modules.get(name)
    spec = module.__spec__ if module else importlib.util.find_spec(name)
    get_code = getattr(spec and spec.loader, 'get_code', None)
    try:
        code = get_code(name) if get_code else None
    except (ImportError, OSError):
        # Its file is gone: contexts are served from what was read before.
        code = None
    return marshal.dumps(code) if code else b''
