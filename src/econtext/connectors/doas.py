"""
A child on the same machine as another user, by doas, also in its portable form.

Invariants:

* A password is typed on the terminal only, which doas insists on.
* What is to be a user name cannot become an option.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from econtext.parent import command, users

OPTIONS = users.OPTIONS
ANSWERS = 'password', 'question'
NEARBY = True
MISSING = 'not-found'
PROMPTS = users.PROMPTS

# Options behind which a word of their own follows; why others cannot be had.
TAKES = 'aCu'
REFUSED = {'-s': users.SHELL}

FAILURES = (
    ('operation not permitted', 'not-allowed'),
    ('not installed setuid', 'not-allowed'),
    ('not enabled', 'not-allowed'),
    ('unknown user', 'no-such-user'),
    ('no passwd entry', 'no-such-user'),
    ('a tty is required', 'tty-required'),
    ('no tty for', 'tty-required'),
    ('authentication required', 'password-required'),
    ('authorization required', 'password-required'),
    ('password has expired', 'expired-password'),
    ('required to change your password', 'expired-password'),
    ('authentication failed', 'wrong-password'),
    ('authentication failure', 'wrong-password'),
    ('authorization failed', 'wrong-password'),
) + command.FAILURES


def plan(options):
    # type: (dict[str, Any]) -> tuple[list[str], bool, dict[str, str | None]]
    """
    Return (argv, tty, changes of the environment); raise ValueError.

    ``username``   whom to become, 'root' unless given
    ``python``     path of the interpreter, or a list of words that ends with it;
                   unless given our own, or the first that is found
    ``doas_args``  list of further options, which precede all others
    ``doas_path``  the program, 'doas' unless given
    """
    doas, username, pythons = users.asked(options, OPTIONS, 'doas', TAKES, REFUSED)
    return doas + ['-u', username, '--'] + command.argv(pythons), True, {}
