"""
The contexts of a broker: how they begin, and what their end means for the others.

Invariants:

* Whatever becomes of a start, the context is ready, or has an error, within its time.
* A context that ends takes all below it along, and wakes everybody who waits.
* A program that was started is waited for before ``end`` returns.

Any thread may enter.
"""

from __future__ import annotations

import _thread
import functools
import itertools
import logging
import operator
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from econtext.child import flow, labels
from econtext.child.kinds import BEAT
from econtext.child.watch import Pulse
from econtext.controller.connect import loss, registry
from econtext.controller.connect.connectors import Connectors
from econtext.controller.connect.options import GIL_LIMIT, HEARTBEAT, PATIENCE, ConnectRequest, check_common, plain
from econtext.controller.context import Context
from econtext.controller.errors import EcontextError
from econtext.controller.modules import bytecode, manifest
from econtext.controller.modules.repository import PUSHED, Modules, pushed
from econtext.controller.node import Node
from econtext.controller.protocol import values
from econtext.controller.runtime import loggers, signals
from econtext.controller.runtime.deadlines import Expired
from econtext.controller.runtime.log import say
from econtext.controller.runtime.loop import ControllerLoop
from econtext.controller.runtime.waiting import Wait
from econtext.controller.secret import hidden, revealed
from econtext.controller.session.idle import SOONEST, IdleTime
from econtext.controller.session.states import DEFER, END, GONE, LAUNCH
from econtext.controller.text import harmless, harmless_lines, shown
from econtext.core.loop import Link
from econtext.core.wire import CALL, DEAD, MODULE, PASS, ROUTE, START, STOP, TYPED
from econtext.parent import children
from econtext.parent.command import ENGLISH
from econtext.parent.handshake import ASK

if TYPE_CHECKING:
    from econtext.controller.node import AttachedPrograms, Owner
    from econtext.controller.session.channels import Channels
    from econtext.controller.session.router import ControllerRouter

log: logging.Logger = logging.getLogger('econtext')

DISOWNED = 'this process was forked off the one that started it: make a broker of its own'
CLOSING = 8.0   # seconds that closing takes at most, the handling of what was printed included
ANSWER = 2.0    # seconds that a context has to report why one below it is not ready, beyond what it waits itself
LATE = b'late'  # in a STOP: the time to start is over
LAST = 1.0      # seconds beyond these that what was printed last has to be handled
# Where a thread has the lock of a link.
HOLDERS = 'econtext.core.loop', 'econtext.child.bulk', 'econtext.parent.children'


def started_by(module: Any, options: dict[str, Any], via: Node | None) -> str:
    """Return the command by which connector `module` starts a context from `via`, for reading."""
    from econtext.controller.connect import commandline  # few failures tell the command

    return commandline.readable(module, options, via)


class OwnedLink(Link):
    """A link whose locks know which thread holds them."""

    # The base sets a lock of its own as the link is made, and once more as the link is opened: neither is wanted.
    lock: Any = property(operator.attrgetter('owned'), lambda self, plain: None)

    def __init__(self, *details: Any) -> None:
        self.owned: Any = threading.RLock()
        super().__init__(*details)
        self.writing: Any = threading.RLock()


