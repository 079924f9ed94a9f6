"""
How a context ends in good order: what ends with it has its grace.

Invariants:

* Functions of ``atexit``, threads of the application that are no daemons, and programs
  of our process group are waited for within the grace, and no longer than they need.
* Our own SIGTERM reaches no code that already ends, and none of econtext or of what econtext calls for its own ends,
  where what it raises could leave a lock shut: there it comes again, see ``may_leave``.
* It comes again, too, to a main thread that has not heard it, see ``Life.fade``: Python hears of no signal that comes
  in the moment before it waits in the kernel, but of the next one.
* Who waits for a process that a signal ended sees that signal.

Sent behind HELLO, and loaded then: in the end there may be no time for that.  ``leave`` is
entered by the main thread.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable
    from typing import Any

    from econtext.child.interfaces import Home

import os
import sys
import time
try:
    import _signal as signal
except ImportError:
    import signal

from econtext.child import renewal
from econtext.core.loop import allocate_lock

WARNS = sys.version_info >= (3, 12)     # of a fork where there are threads, which here is in order
PAUSE = 0.0005      # seconds between looks; it grows
LONGEST = 0.02
# The functions of econtext in which a thread waits, and may be called away.
WAITING = [('econtext.' + module, name) for module in ('core.loop', 'child.watch')
           for name in ('turn', 'park')]
WAITING.append(('econtext.child.older', 'stand'))
WAITING.append(('econtext.child.separate', 'stand'))
WAITING.append(('econtext.child.files', 'stand'))
# Here stands a call of what is not written in Python, such as time.sleep, and here one of an iterator.
WAITING.append(('econtext.child.supervisor', 'perform'))
WAITING.append(('econtext.child.pickled', 'run'))
WAITING.extend([('econtext.child.streams', 'begin'), ('econtext.child.streams', 'hand_out')])
# Where there is no other thread to be had, the main one tells all to end, and is then called away.
WAITING.append(('econtext.child.life', 'fade'))
# The functions of econtext that run code of the application, and hold nothing meanwhile; and modules of such alone.
ENTRIES = WAITING + [('econtext.core.importer', name) for name in ('exec_module', 'load_module')]
ENTRIES.extend([('econtext.child.pull', name) for name in ('exec_module', 'load_module')])
ENTRIES.append(('econtext.core.calls', 'find'))
ENTRIES.extend([('econtext.child.scripts', name) for name in ('execute', 'call', 'interact')])
ENTRIES.append(('econtext.child.uncaught', 'tell'))
ENTRIES.append(('econtext.child.awaiting', 'alone'))
# The event loop of a server of Dask.
ENTRIES.append(('econtext.child.dask', 'run'))
OPEN = 'econtext.child.named', 'econtext.child.fields', 'econtext.child.models', 'econtext.child.sourced'
# What this function calls cleans up already.
CLEANUP = 'econtext.child.streams', 'clean_up'
# How the kernel calls processes that have ended.
ENDED = 'Z'.encode(), 'X'.encode()
# Held while an interruption tells programs to end: cleanup waits for that, and then starts its own.  And while a
# process of ours that no call has started is still in our group.
TELLING = allocate_lock()  # type: LockType
# Modules of the standard library that keep a process which heeds no signal, the object, its descriptor.
HELPERS = (
    ('multiprocessing.resource_tracker', '_resource_tracker', '_fd'),
    ('multiprocessing.semaphore_tracker', '_semaphore_tracker', '_fd'),
    ('multiprocessing.forkserver', '_forkserver', '_forkserver_alive_fd'),
)


@renewal.register
def after_fork():
    # type: () -> None
    global TELLING
    TELLING = allocate_lock()


def settle(life):
    # type: (Home) -> None
    """Be there."""
    life.ending = True


def may_leave(frame):
    # type: (Any) -> bool
    """
    May an exception be raised in `frame`?

    Not in econtext, nor in what econtext calls for its own ends, such as ``subprocess`` for a command: both may
    hold a lock, or a process that nothing else knows yet.
    """
    allowed = WAITING
    while frame:
        name = str(frame.f_globals.get('__name__'))
        if name[:9] == 'econtext.':
            return (name, frame.f_code.co_name) in allowed or (allowed is ENTRIES and name in OPEN)
        allowed = ENTRIES
        frame = frame.f_back
    return True


def cleans_up(frame):
    # type: (Any) -> bool
    """Does `frame` belong to the cleanup of a stream?"""
    while frame:
        if (frame.f_globals.get('__name__'), frame.f_code.co_name) == CLEANUP:
            return True
        frame = frame.f_back
    return False


def leave(life):
    # type: (Home) -> None
    """Have all end that ends with `life`, in the order in which Python has it; then this process, if it may."""
    import atexit
    if not life.supervisor.ended and sys.exc_info()[0]:
        # Between two calls, by the handler of a signal: nobody else would hear of it.
        from econtext.child import failure
        sys.stderr.write(failure.trace_text(*sys.exc_info()))
        life.flow.flush()
    life.stop()
    if not life.deadline:
        wait_for_threads()
    try:
        atexit._run_exitfuncs()
    finally:
        let_go_of_helpers()
        tell_others()
        linger(life)
        if life.number and not others():
            life.below(True)
            signal.signal(life.number[0], signal.SIG_DFL)
            os.kill(os.getpid(), life.number[0])


def wait_for_threads():
    # type: () -> None
    """Wait, as Python does where it ends, for threads of the application that are no daemons."""
    try:
        # Python 3.9 to 3.12 wait also for the thread that was first to import it: one of ours, which does not end.
        threading = sys.modules['threading']  # type: Any
        threading._shutdown_locks.discard(threading._main_thread._tstate_lock)
    except:
        # Not imported, or of another version.
        pass
    try:
        sys.modules['threading']._shutdown()  # type: ignore[attr-defined]
    except:
        # Not imported, or first by another thread than the main one, which it then takes for that.
        pass


def let_go_of_helpers():
    # type: () -> None
    """Have processes of ``multiprocessing`` see that nobody needs them any more."""
    for module, helper, name in HELPERS:
        try:
            os.close(getattr(getattr(sys.modules[module], helper), name))
        except:
            # There is none.
            pass


def linger(life):
    # type: (Home) -> None
    """Return once nothing else of ours runs here; when its time is over, ``life.fade`` ends this process."""
    pause = PAUSE
    reap()
    while life.supervisor.running or others():
        if life.deadline and time.time() > life.deadline:
            return
        time.sleep(pause)
        pause = min(2 * pause, LONGEST)
        reap()


def reap():
    # type: () -> None
    """Wait for those of our group that have ended."""
    try:
        while os.waitpid(0, os.WNOHANG)[0]:
            pass
    except OSError:
        # There is none.
        pass


def apart(start, *args, **how):
    # type: (Callable[..., Any], Any, Any) -> Any
    """Return what `start` does once its process has left our group: no interruption of a call is meant for it."""
    # A copy of this process, which `start` may return in as well, has another one.
    telling = TELLING
    telling.acquire()
    try:
        return start(*args, **how)
    finally:
        telling.release()


def quiet_fork():
    # type: () -> int
    """Fork, and have no warning about it."""
    if not WARNS:
        return os.fork()
    try:
        from warnings import catch_warnings, simplefilter  # novm
    except ImportError:
        # As a context ends, maybe; the warning does no harm.
        return os.fork()
    guard = catch_warnings()
    guard.__enter__()
    try:
        simplefilter('ignore', DeprecationWarning)
        return os.fork()
    finally:
        guard.__exit__(None, None, None)


def forget_exits():
    # type: () -> None
    """In a forked process: functions of ``atexit`` are those of the other one."""
    import atexit
    if hasattr(atexit, '_clear'):
        atexit._clear()
    else:
        del atexit._exithandlers[:]  # type: ignore[attr-defined]


def tell_others():
    # type: () -> None
    """Tell the other processes of our group to end, as far as this system shows them."""
    for pid in others():
        try:
            os.kill(pid, signal.SIGTERM)
        except OSError:
            # It has just ended, or is another user's.
            pass


def runs(name):
    # type: (str) -> bool
    """Has process `name` not ended, as far as this system shows that? One that has may wait long for its parent."""
    try:
        fd = os.open('/proc/%s/stat' % name, os.O_RDONLY)
        try:
            # The name of a program, in brackets, may hold anything.
            return os.read(fd, 4096).split(')'.encode())[-1].split()[0] not in ENDED
        finally:
            os.close(fd)
    except OSError:
        return True


def others():
    # type: () -> list[int]
    """Return the other processes of our group, as far as this system shows them."""
    found = []
    me, group = os.getpid(), os.getpgrp()
    try:
        names = os.listdir('/proc')
    except OSError:
        names = []
    for name in names:
        try:
            if int(name) != me and os.getpgid(int(name)) == group == me and runs(name):
                found.append(int(name))
        except (ValueError, OSError):
            # No process, or not any more.
            pass
    return found
