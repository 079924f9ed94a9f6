"""
Which calls run, and which are not to begin.

Invariants:

* A call is answered once: by what its function did, or by DEAD if it was given up
  before it began; then its function never runs.
* A call is in ``waiting`` until it begins, which only one of both can end.
* ``running`` holds a call exactly while its function may be interrupted.

Follows the preamble.  ``answer`` is entered by whoever carries out calls,
``interrupt`` by the thread that leads.
"""
import sys
try:
    import _signal as signal
except ImportError:
    import signal
try:
    from _thread import allocate_lock, get_ident, start_new_thread
except ImportError:
    from thread import allocate_lock, get_ident, start_new_thread

from econtext.core.codec import encode
from econtext.core.kinds import BEGUN, WITHDRAW
from econtext.core.wire import CALL, DEAD, EMPTY, ERROR, RESULT


class Supervisor(object):
    def __init__(self, child):
        # type: (Child) -> None
        self.child = child
        child.supervisor = self
        self.dispatcher = child.dispatcher
        self.lock = allocate_lock()
        # (who asked, handle) -> the thread that carries it out.
        self.running = {}  # type: dict[tuple[int, int], int]
        # Those that have come and not begun.
        self.waiting = {}  # type: dict[tuple[int, int], bool]
        self.main = get_ident()
        # Called before each call; who is given what comes.
        self.before = int  # type: Callable[[], Any]
        self.give = self.dispatcher.receive
        # What the main thread is to be called away from, see ``interruption``.
        self.aim = None  # type: Any
        self.dispatcher.answer = self.answer
        signal.signal(signal.SIGURG, self.on_signal)

    def take_over(self):
        # type: () -> None
        """See to the calls that are here, and to those that come."""
        for call in self.dispatcher.calls:
            self.waiting[call[:2]] = True
        self.child.router.handlers[CALL] = self.receive
        threads = self.child.settings.get('threads', 1)
        if threads > 1:
            # Sent ahead of this.
            from econtext.core import pool
            pool.Pool(self, threads).take_over()

    def receive(self, src, handle, body):
        # type: (int, int, bytes) -> None
        self.waiting[src, handle] = True
        self.give(src, handle, body)

    def begin(self, call):
        # type: (tuple[int, int]) -> bool
        """Note that `call` runs; False if it was given up."""
        self.lock.acquire()
        try:
            self.running[call] = get_ident()
            # In this order: at the end of the context nothing else would call it away.
            if self.waiting.pop(call, not call[1]) and not self.dispatcher.ended:
                return True
            del self.running[call]
            return False
        finally:
            self.lock.release()

    def answer(self, src, handle, body):
        # type: (int, int, bytes) -> None
        """Carry out one call."""
        call = src, handle
        if not self.begin(call):
            return
        kind = RESULT
        self.before()
        try:
            try:
                value = self.dispatcher.perform(handle, body)
                if self.aim and self.aim.calls.pop(call, None):
                    raise self.aim.error('the call was given up as it returned')
            finally:
                self.running.pop(call, None)
            value = encode(value)
        except:
            if self.dispatcher.ended:
                raise
            from econtext.core import failure
            kind = ERROR
            value = failure.describe(*sys.exc_info())
        if handle or kind == ERROR:
            self.child.logs.flush()
            self.child.router.send(kind, src, handle, value)

    def interrupt(self, src, handle, body):
        # type: (int, int, bytes) -> None
        """Give up a call."""
        call = src, handle
        self.lock.acquire()
        dropped = self.waiting.pop(call, False)
        runs = call in self.running
        self.lock.release()
        if dropped:
            self.child.router.send(DEAD, src, handle, EMPTY)
        elif not runs:
            # Its answer is on its way.
            pass
        elif body == WITHDRAW:
            self.child.router.send(BEGUN, src, handle, EMPTY)
        else:
            try:
                # A thread of its own: it imports, which the leader must never do.
                start_new_thread(self.strike, (call,))
            except:
                # No thread to be had: who asked ends this context after the grace.
                pass

    def on_signal(self, *event):
        # type: (Any) -> None
        if self.aim:
            self.aim.on_signal(*event)

    def strike(self, call):
        # type: (tuple[int, int]) -> None
        from econtext.core import interruption
        interruption.strike(self, call)
