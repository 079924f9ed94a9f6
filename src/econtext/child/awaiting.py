"""
Run coroutine functions: several at once, on one event loop of this context; or one to its end, as any call.

The strategy: `begin` starts a thread that runs an event loop of asyncio, and takes over the handlers of calls and of
their interruptions.  From then on each call of `run` is a task of that loop, and its answer is sent as the task
ends; all other calls are carried out as ever, and neither waits for the other.  A program that does not await its
calls calls `alone`, which has an event loop of its own.

Invariants:

* A call is answered once, by what its task did, whatever that is.
* An interruption cancels the task; one that does not end then is told of by nobody: the program ends the context.
* What was printed before is sent before the answer.
* At the end of the context the tasks are cancelled, and their cleanup has the time of that of all functions.
* No task ends the event loop, whatever it raises.  If the loop itself fails, all its calls are answered with its error.
* The thread that leads decodes no more than it takes to see whom a call is for, and imports nothing.

Sent with the first call of a coroutine function.  ``receive`` and ``interrupt`` are entered by the thread that leads,
``begin`` and ``end`` by the main thread or a worker, the rest by the thread of the event loop.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from econtext.child.interfaces import Home

import marshal
import sys

from econtext.child import failure, renewal
from econtext.core.calls import find
from econtext.core.codec import encode, native
from econtext.child.kinds import BEGUN, INTERRUPT, WITHDRAW
from econtext.core.loop import allocate_lock, get_ident
from econtext.core.wire import CALL, DEAD, EMPTY, ERROR, RESULT

NAME = 'econtext.child.awaiting', 'run'
MARK = NAME[0].encode('ascii')
HEAD = 64       # bytes of a call in which its module stands
OLDEST = (3, 7)  # asyncio.run, and all that it does
PATIENCE = 0.9  # seconds that tasks have at the end, of those of the whole context
# The event loops of `alone`, by their threads: those beside the main one.
LOOPS = {}  # type: dict[Any, Any]


def begin():
    # type: () -> None
    """Have coroutine functions run here from now on."""
    check()
    home = sys.modules['econtext'].program.home
    # Not while the lock is held: what this imports may have to be fetched.
    made = Coroutines(home)
    # Asked for by several event loops of the program, whose calls may run in several threads.
    home.link.lock.acquire()
    try:
        known = getattr(home.router.handlers.get(CALL), '__self__', None)
        first = not isinstance(known, Coroutines)
        if first:
            home.router.handle({CALL: made.receive, INTERRUPT: made.interrupt})
    finally:
        home.link.lock.release()
    if first:
        made.start()
    else:
        made.loop.close()


def check():
    # type: () -> None
    """Raise an error if this Python runs no coroutine functions."""
    if sys.version_info < OLDEST:
        raise sys.modules['econtext'].EcontextError(
            'coroutine functions run on Python %d.%d and later, and this context has Python %d.%d: call a plain '
            'function, or start the context with python= of a later one' % (OLDEST + sys.version_info[:2]))


def alone(told, args, kwargs):
    # type: (Any, Any, dict[str, Any]) -> Any
    """
    Run the coroutine function that `told` leads to, to its end.

    A signal calls the main thread out of its event loop.  No other thread has that, so ``wake`` knows their loops.
    """
    check()
    library = __import__('asyncio')  # type: Any
    made = coroutine(told, args, kwargs)
    thread = get_ident()
    if thread == sys.modules['econtext'].program.home.supervisor.main:
        return library.run(made)
    if hasattr(library, 'Runner'):
        runner = library.Runner()
        LOOPS[thread] = runner.get_loop()
        try:
            return runner.run(made)
        finally:
            del LOOPS[thread]
            runner.close()
    # What asyncio.run() does until Python 3.10.
    loop = LOOPS[thread] = library.new_event_loop()
    try:
        library.set_event_loop(loop)
        return loop.run_until_complete(made)
    finally:
        del LOOPS[thread]
        try:
            left = library.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(library.wait(left))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            library.set_event_loop(None)
            loop.close()


def wake(thread):
    # type: (int) -> None
    """Have a thread that waits in its event loop look what there is for it."""
    loop = LOOPS.get(thread)
    if loop is not None:
        try:
            loop.call_soon_threadsafe(int)
        except RuntimeError:
            # It has been closed just now.
            pass


@renewal.register
def after_fork():
    # type: () -> None
    """The loops are run by threads of the other process."""
    LOOPS.clear()


def coroutine(told, args, kwargs):
    # type: (Any, Any, dict[str, Any]) -> Any
    """Call the function that `told` leads to: its module and name, or what ``sourced`` makes it of."""
    if len(told) == 2:
        function = find(native(told[0]), native(told[1]))
    else:
        # Sent with the call.
        from econtext.child import sourced
        function = sourced.Builder(*told).whole()
    return function(*args, **dict([(native(key), kwargs[key]) for key in kwargs]))


def run(told, args, kwargs):
    # type: (Any, Any, dict[str, Any]) -> None
    """Run a coroutine function; what carries it out knows this call by its name."""
    raise sys.modules['econtext'].EcontextError('the event loop of this context does not run')


class Coroutines(object):
    """The event loop of this context, and the calls that are its tasks."""

    def __init__(self, home):
        # type: (Home) -> None
        self.home = home
        # Of Python 3.7, which begin() has seen to.
        self.asyncio = __import__('asyncio')  # type: Any
        self.loop = self.asyncio.new_event_loop()  # type: Any
        # (who asked, handle) -> the task, None until it has begun.
        self.tasks = {}  # type: dict[tuple[int, int], Any]
        self.ending = False  # type: bool
        # Released once it ends and no task is left.
        self.empty = allocate_lock()  # type: Any
        self.empty.acquire()

    def start(self):
        # type: () -> None
        import atexit
        import threading
        thread = threading.Thread(target=self.work, name='econtext asyncio')
        setattr(thread, 'daemon', True)  # noqa: B010 -- of Python 2.6
        thread.start()
        atexit.register(self.end)

    def work(self):
        # type: () -> None
        self.asyncio.set_event_loop(self.loop)
        while True:
            try:
                self.loop.run_forever()
            except (SystemExit, KeyboardInterrupt):
                # asyncio raises these two of a task here as well; the caller of the task is told.
                pass
            except:
                # What else arrives here is no task's: the loop has failed, and would fail again at once.
                self.fail(failure.describe(*sys.exc_info()))
                return

    def fail(self, error):
        # type: (bytes) -> None
        """Answer all calls with an `error`; calls that come later are refused by `run`."""
        supervisor = self.home.supervisor
        self.home.link.lock.acquire()
        try:
            self.home.router.handle({CALL: supervisor.receive, INTERRUPT: supervisor.interrupt})
        finally:
            self.home.link.lock.release()
        self.ending = True
        for call in list(self.tasks):
            self.answer(call, ERROR, error)

    def receive(self, src, handle, body):
        # type: (int, int, bytes) -> None
        """Take a call, or leave it to the others."""
        if MARK in type(EMPTY)(body[:HEAD]):
            value = marshal.loads(body)
            named = value
            if Ellipsis in value[:1]:
                named = value[1]
            if (native(named[0]), native(named[1])) == NAME:
                self.tasks[src, handle] = None
                self.loop.call_soon_threadsafe(self.begin, (src, handle), value)
                return
        self.home.supervisor.receive(src, handle, body)

    def interrupt(self, src, handle, body):
        # type: (int, int, bytes) -> None
        """Give up a call."""
        if (src, handle) in self.tasks:
            self.loop.call_soon_threadsafe(self.give_up, (src, handle), body)
        else:
            self.home.supervisor.interrupt(src, handle, body)

    def begin(self, call, value):
        # type: (tuple[int, int], Any) -> None
        if call not in self.tasks:
            # Given up.
            return
        try:
            made = coroutine(*self.home.restore(value)[2])
            task = self.tasks[call] = self.asyncio.ensure_future(made, loop=self.loop)
        except:
            self.answer(call, ERROR, failure.describe(*sys.exc_info()))
            return
        task.add_done_callback(lambda task: self.settle(call, task))
        if self.ending:
            task.cancel()

    def give_up(self, call, body):
        # type: (tuple[int, int], bytes) -> None
        if call not in self.tasks:
            # Its answer is on its way.
            return
        task = self.tasks[call]
        if body == WITHDRAW and task:
            self.home.router.send(BEGUN, call[0], call[1], EMPTY)
        elif task:
            task.cancel()
        else:
            self.answer(call, DEAD, EMPTY)

    def settle(self, call, task):
        # type: (tuple[int, int], Any) -> None
        """A task has ended."""
        try:
            kind, value = RESULT, encode(task.result())
        except:
            kind, value = ERROR, failure.describe(*sys.exc_info())
        self.answer(call, kind, value)

    def answer(self, call, kind, value):
        # type: (tuple[int, int], int, bytes) -> None
        del self.tasks[call]
        if kind != DEAD:
            for each in self.home.supervisor.before_answer:
                each()
        self.home.router.send(kind, call[0], call[1], value)
        if self.ending and not self.tasks:
            self.tell()

    def end(self):
        # type: () -> None
        """The context ends: have the tasks cancelled, and wait for their cleanup."""
        if self.home.forked_off or self.ending:
            # The tasks, and the thread that runs them, are in the other process; or the loop has failed.
            return
        self.loop.call_soon_threadsafe(self.cancel)
        self.empty.acquire(True, PATIENCE)

    def cancel(self):
        # type: () -> None
        self.ending = True
        for task in list(self.tasks.values()):
            if task:
                task.cancel()
        if not self.tasks:
            self.tell()

    def tell(self):
        # type: () -> None
        """No task is left."""
        if self.empty.locked():
            self.empty.release()
