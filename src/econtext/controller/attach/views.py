"""
What an attached program keeps of a context of its broker, and how frames of all its contexts come by one link.

Invariants:

* What comes of a context that is not known here is dropped: it is late.
* Handles of channels are those that the broker gave out.
* Of modules, econtext's own are never sent: the broker has them.

Any thread may enter, ``Inlet`` and what it hands on by the one that leads.
"""

from __future__ import annotations

import collections
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from econtext.child.channels import WINDOW
from econtext.controller.attach import messages
from econtext.controller.errors import EcontextError
from econtext.controller.modules.source import Unit
from econtext.controller.node import Node
from econtext.controller.protocol import values
from econtext.controller.runtime.waiting import Wait
from econtext.controller.session.channels import Channel, Channels
from econtext.controller.session.states import END, ENDED, FAILED, GONE
from econtext.core.codec import encode
from econtext.core.router import Router
from econtext.core.wire import CALL, DEAD, MODULE, UP
from econtext.parent.values import decode

if TYPE_CHECKING:
    from econtext.controller.node import Owner
    from econtext.core.loop import Link

    class Session(Protocol):
        """The attachment that the contexts are of."""

        @property
        def contexts(self) -> Mapping[int, AttachedNode]: ...
        @property
        def answers(self) -> dict[int, Mapping[str, Any]]: ...
        @property
        def link(self) -> Link: ...
        def request(self, kind: int, number: int, body: bytes) -> bytes: ...
        def leave(self, node: AttachedNode) -> None: ...


OTHERS = 'belongs to the program whose broker it is'
OVER_THERE = ENDED, FAILED


class AttachedChannels(Channels):
    """The channels of an attached program, under handles that the other program gives out."""

    def __init__(self, session: Session) -> None:
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

    def __init__(self, session: Session) -> None:
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
        if self.via is not None:
            self.via.children.pop(self.id, None)
        departures, self.departures = self.departures, []
        for wait in departures:
            self.broker.loop.finish(wait)
        while self.tokens:
            cast('Session', self.broker).answers.pop(self.tokens.pop(), None)

    def push(self, *modules: str) -> None:
        # What is econtext's own is there, or comes from the other program.
        super().push(*(name for name in modules if name.partition('.')[0] != 'econtext'))

    def deliver(self, units: Sequence[tuple[str, Unit | None]], handle: int = 0, foreign: bool = False) -> None:
        units = [unit for unit in units if unit[0].partition('.')[0] != 'econtext']
        if units:
            body = zlib.compress(encode([(name, unit) for name, unit in units]))
            try:
                decode(cast('Session', self.broker).request(MODULE, self.id, body))
            except EcontextError:
                self.sent.difference_update(name for name, unit in units)
                raise

    def follow_level(self) -> None:
        """Which records are wanted is the other program's to say."""

    def close(self) -> None:
        """Use it no more: a shared one ends with its last user, one of the other program goes on."""
        cast('Session', self.broker).leave(self)


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
