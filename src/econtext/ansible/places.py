"""
The contexts of one run: those by which a host is entered, those behind a become plugin, and those of another Python.

Invariants:

* There is one context for each way to enter a host, for each become line behind that, and for each interpreter behind
  these.  A context that has ended is started again by the next request.
* Of requests that need a context that is starting, one starts it, and all hear what came of that.
* What was sent to a context is noted with the context, and so forgotten with it.

The daemon's event loop enters.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any

import econtext
from econtext.ansible.archives import Archive
from econtext.ansible.deferred import Known
from econtext.ansible.payload import Payload
from econtext.child import ansiballz, running, temporary

# Calls at once: tasks of several hosts may be delegated to one.
THREADS = 16
COMMON: dict[str, Any] = {'threads': THREADS, 'gil_limit': 0}
# Kinds of a ConnectError that another interpreter may not have.
PYTHON_KINDS = 'no-python', 'broken-python', 'unsupported-python'
# Packed modules run from this version on, those of a current ansible-core made older: `old_targets`.
OLDEST = 3, 6
# More output than a module prints; what Ansible would have to keep in memory as well.
MOST = 1 << 30
# Whose modules change accounts, which they cannot where processes of the account run.
CHANGE_ACCOUNTS = 'user', 'group'
# Signals of which a shell says nothing.
UNSAID = signal.SIGINT, signal.SIGPIPE

Start = Callable[['str | None'], Any]


class StepFailed(Exception):
    """A step could not be carried out; `done` is how many were before."""

    def __init__(self, done: int) -> None:
        super().__init__(done)
        self.done = done


class Replaced(Exception):
    """The path of the interpreter leads to another program than when the context started; nothing was done."""


class Place:
    """A context, and what is known to be there."""

    def __init__(self, context: Any) -> None:
        self.context: Any = context
        self.busy: int = 0      # requests
        self.verdicts: dict[str, tuple[bool, bool]] = {}
        #: What is known to be there, by digests.
        self.sources: set[bytes] = set()
        self.archives: set[bytes] = set()
        #: What Ansible's own commands have shown.
        self.known: Known = Known()
        #: The place in which this one was started, by a become plugin.
        self.login: Place | None = None
        self._coerced: set[str] | None = None

    async def coerced(self) -> set[str]:
        """
        Return the variables that Python there has set for its locale, and a shell would not have.

        sudo hands them on, so those of the login count as well.
        """
        if self._coerced is None:
            self._coerced = set(await self.context.call(running.coerced))
            if self.login is not None:
                self._coerced |= await self.login.coerced()
        return self._coerced

    async def suits(self, interpreter: str) -> tuple[bool, bool]:
        """Say whether this is what a program of `interpreter` would be, and whether modules may run here."""
        if self.context.python_version < OLDEST:
            # What older ones cannot even read is not sent there; the path itself must do.
            return self.context.executable == interpreter, False
        if interpreter not in self.verdicts:
            self.verdicts[interpreter] = await self.context.call(ansiballz.suits, interpreter)
        return self.verdicts[interpreter]

    async def carry_out(self, steps: Sequence[tuple[Any, ...]]) -> int:
        """Carry out the steps; return how many, fewer than all if one failed."""
        done: int = await self.context.call(temporary.carry_out, list(steps))
        return done

    async def run_module(
        self, archive: Archive, payload: Payload, variables: dict[str, str], interpreter: str,
        steps: Sequence[tuple[Any, ...]] = (),
    ) -> tuple[int, bytes, bytes]:
        """
        Run a packed module in a fork, in one trip with `steps` before it and the sources that it needs.

        Return its status and output.  Raise StepFailed if a step failed, so that the module did not run; Replaced if
        another interpreter is to run the module.
        """
        new = None
        if archive.digest not in self.archives:
            # Another run may be on its way with the same: what is not known to be there is sent.
            sources = {digest: data for digest, data in archive.sources.items() if digest not in self.sources}
            new = archive.files, sources
        isolated = self.context.options(fork=True, max_output=MOST)
        try:
            done = await isolated.call(
                ansiballz.run, archive.digest, new, payload.module, payload.params, payload.profile,
                payload.open_files, variables, interpreter, list(steps))
        except econtext.ForkExited as error:
            self._has(archive)
            return status(error.returncode), error.stdout, error.stderr + last_words(error.returncode)
        self._has(archive)
        if done.value == ansiballz.REPLACED:
            raise Replaced
        if done.value < 0:
            raise StepFailed(-1 - done.value)
        return done.value, done.stdout, done.stderr

    def _has(self, archive: Archive) -> None:
        """Note that the archive is there."""
        self.archives.add(archive.digest)
        self.sources.update(archive.sources)


def status(returncode: int | None) -> int:
    """Return the status that a shell has of a process; a signal counts from 128."""
    if returncode is None:
        return 1
    return returncode if returncode >= 0 else 128 - returncode


def last_words(returncode: int | None) -> bytes:
    """Return what a shell says of a process that a signal has ended; people may not know what 137 means."""
    if returncode is None or returncode >= 0 or -returncode in UNSAID:
        return b''
    try:
        said = signal.strsignal(-returncode)
    except ValueError:
        said = None
    return f'{said or f"Signal {-returncode}"}\n'.encode()


class Places:
    """All contexts of the run."""

    def __init__(self) -> None:
        self._found: dict[Hashable, asyncio.Future[Place]] = {}

    async def get(self, key: Hashable, start: Callable[[], Any]) -> Place:
        """Return the place of that key; `start` starts its context if there is none that lives."""
        while True:
            found = self._found.get(key)
            if found is None:
                found = self._found[key] = asyncio.ensure_future(started(start))
                found.add_done_callback(lambda done: self._drop_failed(key, done))
            place = await asyncio.shield(found)
            try:
                await place.context.wait_ready()
                return place
            except econtext.EcontextError:
                if self._found.get(key) is found:
                    del self._found[key]

    def _drop_failed(self, key: Hashable, done: asyncio.Future[Place]) -> None:
        if (done.cancelled() or done.exception() is not None) and self._found.get(key) is done:
            del self._found[key]

    async def forget(self, place: Place) -> None:
        """Have the next request start another place; this one ends at once, or where it is busy, with the run."""
        if place.busy:
            self._found = {key: found for key, found in self._found.items() if place_of(found) is not place}
        else:
            await self.close(lambda _, each: each is place)

    async def close(self, chosen: Callable[[Any, Place], bool]) -> None:
        """End the contexts that are `chosen` by key and place."""
        ending: list[Awaitable[None]] = []
        for key, found in list(self._found.items()):
            place = place_of(found)
            if place is not None and chosen(key, place):
                del self._found[key]
                ending.append(place.context.close())
        await asyncio.gather(*ending)


def place_of(found: asyncio.Future[Place]) -> Place | None:
    """Return the place, if it is there."""
    return found.result() if found.done() and not found.cancelled() and found.exception() is None else None


async def started(start: Callable[[], Any]) -> Place:
    return Place(await start().wait_ready())


async def with_interpreter(places: Places, key: Hashable, start: Start, interpreter: str | None) -> Place:
    """Return the place of that key; a new one has `interpreter`, or any if there is no such."""
    try:
        return await places.get(key, lambda: start(interpreter))
    except econtext.ConnectError as error:
        if interpreter is None or error.kind not in PYTHON_KINDS:
            raise
    return await places.get(key, lambda: start(None))


def changes_accounts(payload: Payload) -> bool:
    """Does the module make, change or remove accounts?"""
    return payload.module.rpartition('.')[2] in CHANGE_ACCOUNTS
