"""
The contexts of another program of the same user, reached by its broker's socket.

It is a broker to its contexts in what calls need of one: a loop, a router, modules.
The contexts themselves belong to the other program; what is started, ended, printed
and logged there is its affair.

Invariants:

* Only a broker of the same user is talked to: the kernel says who listens.
* When the link ends, everybody who waits is woken, with the reason.
* Of one context there is one view while it lives, which hears of the end of the link, whenever it was made.

Any thread may enter.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, cast

from econtext.child.kinds import BEGUN
from econtext.child.labels import seen
from econtext.controller.attach.server import VERSION, folder, peer
from econtext.controller.context import Context
from econtext.controller.errors import ContextLost, EcontextError
from econtext.controller.modules.repository import Modules
from econtext.controller.modules.source import Unit
from econtext.controller.node import Node
from econtext.controller.protocol import values
from econtext.controller.protocol.places import Places
from econtext.controller.runtime import signals
from econtext.controller.runtime.deadlines import Expired
from econtext.controller.runtime.loop import ControllerLoop, Wait
from econtext.controller.session.futures import Future
from econtext.controller.session.states import END, GREET, LAUNCH
from econtext.core.codec import encode
from econtext.core.loop import Link
from econtext.core.router import Router
from econtext.core.wire import CALL, DEAD, ERROR, HELLO, MODULE, RESULT, UP, WANT
from econtext.parent.values import decode

if TYPE_CHECKING:
    from econtext.controller.node import Owner

SECONDS = 10.0  # that the other program has to answer what it can answer at once
OTHERS = 'belongs to the program whose broker it is'


def attach(path: str | os.PathLike[str] | None = None) -> Attachment:
    """
    Use the contexts of a broker that another program of the same user has.

    `path` is where that broker listens, see Broker.listen(); unless given there must be
    one such program.

    Raises EcontextError if nobody listens there, or it is another user.

    Example::

        with econtext.attach() as other:
            print(other.context('web1').call(os.getloadavg))
    """
    return Attachment(os.fspath(path) if path is not None else only())


def only() -> str:
    """Return the path of the one socket of this user at which a broker listens."""
    found = []
    place = folder()
    for name in sorted(os.listdir(place)):
        path = os.path.join(place, name)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(path)
            except OSError:
                continue
            found.append(path)
    if len(found) != 1:
        what = 'no program of this user listens' if not found else f'several listen: {", ".join(found)}'
        raise EcontextError(f'{what}: call listen() of its broker there, and give its path')
    return found[0]


class Attachment:
    """
    The contexts of another program; made by attach(), use it in a ``with`` statement.

    It ends with its block, and the contexts go on.
    """

    def __init__(self, path: str) -> None:
        self._session: AttachedSession = AttachedSession(path)

    @property
    def path(self) -> str:
        """The socket of the other program."""
        return self._session.path

    @property
    def contexts(self) -> list[Context]:
        """The contexts that there are now."""
        return [node.facade for node in self._session.nodes()]

    def context(self, name: str) -> Context:
        """
        Return the context called `name`.

        Raises EcontextError if there is none, or if the program is gone.

        Example::

            web = other.context('web1')
        """
        contexts = self.contexts
        for context in contexts:
            if context.name == name:
                return context
        there = ', '.join(context.name for context in contexts) or 'none'
        raise EcontextError(f'{self.path}: there is no context {seen(name)}; there are: {there}')

    def close(self) -> None:
        """
        Leave; the contexts go on, and calls that have not begun are withdrawn.

        Raises nothing.

        Example::

            other.close()
        """
        self._session.close()

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class AttachedSession(Places):
    """What calls to the contexts of another program need of a broker."""

    closed: bool

    deferred = None
    # Calls from here are never made by a function that a context has called.
    running: tuple[()] = ()

    def __init__(self, path: str) -> None:
        self.path = path
        self.modules: Modules = Modules()
        self.modules.main = main_name(self.modules)
        self.names: dict[Any, tuple[str, str]] = {}
        self.known: dict[int, AttachedNode] = {}
        # Held while a context is looked up, made, or moved on; was the link lost?
        self.viewing: threading.RLock = threading.RLock()
        self.gone: bool = False
        self.closed = self.disowned = False
        self.callbacks = self
        self.greeting: tuple[Any, ...] = ()
        self.loop: ControllerLoop = ControllerLoop()
        self.router: Inlet = Inlet(self)
        self.link: Link = Link(self.loop, self.router, self)
        self.router.links[0] = self.link
        self.router.handle({HELLO: self.on_hello, WANT: self.on_want, BEGUN: self.on_begun})
        self.greeted: Wait = Wait(self.loop, time.monotonic() + SECONDS)
        signals.defer(self)
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
        return self.greeting[:1] == (VERSION,)

    def nodes(self) -> list[Node]:
        """Return the nodes of the contexts that there are now."""
        found = decode(self.request(CALL, 0, b''))
        return [self.view(*told) for told in found]

    def view(self, number: int, name: str, via: int, ready: bool, version: Any, executable: str, pid: int) -> Node:
        with self.viewing:
            context = self.known.get(number)
            if context is None or context.error is not None:
                context = self.known[number] = AttachedNode(cast('Owner', self), number, name, None)
                Context(context)
                context.advance(LAUNCH)
                self.router.links[number] = self.link
            if ready and not context.ready:
                context.advance(GREET)
            context.python_version = tuple(version)
            context.marshal_version = values.version_for(context.python_version)
            context.executable, context.pid = executable, pid
            if self.gone:
                self.end_views()
        return context

    def end_views(self) -> None:
        """The other program is gone, and what it told of its contexts is no more. Whoever has the lock."""
        self.router.links.clear()
        for context in self.known.values():
            context.advance(END, context.lost('the program that has it is gone'))

    def close(self) -> None:
        """Leave; the contexts go on, and calls that have not begun are withdrawn."""
        if self.closed:
            return
        self.closed = True
        with self.link.lock:
            self.link.close()
        self.link.hang_up()
        self.lost(self.link, 'it was left')
        try:
            self.loop.close()
        finally:
            signals.restore(self)

    def on_begun(self, src: int, handle: int, body: bytes) -> None:
        asked = self.router.asked.get(handle)
        future = getattr(asked[1], '__self__', None) if asked else None
        if isinstance(future, Future):
            future._set_answer(BEGUN, body)

    def request(self, kind: int, number: int, body: bytes) -> bytes:
        """Ask the broker for what it can answer at once."""
        wait = Wait(self.loop, time.monotonic() + SECONDS)
        self.router.ask(kind, number, body, wait.settle)
        self.wait(wait)
        if wait.kind == ERROR:
            raise EcontextError(decode(wait.body))
        if wait.kind != RESULT:
            raise ContextLost(f'{self.path}: the program that has the contexts is gone')
        return bytes(wait.body or b'')

    def wait(self, wait: Wait) -> None:
        try:
            self.loop.wait(wait)
        except Expired:
            raise EcontextError(f'{self.path}: the program that listens there does not answer') from None

    def on_hello(self, src: int, handle: int, body: bytes) -> None:
        self.greeting = decode(body)
        self.loop.finish(self.greeted)

    def on_want(self, src: int, handle: int, body: bytes) -> None:
        name = str(decode(body))

        def answer() -> None:
            unit = self.modules.answer(name, False)[0][1]
            if unit is not None and isinstance(unit[2], tuple):
                unit = None
            self.link.send(RESULT, src, 0, handle, encode(unit))
        self.loop.call_soon(answer)

    def lost(self, link: Any, reason: str) -> None:
        """The other program is gone."""
        with self.viewing:
            self.gone = True
            self.end_views()
        self.loop.finish(self.greeted)
        for handle, asked in list(self.router.asked.items()):
            self.router.answer(asked[0], handle, DEAD, b'')

    def stop(self, context: Node, error: Callable[[], EcontextError]) -> None:
        """A call was given up in vain: here nobody waits for it any more."""
        context.advance(END, error)
        for handle, asked in list(self.router.asked.items()):
            if asked[0] == context.id:
                self.router.answer(asked[0], handle, DEAD, b'')

    def corrupt(self, context: Node, reason: str) -> None:
        self.stop(context, context.corrupted(reason))

    def end(self, context: Node, error: Any = None) -> None:
        raise EcontextError(f'{context.name} {OTHERS}: end it there')

    def start_context(self, via: Node | None, request: Any) -> NoReturn:
        raise EcontextError(f'{getattr(via, "name", "")} {OTHERS}: start contexts from it there')


class Inlet(Router):
    """The router of an attachment: all contexts are reached by one link."""

    def __init__(self, session: AttachedSession) -> None:
        super().__init__(0)
        self.session = session

    def accepts(self, link: Any, kind: int, dst: int, src: int, handle: int, size: int) -> bool:
        return kind >= UP

    def answer(self, src: int, handle: int, kind: int, body: bytes) -> None:
        context = self.session.known.get(src)
        if kind == DEAD and body and context is not None:
            reason = str(decode(body))
            if reason:
                context.advance(END, lambda: ContextLost(reason))
        super().answer(src, handle, kind, body)


class AttachedNode(Node):
    """What this program keeps of a context of another program."""

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

    def make(self, what: str, *args: Any) -> Any:
        context = cast('AttachedSession', self.broker).known.get(args[0]) if what == 'context' else None
        if context is None:
            raise ValueError('a channel or context that is for the other program alone')
        return context.facade

    def follow_level(self) -> None:
        """Which records are wanted is the other program's to say."""

    def channel(self, *, window: int = 0) -> NoReturn:
        """Raise EcontextError: channels are for the program that has the context."""
        raise EcontextError(f'{self.name} {OTHERS}: open channels there')

    def close(self) -> None:
        """Leave it: it goes on."""


def connect(path: str) -> socket.socket:
    """Return a connection to a broker of the same user."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.connect(path)
        if peer(made) != os.geteuid():
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