class Lifecycle:
    """The part of a tree that starts contexts and ends them."""

    preamble: bytes
    loop: ControllerLoop
    router: ControllerRouter
    modules: Modules
    channels: Channels
    closed: bool
    asks_to_start: bool = False     # is another program asked for each context?
    disowned: bool = False    # was this process forked off the one that has the contexts?
    title: str

    def __init__(self) -> None:
        self.contexts: dict[int, Node] = {}
        self.births: dict[int, children.Birth] = {}
        # Contexts whose program has not been waited for yet.
        self.unreaped: dict[int, Node] = {}
        self.same_python: bytecode.SamePython = bytecode.SamePython()
        self.names_used: loggers.Names = loggers.Names()
        self.numbers: itertools.count[int] = itertools.count(1)
        self.last_number: int = 0
        #: None until the broker listens.
        self.attach_server: AttachedPrograms | None = None
        # Those that could not be started.
        self.unreported: deque[Node] = deque(maxlen=1000)

    # Birth.

    def start_context(self, via: Node | None, request: ConnectRequest) -> Node:
        """Start a context from `via`, None for this process; return at once."""
        connector, options, answers, common, label, watch = request
        if self.closed:
            raise EcontextError('the broker is closed: make a new one')
        module = registry.find(connector)
        short = module.__name__.rpartition('.')[2]
        check_common(common, getattr(Connectors, short, None))
        number = self.last_number = next(self.numbers)
        name = common.get('name') or label or f'{via.prefix() if via else ""}{short}.{number}'
        options = plain(options)
        plan = module.plan(options)
        if via is None and hasattr(module, 'begin'):
            raise ValueError(
                f'{short} is for contexts: this program has threads and locks that a copy of it could '
                f'not use safely; start one by local(), load there what is needed, and call its {short}()')
        given = {key: hidden(value) for key, value in answers.items() if value is not None}
        name = self.names_used.take(name)
        context = Node(
            cast('Owner', self), number, name, via, common.get('output_window', flow.WINDOW))
        Context(context)
        context.answers = given
        context.common = common
        context.connect_request = request._replace(answers={}, watch=None)
        context.started_by = functools.partial(started_by, module, options, via)
        context.threads = common.get('threads', 1)
        context.to_undo = plan[2] is ENGLISH
        nearby = getattr(module, 'NEARBY', False)
        context.heartbeat = float(common.get('heartbeat', 0 if nearby else HEARTBEAT))
        if nearby and (via is None or via.start_key) and not hasattr(module, 'begin'):
            self.same_python.expect(context, module.__name__, options.get('python'))
        context.advance(DEFER if via is None and options.get('one_trip') else LAUNCH)
        self.contexts[context.id] = self.unreaped[context.id] = context
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
            birth.watch, birth.planned = watch, plan
            birth.who, birth.heartbeat = number, context.heartbeat
            self.births[context.id] = birth
            if options.get('one_trip'):
                self.send_bootstrap(context)
                context.deferred = birth
                return context
            if nearby or not self.begin_apart(context, birth):
                birth.begin()
            # While the program starts.
            self.send_bootstrap(context)
            if context.same_python:
                self.get_ready(manifest.AFTER_HELLO)
        else:
            self.send_through(via, context, module.__name__, options, given)
            self.send_bootstrap(context)
        self.set_timer(context)
        return context

    def begin_apart(self, context: Node, birth: children.Birth) -> bool:
        """
        Start the program of `context` in a thread of its own; return whether one is to be had.

        Until the program runs the system holds up the thread that starts it: for 56 ms on busy processors.
        """
        def begin() -> None:
            try:
                birth.begin()
            except BaseException as error:
                self.stop(context, context.failed('ended', f'{type(error).__name__}: {labels.message(error)}'))
                raise

        try:
            _thread.start_new_thread(begin, ())
        except RuntimeError:
            return False
        return True

    def set_timer(self, context: Node) -> None:
        """From now on `context` has so long to become ready, and may be idle for so long."""
        context.timer = self.loop.call_at(
            time.monotonic() + context.common.get('connect_timeout', PATIENCE), lambda: self.expire(context))
        if context.ready or context.error:
            context.timer.action = None
        if 'idle_timeout' in context.common:
            self.end_when_idle(context, context.common['idle_timeout'])

    def end_when_idle(self, context: Node, seconds: float) -> None:
        """
        End `context` once nobody has used it for so many seconds.

        A call that comes at that moment is carried out whole, or not sent: the context first gets its error, whose
        sight keeps calls from being sent, and then ends behind those that are on their way.
        """
        idle = IdleTime(seconds, time.monotonic())

        def look() -> None:
            # By the thread that leads, which routes no answer meanwhile.
            if context.error is not None and not context.retired:
                return
            used, context.used = context.used, False
            if not context.retired and idle.look(time.monotonic(), used or context.is_busy()):
                context.retired = True
                context.advance(END, context.lost(
                    f'it was idle for {seconds:g} s, its idle_timeout=, and has ended: start it again'))
            if context.retired and not context.has_calls():
                context.retired = False
                self.loop.call_soon(lambda: self.stop(context, context.reason))
            else:
                self.loop.call_at(time.monotonic() + (SOONEST if context.retired else idle.step), look)

        self.loop.call_at(time.monotonic() + idle.step, look)

    def send_through(
        self, via: Node, context: Node, connector: str,
        options: dict[str, Any], answers: dict[str, Any],
    ) -> None:
        """Have `via` start `context`, and every context before it know the way."""
        via.children[context.id] = context
        self.router.links[context.id] = self.router.links.get(via.id)
        for hop in via.route()[:-1]:
            self.router.send(ROUTE, hop.id, context.id, b'%d' % via.id)
        via.launch_deferred()
        via.push(*manifest.FOR_CHILDREN, connector)
        plain = {key: revealed(value) for key, value in answers.items() if not callable(value)}
        asked = [key for key, value in answers.items() if callable(value)]
        self.router.send(
            START, via.id, context.id, values.plainest(
                (connector, options, plain, asked, context.heartbeat))
        )

    def hand(self, context: Node, names: tuple[str, ...]) -> None:
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

    def send_bootstrap(self, context: Node) -> None:
        """Send what follows the preamble, and the cast that makes use of it."""
        context.sent.update(PUSHED + manifest.AFTER_HELLO + manifest.PREAMBLE)
        self.hand(context, PUSHED)
        common = context.common
        if context.threads > 1:
            context.push(*manifest.FOR_THREADS)
        argv0 = common.get('argv0')
        title = (self.title if argv0 is None else argv0).encode('utf-8', 'surrogateescape')
        argv = [word.encode('utf-8', 'surrogateescape').decode('utf-8', 'replace')
                for word in sys.argv]
        # As `core.life` has them: without their names, which would take a part of the first write.
        settings = (
            argv, int(context.level), title, context.via.id if context.via else 0, context.heartbeat,
            float(common.get('gil_limit', GIL_LIMIT)), context.threads, context.lines.allowance.window)
        context.counters.account.cast()
        self.router.send(CALL, context.id, 0, values.plainest(
            ('econtext.child.life', 'settle', settings, {})))
        if context.to_undo:
            context.push(*manifest.FOR_ENGLISH)
            self.router.send(CALL, context.id, 0, values.encode_call('econtext.child.undone', 'undo', (), {}))

    def height(self, who: int) -> int:
        """Return how many levels of contexts there are below context `who`."""
        context = self.unreaped.get(who)
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
                self.loop.call_at(now + interval, look)
            else:
                # A birth, as that of every link that is watched.
                link.owner.silent(link, interval)  # type: ignore[attr-defined]

        self.loop.call_at(time.monotonic() + interval, look)

    def disown(self) -> None:
        """This process was forked, and the contexts are those of the other one."""
        self.closed = self.disowned = True
        for context in self.contexts.values():
            context.disown(context.lost(DISOWNED))
            context.lines.disown()
        for channel in self.channels.open_channels.values():
            channel._end.reason = channel._opener
            channel._end.ours = channel._end.theirs = False
        births, links = list(self.births.values()), list(self.router.links.values())
        attached = self.attach_server.disown() if self.attach_server is not None else []
        self.loop.disown([link.out for link in links if link] + attached, DISOWNED)
        for birth in births:
            if birth.process:
                birth.process.close()
        self.contexts.clear()
        self.unreaped.clear()
        self.births.clear()
        self.router.links.clear()

    # Death.

    def report(self, context: Node, event: str, *details: Any) -> None:
        """Take what is told of the birth of `context`. Any thread."""
        if event == 'said':
            data = details[1]
            context.lines.heard(data, context.said)
        elif event == 'ask':
            key, question = details
            # Among what the context says, so that who waits for the context is asked, and behind what was said before.
            # What ssh says of the key of a host are lines.
            text = (harmless_lines if key == 'host_key' else harmless)(question)
            context.lines.put(lambda: self.answer(context, key, text))
        elif event == 'failed':
            if context.error is None:
                self.unreported.append(context)
            self.mark_lost(context, context.failed(*(str(detail) for detail in details)))
            self.remove_route(context)
        elif event == 'lost':
            reason, status, cut = details
            context.exit_status = status if type(status) is int else None
            if reason or context.ready or context.error:
                self.mark_lost(context, loss.of_link(context, reason, status))
            else:
                # Between its mark and its HELLO.
                self.unreported.append(context)
                self.mark_lost(context, context.failed('died', ''))
            self.remove_route(context, cut)
        elif event == 'silent':
            self.mark_lost(context, loss.of_silence(context, details[0]))
            self.remove_route(context, cut=True)
        elif event == 'buried':
            if context.error is None:
                # Nobody said how it ended: whoever waits for it is to hear that it has.
                self.mark_lost(context, context.lost('its program has ended'))
            if context.exit_status is None and type(details[0]) is int:
                context.exit_status = details[0]
            self.remove_route(context)
            self.on_exited(context)

    @signals.interruptible
    def answer(self, context: Node, key: str, question: str) -> None:
        """Ask the program for a password that is wanted now."""
        secret = context.answers.get(key)
        later = getattr(secret, 'later', None)
        if later is not None:
            # A function of an attached program, for which no thread of ours waits.
            later(question, functools.partial(self.answered, context, key))
            return
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
        self.answered(context, key, text)

    def answered(self, context: Node, key: str, text: str | None, failed: str = '') -> None:
        """Hand on the answer to a question for a password; end `context` if there is none because that `failed`."""
        if failed:
            self.stop(context, context.failed(
                'password-required', f'the function that is to answer raised {shown(failed)}'))
            return
        if context.via is None:
            birth = self.births.get(context.id)
            if birth:
                birth.answer(key, text)
        else:
            self.router.send(TYPED, context.via.id, context.id, values.plainest((key, text)))

    def expire(self, context: Node) -> None:
        """The time to connect is over."""
        if not (context.ready or context.error):
            self.loop.call_soon(lambda: self.find_out(context))

    def find_out(self, context: Node) -> None:
        """Have whoever started `context` report why it is not ready, and end it."""
        if context.ready or context.error:
            return
        birth = self.births.get(context.id)
        if birth is not None:
            birth.expire()
            return

        def give_up() -> None:
            if not (context.ready or context.error):
                self.unreported.append(context)
                self.stop(context, context.failed('timeout', ''))

        if context.via is None or not context.via.ready:
            give_up()
        else:
            self.router.send(STOP, context.via.id, context.id, LATE)
            self.loop.call_at(time.monotonic() + children.LAST_WORDS + ANSWER, give_up)

    def refuse(self, context: Node, kind: str, detail: str) -> None:
        """End a context that is nothing for us."""
        self.unreported.append(context)
        self.loop.call_soon(lambda: self.stop(context, context.failed(kind, detail)))

    def corrupt(self, context: Node, reason: str) -> None:
        """End a context that sent what makes no sense."""
        self.stop(context, context.corrupted(reason))

    def mark_lost(
        self, context: Node, error: Callable[[], EcontextError], first: Node | None = None
    ) -> None:
        """
        `context` and all below it answer no more: wake whoever waits for them.

        `first` is the one that began it, if that is one above.
        """
        context.advance(END, error)
        for handle, asked in list(self.router.asked.items()):
            if asked[0] == context.id:
                self.router.answer(context.id, handle, DEAD, b'')
        self.channels.drop(context)
        context.backlog.end()
        context.wake()
        for child in list(context.children.values()):
            self.mark_lost(child, child.orphaned(first or context), first or context)

    def remove_route(self, context: Node, cut: bool = False) -> None:
        """Forget `context`: nothing more will come from it; `cut`, if that may be in the middle of something."""
        context.lines.end(context.ready and (cut or context.id in self.router.parts.begun))
        for child in list(self.unreaped.values()):
            if child.via is context:
                self.remove_route(child, cut)
                self.on_exited(child)
        if context.via is not None:
            context.via.children.pop(context.id, None)
            for hop in context.via.route()[:-1]:
                self.router.send(ROUTE, hop.id, context.id, b'')
        link = self.router.links.pop(context.id, None)
        self.contexts.pop(context.id, None)
        self.router.parts.forget(link, context.id)

    def stop(self, context: Node, error: Callable[[], EcontextError]) -> None:
        """Begin to end `context`."""
        self.mark_lost(context, error)
        if context.via is None:
            birth = self.births.get(context.id)
            if birth:
                birth.stop()
            context.launch_deferred()
        elif context.via.error is None:
            self.router.send(STOP, context.via.id, context.id, b'')
        else:
            self.on_exited(context)

    def on_exited(self, context: Node) -> None:
        """The program of `context` is gone: wake whoever waits for that. Any thread."""
        if context.error is None:
            # It was started by one that was given up meanwhile.
            self.mark_lost(context, context.lost('its program has ended'))
        context.advance(GONE)
        if self.unreaped.pop(context.id, None):
            self.names_used.give_back(context.name)
            loggers.give_back(context.lines.logger)
        context.wake()
        self.births.pop(context.id, None)

    def wait_exited(self, context: Node, deadline: float) -> None:
        """Wait until the program of `context` is gone. Any number of threads."""
        try:
            while context.id in self.unreaped:
                wait = Wait(self.loop, deadline)
                wait.own = (context.lines,)
                context.waits.append(wait)
                if context.id not in self.unreaped:
                    break
                self.loop.wait(wait)
        except Expired:
            self.loop.call_in_order(lambda: say(
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

    def end(self, context: Node, error: Callable[[], EcontextError] | None = None) -> None:
        """End `context` and wait until it has."""
        self.recover()
        if context.id in self.contexts:
            self.stop(context, error or context.lost('it was closed'))
            context.reported = True
        self.wait_exited(context, time.monotonic() + CLOSING)
