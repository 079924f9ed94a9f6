"""
What contexts print and log, as records of the controller's ``logging``.

Each context has a logger, ``econtext.ctx.NAME``.  A printed line is an INFO
record ``stdout: …`` or ``stderr: …``; a record logged there is one here, with the
name of its logger in front and as ``record.remote_name``.

Invariants:

* No line is lost, torn or out of order within its stream; one longer than
  LONGEST characters comes in pieces.
* No control character of theirs reaches a terminal through us.

Entered by one thread at a time, which holds the loop's ``draining``.
"""

from __future__ import annotations

import logging
from typing import Any

from econtext.controller.interrupt import safe

LONGEST = 1 << 20   # bytes
STREAMS = {1: 'stdout', 2: 'stderr'}
HARMLESS = {code: f'\\x{code:02x}' for code in (*range(32), *range(127, 160)) if code != 9}
SAFE_TEXT = {code: text for code, text in HARMLESS.items() if code != 10}


class Lines:
    """The records of one context."""

    def __init__(self, name: str) -> None:
        self.logger = logging.getLogger(f'econtext.ctx.{name}')
        self.partial: dict[int, bytes] = {}

    def printed(self, stream: int, data: bytes) -> None:
        """Take in what the context printed."""
        lines = (self.partial.pop(stream, b'') + data).split(b'\n')
        rest = lines.pop()
        for line in lines:
            self.emit(stream, line)
        while len(rest) > LONGEST:
            self.emit(stream, rest[:LONGEST])
            rest = rest[LONGEST:]
        if rest:
            self.partial[stream] = rest

    def flush(self) -> None:
        """A call has ended: what it printed last is a line, complete or not."""
        for stream in sorted(self.partial):
            self.emit(stream, self.partial.pop(stream))

    @safe
    def emit(self, stream: int, line: bytes) -> None:
        name = STREAMS.get(stream, 'output')
        if line.endswith(b'\r'):
            line = line[:-1]
        self.logger.info('%s: %s', name, harmless(line.decode('utf-8', 'backslashreplace')))

    @safe
    def logged(self, value: Any) -> None:
        """Take in a record that was logged there."""
        name, level, created, text, trace = value
        if not self.logger.isEnabledFor(level):
            return
        record = self.logger.makeRecord(
            self.logger.name, level, '(remote)', 0, '%s: %s',
            (harmless(str(name)), str(text).translate(SAFE_TEXT)), None,
        )
        record.created = float(created)
        record.msecs = float(int((record.created - int(record.created)) * 1000))
        record.remote_name = str(name)
        if trace:
            record.exc_text = str(trace).translate(SAFE_TEXT)
        self.logger.handle(record)


def harmless(text: str) -> str:
    """Return `text` without the power to steer a terminal."""
    return text if text.isprintable() else text.translate(HARMLESS)
