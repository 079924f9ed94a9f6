"""
An attached program, as its broker sees it.

The program stands above the contexts: a CALL goes on to the context under a number of ours, and the answer back
under the program's. What a program sends is taken in order, by one thread that does not lead.

Invariants:

* What a program sends is decoded as hostile. What makes no sense ends the program's link, and nothing else.
* A program has no more than OWED bytes of calls unanswered, leaves no more than that unread, and has a bounded number
  of contexts, channels and functions that run here: beyond, the program is let go, or refused.
* When a program is gone, its calls are given up: what has not begun is withdrawn, then what runs is interrupted. Its
  channels end, and it uses no context any more, whatever fails meanwhile.
* A program is told of a context in one order: that there is one, that it is ready, that it answers no more, that the
  calls it had are over, and that it is gone; each once.  A call that comes late is over when it comes.

``accepts``, ``route`` and ``lost`` are entered by the thread that leads, the rest by chores.
"""

from __future__ import annotations

import collections
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, cast

from econtext.child.channels import OVER
from econtext.child.kinds import INTERRUPT, WITHDRAW
from econtext.child.labels import seen
from econtext.controller.attach import messages
from econtext.controller.attach.functions import Functions
from econtext.controller.attach.passed import PassedCall, PassedChannel
from econtext.controller.attach.questions import Asking, Questions
from econtext.controller.attach.sharing import Sharing
from econtext.controller.attach.sockets import VERSION
from econtext.controller.connect.options import NARROWEST, WIDEST, ConnectRequest, idle_timeout
from econtext.controller.errors import EcontextError
from econtext.controller.modules import manifest
from econtext.controller.session.cancellation import send_interrupt
from econtext.core.codec import encode
from econtext.core.loop import Link
from econtext.core.wire import CALL, CLOSE, CREDIT, DATA, DEAD, ERROR, HELLO, MODULE, REPORT, RESULT, BadFrame

if TYPE_CHECKING:
    import socket

    from econtext.controller.node import Node, Owner

    class Server(Protocol):
        """What let the program in."""

        @property
        def sharing(self) -> Sharing: ...
        def directory(self) -> list[Node]: ...
        def conflict(self, context: Node, units: list[tuple[str, Any]]) -> str | None: ...
        def copied(self, context: Node, copy: Node) -> None: ...
        def number(self) -> int: ...
        def log(self, text: str) -> None: ...
        def gone(self, program: AttachedProgram) -> bool: ...


LARGEST = 1 << 30
OWED = 1 << 30          # bytes of calls that are unanswered, and of what the program has not read
EACH = 1 << 10          # bytes that a call counts for at least
MOST_CHANNELS = 1 << 16     # that are open at a time
MOST_CONTEXTS = 1 << 10     # that were started for a program, and live
MOST_SHARED = 1 << 12   # that were started for all programs, those included that stay for a while without users
LONGEST = 255           # characters of the name of a context
MOST_INTERRUPTS = 1 << 10   # of one call
HANDLES = 16            # handles of channels that a program gets at a time
KINDS = CALL, MODULE, INTERRUPT, RESULT, DATA, CLOSE, CREDIT
# What a program was told of a context last.
KNOWN, READY, LOST = range(3)


