"""
A child in a machine that systemd-machined knows, by systemd-run.

``machinectl shell`` has nothing but a terminal to offer, which changes bytes;
``systemd-run --machine`` asks the same service for the same, and takes pipes.

Invariants:

* What is to be a machine or a user cannot become an option.
* HOME is that of the user there.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from econtext.parent import boxes, command

OPTIONS = 'machine', 'user', 'python'
MISSING = 'not-found'
PROMPTS, ANSWERS = boxes.PROMPTS, boxes.ANSWERS
FAILURES = (
    ('has not been booted with systemd', 'engine-down'),
    # What it says of a machine that it does not know.
    ('host is down', 'no-such-box'),
    ('failed to connect to*not permitted', 'not-privileged'),
    ('failed to connect to*permission denied', 'not-privileged'),
    ('failed to connect to*bus', 'engine-down'),
    ('authentication required', 'engine-refused'),
    ('access denied', 'engine-refused'),
) + boxes.FAILURES
# The service manager there has no other words for what it could not start: a user, or a program.
STATUSES = {203: 'no-python', 217: 'no-such-user'}


def plan(options):
    # type: (dict[str, Any]) -> tuple[list[str], bool, dict[str, str | None]]
    """
    Return (argv, tty, changes of the environment); raise ValueError.

    ``machine``          its name, as ``machinectl list`` has it
    ``user``             whom to be there, by name or number; root unless given
    ``python``           path of the interpreter there, or a list of words that
                         ends with it; searched for unless given
    ``machinectl_args``  list of further arguments of systemd-run
    ``machinectl_path``  the program, 'systemd-run' unless given
    """
    argv = boxes.program(options, OPTIONS, 'machinectl', 'systemd-run')
    command.check_name('machine', options.get('machine', ''))
    argv[1:1] = ['--machine=' + options['machine'], '--quiet', '--pipe', '--wait', '--collect']
    # Without a user there is no HOME.
    user = boxes.named(options, ('user', '--uid=')) or ['--uid=root']
    return boxes.inside(argv + user + ['--'], options)
