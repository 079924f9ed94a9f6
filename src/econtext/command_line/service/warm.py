"""
Warm contexts for one command: found at the holder of the session server, or started there.

The strategy: the context of a host is shared by all commands, and runs nothing of theirs.  A command works in copies of
that context, forked for this command alone, so that no command sees what another one left.  Where a fork is not known
to be sound, it starts an interpreter beside the context.

Invariants:

* A command that cannot be done so, or may be asked something on the way, is declined before it has read or printed
  anything; it then runs in its own process.
* A host that wanted a password is not tried again: the next command connects by itself at once.

Entered by the main thread of the process of a command.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import econtext
from econtext.child import scripts
from econtext.command_line.connecting import Asker, Way, options_of
from econtext.command_line.targets import BadTarget, Target, parse

# Kinds of failures that may be none for a command which can ask its user.
ASKED = frozenset(
    'answer-required expired-password passphrase-required password-required refused-key tty-required unknown-host-key '
    'wrong-password'.split())
REFUSED, FORKS = 'refused', 'forks'
# From here on modules of the standard library know when they are forked, such as `random`.
FORKED_SAFELY = 3, 7


class Declined(BaseException):
    """The command is to run in its own process.  No Exception, so that nothing on the way takes it for an error."""


class Keeper:
    """What gets the contexts of one command from a holder."""

    def __init__(
        self, attach: Callable[[], Any], known: dict[str, str], note: Callable[[str, str], object], idle: float
    ) -> None:
        #: Returns an attachment to the holder.
        self.attach = attach
        #: What earlier commands found out about hosts.
        self.known = known
        #: Tells that to later ones.
        self.note = note
        self.idle = idle
        self.base: Any = None
        self.forks: bool = False

    @contextlib.contextmanager
    def context(self, target: Target | None, way: Way) -> Iterator[econtext.Context]:
        """Yield a context for this command alone, on the host that `target` names. Raise Declined."""
        places = chain(target, way)
        key = repr((places, way))
        if not places or self.known.get(key) == REFUSED:
            raise Declined
        try:
            attachment = self.attach()
        except (econtext.EcontextError, OSError):
            raise Declined from None
        # It is left with the end of this process, which waits for nobody.
        self.connect(attachment, places, way, key)
        yield self.beside()

    def connect(self, attachment: Any, places: list[Target], way: Way, key: str) -> None:
        """Find or start the context of the host; raise Declined, or why it cannot be reached."""
        above = attachment
        try:
            for at, place in enumerate(places):
                above = self.reach(above, place, local_paths(way) if not at else way)
            if way.sudo:
                above = above.sudo(way.sudo, connect_timeout=way.connect_timeout, idle_timeout=self.idle)
            above.wait_ready()
        except econtext.ConnectError as error:
            if error.kind not in ASKED:
                raise
            self.note(key, REFUSED)
            raise Declined from None
        self.base = above
        self.forks = self.known.get(key) == FORKS
        if not self.forks and above.python_version >= FORKED_SAFELY:
            above.submit(scripts.system).add_done_callback(lambda done: self.learn(key, done))

    def reach(self, above: Any, place: Target, way: Way) -> Any:
        # Nobody can be asked here: this process has no terminal of its own.
        options = options_of(place, way, Asker())
        return getattr(above, place.connector)(
            *place.args, name=str(place), idle_timeout=self.idle, **options)

    def learn(self, key: str, done: Any) -> None:
        """Note that later commands may have copies of this context."""
        with contextlib.suppress(Exception):
            if done.result() == 'Linux':
                self.note(key, FORKS)

    def beside(self) -> econtext.Context:
        """Return a new context beside that of the host; it has no name, so it is shared with nobody."""
        context: econtext.Context = self.base.fork() if self.forks else self.base.local()
        return context


def chain(target: Target | None, way: Way) -> list[Target]:
    """Return the hosts on the way to `target`, itself last; none if they are not to be shared."""
    if target is None or way.inventory is not None or way.verbose:
        return []
    try:
        found = [*map(parse, way.via), target]
    except BadTarget:
        # Told where the command runs.
        return []
    return found if all(place.connector == 'ssh' for place in found) else []


def local_paths(way: Way) -> Way:
    """Return `way` such that files of this machine are found from any folder."""
    from dataclasses import replace
    return replace(
        way, identity_file=way.identity_file and os.path.abspath(os.path.expanduser(way.identity_file)),
        config=way.config and os.path.abspath(os.path.expanduser(way.config)))
