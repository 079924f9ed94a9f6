"""
The controller's end: it owns the loop, and every context below.

Invariants:

* A frame of a context is judged by where it came in, and by what that context
  may say; what an honest one would not send ends it.
* A context that ends takes all below it along, and wakes everybody who waits.
* After ``close()`` no process, thread or descriptor of ours is left.

Any thread may enter, but for the handlers of frames: they run in the thread
that leads, and leave the rest to the loop's events and chores.
"""

from __future__ import annotations

import atexit
import functools
import getpass
import logging
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from econtext.controller.connect.options import ConnectRequest
from econtext.controller.context import Context
from econtext.controller.errors import EcontextError, stays
from econtext.controller.lifecycle import CLOSING, LAST, Lifecycle
from econtext.controller.modules import manifest, packer
from econtext.controller.modules.repository import Modules, pack_units
from econtext.controller.protocol import messages, values
from econtext.controller.protocol.places import Places
from econtext.controller.runtime import signals
from econtext.controller.runtime.log import say
from econtext.controller.runtime.loop import ControllerLoop
from econtext.controller.runtime.signals import by_signal
from econtext.controller.session import admission, futures, syntax_check
from econtext.controller.session.callbacks import Allows, Callbacks
from econtext.controller.session.channels import Channels
from econtext.controller.session.router import ControllerRouter
from econtext.controller.text import harmless, indented
from econtext.core.flow import COST, NEWLINE, weight
from econtext.core.kinds import ASKED, BEAT, BEGUN
from econtext.core.labels import seen
from econtext.core.wire import (
    CALL,
    ERROR,
    HELLO,
    LOG,
    REPORT,
    RESULT,
    STDIO,
    WANT,
    BadFrame,
)
from econtext.parent import handshake
from econtext.parent.judge import UNREAD

if TYPE_CHECKING:
    from econtext.controller.attach.server import AttachServer
    from econtext.controller.fleet.fleet import Fleet
    from econtext.controller.fleet.members import Pool
    from econtext.controller.fleet.requests import Connector
    from econtext.controller.fleet.sources import Hosts

log: logging.Logger = logging.getLogger('econtext')


