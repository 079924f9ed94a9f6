"""
Watch a context start, to tell afterwards how far it came and what took so long.

The strategy: a probe, which a shell there runs in front of the interpreter, says
on standard error that it runs, and which interpreter it found.  What arrives
before is the login's; what else arrives is noise.

Invariants:

* There is one login, the one of the context itself: no password is typed twice.
* The probe is one line, and ends as the interpreter that it found.
* What the probe says comes by another way than the mark of the context, and perhaps later: whoever was told that the
  context is ready waits for the probe.

A Startup is entered by the thread that leads; it is read once it has `ended`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from econtext.controller.connect.connectors import Connectors
from econtext.controller.connect.options import ConnectRequest
from econtext.core.wire import MARK
from econtext.parent import command

#: The steps of a start, in order.
PHASES = 'login', 'shell', 'interpreter', 'bootstrap'
SAYS = 'econtext doctor: '
ENTERED = SAYS + 'login shell '
FOUND = SAYS + 'interpreter '
NOT_FOUND = SAYS + 'no interpreter '
HELLO = f'echo "{ENTERED}$SHELL, directory $PWD">&2;'
SEARCH = (
    HELLO + 'for p in %s;do f=`command -v "$p"`&&{ echo "' + FOUND + '$f">&2;exec "$f" "$@"; };done;'
    'echo "' + NOT_FOUND + 'of these on PATH=$PATH: "%s>&2;exit 127'
)
NAMED = HELLO + 'command -v "$1">/dev/null&&echo "' + FOUND + '$1">&2;exec "$@"'
KEPT = 1 << 16      # bytes of noise
LATE = 2.0          # seconds within which what the probe said comes, once the context is ready


class Startup:
    """What is heard of one start."""

    def __init__(self, reached: Callable[[str], None]) -> None:
        self.reached = reached
        self.begun: float = time.monotonic()
        #: phase: when it was reached; 'login' is from the beginning.
        self.times: dict[str, float] = {'login': self.begun}
        self.said: dict[str, bytes] = {'out': b'', 'err': b'', 'tty': b''}
        #: Is there a probe to be heard of?
        self.probed: bool = False
        #: Has the start ended?
        self.over: bool = False
        self._found = threading.Event()

    def hear(self, source: str, data: bytes) -> None:
        """Take what the starting program says; 'out', 'err' or 'tty'."""
        if self.over:
            return
        self.said[source] = (self.said[source] + data)[:KEPT]
        if source == 'err':
            text = self.text('err')
            if ENTERED in text:
                self.reach('shell')
                self.reach('interpreter')
            if FOUND in text:
                self.reach('bootstrap')
                # Last, for then it is read.
                self._found.set()

    def ended(self) -> None:
        """The context is ready: wait until the probe was heard; what comes later is none of the start."""
        if self.probed:
            self._found.wait(LATE)
        self.over = True

    def reach(self, phase: str) -> None:
        if phase not in self.times:
            self.times[phase] = time.monotonic()
            self.reached(phase)

    def phase(self) -> str:
        """Return the phase that began last."""
        return [phase for phase in PHASES if phase in self.times][-1]

    def text(self, source: str) -> str:
        return self.said[source].decode('utf-8', 'replace')

    def word(self, prefix: str) -> str:
        """Return what the probe said behind `prefix`, or nothing."""
        for line in self.text('err').splitlines():
            if line.startswith(prefix):
                return line.removeprefix(prefix).strip()
        return ''

    def noisy(self) -> list[str]:
        """Return the lines that were said before the probe ran, each with its stream."""
        out = self.said['out'].split(MARK)[0].decode('utf-8', 'replace')
        before = self.text('err').partition(ENTERED)[0]
        lines = [('stdout', line) for line in out.splitlines()] + [('stderr', line) for line in before.splitlines()]
        return [f'{stream}: {line}' for stream, line in lines if line.strip()]

    def muttered(self) -> list[str]:
        """Return the lines that the interpreter wrote on standard error as it started."""
        behind = self.text('err').partition(FOUND)[2].splitlines()[1:]
        return [f'stderr: {line}' for line in behind if line.strip()]


class Watched(Connectors[Any]):
    """Starts what `via` would start, with the probe in front of it and a Startup that hears it."""

    def __init__(self, via: Any, own: Sequence[str], startup: Startup) -> None:
        self.via = via
        self.own = own
        self.startup = startup

    def _prefix(self) -> str:
        prefix: str = self.via._prefix()
        return prefix

    def _start(self, request: ConnectRequest) -> Any:
        """Start the context that is wished for."""
        options = request.options
        if 'python' in options:
            options = dict(options, python=probe(options['python'], self.own))
            self.startup.probed = True
        return self.via._start(request._replace(options=options, watch=self.startup.hear))


def probe(python: Any, own: Sequence[str]) -> list[str]:
    """Return the words for ``python=`` that say what they find, and then are the interpreter."""
    given = command.candidates(python or None)
    if python:
        return ['sh', '-c', NAMED, 'sh', *command.words_of(given[0])]
    names = ' '.join(command.quote(name) for name in [*own, *command.PYTHONS])
    return ['sh', '-c', SEARCH % (names, command.quote(names)), 'sh']
