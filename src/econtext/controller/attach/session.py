"""
What calls to the contexts of another program need of a broker: a loop, a router, modules, channels.

The contexts themselves belong to the other program; what is printed and logged there is its affair.

Invariants:

* Only a broker of the same user is talked to: the kernel says who listens.
* When the link ends, everybody who waits is woken, with the reason.
* Of one context there is one view while it lives, which hears of the end of the context and of the link, whenever the
  view was made.
* Functions that answer questions of a connector run here, by a thread that does not lead.

Any thread may enter.
"""

from __future__ import annotations

import collections
import contextlib
import os
import socket
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, cast

from econtext.child import labels
from econtext.child.channels import WINDOW
from econtext.child.kinds import BEGUN
from econtext.controller.attach import messages
from econtext.controller.attach.sharing import ENDS, NOT_SHARED
from econtext.controller.attach.sockets import VERSION, is_same_user
from econtext.controller.connect.options import ConnectRequest, plain
from econtext.controller.context import Context
from econtext.controller.errors import ContextLost, EcontextError
from econtext.controller.modules.repository import Modules
from econtext.controller.modules.source import Unit
from econtext.controller.node import Node
from econtext.controller.protocol import values
from econtext.controller.protocol.places import Places
from econtext.controller.raised import call_error
from econtext.controller.runtime import signals
from econtext.controller.runtime.deadlines import Expired
from econtext.controller.runtime.loop import ControllerLoop, Wait
from econtext.controller.secret import revealed
from econtext.controller.session.channels import Channel, Channels
from econtext.controller.session.results import description
from econtext.controller.session.states import END, ENDED, FAILED, GONE, LAUNCH
from econtext.core.codec import encode
from econtext.core.loop import Link
from econtext.core.router import Router
from econtext.core.wire import CALL, DEAD, ERROR, HELLO, MODULE, REPORT, RESULT, UP, WANT, BadFrame
from econtext.parent.values import decode

if TYPE_CHECKING:
    from econtext.controller.node import Owner

SECONDS = 10.0  # that the other program has to answer what it can answer at once
OTHERS = 'belongs to the program whose broker it is'
DISOWNED = 'this process was forked off the one that is attached: attach here, too'
OVER_THERE = ENDED, FAILED


