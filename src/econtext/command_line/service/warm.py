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
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

import click

import econtext
from econtext.child import scripts
from econtext.command_line import application, session
from econtext.command_line.connecting import Asker, Way, options_of
from econtext.command_line.targets import BadTarget, Target, parse

# Kinds of failures that may be none for a command which can ask its user.
ASKED = frozenset(
    'answer-required expired-password passphrase-required password-required refused-key tty-required unknown-host-key '
    'wrong-password'.split())
# Of these the one that the next command may not meet any more: it is answered once.
RECORDED = frozenset(['unknown-host-key'])
REFUSED, FORKS = 'refused', 'forks'
# From here on modules of the standard library know when they are forked, such as `random`.
FORKED_SAFELY = 3, 7
SPARE = 2       # contexts that a command takes: one for its streams, one for its script


class Declined(BaseException):
    """The command is to run in its own process.  No Exception, so that nothing on the way takes it for an error."""


@dataclass(frozen=True)
class Host:
    """A host whose context is shared: the hosts on the way, itself last, and how they are reached."""

    places: tuple[Target, ...]
    way: Way

    def key(self) -> str:
        """Return a text that is the same for the same host."""
        return json.dumps(astuple(self))


class Keeper:
    """What gets the contexts of one command from a holder."""

    def __init__(
        self, attach: Callable[[], Any], known: Mapping[str, str], note: Callable[[str, str], object],
        idle: float,
    ) -> None:
        #: Returns an attachment to the holder.
        self.attach: Callable[[], Any] = attach
        #: What earlier commands found out about hosts.
        self.known: Mapping[str, str] = known
        #: Tells that to later ones.
        self.note: Callable[[str, str], object] = note
        #: Which host this command is about: the next one may be, too.
        self.used: Host | None = None
        self.idle: float = idle
        self.base: Any = None
        self.forks: bool = False
        # For which host there are contexts, and those that nobody has yet.
        self.host: Host | None = None
        self.spare: list[Any] = []
        # What the first of them has for a program of its own.
        self.prepared: session.FarStreams | None = None
        # A command line that was read ahead, and what it is.
        self.expected: tuple[Sequence[str], click.Context] | None = None

    @contextlib.contextmanager
    def context(self, target: Target | None, way: Way) -> Iterator[econtext.Context]:
        """Yield a context for this command alone, on the host that `target` names. Raise Declined."""
        host = shared_host(target, way)
        if host is None:
            raise Declined
        if host != self.host or self.is_lost():
            if self.known.get(host.key()) == REFUSED:
                raise Declined
            self.connect(host)
        try:
            first = self.beside()
            first.wait_ready()
        except econtext.EcontextError:
            # The connection broke some time ago, say: another one is made where the command runs.
            raise Declined from None
        self.used = host
        yield first

    def is_lost(self) -> bool:
        """Has anything ended that was prepared?"""
        near = [self.prepared.near] if self.prepared is not None else []
        return any(each._node.error is not None for each in [*self.spare, *near])

    def is_lost_for_good(self) -> bool:
        """Has the holder ended, or the context of the host?"""
        return self.base is not None and self.base._node.error is not None

    def prepare(self, host: Host) -> None:
        """Have ready what a command on `host` needs; raise Declined or EcontextError if that cannot be."""
        self.connect(host)
        self.spare = [self.beside() for _ in range(SPARE)]
        for future in [each.submit(scripts.system) for each in self.spare]:
            # Its first call takes longer than later ones.
            future.result()
        near = self.spare.pop(0)
        far = self.prepared = session.FarStreams(near, self.spare[0], False)
        far.opened.result()

    def expect(self, words: Sequence[str]) -> None:
        """Read a command line that was run before, so that `read` has it if it comes once more."""
        with contextlib.suppress(click.ClickException, click.exceptions.Exit):
            self.expected = words, application.read(words)

    def read(self, words: Sequence[str]) -> click.Context | None:
        """Return what these words are, if that is known."""
        return self.expected[1] if self.expected is not None and self.expected[0] == words else None

    def connect(self, host: Host) -> None:
        """Find or start the context of the host; raise Declined, or why it cannot be reached."""
        self.spare, self.prepared = [], None
        # It is left with the end of this process, which waits for nobody.
        try:
            above = self.attach()
        except (econtext.EcontextError, OSError):
            raise Declined from None
        way = host.way
        try:
            for place in host.places:
                above = self.reach(above, place, way)
            if way.sudo:
                above = above.sudo(way.sudo, connect_timeout=way.connect_timeout, idle_timeout=self.idle)
            above.wait_ready()
        except econtext.ConnectError as error:
            if error.kind not in ASKED:
                raise
            if error.kind not in RECORDED:
                self.note(host.key(), REFUSED)
            raise Declined from None
        except econtext.ContextLost:
            raise Declined from None
        self.host, self.base = host, above
        self.forks = self.known.get(host.key()) == FORKS
        if not self.forks and above.python_version >= FORKED_SAFELY:
            above.submit(scripts.system).add_done_callback(self.learn)

    def reach(self, above: Any, place: Target, way: Way) -> Any:
        # Nobody can be asked here: this process has no terminal of its own.
        options = options_of(place, way, Asker())
        return getattr(above, place.connector)(
            *place.args, name=str(place), idle_timeout=self.idle, **options)

    def learn(self, done: Any) -> None:
        """Note that later commands may have copies of this context."""
        with contextlib.suppress(Exception):
            if self.host is not None and done.result() == 'Linux':
                self.note(self.host.key(), FORKS)

    def beside(self) -> econtext.Context:
        """Return a new context beside that of the host; it has no name, so it is shared with nobody."""
        if self.spare:
            found: econtext.Context = self.spare.pop(0)
            return found
        far, self.prepared = self.prepared, None
        if far is not None:
            # Nobody wants these streams: what has them is free in a moment.
            far.control.close()
            return far.near
        context: econtext.Context = self.base.fork() if self.forks else self.base.local()
        return context

    def streams(self, context: econtext.Context) -> session.FarStreams | None:
        """Return the streams that are ready for a program of `context`, if there are any."""
        far, self.prepared = self.prepared, None
        return far if far is not None and far.beside is context else None


def shared_host(target: Target | None, way: Way) -> Host | None:
    """Return what a command on `target` shares with others; None for nothing."""
    if target is None or way.inventory is not None or way.verbose:
        return None
    try:
        places = (*map(parse, way.via), target)
    except BadTarget:
        # Told where the command runs.
        return None
    return Host(places, local_paths(way)) if all(place.connector == 'ssh' for place in places) else None


def local_paths(way: Way) -> Way:
    """Return `way` such that files of this machine are found from any folder."""
    return replace(
        way, attended=True, identity_file=way.identity_file and os.path.abspath(os.path.expanduser(way.identity_file)),
        config=way.config and os.path.abspath(os.path.expanduser(way.config)))
