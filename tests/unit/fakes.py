"""A session without processes: a loop without threads, a broker without sockets, contexts that are nowhere.

Invariants:

* Fakes hold the protocols of `controller/session/interfaces.py`, as the real classes do; `test_interfaces.py` holds
  both to them.
* A test that uses them is deterministic: nothing runs but in `FakeLoop.run` and `FakeLoop.wait`.
* What a fake is told to do, it notes: `link.frames`, `session.corrupted`, `session.stopped`, `peer.pushed`.
"""

from __future__ import annotations

import collections
import heapq
import itertools
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from econtext.child.kinds import GRANT
from econtext.controller.errors import ContextLost, CorruptStream, EcontextError, InternalError, internal_error
from econtext.controller.modules.repository import Modules
from econtext.controller.protocol import values
from econtext.controller.protocol.names import Served, name_of
from econtext.controller.runtime.deadlines import Expired
from econtext.controller.runtime.timers import Timer
from econtext.controller.runtime.waiting import Wait
from econtext.controller.session.admission import ENDING, LIVE, REJECTED
from econtext.controller.session.backpressure import Backlog
from econtext.controller.session.callbacks import Callbacks
from econtext.controller.session.channels import Channels
from econtext.controller.session.counters import Counters
from econtext.controller.session.output import Lines
from econtext.controller.session.router import ControllerRouter
from econtext.core.wire import DEAD


class FakeLoop:
    """A loop that runs what is due when the test says so, and whose `wait` runs it until the waiter is done."""

    def __init__(self) -> None:
        self.chores: collections.deque[Callable[[], object]] = collections.deque()
        self.events: collections.deque[Callable[[], object]] = collections.deque()
        self.timers: list[Timer] = []
        self.order = itertools.count()
        self.busy: dict[int, tuple[Any, ...]] = {}
        self.parted = self.closed = False
        self.failures: list[tuple[str, BaseException]] = []
        #: Run by `wait` when nothing is due: what the other end does meanwhile.
        self.meanwhile: Callable[[], object] = lambda: None

    def call_soon(self, chore: Callable[[], object]) -> None:
        self.chores.append(chore)

    def call_in_order(self, event: Callable[[], object]) -> None:
        self.events.append(event)

    def summon(self, work: Any) -> None:
        if not work.posted:
            work.posted = True
            self.call_in_order(work.turn)

    def has_event_threads(self) -> bool:
        return True

    def finish(self, waiter: Any) -> None:
        waiter.done = True

    def waiter(self, deadline: float | None) -> Wait:
        return Wait(self, deadline)  # type: ignore[arg-type]

    def call_at(self, when: float, action: Callable[[], object]) -> Timer:
        timer = Timer(when, next(self.order), action)
        heapq.heappush(self.timers, timer)
        return timer

    def fail(self, what: str, error: BaseException) -> InternalError:
        self.failures.append((what, error))
        return internal_error(what, error)

    def run(self) -> None:
        """Run all that is due, and what that makes due."""
        while self.chores or self.events:
            (self.chores or self.events).popleft()()

    def expire(self) -> None:
        """Let the time of all timers come."""
        timers, self.timers = sorted(self.timers), []
        for timer in timers:
            if timer.action is not None:
                timer.action()
        self.run()

    def wait(self, waiter: Any) -> None:
        self.run()
        if not waiter.done:
            self.meanwhile()
            self.run()
        if not waiter.done:
            if waiter.deadline is None:
                raise AssertionError('nobody ends this wait')
            raise Expired


