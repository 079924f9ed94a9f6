"""
An attached program, as its broker sees it.

The program stands above the contexts: a CALL goes on to the context under a number of ours, and the answer back
under the program's. What a program sends is taken in order, by one thread that does not lead.

Invariants:

* What a program sends is decoded as hostile. What makes no sense ends the program's link, and nothing else.
* A program has no more than OWED bytes of calls unanswered, leaves no more than that unread, and has a bounded number
  of contexts, channels and functions that run here: beyond, the program is let go, or refused.
* Of this program, the attached one runs functions that were allowed, and no others.
* When a program is gone, its calls are given up: what has not begun is withdrawn, then what runs is interrupted. Its
  channels end, and it uses no context any more.

``accepts``, ``route`` and ``lost`` are entered by the thread that leads, the rest by chores.
"""

from __future__ import annotations

import collections
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, cast

from econtext.child import failure
from econtext.child.channels import OVER
from econtext.child.kinds import INTERRUPT
from econtext.child.labels import seen
from econtext.controller.attach import messages
from econtext.controller.attach.passed import PassedCall, PassedChannel
from econtext.controller.attach.sharing import Sharing
from econtext.controller.attach.sockets import VERSION
from econtext.controller.connect.options import NARROWEST, WIDEST, ConnectRequest
from econtext.controller.errors import EcontextError, NotAllowed
from econtext.controller.modules import manifest
from econtext.controller.runtime.loop import Wait
from econtext.controller.session.cancellation import send_interrupt
from econtext.core.codec import encode
from econtext.core.loop import Link
from econtext.core.wire import CALL, CLOSE, CREDIT, DATA, DEAD, ERROR, HELLO, MODULE, REPORT, RESULT, WANT, BadFrame
from econtext.parent.values import decode

if TYPE_CHECKING:
    import socket

    from econtext.controller.node import Node, Owner

    class Server(Protocol):
        """What let the program in."""

        @property
        def sharing(self) -> Sharing: ...
        def directory(self) -> list[Any]: ...
        def conflicts(self, context: Node, name: str, unit: Any) -> bool: ...
        def number(self) -> int: ...
        def log(self, text: str) -> None: ...
        def gone(self, program: AttachedProgram) -> bool: ...


LARGEST = 1 << 30
OWED = 1 << 30          # bytes of calls that are unanswered, and of what the program has not read
EACH = 1 << 10          # bytes that a call counts for at least
MOST_CHANNELS = 1 << 16     # that are open at a time
MOST_CONTEXTS = 1 << 10     # that were started for a program, and live
MOST_FUNCTIONS = 16     # of ours, that run for a program at a time
HANDLES = 16            # handles of channels that a program gets at a time
KINDS = CALL, MODULE, INTERRUPT, RESULT, DATA, CLOSE, CREDIT


