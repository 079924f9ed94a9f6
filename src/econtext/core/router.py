"""
Decide where each frame goes, and who may speak for whom.

A link is anything whose ``transport`` has ``send(kind, dst, src, handle, body)``.

Invariants:

* A frame is believed only if an answer to its source would leave by the link it
  came in on: no context can speak for another.
* Frames travel to an ancestor or to a descendant, never sideways; from below,
  only kinds that may come up are taken.
* That a context which is not here any more is DEAD may be late news: it ends nobody,
  and goes no further.
* Whoever expects an answer gets exactly one: RESULT, ERROR, or DEAD when nobody
  can answer any more, or the call was given up before it began.  An answer is taken
  only from the context that was asked.

Pure: no descriptors, threads or clocks.  Entered by the thread that leads the
loop, and by any thread for what it sends itself.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from econtext.core.loop import Link

    class Large(Protocol):
        """Large frames on their way to this context: ``parts.Parts``."""

        @property
        def able(self) -> dict[int, bool]: ...
        @property
        def begun(self) -> dict[int, Any]: ...
        def rest(self, src: int, size: int) -> Any: ...
        def filled(self, src: int, size: int) -> None: ...
        def forget(self, link: Link | None, who: int) -> None: ...

import itertools

from econtext.core.wire import ANSWERS, DEAD, EMPTY, EXPECTANT, START, UP

LIMIT = 1 << 30     # bytes in one frame


class Router(object):
    """The frames of one context: `me`, below 0 until the first frame tells."""
    # What puts together large frames, once there is a ``bulk``.
    parts = None  # type: Large | None

    def __init__(self, me=-1):
        # type: (int) -> None
        self.me = me  # type: int
        # The link to our parent while there is one; the controller has none.
        self.up = None  # type: Link | None
        # Context below us -> the link that leads to it.
        self.links = {}  # type: dict[int, Link | None]
        # Kind -> func(src, handle, body).
        self.handlers = {}  # type: dict[int, Callable[[int, int, bytes], Any]]
        # Frames from above whose handler is yet to come.
        self.early = []  # type: list[tuple[int, int, int, int, bytes]]
        # Handle -> (who is to answer, func(kind, body)).
        self.asked = {}  # type: dict[int, tuple[int, Callable[[int, bytes], Any]]]
        count = itertools.count(1)  # type: Any
        self.count = getattr(count, '__next__', None) or count.next  # type: Any

    def accepts(self, link, kind, dst, src, handle, size):
        # type: (Link | None, int, int, int, int, int) -> bool
        """Judge the header of a frame that comes in on `link`."""
        return size <= LIMIT and (link is self.up or (
            kind >= UP and self.links.get(src, kind == DEAD and link) is link))

    def route(self, link, kind, dst, src, handle, body):
        # type: (Link | None, int, int, int, int, bytes) -> None
        """Deliver or pass on a frame that `link` accepted."""
        if self.me < 0:
            self.me = dst
        if dst == self.me:
            if kind in self.handlers:
                self.handlers[kind](src, handle, body)
            elif kind in ANSWERS:
                self.answer(src, handle, kind, body)
            elif link is self.up:
                self.early.append((kind, dst, src, handle, body))
            return
        out = self.up
        if link is out:
            out = self.links.get(dst)
        elif src not in self.links:
            return
        if out:
            out.transport.send(kind, dst, src, handle, body)
        elif START not in self.handlers:
            self.early.append((kind, dst, src, handle, body))
        elif kind in EXPECTANT and handle:
            link.transport.send(DEAD, src, dst, handle, EMPTY)  # type: ignore[union-attr]

    def handle(self, handlers):
        # type: (dict[int, Callable[[int, int, bytes], Any]]) -> None
        """Take on `handlers`, and what came for them before they were here.

        Not while another thread routes what comes from above.
        """
        self.handlers.update(handlers)
        early, self.early = self.early, []
        for frame in early:
            self.route(self.up, *frame)

    def send(self, kind, dst, handle, body):
        # type: (int, int, int, bytes) -> bool
        """Send a frame of our own, False if no link leads there. Any thread."""
        # What goes down only does so, also where the way there was just lost.
        link = self.links.get(dst, kind >= UP and self.up)
        if link:
            link.transport.send(kind, dst, self.me, handle, body)
        return bool(link)

    def ask(self, kind, dst, body, func):
        # type: (int, int, bytes, Callable[[int, bytes], Any]) -> int
        """Send a frame whose one answer goes to `func(kind, body)`. Any thread."""
        handle = 0
        while not handle or handle in self.asked:
            handle = self.count() & 0xFFFFFFFF
        self.asked[handle] = dst, func
        if not self.send(kind, dst, handle, body):
            self.answer(dst, handle, DEAD, EMPTY)
        return handle

    def answer(self, src, handle, kind, body):
        # type: (int, int, int, bytes) -> None
        """Hand the answer of `src` to whoever asked; once, and no other's."""
        if self.asked.get(handle, (None,))[0] == src:
            asked = self.asked.pop(handle, None)
            if asked:
                asked[1](kind, body)
