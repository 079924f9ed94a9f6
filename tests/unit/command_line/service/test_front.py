"""Which commands are for a session server, and which light things their near end imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from econtext.command_line.service import front


@pytest.mark.parametrize(('words', 'mode', 'expected'), [
    (['run', 'h', 'x.py'], 'auto', True), (['exec', 'h', '--', 'x'], '1', True), (['shell', 'h'], 'auto', True),
    (['run', 'h', 'x.py'], '0', False), (['run', 'h', 'x.py'], 'no', False), (['run', '--no-server', 'h'], '1', False),
    (['cp', 'a', 'h:'], 'auto', False), (['serve'], 'auto', False), ([], 'auto', False), (['--help'], '1', False),
])  # fmt: skip
def test_what_is_for_a_server(words: list[str], mode: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, 'is_in_front', lambda: True)
    assert front.wanted(words, mode) is (expected and sys.platform.startswith('linux'))


def test_not_for_completion_and_not_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, 'is_in_front', lambda: False)
    assert not front.wanted(['run', 'h', 'x.py'], '1')
    monkeypatch.setattr(front, 'is_in_front', lambda: True)
    monkeypatch.setenv('_ECONTEXT_COMPLETE', 'bash_complete')
    assert not front.wanted(['run', 'h', 'x.py'], '1')


def test_who_may_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    terminals: set[int] = set()
    monkeypatch.setattr(os, 'isatty', lambda fd: fd in terminals)
    assert front.may_start('1')
    assert not front.may_start('auto')
    terminals.add(0)
    assert not front.may_start('auto')
    terminals.add(2)
    assert front.may_start('auto')


def test_the_mask_is_left_as_it_is() -> None:
    before = os.umask(0o027)
    try:
        assert front.current_umask() == 0o027
        assert front.current_umask() == 0o027
    finally:
        os.umask(before)


def test_the_near_end_imports_next_to_nothing() -> None:
    """Each command pays for it: these take longer than all the rest of it."""
    program = (
        'import sys; from econtext.cli import main; before = set(sys.modules)\n'
        'from econtext.command_line.service import front; print(*sys.modules)')
    done = subprocess.run([sys.executable, '-I', '-S', '-c', f'import sys; sys.path[:0] = {sys.path!r}; {program}'],
                          capture_output=True, text=True, check=True)
    heavy = {'click', 'socket', 'signal', 'enum', 'typing', 're', 'collections', 'contextlib', 'json', 'select'}
    assert not heavy & set(done.stdout.split())


class Broken:
    """The connection to a server that has taken the command, and is gone."""

    def __init__(self, answers: list[bytes]) -> None:
        self.answers = answers
        self.socket: Any = self

    def settimeout(self, seconds: float | None) -> None:
        pass

    def send(self, *_: object) -> None:
        pass

    def receive(self, size: int) -> bytes:
        if self.answers:
            return self.answers.pop(0)
        raise ConnectionResetError


class ClosedTerminal:
    """Standard error on a terminal that is closed."""

    def write(self, text: str) -> None:
        raise OSError(5, 'Input/output error')


@pytest.mark.parametrize(('answers', 'status'), [
    ([], 255), ([b'e'], 255), ([b'e', (9).to_bytes(4, sys.byteorder)], 128 + signal.SIGKILL),
])  # fmt: skip
@pytest.mark.parametrize('closed', [False, True])
def test_what_the_server_has_begun_is_not_begun_here(
    answers: list[bytes], status: int, closed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever breaks: None would have the command run in this process, a second time."""
    if closed:
        monkeypatch.setattr(sys, 'stderr', ClosedTerminal())
    found: Any = Broken(list(answers))
    assert front.Front(found).follow(['run', 'h', 'x.py']) == status
