"""
A context, as the program sees it.

Invariants:

* A call returns, raises what the function raised, or raises why no answer can
  come; it never waits for a context that is gone.
* Bad input is refused before anything is sent.
* What a context prints or logs during a call is logged before the call returns.

Any thread may enter.
"""

from __future__ import annotations

import concurrent.futures
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from econtext.controller.commands.methods import Commands
from econtext.controller.connect.connectors import Connectors
from econtext.controller.connect.options import Common, ConnectRequest, Secret, check_window
from econtext.controller.errors import (
    CallTimeout,
    ConnectError,
    ContextLost,
    CorruptStream,
    EcontextError,
    stays,
)
from econtext.controller.failures import BY_HAND, explain
from econtext.controller.files.methods import Files
from econtext.controller.protocol import classes, values
from econtext.controller.runtime.deadlines import Expired, is_seconds
from econtext.controller.runtime.log import say
from econtext.controller.runtime.loop import Timer, Wait
from econtext.controller.runtime.signals import MAIN, interruptible, wrap_handlers
from econtext.controller.session.admission import ENDING, LIVE, REJECTED
from econtext.controller.session.backpressure import Backlog
from econtext.controller.session.callbacks import Allows, Callbacks
from econtext.controller.session.calls import GRACE, Options
from econtext.controller.session.counters import Counters
from econtext.controller.session.delivery import Delivery
from econtext.controller.session.futures import Future
from econtext.controller.session.output import Lines
from econtext.controller.session.states import END, GREET, GREETED, LAUNCH, NEW, transition
from econtext.controller.session.streams import Stream
from econtext.controller.text import harmless, harmless_lines, shown
from econtext.core import flow
from econtext.core.channels import WINDOW
from econtext.core.kinds import GRANT
from econtext.core.labels import seen
from econtext.core.wire import LEVEL

if TYPE_CHECKING:
    from econtext.controller.session import interfaces
    from econtext.controller.session.channels import Channel, Channels
    from econtext.parent.children import Birth

P = ParamSpec('P')
T = TypeVar('T')


if TYPE_CHECKING:
    class Owner(interfaces.Owner, Protocol):
        """What a context needs of the broker that has it."""

        @property
        def channels(self) -> Channels: ...
        @property
        def callbacks(self) -> Callbacks: ...
        @property
        def contexts(self) -> Mapping[int, Context]: ...
        @property
        def unreaped(self) -> Mapping[int, Context]: ...

        def start_context(self, via: Context | None, request: ConnectRequest) -> Context: ...
        def set_timer(self, context: Context) -> None: ...
        def end(self, context: Context) -> None: ...


