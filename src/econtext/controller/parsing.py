"""
Parse a source without a trace: no warning, and nobody beside us.

Invariants:

* One thread of ours parses at a time.  CPython 3.11 counts the depth of its parser
  once for all threads, and a second one in between is a SystemError.

Any thread may enter.
"""

from __future__ import annotations

import ast
import threading
import warnings

ALONE = threading.Lock()


def parse(source: bytes | str) -> ast.Module | None:
    """Return the tree of `source`; None if this interpreter cannot parse it."""
    # The filters of warnings are those of the whole process: they are put back at once.
    with ALONE, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError, SystemError):
            # The last one: the application parsed in a thread of its own.
            return None
