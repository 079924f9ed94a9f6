"""
Tell an error of a function from one of its module, which is imported before the function is called.

A program that reads its arguments or its variables at the top level of a module does so in each context, too.

Pure; any thread may enter.
"""

from __future__ import annotations

import re
from typing import Any

HINT = (
    'This came while the context imported the module of the function: what only this program has, such as its '
    "arguments, variables and files, belongs in a function, or under if __name__ == '__main__'.")
FRAME = re.compile(r'(?m)^  File "(.*)", line [0-9]+, in (.*)$')
# Where a context looks a function up.
FIND = 'econtext/core/calls.py', 'find'
OURS = 'econtext/', '<frozen '
# These say themselves what lacks; ours that names of econtext are for the program alone.
SELF_EVIDENT = (
    'econtext.EcontextError', 'ImportError', 'ModuleNotFoundError', 'SyntaxError', 'IndentationError', 'TabError')


def hint(described: Any) -> str:
    """Return what to add to an error that a module of the program raised as it was imported; nothing for others."""
    frames = FRAME.findall(str(described[2]))
    if frames[:1] != [FIND] or described[0] in SELF_EVIDENT:
        return ''
    within = any(name == '<module>' and not path.startswith(OURS) for path, name in frames)
    return HINT if within else ''
