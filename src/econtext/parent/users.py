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

from econtext.parent import command

OPTIONS = 'username', 'python'

PROMPTS = command.NEW_PASSWORD + (
    ('password: ', 'password'),
    ('', 'password'),
)


def asked(options, known, name):
    # type: (dict[str, Any], Sequence[str], str) -> tuple[str, str, Sequence[str | Sequence[str]]]
    """
    Return the path of program `name`, whom to become, and the interpreters to try.

    Beside those `known` there is NAME_path.  Raise ValueError for what makes no sense.
    """
    way = name + '_path'
    command.check_options(options, tuple(known) + (way,))
    username = options.get('username') or 'root'
    command.check_name('username', username)
    path = options.get(way) or name
    command.check_word(way, path)
    path = os.path.expanduser(path)
    pythons = command.candidates(options.get('python') or None)
    if not options.get('python') and sys.executable:
        # Ours is there for sure, if the other user may execute it.
        pythons = [sys.executable] + list(pythons)
    return path, username, pythons
