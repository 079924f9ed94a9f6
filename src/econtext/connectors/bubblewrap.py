"""
A child in a sandbox of Bubblewrap.

Invariants:

* Unless told otherwise it sees all files but can change none, has a /tmp and
  processes of its own, and no network.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from econtext.parent import boxes

OPTIONS = 'python',
NEARBY = True
MISSING = 'not-found'
PROMPTS, ANSWERS = boxes.PROMPTS, boxes.ANSWERS
FAILURES = (
    ('no permissions', 'not-privileged'),
    ("can't find source path", 'no-such-box'),
) + boxes.FAILURES

VIEW = ['--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc', '--tmpfs', '/tmp',
        '--unshare-all']


def plan(options):
    # type: (dict[str, Any]) -> tuple[list[str], bool, dict[str, str | None]]
    """
    Return (argv, tty, changes of the environment); raise ValueError.

    ``python``      path of the interpreter there, or a list of words that ends
                    with it; searched for unless given
    ``bwrap_args``  list of arguments that say what the sandbox is like, in the
                    place of VIEW
    ``bwrap_path``  the program, 'bwrap' unless given
    """
    argv = boxes.program(options, OPTIONS, 'bwrap')
    if not argv[1:]:
        argv += VIEW
    return boxes.inside(argv + ['--'], options)
