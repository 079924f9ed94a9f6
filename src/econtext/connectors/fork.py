"""
A child that is a copy of the context that starts it, which is forked.

No program is started: see ``parent.forking``.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from econtext.parent.nursery import Nursery

from econtext.parent import command

OPTIONS = ()
MISSING = 'ended'
PROMPTS = ()
FAILURES = command.FAILURES


def plan(options):
    # type: (dict[str, Any]) -> tuple[list[str], bool, dict[str, str | None]]
    """Return what would be started if this were a program; raise ValueError."""
    command.check_options(options, OPTIONS)
    return ['fork'] + command.argv(command.PYTHONS), False, {}


def begin(home):
    # type: (Nursery) -> Any
    """Return the process of a new child of `home`, the children of a context."""
    return home.fork()
