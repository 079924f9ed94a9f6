"""
What the ways to another user of the same machine have in common: doas, su, sudo.

Each of them is a program that asks for a password, and executes another one as
that user, with our pipes as its standard input and output.

Invariants:

* What is to be a user name cannot become an option.

Pure: no descriptors, threads or clocks.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

import os
import sys

from econtext.child.labels import seen
from econtext.parent import command

OPTIONS = 'username', 'python'

# Why the user's own options cannot be these.
SHELL = 'what is run is to be the interpreter, and no shell'
APART = 'the context would not end with its link'

PROMPTS = command.NEW_PASSWORD + (
    ('password: ', 'password'),
    ('', 'password'),
)


def asked(options, known, name, takes, refused):
    # type: (dict[str, Any], Sequence[str], str, str, dict[str, str]) -> tuple[list[str], str, Sequence[str | Sequence[str]]]
    """
    Return program `name` and the user's own options of it, whom to become, and the interpreters to try.

    Beside those `known` there are NAME_path and NAME_args, see further().  Raise ValueError for what makes no sense.
    """
    way = name + '_path'
    command.check_options(options, tuple(known) + (way, name + '_args'))
    username = options.get('username') or 'root'
    command.check_name('username', username)
    path = options.get(way) or name
    command.check_word(way, path)
    path = os.path.expanduser(path)
    pythons = command.candidates(options.get('python') or None)
    if not options.get('python') and sys.executable:
        # Ours is there for sure, if the other user may execute it.
        pythons = [sys.executable] + list(pythons)
    return [path] + further(name + '_args', options.get(name + '_args'), takes, refused), username, pythons


def further(option, args, takes, refused):
    # type: (str, Any, str, dict[str, str]) -> list[str]
    """
    Return the user's own options of a program; raise ValueError for what would be no option, or is `refused`.

    `takes` are the letters behind which a word of their own follows.  Letters may stand together, and
    the names of long options may be cut.
    """
    if not isinstance(args or [], (list, tuple)):
        raise ValueError('%s= must be a list of words, not %s' % (option, seen(args)))
    value = False
    for word in args or ():
        command.check_word(option, word)
        if value or (word[0] != '-' and '=' in word[1:]):
            value = False
            continue
        if word[0] != '-' or word in ('-', '--'):
            raise ValueError('%s= holds what is no option: %s' % (option, seen(word)))
        flags, value = letters(word, takes)
        for flag in refused:
            if flag in flags or (flag[:2] == '--' and flag.startswith(word.split('=')[0])):
                raise ValueError('%s= holds %s: %s' % (option, flag, refused[flag]))
    return list(args or ())


def letters(word, takes):
    # type: (str, str) -> tuple[list[str], bool]
    """Return the short options in `word`, and whether the next word may be the value of an option."""
    if word[:2] == '--':
        return [], '=' not in word
    flags = []
    for i in range(1, len(word)):
        flags.append('-' + word[i])
        if word[i] in takes:
            return flags, i == len(word) - 1
    return flags, False
