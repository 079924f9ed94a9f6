"""
A child in a container of Docker, in one that runs or in a new one.

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

    ``container``    one that runs, by name or number; or
    ``image``        what to make a new one from
    ``user``         whom to be there, as the engine understands it
    ``python``       path of the interpreter there, or a list of words that ends
                     with it; searched for unless given
    ``args``         list of further arguments of ``exec`` or ``run``
    ``docker_args``  list of arguments before these words, such as ``--context``
    ``docker_path``  the client, 'docker' unless given
    """
    return boxes.engine(options, 'docker')
