"""
Handlers of signals, at a moment when what they raise does no harm.

Python runs them between any two instructions of the main thread, also half-way
through a frame; the usual one of Ctrl-C raises, and so do those of time limits.
While a broker is open, a signal that comes inside of econtext is put off until
the main thread is where it may be left: waiting, about to return what it waited
for, or in the program's own code.

Invariants:

* A handler is called once for each time that it would have been without us; before
  econtext returns from where its signal came, or a moment later.
* What a handler raises reaches the program, also from within a handler of `logging`.
* An event loop of the main thread that awaits something here looks once more behind a handler, whatever that did: the
  kernels of Jupyter leave word for the loop, which the loop does not see before it wakes.

A handler that the program installs while the broker is open is seen at the next call,
value sent, or wait of the main thread.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import types
import weakref
from _signal import getsignal  # type: ignore[import-not-found]  # makes no enumeration of it
from _thread import interrupt_main, start_new_thread
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, TypeVar, cast

from econtext.child import renewal

if TYPE_CHECKING:
    from typing import Protocol

    class EventLoop(Protocol):
        """What is used here of an event loop of asyncio."""

        def call_soon_threadsafe(self, callback: Callable[[], object]) -> object: ...

F = TypeVar('F', bound=Callable[..., Any])
AGAIN = 0.001   # seconds until the signal comes again; they grow
LONGEST = 0.1
PATIENCE = 10 * LONGEST     # for who waits for it

# Those of which programs have handlers that raise.  Not SIGPROF: profilers look where we are.
SIGNALS: list[int] = [getattr(signal, f'SIG{name}') for name in ('INT', 'TERM', 'HUP', 'QUIT', 'ALRM', 'USR1', 'USR2')
                      if hasattr(signal, f'SIG{name}')]

# Where it may be the wrong moment.  What else is ours but hands the program's own on: `econtext.utils`.
INSIDE = tuple(f'econtext.{ring}.' for ring in ('core', 'child', 'parent', 'connectors', 'controller'))

OPEN: set[int] = set()
# Signals that were put off, each with what tells this time from others.
PENDING: dict[int, object] = {}
SAFE: set[types.CodeType] = set()
# Event loops of the main thread that have to do with a broker.
EVENT_LOOPS: weakref.WeakSet[EventLoop] = weakref.WeakSet()
MAIN = threading.main_thread().ident


@renewal.register
def after_fork() -> None:
    """The thread that forked is the main one here, and no broker is open."""
    global MAIN
    MAIN = threading.get_ident()
    PENDING.clear()
    OPEN.clear()
    EVENT_LOOPS.clear()
    restore(None)


def interruptible(function: F) -> F:
    """Mark a function as one that a handler may leave at any point."""
    SAFE.add(cast('Any', function).__code__)
    return function


@interruptible
def let_signals_run() -> None:
    """
    Let a signal come that was put off: for who waits where it may not.

    In the main thread: returns once it has come.  Who looked only for a moment would hardly ever meet it.
    """
    end = time.monotonic() + PATIENCE
    time.sleep(2 * AGAIN)
    while PENDING and threading.get_ident() == MAIN and time.monotonic() < end:
        time.sleep(2 * AGAIN)


class Deferred:
    """Stands for a handler of the program's, and calls it where it may be left."""

    def __init__(self, handler: Callable[..., Any]) -> None:
        self.handler = handler

    def __call__(self, signum: int, frame: types.FrameType | None) -> Any:
        if may_be_left(frame):
            return self.hand_on(signum, frame)
        if signum not in PENDING:
            this = PENDING[signum] = object()
            # Not a Thread: the locks of `threading` may be held by what we came into.
            with contextlib.suppress(RuntimeError):
                # Without a thread to be had it is handed on at the next wait.
                start_new_thread(again, (signum, this))
        return None

    def hand_on(self, signum: int, frame: types.FrameType | None) -> Any:
        PENDING.pop(signum, None)
        try:
            return self.handler(signum, frame)
        except Exception as error:
            with contextlib.suppress(AttributeError):
                error.econtext_by_signal = True  # type: ignore[attr-defined]
            raise
        finally:
            for loop in list(EVENT_LOOPS):
                # One that has ended needs to be told nothing.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(nothing)