class FakeLink:
    """A link that notes what is sent on it."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, int, int, int, bytes]] = []
        self.transport, self.bulk = self, None
        #: What the other end did not read.
        self.queue: list[bytes] = []

    def send(self, kind: int, dst: int, src: int, handle: int, body: bytes) -> None:
        self.frames.append((kind, dst, src, handle, bytes(body)))


class FakeSession:
    """A broker: its router, channels and callbacks are the real ones; its contexts are FakePeers."""

    def __init__(self) -> None:
        self.loop: Any = FakeLoop()
        self.modules = Modules()
        self.contexts: dict[int, FakePeer] = {}
        self.unreaped: dict[int, FakePeer] = {}
        self.last_number = 0
        self.allowed: dict[tuple[str, str], Callable[..., Any]] = {}
        self.closed = self.disowned = False
        self.corrupted: list[tuple[FakePeer, str]] = []
        self.stopped: list[tuple[FakePeer, EcontextError]] = []
        self.router = ControllerRouter(self)  # type: ignore[arg-type]
        self.channels = Channels(self)  # type: ignore[arg-type]
        self.callbacks = Callbacks(self)  # type: ignore[arg-type]

    def add(self, via: FakePeer | None = None, **changes: Any) -> FakePeer:
        """Return a new context; directly below this program it has a link of its own."""
        self.last_number += 1
        peer = FakePeer(self, self.last_number, via, **changes)
        self.contexts[peer.id] = self.unreaped[peer.id] = peer
        self.router.links[peer.id] = peer.link
        return peer

    def place_of(self, function: Callable[..., Any], streamed: bool = False) -> tuple[str, str]:
        return self.name_of(function, streamed)

    def coroutine_of(self, function: Callable[..., Any]) -> Served:
        place = self.name_of(function, awaited=True)
        served = Served(place)
        served.told, served.modules, served.label = place, (place[0],), place[1]
        return served

    def name_of(
        self, function: Callable[..., Any], streamed: bool = False, awaited: bool = False
    ) -> tuple[str, str]:
        return name_of(function, self.modules.main)

    def stop(self, context: Any, error: Callable[[], EcontextError]) -> None:
        if context.error is None:
            context.error = error
            self.stopped.append((context, error()))
            for handle, asked in list(self.router.asked.items()):
                if asked[0] == context.id:
                    self.router.answer(context.id, handle, DEAD, b'')

    def corrupt(self, context: Any, reason: str) -> None:
        self.corrupted.append((context, reason))
        self.stop(context, context.corrupted(reason))


class FakePeer:
    """A context that is ready, and whose link notes what it is sent."""

    def __init__(self, broker: FakeSession, number: int = 1, via: FakePeer | None = None, **changes: Any) -> None:
        self.broker: Any = broker
        self.facade: Any = self
        self.id = number
        self.name = f'peer{number}'
        self.via = via
        self.link = via.link if via else FakeLink()
        self.ready = True
        self.error: Callable[[], EcontextError] | None = None
        self.shut = False
        self.used = self.retired = False
        self.deferred: object = None
        self.threads = 1
        self.talked = self.same_python = False
        self.level = 100
        self.python_version: tuple[int, ...] = sys.version_info[:3]
        self.executable, self.pid, self.magic = '/bin/python', 7, b''
        self.marshal_version = values.BINARY
        self.common: Mapping[str, Any] = {}
        self.lines = Lines(self.name, broker.loop, lambda size: broker.router.send(GRANT, number, size, b''))
        self.counters = Counters()
        self.sent: set[str] = set()
        self.complete: set[str] = set()
        self.sending = threading.Lock()
        self.pending: set[Any] = set()
        self.backlog = Backlog(broker.loop, self.pending)
        self.allowed: dict[tuple[str, str], Callable[..., Any]] = {}
        self.pushed: list[str] = []
        self.delivered: list[tuple[str, Any]] = []
        for name, value in changes.items():
            assert hasattr(self, name), name
            setattr(self, name, value)

    def route(self) -> Sequence[FakePeer]:
        return [*(self.via.route() if self.via else ()), self]

    def within(self, number: int) -> bool:
        return any(peer.id == number for peer in self.route())

    def standing(self) -> str:
        if self.counters.rejected:
            return REJECTED
        return LIVE if self.error is None or self.retired else ENDING

    def ways(self) -> tuple[Lines, ...]:
        return (self.lines,)

    def reason(self) -> EcontextError:
        return self.error() if self.error else ContextLost(f'{self.name}: it is gone')

    def lost(self, what: str) -> Callable[[], EcontextError]:
        return lambda: ContextLost(f'{self.name}: {what}')

    def corrupted(self, reason: str) -> Callable[[], EcontextError]:
        return lambda: CorruptStream(f'{self.name}: {reason}')

    def end_of_call(self) -> None:
        self.talked = False
        self.lines.put(self.lines.flush)

    def launch_deferred(self) -> None:
        self.deferred = None

    def push(self, *modules: str) -> None:
        self.pushed += modules

    def deliver(self, units: Sequence[tuple[str, Any]], handle: int = 0, foreign: bool = False) -> None:
        self.delivered += units

    def keep(self, units: Sequence[tuple[str, Any]], foreign: bool = False) -> None:
        self.delivered += units

    def may_keep(self, units: Sequence[tuple[str, Any]]) -> bool:
        return True

    def request(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        module, name = self.broker.name_of(function)
        return values.encode_call(module, name, args, kwargs, self)

    def make(self, what: str, *args: Any) -> Any:
        """Make the context or channel that a value from there speaks of."""
        if what == 'channel':
            return self.broker.channels.known(self, *args)
        context = self.broker.contexts.get(args[0])
        if context is None or not context.within(self.id):
            raise ValueError('a context that is not below its sender')
        return context


def later(seconds: float) -> float:
    """Return a deadline."""
    return time.monotonic() + seconds
