"""
A child in an instance of LXD, by its client.

Invariants:

* What is to be an instance or a project cannot become an option.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from econtext.parent import boxes

OPTIONS = boxes.INSTANCE_OPTIONS
MISSING = 'not-found'
PROMPTS, ANSWERS = boxes.PROMPTS, boxes.ANSWERS
FAILURES = boxes.INSTANCE_FAILURES


def plan(options):
    # type: (dict[str, Any]) -> tuple[list[str], bool, dict[str, str | None]]
    """
    Return (argv, tty, changes of the environment); raise ValueError.

    ``container``  one that runs, by name, or REMOTE:NAME
    ``project``    the user's current one unless given
    ``user``       whom to be there: 'UID', or 'UID:GID'
    ``python``     path of the interpreter there, or a list of words that ends with
                   it; searched for unless given
    ``lxd_args``   list of arguments before all others
    ``lxd_path``   the client, 'lxc' unless given
    """
    return boxes.instance(options, 'lxd', 'lxc')
