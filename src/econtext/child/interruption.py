"""
Stop the function of a call where it stands.

First the programs it started are told to end (SIGTERM), so that what waits for
them returns; then ``econtext.Interrupted`` is raised in its thread.  In the main
thread a signal does that, SIGURG, which by default and in what is started from
here does nothing.  In another thread ctypes does, if it is there, and nothing does
while that thread is outside of Python, unless it waits in an event loop of ours.

Invariants:

* Nothing is raised inside of econtext, nor in what econtext calls for its own ends, where it could leave a lock
  held or a process unknown: the signal is sent again until the thread is in the application's code, or waits.
* It is raised once for each interruption, and not in cleanup that has begun; the programs that such cleanup starts
  are not told to end.  A function that returns in that moment raises it too: what the function waited for was ended.

Sent ahead of the first INTERRUPT.  ``strike`` runs in a thread of its own,
``Aim.on_signal`` in the main thread.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from econtext.child.interfaces import Calls

import os
import signal
import sys
import time

from econtext.child import ending
from econtext.child.ending import cleans_up, may_leave, tell_others

PAUSE = 0.0005      # seconds until the signal is sent again; it grows
LONGEST = 0.05


class Aim(object):
    """What the main thread is to be called away from."""

    def __init__(self, supervisor):
        # type: (Calls) -> None
        self.supervisor = supervisor
        self.error = sys.modules['econtext'].Interrupted  # type: Any
        self.calls = {}  # type: dict[Any, bool]

    def on_signal(self, number, frame):
        # type: (int, Any) -> None
        life = self.supervisor.home
        for call in list(self.calls):
            if life.away == call and self.supervisor.ended:
                # The end of this process was first.
                del self.calls[call]
            elif self.supervisor.running.get(call) == self.supervisor.main and may_leave(frame):
                del self.calls[call]
                # Whoever ends this process leaves what cleans up now to it.
                life.away = call
                raise self.error('the call was given up')


def strike(supervisor, call):
    # type: (Calls, tuple[int, int]) -> None
    """Interrupt `call`, unless it has ended meanwhile."""
    aim = supervisor.aim = supervisor.aim or Aim(supervisor)
    thread = supervisor.running.get(call)
    if thread is None:
        return
    if thread == supervisor.main:
        # Before its programs end: it may return as soon as they have.
        aim.calls[call] = True
    if len(supervisor.running) == 1:
        tell_programs(thread)
    if thread != supervisor.main:
        strike_thread(supervisor, call, thread, aim.error)
        return
    pause = PAUSE
    while call in aim.calls and call in supervisor.running:
        if hasattr(signal, 'pthread_kill'):
            signal.pthread_kill(thread, signal.SIGURG)
        else:
            os.kill(os.getpid(), signal.SIGURG)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST)
    aim.calls.pop(call, None)


def tell_programs(thread):
    # type: (Any) -> None
    """Tell the programs to end that the call in `thread` has started, but not those of its cleanup."""
    ending.TELLING.acquire()
    try:
        if not cleans_up(frame_of(thread)):
            tell_others()
    finally:
        ending.TELLING.release()


def strike_thread(supervisor, call, thread, error):
    # type: (Calls, tuple[int, int], Any, Any) -> None
    """Interrupt a call in a thread of its own by an `error`, if this Python can."""
    try:
        import ctypes
        raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
        number = ctypes.c_ulong
        if sys.version_info < (3, 7):
            number = ctypes.c_long  # type: ignore[assignment]
    except (ImportError, AttributeError):
        return
    pause = PAUSE
    while supervisor.running.get(call) == thread:
        # Between the look and the exception that thread cannot run.
        frame = frame_of(thread)
        if frame and may_leave(frame):
            raise_in(number(thread), ctypes.py_object(error))
            awaiting = sys.modules.get('econtext.child.awaiting')  # type: Any
            if awaiting is not None:
                # It may wait in an event loop, which is outside of Python.
                awaiting.wake(thread)
            return
        time.sleep(pause)
        pause = min(2 * pause, LONGEST)


def frame_of(thread):
    # type: (Any) -> Any
    """Return where a thread stands; None where this Python cannot tell."""
    return getattr(sys, '_current_frames', dict)().get(thread)
