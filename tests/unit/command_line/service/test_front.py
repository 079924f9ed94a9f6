"""Which commands are for a session server, and which light things their near end imports."""

from __future__ import annotations

import os
import subprocess
import sys

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
