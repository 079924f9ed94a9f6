"""
The contexts of a broker: how they begin, and what their end means for the others.

Invariants:

* Whatever becomes of a start, the context is ready, or has an error, within its time.
* A context that ends takes all below it along, and wakes everybody who waits.
* A program that was started is waited for before ``end`` returns.

Any thread may enter.
"""

from __future__ import annotations

import itertools
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from econtext.controller.connect import commandline, loss, registry
from econtext.controller.connect.connectors import Origin
from econtext.controller.connect.options import GIL_LIMIT, HEARTBEAT, PATIENCE, Wish, check_common, plain
from econtext.controller.context import Context
from econtext.controller.errors import EcontextError
from econtext.controller.modules import bytecode
from econtext.controller.modules.repository import LATER, NURSERY, PREAMBLE, PUSHED, Modules, pushed
from econtext.controller.protocol import values
from econtext.controller.runtime import loggers, signals
from econtext.controller.runtime.deadlines import Expired
from econtext.controller.runtime.log import say
from econtext.controller.runtime.loop import ControllerLoop, Wait
from econtext.controller.secret import hidden, revealed
from econtext.controller.text import harmless, shown
from econtext.core import flow, labels
from econtext.core.kinds import BEAT
from econtext.core.loop import Link
from econtext.core.watch import Pulse
from econtext.core.wire import CALL, DEAD, MODULE, PASS, ROUTE, START, STOP, TYPED
from econtext.parent import children
from econtext.parent.command import ENGLISH
from econtext.parent.handshake import ASK

if TYPE_CHECKING:
    from econtext.controller.context import Owner
    from econtext.controller.session.channels import Channels
    from econtext.controller.session.router import Gate

log = logging.getLogger('econtext')

DISOWNED = 'this process was forked off the one that started it: make a broker of its own'
CLOSING = 8.0   # seconds that closing takes at most, the handling of what was printed included
LAST = 1.0      # seconds beyond these that what was printed last has to be handled
# Where a thread has the lock of a link.
HOLDERS = 'econtext.core.loop', 'econtext.core.bulk', 'econtext.parent.children'


class OwnedLink(Link):
    """A link whose locks know which thread holds them."""

    __slots__ = ('lock',)

    def __init__(self, *details: Any) -> None:
        self.lock: Any = threading.RLock()
        super().__init__(*details)
        self.writing: Any = threading.RLock()

    def __setattr__(self, name: str, value: Any) -> None:
        # The lock that the base makes, also as it is opened, is not wanted.
        if name != 'lock' or not hasattr(self, 'lock'):
            super().__setattr__(name, value)


