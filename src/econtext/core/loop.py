"""
The one place that waits: whoever waits for an answer runs the loop itself.

Handing each answer from an I/O thread to the thread that wants it costs more
than all the rest of a call.  So the thread that waits leads: it polls, reads
and routes until its own answer has come, then passes leadership on.  Others
who wait meanwhile are parked and woken by whoever leads.  A spare thread leads
while the application computes and nobody waits.  It takes its time, a tick,
before it does: between the calls of a busy program it never comes to lead, and
a call costs no switch of threads at all.  Once parked or leading it uses no
processor time.

Invariants:

* At most one thread leads.  ``led`` is true exactly while some waiter ``leads``.
* A waiter that is parked is neither done nor leading.  It leaves ``parked`` in
  the same breath, under ``lock``, in which its gate is opened: by whoever is
  done with it or by whoever appoints it to lead.  So no wake-up is lost, and no
  gate is opened twice.
* Who stops leading appoints a parked waiter, if there is one.  So while somebody
  waits, somebody leads.
* Nothing here runs the application's own code.

Any thread may enter ``wait``, ``finish`` and ``Link.send``.  All else
is for the thread that leads.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable
    from typing import Any, Protocol

    class Watcher(Protocol):
        """Told that something can be done with a descriptor."""

        def ready(self, fd: int) -> None: ...

    class Ways(Protocol):
        """How threads wait: the one that leads, and others."""

        def turn(self, waiter: 'Waiter') -> None: ...
        def park(self, waiter: 'Waiter') -> None: ...

    class Owner(Protocol):
        """Whom the end of a link concerns."""

        def lost(self, link: Any, reason: str) -> None: ...

    class Admission(Protocol):
        """Judges the headers of frames that come in."""

        def accepts(self, link: Any, kind: int, dst: int, src: int, handle: int, size: int) -> bool: ...

    class Routing(Admission, Protocol):
        """Where frames go."""

        def route(self, link: Any, kind: int, dst: int, src: int, handle: int, body: bytes) -> None: ...

    class Transport(Protocol):
        """How frames are sent on a link, written to it and read from it."""

        def send(self, kind: int, dst: int, src: int, handle: int, body: Any) -> None: ...
        def flush(self) -> None: ...
        def ready(self, fd: int) -> None: ...
        def close(self) -> None: ...

    class Restraint(Protocol):
        """Asked before each frame whether the other end is to be given it still."""

        def refuses(self, link: Any, kind: int, body: Any) -> bool: ...

    class Outlet(Protocol):
        """Told that all that waited was taken."""

        def emptied(self) -> None: ...

    class Quick(Transport, Protocol):
        """A transport for large frames too: ``bulk.Bulk``."""

        restraint: Restraint | None
        outlet: Outlet | None

        def send(self, kind: int, dst: int, src: int, handle: int, body: Any, tag: bytes = ...) -> None: ...
        def grant(self, dst: int, handle: int) -> None: ...
        def forget(self, who: int) -> None: ...
        def within(self) -> bool: ...

import errno
import fcntl
import os
import select
import sys
import time
# All other modules take these from here.
try:
    from _thread import allocate_lock as allocate_lock, get_ident as get_ident, start_new_thread as start_new_thread
except ImportError:
    from thread import allocate_lock as allocate_lock, get_ident as get_ident, start_new_thread as start_new_thread
try:
    view = memoryview  # type: Any
except NameError:
    view = buffer  # type: ignore[name-defined]

from econtext.core.wire import EMPTY, BadFrame, Decoder, pack

TICK = 0.005        # seconds before the spare thread takes the lead
CHUNK = 65536       # above 64 KiB the allocator maps memory for every read
TRANSIENT = errno.EAGAIN, errno.EINTR


class Waiter(object):
    """Somebody who waits; `done` once there is nothing to wait for."""
    done = leads = False
    gate = None  # type: Any
    kind = None  # type: int | None
    body = EMPTY  # type: bytes

    def __init__(self, loop):
        # type: (Loop) -> None
        self.loop = loop

    def settle(self, kind, body):
        # type: (int, bytes) -> None
        self.kind = kind
        self.body = body
        self.loop.finish(self)


class Loop(object):
    poller = None  # type: Any
    patience = -1  # type: float
    def __init__(self):
        # type: () -> None
        self.poller, self.patience = make_poller()
        self.watched = {}  # type: dict[int, Watcher]
        self.lock = allocate_lock()  # type: LockType
        self.led = False  # type: bool
        self.parked = {}  # type: dict[Waiter, bool]
        self.turns = 0  # type: int
        self.relief = Waiter(self)  # type: Waiter
        # How whoever leads waits, and all others: `turn` and `park`; a ``watch`` once there is one.
        self.ways = self  # type: Ways

    def wait(self, waiter):
        # type: (Waiter) -> None
        """Return when `waiter` is done, having led the loop if nobody else did."""
        self.turns += 1
        try:
            self.enter(waiter)
            while not waiter.done:
                self.ways.turn(waiter)
        finally:
            self.leave(waiter)

    def enter(self, waiter):
        # type: (Waiter) -> None
        self.lock.acquire()
        parks = self.led and not waiter.done
        if parks:
            waiter.gate = allocate_lock()
            waiter.gate.acquire()
            self.parked[waiter] = True
        elif not waiter.done:
            waiter.leads = self.led = True
        self.lock.release()
        if parks:
            self.ways.park(waiter)

    def leave(self, waiter):
        # type: (Waiter) -> None
        self.lock.acquire()
        self.parked.pop(waiter, None)
        if waiter.leads:
            waiter.leads = self.led = False
            if self.parked:
                heir = self.parked.popitem()[0]
                heir.leads = self.led = True
                heir.gate.release()
        self.lock.release()

    def finish(self, waiter):
        # type: (Waiter) -> None
        """`waiter` is done. Any thread."""
        self.lock.acquire()
        waiter.done = True
        if self.parked.pop(waiter, None):
            # That thread is at work again: let it lead its next wait.
            if self.relief.leads:
                self.relief.done = True
            waiter.gate.release()
        self.lock.release()

    def park(self, waiter):
        # type: (Waiter) -> None
        waiter.gate.acquire()

    def turn(self, waiter):
        # type: (Waiter) -> None
        """Wait for something to happen, and do what it asks for."""
        try:
            events = self.poller.poll(self.patience)
        except (OSError, IOError, select.error):
            if sys.exc_info()[1].args[0] != errno.EINTR:  # type: ignore[union-attr]
                raise
            events = []
        for fd, _ in events:
            watcher = self.watched.get(fd)
            if watcher:
                watcher.ready(fd)

    def spare(self):
        # type: () -> None
        """Lead whenever nobody has begun to wait for a tick; never returns."""
        while 1:
            seen = self.turns
            time.sleep(TICK)
            if seen == self.turns:
                self.relief.done = False
                self.wait(self.relief)

    def watch(self, fd, watcher, events=select.POLLIN):
        # type: (int, Watcher, int) -> None
        self.watched[fd] = watcher
        self.poller.register(fd, events)

    def forget(self, fd):
        # type: (int) -> None
        if self.watched.pop(fd, None):
            self.poller.unregister(fd)


def make_poller():
    # type: () -> tuple[Any, int]
    """Return what polls, and for how long at a time.

    A thread may ask for POLLOUT while another polls.  epoll heeds it at once;
    poll does when it looks again.
    """
    try:
        return select.epoll(), -1
    except AttributeError:
        return select.poll(), 20


def harden(fd):
    # type: (int) -> None
    """Make `fd` non-blocking and keep it out of programs we start."""
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)
    fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)


class Reader(object):
    """Watch a descriptor and hand what arrives to `receive`; empty is the end."""
    fd = None  # type: int | None

    def __init__(self, loop, fd, receive):
        # type: (Loop, int, Callable[[bytes], Any]) -> None
        self.loop = loop
        self.fd = fd
        self.receive = receive
        self.lock = allocate_lock()  # type: LockType
        harden(fd)
        loop.watch(fd, self)

    def ready(self, fd):
        # type: (int) -> None
        """Read once. Any thread."""
        self.lock.acquire()
        try:
            if self.fd is None:
                return
            try:
                data = os.read(self.fd, CHUNK)
            except OSError:
                if not sys.exc_info()[1].errno:  # type: ignore[union-attr]
                    # A signal handler's.
                    raise
                if sys.exc_info()[1].errno in TRANSIENT:  # type: ignore[union-attr]
                    return
                data = EMPTY
            if not data:
                self.close()
            self.receive(data)
        finally:
            self.lock.release()

    def close(self):
        # type: () -> None
        fd, self.fd = self.fd, None
        if fd is not None:
            self.loop.forget(fd)
            os.close(fd)


class Link(Reader):
    """
    Frames to and from the context at the other end of two descriptors.

    What is sent is written at once by whoever sends; the leader writes what did
    not fit.  `owner.lost(link, reason)` is called once, when nothing more will come.
    """

    # The transport as what else it can do, if it is a ``bulk``.
    bulk = None  # type: Quick | None

    def __init__(self, loop, router, owner):
        # type: (Loop, Routing, Owner) -> None
        self.loop = loop
        # Who judges the headers that come in, until another is to: before it is opened.
        self.router = router
        self.admission = router  # type: Admission
        self.owner = owner
        self.receive = self.decode  # type: Callable[[bytes], Any]
        # What sends, writes and reads on it: `send`, `flush`, `ready`, `close`; ``bulk`` once that is there.
        self.transport = self  # type: Transport
        self.lock = allocate_lock()  # type: LockType
        self.out = -1  # type: int
        self.queue = []  # type: list[Any]
        self.writing = allocate_lock()  # type: LockType
        self.decoder = Decoder(
            lambda *header: self.admission.accepts(self, *header))  # type: Decoder

    def open(self, fd, out):
        # type: (int, int) -> None
        """Read from `fd`, write to `out`, and first what was queued before."""
        harden(out)
        self.out = out
        Reader.__init__(self, self.loop, fd, self.receive)
        self.write()

    def decode(self, data):
        # type: (bytes) -> None
        reason = ''
        try:
            for frame in self.decoder.feed(data):
                self.router.route(self, *frame)
        except BadFrame:
            data, reason = EMPTY, str(sys.exc_info()[1])
        if not data:
            self.transport.close()
            self.hang_up()
            self.owner.lost(self, reason)

    def ready(self, fd):
        # type: (int) -> None
        if fd != self.out:
            Reader.ready(self, fd)
            return
        self.writing.acquire()
        try:
            self.transport.flush()
            # Another one is asked itself from now on.
            if not self.queue and self.transport is self:
                self.loop.forget(fd)
        finally:
            self.writing.release()

    def send(self, kind, dst, src, handle, body):
        # type: (int, int, int, int, bytes) -> None
        """Send a frame; what the link cannot take now is kept. Any thread."""
        head = pack(kind, dst, src, handle, len(body))
        if len(body) < CHUNK:
            self.write(head + body)
        else:
            self.write(head, body)

    def write(self, *buffers):
        # type: (bytes) -> None
        """Write `buffers` behind all that was written before. Any thread."""
        self.writing.acquire()
        try:
            waits = len(self.queue)
            self.queue.extend(buffers)
            if not (waits and buffers):
                self.transport.flush()
        finally:
            self.writing.release()

    def flush(self):
        # type: () -> None
        queue = self.queue
        try:
            while queue:
                size = os.write(self.out, queue[0])
                if size < len(queue[0]):
                    queue[0] = view(queue[0])[size:]
                else:
                    queue.pop(0)
        except OSError:
            if sys.exc_info()[1].args[0] not in TRANSIENT:  # type: ignore[union-attr]
                # Nobody reads any more; what they still have to say may come.
                del queue[:]
            elif self.out not in self.loop.watched:
                self.loop.watch(self.out, self, select.POLLOUT)

    def hang_up(self):
        # type: () -> None
        """Send no more: the other end reads what was written, then the end."""
        self.writing.acquire()
        try:
            if self.out >= 0:
                self.loop.forget(self.out)
                os.close(self.out)
            self.out = -1
            del self.queue[:]
        finally:
            self.writing.release()
