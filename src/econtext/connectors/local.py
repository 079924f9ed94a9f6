"""
A child on this machine, as the same user.

Invariants:

* No shell is involved, unless the interpreter has to be searched for.
"""
import sys

from econtext.parent import command

OPTIONS = 'python', 'env'
MISSING = 'no-python'
PROMPTS = ()
FAILURES = command.FAILURES


def plan(options):
    # type: (dict[str, Any]) -> tuple[list[str], bool, dict[str, str | None]]
    """
    Return (argv, tty, changes of the environment); raise ValueError.

    ``python``  path of the interpreter, or a list of words that ends with it;
                our own by default
    ``env``     variables to set, or to remove (None)
    """
    command.check_options(options, OPTIONS)
    python = options.get('python') or sys.executable or None
    env = options.get('env') or {}
    for name, value in env.items():
        command.check_word('env', name)
        if '=' in name:
            raise ValueError('env= holds a name with "=": %r' % (name,))
        if value is not None and (not hasattr(value, 'encode') or '\0' in value):
            raise ValueError('env= holds what is no text: %r' % (value,))
    return command.argv(command.candidates(python)), False, env


def lacking(options):
    # type: (dict[str, Any]) -> dict[str, str]
    """Return what it means when a question has no answer: there is none."""
    return {}
