"""
Carry out calls, one after the other in the main thread: which run, and which are not to begin.

Invariants:

* A call is answered once: by what its function did, whatever that is, or by DEAD if it was
  given up before it began; then its function never runs.
* What a call printed or logged is sent before its answer: `before_answer` is run then, in order.
* A call is in ``waiting`` until it begins, which only one of both can end.
* ``running`` holds a call exactly while its function may be interrupted.

Follows the preamble.  ``serve`` is entered by the main thread, ``answer`` by whoever carries
out calls, ``receive`` and ``interrupt`` by the thread that leads, ``give`` by any.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from _thread import LockType
    from typing import Any

    from econtext.core.calls import Dispatcher
    from econtext.child.interfaces import Aim, Desk, Home
    from econtext.core.loop import Waiter

import marshal
import sys
try:
    import _signal as signal
except ImportError:
    import signal

from econtext.core.calls import find
from econtext.core.codec import encode, native
from econtext.child.kinds import BEGUN, WITHDRAW
from econtext.core.loop import allocate_lock, get_ident, start_new_thread
from econtext.core.wire import CALL, DEAD, EMPTY, ERROR, RESULT


class Supervisor(object):
    def __init__(self, home, dispatcher):
        # type: (Home, Dispatcher) -> None
        self.home = home
        self.calls = dispatcher.calls  # type: list[tuple[int, int, bytes]]
        self.waiter = dispatcher.waiter  # type: Waiter
        self.functions = {}  # type: dict[tuple[Any, Any], Any]
        self.ended = False
        self.lock = allocate_lock()  # type: LockType
        # (who asked, handle) -> the thread that carries it out.
        self.running = {}  # type: dict[tuple[int, int], int]
        # Those that have come and not begun.
        self.waiting = {}  # type: dict[tuple[int, int], bool]
        self.main = get_ident()  # type: int
        self.before_answer = [home.flow.flush]  # type: list[Callable[[], Any]]
        # Who distributes what comes, and answers what falls to the main thread.
        self.desk = self  # type: Desk
        # What the main thread is to be called away from, see ``interruption``.
        self.aim = None  # type: Aim | None
        signal.signal(signal.SIGURG, self.on_signal)

    def take_over(self):
        # type: () -> None
        """See to the calls that are here, and to those that come."""
        for call in self.calls:
            self.waiting[call[:2]] = True
        self.home.router.handlers[CALL] = self.receive
        threads = self.home.settings['threads']
        if threads > 1:
            # Sent ahead of this.
            from econtext.child import pool
            self.desk = pool.Pool(self, threads)
            self.desk.take_over()

    def receive(self, src, handle, body):
        # type: (int, int, bytes) -> None
        self.waiting[src, handle] = True
        self.desk.give(src, handle, body)

    def give(self, src, handle, body):
        # type: (int, int, bytes) -> None
        """Have the main thread carry out a call."""
        self.calls.append((src, handle, body))
        self.home.loop.finish(self.waiter)

    def serve(self):
        # type: () -> None
        """Carry out calls till the context ends."""
        while not self.ended:
            # In this order: who ends us sets `ended` first, and then has the waiter done.
            self.waiter.done = False
            if self.calls:
                self.desk.answer(*self.calls.pop(0))
            elif not self.ended:
                self.home.loop.wait(self.waiter)

    def begin(self, call):
        # type: (tuple[int, int]) -> bool
        """Note that `call` runs; False if it was given up."""
        self.lock.acquire()
        try:
            self.running[call] = get_ident()
            # In this order: at the end of the context nothing else would call it away.
            if self.waiting.pop(call, not call[1]) and not self.ended:
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
        self.home.watch.before()
        try:
            try:
                value = self.perform(handle, body)
                if self.aim and self.aim.calls.pop(call, None):
                    raise self.aim.error('the call was given up as it returned')
            finally:
                self.running.pop(call, None)
            value = encode(value)
        except:
            if self.ended:
                raise
            from econtext.child import failure
            kind = ERROR
            value = failure.describe(*sys.exc_info())
        if handle or kind == ERROR:
            for each in self.before_answer:
                each()
            self.home.router.send(kind, src, handle, value)

    def perform(self, handle, body):
        # type: (int, bytes) -> Any
        """Call a function; that of a cast is given our home as well."""
        module, name, args, kwargs = self.home.restore(marshal.loads(body))
        if (module, name) not in self.functions:
            self.functions[module, name] = find(native(module), native(name))
        if kwargs:
            kwargs = dict([(native(key), kwargs[key]) for key in kwargs])
        if not handle:
            args = (self.home,) + args
        return self.functions[module, name](*args, **kwargs)

    def interrupt(self, src, handle, body):
        # type: (int, int, bytes) -> None
        """Give up a call."""
        call = src, handle
        self.lock.acquire()
        dropped = self.waiting.pop(call, False)
        runs = call in self.running
        self.lock.release()
        if dropped:
            self.home.router.send(DEAD, src, handle, EMPTY)
        elif not runs:
            # Its answer is on its way.
            pass
        elif body == WITHDRAW:
            self.home.router.send(BEGUN, src, handle, EMPTY)
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
        from econtext.child import interruption
        interruption.strike(self, call)
