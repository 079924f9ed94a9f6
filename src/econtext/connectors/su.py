"""
A child on the same machine as another user, by su.

su asks for the password on its standard input and error, not on the terminal.
So a shell in front of it lays both on the terminal and keeps ours as 3 and 4; the
shell behind it, run as the other user, lays them back.  Where there is no
terminal, su finds the end of its input instead of our preamble.

Invariants:

* A password is typed on the terminal only: standard input belongs to the child.
* What is to be a user name cannot become an option.
* The other user's login shell is not needed, only one that is no restricted one
  (root's su does not even mind that).
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from econtext.parent import command, users

OPTIONS = users.OPTIONS + ('login',)
ANSWERS = 'password', 'question'
NEARBY = True
MISSING = 'not-found'
PROMPTS = users.PROMPTS

# Runs su, $0, with its questions on the terminal.
BEFORE = (
    'command -v "$0">/dev/null||{ echo "no program $0">&2;exit 1;};'
    'exec 3<&0 4>&2;(:</dev/tty)2>/dev/null&&exec</dev/tty 2>/dev/tty||exec</dev/null;'
    'exec "$0" "$@"')
# What the shell as the other user begins with.
BEHIND = 'exec<&3 2>&4 3<&- 4>&-;'

# Options behind which a word of their own follows; why others cannot be had.
TAKES = 'cgGsw'
LOGIN = 'give login=True'
PTY = 'a terminal would change what passes through it'
REFUSED = {
    '-l': LOGIN, '--login': LOGIN, '-s': users.SHELL, '--shell': users.SHELL, '-c': users.SHELL,
    '--command': users.SHELL, '--session-command': users.SHELL, '-P': PTY, '--pty': PTY}

FAILURES = (
    ('no program ', 'not-found'),
    ('does not exist', 'no-such-user'),
    ('unknown user', 'no-such-user'),
    ('unknown id', 'no-such-user'),
    ('no passwd entry', 'no-such-user'),
    ('permission denied', 'not-allowed'),
    ('must be suid', 'not-allowed'),
    ('cannot set groups', 'not-allowed'),
    ('cannot set user id', 'not-allowed'),
    ('password has expired', 'expired-password'),
    ('required to change your password', 'expired-password'),
    ('changing password for', 'expired-password'),
    ('token is no longer valid', 'expired-password'),
    ('token manipulation error', 'expired-password'),
    ('using restricted shell', 'no-login'),
    ('account is currently not available', 'no-login'),
    ('account has expired', 'no-login'),
    ('authentication failure', 'wrong-password'),
    ('incorrect password', 'wrong-password'),
    ('su: sorry', 'wrong-password'),
) + command.FAILURES + (
    # It returned what the user's shell did, which did not run our command.
    ('', 'no-login'),
)


def plan(options):
    # type: (dict[str, Any]) -> tuple[list[str], bool, dict[str, str | None]]
    """
    Return (argv, tty, changes of the environment); raise ValueError.

    ``username``   whom to become, 'root' unless given
    ``python``     path of the interpreter, or a list of words that ends with it;
                   unless given our own, or the first that is found
    ``login``      whether to begin as a login does, with the user's environment
    ``su_args``    list of further options, which precede all others
    ``su_path``    the program, 'su' unless given
    """
    su, username, pythons = users.asked(options, OPTIONS, 'su', TAKES, REFUSED)
    argv = ['sh', '-c', BEFORE] + su + ['-s', '/bin/sh']
    if options.get('login'):
        argv.append('-l')
    line = BEHIND + command.shell(pythons)
    return argv + [username, '-c', line], True, command.ENGLISH
