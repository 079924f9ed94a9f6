"""
What an attached program is asked: for modules, for data files, for the answers to what connectors ask.

Invariants:

* Each question is answered once: by the program, or by None when the program is gone or nobody waits any more.
* No thread of the broker's program waits for an attached one: what takes the answer is called as the answer comes.
* An answer is decoded as hostile. One to what was not asked ends the link of the program.

``answered`` is entered by chores, the rest by any thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from econtext.controller.attach import messages
from econtext.controller.errors import EcontextError
from econtext.core.codec import encode
from econtext.core.wire import WANT, BadFrame
from econtext.parent.values import decode

if TYPE_CHECKING:
    from typing import Protocol

    class Numbers(Protocol):
        """What has numbers that no other question has."""

        def number(self) -> int: ...

    class Program(Protocol):
        """The attached program."""

        left: bool

        @property
        def server(self) -> Numbers: ...
        def send(self, kind: int, number: int, handle: int, body: bytes) -> None: ...


class Questions:
    """The questions to one attached program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        # By our numbers: what takes the answer, None if the program is gone.
        self.wanted: dict[int, Callable[[bytes | None], None]] = {}
        # The numbers of what nobody waits for any more.
        self.late: set[int] = set()

    def ask(self, what: tuple[Any, ...], take: Callable[[bytes | None], None], number: int = 0) -> int:
        """Ask the program for something; `take` gets the answer, None if the program is gone. Return the number."""
        wanted = self.program.server.number()
        self.wanted[wanted] = take
        self.program.send(WANT, number, wanted, encode(what))
        if self.program.left:
            # It may have gone before the number was noted.
            self.expire(wanted)
        return wanted

    def expire(self, number: int) -> None:
        """Wait no more for the answer to what it was asked."""
        take = self.wanted.pop(number, None)
        if take is not None:
            self.late.add(number)
            take(None)

    def answered(self, number: int, body: bytes) -> None:
        """Hand on the answer to question `number`; raise BadFrame if that was not asked."""
        if number in self.late:
            self.late.discard(number)
            return
        take = self.wanted.pop(number, None)
        if take is None:
            raise BadFrame('an answer to what it was not asked')
        try:
            take(body)
        except BadFrame:
            # Whoever asked is not to wait for another one.
            take(None)
            raise


class Asking:
    """A function of an attached program, which is to answer what a connector is asked."""

    def __init__(self, questions: Questions, token: int, key: str) -> None:
        self.questions = questions
        self.token: int = token
        self.key: str = key

    def __call__(self, question: str) -> str | None:
        raise EcontextError('this function is in another program, which answers later')

    def later(self, question: str, take: Callable[[str | None, str], None]) -> None:
        """Have the program asked; `take` gets the answer, or why there is none."""
        def answered(body: bytes | None) -> None:
            told = None if body is None else decode(body)
            if told is None:
                take(None, 'the program that was to answer is gone')
                return
            if type(told) is not tuple or len(told) != 2 or type(told[0]) is not bool or not (
                    told[1] is None or type(told[1]) is str):
                raise BadFrame('an answer of another form')
            if told[0]:
                take(told[1], '')
            else:
                take(None, told[1] or 'nothing')

        self.questions.ask((messages.ANSWER, self.token, self.key, question), answered)