class Family(Origin[Context]):
    """The part of a broker that knows of the birth and death of contexts."""

    preamble: bytes
    loop: ControllerLoop
    router: Gate
    modules: Modules
    channels: Channels
    closed: bool
    disowned = False    # was this process forked off the one that has the contexts?
    title: str

    def __init__(self) -> None:
        self.contexts: dict[int, Context] = {}
        self.births: dict[int, children.Birth] = {}
        # Contexts whose program has not been waited for yet.
        self.unburied: dict[int, Context] = {}
        self.kin = bytecode.Kin()
        self.names_used = loggers.Names()
        self.numbers = itertools.count(1)
        self.last_number = 0
        # Those that could not be started.
        self.unseen: deque[Context] = deque(maxlen=1000)

    # Birth.

    def beget(self, via: Context | None, wish: Wish) -> Context:
        """Start a context from `via`, None for this process; return at once."""
        connector, options, answers, common, label, watch = wish
        if self.closed:
            raise EcontextError('the broker is closed: make a new one')
        module = registry.find(connector)
        short = module.__name__.rpartition('.')[2]
        check_common(common, getattr(self, short, None))
        number = self.last_number = next(self.numbers)
        name = common.get('name') or label or f'{(via or self).prefix()}{short}.{number}'
        options = plain(options)
        changes = module.plan(options)[2]
        if via is None and hasattr(module, 'begin'):
            raise ValueError(
                f'{short} is for contexts: this program has threads and locks that a copy of it could '
                f'not use safely; start one by local(), load there what is needed, and call its {short}()')
        given = {key: hidden(value) for key, value in answers.items() if value is not None}
        name = self.names_used.take(name)
        context = Context(
            cast('Owner', self), number, name, via, common.get('output_window', flow.WINDOW))
        context.answers = given
        context.common = common
        context.started_by = lambda: commandline.readable(module, options, via)
        context.threads = common.get('threads', 1)
        context.to_undo = changes is ENGLISH
        nearby = getattr(module, 'NEARBY', False)
        context.heartbeat = float(common.get('heartbeat', 0 if nearby else HEARTBEAT))
        if nearby and (via is None or via.beginning) and not hasattr(module, 'begin'):
            self.kin.expect(context, module.__name__, options.get('python'))
        self.contexts[context.id] = self.unburied[context.id] = context
        if context.level <= logging.DEBUG:
            say(context.lines.logger, logging.DEBUG, '= started by: %s', context.started_by() or 'a fork')
        if via is None:
            link = OwnedLink(self.loop, self.router, None)
            link.queue.append(self.preamble)
            self.router.links[context.id] = link
            birth = children.Birth(
                self, link, module, options,
                {key: ASK if callable(value) else revealed(value) for key, value in given.items()},
                lambda *report: self.report(context, *report),
            )
            birth.watch = watch
            birth.who, birth.heartbeat = number, context.heartbeat
            self.births[context.id] = birth
            if options.get('one_trip'):
                self.furnish(context)
                context.unborn = birth
                return context
            birth.begin()
            # While the program starts.
            self.furnish(context)
            if context.kin:
                self.get_ready(LATER)
        else:
            self.send_through(via, context, module.__name__, options, given)
            self.furnish(context)
        self.set_timer(context)
        return context

    def set_timer(self, context: Context) -> None:
        """From now on `context` has so long to become ready."""
        context.timer = self.loop.at(
            time.monotonic() + context.common.get('connect_timeout', PATIENCE), lambda: self.expire(context))
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
        via.push(*NURSERY, connector)
        plain = {key: revealed(value) for key, value in answers.items() if not callable(value)}
        asked = [key for key, value in answers.items() if callable(value)]
        self.router.send(
            START, via.id, context.id, values.plainest(
                (connector, options, plain, asked, context.heartbeat))
        )

    def hand(self, context: Context, names: tuple[str, ...]) -> None:
        """Send modules of ours. Any thread, also one that leads."""
        context.send_code(names)
        if context.via is None:
            self.router.send(MODULE, context.id, 0, pushed(names))
        else:
            self.router.send(PASS, context.via.id, context.id, values.plainest((names, 0)))

    def get_ready(self, names: tuple[str, ...]) -> None:
        """Have at hand what is to be handed to a context on this machine."""
        bytecode.units(names)
        pushed(names)

    def furnish(self, context: Context) -> None:
        """Send what follows the preamble, and the cast that makes use of it."""
        context.sent.update(PUSHED + LATER + PREAMBLE)
        self.hand(context, PUSHED)
        common = context.common
        if context.threads > 1:
            context.push('econtext.core.pool')
        argv0 = common.get('argv0')
        title = (self.title if argv0 is None else argv0).encode('utf-8', 'surrogateescape')
        argv = [word.encode('utf-8', 'surrogateescape').decode('utf-8', 'replace')
                for word in sys.argv]
        settings = {
            'argv': argv, 'level': context.level, 'title': title,
            'parent': context.via.id if context.via else 0,
            'heartbeat': context.heartbeat,
            'gil_limit': float(common.get('gil_limit', GIL_LIMIT)),
            'threads': context.threads,
            'window': context.lines.allowance.window,
        }
        context.conduct.account.cast()
        self.router.send(CALL, context.id, 0, values.encode_call(
            'econtext.core.life', 'settle', (settings,), {}))
        if context.to_undo:
            context.push('econtext.core.undone')
            self.router.send(CALL, context.id, 0, values.encode_call('econtext.core.undone', 'undo', (), {}))

    def height(self, who: int) -> int:
        """Return how many levels of contexts there are below context `who`."""
        context = self.unburied.get(who)
        found, level = 0, [context] if context else []
        while level := [below for each in level for below in list(each.children.values())]:
            found += 1
        return found

    def attend(self, who: int, link: Link, interval: float) -> None:
        """Ask context `who`, at the other end of `link`, whenever it is silent for so long."""
        pulse = Pulse(link, interval)

        def look() -> None:
            now = time.monotonic()
            if link.fd is None:
                return
            if pulse.check(now, self.loop.stirred, lambda: self.router.send(BEAT, who, 1, b'')):
                self.loop.at(now + interval, look)
            else:
                link.owner.silent(link, interval)

        self.loop.at(time.monotonic() + interval, look)

    def disown(self) -> None:
        """This process was forked, and the contexts are those of the other one."""
        self.closed = self.disowned = True
        for context in self.contexts.values():
            context.error = context.lost(DISOWNED)
            context.lines.disown()
        for channel in self.channels.open_channels.values():
            channel.end.reason = channel.context
            channel.end.ours = channel.end.theirs = False
        births, links = list(self.births.values()), list(self.router.links.values())
        self.loop.disown([link.out for link in links if link], DISOWNED)
        for birth in births:
            if birth.process:
                birth.process.close()
        self.contexts.clear()
        self.unburied.clear()
        self.births.clear()
        self.router.links.clear()

    # Death.

    def report(self, context: Context, event: str, *details: Any) -> None:
        """Take what is told of the birth of `context`. Any thread."""
        if event == 'said':
            data = details[1]
            context.lines.heard(data, context.said)
        elif event == 'ask':
            key, question = details
            # Among what the context says, so that who waits for the context is asked, and behind what was said before.
            context.lines.put(lambda: self.answer(context, key, harmless(question)))
        elif event == 'failed':
            if context.error is None:
                self.unseen.append(context)
            self.drop(context, context.failed(*(str(detail) for detail in details)))
            self.unlink(context)
        elif event == 'lost':
            reason, status, cut = details
            if reason or context.ready or context.error:
                self.drop(context, loss.of_link(context, reason, status))
            else:
                # Between its mark and its HELLO.
                self.unseen.append(context)
                self.drop(context, context.failed('died', ''))
            self.unlink(context, cut)
        elif event == 'silent':
            self.drop(context, loss.of_silence(context, details[0]))
            self.unlink(context, cut=True)
        elif event == 'buried':
            if context.error is None:
                # Nobody said how it ended: whoever waits for it is to hear that it has.
                self.drop(context, context.lost('its program has ended'))
            self.unlink(context)
            self.bury(context)

    @signals.safe
    def answer(self, context: Context, key: str, question: str) -> None:
        """Ask the program for a password that is wanted now."""
        secret = context.answers.get(key)
        text = None
        try:
            text = revealed(secret(question)) if callable(secret) else None
        except BaseException as error:
            told = f'{type(error).__name__}: {labels.message(error)}'
            self.end(context, context.failed(
                'password-required', f'the function that is to answer raised {shown(told)}'))
            if not isinstance(error, Exception):
                raise
            return
        if context.via is None:
            birth = self.births.get(context.id)
            if birth:
                birth.answer(key, text)
        else:
            self.router.send(TYPED, context.via.id, context.id, values.plainest((key, text)))

    def expire(self, context: Context) -> None:
        """The time to connect is over."""
        if not (context.ready or context.error):
            self.unseen.append(context)
            birth = self.births.get(context.id)
            detail = birth.handshake.detail() if birth else ''
            self.loop.delegate(
                lambda: self.stop(context, context.failed('timeout', detail)))

    def refuse(self, context: Context, kind: str, detail: str) -> None:
        """End a context that is nothing for us."""
        self.unseen.append(context)
        self.loop.delegate(lambda: self.stop(context, context.failed(kind, detail)))

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
        context.burden.end()
        context.wake()
        for child in list(context.children.values()):
            self.drop(child, child.orphaned(first or context), first or context)

    def unlink(self, context: Context, cut: bool = False) -> None:
        """Forget `context`: nothing more will come from it; `cut`, if that may be in the middle of something."""
        context.lines.end(context.ready and (cut or context.id in self.router.parts.begun))
        for child in list(self.unburied.values()):
            if child.via is context:
                self.unlink(child, cut)
                self.bury(child)
        if context.via is not None:
            context.via.children.pop(context.id, None)
            for hop in context.via.path()[:-1]:
                self.router.send(ROUTE, hop.id, context.id, b'')
        link = self.router.links.pop(context.id, None)
        self.contexts.pop(context.id, None)
        self.router.parts.forget(link, context.id)

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
        if self.unburied.pop(context.id, None):
            self.names_used.give_back(context.name)
            loggers.give_back(context.lines.logger)
        context.wake()
        self.births.pop(context.id, None)

    def mourn(self, context: Context, deadline: float) -> None:
        """Wait until the program of `context` is gone. Any number of threads."""
        try:
            while context.id in self.unburied:
                wait = Wait(self.loop, deadline)
                wait.own = (context.lines,)
                context.waits.append(wait)
                if context.id not in self.unburied:
                    break
                self.loop.wait(wait)
        except Expired:
            self.loop.post(lambda: say(
                log, logging.WARNING, '%s: it did not end within %g s', context.name, CLOSING))
        context.lines.finish(deadline + LAST)

    def recover(self) -> None:
        """
        Open the locks of links that this very thread holds, and is not inside of any more.

        An exception left our code between two instructions: that of a signal's handler which was
        not put off, say.  What other threads hold is theirs, and they let go of it.
        """
        if signals.inside(HOLDERS):
            return
        links = [link for link in list(self.router.links.values()) if link]
        births = [birth.link for birth in list(self.births.values())]
        for lock in [lock for link in {*links, *births} for lock in (link.lock, link.writing)]:
            owned = getattr(lock, '_is_owned', bool)
            while owned():
                lock.release()

    def end(self, context: Context, error: Callable[[], EcontextError] | None = None) -> None:
        """End `context` and wait until it has."""
        self.recover()
        if context.id in self.contexts:
            self.stop(context, error or context.lost('it was closed'))
            context.seen = True
        self.mourn(context, time.monotonic() + CLOSING)
