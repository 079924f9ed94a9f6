"""
What contexts say: a handler for each kind of frame, and the answers to requests for modules.

Invariants:

* A frame is judged by where it came in, and by what its context may say, see ``session.router``; what an honest
  context would not send ends it here.
* A handler runs in the thread that leads, and leaves the rest to the loop's events and chores.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from econtext.child.flow import COST, NEWLINE, weight
from econtext.child.kinds import BEAT, BEGUN
from econtext.child.labels import seen
from econtext.controller.modules import manifest
from econtext.controller.modules.repository import pack_units
from econtext.controller.protocol import messages, values
from econtext.controller.runtime.log import say
from econtext.controller.runtime.signals import by_signal
from econtext.controller.session import admission, syntax_check
from econtext.controller.text import harmless, indented
from econtext.core.wire import CALL, ERROR, HELLO, LOG, REPORT, RESULT, STDIO, WANT, BadFrame
from econtext.parent import handshake
from econtext.parent.judge import UNREAD

if TYPE_CHECKING:
    from econtext.controller.lifecycle import Lifecycle
    from econtext.controller.modules.repository import Modules
    from econtext.controller.node import Node
    from econtext.controller.runtime.loop import ControllerLoop
    from econtext.controller.session.router import ControllerRouter

log: logging.Logger = logging.getLogger('econtext')


class Frames:
    """The handlers of the frames that the contexts of `tree` send."""

    def __init__(self, tree: Lifecycle) -> None:
        self.tree = tree
        # At hand, because each frame wants some of these.
        self.contexts: dict[int, Node] = tree.contexts
        self.unreaped: dict[int, Node] = tree.unreaped
        self.router: ControllerRouter = tree.router
        self.loop: ControllerLoop = tree.loop
        self.modules: Modules = tree.modules
        self.handlers: dict[int, Callable[[int, int, bytes], None]] = {
            HELLO: self.on_hello,
            WANT: self.on_want,
            LOG: self.on_log,
            STDIO: self.on_stdio,
            REPORT: self.on_report,
            ERROR: self.on_error,
            BEGUN: self.on_begun,
            BEAT: self.on_beat,
        }

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
            self.tree.refuse(context, 'unsupported-python', said.version)
            return
        logger = context.lines.logger
        if logger.isEnabledFor(logging.DEBUG):
            # Not here: this thread leads.
            context.lines.put(lambda: say(
                logger, logging.DEBUG, '= ready: Python %s, process %d', context.version.split()[0], context.pid))
        if said.trouble:
            context.lines.put(lambda: say(
                logger, logging.INFO, 'it shows in ps under another name: %s', said.trouble))
        self.tree.same_python.learn(context)
        context.counters.account.cast(len(manifest.AFTER_HELLO))
        self.tree.hand(context, manifest.AFTER_HELLO)
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
            self.tree.report(context, event, *details)

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
            self.tree.unreported.append(context)
            self.loop.call_soon(lambda: self.tree.stop(context, context.failed('ended', trace)))

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

    def supply(self, context: Node, handle: int, name: str, here: str | bool) -> None:
        """Answer for a module or a file; in a context of attached programs these have the first word."""
        programs = self.tree.attach_server
        shared = programs is not None and programs.serves(context)
        if not (shared and self.ask_programs(context, handle, name, here, lambda: self.answer(
                context, handle, name, here, None))):
            self.answer(context, handle, name, here, None if shared else self.ask_programs)

    def answer(
        self, context: Node, handle: int, name: str, here: str | bool, ask: Callable[..., bool] | None
    ) -> None:
        """Answer from here; have `ask` ask others for a module that is not here."""
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
            if units[0][1] is None and not here and ask is not None and ask(
                    context, handle, name, here, lambda: context.deliver([(name, None)], handle)):
                return
            if fitting == units:
                if units[0][1]:
                    # In this order: whoever finds the name among those sent finds it here as well.
                    context.asked.add(name)
                    context.sent.add(name)
                context.deliver(fitting, handle)
                return
            body = pack_units(fitting)
        self.router.send(RESULT, context.id, handle, body)

    def ask_programs(
        self, context: Node, handle: int, name: str, here: str | bool, otherwise: Callable[[], None]
    ) -> bool:
        """Have attached programs answer, if one may and can; `otherwise` is done where none of them has it."""
        return bool(
            self.tree.attach_server and not self.modules.policy.objection(name)
            and self.tree.attach_server.supply(context, handle, name, here, otherwise))
