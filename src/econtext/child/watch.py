"""
See that the other end of each link is there, and that Python goes on.

A link may go silent: packets are dropped, and nobody says so.  So whoever has
heard nothing for an interval asks (BEAT), and whoever was not answered three
times gives the link up.

Code that never lets go of the interpreter's lock cannot be told anything, not
even that the link has ended.  So while calls run, a timer of the kernel counts
the processor time of this process; it is set again as long as Python goes on, and
ends the process where it does not (SIGPROF).

Invariants:

* Where there is traffic, or no call and no heartbeat, nobody is woken.
* Only time in which this process ran is counted, in checks or in processor time:
  to be stopped (SIGSTOP) for any time is no fault, on either end.
* Who is not listened to for a while, since the way on is full, is not taken for silent, and
  is told that we are here.
* A call that lets others run is not ended by the time of calls before it.
* Bytes count as life, also those of a frame that is not whole yet, and those of
  ours that are taken.

Follows the preamble.  ``turn`` is entered by the thread that leads, ``arm`` by
any.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from econtext.child.interfaces import Call, Home, Parking
    from econtext.core.loop import Link, Loop, Waiter

import os
import select
import sys
import time
try:
    import _signal as signal
except ImportError:
    import signal

from econtext.child.kinds import BEAT
from econtext.core.loop import TRANSIENT
from econtext.core.wire import EMPTY

MISSES = 3          # questions without an answer
TIMER = getattr(signal, 'ITIMER_PROF', None)    # since Python 2.6
set_timer = getattr(signal, 'setitimer', None)  # type: Any
SELDOM = 255        # turns between looks while something happens at each, in bits
OFTEN = 2.0         # seconds between looks while calls run, at most
clock = getattr(time, 'monotonic', time.time)  # type: Callable[[], float]


class Pulse(object):
    """One link, and what was heard of it."""

    def __init__(self, link, interval):
        # type: (Link, float) -> None
        self.link = link
        self.interval = interval
        self.due = clock() + interval  # type: float
        self.misses = 0  # type: int

    def check(self, now, stirred, ask):
        # type: (float, Any, Callable[[], Any]) -> bool
        """See what was heard since the last time; False once it is to be given up.

        `stirred` are the descriptors on which something happened.
        """
        self.due = now + self.interval
        # We may not listen, for the way on is full.  The question then shows that we are here.
        paused = getattr(self.link, 'paused', False)
        self.misses += 1
        for fd in self.link.fd, self.link.out:
            if stirred.pop(fd, paused):
                self.misses = 0
        if paused or 0 < self.misses <= MISSES:
            ask()
        return self.misses <= MISSES


class Watch(object):
    def __init__(self, home):
        # type: (Home) -> None
        self.home = home
        self.loop = home.loop  # type: Loop
        self.running = home.supervisor.running  # type: dict[Call, int]
        self.stirred = {}  # type: dict[int, bool]
        self.pulses = {}  # type: dict[int, Pulse]
        self.limit = 0.0  # type: float
        if TIMER is not None:
            self.limit = home.settings['gil_limit']
        # The timer is set for so much longer than the limit, and need not be set again for so long.
        self.again = min(1.0, self.limit * 0.25)  # type: float
        # Who parks others than the one that leads, see ``older``.
        self.parking = self.loop  # type: Parking
        self.armed = False  # type: bool
        self.set_at = 0.0  # type: float
        self.turns = 0  # type: int
        # How seldom to look while something happens all the time.
        self.mask = SELDOM
        self.often = self.pause(OFTEN)  # type: float
        # Between looks while there is no call.
        self.seldom = self.loop.patience  # type: float
        if self.limit:
            self.often = self.pause(min(OFTEN, max(0.02, self.limit * (0.5 / processors()))))
            if home.settings['threads'] == 1:
                self.tell_the_line()

    def begin(self):
        # type: () -> None
        """From now on whoever leads waits here."""
        settings = self.home.settings
        if settings['heartbeat']:
            # Later than the other end, which then has nothing to ask.
            self.attend(settings['parent'], self.home.link, 1.25 * settings['heartbeat'])
        self.loop.ways = self
        # Whoever leads now waits in another turn than this: standard input, at its end,
        # calls it away, and once.
        self.loop.watch(0, self)

    def ready(self, fd):
        # type: (int) -> None
        try:
            self.loop.forget(fd)
        except (OSError, IOError):
            # The application has put another file in the place of standard input.
            pass

    def park(self, waiter):
        # type: (Waiter) -> None
        self.parking.park(waiter)

    def attend(self, who, link, interval):
        # type: (int, Link, float) -> None
        """Ask context `who`, at the other end of `link`, whenever it is silent for so long."""
        self.pulses[who] = Pulse(link, interval)
        pause = self.pause(interval)
        if not 0 < self.seldom < pause:
            self.seldom = pause
        self.often = min(self.often, pause)

    def pause(self, seconds):
        # type: (float) -> float
        """Return `seconds` in the poller's unit, and no more than it may wait."""
        patience = self.loop.patience
        if patience < 0:
            return seconds
        return min(patience, seconds * 1000)

    def turn(self, waiter):
        # type: (Waiter) -> None
        """Wait for something to happen, and do what it asks for."""
        pause = self.seldom
        if self.running:
            self.arm()
        if self.running or self.armed:
            pause = self.often
        try:
            events = self.loop.poller.poll(pause)
        except (OSError, IOError, select.error):
            # Python 2 has no `errno` in a select.error; what a signal handler raises may have no `args`.
            if not sys.exc_info()[1].args[:1] or sys.exc_info()[1].args[0] not in TRANSIENT:  # type: ignore[union-attr]
                raise
            return
        watched = self.loop.watched
        for fd, _ in events:
            self.stirred[fd] = True
            watcher = watched.get(fd)
            if watcher:
                watcher.ready(fd)
        self.turns += 1
        if not events or not self.turns & self.mask:
            self.look()

    def look(self):
        # type: () -> None
        """Nothing has happened for a while, or very much."""
        if self.armed and not self.running:
            self.disarm()
        now = clock()
        for who, pulse in list(self.pulses.items()):
            if pulse.link.fd is None:
                self.pulses.pop(who, None)
            elif now >= pulse.due and not pulse.check(
                    now, self.stirred, lambda who=who: self.ask(who)):  # type: ignore[misc]
                self.pulses.pop(who, None)
                # Whoever has its links watched hears of it.
                pulse.link.owner.silent(pulse.link, pulse.interval)  # type: ignore[attr-defined]

    # Beats.

    def ask(self, who):
        # type: (int) -> None
        self.home.router.send(BEAT, who, 1, EMPTY)

    def beat(self, src, asks, body):
        # type: (int, int, bytes) -> None
        link = self.home.router.links.get(src, self.home.link)
        # Who has yet to read what it was sent hears from us by that.
        if asks and link and not link.queue:
            self.home.router.send(BEAT, src, 0, EMPTY)

    # The switch.

    def before(self):
        # type: () -> None
        """A call begins."""
        now = clock()
        if not 0 <= now - self.set_at < self.again or not self.armed:
            self.set_at = now
            self.arm()

    def arm(self):
        # type: () -> None
        if self.limit:
            self.armed = True
            set_timer(TIMER, self.limit + self.again)

    def disarm(self):
        # type: () -> None
        self.armed = False
        set_timer(TIMER, 0)
        if self.running:
            # A call began between the look and this.
            self.arm()

    def tell_the_line(self):
        # type: () -> None
        """Have the line that hangs written where the next frame would stand."""
        try:
            import faulthandler
            faulthandler.register(
                signal.SIGPROF, file=self.home.link.out, all_threads=False, chain=True)
        except (ImportError, AttributeError, RuntimeError, ValueError, OSError):
            # Python before 3.3, or one without: it ends without a word.
            pass


def processors():
    # type: () -> int
    """Return how many processors may count at a time."""
    try:
        return max(1, os.sysconf('SC_NPROCESSORS_ONLN'))
    except (AttributeError, ValueError, OSError):
        return 8
