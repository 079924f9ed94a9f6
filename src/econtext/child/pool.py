"""
Several calls at once, in threads, where that was asked for (``threads=``).

Invariants:

* As many calls run as there are threads, the main one included; further ones wait,
  and begin in the order they came.
* The controller's own casts are carried out by the main thread.

Sent ahead of the first cast.  ``give`` is entered by the thread that leads.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from typing import Any

    from econtext.child.interfaces import Calls


from econtext.core.loop import Waiter, allocate_lock, start_new_thread


class Pool(object):
    def __init__(self, supervisor, threads):
        # type: (Calls, int) -> None
        self.supervisor = supervisor
        self.lock = allocate_lock()  # type: LockType
        self.queue = []  # type: list[tuple[int, int, bytes]]
        # Threads that may still be started; those that have nothing to do.
        self.startable = threads - 1  # type: int
        self.idle = []  # type: list[Worker]
        self.main_is_idle = True  # type: bool

    def take_over(self):
        # type: () -> None
        """Distribute what is here, as from now on what comes."""
        calls, self.supervisor.calls[:] = list(self.supervisor.calls), []
        for call in calls:
            self.give(*call)

    def give(self, src, handle, body):
        # type: (int, int, bytes) -> None
        """Find somebody to carry out a call."""
        call = src, handle, body
        if not handle:
            self.supervisor.give(*call)
            return
        self.lock.acquire()
        try:
            if self.main_is_idle:
                self.main_is_idle = False
                self.supervisor.give(*call)
            elif self.idle:
                self.idle.pop().take(call)
            elif not self.startable or not self.start(call):
                self.queue.append(call)
        finally:
            self.lock.release()

    def start(self, call):
        # type: (tuple[int, int, bytes]) -> bool
        worker = Worker(self, call)
        try:
            start_new_thread(worker.work, ())
        except:
            # This system has no more threads to give: fewer must do.
            self.startable = 0
            return False
        self.startable -= 1
        return True

    def answer(self, src, handle, body):
        # type: (int, int, bytes) -> None
        """Carry out a call in the main thread."""
        self.supervisor.answer(src, handle, body)
        if handle:
            self.lock.acquire()
            if self.queue:
                self.supervisor.give(*self.queue.pop(0))
            else:
                self.main_is_idle = True
            self.lock.release()


class Worker(object):
    """One more thread."""

    def __init__(self, pool, call):
        # type: (Pool, tuple[int, int, bytes]) -> None
        self.pool = pool
        self.call = call  # type: tuple[int, int, bytes]
        self.waiter = None  # type: Any

    def take(self, call):
        # type: (tuple[int, int, bytes]) -> None
        self.call = call
        self.pool.supervisor.home.loop.finish(self.waiter)

    def work(self):
        # type: () -> None
        pool = self.pool
        while 1:
            pool.supervisor.answer(*self.call)
            pool.lock.acquire()
            waits = not pool.queue
            if waits:
                self.waiter = Waiter(pool.supervisor.home.loop)
                pool.idle.append(self)
            else:
                self.call = pool.queue.pop(0)
            pool.lock.release()
            if waits:
                pool.supervisor.home.loop.wait(self.waiter)
