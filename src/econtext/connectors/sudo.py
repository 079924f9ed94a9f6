"""
A child on the same machine as another user, by sudo.

Invariants:

* A password is typed on the terminal only: standard input belongs to the child,
  and neither ``ps`` nor sudo's log sees it.  Where sudo is told to read it on standard
  input, a ``gate`` stands before the child.
* What is to be a user name cannot become an option.
* sudo speaks English, whatever the locale; the child's locale is untouched.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

from econtext.child.labels import seen
from econtext.parent import command, gate, users

OPTIONS = users.OPTIONS + ('login', 'preserve_env', 'own_prompt', 'stdin_answers')
ANSWERS = 'password', 'question'
NEARBY = True
MISSING = 'not-found'

# Ours, so that it is recognized for sure.  sudo-rs puts its own words around it,
# which no row of the table below must take for the end of the question.
PROMPT = 'econtext password: '

PROMPTS = command.NEW_PASSWORD + (
    ('\n' + PROMPT, 'password'),
    ('\npassword: ', 'password'),
    ('] password: ', 'password'),
    ('[sudo] password for ', 'password'),
    ('', 'password'),
)

# Options behind which a word of their own follows; why others cannot be had.
TAKES = 'aCcDghpRrTtUu'
STDIN = 'sudo would read what the context is sent as a password; give stdin_answers=True'
LOGIN = 'give login=True'
REFUSED = {
    '-S': STDIN, '--stdin': STDIN, '-i': LOGIN, '--login': LOGIN, '-s': users.SHELL, '--shell': users.SHELL,
    '-b': users.APART, '--background': users.APART}

FAILURES = (
    ('is not in the sudoers file', 'not-allowed'),
    ('is not allowed to', 'not-allowed'),
    ('may not run', 'not-allowed'),
    ("i'm sorry", 'not-allowed'),
    ('no new privileges', 'not-allowed'),
    ('have the setuid bit set', 'not-allowed'),
    ('account validation failure', 'not-allowed'),
    ('account is currently not available', 'no-login'),
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

    ``username``      whom to become, 'root' unless given
    ``login``         whether the user's login shell starts the interpreter
    ``preserve_env``  whether the environment is kept, or a list of the variables
                      of it that are
    ``own_prompt``    False where other questions are to be told apart: given a
                      prompt, sudo asks for everything in those words
    ``stdin_answers`` whether sudo reads the password on standard input, and not on a terminal
    ``python``        path of the interpreter, or a list of words that ends with it;
                      unless given our own, or the first that is found
    ``sudo_args``     list of further options, which precede all others
    ``sudo_path``     the program, 'sudo' unless given
    """
    sudo, username, pythons = users.asked(options, OPTIONS, 'sudo', TAKES, REFUSED)
    argv = sudo + ['-H', '-u', username]
    if options.get('own_prompt', True):
        argv += ['-p', PROMPT]
    kept = options.get('preserve_env')
    words = command.argv(pythons)
    if options.get('login'):
        if kept is True:
            raise ValueError('login= starts with a new environment: name in '
                             'preserve_env= what is to be kept of this one')
        argv.append('-i')
    if kept is True:
        argv.append('-E')
    elif kept:
        argv.append('--preserve-env=' + variables(kept))
    if options.get('stdin_answers'):
        argv.append('-S')
        words = gate.behind(words)
    if options.get('login'):
        words = without_dollars(words)
    argv.append('--')
    return argv + words, True, command.ENGLISH


def variables(names):
    # type: (Sequence[str]) -> str
    """Return names of variables as one word."""
    for name in names:
        command.check_name('preserve_env', name)
        if ',' in name or '=' in name:
            raise ValueError('preserve_env= holds what is no name: %s' % seen(name))
    return ','.join(names)


def without_dollars(words):
    # type: (list[str]) -> list[str]
    """
    Return words of the same meaning that hold no dollar sign.

    For a login shell sudo protects every character but that.
    """
    if words[:2] == ['sh', '-c'] and '$' in words[2]:
        script = words[2].replace('\\', '\\\\').replace('%', '%%')
        for c in "$'":
            script = script.replace(c, '\\%03o' % ord(c))
        words = ['sh', '-c', "eval `printf '%s'`" % script] + without_dollars(words[3:])
    return words
