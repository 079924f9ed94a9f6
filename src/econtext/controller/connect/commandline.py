"""
The command line that starts a context, as a person may read it and run it by hand.

Invariants:

* Words are quoted for a shell; what would start Python there is shortened to an
  ellipsis.  Nothing in it steers a terminal.
* Secrets are in no command line: they are typed.

Pure: no descriptors, threads or clocks.
"""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

from econtext.controller.text import harmless
from econtext.parent import command

if TYPE_CHECKING:
    from econtext.controller.session.interfaces import Peer

ELLIPSIS = '…'


def readable(module: Any, options: dict[str, Any], via: Peer | None) -> str:
    """Return the command by which connector `module` starts a context from `via`, or '' if by none."""
    if hasattr(module, 'begin'):
        return ''
    words = list(module.plan(options)[0])
    if via is not None and sys.executable and not options.get('python'):
        # That of the context that runs it, once that is known.
        there = via.executable or 'python3'
        words = [word.replace(sys.executable, there) for word in words]
    return harmless(' '.join(map(quoted, words)))


def quoted(word: str) -> str:
    """Return `word` for a shell, shortened if the start of Python is in it."""
    word = word.replace(command.quote(command.CODE), ELLIPSIS)
    # Of those with lines the others are ours too: no option may hold one.
    if word in (command.CODE, ELLIPSIS) or '\n' in word:
        return ELLIPSIS
    return shlex.quote(word)
