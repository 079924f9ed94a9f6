"""
What of an attached program goes on through its broker: calls, and the values of channels.

Invariants:

* Bodies are passed on unread; a call and a channel go under numbers of ours, so that contexts know nothing of the
  program.
* Of a channel no more is kept here than its window.

Entered by the thread that leads, for what contexts say, and by the one that takes what the program sent.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

from econtext.child.channels import LEAST, OVER
from econtext.controller.attach import messages
from econtext.core.wire import ANSWERS, CLOSE, CREDIT, DATA, DEAD, BadFrame

if TYPE_CHECKING:
    from econtext.controller.node import Node
    from econtext.core.loop import Link

    class Program(Protocol):
        """An attached program."""

        @property
        def link(self) -> Link: ...
        @property
        def calls(self) -> dict[int, PassedCall]: ...
        def ended(self, call: PassedCall) -> None: ...
        def tell(self, context: Node) -> None: ...


class PassedCall:
    """A call of an attached program, on its way through us."""

    _hears_begun = True

    program: Program
    context: Node
    theirs: int
    size: int

    def __init__(self, program: Program, context: Node, theirs: int, size: int) -> None:
        self.program, self.context, self.theirs, self.size = program, context, theirs, size
        self.ours = 0
        self.over: bool = False

    def _set_answer(self, kind: int, body: bytes) -> None:
        """The answer is here. Leading."""
        context = self.context
        if kind in ANSWERS:
            self.over = True
            self.program.ended(self)
            if context.talked:
                context.end_of_call()
        if kind == DEAD:
            # First, so that whoever waits for the answer knows how the program of the context ended.
            self.program.tell(context)
            body = messages.reason(context.reason() if context.error else None)
        self.program.link.send(kind, 0, context.id, self.theirs, body)


class PassedChannel:
    """A channel of an attached program, among those of the broker: channel and end in one."""

    program: Program
    peer: int
    handle: int
    window: int
    granted: int
    ours: bool
    theirs: bool

    def __init__(self, program: Program, opener: Node, handle: int, window: int) -> None:
        self._opener = opener
        self._end: PassedChannel = self
        self.program = program
        self.peer = opener.id
        self.handle, self.window, self.granted = handle, window, window
        # Held while `granted` changes.
        self.lock: threading.Lock = threading.Lock()
        self.ours = self.theirs = True
        self.reason: Any = None

    # What its context says, as ``Channels`` tells it. Leading.

    def _told(self, word: bytes) -> None:
        self.program.link.send(CLOSE, 0, self._opener.id, self.handle, word)

    def receive(self, kind: int, body: bytes) -> None:
        if kind == DATA:
            with self.lock:
                self.granted -= max(len(body), LEAST)
        elif kind == CLOSE:
            self.theirs = False
        self.program.link.send(kind, 0, self._opener.id, self.handle, bytes(body))

    def break_off(self, context: object) -> None:
        """Its context is gone, which the program is told anyway."""
        self.ours = self.theirs = False

    # What its program says.

    def take(self, kind: int, body: bytes) -> bool:
        """Take what goes to the context; tell whether the channel is over."""
        if kind == CLOSE:
            self.ours = False
            return body == OVER or not self.theirs
        if kind == CREDIT:
            amount = credit(body)
            with self.lock:
                if amount > self.window - self.granted:
                    raise BadFrame('more credit than was used')
                self.granted += amount
        return False


def credit(body: bytes) -> int:
    """Return the bytes that a frame grants; raise BadFrame for no number of them."""
    if not (0 < len(body) <= 8 and all(digit in b'0123456789abcdef' for digit in body)) or not int(body, 16):
        raise BadFrame('credit of another form')
    return int(body, 16)
