"""
Parse a source without a trace: no warning, no error, and nobody beside us.

Invariants:

* All of ours that parse hold one lock, that of ``packer.parse``.

Any thread may enter.
"""

from __future__ import annotations

import ast
import threading
import warnings

from econtext.controller.modules import packer

# Who puts the filters of warnings back must find those that it saved.
QUIET = threading.Lock()


def parse(source: bytes | str) -> ast.Module | None:
    """Return the tree of `source`; None if this interpreter cannot parse it."""
    # The filters of warnings are those of the whole process: they are put back at once.
    with QUIET, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            tree = packer.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError, SystemError):
            # The last one: the application parsed in a thread of its own, each time.
            return None
    assert isinstance(tree, ast.Module), 'the mode was that of a module'
    return tree
