"""
Functions of the broker's program, which an attached program calls.

Invariants:

* A function runs only if the broker allows it, see ``session.callbacks.Allows``.
* Each call has a thread of its own, and is answered once. At most MOST run at a time for one program.

``run`` is entered by chores.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from econtext.child import failure
from econtext.controller.attach import messages
from econtext.controller.errors import EcontextError, NotAllowed
from econtext.core.codec import encode
from econtext.core.wire import ERROR, RESULT, BadFrame

if TYPE_CHECKING:
    from typing import Protocol

    from econtext.controller.node import Owner

    class Program(Protocol):
        """The attached program."""

        @property
        def broker(self) -> Owner: ...
        def send(self, kind: int, number: int, handle: int, body: bytes) -> None: ...


MOST = 16   # that run for a program at a time


class Functions:
    """The functions that run for one attached program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.running: int = 0
        self.counting: threading.Lock = threading.Lock()

    def run(self, handle: int, values: tuple[Any, ...]) -> None:
        """Run an allowed function, in a thread of its own."""
        if not (len(values) == 4 and type(values[0]) is str and type(values[1]) is str and type(values[2]) is tuple
                and type(values[3]) is dict and all(type(key) is str for key in values[3])):
            raise BadFrame('a call of a function of another form')
        if self.running >= MOST:
            self.program.send(ERROR, 0, handle, encode(('refused', messages.refusal(EcontextError(
                f'more than {MOST} calls of the program at a time: wait for some of them')))))
            return
        with self.counting:
            self.running += 1
        try:
            threading.Thread(
                target=self.perform, args=(handle, *values), name='econtext attached', daemon=True).start()
        except RuntimeError:
            with self.counting:
                self.running -= 1
            self.program.send(ERROR, 0, handle, encode(('refused', messages.refusal(EcontextError(
                'the program has no thread for a call of it: have less run there at a time')))))

    def perform(self, handle: int, module: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Carry out one call and answer it, whatever fails on the way."""
        kind, answer = ERROR, b''
        try:
            # Its own file goes by another name in the table.
            home = self.program.broker.modules.main if module == '__main__' else module
            function = self.program.broker.allowed.get((home, name))
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
                self.running -= 1
            self.program.send(kind, 0, handle, answer)
