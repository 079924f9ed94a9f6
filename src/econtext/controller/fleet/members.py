"""
The contexts of a fleet: connected when there is work, and again when one was lost.

A member is a host, or what was started from another member, such as sudo there; it has a
context at a time, or none.  Only the coordinator's thread enters, but for `close`.

Invariants:

* At most `connect_limit` members connect at a time; who waits for a context above waits without a place among these.
* Whoever wants a member is told once: that it is connected, or why it is not.
* A context gets as many calls at a time as it has threads: one that answers nothing holds up its own work only.
"""

from __future__ import annotations

import contextlib
import functools
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from econtext.controller.errors import ContextLost, EcontextError
from econtext.controller.fleet import backoff
from econtext.controller.fleet.coordinator import Coordinator

if TYPE_CHECKING:
    import concurrent.futures

    from econtext.controller.connect.connectors import Connectors
    from econtext.controller.context import Context
    from econtext.controller.fleet.hosts import Host

    Start = Callable[[Connectors[Context]], Context]
    Told = Callable[[Exception | None], object]

CLOSING = 10.0      # seconds that closing takes at most
CLOSERS = 16        # threads that end contexts, each one after the other
AWAY, CONNECTING, CONNECTED = 'away', 'connecting', 'connected'


class Member:
    """A place for one context."""

    def __init__(self, host: Host, start: Start, parent: Member | None = None, threads: int = 1) -> None:
        self.host = host
        self.start = start
        self.parent = parent
        self.threads = threads
        self.state = AWAY
        self.context: Context | None = None
        self.attempt = 0
        self.wanted_by: list[Told] = []
        self.busy = 0
        self.closed = False
        self.line: deque[Callable[[], object]] = deque()

    def is_alive(self) -> bool:
        """Is it connected, as far as is known here?"""
        if self.state != CONNECTED or self.context is None:
            return False
        try:
            self.context.wait_ready(0)
        except EcontextError:
            return False
        return True


class Pool:
    """The members that are connected from one broker."""

    def __init__(
        self, origin: Connectors[Context], connect_limit: int, connect_retries: int, retry_delay: float,
    ) -> None:
        self.origin = origin
        self.connect_limit = connect_limit
        self.connect_retries = connect_retries
        self.retry_delay = retry_delay
        self.coordinator: Coordinator = Coordinator('econtext fleet')
        self.callbacks: Coordinator = Coordinator('econtext fleet callbacks')
        self.connecting: int = 0
        self.line: deque[Member] = deque()
        self.members: list[Member] = []
        self.work: set[Any] = set()     # what is to be ended with the pool
        #: Told when a member is free and nobody is in line for it.
        self.hears_free: set[Callable[[], object]] = set()
        self.closed: bool = False

    def post(self, action: Callable[[], object]) -> bool:
        """Have `action` run by the coordinator."""
        return self.coordinator.post(action)

    # Connect.

    def want(self, member: Member, told: Told) -> None:
        """Connect `member` unless it is; then call `told` with None, or with why it cannot be."""
        if member.closed:
            told(EcontextError(f'{member.host.name}: the fleet was closed: make a new one'))
            return
        if member.state == CONNECTED:
            if member.is_alive():
                told(None)
                return
            self.let_go(member)
        member.wanted_by.append(told)
        if member.state == AWAY:
            member.state = CONNECTING
            member.attempt = 0
            self.prepare(member)

    def prepare(self, member: Member) -> None:
        """Have the way to `member` ready, then put it in line."""
        if member.parent is None:
            self.enqueue(member, None)
        else:
            self.want(member.parent, functools.partial(self.enqueue, member))

    def enqueue(self, member: Member, error: Exception | None) -> None:
        if member.closed or member.state != CONNECTING:
            # Whoever wanted it was told.
            return
        if error is not None:
            self.tell(member, error)
            return
        self.line.append(member)
        self.admit()

    def admit(self) -> None:
        """Begin to connect those in line, as far as there is room."""
        while self.line and self.connecting < self.connect_limit:
            member = self.line.popleft()
            if not member.closed:
                self.connect(member)

    def connect(self, member: Member) -> None:
        origin = self.origin if member.parent is None else member.parent.context
        self.connecting += 1
        member.attempt += 1
        try:
            if origin is None:
                raise ContextLost(f'{member.host.name}: the context above was lost: try again')
            member.context = context = member.start(origin)
            ready = context.submit(bool)
        except Exception as error:
            # Not at once: there may be many, and each has the next one tried.
            self.post(functools.partial(self.connected, member, error))
            return
        ready.add_done_callback(lambda done: self.post(functools.partial(self.answered, member, context, done)))

    def answered(
        self, member: Member, context: Context, done: concurrent.futures.Future[Any]
    ) -> None:
        """The first call there has ended."""
        error = done.exception()
        self.connected(member, error if error is None or isinstance(error, Exception) else EcontextError(str(error)))

    def connected(self, member: Member, error: Exception | None) -> None:
        """One attempt has ended."""
        self.connecting -= 1
        if member.closed:
            pass
        elif error is None:
            member.state = CONNECTED
            self.tell(member, None)
        else:
            # The broker sees to what is left of it.
            member.context = None
            if member.attempt <= self.connect_retries and backoff.may_help(error):
                seconds = backoff.delay(self.retry_delay, member.attempt, random.random())
                self.coordinator.at(seconds, functools.partial(self.prepare, member))
            else:
                self.tell(member, error)
        self.admit()

    def tell(self, member: Member, error: Exception | None) -> None:
        """Tell whoever wants `member` what has come of it."""
        if error is not None:
            member.state, member.context = AWAY, None
        wanted_by, member.wanted_by = member.wanted_by, []
        for told in wanted_by:
            told(error)

    def let_go(self, member: Member) -> None:
        """The context of `member` was lost."""
        member.state = AWAY
        member.context = None

    # Calls.

    def occupy(self, member: Member, begin: Callable[[], object]) -> None:
        """Call `begin` once `member` is free for another call."""
        if member.busy < member.threads:
            member.busy += 1
            begin()
        else:
            member.line.append(begin)

    def free(self, member: Member) -> None:
        """A call has ended at `member`."""
        if member.line:
            # It takes the place.
            member.line.popleft()()
        else:
            member.busy -= 1
            for freed in list(self.hears_free):
                freed()

    # End.

    def close_members(self, members: Iterable[Member]) -> list[Context]:
        """Have `members` take no more work; return the contexts that are to be ended."""
        found = []
        for member in members:
            if member.context is not None:
                found.append(member.context)
            member.closed = True
            self.tell(member, EcontextError(f'{member.host.name}: the fleet was closed'))
        return found

    def close(self) -> None:
        """End all work, and take no more. Any thread."""
        self.coordinator.close(self.abandon, CLOSING)

    def abandon(self) -> None:
        """Nothing goes on here any more."""
        self.closed = True
        for each in list(self.work):
            each.abandon()
        self.callbacks.close(bool, 0)


def end_all(contexts: Iterable[Context], wait: bool) -> None:
    """End `contexts`, in a few threads: some may take their time."""
    left = deque(contexts)

    def run() -> None:
        while True:
            try:
                context = left.popleft()
            except IndexError:
                return
            context.close()

    threads = [
        threading.Thread(target=run, name='econtext fleet ends', daemon=True) for _ in range(min(CLOSERS, len(left)))
    ]
    for thread in threads:
        with contextlib.suppress(RuntimeError):
            # Without a thread to be had it is done by ours, or by the broker's end.
            thread.start()
    if wait:
        run()
        for thread in threads:
            if thread.ident is not None:
                thread.join(CLOSING)
