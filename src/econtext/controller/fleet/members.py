"""
The contexts of a fleet: connected when there is work, and again when one was lost.

A member is a host, or what was started from another member, such as sudo there; it has a
context at a time, or none.  A relay is a member too, which hosts are started from: ``placement`` says which
host from which.  Only the coordinator's thread enters, but for what says so.

Invariants:

* At most `connect_limit` members connect at a time; who waits for a context above waits without a place among these.
* Whoever wants a member is told once, by an action of its own: that it is connected, or why it is not.
* Nothing is connected that nobody wants any more.
* A context gets as many calls at a time as it has threads, and none while what it was sent fills its backlog: one
  that answers nothing holds up its own work only.
* Once a member is closed nothing is begun there; all that are closed together are so before anybody is told.
* A place of a call is given back once, whatever becomes of the call.
* That a relay is lost, or cannot be connected, fails no attempt to connect a host while a relay is left that the
  attempt has not tried.  No work of the application is begun in a relay.
* A relay that the fleet has started ends with the last host of the fleet; others are not the fleet's to end.
"""

from __future__ import annotations

import contextlib
import functools
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from econtext.child.labels import seen
from econtext.controller.context import Context
from econtext.controller.errors import ConnectError, ContextLost, EcontextError
from econtext.controller.fleet import backoff
from econtext.controller.fleet.coordinator import Coordinator
from econtext.controller.fleet.crew import Crew
from econtext.controller.fleet.futures import outcome_of
from econtext.controller.fleet.placement import Placement

if TYPE_CHECKING:
    import concurrent.futures

    from econtext.controller.connect.connectors import Connectors
    from econtext.controller.fleet.hosts import Host

    Start = Callable[[Connectors[Context]], Context]

CLOSING = 10.0      # seconds that closing takes at most
MOMENT = 1.0        # seconds that closing waits for a function of the application that connects a host
CLOSERS = 16        # threads that end contexts, each one after the other
RETRY = 0.1         # seconds until callbacks for which there was no thread are tried again
AWAY, CONNECTING, CONNECTED = 'away', 'connecting', 'connected'


class Wanting(Protocol):
    """Who wants a member, or a place of a call there. All methods are the coordinator's."""

    def is_wanted(self) -> bool:
        """Is it still to be begun?"""

    def connected(self, member: Member, error: Exception | None) -> object:
        """The member is connected, or it is known why it cannot be."""

    def begin(self, member: Member) -> object:
        """There is a place for a call."""

    def broke(self, error: BaseException) -> object:
        """A defect of ours stood in the way."""


class Work(Protocol):
    """Work that a pool has."""

    def abandon(self) -> object:
        """Fail what has not ended: the pool is closed. The coordinator."""

    def left_at(self, members: Iterable[Member]) -> list[concurrent.futures.Future[Any]]:
        """Return the futures of what has not ended at any of `members`, or below. Any thread."""


class Member:
    """
    A place for one context.

    `slow` says that a function which may take long starts it, such as the application's own; `relayed` that
    it is started from a relay; `owned` that its contexts are ours to end.
    """

    def __init__(
        self, host: Host, start: Start, parent: Member | None = None, threads: int = 1, slow: bool = False,
        relayed: bool = False, owned: bool = True,
    ) -> None:
        self.host = host
        self.start = start
        self.parent = parent
        self.threads = threads
        self.slow = slow
        self.relayed = relayed
        self.owned = owned
        self.state = AWAY
        self.context: Context | None = None
        #: The relay through which it is connected, and the context of it from which it was started last.
        self.relay: Member | None = None
        self.relay_context: Context | None = None
        self.attempt = 0
        #: Counts the attempts of all times: what comes of an old one is known by it.
        self.serial = 0
        self.wanted_by: list[Wanting] = []
        self.busy = 0
        self.closed = False
        self.line: deque[Wanting] = deque()
        #: Was it asked to tell when there is room in the backlog?
        self.waits_for_room = False

    def is_alive(self) -> bool:
        """Is it connected, as far as is known here?"""
        return self.state == CONNECTED and self.context is not None and self.context._node.error is None

    def word(self) -> str:
        """Return the word for where it is, as far as is known here. Any thread."""
        return CONNECTED if self.is_alive() else CONNECTING if self.state == CONNECTING else 'not connected'

    def is_closed(self) -> bool:
        """Is it closed, or one above it?"""
        return self.closed or (self.parent is not None and self.parent.is_closed())

    def is_within(self, members: set[Member]) -> bool:
        """Is it one of `members`, or below one? Any thread."""
        return self in members or (self.parent is not None and self.parent.is_within(members))


