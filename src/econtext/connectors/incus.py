"""
A child in an instance of Incus, which was LXD, by its client.

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

    The options are those of ``lxd``, with ``incus_args`` and ``incus_path``.
    """
    return boxes.instance(options, 'incus', 'incus')
