"""
Take back what was set in the environment for the program that started a context.

sudo, su and what starts in containers speak English, by LANGUAGE, so that their
questions and failures are understood; some of them pass that on.  What it was is
kept behind it.

Invariants:

* When the first call begins the environment is the one that the context would have had.

Sent ahead of the first call where there is something to take back.  Entered by the main thread.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from econtext.child.interfaces import Home

import os

KEPT = 'C:econtext:'


def undo(home):
    # type: (Home) -> None
    """Give LANGUAGE the value that it had, unless somebody else gave it one. A cast."""
    value = os.environ.get('LANGUAGE', '')
    if value[:len(KEPT)] == KEPT:
        os.environ['LANGUAGE'] = value[len(KEPT):]
        if value == KEPT:
            del os.environ['LANGUAGE']
