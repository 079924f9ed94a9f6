"""
A child that takes a folder for the root of all files, by chroot.

Invariants:

* What is to be a folder or a user cannot become an option.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from econtext.parent import boxes

OPTIONS = 'directory', 'user', 'python'
NEARBY = True
MISSING = 'not-found'
PROMPTS, ANSWERS = boxes.PROMPTS, boxes.ANSWERS
FAILURES = (
    ('not permitted', 'not-privileged'),
    ("': permission denied", 'not-privileged'),
    ('cannot change root directory', 'no-such-box'),
    ('invalid user', 'no-such-user'),
    ('invalid group', 'no-such-user'),
) + boxes.FAILURES


def plan(options):
    # type: (dict[str, Any]) -> tuple[list[str], bool, dict[str, str | None]]
    """
    Return (argv, tty, changes of the environment); raise ValueError.

    ``directory``    the new root
    ``user``         whom to be there: USER, or USER:GROUP
    ``python``       path of the interpreter there, or a list of words that ends
                     with it; searched for unless given
    ``chroot_args``  list of further arguments of chroot
    ``chroot_path``  the program, 'chroot' unless given
    """
    argv = boxes.program(options, OPTIONS, 'chroot')
    argv += boxes.named(options, ('user', '--userspec='))
    argv.append(boxes.directory('directory', options.get('directory')))
    return boxes.inside(argv, options)
