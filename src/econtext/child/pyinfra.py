"""
What the connector of pyinfra has a context do: run a command and return all of its output at once, write a small file.

Invariants:

* A command is started, followed and ended as ``running`` does it; its output comes back in the order in which it
  was read.
* A context of another user runs a command only while what a new login of that user would depend on is as it was when
  the context began: who groups and users are, what is allowed, and what the environment is.  Else it says STALE.

Sent with the first command.  Entered by whoever carries out calls.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

import os
import pwd
import sys

from econtext.child import running
from econtext.child.transfer import as_bytes
from econtext.core.wire import EMPTY

STALE = 'stale'
# Files and folders of which a new session of another user is made.
SOURCES = (
    '/etc/passwd', '/etc/group', '/etc/environment', '/etc/login.defs', '/etc/security', '/etc/security/limits.conf',
    '/etc/security/limits.d', '/etc/security/pam_env.conf', '/etc/pam.d', '/etc/sudoers', '/etc/sudoers.d',
    '/etc/doas.conf', '/etc/nsswitch.conf', '/etc/default/locale',
)
# How these were when this context ran its first command.
FIRST = []  # type: list[list[tuple[float, ...] | None]]


class Collected(object):
    """Stands for the channel of a command whose input is here, and whose output is kept."""

    def __init__(self, data):
        # type: (Any) -> None
        econtext = sys.modules['econtext']  # type: Any
        self.home = econtext.program.home  # type: Any
        messages = [running.NO_MORE]  # type: list[bytes]
        if data:
            messages.insert(0, running.INPUT + data)
        self.messages = iter(messages)  # type: Iterator[bytes]
        self.pieces = []  # type: list[bytes]

    def __iter__(self):
        # type: () -> Iterator[bytes]
        return self.messages

    def open(self):
        # type: () -> bool
        return True

    def send(self, piece):
        # type: (bytes) -> None
        if piece == running.STARTED:
            return
        if self.pieces and self.pieces[-1][:1] == piece[:1] and len(self.pieces[-1]) < running.BLOCK:
            self.pieces[-1] += piece[1:]
        else:
            self.pieces.append(piece)


def run(words, data, timeout, watched, changes):
    # type: (list[Any], Any, Any, bool, list[tuple[str, str | None]]) -> tuple[Any, ...]
    """
    Run `words`, which read `data`; return (how it ended, status, output), as ``running.run`` says how it ended.

    `watched` is whether the context is to say STALE, and run nothing, when its user might have to log in anew;
    `changes` are variables that the command has with another value, or not at all (None).
    """
    if watched and is_stale():
        return STALE, 0, []
    data = as_bytes(data)
    channel = Collected(data)  # type: Any
    try:
        variables = running.environment(changes, True)
        process = running.start([as_bytes(word) for word in words], None, variables, bool(data))
    except OSError:
        error = sys.exc_info()[1]  # type: Any
        return 'program', 127, [running.ERR + as_bytes(words[0]) + as_bytes(': %s\n' % error.strerror)]
    verdict, status = running.Running(channel, process, timeout).run()
    return verdict, status, channel.pieces


def is_stale():
    # type: () -> bool
    """Would a new session of this user perhaps be another one than this?"""
    found = []  # type: list[tuple[float, ...] | None]
    for path in SOURCES:
        try:
            status = os.stat(path)
            found.append((status.st_mtime, status.st_size, status.st_ino))
        except OSError:
            found.append(None)
    if not FIRST:
        FIRST.append(found)
    return found != FIRST[0]


def describe():
    # type: () -> tuple[str, list[str]]
    """Return the shell that an ssh server of this user starts commands with, and what ``running.coerced`` returns."""
    try:
        return pwd.getpwuid(os.getuid())[6] or '/bin/sh', running.coerced()
    except KeyError:
        return '/bin/sh', running.coerced()


def write(path, data):
    # type: (Any, Any) -> tuple[int, str]
    """Write the file at `path` where it is, as ``cp`` does; return the number of the error or 0, and its text."""
    try:
        file = open(as_bytes(path), 'wb')
        try:
            file.write(as_bytes(data) or EMPTY)
        finally:
            file.close()
    except (IOError, OSError):
        error = sys.exc_info()[1]  # type: Any
        return error.errno or -1, str(error.strerror)
    return 0, ''