class AttachedProgram:
    """An attached program: the router and the owner of its link."""

    broker: Owner
    server: Server
    owed: int
    functions: int

    def __init__(self, broker: Owner, server: Server) -> None:
        self.broker, self.server = broker, server
        self.sharing: Sharing = server.sharing
        self.calls: dict[int, PassedCall] = {}
        # Held while the two change.
        self.counting: threading.Lock = threading.Lock()
        self.owed = self.functions = 0
        #: The contexts that it has called, which may ask for its modules.
        self.contexts: set[int] = set()
        #: The contexts that it knows of, and is told of.
        self.told: set[int] = set()
        self.handles: set[int] = set()      # that are its own, and of no channel yet
        self.channels: dict[int, PassedChannel] = {}
        # What it was asked for, by our numbers: what takes the answer, nothing if the program is gone.
        self.wanted: dict[int, Callable[[bytes | None], None]] = {}
        self.inbox: collections.deque[tuple[int, int, int, bytes]] = collections.deque()
        self.working: threading.Lock = threading.Lock()
        self.left: bool = False
        self.link: Link = Link(broker.loop, self, self)

    def greet(self, connection: socket.socket) -> None:
        """Open the link, and say HELLO: from then on the program may do anything, leaving included."""
        out = os.dup(connection.fileno())
        self.link.open(connection.detach(), out)
        self.link.send(HELLO, 0, 0, 0, encode((VERSION, os.getpid(), self.reserve())))

    def reserve(self) -> list[int]:
        found = self.broker.channels.reserve(HANDLES)
        self.handles.update(found)
        return found

    def accepts(self, link: Any, kind: int, dst: int, src: int, handle: int, size: int) -> bool:
        return kind in KINDS and size <= LARGEST

    def route(self, link: Any, kind: int, dst: int, src: int, handle: int, body: bytes) -> None:
        self.inbox.append((kind, dst, handle, bytes(body)))
        self.broker.loop.call_soon(self.work)

    def work(self) -> None:
        """Take what has come, in order."""
        with self.working:
            while self.inbox:
                kind, dst, handle, body = self.inbox.popleft()
                try:
                    self.check_unread()
                    self.take(kind, dst, handle, body)
                except BadFrame as error:
                    self.inbox.clear()
                    self.server.log(f'an attached program sent what makes no sense ({error}), and was let go')
                    self.leave()
                except Exception as error:
                    found = self.broker.loop.fail('a frame of an attached program could not be taken in', error)
                    if kind in (CALL, MODULE) and handle not in self.calls:
                        self.link.send(DEAD, 0, dst, handle, messages.reason(found))

    def check_unread(self) -> None:
        if sum(len(part) for part in list(self.link.queue)) > OWED:
            raise BadFrame(f'more than {OWED >> 20} MiB unread')

    def take(self, kind: int, dst: int, handle: int, body: bytes) -> None:
        context = self.broker.contexts.get(dst)
        if kind == RESULT:
            self.supplied(handle, body)
        elif not dst:
            if kind == CALL:
                self.take_request(handle, body)
        elif kind in (DATA, CLOSE, CREDIT):
            self.pass_value(kind, dst, handle, body)
        elif context is None or context.error is not None:
            if kind != INTERRUPT:
                reason = context.reason() if context else EcontextError('there is no such context any more')
                self.link.send(DEAD, 0, dst, handle, messages.reason(reason))
        elif kind == CALL:
            self.call(context, handle, body)
        elif kind == MODULE:
            self.bring(context, handle, body)
        elif handle in self.calls:
            self.give_up(self.calls[handle], body)

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
        over = channel.take(kind, body)
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
        for name, unit in units:
            if self.server.conflicts(context, name, unit):
                self.link.send(ERROR, 0, context.id, handle, messages.refusal(EcontextError(
                    f'{context.name} has another module {name} than this program: give the module another name, or '
                    'start a context of its own, by name=')))
                return
        context.keep(units)
        self.link.send(RESULT, 0, context.id, handle, encode(None))

    def ask(self, what: tuple[Any, ...], take: Callable[[bytes | None], None], number: int = 0) -> None:
        """Ask the program for something; `take` gets the answer, None if the program is gone."""
        wanted = self.server.number()
        self.wanted[wanted] = take
        self.link.send(WANT, 0, number, wanted, encode(what))
        if self.left:
            # It may have gone before the number was noted.
            left = self.wanted.pop(wanted, None)
            if left is not None:
                left(None)

    def supplied(self, number: int, body: bytes) -> None:
        take = self.wanted.pop(number, None)
        if take is None:
            raise BadFrame('an answer to what it was not asked')
        take(body)

    # What it asks of the broker.

    def take_request(self, handle: int, body: bytes) -> None:
        if not body:
            found = self.server.directory()
            self.told.update(each[0] for each in found)
            self.link.send(RESULT, 0, 0, handle, encode(found))
            return
        word, values = messages.request(body)
        if word == messages.CHANNEL:
            self.open_channel(values)
        elif word == messages.HANDLES:
            self.link.send(RESULT, 0, 0, handle, encode(self.reserve()))
        elif word == messages.CONNECT:
            self.connect(handle, messages.connect(values))
        elif word == messages.RUN:
            self.run(handle, values)
        elif word in (messages.USE, messages.RELEASE):
            (number,) = messages.numbers(values, 1)
            context, left = self.broker.contexts.get(number), 0
            if context is not None and word == messages.USE:
                self.sharing.use(self, context)
            elif context is not None:
                left = self.sharing.release(self, context)
            self.link.send(RESULT, 0, 0, handle, encode(left))
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
            self.link.send(ERROR, 0, 0, handle, messages.refusal(
                error if known else EcontextError(f'{seen(found.connector)} takes no such options')))
            return
        self.told.add(context.id)
        before = messages.told(context)
        self.link.send(RESULT, 0, 0, handle, encode(before))
        if context.error is not None or messages.told(context) != before:
            # While it was told.
            self.tell(context)

    def start(self, found: messages.Connect) -> Node:
        via = self.broker.contexts.get(found.via) if found.via else None
        if found.via and via is None:
            raise EcontextError('the context to start it from is gone')
        if via is not None and via.error is not None:
            raise via.reason()
        if not found.connector.isidentifier():
            raise ValueError('a connector is told by its name here')
        if sum(each.context.error is None for each in list(self.sharing.shared.values())
               if each.use_of(self)) >= MOST_CONTEXTS:
            raise EcontextError(f'more than {MOST_CONTEXTS:,} contexts for one attached program: close some')
        idle = messages.idle_timeout(found.common)
        answers: dict[str, Any] = {**found.secrets, **{key: self.asking(found.token, key) for key in found.asked}}
        request = ConnectRequest(
            found.connector, found.options, answers, messages.common_of(found), found.name)
        return self.sharing.take(self, via, request, idle)

    def asking(self, token: int, key: str) -> Callable[[str], str | None]:
        """Return a function that has the program answer what a connector is asked."""
        def answer(question: str) -> str | None:
            found: list[bytes | None] = []
            wait = Wait(self.broker.loop, None)

            def take(body: bytes | None) -> None:
                found.append(body)
                self.broker.loop.finish(wait)

            self.ask((messages.ANSWER, token, key, question), take)
            self.broker.loop.wait(wait)
            told = decode(found[0]) if found[0] is not None else None
            if type(told) is not tuple or len(told) != 2 or not (told[1] is None or type(told[1]) is str):
                raise EcontextError('the program that was to answer is gone')
            if not told[0]:
                raise EcontextError(told[1] or '')
            text: str | None = told[1]
            return text

        return answer

    def tell(self, context: Node) -> None:
        """Tell the program what became of `context`."""
        if context.id not in self.told:
            return
        if context.error is not None:
            gone = messages.GONE if self.is_gone(context) else messages.LOST
            context.reported = True
            self.link.send(REPORT, 0, 0, context.id, encode(
                (gone, messages.reason(context.error()), context.exit_status)))
            if gone == messages.GONE:
                self.told.discard(context.id)
        elif context.ready:
            self.link.send(REPORT, 0, 0, context.id, encode((messages.READY, messages.told(context), None)))

    def is_gone(self, context: Node) -> bool:
        return context.id not in self.broker.unreaped

    # Functions of this program.

    def run(self, handle: int, values: tuple[Any, ...]) -> None:
        """Run an allowed function, in a thread of its own."""
        if not (len(values) == 4 and type(values[0]) is str and type(values[1]) is str and type(values[2]) is tuple
                and type(values[3]) is dict and all(type(key) is str for key in values[3])):
            raise BadFrame('a call of a function of another form')
        if self.functions >= MOST_FUNCTIONS:
            self.link.send(ERROR, 0, 0, handle, encode(('refused', messages.refusal(EcontextError(
                f'more than {MOST_FUNCTIONS} calls of the program at a time: wait for some of them')))))
            return
        with self.counting:
            self.functions += 1
        try:
            threading.Thread(
                target=self.perform, args=(handle, *values), name='econtext attached', daemon=True).start()
        except RuntimeError:
            with self.counting:
                self.functions -= 1
            self.link.send(ERROR, 0, 0, handle, encode(('refused', messages.refusal(EcontextError(
                'the program has no thread for a call of it: have less run there at a time')))))

    def perform(self, handle: int, module: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Carry out one call and answer it, whatever fails on the way."""
        kind, answer = ERROR, b''
        try:
            # Its own file goes by another name in the table.
            home = self.broker.modules.main if module == '__main__' else module
            function = self.broker.allowed.get((home, name))
            if function is None:
                refused = NotAllowed(
                    f'{module}.{name}: the program allows no call of it: allow it there with the allow() of its broker')
                answer = encode(('refused', messages.refusal(refused)))
            else:
                kind, answer = RESULT, encode(function(*args, **kwargs))
        except BaseException as error:
            trace = error.__traceback__.tb_next if error.__traceback__ else None
            kind, answer = ERROR, encode(('raised', failure.describe(type(error), error, trace)))
        finally:
            with self.counting:
                self.functions -= 1
            self.link.send(kind, 0, 0, handle, answer)

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
        with self.working:
            self.inbox.clear()
            # The last first: what runs is interrupted once nothing is left behind it that would then begin.
            for call in reversed(list(self.calls.values())):
                if not call.over and not call.context.error:
                    self.give_up(call, b'')
            for channel in list(self.channels.values()):
                if channel.ours or channel.theirs:
                    self.broker.router.send(CLOSE, channel.peer, channel.handle, OVER)
                self.forget(channel)
            for number in list(self.wanted):
                take = self.wanted.pop(number, None)
                if take is not None:
                    take(None)
        self.sharing.leave(self)