class Broker(Places, Lifecycle, Allows):
    """
    Owns the contexts of a program; use it in a ``with`` statement.

    `forward` names packages that are always sent as the program's own code;
    `installed` names those that are taken from the target where it has them.
    Raises ValueError if both name the same.

    `allow_modules` and `deny_modules` say which modules may leave the program, as
    patterns of names; ``app`` counts for ``app.settings`` too, and ``__main__`` is the
    program itself.  If the first is given nothing else is sent; what the second
    names never is.  A call of a function there raises NotAllowed, an import in a
    context ImportError, and files of such packages are not found.

    Example::

        with econtext.Broker(deny_modules=['app.settings']) as broker:
            web = broker.ssh('web1')
            print(web.call(os.getloadavg))
    """

    __reduce_ex__: Callable[..., Any] = stays
    offered: tuple[str, ...] = *Lifecycle.offered, 'close', 'fleet', 'listen'

    def __init__(
        self, *, forward: Iterable[str] = (), installed: Iterable[str] = (),
        allow_modules: Iterable[str] | None = None, deny_modules: Iterable[str] = (),
    ) -> None:
        super().__init__()
        self.modules: Modules = Modules(forward, installed, allow_modules, deny_modules)
        self.preamble: bytes = packer.preamble(manifest.PREAMBLE)
        self.loop: ControllerLoop = ControllerLoop()
        self.router: ControllerRouter = ControllerRouter(self)
        self.names: dict[Any, tuple[str, str]] = {}
        self.channels: Channels = Channels(self)
        self.callbacks: Callbacks = Callbacks(self)
        self.allowed: dict[tuple[str, str], Callable[..., Any]] = {}
        self.closed: bool = False
        self.attach_server: AttachServer | None = None
        self.title: str = default_title()
        #: The fleets' members, whose connecting is to end before this does.
        self.pools: weakref.WeakSet[Pool] = weakref.WeakSet()
        self.router.handle({
            HELLO: self.on_hello,
            WANT: self.on_want,
            LOG: self.on_log,
            STDIO: self.on_stdio,
            REPORT: self.on_report,
            ASKED: self.callbacks.receive,
            ERROR: self.on_error,
            BEGUN: self.on_begun,
            BEAT: self.on_beat,
            **self.channels.handlers,
        })
        signals.defer(self)
        LIVE.add(self)

    def __repr__(self) -> str:
        state = 'closed' if self.closed else f'{len(self.contexts)} contexts'
        return f'<econtext.Broker {state}>'

    # Contexts.

    def start(self, request: ConnectRequest) -> Context:
        return self.start_context(None, request)

    def prefix(self) -> str:
        return ''

    def fleet(
        self, hosts: Hosts, *, connector: Connector = 'ssh', connect_limit: int = 64, connect_retries: int = 0,
        retry_delay: float = 1.0, **options: Any,
    ) -> Fleet:
        """
        Return a fleet: many hosts, on which the same is done.

        `hosts` is a list of names; such as ``'web*'`` are patterns of the user's ssh configuration.
        Instead of a name there may be a Host, a mapping from names to options of the
        connector, what ``econtext.inventory`` reads, a function that returns any of these, or
        another list.  `connector` is how the hosts are reached: the name of a connector, or a function
        that gets this broker and the Host, and returns a context.  `options` are those of that connector.

        Each host is connected when there is work for it: `connect_limit` of them at a time.  What
        may be over a moment later, such as no way through the network, is tried again
        `connect_retries` times, the first time after `retry_delay` seconds, then after twice as long
        each time, a minute at most.

        Returns at once.  Raises TypeError or ValueError for options that make no sense, and for hosts
        that are none; that one could not be connected is among the failures of its results.

        Example::

            with econtext.Broker() as broker:
                fleet = broker.fleet(['web1', 'web2'], username='deploy')
                print(fleet.call(os.getloadavg).successes)
        """
        from econtext.controller.fleet import fleet, sources

        made = fleet.make(
            self, sources.hosts_from(hosts), self.place_of, connector, connect_limit, connect_retries, retry_delay,
            options)
        self.pools.add(made.pool)
        return made

    # What contexts say. In the thread that leads.

    def on_hello(self, src: int, handle: int, body: bytes) -> None:
        context = self.contexts[src]
        said = messages.hello(body)
        if context.ready:
            raise BadFrame('it said twice that it is ready')
        context.version = said.version
        context.python_version = said.numbers
        context.marshal_version = values.version_for(said.numbers)
        context.magic = said.magic
        context.executable = said.executable
        context.pid = said.pid
        if not syntax_check.is_supported(said.version):
            self.refuse(context, 'unsupported-python', said.version)
            return
        logger = context.lines.logger
        if logger.isEnabledFor(logging.DEBUG):
            # Not here: this thread leads.
            context.lines.put(lambda: say(
                logger, logging.DEBUG, '= ready: Python %s, process %d', context.version.split()[0], context.pid))
        if said.trouble:
            context.lines.put(lambda: say(
                logger, logging.INFO, 'it shows in ps under another name: %s', said.trouble))
        self.same_python.learn(context)
        context.counters.account.cast(len(manifest.AFTER_HELLO))
        self.hand(context, manifest.AFTER_HELLO)
        for name in manifest.CASTS[said.numbers >= (3, 2):]:
            self.router.send(CALL, src, 0, values.encode_call(name, 'settle', (), {}))
        context.became_ready()

    def on_want(self, src: int, handle: int, body: bytes) -> None:
        context = self.contexts[src]
        if handle in context.counters.wanted or not handle:
            raise BadFrame('it wants two things under one number')
        if context.via is None and context.counters.unread.grows(self.router.links[src]):
            raise BadFrame(UNREAD)
        name, here = messages.want(body)
        counters = context.counters
        if not counters.account.take(WANT, len(body)):
            raise BadFrame('it wants too many modules at a time')
        counters.wanted.add(handle)
        counters.waiting.append((handle, name, here, len(body)))
        if not counters.served:
            counters.served = True
            self.loop.call_soon(lambda: self.serve(src))

    def on_log(self, src: int, handle: int, body: bytes) -> None:
        lines = self.contexts[src].lines
        lines.allowance.charge(len(body))
        value = messages.record(body)
        lines.put(lambda: lines.logged(value), len(body) + COST, 1)

    def on_stdio(self, src: int, handle: int, body: bytes) -> None:
        context = self.contexts[src]
        context.talked = True
        # It may be in the buffer that it was read into.
        body = bytes(body)
        context.lines.allowance.charge(weight(body))
        context.lines.put(lambda: context.lines.printed(handle, body), 0, body.count(NEWLINE) or 1)

    def on_report(self, src: int, handle: int, body: bytes) -> None:
        """A context tells of a child it starts."""
        context = self.unreaped.get(handle)
        if context is None:
            # Late: who it is about is gone.
            return
        teller = self.contexts[src]
        event, *details = messages.report(body)
        life = admission.report(teller.standing(), context.via is teller, context.counters.life, event)
        if life == admission.FAULT:
            raise BadFrame(f'a report of context {handle}, {seen(event)}, that is not for it to tell')
        if life == admission.IGNORED:
            return
        context.counters.life = life
        if event == 'ask':
            context.counters.questions += 1
            if context.counters.questions > handshake.MOST:
                raise BadFrame('it asks for passwords without end')
        if handle in self.contexts or event == 'buried':
            self.report(context, event, *details)

    def on_error(self, src: int, handle: int, body: bytes) -> None:
        if handle:
            self.router.answer(src, handle, ERROR, body)
            return
        trace = messages.failure(body)
        context = self.contexts[src]
        if not context.counters.account.failed():
            raise BadFrame('more casts failed than it was sent')
        if context.ready:
            context.lines.put(lambda: say(log, logging.ERROR, '%s: %s', context.name, indented(trace)))
        else:
            # Its first step failed: there will be no second.
            self.unreported.append(context)
            self.loop.call_soon(lambda: self.stop(context, context.failed('ended', trace)))

    def on_beat(self, src: int, asks: int, body: bytes) -> None:
        # Who has yet to read what it was sent hears from us by that.
        link = self.router.links[src]
        if asks and link is not None and not link.queue:
            self.router.send(BEAT, src, 0, b'')

    def on_begun(self, src: int, handle: int, body: bytes) -> None:
        """A call that was to be withdrawn has begun."""
        asked = self.router.asked.get(handle)
        if asked and asked[0] == src:
            waits: Any = getattr(asked[1], '__self__', None)
            if getattr(waits, '_hears_begun', False):
                waits._set_answer(BEGUN, body)

    def serve(self, src: int) -> None:
        """Answer one request for a module, or for a data file of a package; then it is the others' turn."""
        context = self.contexts.get(src)
        if context is None:
            return
        counters = context.counters
        try:
            handle, name, here, size = counters.waiting.popleft()
        except IndexError:
            # Another thread was sooner.
            return
        try:
            # Before it has the answer, whereupon it may use the number again.
            counters.wanted.discard(handle)
            counters.account.give_back(WANT, size)
            self.supply(context, handle, name, here)
        except BaseException as error:
            # A defect of ours, or of a finder of the program: the context that asks is not to wait for ever.
            body = b'' if isinstance(here, str) else pack_units([(name, None)])
            self.router.send(RESULT, src, handle, body)
            if by_signal(error) or not isinstance(error, Exception):
                raise
            self.loop.fail(f'{context.name}: module {harmless(name)} could not be looked for', error)
        finally:
            counters.served = False
            if counters.waiting:
                # One that came just now may have this done already: then it is done twice, to no harm.
                counters.served = True
                self.loop.call_soon(lambda: self.serve(src))

    def supply(self, context: Context, handle: int, name: str, here: str | bool) -> None:
        if isinstance(here, str):
            data = self.modules.resources.answer(name, here, context.sent)
            body = b'' if data is None else b'+' + data
            context.counters.unread.add(len(body))
        else:
            units = self.modules.answer(name, here)
            fitting = [(name, syntax_check.fitting(context, name, unit)) for name, unit in units]
            if context.level <= logging.DEBUG:
                what = '< module %s%s', harmless(name), '' if units[0][1] else ': none here'
                # Not here: this may be the spare thread, and handlers are the program's.
                context.lines.put(lambda: say(context.lines.logger, logging.DEBUG, *what))
            context.counters.unread.add(len(units[0][1][2]) if units[0][1] else 0)
            if units[0][1] is None and not here and self.ask_guests(context, handle, name):
                return
            if fitting == units:
                if units[0][1]:
                    context.sent.add(name)
                context.deliver(fitting, handle)
                return
            body = pack_units(fitting)
        self.router.send(RESULT, context.id, handle, body)

    def ask_guests(self, context: Context, handle: int, name: str) -> bool:
        """Have an attached program answer for a module, if one may and can."""
        return bool(
            self.attach_server and not self.modules.policy.objection(name)
            and self.attach_server.supply(context, handle, name))

    def listen(self, path: str | os.PathLike[str] | None = None) -> str:
        """
        Let other programs of this user attach, and use the contexts; return the path.

        `path` is that of a Unix socket, by default one of this process in a folder that
        no other user can enter.  They call econtext.attach() with it.  It is removed
        when the broker closes.  What their functions print is logged here.

        Raises EcontextError if it listens already, or no socket can be made there.

        Example::

            print('attach to', broker.listen())
        """
        if self.attach_server is not None:
            raise EcontextError(f'the broker listens at {self.attach_server.path} already')
        # Here, for few listen, and it imports what nothing else needs.
        from econtext.controller.attach.server import AttachServer, folder

        if path is None:
            path = os.path.join(folder(), f'{os.getpid()}.sock')
        self.attach_server = AttachServer(self, os.fspath(path))
        return self.attach_server.path

    def close(self) -> None:
        """
        End every context, within seconds; further calls get ContextLost.

        Leaving the ``with`` statement does this.  Failures to connect that nobody
        looked at are logged.  Raises nothing; what does not end is logged.

        Example::

            broker = econtext.Broker()
            try:
                ...
            finally:
                broker.close()
        """
        if self.closed:
            return
        self.closed = True
        LIVE.discard(self)
        for pool in list(self.pools):
            # Before the look at what there is: it may be in the middle of starting one more.
            pool.close()
        all_contexts = list(self.unreaped.values())
        direct = [context for context in all_contexts if context.via is None]
        try:
            self.recover()
            for context in direct:
                self.stop(context, context.lost('the broker was closed'))
            deadline = time.monotonic() + CLOSING
            for context in direct:
                self.wait_exited(context, deadline)
            for context in all_contexts:
                context.lines.finish(deadline + LAST)
        except BaseException:
            # A second Ctrl-C: at once.
            for birth in list(self.births.values()):
                if birth.process:
                    birth.process.kill(signal.SIGKILL)
            raise
        finally:
            self.let_go()

    def let_go(self) -> None:
        """The last part of close(), which takes place whatever comes."""
        self.recover()
        try:
            for context in self.unreported:
                if not context.reported and context.error:
                    # Not here: handlers are the program's, and closing has its time.
                    self.loop.call_in_order(functools.partial(
                        say, log, logging.ERROR, 'nobody looked at this failure: %s', context.error()))
        finally:
            if self.attach_server is not None:
                self.attach_server.close()
            try:
                self.loop.close()
            finally:
                # Before, an interrupt that was put off would come in the middle of this.
                signals.restore(self)

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def default_title() -> str:
    """Return what ``ps`` shows of our children: whose they are."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):
        user = str(os.getuid())
    return f'econtext:{user}@{os.uname().nodename}:{os.getpid()}'


def forked() -> None:
    """
    This process was forked off one that has brokers: it has none, and touches nothing of theirs.

    Other threads may have held any lock as it began, so none is taken.
    """
    futures.GUARD = threading.Lock()
    for broker in list(LIVE):
        broker.disown()
    LIVE.clear()


os.register_at_fork(after_in_child=forked)

LIVE: weakref.WeakSet[Broker] = weakref.WeakSet()


@atexit.register
def close_all() -> None:
    """End what the program forgot to end."""
    for broker in list(LIVE):
        broker.close()