class AttachedProgram:
    """An attached program: the router and the owner of its link."""

    broker: Owner
    server: Server
    owed: int
    waiting: int
    unread: int
    modules: int

    def __init__(self, broker: Owner, server: Server) -> None:
        self.broker, self.server = broker, server
        self.sharing: Sharing = server.sharing
        self.calls: dict[int, PassedCall] = {}
        # Held while the two change.
        self.counting: threading.Lock = threading.Lock()
        self.owed = 0
        # Bytes of frames that were not taken yet; of what it may not have read yet, at most; of its modules.
        self.waiting = self.unread = self.modules = 0
        #: The contexts that it has called, which may ask for its modules.
        self.contexts: set[int] = set()
        #: The contexts that it knows of and is told of, with what it was told.
        self.told: dict[int, int] = {}
        # Held while it is told of a context.
        self.telling: threading.Lock = threading.Lock()
        self.handles: set[int] = set()      # that are its own, and of no channel yet
        self.channels: dict[int, PassedChannel] = {}
        self.questions: Questions = Questions(self)
        self.functions: Functions = Functions(self)
        self.inbox: collections.deque[tuple[int, int, int, bytes]] = collections.deque()
        self.working: threading.Lock = threading.Lock()
        self.left: bool = False
        self.link: Link = Link(broker.loop, self, self)

    def greet(self, connection: socket.socket) -> None:
        """Open the link, and say HELLO: from then on the program may do anything, leaving included."""
        out = os.dup(connection.fileno())
        self.link.open(connection.detach(), out)
        self.link.send(HELLO, 0, 0, 0, encode((VERSION, os.getpid(), self.reserve())))

    def send(self, kind: int, number: int, handle: int, body: bytes) -> None:
        """Send the program a frame; let the program go if it does not read. Any thread."""
        self.link.send(kind, 0, number, handle, body)
        if not self.link.queue:
            self.unread = 0
            return
        self.unread += len(body)
        if self.unread > OWED:
            self.unread = sum(len(part) for part in list(self.link.queue))
            if self.unread > OWED:
                self.broker.loop.call_soon(lambda: self.let_go(f'leaves more than {OWED >> 20} MiB unread'))

    def let_go(self, why: str) -> None:
        """End the link of a program that `why`."""
        if not self.left:
            self.server.log(f'an attached program {why}, and was let go')
            self.leave()

    def reserve(self) -> list[int]:
        if len(self.handles) >= MOST_CHANNELS:
            raise BadFrame(f'more than {MOST_CHANNELS:,} handles of channels')
        found = self.broker.channels.reserve(HANDLES)
        self.handles.update(found)
        return found

    def accepts(self, link: Any, kind: int, dst: int, src: int, handle: int, size: int) -> bool:
        return kind in KINDS and size <= LARGEST

    def route(self, link: Any, kind: int, dst: int, src: int, handle: int, body: bytes) -> None:
        with self.counting:
            self.waiting += len(body)
        if self.waiting > OWED + LARGEST:
            raise BadFrame('more than can be taken in')
        self.inbox.append((kind, dst, handle, bytes(body)))
        self.broker.loop.call_soon(self.work)

    def work(self) -> None:
        """Take what has come, in order."""
        with self.working:
            while self.inbox and not self.left:
                kind, dst, handle, body = self.inbox.popleft()
                with self.counting:
                    self.waiting -= len(body)
                try:
                    self.take(kind, dst, handle, body)
                except BadFrame as error:
                    self.inbox.clear()
                    self.let_go(f'sent what makes no sense ({error})')
                except Exception as error:
                    found = self.broker.loop.fail('a frame of an attached program could not be taken in', error)
                    call = self.calls.get(handle)
                    if kind in (CALL, MODULE) and (call is None or not call.ours):
                        self.calls.pop(handle, None)
                        self.send(DEAD, dst, handle, messages.reason(found))

    def take(self, kind: int, dst: int, handle: int, body: bytes) -> None:
        context = self.broker.contexts.get(dst)
        if kind == RESULT:
            self.questions.answered(handle, body)
        elif not dst:
            if kind == CALL:
                self.take_request(handle, body)
        elif kind in (DATA, CLOSE, CREDIT):
            self.pass_value(kind, dst, handle, body)
        elif context is None or context.error is not None:
            if kind != INTERRUPT:
                reason = context.reason() if context else EcontextError('there is no such context any more')
                if context is not None:
                    self.tell(context)
                self.send(DEAD, dst, handle, messages.reason(reason))
        elif kind == CALL:
            self.call(context, handle, body)
        elif kind == MODULE:
            self.bring(context, handle, body)
        else:
            call = self.calls.get(handle)
            if call is not None:
                self.give_up(call, body)

    # Calls.

    def call(self, context: Node, handle: int, body: bytes) -> None:
        size = max(len(body), EACH)
        if handle in self.calls:
            raise BadFrame('two calls under one number')
        with self.counting:
            self.owed += size
        if self.owed > OWED:
            raise BadFrame(f'more than {OWED >> 20} MiB of calls unanswered')
        self.contexts.add(context.id)
        self.sharing.use(self, context)
        passed = self.calls[handle] = PassedCall(self, context, handle, size)
        passed.ours = self.broker.router.ask(CALL, context.id, body, passed._set_answer)
        if passed.over:
            self.calls.pop(handle, None)
        context.launch_deferred()

    def ended(self, call: PassedCall) -> None:
        """A call is answered. Leading."""
        self.calls.pop(call.theirs, None)
        with self.counting:
            self.owed -= call.size
        self.sharing.used(self, call.context)

    def give_up(self, call: PassedCall, body: bytes) -> None:
        call.interrupts += 1
        if call.interrupts > MOST_INTERRUPTS or body not in (b'', WITHDRAW):
            raise BadFrame('a call that is given up in another form, or without end')
        self.interrupt(call, body)

    def interrupt(self, call: PassedCall, body: bytes) -> None:
        context = call.context
        if body:
            context.push(*manifest.FOR_INTERRUPTIONS)
            self.broker.router.send(INTERRUPT, context.id, call.ours, body)
        else:
            send_interrupt(context, call.ours)

    # Channels.

    def open_channel(self, values: tuple[Any, ...]) -> None:
        number, handle, window = messages.numbers(values, 3)
        if handle not in self.handles or not NARROWEST <= window <= WIDEST:
            raise BadFrame('a channel of another number or window')
        if len(self.channels) >= MOST_CHANNELS:
            raise BadFrame(f'more than {MOST_CHANNELS:,} channels')
        self.handles.discard(handle)
        context = self.broker.contexts.get(number)
        if context is not None and context.error is None:
            channel = self.channels[handle] = PassedChannel(self, context, handle, window)
            self.broker.channels.open_channels[handle] = cast('Any', channel)

    def pass_value(self, kind: int, dst: int, handle: int, body: bytes) -> None:
        channel = self.channels.get(handle)
        context = self.broker.contexts.get(dst)
        if channel is None or context is None or context.error is not None:
            # Late: it is over.
            return
        if not context.within(channel._opener.id):
            raise BadFrame('a value for the channel of another context')
        channel.peer = dst
        passes, over = channel.take(kind, body)
        if passes:
            self.broker.router.send(kind, dst, handle, body)
        if over or not (channel.ours or channel.theirs):
            self.forget(channel)

    def forget(self, channel: PassedChannel) -> None:
        self.channels.pop(channel.handle, None)
        self.broker.channels.open_channels.pop(channel.handle, None)
        self.sharing.used(self, channel._opener)

    def is_busy(self, context: Node) -> bool:
        """Has the program a call or a channel in `context`?"""
        for handle, channel in list(self.channels.items()):
            if not (channel.ours or channel.theirs):
                # Its context closed it last, or is gone.
                self.channels.pop(handle, None)
        return any(call.context is context for call in list(self.calls.values())) or any(
            channel._opener is context for channel in list(self.channels.values()))

    # Modules.

    def bring(self, context: Node, handle: int, body: bytes) -> None:
        """Hand on modules of the program, unless another one is known by such a name."""
        units = messages.brought(body)
        self.modules += len(body)
        if self.modules > OWED:
            raise BadFrame(f'more than {OWED >> 20} MiB of modules')
        other = self.server.conflict(context, units)
        if other is not None:
            self.send(ERROR, context.id, handle, messages.refusal(EcontextError(
                f'{context.name} has another module {other} than this program: give the module another name, or '
                'start a context of its own, by name=')))
            return
        context.keep(units, foreign=True)
        self.send(RESULT, context.id, handle, encode(None))

    # What it asks of the broker.

    def take_request(self, handle: int, body: bytes) -> None:
        if not body:
            self.introduce(handle, self.server.directory(), encode)
            return
        word, values = messages.request(body)
        if word == messages.CHANNEL:
            self.open_channel(values)
        elif word == messages.HANDLES:
            self.send(RESULT, 0, handle, encode(self.reserve()))
        elif word == messages.CONNECT:
            self.connect(handle, messages.connect(values))
        elif word == messages.RUN:
            self.functions.run(handle, values)
        elif word in (messages.USE, messages.RELEASE):
            (number,) = messages.numbers(values, 1)
            context, left = self.broker.contexts.get(number), 0
            if context is not None and word == messages.USE:
                self.sharing.use(self, context)
            elif context is not None:
                left = self.sharing.release(self, context)
                self.contexts.discard(number)
            self.send(RESULT, 0, handle, encode(left))
        else:
            raise BadFrame('a request of another kind')

    def connect(self, handle: int, found: messages.Connect) -> None:
        """Find or start the context that the program asks for."""
        try:
            context = self.start(found)
        except BadFrame:
            raise
        except Exception as error:
            # Whatever a connector raises for options of another form.
            known = isinstance(error, (EcontextError, TypeError, ValueError))
            self.send(ERROR, 0, handle, messages.refusal(
                error if known else EcontextError(f'{seen(found.connector)} takes no such options')))
            return
        self.introduce(handle, [context], lambda told: encode(told[0]))

    def introduce(self, handle: int, contexts: list[Node], body: Callable[[list[Any]], bytes]) -> None:
        """Tell the program of `contexts`, in answer to a request, and then what becomes of them."""
        with self.telling:
            told = [messages.told(context) for context in contexts]
            for context, each in zip(contexts, told, strict=True):
                self.told[context.id] = max(self.told.get(context.id, KNOWN), READY if each[3] else KNOWN)
            self.send(RESULT, 0, handle, body(told))
        for context in contexts:
            # What became of it meanwhile.
            self.tell(context)

    def start(self, found: messages.Connect) -> Node:
        via = self.broker.contexts.get(found.via) if found.via else None
        if found.via and via is None:
            raise EcontextError('the context to start it from is gone')
        if via is not None and via.error is not None:
            raise via.reason()
        if not found.connector.isidentifier():
            raise ValueError('a connector is told by its name here')
        if found.name is not None and not (found.name.isprintable() and len(found.name) <= LONGEST):
            raise ValueError('the name of a context must be printable text, and not longer than a name')
        shared = [each for each in list(self.sharing.shared.values()) if each.context.error is None]
        if sum(each.use_of(self) is not None for each in shared) >= MOST_CONTEXTS:
            raise EcontextError(f'more than {MOST_CONTEXTS:,} contexts for one attached program: close some')
        if len(shared) >= MOST_SHARED:
            raise EcontextError(
                f'more than {MOST_SHARED:,} contexts for attached programs: close some, or give less idle_timeout=')
        idle = idle_timeout(found.common)
        asked = {key: Asking(self.questions, found.token, key) for key in found.asked}
        answers: dict[str, Any] = {**found.secrets, **asked}
        request = ConnectRequest(
            found.connector, found.options, answers, messages.common_of(found), found.name)
        context = self.sharing.take(self, via, request, idle)
        if via is not None and found.connector == 'fork':
            self.server.copied(via, context)
        return context

    def tell(self, context: Node) -> None:
        """Tell the program what became of `context`, if it was not told. Any thread."""
        with self.telling:
            told = self.told.get(context.id)
            if told is None:
                return
            if context.error is None:
                if context.ready and told < READY:
                    self.told[context.id] = READY
                    self.report(context, messages.READY, messages.told(context))
                return
            context.reported = True
            reason = messages.reason(context.error())
            if told < LOST:
                self.told[context.id] = LOST
                self.report(context, messages.LOST, reason)
            if self.is_gone(context):
                del self.told[context.id]
                self.contexts.discard(context.id)
                self.report(context, messages.GONE, reason)

    def report(self, context: Node, event: str, detail: Any) -> None:
        self.send(REPORT, 0, context.id, encode((event, detail, context.exit_status)))

    def is_gone(self, context: Node) -> bool:
        return context.id not in self.broker.unreaped

    # The end.

    def leave(self) -> None:
        """Say good-bye."""
        with self.link.lock:
            self.link.close()
        self.link.hang_up()
        self.lost(self.link, '')

    def lost(self, link: Any, reason: str) -> None:
        """The program is gone."""
        if self.server.gone(self):
            self.left = True
            self.broker.loop.call_soon(self.withdraw)

    def withdraw(self) -> None:
        """End what the program has begun."""
        try:
            with self.working:
                self.inbox.clear()
                # The last first: what runs is interrupted once nothing is left behind it that would then begin.
                for call in reversed(list(self.calls.values())):
                    if not call.over and not call.context.error:
                        self.attempt(self.interrupt, call, b'')
                for channel in list(self.channels.values()):
                    if channel.ours or channel.theirs:
                        self.attempt(self.broker.router.send, CLOSE, channel.peer, channel.handle, OVER)
                    self.forget(channel)
                for number in list(self.questions.wanted):
                    self.attempt(self.questions.expire, number)
        finally:
            self.sharing.leave(self)

    def attempt(self, action: Callable[..., object], *details: Any) -> None:
        """Do one of the things that are all to be done."""
        try:
            action(*details)
        except Exception as error:
            self.broker.loop.fail('what an attached program had begun was ended', error)