class AttachedSession(Places):
    """What calls to the contexts of another program need of a broker."""

    closed: bool
    disowned: bool

    deferred = attach_server = None
    # Calls from here are never made by a function that a context has called.
    running: tuple[()] = ()

    def __init__(self, path: str) -> None:
        self.path = path
        self.modules: Modules = Modules()
        self.modules.main = main_name(self.modules)
        self.names: dict[Any, tuple[str, str]] = {}
        self.contexts: dict[int, AttachedNode] = {}
        # What was said of contexts of which there is no view yet.
        self.early: dict[int, tuple[Any, ...]] = {}
        #: The answers to what connectors ask, by our numbers.
        self.answers: dict[int, Mapping[str, Any]] = {}
        # Held while a context is looked up, made, or moved on; was the link lost?
        self.viewing: threading.RLock = threading.RLock()
        self.gone: bool = False
        self.closed = self.disowned = False
        self.callbacks = self
        self.greeting: tuple[Any, ...] = ()
        self.loop: ControllerLoop = ControllerLoop()
        self.router: Inlet = Inlet(self)
        self.channels: AttachedChannels = AttachedChannels(self)
        self.link: Link = Link(self.loop, self.router, self)
        self.router.links[0] = self.link
        self.router.handle({
            HELLO: self.on_hello, WANT: self.on_want, BEGUN: self.on_begun, REPORT: self.on_report,
            **self.channels.handlers})
        self.greeted: Wait = Wait(self.loop, time.monotonic() + SECONDS)
        signals.defer(self)
        SESSIONS.add(self)
        try:
            connection = connect(path)
            fd = connection.detach()
            self.link.open(fd, os.dup(fd))
            self.wait(self.greeted)
            if not self.agrees():
                raise EcontextError(f'{path}: it speaks another version, or let nobody in: see its log')
        except BaseException:
            self.close()
            raise

    def agrees(self) -> bool:
        return len(self.greeting) == 3 and self.greeting[0] == VERSION

    # Contexts.

    def nodes(self) -> list[Node]:
        """Return the nodes of the contexts that there are now."""
        found = [self.view(*told) for told in decode(self.request(CALL, 0, b''))]
        for node in found:
            above = self.contexts.get(node.above)
            if above is not None and node.via is None:
                node.via = above
                above.children[node.id] = node
        return list(found)

    def view(
        self, number: int, name: str, via: int, ready: bool, version: Any, executable: str, pid: int
    ) -> AttachedNode:
        with self.viewing:
            context = self.contexts.get(number)
            if context is None or context.error is not None:
                above = self.contexts.get(via)
                context = self.contexts[number] = AttachedNode(cast('Owner', self), number, name, above)
                context.above = via
                Context(context)
                context.advance(LAUNCH)
                self.router.links[number] = self.link
            if ready:
                learn(context, version, executable, pid)
            if self.gone:
                self.end_views()
            report = self.early.pop(number, None)
            if report is not None:
                self.take_report(context, *report)
        return context

    def start_context(self, via: Node | None, request: ConnectRequest) -> Node:
        """Get the context that is wished for from the other program, which has it or starts it."""
        if not isinstance(request.connector, str):
            raise TypeError('an attached program starts contexts by connectors that have a name: give that of an entry '
                            'point, which the other program has too')
        answers = {key: value for key, value in request.answers.items() if value is not None}
        token = self.token()
        asked = [key for key, value in answers.items() if callable(value)]
        secrets = {key: revealed(value) for key, value in answers.items() if not callable(value)}
        wish = messages.Connect(
            via.id if via else 0, request.connector, plain(request.options), secrets, asked, token,
            plain(dict(request.common)), request.name)
        if asked:
            self.answers[token] = {key: answers[key] for key in asked}
        try:
            node = self.view(*decode(self.request(CALL, 0, encode((messages.CONNECT, *wish)))))
        except BaseException:
            self.answers.pop(token, None)
            raise
        if asked:
            node.tokens.append(token)
            if node.is_over():
                self.answers.pop(token, None)
        return node

    def use(self, node: Node) -> None:
        """Have a shared context stay until this program leaves it."""
        self.link.send(CALL, 0, 0, self.token(), encode((messages.USE, node.id)))

    def token(self) -> int:
        return int(self.router.count()) & 0xFFFFFFFF

    def leave(self, node: AttachedNode) -> None:
        """Use `node` no more; wait for its end where nobody else uses it."""
        if node.error is not None or self.gone or self.disowned:
            return
        try:
            left = decode(self.request(CALL, 0, encode((messages.RELEASE, node.id))))
        except EcontextError:
            return
        if left != NOT_SHARED:
            node.shut = True
            wait = Wait(self.loop, time.monotonic() + SECONDS)
            node.departures.append(wait)
            self.end_view(node, node.lost('it was closed'))
            if left == ENDS and not node.is_over():
                with contextlib.suppress(Expired):
                    self.loop.wait(wait)

    def end_view(self, node: AttachedNode, error: Callable[[], EcontextError]) -> None:
        """`node` answers no more: wake whoever waits for it. Any thread."""
        node.advance(END, error)
        for handle, asked in list(self.router.asked.items()):
            if asked[0] == node.id:
                self.router.answer(node.id, handle, DEAD, b'')
        self.channels.drop(node)
        node.backlog.end()
        node.wake()

    def end_views(self) -> None:
        """The other program is gone, and what it told of its contexts is no more. Whoever has the lock."""
        self.router.links.clear()
        for context in list(self.contexts.values()):
            self.end_view(context, context.lost('the program that has it is gone'))
            context.depart()

    # What the other program says.

    def on_hello(self, src: int, handle: int, body: bytes) -> None:
        self.greeting = decode(body)
        if self.agrees():
            self.channels.free.extend(self.greeting[2])
        self.loop.finish(self.greeted)

    def on_begun(self, src: int, handle: int, body: bytes) -> None:
        asked = self.router.asked.get(handle)
        waits: Any = getattr(asked[1], '__self__', None) if asked else None
        if getattr(waits, '_hears_begun', False):
            waits._set_answer(BEGUN, body)

    def on_report(self, src: int, handle: int, body: bytes) -> None:
        """A context is ready, lost or gone."""
        report = decode(body)
        if type(report) is not tuple or len(report) != 3:
            raise BadFrame('a report of another form')
        with self.viewing:
            context = self.contexts.get(handle)
            if context is None or (context.error is not None and context.is_over()):
                self.early[handle] = report
            else:
                self.take_report(context, *report)

    def take_report(self, context: AttachedNode, event: str, detail: Any, status: Any) -> None:
        if event == messages.READY:
            told = messages.Told(*detail)
            learn(context, told.version, told.executable, told.pid)
            return
        if type(status) is int:
            context.exit_status = status
        error = messages.reason_of(detail) or ContextLost(f'{context.name}: it has ended')
        self.end_view(context, lambda: error)
        if event == messages.GONE:
            context.depart()

    def on_want(self, src: int, handle: int, body: bytes) -> None:
        what, *details = decode(body)

        def answer() -> None:
            found = None
            try:
                found = self.supply(src, what, details)
            finally:
                self.link.send(RESULT, src, 0, handle, encode(found))

        if what == messages.ANSWER:
            # The program's own code.
            self.loop.call_in_order(answer)
        else:
            self.loop.call_soon(answer)

    def supply(self, number: int, what: str, details: list[Any]) -> Any:
        """Return a module, a file or an answer to a question; None if there is none."""
        if what == messages.ANSWER:
            token, key, question = details
            return answer_to(self.answers.get(token, {}).get(key), question)
        name, here = str(details[0]), details[1]
        context = self.contexts.get(number)
        if what == messages.DATA:
            return self.modules.resources.answer(name, here, context.sent if context else ())
        unit = self.modules.answer(name, here)[0][1]
        if unit is None or isinstance(unit[2], tuple):
            return None
        if context is not None:
            context.sent.add(name)
        return unit

    def lost(self, link: Any, reason: str) -> None:
        """The other program is gone."""
        with self.viewing:
            self.gone = True
            self.end_views()
        self.loop.finish(self.greeted)
        for handle, asked in list(self.router.asked.items()):
            self.router.answer(asked[0], handle, DEAD, b'')

    # Requests.

    def request(self, kind: int, number: int, body: bytes) -> bytes:
        """Ask the broker for what it can answer at once."""
        wait = Wait(self.loop, time.monotonic() + SECONDS)
        self.router.ask(kind, number, body, wait.settle)
        self.wait(wait)
        if wait.kind == ERROR:
            raise messages.refused(wait.body or b'')
        if wait.kind != RESULT:
            raise ContextLost(f'{self.path}: the program that has the contexts is gone')
        return bytes(wait.body or b'')

    def wait(self, wait: Wait) -> None:
        try:
            self.loop.wait(wait)
        except Expired:
            raise EcontextError(f'{self.path}: the program that listens there does not answer') from None

    def run(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run `function` in the other program, which has allowed it."""
        module, name = place(function)
        wait = Wait(self.loop, None)
        self.router.ask(CALL, 0, encode((messages.RUN, module, name, args, kwargs)), wait.settle)
        self.loop.wait(wait)
        body = wait.body or b''
        if wait.kind == RESULT:
            return decode(body, self)
        if wait.kind != ERROR:
            raise ContextLost(f'{self.path}: the program that has the contexts is gone')
        word, told = decode(body)
        if word == 'refused':
            raise messages.refused(told)
        raise call_error(self.path, description(decode(told)))

    # What a broker has.

    @property
    def unreaped(self) -> dict[int, AttachedNode]:
        return self.contexts

    @property
    def last_number(self) -> int:
        return 0

    @property
    def allowed(self) -> Mapping[tuple[str, str], Callable[..., Any]]:
        return {}

    def make(self, what: str, *args: Any) -> NoReturn:
        raise ValueError('a channel or context that is for the other program alone')

    def enter(self, context: Any, wait: Any) -> None:
        """No function of this program runs because a context asked for it."""

    def check(self, context: Any) -> None:
        """No function of this program runs because a context asked for it."""

    def set_timer(self, context: Node) -> None:
        """How long a start may take is the other program's to say."""

    def stop(self, context: Any, error: Callable[[], EcontextError]) -> None:
        """A call was given up in vain: here nobody waits for it any more."""
        self.end_view(context, error)

    def corrupt(self, context: Any, reason: str) -> None:
        self.stop(context, context.corrupted(reason))

    def end(self, context: Any, error: Any = None) -> None:
        self.leave(context)

    def close(self) -> None:
        """Leave; shared contexts end with their last user, and calls are given up."""
        if self.closed:
            return
        self.closed = True
        SESSIONS.discard(self)
        with self.link.lock:
            self.link.close()
        self.link.hang_up()
        self.lost(self.link, 'it was left')
        try:
            self.loop.close()
        finally:
            signals.restore(self)

    def disown(self) -> None:
        """This process was forked, and the attachment is that of the other one."""
        self.closed = self.disowned = True
        self.viewing = threading.RLock()
        self.loop.disown([self.link.out], DISOWNED)
        self.router.links.clear()
        for context in self.contexts.values():
            context.disown(context.lost(DISOWNED))
            context.lines.disown()


class AttachedChannels(Channels):
    """The channels of an attached program, under handles that the other program gives out."""

    def __init__(self, session: AttachedSession) -> None:
        super().__init__(cast('Any', session))
        self.session = session
        self.free: collections.deque[int] = collections.deque()

    def receive(self, kind: int, src: int, handle: int, body: bytes) -> None:
        if src in self.session.contexts:
            super().receive(kind, src, handle, body)

    def open(self, context: Any, window: int = WINDOW) -> Channel:
        handle = self.handle()
        channel = self.open_channels[handle] = Channel(self, context, handle, window)
        self.session.link.send(CALL, 0, 0, 0, encode((messages.CHANNEL, context.id, handle, window)))
        if context.error is not None:
            # Nobody will tell it so any more.
            self.drop(context)
        return channel

    def handle(self) -> int:
        while True:
            try:
                return self.free.popleft()
            except IndexError:
                self.free.extend(decode(self.session.request(CALL, 0, encode((messages.HANDLES,)))))


class Inlet(Router):
    """The router of an attachment: all contexts are reached by one link."""

    def __init__(self, session: AttachedSession) -> None:
        super().__init__(0)
        self.session = session

    def accepts(self, link: Any, kind: int, dst: int, src: int, handle: int, size: int) -> bool:
        return kind >= UP

    def answer(self, src: int, handle: int, kind: int, body: bytes) -> None:
        context = self.session.contexts.get(src)
        if kind == DEAD and body and context is not None:
            error = messages.reason_of(body)
            if error is not None:
                found = error
                context.advance(END, lambda: found)
        super().answer(src, handle, kind, body)
        if context is not None and (context.backlog.sizes or context.backlog.waits):
            context.backlog.remove(handle)


class AttachedNode(Node):
    """What this program keeps of a context of another program."""

    above = 0   # the context that started it

    def __init__(self, broker: Owner, number: int, name: str, via: Node | None) -> None:
        super().__init__(broker, number, name, via)
        self.allowed: dict[tuple[str, str], Callable[..., Any]] = Unallowed(name)
        # Woken when the program of the context is gone.
        self.departures: list[Wait] = []
        # The keys of the answers to what its start asks.
        self.tokens: list[int] = []
        if via is not None:
            via.children[number] = self

    def is_over(self) -> bool:
        return self._state in OVER_THERE

    def depart(self) -> None:
        """The program of the context is gone."""
        self.advance(GONE)
        departures, self.departures = self.departures, []
        for wait in departures:
            self.broker.loop.finish(wait)
        while self.tokens:
            cast('AttachedSession', self.broker).answers.pop(self.tokens.pop(), None)

    def push(self, *modules: str) -> None:
        # What is econtext's own is there, or comes from the other program.
        super().push(*(name for name in modules if name.partition('.')[0] != 'econtext'))

    def deliver(self, units: Sequence[tuple[str, Unit | None]], handle: int = 0) -> None:
        units = [unit for unit in units if unit[0].partition('.')[0] != 'econtext']
        if units:
            body = zlib.compress(encode([(name, unit) for name, unit in units]))
            try:
                decode(cast('AttachedSession', self.broker).request(MODULE, self.id, body))
            except EcontextError:
                self.sent.difference_update(name for name, unit in units)
                raise

    def follow_level(self) -> None:
        """Which records are wanted is the other program's to say."""

    def close(self) -> None:
        """Use it no more: a shared one ends with its last user, one of the other program goes on."""
        cast('AttachedSession', self.broker).leave(self)


def learn(context: AttachedNode, version: Any, executable: str, pid: int) -> None:
    """The context is ready."""
    context.python_version = tuple(version)
    context.marshal_version = values.version_for(context.python_version)
    context.executable, context.pid = executable, pid
    if not context.ready:
        context.became_ready()


class Unallowed(dict[tuple[str, str], Callable[..., Any]]):
    """Functions that a context may call here: none, for it calls those of the program that has it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def __setitem__(self, key: tuple[str, str], function: Callable[..., Any]) -> None:
        raise EcontextError(f'{self.name} {OTHERS}: allow functions there, with the allow() of its broker')


def answer_to(answer: Any, question: str) -> tuple[bool, str | None]:
    """Return what a function of the program answers; why not, if it raises."""
    try:
        return True, revealed(answer(question)) if callable(answer) else None
    except Exception as error:
        return False, f'{type(error).__name__}: {labels.message(error)}'


def place(function: Any) -> tuple[str, str]:
    """Return the module and the name in it of a function of the other program, or of what has that dotted name."""
    if isinstance(function, str):
        found: tuple[Any, Any] = (function.rpartition('.')[0], function.rpartition('.')[2])
    else:
        found = getattr(function, '__module__', None), getattr(function, '__qualname__', None)
    if not all(isinstance(part, str) and part for part in found):
        raise TypeError('a function of the other program is one of a module that both have, or its dotted name')
    return found


def connect(path: str) -> socket.socket:
    """Return a connection to a broker of the same user."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.connect(path)
        if not is_same_user(made, path):
            raise EcontextError(f'{path}: another user listens there')
    except OSError as error:
        made.close()
        raise EcontextError(f'{path}: nobody listens there ({error.strerror}): call listen() of a broker') from None
    except EcontextError:
        made.close()
        raise
    return made


def main_name(modules: Modules) -> str:
    """Return the name by which this program's own file travels: each version of it has one of its own."""
    unit = modules.unit(modules.main)
    if unit is None or not isinstance(unit[2], bytes):
        return modules.main
    return f'{modules.main}_{zlib.crc32(unit[2]):08x}'


def forked() -> None:
    """This process was forked off one that is attached: it is not, and touches nothing of that."""
    for session in list(SESSIONS):
        session.disown()
    SESSIONS.clear()


SESSIONS: weakref.WeakSet[AttachedSession] = weakref.WeakSet()
os.register_at_fork(after_in_child=forked)