class Pool:
    """The members that are connected from one broker, through `relays` those that are relayed."""

    def __init__(
        self, origin: Connectors[Context], connect_limit: int, connect_retries: int, retry_delay: float,
        relays: Iterable[Member] = (), shared: bool = False,
    ) -> None:
        self.origin = origin
        #: Are its contexts shared with other programs?
        self.shared = shared
        self.connect_limit = connect_limit
        self.connect_retries = connect_retries
        self.retry_delay = retry_delay
        self.coordinator: Coordinator = Coordinator('econtext fleet')
        self.post: Callable[..., None] = self.coordinator.post
        self.crew: Crew = Crew(self.coordinator)
        self.callbacks: Callbacks = Callbacks(self.coordinator)
        self.placement: Placement[Member, Member] = Placement(relays)
        #: The members that need the relays, until they are closed.
        self.relayed: set[Member] = set()
        self.connecting: dict[Member, int] = {}
        self.line: deque[Member] = deque()
        self.lock: threading.Lock = threading.Lock()
        #: What has not ended; while there is any the coordinator's thread stays.
        self.work: set[Work] = set()
        #: Told when a member is free and nobody is in line for it.
        self.hears_free: dict[Callable[[Member], object], Callable[[BaseException], object]] = {}
        self.closed: bool = False

    # Work. Any thread.

    def open(self, work: Work) -> None:
        """`work` begins; raises RuntimeError if no thread is to be had for it."""
        with self.lock:
            if work not in self.work:
                self.coordinator.hold()
                self.work.add(work)

    def over(self, work: Work) -> None:
        """`work` has ended."""
        with self.lock:
            if work in self.work:
                self.work.discard(work)
                self.coordinator.release()

    def left_at(self, members: Iterable[Member]) -> list[concurrent.futures.Future[Any]]:
        """Return the futures of what has not ended at `members`, or below."""
        with self.lock:
            all_work = list(self.work)
        wanted = set(members)
        return [future for work in all_work for future in work.left_at(wanted)]

    # Connect.

    def want(self, member: Member, who: Wanting) -> None:
        """Connect `member` unless it is; then tell `who` wants it."""
        if self.closed or member.is_closed():
            self._answer(member, who, closed(member))
            return
        if member.state == CONNECTED:
            if member.is_alive():
                self._answer(member, who, None)
                return
            member.state, member.context = AWAY, None
        member.wanted_by.append(who)
        if member.state == AWAY:
            member.state = CONNECTING
            member.attempt = 0
            self.placement.begin(member)
            self.prepare(member)

    def _answer(self, member: Member, who: Wanting, error: Exception | None) -> None:
        self.post(functools.partial(who.connected, member, error), who.broke)

    def prepare(self, member: Member, error: Exception | None = None) -> None:
        """Have the way to `member` ready, then put it in line; with no relay left, `error` is why."""
        if member.relayed:
            relay = member.relay = self.choose_relay(member)
            if relay is None:
                self.enqueue(member, error or ContextLost(f'{member.host.name}: it has no relay'))
            else:
                self.want(relay, BelowRelay(self, member))
        elif member.parent is None:
            self.enqueue(member, None)
        else:
            self.want(member.parent, Below(self, member))

    def choose_relay(self, member: Member) -> Member | None:
        """Return the relay through which `member` is to be reached, None if it has tried all."""
        while True:
            relay = self.placement.place(member, time.monotonic())
            if relay is None or relay.state != CONNECTED or relay.is_alive():
                return relay
            self.relay_lost(relay)

    def relay_lost(self, relay: Member) -> None:
        """The context of `relay` was lost: its hosts are placed anew."""
        relay.state, relay.context = AWAY, None
        self.placement.lost(relay, time.monotonic())

    def relay_failed(self, member: Member, relay: Member, error: Exception) -> None:
        """`relay`, through which `member` was to be reached, could not be connected: try another."""
        if member.state != CONNECTING:
            return
        if self.placement.relay_of(member) is relay:
            # The first of those that wait for it.
            self.placement.failed(relay, time.monotonic())
        self.prepare(member, no_relay(member, error))

    def enqueue(self, member: Member, error: Exception | None) -> None:
        if member.state != CONNECTING:
            # Whoever wanted it was told.
            return
        if error is not None:
            self.tell(member, error)
            return
        self.line.append(member)
        self.post(self.admit, self.line_broke)

    def admit(self) -> None:
        """Begin to connect those in line, as far as there is room."""
        while self.line and len(self.connecting) < self.connect_limit:
            member = self.line.popleft()
            if member.state != CONNECTING or member.is_closed():
                continue
            if not any(who.is_wanted() for who in member.wanted_by):
                # They were told why elsewhere.
                member.state, member.wanted_by = AWAY, []
                continue
            member.attempt += 1
            member.serial += 1
            self.connecting[member] = member.serial
            self.post(functools.partial(self.connect, member, member.serial), functools.partial(self.broke, member))

    def connect(self, member: Member, serial: int) -> None:
        """Begin one attempt."""
        failed = functools.partial(self.connected, member, serial)
        origin = self.origin_of(member)
        if origin is None:
            error = ContextLost(f'{member.host.name}: the context above was lost: try again')
            self.post(functools.partial(failed, error))
            return
        self.crew.hand(
            functools.partial(self._start, member, serial, origin), failed, MOMENT if member.slow else CLOSING)

    def origin_of(self, member: Member) -> Connectors[Context] | None:
        """Return what `member` is started from."""
        if member.relayed:
            member.relay_context = member.relay.context if member.relay else None
            return member.relay_context
        return self.origin if member.parent is None else member.parent.context

    def _start(self, member: Member, serial: int, origin: Any) -> None:
        """Start the context of `member`. The crew."""
        context: object = member.start(origin)
        if not isinstance(context, Context):
            raise TypeError(f'{member.host.name}: the function connector= must return a context, not {seen(context)}')
        failed = functools.partial(self.broke, member)
        self.post(functools.partial(self.started, member, serial, context), failed)
        ready = context.submit(bool)
        ready.add_done_callback(lambda done: self.post(
            functools.partial(self.connected, member, serial, outcome_of(done)[1]), failed))

    def started(self, member: Member, serial: int, context: Context) -> None:
        """Its context is there, if not ready."""
        if serial != member.serial or self.closed or member.is_closed():
            # It comes too late for whoever wanted it.
            if member.owned:
                self.crew.hand(context.close, ignored)
        else:
            member.context = context

    def connected(self, member: Member, serial: int, error: BaseException | None) -> None:
        """One attempt has ended."""
        if self.connecting.get(member) == serial:
            del self.connecting[member]
        if serial == member.serial and member.state == CONNECTING:
            self.attempted(member, plain(member, error))
        if self.line:
            self.post(self.admit, self.line_broke)

    def attempted(self, member: Member, error: Exception | None) -> None:
        if error is None:
            member.state = CONNECTED
            if member in self.placement.hosts:
                self.placement.works(member)
            self.tell(member, None)
            return
        # The broker sees to what is left of it.
        member.context = None
        ends = self.closed or member.is_closed()
        if member.relay is not None and not ends:
            self.placement.avoid(member, member.relay)
            above = member.relay_context
            if above is None or above._node.error is not None:
                # This was no attempt of the host's own.
                member.attempt -= 1
                self.prepare(member, error)
                return
            self.placement.retry(member)
        if not ends and member.attempt <= self.connect_retries and backoff.may_help(error):
            seconds = backoff.delay(self.retry_delay, member.attempt, random.random())
            self.coordinator.at(
                seconds, functools.partial(self.prepare, member), functools.partial(self.broke, member))
        else:
            self.tell(member, error)

    def broke(self, member: Member, error: BaseException) -> None:
        """A defect of ours stood in the way of `member`."""
        self.connecting.pop(member, None)
        member.serial += 1
        member.state, member.context = AWAY, None
        wanted_by, member.wanted_by = member.wanted_by, []
        for who in wanted_by:
            self.post(functools.partial(who.broke, error))
        if self.line:
            self.post(self.admit, self.line_broke)

    def line_broke(self, error: BaseException) -> None:
        """A defect of ours stood in the way of all that are in line."""
        line = list(self.line)
        self.line.clear()
        for member in line:
            self.broke(member, error)

    def tell(self, member: Member, error: Exception | None) -> None:
        """Tell whoever wants `member` what has come of it."""
        if error is not None:
            member.state, member.context = AWAY, None
        wanted_by, member.wanted_by = member.wanted_by, []
        for who in wanted_by:
            self._answer(member, who, error)

    # Calls.

    def occupy(self, member: Member, who: Wanting) -> None:
        """Have `who` begin once there is a place for another call at `member`."""
        member.line.append(who)
        self.serve(member)

    def take(self, member: Member) -> bool:
        """Take a place for a call at `member`, if there is one that nobody waits for."""
        if member.line or not self.has_room(member):
            return False
        member.busy += 1
        return True

    def serve(self, member: Member) -> None:
        """Give the places at `member` to those in line."""
        while member.line and (not member.line[0].is_wanted() or self.has_room(member)):
            who = member.line.popleft()
            if who.is_wanted():
                member.busy += 1
                self.post(functools.partial(who.begin, member), who.broke)
        if not member.line and self.hears_free and self.has_room(member):
            for freed, failed in list(self.hears_free.items()):
                self.post(functools.partial(freed, member), failed)

    def has_room(self, member: Member) -> bool:
        """May another call be sent to `member` now? If what it was sent keeps it from that, it is served later."""
        if member.busy >= member.threads:
            return False
        context = member.context
        if context is None or not context._node.backlog.is_full():
            return True
        if not member.waits_for_room:
            member.waits_for_room = True
            context._node.backlog.tell(lambda: self.post(functools.partial(self.found_room, member)))
        return False

    def found_room(self, member: Member) -> None:
        member.waits_for_room = False
        self.serve(member)

    def free(self, member: Member) -> None:
        """A call has ended at `member`."""
        member.busy -= 1
        self.serve(member)

    # End.

    def close_members(self, members: Iterable[Member]) -> list[Context]:
        """Have `members` take no more work; return the contexts that are to be ended."""
        closing = list(members)
        self.relayed.difference_update(closing)
        relays = [] if self.relayed else list(self.placement.hosts)
        # What is below a relay ends with it.
        ends_above = {relay for relay in relays if relay.owned and relay.is_alive()}
        closing += relays
        for member in closing:
            member.closed = True
        found = [
            member.context for member in closing if member.context is not None and member.owned
            and not (member.relayed and self.placement.relay_of(member) in ends_above)]
        for member in closing:
            self.tell(member, closed(member))
        return found

    def close(self) -> None:
        """End all work, and take no more. Any thread."""
        self.post(self.abandon)
        self.coordinator.end(CLOSING)
        self.crew.end()
        self.callbacks.end(0)

    def abandon(self) -> None:
        """Nothing goes on here any more."""
        self.closed = True
        with self.lock:
            all_work = list(self.work)
        for work in all_work:
            over = functools.partial(self.over, work)
            self.post(functools.partial(attempt_all, work.abandon, over))
        # The work that waited for these has ended.
        self.coordinator.alarms.clear()


