"""
A child on the same machine as another user, by sudo.

Invariants:

* A password is typed on the terminal only: standard input belongs to the child,
  and neither ``ps`` nor sudo's log sees it.
* What is to be a user name cannot become an option.
* sudo speaks English, whatever the locale; the child's locale is untouched.
"""
import sys

from econtext.parent import command

OPTIONS = 'username', 'python', 'sudo_path'
MISSING = 'not-found'

# Ours, so that it is recognized for sure.  sudo-rs puts its own words around it,
# which no row of the table below must take for the end of the question.
PROMPT = 'econtext password: '

PROMPTS = (
    ('new password', 'new-password'),
    ('new unix password', 'new-password'),
    ('current password', 'new-password'),
    ('current) unix password', 'new-password'),
    ('\n' + PROMPT, 'password'),
    ('\npassword: ', 'password'),
    ('] password: ', 'password'),
    ('', 'password'),
)

FAILURES = (
    ('is not in the sudoers file', 'not-allowed'),
    ('is not allowed to', 'not-allowed'),
    ('may not run', 'not-allowed'),
    ("i'm sorry", 'not-allowed'),
    ('no new privileges', 'not-allowed'),
    ('have the setuid bit set', 'not-allowed'),
    ('account validation failure', 'not-allowed'),
    ('unknown user', 'no-such-user'),
    ("' not found", 'no-such-user'),
    ('you must have a tty', 'tty-required'),
    ('terminal is required', 'tty-required'),
    ('no tty present', 'tty-required'),
    ('password is expired', 'expired-password'),
    ('password expired', 'expired-password'),
    ('required to change your password', 'expired-password'),
    ('changing password for', 'expired-password'),
    ('sorry, try again', 'wrong-password'),
    ('incorrect password', 'wrong-password'),
    ('incorrect authentication attempt', 'wrong-password'),
    ('authentication failed', 'wrong-password'),
    ('authentication failure', 'wrong-password'),
    ('password is required', 'password-required'),
    ('no password was provided', 'password-required'),
    ('authentication is required', 'password-required'),
) + command.FAILURES


def plan(options):
    # type: (dict[str, Any]) -> tuple[list[str], bool, dict[str, str | None]]
    """
    Return (argv, tty, changes of the environment); raise ValueError.

    ``username``   whom to become, 'root' unless given
    ``python``     path of the interpreter, or a list of words that ends with it;
                   unless given our own, or the first that is found
    ``sudo_path``  the program, 'sudo' unless given
    """
    command.check_options(options, OPTIONS)
    username = options.get('username') or 'root'
    command.check_name('username', username)
    sudo = options.get('sudo_path') or 'sudo'
    command.check_word('sudo_path', sudo)
    pythons = command.candidates(options.get('python') or None)
    if not options.get('python') and sys.executable:
        # Ours is there for sure, if the other user may execute it.
        pythons = [sys.executable] + list(pythons)
    argv = [sudo, '-H', '-u', username, '-p', PROMPT, '--']
    return argv + command.argv(pythons), True, {'LANGUAGE': 'C'}


def lacking(options):
    # type: (dict[str, Any]) -> dict[str, str]
    """Return what it means when a question has no answer: as everywhere."""
    return {}
