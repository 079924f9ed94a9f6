"""The start of a child: what it asks of its connector, and what it looks at."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

import econtext
from econtext.connectors import local
from econtext.parent.children import Birth, unread


def birth(links: list[Any], watched: dict[int, Any]) -> Any:
    """Return a start in a home that has these links, and watches these descriptors."""
    home = types.SimpleNamespace(
        router=types.SimpleNamespace(links=dict(enumerate(links))), loop=types.SimpleNamespace(watched=watched))
    link = types.SimpleNamespace(out=-1, fd=None, queue=[])
    return Birth(home, link, local, {}, {}, lambda *report: None)  # type: ignore[arg-type]


def link(out: int | None) -> Any:
    return types.SimpleNamespace(out=out, fd=None)


def steps(function: Callable[[], object]) -> int:
    """Return how many instructions of Python `function` takes, of ours and of what it calls."""
    taken = 0

    def trace(frame: types.FrameType, event: str, argument: object) -> Any:
        nonlocal taken
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        taken += event == 'opcode'
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return taken


def test_what_no_program_inherits_is_what_is_watched_and_what_links_are_written_to() -> None:
    one = birth([link(7), None, link(None), link(-1), link(9)], {3: object(), 5: object()})
    assert one.hardened() == {3, 5, 7, 9}


def test_a_start_looks_at_many_contexts_as_fast_as_at_few() -> None:
    few, many = birth([link(7)] * 2, {}), birth([link(fd) for fd in range(2000)], {})
    assert steps(few.hardened) == steps(many.hardened) > 0


def test_a_connector_plans_each_start_once(broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[tuple[Any, ...]] = []
    plan = local.plan

    def counted(*details: Any) -> Any:
        planned.append(details)
        return plan(*details)

    monkeypatch.setattr(local, 'plan', counted)
    with broker.local() as context:
        assert context.call(os.getppid) == os.getpid()
        assert len(planned) == 1
        with context.local() as below:
            assert below.call(os.getppid) == context.call(os.getpid)
    assert len(planned) == 2, 'the second one is looked at here, and started elsewhere'


def test_what_nobody_has_read_of_a_pipe_is_counted() -> None:
    ours, theirs = os.pipe()
    assert unread(theirs) == 0
    os.write(theirs, b'abc')
    assert unread(theirs) == 3
    os.read(ours, 3)
    assert unread(theirs) == 0
    os.close(ours)
    os.close(theirs)
