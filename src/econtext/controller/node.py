"""
A node: what the controller keeps of one context, and does with it.

Invariants:

* A call returns, raises what the function raised, or raises why no answer can
  come; it never waits for a context that is gone.
* What a context prints or logs during a call is logged before the call returns.
* Of a node there is one facade: the object that the program holds, see ``context``.

Any thread may enter.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from econtext.child import flow
from econtext.child.channels import WINDOW
from econtext.child.kinds import GRANT
from econtext.controller.connect.options import Common, ConnectRequest, Secret
from econtext.controller.errors import (
    CallTimeout,
    ConnectError,
    ContextLost,
    CorruptStream,
    EcontextError,
)
from econtext.controller.failures import BY_HAND, explain
from econtext.controller.protocol import classes, values
from econtext.controller.runtime.deadlines import Expired
from econtext.controller.runtime.log import say
from econtext.controller.runtime.signals import MAIN, wrap_handlers
from econtext.controller.runtime.timers import Timer
from econtext.controller.runtime.waiting import Wait
from econtext.controller.session.admission import ENDING, LIVE, REJECTED
from econtext.controller.session.backpressure import Backlog
from econtext.controller.session.counters import Counters
from econtext.controller.session.delivery import Delivery
from econtext.controller.session.futures import Future
from econtext.controller.session.output import Lines, variables
from econtext.controller.session.states import END, GREET, GREETED, LAUNCH, NEW, transition
from econtext.controller.text import harmless, harmless_lines, shown
from econtext.core.wire import LEVEL

if TYPE_CHECKING:
    from econtext.controller.session import interfaces
    from econtext.controller.session.callbacks import Callbacks
    from econtext.controller.session.channels import Channel, Channels
    from econtext.parent.children import Birth

    class AttachedPrograms(Protocol):
        """The programs that are attached to a broker, and the socket that they came in by."""

        @property
        def path(self) -> str: ...
        def supply(
            self, context: Node, handle: int, name: str, here: str | bool, otherwise: Callable[[], None]) -> bool: ...
        def serves(self, context: Node) -> bool: ...
        def changed(self, context: Node) -> None: ...
        def disown(self) -> list[int]: ...
        def close(self) -> None: ...


    class Owner(interfaces.Owner, Protocol):
        """What a node needs of the tree that it is in."""

        @property
        def channels(self) -> Channels: ...
        @property
        def callbacks(self) -> Callbacks: ...
        @property
        def contexts(self) -> Mapping[int, Node]: ...
        @property
        def unreaped(self) -> Mapping[int, Node]: ...

        @property
        def attach_server(self) -> AttachedPrograms | None: ...
        @property
        def asks_to_start(self) -> bool: ...

        def start_context(self, via: Node | None, request: ConnectRequest) -> Node: ...
        def set_timer(self, context: Node) -> None: ...
        def end(self, context: Node) -> None: ...


class Node(Delivery):
    """One context of a tree."""

    broker: Owner
    via: Node | None
    #: The ``Context`` that the program holds; the facade itself sets this.
    facade: Any

    def __init__(
        self, broker: Owner, number: int, name: str, via: Node | None, output_window: int = flow.WINDOW
    ) -> None:
        super().__init__()
        self.broker = broker
        self.id = number
        #: The name in logs and errors.
        self.name = name
        #: The context that started this one; None for the controller itself.
        self.via = via
        #: The interpreter there, known once it is ready.
        self.python_version: tuple[int, ...] = ()
        self.executable = ''
        self.pid = 0
        self.version = ''
        self.magic: Any = None
        #: The version of marshal in which it is sent values.
        self.marshal_version = values.FIRST
        #: How it was started, if it is on this machine; is its Python likely to be the one here?
        self.start_key: tuple[int, str, str] | None = None
        self.same_python = False
        #: What it was started with: answers to what is asked on the way, options.
        self.answers: Mapping[str, Secret] = {}
        self.children: dict[int, Node] = {}
        self.lines: Lines = Lines(
            name, broker.loop, lambda size: broker.router.send(GRANT, self.id, size, b''), output_window)
        self.level: int = self.lines.logger.getEffectiveLevel()
        #: Has it printed anything since a call last ended?
        self.talked: bool = False
        self.timer: Timer | None = None
        self.common: Common = {}
        #: What its connector was asked for, but for secrets.
        self.connect_request: ConnectRequest | None = None
        #: Tells the command by which it is started.
        self.started_by: Callable[[], str] = str
        self.threads = 1
        #: Was its environment changed for the program that starts it?
        self.to_undo = False
        self.heartbeat: float = 0.0
        # With one_trip: what is started once there is a first call to send along.
        self.deferred: Birth | None = None
        #: How its program ended, as ``os.waitpid`` tells it in Python; None while it runs, or if nobody could tell.
        self.exit_status: int | None = None
        # Where it is in its life, see ``session.states``; only advance() writes these three, under the lock.
        self._state, self._state_lock = NEW, threading.RLock()
        self.ready: bool = False
        #: Makes what is raised where no answer can come; None while one can.
        self.error: Callable[[], EcontextError] | None = None
        #: Was anybody told so?
        self.reported: bool = False
        #: Was it called since anybody looked, see ``session.idle``?
        self.used: bool = False
        #: Has it been idle for too long? Then it takes no call, and ends behind those that it has.
        self.retired: bool = False
        #: Were shutdown() or close() called?
        self.shut: bool = False
        self.counters: Counters = Counters()
        self.allowed: dict[tuple[str, str], Callable[..., Any]] = {}
        self.waits: list[Wait] = []
        #: Futures without an answer.
        self.pending: set[Future[Any]] = set()
        self.backlog: Backlog = Backlog(broker.loop, self.pending)

    def __repr__(self) -> str:
        """Return the text that the program sees of its context."""
        state = 'lost' if self.error else 'ready' if self.ready else 'starting'
        return f'<econtext.Context {self.name} {state}>'

    def as_table(self, kind: str) -> str:
        """Return what a notebook shows of it, as a `kind` of context."""
        from econtext.controller import notebook

        state = 'ready' if self.ready else 'starting'
        rows = [('Python', notebook.version(self.python_version)), ('interpreter', self.executable),
                ('process', str(self.pid or '')), ('started from', self.via.name if self.via else '')]
        if self.error:
            state = 'lost'
            rows.append(('why', notebook.failure(self.reason())))
        return notebook.table(f'{kind} {self.name}: {state}', (), [row for row in rows if row[1]])

    def route(self) -> list[Node]:
        """Return the contexts between the controller and this one, this one last."""
        before = self.via.route() if self.via else []
        return [*before, self]

    def standing(self) -> str:
        """Return how far it is believed now, see ``admission``."""
        if self.counters.rejected:
            return REJECTED
        return LIVE if self.error is None or self.retired else ENDING

    def ways(self) -> tuple[Lines, ...]:
        """Return what who waits for this context handles: its own lines; while it starts, what is asked on the way."""
        if self.ready:
            return (self.lines,)
        return tuple(each.lines for each in self.route() if each is self or not each.ready)

    def within(self, number: int) -> bool:
        """Is context `number` this one, or above it?"""
        return number == self.id or any(context.id == number for context in self.route())

    def request(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bytes:
        """Return the body of a call, having sent the modules that it needs."""
        if threading.get_ident() == MAIN:
            wrap_handlers()
        if self.error:
            raise self.reason()
        if self.lines.cell is not None:
            self.lines.cell = variables()
        if self.broker.callbacks.running:
            self.broker.callbacks.check(self)
        place = self.broker.place_of(function)
        if type(place) is not tuple:
            return self.request_served(place, args, kwargs)
        module, name = place
        known = module in self.complete
        if not known:
            self.broker.modules.policy.check(module)
        body = values.encode_call(module, name, args, kwargs, self)
        if not known:
            self.push(module, *classes.carriers())
        self.follow_level()
        if self.level <= logging.DEBUG:
            say(self.lines.logger, logging.DEBUG, '> call %s.%s', module, name)
        return body

    def request_served(self, place: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return the body of a call of a function that no module holds, or of a coroutine function."""
        module, name = place
        body = values.encode_call(module, name, (place.told, args, kwargs), {}, self, place.label)
        self.push(*(each for each in place.modules if each not in self.complete), *classes.carriers())
        self.follow_level()
        if self.level <= logging.DEBUG:
            say(self.lines.logger, logging.DEBUG, '> call %s', place.label)
        return body

    def launch_deferred(self) -> None:
        """Start the context now, if that was put off."""
        with self.sending:
            birth, self.deferred = self.deferred, None
        if birth is not None:
            self.advance(LAUNCH)
            birth.begin()
            self.broker.set_timer(self)

    def follow_level(self) -> None:
        """Tell the context which records are wanted, if that has changed."""
        wants = self.lines.logger.isEnabledFor
        if wants(self.level) and not wants(self.level - 1):
            # As before.  Loggers remember their answers to this question.
            return
        level = self.lines.logger.getEffectiveLevel()
        if level != self.level:
            self.level = level
            self.broker.router.send(LEVEL, self.id, level, b'')

    def make(self, what: str, *args: Any) -> Any:
        """Make the context or channel that a value from there speaks of."""
        if what == 'channel':
            return self.broker.channels.known(self, *args)
        context = self.broker.contexts.get(args[0])
        if context is None or not context.within(self.id):
            raise ValueError('a context that is not below its sender')
        return context.facade

    def end_of_call(self) -> None:
        """Let the last, unfinished line be logged before the call returns."""
        self.talked = False
        self.lines.put(self.lines.flush)

    def said(self, data: bytes) -> None:
        """Log what the program that started the context says beside the link."""
        for line in data.decode('utf-8', 'backslashreplace').splitlines():
            say(self.lines.logger, logging.INFO, '%s', harmless(line))

    def start(self, request: ConnectRequest) -> Node:
        """Start a context from this one; return at once."""
        if self.error:
            raise self.reason()
        return self.broker.start_context(self, request)

    def prefix(self) -> str:
        """Return what the names of contexts started from here begin with."""
        return self.name + '.'

    def wait_ready(self, timeout: float | None = None) -> None:
        """Wait until the context has answered, at most `timeout` seconds; raise why it cannot."""
        deadline = None if timeout is None else time.monotonic() + timeout
        wait = Wait(self.broker.loop, deadline)
        wait.own = self.ways()
        self.launch_deferred()
        self.waits.append(wait)
        if self.ready or self.error is not None:
            wait.done = True
        try:
            self.broker.loop.wait(wait)
        except Expired:
            raise CallTimeout(f'{self.name}: not ready within {timeout:g} s') from None
        if self.error:
            raise self.reason()

    def reason(self) -> EcontextError:
        """Return why no answer can come from here."""
        self.reported = True
        if self.error:
            return self.error()
        return ContextLost(f'{self.name}: it cannot be reached any more: start it again')

    def advance(self, event: str, error: Callable[[], EcontextError] | None = None) -> None:
        """Go on in its life. With END, `error` makes what callers get; the first one counts. Any thread."""
        with self._state_lock:
            state = transition(self._state, event)
            if event == END and self.error is None:
                self.error = error
            self._state, self.ready = state, state in GREETED

    def is_busy(self) -> bool:
        """Does it start, has it unanswered calls, open channels, or contexts below?"""
        return not self.ready or self.has_calls() or bool(self.children) or any(
            channel._opener is self for channel in list(self.broker.channels.open_channels.values()))

    def has_calls(self) -> bool:
        """Has it unanswered calls?"""
        return any(asked[0] == self.id for asked in list(self.broker.router.asked.values()))

    def disown(self, error: Callable[[], EcontextError]) -> None:
        """This process was forked: another thread may have held the lock, and is not here to let go of it."""
        self._state_lock = threading.RLock()
        self.advance(END, error)

    def became_ready(self) -> None:
        self.advance(GREET)
        self.wake()

    def wake(self) -> None:
        """It has become ready, or failed: there is nothing to wait for any more."""
        if self.timer is not None:
            self.timer.action = None
        waits, self.waits = self.waits, []
        for wait in waits:
            self.broker.loop.finish(wait)
        if self.broker.attach_server is not None:
            self.broker.attach_server.changed(self)

    def failed(self, kind: str, detail: str) -> Callable[[], EcontextError]:
        what, remedy = explain(kind, detail)
        detail = harmless_lines(detail)
        return lambda: ConnectError(
            self.name, kind, what, detail, remedy, self.started_by() if remedy == BY_HAND else '')

    def lost(self, what: str) -> Callable[[], EcontextError]:
        return lambda: ContextLost(f'{self.name}: {harmless_lines(what)}')

    def orphaned(self, above: Node) -> Callable[[], EcontextError]:
        """`above`, by which this is reached, is gone: if it never was there, say why."""
        def explain_that() -> EcontextError:
            cause = above.reason()
            if isinstance(cause, ConnectError):
                what = f'{above.name}, by which it is reached, could not be started: {cause.what}'
                return ConnectError(self.name, cause.kind, what, cause.lines, cause.remedy, cause.command)
            how = str(cause).removeprefix(f'{above.name}: ')
            return ContextLost(f'{self.name}: {above.name}, by which it was reached, is gone: {how}')
        return explain_that

    def corrupted(self, reason: str) -> Callable[[], EcontextError]:
        return lambda: CorruptStream(
            f'{self.name}: it sent what makes no sense ({shown(reason)}), and was ended: start it again'
        )

    def channel(self, *, window: int = WINDOW) -> Channel:
        return self.broker.channels.open(self, window)

    def end_behind(self, done: object) -> None:
        """A call has ended after shutdown(): end the context behind the last one."""
        if all(future is done or future.done() for future in list(self.pending)):
            threading.Thread(target=self.close, name=f'econtext {self.name}', daemon=True).start()

    def close(self) -> None:
        """End the context and all below it, within seconds."""
        self.shut = True
        self.broker.end(self)
