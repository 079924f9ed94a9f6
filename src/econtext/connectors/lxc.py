"""
A child in a container of LXC, by lxc-attach.

Invariants:

* It gets the container's environment, not ours, with the HOME of root, which that environment lacks.
* What is to be a container cannot become an option.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from econtext.parent import boxes, command

OPTIONS = 'container', 'user', 'python'
MISSING = 'not-found'
PROMPTS, ANSWERS = boxes.PROMPTS, boxes.ANSWERS
FAILURES = (
    ('failed to exec "sh"', 'no-shell'),
    ('failed to get init pid', 'not-running'),
    ('failed to create lock', 'not-privileged'),
    ('you lack access', 'not-privileged'),
    ('failed to exec ', 'no-python'),
) + boxes.FAILURES


def plan(options):
    # type: (dict[str, Any]) -> tuple[list[str], bool, dict[str, str | None]]
    """
    Return (argv, tty, changes of the environment); raise ValueError.

    ``container``  one that runs, by name
    ``user``       whom to be there: 'UID', or 'UID:GID'
    ``python``     path of the interpreter there, or a list of words that ends with
                   it; searched for unless given
    ``lxc_args``   list of further arguments of lxc-attach, such as --lxcpath=
    ``lxc_path``   the program, 'lxc-attach' unless given
    """
    argv = boxes.program(options, OPTIONS, 'lxc', 'lxc-attach')
    command.check_name('container', options.get('container', ''))
    if (options.get('user') or '0').split(':')[0] == '0':
        argv.insert(1, '--set-var=HOME=/root')
    argv += ['-n', options['container'], '--clear-env']
    return boxes.inside(argv + boxes.identity(options, '--uid=', '--gid=') + ['--'], options)
