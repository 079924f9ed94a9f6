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
import collections
import getpass
import importlib
import itertools
import logging
import marshal
import os
import signal
import sys
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from econtext.controller import functions, interrupt, packer, values
from econtext.controller.channels import Channels
from econtext.controller.connect import Origin, Wish, plain
from econtext.controller.context import Context
from econtext.controller.errors import EcontextError
from econtext.controller.gate import Gate
from econtext.controller.loop import ControllerLoop, Expired, Wait
from econtext.controller.modules import NURSERY, PREAMBLE, PUSHED, Modules, pack_units, pushed
from econtext.core.loop import Link
from econtext.core.wire import (
    CALL,
    DEAD,
    ERROR,
    HELLO,
    LOG,
    MODULE,
    PASS,
    REPORT,
    RESULT,
    ROUTE,
    START,
    STDIO,
    STOP,
    TYPED,
    WANT,
    BadFrame,
)
from econtext.parent import children
from econtext.parent.handshake import ASK
from econtext.parent.values import decode

log = logging.getLogger('econtext')

CLOSING = 8.0   # seconds that closing takes at most


class Broker(Origin):
    """
    Owns the contexts of a program; use it in a ``with`` statement.

    `forward` names packages that are always sent as the program's own code;
    `installed` names those that are taken from the target where it has them.
    Raises ValueError if both name the same.

    Example::

        with econtext.Broker() as broker:
            web = broker.ssh('web1')
            print(web.call(os.getloadavg))
    """

    def __init__(
        self, *, forward: Iterable[str] = (), installed: Iterable[str] = ()
    ) -> None:
        self.modules = Modules(forward, installed)
        self.preamble = packer.preamble()
        self.loop = ControllerLoop()
        self.router = Gate(self)
        self.contexts: dict[int, Context] = {}
        self.births: dict[int, children.Birth] = {}
        # Contexts whose program has not been waited for yet.
        self.unburied: dict[int, Context] = {}
        self.numbers = itertools.count(1)
        self.names: dict[Any, tuple[str, str]] = {}
        self.channels = Channels(self)
        self.unseen: collections.deque[Context] = collections.deque(maxlen=1000)
        self.closed = False
        self.title = default_title()
        self.router.handle({
            HELLO: self.on_hello,
            WANT: self.on_want,
            LOG: self.on_log,
            STDIO: self.on_stdio,
            REPORT: self.on_report,
            ERROR: self.on_error,
            **self.channels.handlers,
        })
        interrupt.defer(self)
        LIVE.add(self)

    # Contexts.

    def start(self, wish: Wish) -> Context:
        return self.beget(None, wish)

    def prefix(self) -> str:
        return ''

    def beget(self, via: Context | None, wish: Wish) -> Context:
        """Start a context from `via`, None for this process; return at once."""
        connector, options, name, argv0, connect_timeout, answers = wish
        if self.closed:
            raise EcontextError('the broker is closed: make a new one')
        if not connect_timeout > 0:
            raise ValueError(f'connect_timeout= must be seconds, not {connect_timeout!r}')
        number = next(self.numbers)
        if name is None:
            name = f'{(via or self).prefix()}{connector}.{number}'
        check_name(name)
        module = importlib.import_module('econtext.connectors.' + connector)
        options = plain(options)
        module.plan(options)
        given = {key: plain(value) for key, value in answers.items() if value is not None}
        context = Context(self, number, name, via)
        context.answers = given
        context.connect_timeout = connect_timeout
        self.contexts[context.id] = self.unburied[context.id] = context
        if via is None:
            link = Link(self.loop, self.router, None)
            link.queue.append(self.preamble)
            self.router.links[context.id] = link
            self.furnish(context, argv0)
            birth = children.Birth(
                self, link, module, options,
                {key: ASK if callable(value) else value for key, value in given.items()},
                lambda *report: self.report(context, *report),
            )
            self.births[context.id] = birth
            if options.get('one_trip'):
                context.unborn = birth
                return context
            birth.begin()
        else:
            self.send_through(via, context, connector, options, given)
            self.furnish(context, argv0)
        self.set_timer(context)
        return context

    def set_timer(self, context: Context) -> None:
        """From now on `context` has so long to become ready."""
        context.timer = self.loop.at(
            time.monotonic() + context.connect_timeout, lambda: self.expire(context))
        if context.ready or context.error:
            context.timer.action = None

    def send_through(
        self, via: Context, context: Context, connector: str,
        options: dict[str, Any], answers: dict[str, Any],
    ) -> None:
        """Have `via` start `context`, and every context before it know the way."""
        via.children[context.id] = context
        self.router.links[context.id] = self.router.links.get(via.id)
        for hop in via.path()[:-1]:
            self.router.send(ROUTE, hop.id, context.id, b'%d' % via.id)
        via.bear()
        via.push(*NURSERY, 'econtext.connectors.' + connector)
        plain = {key: value for key, value in answers.items() if not callable(value)}
        asked = [key for key, value in answers.items() if callable(value)]
        self.router.send(
            START, via.id, context.id, marshal.dumps((connector, options, plain, asked), 2)
        )

    def furnish(self, context: Context, argv0: str | None) -> None:
        """Send what follows the preamble, and the cast that makes use of it."""
        context.sent.update(PUSHED + PREAMBLE)
        if context.via is None:
            self.router.send(MODULE, context.id, 0, pushed())
        else:
            self.router.send(
                PASS, context.via.id, context.id, marshal.dumps((PUSHED, 0), 2))
        title = (self.title if argv0 is None else argv0).encode('utf-8', 'surrogateescape')
        argv = [word.encode('utf-8', 'surrogateescape').decode('utf-8', 'replace')
                for word in sys.argv]
        self.router.send(CALL, context.id, 0, values.encode_call(
            'econtext.core.life', 'settle', (argv, context.level, title), {}))

    def name_of(self, function: Callable[..., Any]) -> tuple[str, str]:
        """Return the (module, name) under which `function` is found elsewhere."""
        try:
            found = self.names.get(function)
        except TypeError:
            return functions.name_of(function, self.modules.main)
        if found is None:
            found = functions.name_of(function, self.modules.main)
            if found[0] == self.modules.main and self.modules.unit(found[0]) is None:
                raise TypeError(
                    f'{found[1]} was typed into an interpreter, and its source is nowhere: '
                    'save the program in a file'
                )
            if len(self.names) > 10000:
                self.names.clear()
            self.names[function] = found
        return found

    # What contexts say. In the thread that leads.

    def on_hello(self, src: int, handle: int, body: bytes) -> None:
        context = self.contexts[src]
        version, numbers, magic, executable, pid, trouble = self.read(body, tuple, 6)
        context.version = str(version)
        context.python_version = tuple(int(number) for number in numbers)
        context.magic = magic
        context.executable = str(executable)
        context.pid = int(pid)
        context.lines.logger.debug(
            '= ready: Python %s, process %d', context.version.split()[0], context.pid)
        if trouble:
            self.loop.post(lambda: context.lines.logger.info(
                'it shows in ps under another name: %s', trouble))
        context.became_ready()

    def on_want(self, src: int, handle: int, body: bytes) -> None:
        name, here = self.read(body, tuple, 2)
        self.loop.delegate(lambda: self.serve(src, handle, str(name), here))

    def on_log(self, src: int, handle: int, body: bytes) -> None:
        value = self.read(body, tuple, 5)
        if not isinstance(value[1], int) or not isinstance(value[2], (int, float)):
            raise BadFrame('a log record of other types')
        lines = self.contexts[src].lines
        self.loop.post(lambda: lines.logged(value))

    def on_stdio(self, src: int, handle: int, body: bytes) -> None:
        context = self.contexts[src]
        context.talked = True
        self.loop.post(lambda: context.lines.printed(handle, body))

    def on_report(self, src: int, handle: int, body: bytes) -> None:
        """A context tells of a child it starts."""
        context = self.unburied.get(handle)
        if context is not None:
            if context.via is None or context.via.id != src:
                raise BadFrame('a report of a context that is not its child')
            event, *details = self.read(body, tuple, None)
            if handle in self.contexts or event == 'buried':
                self.report(context, event, *details)

    def on_error(self, src: int, handle: int, body: bytes) -> None:
        if handle:
            self.router.answer(src, handle, ERROR, body)
            return
        described = self.read(body, tuple, 5)
        context = self.contexts[src]
        if context.ready:
            self.loop.post(lambda: log.error('%s: %s', context.name, described[2]))
        else:
            # Its first step failed: there will be no second.
            self.unseen.append(context)
            self.loop.delegate(
                lambda: self.stop(context, context.failed('ended', str(described[2]))))

    def read(self, body: bytes, kind: type[tuple[Any, ...]], length: int | None) -> Any:
        """Decode what a context says of itself; raise BadFrame if it is nonsense."""
        value = decode(body)
        if type(value) is not kind or length not in (None, len(value)):
            raise BadFrame('a message of another form')
        return value

    def serve(self, src: int, handle: int, name: str, here: Any) -> None:
        """Answer a request for a module, or for a data file of a package."""
        context = self.contexts.get(src)
        if context is None:
            return
        if isinstance(here, str):
            data = self.modules.data(name, here)
            body = b'' if data is None else b'+' + data
        else:
            units = self.modules.answer(name, bool(here))
            fitting = [(name, context.fitting(name, unit)) for name, unit in units]
            if context.level <= logging.DEBUG:
                context.lines.logger.debug(
                    '< module %s%s', name, '' if units[0][1] else ': none here')
            context.sent.add(name)
            if fitting == units:
                context.deliver(fitting, handle)
                return
            body = pack_units(fitting)
        self.router.send(RESULT, src, handle, body)

    # Life and death.

    def report(self, context: Context, event: str, *details: Any) -> None:
        """Take what is told of the birth of `context`. Any thread."""
        if event == 'said':
            data = details[1]
            self.loop.post(lambda: context.said(data))
        elif event == 'ask':
            self.loop.post(lambda: self.answer(context, *details))
        elif event == 'failed':
            if context.error is None:
                self.unseen.append(context)
            self.drop(context, context.failed(*(str(detail) for detail in details)))
            self.unlink(context)
        elif event == 'lost':
            if details[0]:
                self.drop(context, context.corrupted(str(details[0])))
            else:
                self.drop(context, context.lost('its link was lost: start it again'))
            self.unlink(context)
        elif event == 'buried':
            self.unlink(context)
            self.bury(context)

    @interrupt.safe
    def answer(self, context: Context, key: str, question: str) -> None:
        """Ask the program for a password that is wanted now."""
        secret = context.answers.get(key)
        text = None
        try:
            text = secret(question) if callable(secret) else None
        except Exception as error:
            self.end(context, context.failed('password-required', repr(error)))
            return
        if context.via is None:
            birth = self.births.get(context.id)
            if birth:
                birth.answer(key, text)
        else:
            self.router.send(TYPED, context.via.id, context.id, marshal.dumps((key, text), 2))

    def expire(self, context: Context) -> None:
        """The time to connect is over."""
        if not (context.ready or context.error):
            self.unseen.append(context)
            birth = self.births.get(context.id)
            detail = birth.handshake.detail() if birth else ''
            self.loop.delegate(
                lambda: self.stop(context, context.failed('timeout', detail)))

    def corrupt(self, context: Context, reason: str) -> None:
        """End a context that sent what makes no sense."""
        self.stop(context, context.corrupted(reason))

    def drop(
        self, context: Context, error: Callable[[], EcontextError], first: Context | None = None
    ) -> None:
        """
        `context` and all below it answer no more: wake whoever waits for them.

        `first` is the one that began it, if that is one above.
        """
        if context.error is None:
            context.error = error
        for handle, asked in list(self.router.asked.items()):
            if asked[0] == context.id:
                self.router.answer(context.id, handle, DEAD, b'')
        self.channels.drop(context)
        context.wake()
        for child in list(context.children.values()):
            self.drop(child, child.orphaned(first or context), first or context)

    def unlink(self, context: Context) -> None:
        """Forget `context`: nothing more will come from it."""
        for child in list(self.unburied.values()):
            if child.via is context:
                self.unlink(child)
                self.bury(child)
        if context.via is not None:
            context.via.children.pop(context.id, None)
            for hop in context.via.path()[:-1]:
                self.router.send(ROUTE, hop.id, context.id, b'')
        self.router.links.pop(context.id, None)
        self.contexts.pop(context.id, None)

    def stop(self, context: Context, error: Callable[[], EcontextError]) -> None:
        """Begin to end `context`."""
        self.drop(context, error)
        if context.via is None:
            birth = self.births.get(context.id)
            if birth:
                birth.stop()
            context.bear()
        elif context.via.error is None:
            self.router.send(STOP, context.via.id, context.id, b'')
        else:
            self.bury(context)

    def bury(self, context: Context) -> None:
        """The program of `context` is gone: wake whoever waits for that. Any thread."""
        self.unburied.pop(context.id, None)
        context.wake()
        self.births.pop(context.id, None)

    def mourn(self, context: Context, deadline: float) -> None:
        """Wait until the program of `context` is gone. Any number of threads."""
        try:
            while context.id in self.unburied:
                wait = Wait(self.loop, deadline)
                context.waits.append(wait)
                if context.id not in self.unburied:
                    break
                self.loop.wait(wait)
        except Expired:
            log.warning('%s: it did not end within %g s', context.name, CLOSING)

    def end(self, context: Context, error: Callable[[], EcontextError] | None = None) -> None:
        """End `context` and wait until it has."""
        if context.id in self.contexts:
            self.stop(context, error or context.lost('it was closed'))
            context.seen = True
        self.mourn(context, time.monotonic() + CLOSING)

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
        direct = [context for context in list(self.unburied.values()) if context.via is None]
        try:
            for context in direct:
                self.stop(context, context.lost('the broker was closed'))
            deadline = time.monotonic() + CLOSING
            for context in direct:
                self.mourn(context, deadline)
        except BaseException:
            # A second Ctrl-C: at once.
            for birth in list(self.births.values()):
                if birth.process:
                    birth.process.kill(signal.SIGKILL)
            raise
        finally:
            for context in self.unseen:
                if not context.seen and context.error:
                    log.error('nobody looked at this failure: %s', context.error())
            interrupt.restore(self)
            self.loop.close()

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


def check_name(name: object) -> None:
    if not isinstance(name, str) or not name or not name.isprintable():
        raise ValueError(f'name= must be printable text, not {name!r}')


LIVE: weakref.WeakSet[Broker] = weakref.WeakSet()


@atexit.register
def close_all() -> None:
    """End what the program forgot to end."""
    for broker in list(LIVE):
        broker.close()