def nothing() -> None:
    """What an event loop runs that is only to wake."""


# What needs no stand-in: nothing, the system's own handling, and a stand-in.
SETTLED = frozenset((types.NoneType, int, Deferred))


def may_be_left(frame: types.FrameType | None) -> bool:
    """May what runs in `frame` be left at this point?"""
    while frame is not None:
        if str(frame.f_globals.get('__name__')).startswith(INSIDE):
            return frame.f_code in SAFE
        frame = frame.f_back
    return True


def inside(modules: Collection[str]) -> bool:
    """Does this thread run a function of one of `modules`?"""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get('__name__') in modules:
            return True
        frame = frame.f_back
    return False


def by_signal(error: BaseException) -> bool:
    """Was `error` raised by a handler of a signal, rather than by what it came out of?"""
    return getattr(error, 'econtext_by_signal', False)


def by_new_handler(error: BaseException) -> bool:
    """Did a signal's handler raise `error` that was not put off, for we had not seen that handler yet?"""
    if threading.get_ident() != MAIN:
        return False
    codes = {code_of(getsignal(number)) for number in signal.valid_signals()} - {None}
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code not in codes:
        trace = trace.tb_next
    return trace is not None


def code_of(handler: Any) -> Any:
    """Return the code of a function, a method, or an object that is called like one; None of anything else."""
    found = getattr(handler, '__func__', handler)
    return getattr(found, '__code__', None) or getattr(vars(type(handler)).get('__call__'), '__code__', None)


def wrap_handlers() -> None:
    """Put off the signals whose handlers the program has installed by now. The main thread."""
    if SETTLED.issuperset(map(type, map(getsignal, SIGNALS))):
        # As a rule, and asked for each call: without a step of Python for each signal.
        return
    for number in SIGNALS:
        if type(getsignal(number)) not in SETTLED and OPEN:
            signal.signal(number, Deferred(getsignal(number)))


def defer(broker: object) -> None:
    """From now on put signals off where they would do harm."""
    if threading.current_thread() is threading.main_thread():
        OPEN.add(id(broker))
        wrap_handlers()


def restore(broker: object) -> None:
    """Give the signals back when the last broker has closed."""
    OPEN.discard(id(broker))
    if OPEN or threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        handler = getsignal(number)
        if isinstance(handler, Deferred):
            signal.signal(number, handler.handler)
            if PENDING.pop(number, None):
                os.kill(os.getpid(), number)


def run_pending() -> None:
    """Hand on what was put off, for who may be left here. Any thread; there is something for the main one only."""
    if threading.get_ident() == MAIN:
        for number in list(PENDING):
            handler = getsignal(number)
            if isinstance(handler, Deferred):
                handler.hand_on(number, sys._getframe())
            else:
                # The program wants it no more.
                PENDING.pop(number, None)


def again(signum: int, this: object) -> None:
    """
    Have the signal come until it is handed on, `this` time, or the program wants it no more.

    If the main thread was about to wait in the kernel, Python hears of it only behind that wait, which
    the signal itself would end; but where its handler was just taken away that would end the program.
    """
    pause = AGAIN
    time.sleep(pause)
    while PENDING.get(signum) is this:
        if not (OPEN and isinstance(getsignal(signum), Deferred)):
            PENDING.pop(signum, None)
        elif pause == AGAIN:
            interrupt_main(signum)  # type: ignore[arg-type]
        else:
            os.kill(os.getpid(), signum)
        pause = min(4 * pause, LONGEST)
        time.sleep(pause)
