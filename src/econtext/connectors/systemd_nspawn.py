"""
A child in a new container of systemd-nspawn, which lasts as long as the child.

Invariants:

* It is not the first process of the container, for that one takes no signals.
* What is to be a folder or a user cannot become an option.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from econtext.parent import boxes

OPTIONS = 'directory', 'user', 'python'
MISSING = 'not-found'
PROMPTS, ANSWERS = boxes.PROMPTS, boxes.ANSWERS
FAILURES = (
    ('need to be root', 'not-privileged'),
    ('failed to resolve user', 'no-such-user'),
    ('failed to resolve path', 'no-such-box'),
    ('is currently busy', 'busy'),
    ('execv(sh) failed', 'no-shell'),
    ('execv(', 'no-python'),
) + boxes.FAILURES

# It needs no manager of services, and none shall end it.
ALONE = ['--quiet', '--pipe', '--as-pid2', '--register=no', '--keep-unit']


def plan(options):
    # type: (dict[str, Any]) -> tuple[list[str], bool, dict[str, str | None]]
    """
    Return (argv, tty, changes of the environment); raise ValueError.

    ``directory``    its root
    ``user``         whom to be there, by name
    ``python``       path of the interpreter there, or a list of words that ends
                     with it; searched for unless given
    ``nspawn_args``  list of further arguments of systemd-nspawn
    ``nspawn_path``  the program, 'systemd-nspawn' unless given
    """
    argv = boxes.program(options, OPTIONS, 'nspawn', 'systemd-nspawn')
    argv[1:1] = ALONE
    argv += boxes.named(options, ('user', '--user='))
    argv.append('--directory=' + boxes.directory('directory', options.get('directory')))
    return boxes.inside(argv + ['--'], options)
