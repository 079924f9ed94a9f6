"""
Read large frames straight into their buffer.

A frame that comes in many pieces would be copied twice: when the pieces are
joined, and when its body is cut off.  Once a link knows that much of a frame is
still to come, this reads it where it will stay.

Invariants:

* The same frames are routed, in the same order, as without it.
* No more is read than the frame that was begun.

Follows the preamble.  Entered by the thread that leads, holding the link's lock.
"""
import struct
import sys
try:
    import io
    view = memoryview  # type: Any
except (ImportError, NameError):
    view = None
try:
    import mmap
    # Pages that nobody filled cost nothing, however much was announced.  Private
    # ones may be huge, and are filled several times faster.
    PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    view(mmap.mmap(-1, 1, PRIVATE))

    def room(size):
        # type: (int) -> Any
        if size < HUGE:
            return bytearray(size)
        pages = mmap.mmap(-1, size, PRIVATE)
        try:
            pages.madvise(mmap.MADV_HUGEPAGE)
        except (AttributeError, EnvironmentError):
            # Python before 3.8, or a system without them.
            pass
        return pages
except (ImportError, AttributeError, TypeError, EnvironmentError):
    def room(size):
        # type: (int) -> Any
        return bytearray(size)

from econtext.core.loop import TRANSIENT
from econtext.core.wire import EMPTY, FORMAT, HEADER_SIZE, BadFrame, pack


LARGE = 1 << 15     # bytes still to come, from which it is worth a buffer of its own
HUGE = 1 << 21      # bytes, from which huge pages are worth a mapping of its own


class Bulk(object):
    """Reads for one link."""

    def __init__(self, link):
        # type: (Link) -> None
        self.link = link
        self.buffer = None  # type: Any

    def ready(self, fd):
        # type: (int) -> None
        link = self.link
        if self.buffer is not None and fd != link.out:
            link.lock.acquire()
            try:
                self.fill()
            finally:
                link.lock.release()
            return
        type(link).ready(link, fd)
        decoder = link.decoder
        if decoder.need - decoder.have > LARGE and decoder.parts and link.fd is not None:
            self.begin(decoder)

    def begin(self, decoder):
        # type: (Any) -> None
        """Take over from the decoder, in the middle of a frame."""
        begun = EMPTY.join(decoder.parts)
        decoder.parts = []
        self.buffer = view(room(decoder.need))
        self.buffer[:len(begun)] = begun
        self.have = len(begun)
        self.file = io.FileIO(self.link.fd, 'r', closefd=False)

    def fill(self):
        # type: () -> None
        """Read on; route the frame once it is whole."""
        link = self.link
        if link.fd is None:
            return
        try:
            size = self.file.readinto(self.buffer[self.have:])
        except (IOError, OSError):
            if sys.exc_info()[1].args[0] in TRANSIENT:
                return
            size = 0
        if size is None:
            return
        self.have += size
        if not size:
            self.buffer = None
            link.close()
            link.receive(EMPTY)
        elif self.have == len(self.buffer):
            self.finish()

    def finish(self):
        # type: () -> None
        link, frame = self.link, self.buffer
        self.buffer = None
        link.decoder.have = 0
        link.decoder.need = HEADER_SIZE
        header = struct.unpack(FORMAT, frame[:HEADER_SIZE].tobytes())
        body = frame[HEADER_SIZE:]
        if isinstance('', type(EMPTY)):
            body = body.tobytes()
        try:
            link.router.route(link, header[1], header[2], header[3], header[4], body)
        except BadFrame:
            link.close()
            link.hang_up()
            link.owner.lost(link, str(sys.exc_info()[1]))


def send(router, kind, dst, handle, tag, data):
    # type: (Router, int, int, int, bytes, bytes) -> None
    """Send the large `data` behind its tag, without a copy of both. Any thread."""
    link = router.links.get(dst, router.up)
    if link:
        size = len(tag) + len(data)
        link.write(pack(kind, dst, router.me, handle, size) + tag, data)


def accelerate(link):
    # type: (Link) -> None
    """Have `link` read large frames in this way from now on, where Python can."""
    if view:
        link.ready = Bulk(link).ready
