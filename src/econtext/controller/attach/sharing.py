"""
Which contexts attached programs use, and when these end.

The strategy: a context that a program asks for by a name is shared with all who ask for the same: the same connector
from the same place with the same options. Whoever asks has a use of the context. A use ends when its program leaves the
context or is gone; a use with an idle time ends instead when the program has not used the context for so long. The
context ends with its last use. Contexts that the broker's own program started are nobody's to end.

Invariants:

* Two who ask for the same at the same time get one context.
* Nothing that fails as one context ends keeps another one from ending.
* A context stays while somebody uses it, or one below it.
* A program that is gone uses nothing any more, but for the idle time that it asked for.

Entered by any thread that holds no lock of a link: by chores.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from econtext.controller.attach import messages

if TYPE_CHECKING:
    from econtext.controller.connect.options import ConnectRequest
    from econtext.controller.node import Node, Owner

# What becomes of a context that a program leaves.
NOT_SHARED, STAYS, ENDS = range(3)
SOONEST = 0.01  # seconds between two looks at the idle uses of a context


class Use:
    """One program's use of a context, which lasts until it leaves, or has been idle for so long."""

    def __init__(self, program: object, idle: float | None) -> None:
        # None: it has left.
        self.program: object | None = program
        self.idle = idle
        self.last: float = time.monotonic()


class Shared:
    """A context that was started for attached programs."""

    def __init__(self, context: Node) -> None:
        self.context = context
        self.uses: list[Use] = []
        # The idle times that programs asked for: also of those whose use was over, and who come back.
        self.idle: dict[object, float] = {}
        self.looks: bool = False     # is a timer to look for idle uses?

    def use_of(self, program: object) -> Use | None:
        return next((use for use in self.uses if use.program is program), None)


class Sharing:
    """The contexts of a broker that attached programs share."""

    def __init__(self, broker: Owner, is_busy: Callable[[object, Node], bool]) -> None:
        self.broker = broker
        # Has the program a call or a channel there?
        self.is_busy = is_busy
        self.shared: dict[int, Shared] = {}
        # What contexts were started by, of those that somebody has asked about.
        self.keys: dict[int, bytes | None] = {}
        # Held while a context is looked up and started, and while uses begin and end.
        self.lock: threading.RLock = threading.RLock()

    def take(self, program: object, via: Node | None, request: ConnectRequest, idle: float | None) -> Node:
        """Return the context that `program` asks for, found or started; raise what starting it raises."""
        with self.lock:
            context = self.find(via, request)
            if context is None:
                context = self.broker.start_context(via, request)
                # Programs may have different modules of one name for the contexts below it.
                context.keeps = False
                self.shared[context.id] = Shared(context)
            self.use(program, context, idle)
            return context

    def find(self, via: Node | None, request: ConnectRequest) -> Node | None:
        """Return a living context that was started by the same request."""
        number = via.id if via else 0
        wanted = messages.key(number, request)
        if wanted is None:
            return None
        for context in list(self.broker.contexts.values()):
            above = context.via.id if context.via else 0
            if above == number and context.error is None and self.key(context, above) == wanted:
                return context
        return None

    def key(self, context: Node, above: int) -> bytes | None:
        try:
            return self.keys[context.id]
        except KeyError:
            asked = context.connect_request
            found = self.keys[context.id] = None if asked is None else messages.key(above, asked)
            if context.error is not None:
                # Whoever forgets what was known of it may have done so before.
                self.keys.pop(context.id, None)
            return found

    def use(self, program: object, context: Node, idle: float | None = None) -> None:
        """From now on `program` uses `context`; without an idle time, an earlier one stays."""
        with self.lock:
            shared = self.shared.get(context.id)
            if shared is None:
                return
            use = shared.use_of(program)
            if idle is not None:
                shared.idle[program] = max(idle, shared.idle.get(program, 0.0))
            if use is None:
                use = Use(program, shared.idle.get(program))
                shared.uses.append(use)
            elif idle is not None and use.idle is not None:
                use.idle = max(use.idle, idle)
            use.last = time.monotonic()
            self.watch(shared)

    def used(self, program: object, context: Node) -> None:
        """`program` does something with `context` now. Any thread, also one that leads."""
        shared = self.shared.get(context.id)
        if shared is not None:
            use = shared.use_of(program)
            if use is not None:
                use.last = time.monotonic()

    def release(self, program: object, context: Node) -> int:
        """`program` leaves `context`; tell what becomes of it."""
        with self.lock:
            shared = self.shared.get(context.id)
            if shared is None:
                return NOT_SHARED
            shared.idle.pop(program, None)
            for use in list(shared.uses):
                if use.program is program:
                    use.program = None
                    use.last = time.monotonic()
            self.settle(shared, 'its last user has left it')
            return STAYS if context.id in self.shared else ENDS

    def leave(self, program: object) -> None:
        """`program` is gone."""
        with self.lock:
            for shared in list(self.shared.values()):
                try:
                    self.release(program, shared.context)
                except Exception as error:
                    # The others are to end all the same.
                    self.broker.loop.fail(f'{shared.context.name}: its last user left it', error)

    def ended(self, context: Node) -> None:
        """`context` answers no more."""
        with self.lock:
            if self.shared.pop(context.id, None) is not None and context.via is not None:
                above = self.shared.get(context.via.id)
                if above is not None:
                    self.settle(above, 'its last user has left it')

    def settle(self, shared: Shared, why: str) -> None:
        """End a context that nobody needs any more. Whoever holds the lock."""
        context, now = shared.context, time.monotonic()
        for use in list(shared.uses):
            if use.program is None and (use.idle is None or now >= use.last + use.idle):
                shared.uses.remove(use)
            elif use.idle is not None and (self.starts(context) or self.is_busy(use.program, context)):
                use.last = now
            elif use.idle is not None and now >= use.last + use.idle:
                why = f'it was idle for {use.idle:g} s'
                shared.uses.remove(use)
        below = any(each.context.via is context for each in self.shared.values())
        if not (shared.uses or below):
            # Of nobody's, so that nobody takes it who asks from now on.
            self.shared.pop(context.id, None)
            self.broker.stop(context, context.lost(why))
            if context.via is not None and context.via.id in self.shared:
                self.settle(self.shared[context.via.id], 'its last user has left it')
        else:
            self.watch(shared)

    @staticmethod
    def starts(context: Node) -> bool:
        """Is `context` on its way? One that waits for its first call is idle."""
        return not context.ready and context.deferred is None

    def watch(self, shared: Shared) -> None:
        """Look again when the next use may be over. Whoever holds the lock."""
        now = time.monotonic()
        times = [use.last + use.idle for use in shared.uses if use.idle is not None]
        if times and not shared.looks:
            shared.looks = True
            loop = self.broker.loop
            loop.call_at(max(min(times), now + SOONEST), lambda: loop.call_soon(lambda: self.look(shared)))

    def look(self, shared: Shared) -> None:
        """Some time has passed."""
        with self.lock:
            shared.looks = False
            if self.shared.get(shared.context.id) is shared and shared.context.error is None:
                self.settle(shared, 'its last user has left it')

