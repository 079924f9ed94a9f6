"""
The options of commands that there are not, and what is to be written in their place.

People know ``subprocess.run()``, and type its options by habit.

Invariants:

* What is wrong is told before anything is sent.
* What was given is not shown: it may be secret.

Any thread may enter.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar, cast

F = TypeVar('F', bound=Callable[..., Any])

AWAITED = 0x80     # of the flags of code, as `inspect` has it: a coroutine function
OUTPUT = 'leave it out: the result has the output as stdout and stderr, unless capture= or on_line= says otherwise'
LINES = 'write capture=True for a result that has the output too'
BYTES = 'text is in UTF-8: for another encoding write text=False, and decode the bytes'
BECOME = "start a context as that user, such as web.sudo('deploy'), and run the command there"
SHELL = "write the command as a text for the shell, such as 'umask 077; make install'"
NEEDLESS = 'leave it out: the command shares nothing with this program'
FIRST = 'give the command first, without a name'

# What is no option of run(), and what to write.
INSTEAD: dict[str, str] = {
    'shell': 'leave it out: a command that is a text is for /bin/sh, and no shell reads a list of words',
    'capture_output': OUTPUT, 'stdout': OUTPUT,
    'stderr': 'leave it out: the result has both outputs; to join them, write 2>&1 at the end of a text for the shell',
    'stdin': 'give what the command reads as input=: a text, bytes, an open file',
    'universal_newlines': 'leave it out, or write text=: output is text unless text=False is given',
    'encoding': BYTES, 'errors': BYTES,
    'executable': 'give the path of the program as the first word of the list',
    **dict.fromkeys(('user', 'username', 'group', 'extra_groups', 'sudo', 'become', 'become_user'), BECOME),
    **dict.fromkeys(('preexec_fn', 'umask'), SHELL),
    **dict.fromkeys(
        ('start_new_session', 'process_group'), 'leave it out: a command has a process group of its own'),
    **dict.fromkeys(
        ('bufsize', 'close_fds', 'pass_fds', 'pipesize', 'restore_signals', 'startupinfo', 'creationflags'), NEEDLESS),
    **dict.fromkeys(('args', 'argv', 'command', 'cmd'), FIRST),
}


def one_command(function: F) -> F:
    """Have the method `function`, which takes a command and options with names, say what is wrong in other terms."""
    known: dict[str, Any] = function.__kwdefaults__ or {}

    def check(argv: tuple[Any, ...], options: Iterable[str]) -> None:
        for option in options:
            if option not in known:
                refuse(function.__name__, option, known)
        if len(argv) != 1:
            raise TypeError(
                f"{function.__name__}() takes a command as one argument: a list of words, such as ['git', 'pull'], "
                f'or a text for the shell; {len(argv)} were given')

    @functools.wraps(function)
    def checked(self: Any, /, *argv: Any, **options: Any) -> Any:
        check(argv, options)
        return function(self, *argv, **options)

    @functools.wraps(function)
    async def awaited(self: Any, /, *argv: Any, **options: Any) -> Any:
        check(argv, options)
        return await function(self, *argv, **options)

    return cast('F', awaited if function.__code__.co_flags & AWAITED else checked)


def refuse(name: str, option: str, known: Iterable[str]) -> NoReturn:
    """Raise the TypeError for an `option` that function `name` has not."""
    instead = INSTEAD.get(option)
    if instead == OUTPUT and name != 'run':
        instead = LINES
    if instead is None:
        instead = 'there are ' + ', '.join(f'{each}=' for each in known)
    raise TypeError(f'{name}() has no {option}=: {instead}')
