"""
Large frames in parts: how they are cut up, and made whole at their destination.

A frame as large as a disk image would hold up all others behind it, and each
context on its way would have to hold it whole.  So what a context has to say
that is longer than PIECE goes as frames of kind PART, each with the next bytes.
The first begins with an opening: the kind and the length of the whole.  The
contexts between pass parts on as they come, like any frame.  What is sent down to a
context in the moment before it has said that it understands parts goes whole.

Invariants:

* Of what one context says to another, frames of the ORDERED kinds arrive in the
  order in which they were sent.
* Parts of at most one frame at a time are on the way from one context to another,
  so whom a part is from tells what it is a part of.
* Of one large frame at most AHEAD bytes are on the way: what is slow to take it
  stops its sender, and no context between them stores for it.
* While anything may be sent, ``turn`` yields some of it; each pair of contexts has
  its turn.
* An opening is judged as the header of the whole frame would have been.
* Memory follows what has arrived, not what was announced; what nobody would hear takes none.

The argument for the order: a pair has a lane here from when a frame between the
two is begun until nothing is left to send for it.  All that is ORDERED waits in
the lane, first in, first out, and the lane is left in that order; without a lane,
frames leave at once.  So two ORDERED frames of a pair keep their order here, and
links keep it on the way.  What is not ORDERED never waits, and keeps its order
among itself: START before what is for the new context, say.  Only what is our own
is cut: two contexts that speak as one would mix their parts.

The argument for progress: a lane begins with a frame that is not yet sent, for
``turn`` lets out all that was behind it until one needs parts again.  It is in
`turns` exactly while some of that frame may be sent.  If none may, AHEAD bytes are
on the way; whoever takes them in, a thread that leads and does nothing else, says
so at each STEP by an empty part, and the lane is in `turns` again.  If the taker is
gone, so is the lane.  No lane waits for another.

Sent behind HELLO.  Pure: no descriptors, threads or clocks.  ``Lanes`` is
entered with the link's ``writing`` held, ``Parts`` by the thread that leads.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from econtext.core.loop import Link
    from econtext.core.router import Router

import struct
try:
    view = memoryview  # type: Any
    window = memoryview  # type: Any
    block = bytearray  # type: Any
except NameError:
    view = None
    block = None
    window = buffer  # type: ignore[name-defined]
try:
    import mmap
    # Pages that nobody filled cost nothing, however much was announced.  Private
    # ones may be huge, and are filled several times faster.
    PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    view(mmap.mmap(-1, 1, PRIVATE))
except (ImportError, AttributeError, TypeError, EnvironmentError):
    mmap = None  # type: ignore[assignment]

from econtext.child.kinds import ASKED, INTERRUPT, PART
from econtext.core.wire import (
    CALL, CLOSE, DATA, EMPTY, ERROR, LOG, RESULT, STDIO, BadFrame, pack)

PIECE = 1 << 18     # bytes of a frame that go in one part
AHEAD = 1 << 22     # bytes of a frame that may be on the way at first
STEP = 1 << 20      # bytes, each time that so many have come
SMALL = 1 << 19     # bytes of a frame that are held ready before they come
OPENING = '>BL'     # kind and length of the whole
OPENING_SIZE = struct.calcsize(OPENING)
LARGEST = PIECE + 64    # bytes in a part: a piece, behind an opening and a tag
ORDERED = CALL, INTERRUPT, RESULT, ERROR, LOG, STDIO, DATA, CLOSE, ASKED


def room(size):
    # type: (int) -> Any
    """Return memory to be filled, None where it would be taken before it is."""
    if size <= SMALL:
        return view(block(size))
    if mmap is None:
        return None
    pages = mmap.mmap(-1, size, PRIVATE)
    try:
        pages.madvise(mmap.MADV_HUGEPAGE)
    except (AttributeError, EnvironmentError):
        # Python before 3.8, or a system without them.
        pass
    return view(pages)


class Whole(object):
    """A frame that is to go in parts; `tag` is the first of its body, `data` the rest."""

    def __init__(self, kind, dst, src, handle, tag, data):
        # type: (int, int, int, int, bytes, bytes) -> None
        self.header = dst, src, handle  # type: tuple[int, int, int]
        self.head = struct.pack(OPENING, kind, len(tag) + len(data)) + tag  # type: bytes
        self.data = window(data)  # type: Any
        self.at = 0  # type: int
        self.allowed = AHEAD

    def part(self):
        # type: () -> list[Any]
        """Return the next part, in pieces."""
        piece = self.data[self.at:self.at + PIECE]
        self.at += len(piece)
        head, self.head = self.head, EMPTY
        dst, src, handle = self.header
        return [pack(PART, dst, src, handle, len(head) + len(piece)) + head, piece]


class Lanes(object):
    """What waits to be sent on one link."""

    def __init__(self):
        # type: () -> None
        # (dst, src) -> frames, as buffers or Whole; the first is the one begun.
        self.lanes = {}  # type: dict[tuple[int, int], list[Any]]
        self.turns = []  # type: list[tuple[int, int]]

    def put(self, kind, dst, src, handle, tag, data, cuts):
        # type: (int, int, int, int, bytes, bytes, bool) -> bool
        """Take a frame, in parts if `cuts`; False if it may leave at once."""
        pair = dst, src
        waits = kind in ORDERED and pair in self.lanes
        if cuts and kind in ORDERED:
            frame = Whole(kind, dst, src, handle, tag, data)  # type: Any
        elif waits:
            frame = [pack(kind, dst, src, handle, len(tag) + len(data)) + tag, data]
        else:
            return False
        if not waits:
            self.lanes[pair] = []
            self.turns.append(pair)
        self.lanes[pair].append(frame)
        return True

    def turn(self):
        # type: () -> list[Any]
        """Return what may be written next, while there are `turns`."""
        pair = self.turns.pop(0)
        frames = self.lanes[pair]
        buffers = frames[0].part()  # type: list[Any]
        if frames[0].at == len(frames[0].data):
            frames.pop(0)
            while frames and type(frames[0]) is list:
                buffers.extend(frames.pop(0))
        if not frames:
            del self.lanes[pair]
        elif frames[0].at < frames[0].allowed:
            self.turns.append(pair)
        return buffers

    def grant(self, dst, src, handle):
        # type: (int, int, int) -> None
        """More may be sent of the frame that is on its way."""
        frames = self.lanes.get((dst, src))
        if frames and frames[0].header[2] == handle:
            # No more than it can have taken: what it says of the frame before counts for none.
            frames[0].allowed = min(frames[0].allowed + STEP, frames[0].at + AHEAD)
            if (dst, src) not in self.turns:
                self.turns.append((dst, src))

    def forget(self, dst):
        # type: (int) -> None
        """Nobody can be reached at `dst` any more."""
        for pair in list(self.lanes):
            if pair[0] == dst:
                del self.lanes[pair]
                if pair in self.turns:
                    self.turns.remove(pair)


class Begun(object):
    """A frame of which parts have arrived."""

    def __init__(self, kind, handle, size, kept=True):
        # type: (int, int, int, bool) -> None
        self.kind = kind
        self.handle = handle
        self.size = size
        self.kept = kept
        self.have = 0  # type: int
        self.pieces = []  # type: list[Any]
        self.room = None  # type: Any
        if view and kept:
            self.room = room(size)

    def add(self, data):
        # type: (Any) -> None
        end = self.have + len(data)
        if end > self.size:
            raise BadFrame('parts of more than was announced')
        if self.room is not None:
            self.room[self.have:end] = data
        elif self.kept:
            self.pieces.append(data)
        self.have = end

    def body(self):
        # type: () -> Any
        if self.room is None:
            return EMPTY.join(self.pieces)
        if isinstance('', type(EMPTY)):
            return self.room.tobytes()
        return self.room


class Parts(object):
    """The large frames on their way to one context."""

    def __init__(self, router):
        # type: (Router) -> None
        self.router = router
        self.begun = {}  # type: dict[int, Begun]
        # Contexts below us that are known to understand parts.
        self.able = {}  # type: dict[int, bool]
        # Tells whether a frame of that kind from there is kept: one that would not be
        # heard is not, but its parts are told from those of the next.
        self.keeps = lambda src, kind: True  # type: Callable[[int, int], bool]
        router.handlers[PART] = self.receive

    def receive(self, src, handle, data):
        # type: (int, int, Any) -> None
        """Take a part; hand the frame on once it is whole."""
        if not data:
            link = self.router.links.get(src, self.router.up)
            self.able[src] = True
            if link and link.bulk:
                link.bulk.grant(src, handle)
            return
        begun = self.begun.get(src)
        if begun is None:
            if len(data) < OPENING_SIZE:
                raise BadFrame('a part without its opening')
            kind, size = struct.unpack(OPENING, data[:OPENING_SIZE])
            data = data[OPENING_SIZE:]
            link = self.router.links.get(src, self.router.up)
            # There is none if it was lost just now.
            admission = getattr(link, 'admission', self.router)
            if kind not in ORDERED or not admission.accepts(
                    link, kind, self.router.me, src, handle, size):
                raise BadFrame('parts of a frame of kind %d and %d bytes' % (kind, size))
            begun = self.begun[src] = Begun(kind, handle, size, self.keeps(src, kind))
        elif handle != begun.handle:
            raise BadFrame('parts of two frames at a time')
        begun.add(data)
        self.check(src, begun, len(data))

    def rest(self, src, size):
        # type: (int, int) -> Any
        """Return where the next `size` bytes from `src` belong, None if nowhere."""
        begun = self.begun.get(src)
        if begun and begun.room is not None and begun.have + size <= begun.size:
            return begun.room[begun.have:begun.have + size]

    def filled(self, src, size):
        # type: (int, int) -> None
        """The bytes have come that ``rest`` was asked for."""
        begun = self.begun.get(src)
        if begun:
            begun.have += size
            self.check(src, begun, size)

    def check(self, src, begun, size):
        # type: (int, Begun, int) -> None
        if begun.have // STEP > (begun.have - size) // STEP:
            self.router.send(PART, src, begun.handle, EMPTY)
        if begun.have == begun.size:
            self.begun.pop(src, None)
            if not begun.kept:
                return
            link = self.router.links.get(src, self.router.up)
            self.router.route(
                link, begun.kind, self.router.me, src, begun.handle, begun.body())

    def forget(self, link, who):
        # type: (Link | None, int) -> None
        """Context `who`, behind `link`, is gone. Any thread."""
        self.able.pop(who, None)
        self.begun.pop(who, None)
        if link and link.bulk:
            link.bulk.forget(who)

