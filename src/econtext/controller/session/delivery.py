"""
The modules that a context was sent, and sending it more.

Invariants:

* A module is sent to a context once; behind a hop it comes from the hop, which gets it
  once too, for all contexts below it.
* What a call needs is on its way before the call.
* A hop keeps modules of one program.  Those of an attached program go past the hops, and so do all that are for a
  context below one which attached programs have started: two programs have different modules of one name.

Any thread may enter.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
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
    python_version: tuple[int, ...]

    def __init__(self) -> None:
        #: What was sent.
        self.sent: set[str] = set()
        #: The modules among these whose imports, and theirs, were sent too.
        self.complete: set[str] = set()
        #: Does it keep modules for those below it? One that attached programs have started keeps econtext's alone.
        self.keeps: bool = True
        #: What it asked for and has got: the thread that asked takes this in, maybe later than what comes behind,
        #: such as the order to pass it on.
        self.asked: set[str] = set()
        self.sending: threading.Lock = threading.Lock()

    def may_have(self, module: str) -> None:
        """Raise NotAllowed if `module` may not leave the program."""
        self.broker.modules.policy.check(module)

    def push(self, *modules: str) -> None:
        """Send `modules` and what they need of the program's own, if not there yet."""
        if self.complete.issuperset(modules):
            return
        with self.sending:
            units: list[tuple[str, Unit]] = []
            for module in modules:
                syntax_check.check(cast('Peer', self), module)
                units += self.broker.modules.closure(module, self.sent)
            units = [unit for unit in units if not isinstance(unit[1][2], tuple)]
            if units:
                self.deliver(units)
            self.complete.update(modules)
        self.log_sent(units)

    def push_ahead(self, modules: Iterable[str]) -> None:
        """
        Send `modules` and what they need of the program's own, as far as the Python there can read that.

        The rest is sent when it is asked for, with the reason why it cannot be read; all is, if that Python is unknown.
        """
        reader = self if self.python_version else self.via
        if reader is None or not reader.python_version:
            return
        with self.sending:
            found = [unit for module in modules for unit in self.broker.modules.closure(module, self.sent)]
            units = [(name, unit) for name, unit in found if syntax_check.is_readable(cast('Peer', reader), unit)]
            self.sent.difference_update({name for name, _ in found} - {name for name, _ in units})
            if units:
                self.deliver(units)
        self.log_sent(units)

    def log_sent(self, units: Sequence[tuple[str, Unit]]) -> None:
        if units and self.level <= logging.DEBUG:
            # Without the lock: a handler may call this context, and need it.
            say(self.lines.logger, logging.DEBUG, '> modules %s', ', '.join(name for name, unit in units))

    def deliver(self, units: Sequence[tuple[str, Unit | None]], handle: int = 0, foreign: bool = False) -> None:
        """
        Send `units`, those of another program if they are `foreign`; with `handle` they are what the context asked for.

        Behind a hop they come from the hop, which gets each but once; not so if they are foreign.
        """
        router = self.broker.router
        self.send_code(tuple(name for name, unit in units))
        if handle:
            self.asked.update(name for name, unit in units if unit)
        if self.via is None or foreign or not all(unit for name, unit in units) or not self.via.may_keep(units):
            kind = RESULT if handle else MODULE
            router.send(kind, self.id, handle, pack_units(units))
        else:
            self.via.keep(units)
            names = [name for name, unit in units]
            router.send(PASS, self.via.id, self.id, values.plainest((names, handle)))

    def may_keep(self, units: Sequence[tuple[str, Unit | None]]) -> bool:
        """May `units` be kept here for those below?"""
        return self.keeps or all(name.partition('.')[0] == 'econtext' for name, unit in units)

    def send_code(self, names: tuple[str, ...]) -> None:
        """Send the code of those of `names` that are ours, ahead of their sources if it is likely to be taken."""
        if self.same_python and (code := bytecode.units(names)):
            self.broker.router.send(MODULE, self.id, 0, code)

    def keep(self, units: Sequence[tuple[str, Unit | None]], foreign: bool = False) -> None:
        """Have the context keep `units`, for itself or for those below it."""
        with self.sending:
            lacking = [unit for unit in units if unit[0] not in self.sent or unit[0] in self.asked]
            self.asked.difference_update(name for name, unit in units)
            self.sent.update(name for name, unit in lacking)
            if lacking:
                self.deliver(lacking, foreign=foreign)
