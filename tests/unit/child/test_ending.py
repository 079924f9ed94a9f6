"""Which processes a context waits for at its end."""

from __future__ import annotations

import os

import pytest

from econtext.child import ending


def test_who_has_ended_runs_no_more_though_nobody_has_waited() -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    try:
        assert not ending.runs(str(pid))
        assert ending.runs(str(os.getpid()))
    finally:
        os.waitpid(pid, 0)


def test_who_is_not_shown_may_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a system with another kind of /proc: such a process is told to end, and waited for."""
    def missing(*args: object) -> int:
        raise FileNotFoundError

    monkeypatch.setattr(ending.os, 'open', missing)
    assert ending.runs(str(os.getpid()))