class Below:
    """A member wants the one above it."""

    def __init__(self, pool: Pool, member: Member) -> None:
        self.pool = pool
        self.member = member

    def is_wanted(self) -> bool:
        return any(who.is_wanted() for who in self.member.wanted_by)

    def connected(self, above: Member, error: Exception | None) -> None:
        self.pool.enqueue(self.member, error)

    def begin(self, above: Member) -> None:
        raise AssertionError('it takes no place of a call')

    def broke(self, error: BaseException) -> None:
        self.pool.broke(self.member, error)


class BelowRelay(Below):
    """A member wants the relay that it was placed under."""

    def connected(self, above: Member, error: Exception | None) -> None:
        if error is None:
            self.pool.enqueue(self.member, None)
        else:
            self.pool.relay_failed(self.member, above, error)


class Callbacks(Coordinator):
    """The thread in which callbacks of the application run; the coordinator of the fleet runs none."""

    def __init__(self, coordinator: Coordinator) -> None:
        super().__init__('econtext fleet callbacks')
        self.coordinator = coordinator

    def post(self, action: Callable[[], object], failed: Callable[[BaseException], object] | None = None) -> None:
        if not self.coordinator.is_mine():
            super().post(action, failed)
            return
        with self.changed:
            self.actions.append((action, failed))
        self.retry()

    def retry(self) -> None:
        """See to it that there is a thread, or try again a moment later. The coordinator."""
        if not self.attend():
            self.coordinator.at(RETRY, self.retry)


def ignored(error: BaseException) -> None:
    """Take what nobody can be told: the context of it is ended with its broker."""


def attempt_all(*actions: Callable[[], object]) -> None:
    """Run `actions`, all of them, and raise what one of the first has raised."""
    with contextlib.ExitStack() as stack:
        for action in reversed(actions):
            stack.callback(action)


def plain(member: Member, error: BaseException | None) -> Exception | None:
    """Return `error` as one that a result may be: what only ends programs is not."""
    if error is None or isinstance(error, Exception):
        return error
    return EcontextError(f'{member.host.name}: {type(error).__name__} was raised while it was connected')


def no_relay(member: Member, error: Exception) -> EcontextError:
    """Return why `member` cannot be connected if the last of its relays failed with `error`."""
    name = member.host.name
    if isinstance(error, ConnectError):
        what = f'none of its relays could be connected; the last, {error.context}: {error.what}'
        return ConnectError(name, error.kind, what, error.lines, error.remedy, error.command)
    return ContextLost(f'{name}: none of its relays could be connected; the last: {error}')


def closed(member: Member) -> EcontextError:
    return EcontextError(f'{member.host.name}: the fleet was closed: make a new one')


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
