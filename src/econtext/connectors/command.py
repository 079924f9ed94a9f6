"""
A child by any command that passes on standard input and output.

The way to the ones that have no connector: the words of a command, behind which
the interpreter and its arguments are put; or one line for a shell, as ssh has it.

Invariants:

* The command's own words are passed on as they are; what follows them survives
  every login shell where ``shell`` says that one reads it.
* What it asks a person it asks on a terminal that is ours; or, where the user says so, on standard error,
  and reads the answer on standard input: then a ``gate`` stands before the interpreter.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from econtext.child.labels import seen, type_name
from econtext.parent import command, gate

OPTIONS = 'argv', 'python', 'shell', 'env', 'tty', 'stdin_answers'
ANSWERS = 'password', 'passphrase', 'question'
MISSING = 'not-found'

PROMPTS = (
    ('(yes/no', 'host_key'),
    ('passphrase for', 'passphrase'),
    ('passphrase: ', 'passphrase'),
    ('enter pin for', 'passphrase'),
) + command.NEW_PASSWORD + (
    ('password: ', 'password'),
    ('password for ', 'password'),
    ('', 'question'),
)

FAILURES = command.NETWORK_FAILURES + (
    ('password has expired', 'expired-password'),
    ('password change required', 'expired-password'),
    ('terminal is required', 'tty-required'),
    ('please try again', 'wrong-password'),
    ('sorry, try again', 'wrong-password'),
    ('incorrect password', 'wrong-password'),
    ('authentication failed', 'wrong-password'),
    ('authentication failure', 'wrong-password'),
    ('account is currently not available', 'no-login'),
) + command.FAILURES


def plan(options):
    # type: (dict[str, Any]) -> tuple[list[str], bool, dict[str, str | None]]
    """
    Return (argv, tty, changes of the environment); raise ValueError.

    ``argv``    the words of the command, a list
    ``python``  path of the interpreter there, or a list of words that ends with
                it; searched for unless given
    ``shell``   whether a shell there reads what follows: then it is one word
    ``env``     variables to set for the command, or to remove (None)
    ``tty``     whether it gets a terminal to ask questions on; True unless given
    ``stdin_answers``
                whether it asks on standard error, and reads answers on standard input
    """
    command.check_options(options, OPTIONS)
    words = options.get('argv')
    if not isinstance(words, (list, tuple)) or not words:
        raise ValueError('argv= must be a list of words, not %s' % seen(words))
    command.check_word('argv', words[0])
    for word in words:
        if not hasattr(word, 'encode') or '\0' in word:
            raise ValueError('argv= must hold words only, not %s' % type_name(type(word)))
    env = options.get('env') or {}
    command.check_environ('env', env)
    pythons = command.candidates(options.get('python'))
    behind = command.argv(pythons)
    if options.get('stdin_answers'):
        behind = gate.behind(behind)
    if options.get('shell'):
        behind = [command.line(behind)]
    return list(words) + behind, options.get('tty') is not False, env