class Context(Connectors['Context'], Allows, Delivery, Commands, Files, concurrent.futures.Executor):
    """
    A place where functions of this program run.

    Made by a connector: ``broker.ssh('web1')``, ``context.sudo()``.  It is a
    ``concurrent.futures.Executor``; calls run one after the other in its main
    thread, unless it was started with ``threads=``.  As a context manager it ends
    with its block.
    """

    broker: Owner
    via: Context | None
    _crosses_as = 'econtext'
    __reduce_ex__: Callable[..., Any] = stays
    offered: tuple[str, ...] = (
        *Connectors.offered,
        *('call', 'channel', 'close', 'map', 'options', 'shutdown', 'stream', 'submit', 'wait_ready'),
        *('get', 'open', 'path', 'put', 'run', 'run_lines'),
        *('executable', 'name', 'pid', 'python_version', 'via'),
    )

    def __init__(
        self, broker: Owner, number: int, name: str, via: Context | None, output_window: int = flow.WINDOW
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
        self.children: dict[int, Context] = {}
        self.lines: Lines = Lines(
            name, broker.loop, lambda size: broker.router.send(GRANT, self.id, size, b''), output_window)
        self.level: int = self.lines.logger.getEffectiveLevel()
        #: Has it printed anything since a call last ended?
        self.talked: bool = False
        self.timer: Timer | None = None
        self.common: Common = {}
        #: Tells the command by which it is started.
        self.started_by: Callable[[], str] = str
        self.threads = 1
        #: Was its environment changed for the program that starts it?
        self.to_undo = False
        self.heartbeat: float = 0.0
        # With one_trip: what is started once there is a first call to send along.
        self.deferred: Birth | None = None
        # Where it is in its life, see ``session.states``; only advance() writes these three, under the lock.
        self._state, self._state_lock = NEW, threading.RLock()
        self.ready: bool = False
        #: Makes what is raised where no answer can come; None while one can.
        self.error: Callable[[], EcontextError] | None = None
        #: Was anybody told so?
        self.reported: bool = False
        #: Were shutdown() or close() called?
        self.shut: bool = False
        self.counters: Counters = Counters()
        self.allowed: dict[tuple[str, str], Callable[..., Any]] = {}
        self.waits: list[Wait] = []
        #: Futures without an answer.
        self.pending: set[Future[Any]] = set()
        self.backlog: Backlog = Backlog(broker.loop, self.pending)
        self.plainly: Options = Options(self, None)

    def __repr__(self) -> str:
        state = 'lost' if self.error else 'ready' if self.ready else 'starting'
        return f'<econtext.Context {self.name} {state}>'

    def route(self) -> list[Context]:
        """Return the contexts between the controller and this one, this one last."""
        before = self.via.route() if self.via else []
        return [*before, self]

    def standing(self) -> str:
        """Return how far it is believed now, see ``admission``."""
        if self.counters.rejected:
            return REJECTED
        return LIVE if self.error is None else ENDING

    def ways(self) -> tuple[Lines, ...]:
        """Return what who waits for this context handles: its own lines; while it starts, what is asked on the way."""
        if self.ready:
            return (self.lines,)
        return tuple(each.lines for each in self.route() if each is self or not each.ready)

    def within(self, number: int) -> bool:
        """Is context `number` this one, or above it?"""
        return number == self.id or any(context.id == number for context in self.route())

    # Calls.

    @interruptible
    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Run ``function(*args, **kwargs)`` there and return its result.

        `function` is a function of a module, a class, a static or class method,
        or a built-in.  Its module, and what that imports, is sent along; `args`
        and `kwargs` are values that cross.  Of any other function, such as a lambda or
        one that was typed in, the source is sent, with copies of what it uses.

        Raises CallError (also of the built-in type that was raised there),
        ConnectError, ContextLost.  Before anything is sent: TypeError or ValueError
        for what cannot be called or cannot cross, NotAllowed for a module that may
        not leave the program, SyntaxError for one that the Python there cannot read.

        Ctrl-C, or what a handler of a signal raises, leaves the call at once.  Nobody can get
        its result then, so the function is interrupted as at a deadline: see options().

        Example::

            load = web.call(os.getloadavg)
        """
        result: T = self.plainly.run(function, args, kwargs)
        return result

    def submit(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """
        Send the call and return a Future at once.

        `function`, `args` and `kwargs` are as for call().  Raises what call() does
        before anything is sent, and RuntimeError after shutdown() or close(); all else,
        also that the context is gone already, is raised by the future's result().

        Example::

            futures = [web.submit(install, 'app') for web in webs]
            results = [future.result() for future in futures]
        """
        return self.plainly.launch(function, args, kwargs)

    def options(self, *, timeout: float | None = None, grace: float = GRACE) -> Options:
        """
        Return what has ``call``, ``submit`` and ``stream`` with these options.

        `timeout` is in seconds; at the deadline CallTimeout is raised, and the
        function is interrupted where it stands: the programs it has started are told
        to end, then ``econtext.Interrupted`` is raised there.  If it has not stopped
        after `grace` seconds, 1 unless given, the context is ended, and further calls
        raise ContextLost.  A call that has not begun is dropped.  The same happens to a
        blocking call that Ctrl-C leaves, with a `timeout` or without.  Raises ValueError
        for what is no number of seconds.

        Example::

            web.options(timeout=5).call(install_app)
        """
        if timeout is not None and not is_seconds(timeout):
            raise ValueError(f'timeout= must be a number of seconds, not {seen(timeout)}')
        if not is_seconds(grace):
            raise ValueError(f'grace= must be a number of seconds, not {seen(grace)}')
        return Options(self, timeout, grace)

    def request(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bytes:
        """Return the body of a call, having sent the modules that it needs."""
        if threading.get_ident() == MAIN:
            wrap_handlers()
        if self.error:
            raise self.reason()
        if self.broker.callbacks.running:
            self.broker.callbacks.check(self)
        place = self.broker.place_of(function)
        if type(place) is not tuple:
            return self.request_captured(place, args, kwargs)
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

    def request_captured(self, place: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return the body of a call of a function that no module holds."""
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
        return context

    def _cross(self) -> tuple[Any, ...]:
        return self.id, self.name

    # Output.

    def end_of_call(self) -> None:
        """Let the last, unfinished line be logged before the call returns."""
        self.talked = False
        self.lines.put(self.lines.flush)

    def said(self, data: bytes) -> None:
        """Log what the program that started the context says beside the link."""
        for line in data.decode('utf-8', 'backslashreplace').splitlines():
            say(self.lines.logger, logging.INFO, '%s', harmless(line))

    # Contexts below.

    def start(self, request: ConnectRequest) -> Context:
        if self.error:
            raise self.reason()
        return self.broker.start_context(self, request)

    def prefix(self) -> str:
        return self.name + '.'

    # Life.

    def wait_ready(self, timeout: float | None = None) -> Context:
        """
        Wait until the context has answered, and return it.

        Raises ConnectError if it could not be started, ContextLost if it has ended
        since, CallTimeout after `timeout` seconds.  Needed by nobody who goes on
        to call.

        Example::

            root = web.sudo().wait_ready()
        """
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
        return self

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

    def failed(self, kind: str, detail: str) -> Callable[[], EcontextError]:
        what, remedy = explain(kind, detail)
        detail = harmless_lines(detail)
        return lambda: ConnectError(
            self.name, kind, what, detail, remedy, self.started_by() if remedy == BY_HAND else '')

    def lost(self, what: str) -> Callable[[], EcontextError]:
        return lambda: ContextLost(f'{self.name}: {harmless_lines(what)}')

    def orphaned(self, above: Context) -> Callable[[], EcontextError]:
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
        """
        Return a channel, one end here, the other for a function called there.

        `window` is how many bytes may be under way, or wait to be read, each way:
        65,536 or more; 1 MiB unless given.  One value may be larger.  Raises
        ValueError for another number; that the context is gone shows when the
        channel is used.

        Example::

            channel = web.channel()
            web.submit(tail_log_file, channel, '/var/log/messages')
            for chunk in channel:
                ...
        """
        check_window('window', window)
        return self.broker.channels.open(self, window)

    def stream(
        self, function: Callable[P, Iterable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Stream[T]:
        """
        Iterate over what ``function(*args, **kwargs)`` yields there.

        `function`, `args` and `kwargs` are as for call().  Values come as they are
        made; who does not read them stops the function.  Raises what call() does,
        behind the values that came before.  Leaving the loop ends the function.

        Example::

            for line in web.stream(follow, '/var/log/messages'):
                print(line)
        """
        return Stream(self.plainly, function, args, kwargs)

    @interruptible
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """
        Take no more calls, let those that were sent finish, then end the context.

        With `cancel_futures` those that have not begun are cancelled; without `wait` it
        returns at once, and the context ends behind the last of them.  close() waits
        for none.  Leaving a ``with`` statement does this, or close() if by an
        exception.  Raises nothing.

        Example::

            with broker.ssh('web1') as web:
                web.submit(install_app)
        """
        self.shut = True
        pending = list(self.pending)
        if cancel_futures:
            # The last first: none of those before them is begun meanwhile for nothing.
            for future in sorted(pending, key=lambda future: -future._handle):
                future.cancel()
        if wait or self.error or not pending:
            concurrent.futures.wait(pending)
            self.close()
            return
        for future in pending:
            future.add_done_callback(self.end_behind)

    def end_behind(self, done: concurrent.futures.Future[Any]) -> None:
        """A call has ended after shutdown(): end the context behind the last one."""
        if all(future is done or future.done() for future in list(self.pending)):
            threading.Thread(target=self.close, name=f'econtext {self.name}', daemon=True).start()

    def close(self) -> None:
        """
        End the context and all below it, within seconds; calls get ContextLost.

        Raises nothing; that it did not end in time is logged.

        Example::

            root.close()
        """
        self.shut = True
        self.broker.end(self)

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if exc_info[0] is None:
            self.shutdown()
        else:
            self.close()
