"""What a session does with our own terminal and signals, without a host."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from typing import Any

import pytest

from econtext.child import sessions
from econtext.command_line import session
from lab import SOON

SECONDS = SOON * 4
# Waits for ever with a terminal as standard input, whatever signal comes, as a program there does that heeds none.
WAITING = """
import os, signal, sys, threading
from econtext.command_line import session

class Channel:
    def send(self, message):
        os.write(1, repr(message).encode())

session.LEFT = 0.2
if sys.argv[1] == 'ignored':
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
with session.Controls(sys.argv[2] == 'terminal') as controls:
    controls.add(Channel())
    os.write(1, b'ready')
    if sys.argv[3] == 'waits':
        while True:
            threading.Event().wait(600)
"""


def waiting(*words: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start a program that waits in a session, on a terminal of its own; return it and the other end of that."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, '-c', WAITING, *words], stdin=slave, stdout=subprocess.PIPE, start_new_session=True)
    os.close(slave)
    assert process.stdout is not None
    said = b''
    while b'ready' not in said:
        said += os.read(process.stdout.fileno(), 1 << 16)
    return process, master


@pytest.mark.parametrize(('hangups', 'kind'), [
    ('heeded', 'terminal'), ('ignored', 'terminal'), ('heeded', 'none'),
])  # fmt: skip
def test_nothing_stays_behind_a_closed_terminal(hangups: str, kind: str) -> None:
    process, master = waiting(hangups, kind, 'waits')
    with process:
        os.close(master)
        assert process.stdout is not None
        # The program is told, also where we ignore the signal ourselves.
        assert process.stdout.read() == repr((sessions.SIGNAL, 'SIGHUP')).encode()
        assert process.wait(SECONDS) == 128 + signal.SIGHUP


def test_who_ignores_hangups_stays_without_a_terminal_there() -> None:
    process, master = waiting('ignored', 'none', 'ends')
    with process:
        os.close(master)
        assert process.wait(SECONDS) == 0


def test_a_session_that_ends_is_watched_no_more() -> None:
    process, master = waiting('heeded', 'terminal', 'ends')
    with process:
        assert process.wait(SECONDS) == 0
    os.close(master)


class Channel:
    """What would send to a program."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, message: Any) -> None:
        self.sent.append(message)


def test_a_signal_before_the_program_is_there_is_not_lost() -> None:
    controls = session.Controls(False)
    controls.pass_on(signal.SIGTERM)
    channel = Channel()
    controls.add(channel)
    controls.pass_on(signal.SIGHUP)
    assert channel.sent == [(sessions.SIGNAL, 'SIGTERM'), (sessions.SIGNAL, 'SIGHUP')]


def test_a_size_before_the_program_is_there_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session.Terminal, 'size', lambda: (7, 70))
    controls = session.Controls(True)
    controls.pass_on(signal.SIGWINCH)
    channel = Channel()
    controls.add(channel)
    assert channel.sent == [(sessions.SIZE, (7, 70))]


def test_input_that_cannot_be_read_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a terminal which is closed while somebody reads."""
    def read(fd: int, size: int) -> bytes:
        raise OSError(5, 'Input/output error')
    monkeypatch.setattr(os, 'read', read)
    channel = Channel()
    session.feed(channel, True)
    monkeypatch.undo()
    assert channel.sent == [b'']
