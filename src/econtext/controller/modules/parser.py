"""
Parse a source without a trace: no warning, no error, and nobody beside us.

Invariants:

* All of ours that parse hold one lock, that of ``packer.parse``.
* The filters of warnings are the program's whenever ``QUIET`` is free; also in a process that is forked off
  while the lock is held.

Any thread may enter.
"""

from __future__ import annotations

import ast
import contextlib
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from econtext.child import renewal
from econtext.controller.modules import packer

# Who puts the filters of warnings back must find those that it saved.
QUIET = threading.Lock()
# Those of the program, while the lock is held.
FILTERS: list[Sequence[Any]] = []


@renewal.register
def after_fork() -> None:
    """No thread parses here, which would put the filters of warnings back."""
    global QUIET
    QUIET = threading.Lock()
    if FILTERS:
        warnings.filters = FILTERS.pop()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Ignore warnings meanwhile."""
    # The filters of warnings are those of the whole process: they are put back at once.
    with QUIET:
        FILTERS[:] = [warnings.filters]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                yield
        finally:
            FILTERS.clear()


def parse(source: bytes | str) -> ast.Module | None:
    """Return the tree of `source`; None if this interpreter cannot parse it."""
    with quiet():
        try:
            tree = packer.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError, SystemError):
            # The last one: the application parsed in a thread of its own, each time.
            return None
    assert isinstance(tree, ast.Module), 'the mode was that of a module'
    return tree
