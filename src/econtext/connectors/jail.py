"""
A child in a jail of FreeBSD, by jexec.

Invariants:

* What is to be a jail or a user cannot become an option.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from econtext.parent import boxes, command

OPTIONS = 'jail', 'user', 'python'
MISSING = 'not-found'
PROMPTS, ANSWERS = boxes.PROMPTS, boxes.ANSWERS
FAILURES = (
    ('" not found', 'no-such-box'),
    ('no such user', 'no-such-user'),
    ('jexec: execvp: sh', 'no-shell'),
    ('jexec: execvp', 'no-python'),
) + boxes.FAILURES


def plan(options):
    # type: (dict[str, Any]) -> tuple[list[str], bool, dict[str, str | None]]
    """
    Return (argv, tty, changes of the environment); raise ValueError.

    ``jail``       its name or number
    ``user``       whom to be there, by a name of the jail's
    ``python``     path of the interpreter there, or a list of words that ends with
                   it; searched for unless given
    ``jexec_args`` list of further arguments of jexec
    ``jexec_path`` the program, 'jexec' unless given
    """
    argv = boxes.program(options, OPTIONS, 'jexec')
    argv += boxes.named(options, ('user', '-U'))
    command.check_name('jail', options.get('jail', ''))
    return boxes.inside(argv + [options['jail']], options)
