"""
A child in a container of Podman, in one that runs or in a new one.

Invariants:

* A new container lasts as long as the child, whichever end dies first.
* What is to be a container, an image or a user cannot become an option.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from econtext.parent import boxes

OPTIONS = boxes.ENGINE_OPTIONS
MISSING = 'not-found'
PROMPTS, ANSWERS = boxes.PROMPTS, boxes.ANSWERS
FAILURES = boxes.ENGINE_FAILURES


def plan(options):
    # type: (dict[str, Any]) -> tuple[list[str], bool, dict[str, str | None]]
    """
    Return (argv, tty, changes of the environment); raise ValueError.

    The options are those of ``docker``, with ``podman_args`` and ``podman_path``.
    """
    return boxes.engine(options, 'podman')
