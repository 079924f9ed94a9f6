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

import contextlib
import os
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, cast

from econtext.child import labels
from econtext.child.kinds import BEGUN
from econtext.controller.attach import messages
from econtext.controller.attach.sharing import ENDS, NOT_SHARED
from econtext.controller.attach.sockets import VERSION, connect
from econtext.controller.attach.views import AttachedChannels, AttachedNode, Inlet, learn
from econtext.controller.connect.options import ConnectRequest, plain
from econtext.controller.context import Context
from econtext.controller.errors import ContextLost, EcontextError
from econtext.controller.modules.repository import Modules
from econtext.controller.node import Node
from econtext.controller.protocol.places import Places
from econtext.controller.raised import call_error
from econtext.controller.runtime import signals
from econtext.controller.runtime.deadlines import Expired
from econtext.controller.runtime.loop import ControllerLoop
from econtext.controller.runtime.waiting import Wait
from econtext.controller.secret import revealed
from econtext.controller.session.results import description
from econtext.controller.session.states import END, LAUNCH
from econtext.core.codec import encode
from econtext.core.loop import Link
from econtext.core.wire import CALL, DEAD, ERROR, HELLO, REPORT, RESULT, WANT, BadFrame
from econtext.parent.values import decode

if TYPE_CHECKING:
    from econtext.controller.fleet.members import Pool
    from econtext.controller.node import Owner

SECONDS = 10.0  # that the other program has to answer what it can answer at once
DISOWNED = 'this process was forked off the one that is attached: attach here, too'


class AttachedSession(Places):
    """What calls to the contexts of another program need of a broker."""

    closed: bool
    disowned: bool

    deferred = attach_server = None
    #: Is another program asked for each context, so that starting one takes a round trip?
    asks_to_start = True
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
        self.pools: weakref.WeakSet[Pool] = weakref.WeakSet()
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
                raise EcontextError(
                    f'{path}: the program that listens there has another version of econtext, or refused this '
                    'program: see its log')
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
            node = self.view(*decode(self.request(CALL, 0, encode((messages.CONNECT, *wish)), self.decline)))
        except BaseException:
            self.answers.pop(token, None)
            raise
        if asked:
            node.tokens.append(token)
            if node.is_over():
                self.answers.pop(token, None)
        return node

    def decline(self, kind: int, body: bytes) -> None:
        """Take the answer to a request for a context for which nobody has waited so long. Leading."""
        if kind == RESULT:
            self.link.send(CALL, 0, 0, self.token(), encode((messages.RELEASE, decode(body)[0])))

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
        error = messages.reason_of(detail) or ContextLost(f'{context.name}: it has ended')
        if type(status) is int:
            # Before anybody wakes who looks at that.
            context.exit_status = status
        self.end_view(context, lambda: error)
        if event == messages.GONE:
            context.depart()
            if self.contexts.get(context.id) is context:
                # Nothing more is said of it.
                del self.contexts[context.id]

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

    def request(
        self, kind: int, number: int, body: bytes, late: Callable[[int, bytes], object] | None = None
    ) -> bytes:
        """Ask the broker for what it can answer at once; `late` gets an answer for which nobody waits any more."""
        wait = Wait(self.loop, time.monotonic() + SECONDS)
        handle = self.router.ask(kind, number, body, wait.settle)
        try:
            self.wait(wait)
        except EcontextError:
            if late is not None:
                self.router.asked[handle] = number, late
            if wait.kind is None:
                raise
            # It came at the last moment.
            self.router.asked.pop(handle, None)
        if wait.kind == ERROR:
            raise messages.refused(wait.body or b'')
        if wait.kind != RESULT:
            raise ContextLost(self.no_answer())
        return bytes(wait.body or b'')

    def no_answer(self) -> str:
        """Say why no answer comes any more."""
        if self.closed:
            return f'{self.path}: this program has left: call econtext.attach() again'
        return f'{self.path}: the program that has the contexts is gone'

    def wait(self, wait: Wait) -> None:
        try:
            self.loop.wait(wait)
        except Expired:
            raise EcontextError(f'{self.path}: the program that listens there does not answer') from None

    def run(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run `function` in the other program, which has allowed it."""
        wait = Wait(self.loop, None)
        self.begin_run(function, args, kwargs, wait)
        self.loop.wait(wait)
        return self.end_run(wait)

    def begin_run(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], wait: Wait) -> None:
        """Ask for the same; `wait` is done once the answer is here."""
        module, name = place(function)
        self.router.ask(CALL, 0, encode((messages.RUN, module, name, args, kwargs)), wait.settle)

    def end_run(self, wait: Wait) -> Any:
        """Return what the function has returned, or raise what it raised."""
        body = wait.body or b''
        if wait.kind == RESULT:
            return decode(body, self)
        if wait.kind != ERROR:
            raise ContextLost(self.no_answer())
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
        for pool in list(self.pools):
            pool.close()
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
