"""
The quick way on a link: small frames with few steps, large ones in turns.

What the preamble has no room for takes the link's own place as its `transport`.  A
small frame is written in one step, and routed from where it was read.  A large
frame that comes in many pieces would be copied twice: when the pieces are
joined, and when its body is cut off.  Once a link knows that much of a frame is
still to come, this reads it where it will stay.

Invariants:

* The same frames are routed, in the same order, as without it.
* No more is read than the frame that was begun.
* In a context between, no frame is stored that is larger than a part: what comes whole,
  from one that does not cut what it says, goes on in parts.
* A frame is judged before it is routed and before the next is looked at.
* While something is left to send, a thread is about to write it, or the link is
  watched for room.  At most one part of a frame is queued, so what comes from
  elsewhere meanwhile goes before the next.

Sent behind HELLO.  ``send`` is entered by any thread, the reading by the
thread that leads, holding the link's lock.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from _thread import LockType
    from typing import Any, Protocol

    from econtext.child.interfaces import Home
    from econtext.core.loop import Link, Outlet, Restraint
    from econtext.core.router import Large, Router

    class Filling(Protocol):
        """Told of what was read: ``parent.backlog.Backlog``."""

        def consider(self, link: Any, size: int) -> None: ...

import os
import select
import struct
import sys
try:
    import io
except ImportError:
    io = None  # type: ignore[assignment]

from econtext.child.kinds import PART
from econtext.core.loop import CHUNK, TRANSIENT
from econtext.child.parts import LARGEST, OPENING, OPENING_SIZE, PIECE, Lanes, Parts, block, room, view, window
from econtext.core.wire import EMPTY, FORMAT, HEADER_SIZE, MAGIC, BadFrame, pack

try:
    unpack_from = struct.Struct(FORMAT).unpack_from
except AttributeError:
    # Python 2.4.
    def unpack_from(data, at):  # type: ignore[misc]
        # type: (bytes, int) -> Any
        return struct.unpack(FORMAT, data[at:at + HEADER_SIZE])

BRIEF = 64          # bytes, enough for what tells that a large frame begins
# Since Python 3.3.
writev = getattr(os, 'writev', None)  # type: Any
MOST = 64           # buffers in one step

LARGE = 1 << 15     # bytes still to come, from which it is worth a buffer of its own


class Bulk(object):
    """The transport of one link."""

    def __init__(self, link, router, parts, backlog=None, ends=None):
        # type: (Link, Router, Large, Filling | None, Callable[[], Any] | None) -> None
        self.link = link
        self.router = router
        self.parts = parts
        # Its own by now, for it is open.
        self.lock = link.lock  # type: LockType
        self.lanes = Lanes()  # type: Lanes
        self.turns = self.lanes.turns  # type: list[tuple[int, int]]
        self.file = None  # type: Any
        self.buffer = None  # type: Any
        self.finish = None  # type: Any
        self.have = 0  # type: int
        # Bytes of the frame behind those that `buffer` is for, where it goes on in parts.
        self.left = 0  # type: int
        # Told of what was read here, for the way on may be full; and when that is empty.
        self.backlog = backlog
        self.outlet = None  # type: Outlet | None
        # Called before the reading end is closed.
        self.ends = ends
        # Asked before each frame whether the other end is to be given it still, see ``judge``.
        self.restraint = None  # type: Restraint | None
        # Bytes to read at a time: behind a large frame comes another, as a rule.
        self.most = CHUNK  # type: int

    # Sending.

    def send(self, kind, dst, src, handle, data, tag=EMPTY):
        # type: (int, int, int, int, Any, bytes) -> None
        """Send a frame, the body `data` behind its `tag`; in parts if it is large."""
        if self.restraint and self.restraint.refuses(self.link, kind, data):
            return
        size = len(tag) + len(data)
        if size >= CHUNK or self.lanes.lanes:
            if not (self.lanes.lanes or size > LARGEST) or not self.queue(
                    kind, dst, src, handle, tag, data):
                self.link.write(pack(kind, dst, src, handle, size) + tag, data)
            return
        frame = pack(kind, dst, src, handle, size) + tag + data
        link = self.link
        link.writing.acquire()
        try:
            size = 0
            if not link.queue:
                try:
                    size = os.write(link.out, frame)
                except OSError:
                    # Why not will show again.
                    if by_handler():
                        raise
            if size < len(frame):
                link.queue.append(window(frame)[size:])
                if len(link.queue) == 1:
                    self.flush()
        finally:
            link.writing.release()

    def queue(self, kind, dst, src, handle, tag, data):
        # type: (int, int, int, int, bytes, Any) -> bool
        """Have a frame wait for its turn, if it must; and see that it comes."""
        link = self.link
        cuts = len(data) > PIECE and src == self.router.me and (
            link is self.router.up or dst in self.parts.able)
        link.writing.acquire()
        try:
            waits = self.lanes.put(kind, dst, src, handle, tag, data, cuts)
        finally:
            link.writing.release()
        self.go_on()
        return waits

    def grant(self, dst, handle):
        # type: (int, int) -> None
        """Context `dst` has taken a step of what we are sending it."""
        self.link.writing.acquire()
        self.lanes.grant(dst, self.router.me, handle)
        self.link.writing.release()
        self.go_on()

    def go_on(self):
        # type: () -> None
        """Write parts until there is no room."""
        link = self.link
        try:
            while self.turns and not link.queue:
                link.write()
        finally:
            if self.turns and link.out not in link.loop.watched:
                link.loop.watch(link.out, self, select.POLLOUT)

    def forget(self, who):
        # type: (int) -> None
        """Context `who` is gone: send no more parts there. Any thread."""
        self.link.writing.acquire()
        self.lanes.forget(who)
        self.link.writing.release()

    def flush(self):
        # type: () -> None
        """Write what is queued, and one more part, as far as there is room."""
        link = self.link
        if self.drain() and self.turns:
            link.queue.extend(self.lanes.turn())
            self.drain()

    def drain(self):
        # type: () -> bool
        """Write what is queued; False if there is no room, for which the link then is watched."""
        link = self.link
        queue = link.queue
        try:
            while queue:
                self.step(queue)
        except:
            interrupted = by_handler()
            if interrupted or sys.exc_info()[1].errno in TRANSIENT:  # type: ignore[union-attr]
                if queue and link.out not in link.loop.watched:
                    link.loop.watch(link.out, self, select.POLLOUT)
                if interrupted:
                    raise
                return False
            # Nobody reads any more; what they still have to say may come.
            del queue[:]
        if self.outlet:
            self.outlet.emptied()
        return True

    def step(self, queue):
        # type: (list[Any]) -> None
        """Write some of what is queued, in one step."""
        pieces = queue[:writev and MOST or 1]
        try:
            if writev and len(pieces) > 1:
                size = writev(self.link.out, pieces)
            else:
                size = os.write(self.link.out, pieces[0])
        except:
            if by_handler():
                del queue[:len(pieces)]
            raise
        while queue and size >= len(queue[0]):
            size -= len(queue.pop(0))
        if size:
            queue[0] = window(queue[0])[size:]

    # Reading.

    def ready(self, fd):
        # type: (int) -> None
        link = self.link
        if fd == link.out:
            link.writing.acquire()
            try:
                self.flush()
                if not (link.queue or self.turns):
                    link.loop.forget(fd)
            finally:
                link.writing.release()
            return
        self.lock.acquire()
        try:
            try:
                if link.fd is None:
                    return
                if self.buffer is None:
                    size = self.read()
                else:
                    size = self.fill()
                if size and self.backlog:
                    self.backlog.consider(link, size)
            except BadFrame:
                self.close()
                link.hang_up()
                link.owner.lost(link, str(sys.exc_info()[1]))
        finally:
            self.lock.release()

    def close(self):
        # type: () -> None
        """Read no more."""
        if self.ends:
            self.ends()
        self.link.close()

    def read(self):
        # type: () -> int
        """Read once, and route what is whole; return how much was read."""
        link = self.link
        try:
            data = os.read(link.fd, self.most)  # type: ignore[arg-type]
        except OSError:
            if by_handler():
                raise
            if sys.exc_info()[1].errno in TRANSIENT:  # type: ignore[union-attr]
                return 0
            data = EMPTY
        self.most = CHUNK
        if not data:
            self.close()
        if link.decoder.have or not data:
            link.receive(data)
        else:
            self.take(data)
        if link.decoder.have and link.fd is not None:
            return len(data) + self.begin()
        return len(data)

    def take(self, data):
        # type: (bytes) -> None
        """Route the frames in `data`, which begins with one; leave the rest to the decoder."""
        link = self.link
        router, decoder, admission = link.router, link.decoder, link.admission
        at, end = 0, len(data)
        decoder.need = HEADER_SIZE
        while end - at >= HEADER_SIZE:
            magic, kind, dst, src, handle, size = unpack_from(data, at)
            if magic != MAGIC or not admission.accepts(link, kind, dst, src, handle, size):
                raise BadFrame(repr(data[at:at + 500]))
            body = at + HEADER_SIZE
            if body + size > end:
                decoder.need = HEADER_SIZE + size
                break
            at = body + size
            router.route(link, kind, dst, src, handle, data[body:at])
        if at < end:
            decoder.parts = [data[at:]]
            decoder.have = end - at

    def within(self):
        # type: () -> bool
        """Is what was read the beginning of a frame that is not whole yet?"""
        return self.link.decoder.have > 0 or self.buffer is not None

    def begin(self):
        # type: () -> int
        """Take over from the decoder, if it is at the beginning of a large frame; return how much was read."""
        decoder, router, parts = self.link.decoder, self.router, self.parts
        left = decoder.need - decoder.have
        if not (io and view and left > LARGE and decoder.parts):
            return 0
        begun = EMPTY.join(decoder.parts)
        header = struct.unpack(FORMAT, begun[:HEADER_SIZE])
        if header[1] == PART and header[2] == router.me:
            if len(begun) < HEADER_SIZE + OPENING_SIZE:
                return 0
            # What is here of the part is a part as well; the rest is read into place.
            self.route(header, begun[HEADER_SIZE:])
            self.buffer = parts.rest(header[3], left)
            self.finish = lambda: parts.filled(header[3], left)
            if self.buffer is None:
                self.buffer = view(block(left))
                self.finish = lambda: self.route(header, self.buffer)
            self.have = 0
        elif self.backlog and header[2] != router.me and header[5] > LARGEST:
            # It passes through: what would store it whole goes on in parts.
            opening = struct.pack(OPENING, header[1], header[5])
            header = header[:1] + (PART,) + header[2:]
            self.finish = lambda: self.route(header, self.buffer)
            self.route(header, opening + begun[HEADER_SIZE:])
            self.left = left
            self.next_part()
        else:
            self.buffer = room(decoder.need) or view(block(decoder.need))
            self.have = len(begun)
            self.buffer[:self.have] = begun
            self.finish = lambda: self.route(header, self.buffer[HEADER_SIZE:])
        decoder.parts = []
        if not self.file:
            self.file = io.FileIO(self.link.fd, 'r', closefd=False)  # type: ignore[arg-type]
        # Most of it is here by now.
        return self.fill()

    def next_part(self):
        # type: () -> None
        """Make room for the next part of a frame that goes on in parts."""
        size = min(self.left, PIECE)
        self.left -= size
        self.buffer = view(block(size))
        self.have = 0

    def fill(self):
        # type: () -> int
        """Read on; route the frame once it is whole; return how much was read."""
        link = self.link
        try:
            size = self.file.readinto(self.buffer[self.have:])
        except (IOError, OSError):
            if by_handler():
                raise
            if sys.exc_info()[1].errno in TRANSIENT:  # type: ignore[union-attr]
                return 0
            size = 0
        if size is None:
            return 0
        self.have += size
        if not size:
            # What was begun will not be whole, and is not the decoder's any more.
            link.decoder.have = 0
            self.close()
            link.receive(EMPTY)
        elif self.have == len(self.buffer) and self.left:
            self.finish()
            self.next_part()
        elif self.have == len(self.buffer):
            link.decoder.have = 0
            link.decoder.need = HEADER_SIZE
            self.most = BRIEF
            try:
                self.finish()
            finally:
                self.buffer = self.finish = None
        return int(size)

    def route(self, header, body):
        # type: (tuple[int, ...], Any) -> None
        if isinstance('', type(EMPTY)) and not isinstance(body, str):
            body = body.tobytes()
        self.link.router.route(
            self.link, header[1], header[2], header[3], header[4], body)


def by_handler():
    # type: () -> bool
    """
    Does the exception at hand come from the handler of a signal, and not from the system?

    Our descriptors block nobody, so a handler runs behind the system call: what was to
    be written was written.
    """
    return not getattr(sys.exc_info()[1], 'errno', None)


def send(router, kind, dst, handle, tag, data):
    # type: (Router, int, int, int, bytes, bytes) -> None
    """Send the large `data` behind its tag, without a copy of both. Any thread."""
    link = router.links.get(dst, router.up)
    if link and link.bulk:
        link.bulk.send(kind, dst, router.me, handle, data, tag)
    elif link:
        size = len(tag) + len(data)
        link.write(pack(kind, dst, router.me, handle, size) + tag, data)


def accelerate(link, router, backlog=None, ends=None):
    # type: (Link, Router, Filling | None, Callable[[], Any] | None) -> None
    """Have `link` of `router` take and send large frames in this way from now on; tell `backlog` what comes.

    `ends` is called before the reading end is closed.

    For who holds the lock of the link, so that no other thread reads from it.
    """
    if not router.parts:
        router.parts = Parts(router)
    bulk = Bulk(link, router, router.parts, backlog, ends)
    watched = link.loop.watched
    # So nobody writes, nor begins or ends to wait for room.
    link.writing.acquire()
    link.transport = link.bulk = bulk
    for fd in link.fd, link.out:
        if fd is not None and watched.get(fd) is link:
            watched[fd] = bulk
    link.writing.release()


def settle(home):
    # type: (Home) -> None
    """From now on be quick, and let the controller know. A cast; any thread."""
    from econtext.child import ending
    ending.settle(home)
    link = home.link
    link.lock.acquire()
    try:
        quicken(home)
    finally:
        link.lock.release()


def quicken(home):
    # type: (Home) -> None
    """Do that; for who holds the lock of the link."""
    if home.link.transport is home.link:
        accelerate(home.link, home.router)
        home.router.send(PART, 0, 0, EMPTY)
