"""
The modules that a context was sent, and sending it more.

Invariants:

* A module is sent to a context once; behind a hop it comes from the hop, which gets it
  once too, for all contexts below it.  A module of another program that has the name of one
  that the hop keeps goes past the hop.
* What a call needs is on its way before the call.

Any thread may enter.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from econtext.controller.modules import bytecode
from econtext.controller.modules.repository import pack_units
from econtext.controller.modules.source import Unit
from econtext.controller.protocol import values
from econtext.controller.runtime.log import say
from econtext.controller.session import syntax_check
from econtext.controller.session.output import Lines
from econtext.core.wire import MODULE, PASS, RESULT

if TYPE_CHECKING:
    from econtext.controller.session.interfaces import Peer, Session


class Delivery:
    """The part of a context that knows what modules it has."""

    broker: Session
    id: int
    via: Peer | None
    lines: Lines
    level: int
    same_python: bool

    def __init__(self) -> None:
        #: What was sent.
        self.sent: set[str] = set()
        #: The modules among these whose imports, and theirs, were sent too.
        self.complete: set[str] = set()
        #: What the modules that were sent are, by their names.
        self.known: dict[str, int] = {}
        #: The modules among these that it asked for: it takes them in by the thread that asked, which may be later than
        #: what comes behind them, such as the order to pass them on.
        self.asked: set[str] = set()
        self.sending: threading.Lock = threading.Lock()

    def may_have(self, module: str) -> None:
        """Raise NotAllowed if `module` may not leave the program."""
        self.broker.modules.policy.check(module)

    def push(self, *modules: str) -> None:
        """Send `modules` and what they need of the program's own, if not there yet."""
        with self.sending:
            units: list[tuple[str, Unit]] = []
            for module in modules:
                syntax_check.check(cast('Peer', self), module)
                units += self.broker.modules.closure(module, self.sent)
            units = [unit for unit in units if not isinstance(unit[1][2], tuple)]
            if units:
                self.deliver(units)
            self.complete.update(modules)
        if units and self.level <= logging.DEBUG:
            # A handler may call this context, and need the lock.
            say(self.lines.logger, logging.DEBUG, '> modules %s', ', '.join(name for name, unit in units))

    def deliver(self, units: Sequence[tuple[str, Unit | None]], handle: int = 0) -> None:
        """
        Send `units`; with `handle` they are what the context asked for.

        Behind a hop they come from the hop, which gets each but once, unless it has others of these names.
        """
        router = self.broker.router
        self.send_code(tuple(name for name, unit in units))
        if handle:
            self.asked.update(name for name, unit in units if unit)
        self.known.update((name, identity(unit)) for name, unit in units if unit)
        if self.via is None or not all(unit for name, unit in units) or not self.via.keep(units):
            kind = RESULT if handle else MODULE
            router.send(kind, self.id, handle, pack_units(units))
        else:
            names = [name for name, unit in units]
            router.send(PASS, self.via.id, self.id, values.plainest((names, handle)))

    def send_code(self, names: tuple[str, ...]) -> None:
        """Send the code of those of `names` that are ours, ahead of their sources if it is likely to be taken."""
        if self.same_python and (code := bytecode.units(names)):
            self.broker.router.send(MODULE, self.id, 0, code)

    def keep(self, units: Sequence[tuple[str, Unit | None]]) -> bool:
        """Have the context keep `units` for those below it; return False if it keeps others of these names."""
        told = {name: identity(unit) for name, unit in units if unit}
        with self.sending:
            if any(self.known.get(name, number) != number for name, number in told.items()):
                return False
            lacking = [unit for unit in units if unit[0] not in self.sent or unit[0] in self.asked]
            self.asked.difference_update(told)
            self.sent.update(name for name, unit in lacking)
            if lacking:
                self.deliver(lacking)
            return True


def identity(unit: Unit) -> int:
    """Return a number that tells a module from another one of its name."""
    return hash((str(unit[0]), unit[1], unit[2]))
