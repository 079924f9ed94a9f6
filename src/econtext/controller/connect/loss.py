"""
Why a context came to an end that nobody ordered, in words.

Invariants:

* What a context or the program that started it says of its end is data: it is
  searched for what we know, and quoted.

Pure; any thread may enter.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from econtext.child.watch import MISSES
from econtext.controller.connect.options import GIL_LIMIT
from econtext.controller.errors import EcontextError
from econtext.controller.session.calls import Call
from econtext.controller.session.cancellation import label
from econtext.controller.session.channels import Holding
from econtext.controller.session.futures import Future

if TYPE_CHECKING:
    from econtext.controller.session.interfaces import Peer

#: What faulthandler writes where the next frame would stand, as ``repr`` shows it.
STACK = 'Stack (most recent call first)'
LINE = r'File "([^"\\]*)", line (\d+) in ([\w<>]+)'
#: Where the thread waits that reads the link: the kernel may tell this thread in place of the one that hangs.
READS = re.compile(r'econtext/(core/loop|child/watch)\.py')


def of_link(context: Peer, reason: Any, status: Any = None) -> Callable[[], EcontextError]:
    """Its link has ended; `reason` is what came that was no frame, `status` its program's."""
    reason = str(reason)
    if status == -signal.SIGPROF or STACK in reason:
        limit = context.common.get('gil_limit', GIL_LIMIT)
        line = re.search(LINE, reason)
        if line and READS.match(line[1]) and line[3] == 'turn':
            line = None
        where = ': line {1} of {0}, in {2}'.format(*line.groups()) if line else ''
        return context.lost(
            f'its code held the interpreter lock for longer than gil_limit={limit:g} s of processor time, '
            f'so it was ended{where}; start it again, with a higher gil_limit= if that code is to be so slow'
        )
    if reason:
        return context.corrupted(reason[:120])
    what, remedy = how(status)
    what += while_running(context)
    return context.lost(f'{what}, and what it printed last may be missing: {remedy}start it again')


#: Signals that the kernel sends for a fault of what runs.
FAULTS = ('SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGABRT', 'SIGSYS', 'SIGTRAP')
CORE = 128      # what ``parent.process`` adds where a core was written
MOST_SIGNALS = 64


def how(status: Any) -> tuple[str, str]:
    """Return how the program of a context ended, by its `status`, and what to do about that."""
    if not isinstance(status, int):
        # It runs yet, or whoever waits for it could not tell.
        return 'its link was lost', ''
    if status < 0:
        name = signal_name(-status & ~CORE)
        core = ', and left a core' if -status & CORE else ''
        return f'its process was ended by {name}{core}', advice(name)
    if 128 < status <= 128 + MOST_SIGNALS:
        name = signal_name(status - 128)
        return f'its program ended with status {status}, as for a process ended by {name}', advice(name)
    if status == 255:
        return ('its program ended with status 255, as ssh does where the connection breaks or a signal ends the '
                'process there'), ''
    return f'its process ended with status {status}', (
        'code there may have called os._exit() or ended the process otherwise: ' if status else '')


def signal_name(number: int) -> str:
    """Return the name of a signal of this system, which need not be that of the context."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f'signal {number}'


def advice(name: str) -> str:
    """Return what to look at where the signal called `name` ended a process."""
    if name == 'SIGKILL':
        return (
            'if nobody sent that, the kernel did for lack of memory, and its log there (dmesg) says so; or code there '
            'closed descriptors that it had not opened, as os.closerange() does, so that the context ended itself: ')
    if name in FAULTS:
        return 'native code there is at fault, such as an extension module, and faulthandler.enable() shows where: '
    if name == 'SIGXCPU':
        return 'it had used up its processor time (ulimit -t): '
    return ''


def while_running(context: Peer) -> str:
    """Say which function ran; the first of those that have no answer, for they run in order."""
    for who, answer in list(context.broker.router.asked.values()):
        if who == context.id:
            function = function_of(answer)
            if function is not None:
                several = ' (or another call, for several ran)' if context.threads > 1 else ''
                return f' while {label(function)} ran{several}'
    return ''


def function_of(answer: object) -> object:
    """Return the function whose call is given `answer`; None for what is no call."""
    waits = getattr(answer, '__self__', None)
    if isinstance(waits, Holding):
        # It has channels, and lets go of them first.
        waits = getattr(waits.answer, '__self__', None)
    if isinstance(waits, Call):
        return waits.function
    return waits._function if isinstance(waits, Future) else None


def of_silence(context: Peer, interval: Any) -> Callable[[], EcontextError]:
    """It answers no heartbeat."""
    seconds = MISSES * float(interval)
    return context.lost(
        f'nothing was heard of it for more than {seconds:g} s, so its link was given up: check the network between, '
        'and start it again; heartbeat= sets how long it may be silent'
    )
