"""What contexts print and log: in order, within the window, line by line."""

from __future__ import annotations

import collections
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.child.flow import COST, weight
from econtext.controller.runtime.deadlines import Expired
from econtext.controller.session import output
from econtext.controller.session.output import SLACK, Allowance, Lines
from econtext.core.wire import BadFrame
from unit.fakes import FakeLoop, later

WINDOW = 1 << 16


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


@pytest.fixture
def lines(loop: FakeLoop, caplog: pytest.LogCaptureFixture) -> Lines:
    granted: list[int] = []
    made = Lines('out', loop, granted.append, WINDOW)  # type: ignore[arg-type]
    made.granted = granted  # type: ignore[attr-defined]
    caplog.set_level(logging.INFO, 'econtext.ctx.out')
    return made


def handle(lines: Lines) -> None:
    lines.settle(lines.mark())


# -- the window --------------------------------------------------------------


def test_a_context_may_send_its_window_and_a_slack_before_it_knows_of_it() -> None:
    allowance = Allowance(WINDOW)
    assert allowance.left() == WINDOW
    allowance.charge(WINDOW - COST)
    assert allowance.left() == 0
    allowance.charge(SLACK - COST - 1)
    allowance.charge(5)
    with pytest.raises(BadFrame, match='more output than it was granted'):
        allowance.charge(0)


def test_credit_is_granted_a_quarter_at_a_time() -> None:
    allowance = Allowance(WINDOW)
    assert allowance.handled(WINDOW // 4 - 1) == 0
    assert allowance.handled(1) == WINDOW // 4
    assert allowance.handled(0) == 0
    assert allowance.left() == WINDOW + WINDOW // 4


def test_who_is_held_back_is_told_from_who_has_room() -> None:
    allowance = Allowance(WINDOW)
    allowance.charge(WINDOW // 4)
    assert not allowance.is_pressed()
    allowance.charge(WINDOW - WINDOW // 4 - 2 * COST)
    assert allowance.is_pressed()
    allowance.handled(WINDOW)   # room again: it would have gone on
    assert not allowance.is_pressed()
    allowance.charge(1)
    assert not allowance.pressed


@given(st.lists(st.tuples(st.booleans(), st.integers(0, WINDOW)), max_size=40))
def test_what_waits_is_within_the_window_the_slack_and_a_piece(steps: Any) -> None:
    allowance, waiting = Allowance(WINDOW), []
    for sends, size in steps:
        if sends:
            try:
                allowance.charge(size)
            except BadFrame:
                assert allowance.left() <= -SLACK
                continue
            waiting.append(size + COST)
        elif waiting:
            allowance.handled(waiting.pop(0))
        assert sum(waiting) < WINDOW + SLACK + WINDOW + COST + 1


# -- lines -------------------------------------------------------------------


@pytest.mark.parametrize(('pieces', 'texts'), [
    ([(1, b'one\n')], ['stdout: one']), ([(2, b'one\n')], ['stderr: one']),
    ([(1, b'a\nb\n')], ['stdout: a', 'stdout: b']),
    ([(1, b'a'), (1, b'b\n')], ['stdout: ab']), ([(1, b'a'), (2, b'x\n'), (1, b'b\n')], ['stderr: x', 'stdout: ab']),
    ([(1, b'dos\r\n')], ['stdout: dos']), ([(1, b'\n')], ['stdout: ']), ([(1, b'\xff\x1b\n')], ['stdout: \\xff\\x1b']),
    ([(1, b'no end')], []), ([(1, 'ä\n'.encode())], ['stdout: ä']),
])  # fmt: skip
def test_each_line_is_a_record(lines: Lines, caplog: Any, pieces: Any, texts: list[str]) -> None:
    for stream, data in pieces:
        lines.put(lambda stream=stream, data=data: lines.printed(stream, data))  # type: ignore[misc]
    handle(lines)
    assert caplog.messages == texts
    assert {record.levelno for record in caplog.records} <= {logging.INFO}


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.text('ab\n', max_size=9).map(str.encode)), max_size=9))
def test_lines_arrive_whole_and_in_their_order(pieces: list[tuple[int, bytes]]) -> None:
    lines = Lines('whole', FakeLoop(), lambda size: None)  # type: ignore[arg-type]
    found: list[tuple[int, bytes]] = []
    lines.emit = lambda stream, line: found.append((stream, line))  # type: ignore[method-assign, assignment]
    for stream, data in pieces:
        lines.put(lambda stream=stream, data=data: lines.printed(stream, data))  # type: ignore[misc]
    lines.end()
    handle(lines)
    for number in 1, 2:
        whole = b''.join(data for stream, data in pieces if stream == number)
        wanted = whole.split(b'\n') if not whole.endswith(b'\n') else whole[:-1].split(b'\n')
        assert [line for stream, line in found if stream == number] == (wanted if whole else [])


def test_a_long_line_comes_in_pieces(lines: Lines, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(output, 'LONGEST', 4)
    lines.put(lambda: lines.printed(1, b'abcdefghij'))
    lines.end()
    handle(lines)
    assert caplog.messages == ['stdout: abcd', 'stdout: efgh', 'stdout: ij']


def test_what_was_handled_is_granted_again(lines: Any) -> None:
    data = b'x' * (WINDOW // 4) + b'\n'
    lines.put(lambda: lines.printed(1, data))
    handle(lines)
    assert lines.granted == [weight(data) + COST]
    lines.put(lambda: lines.printed(1, b'y' * (WINDOW // 4)))     # without an end
    handle(lines)
    assert len(lines.granted) == 2
    lines.put(lambda: None, WINDOW)
    handle(lines)
    assert lines.granted[2:] == [WINDOW]


# -- order and time ----------------------------------------------------------


def test_who_has_a_mark_handles_what_came_before_and_no_more(lines: Lines) -> None:
    told: list[int] = []
    lines.put(lambda: told.append(1))
    mark = lines.mark()
    lines.put(lambda: told.append(2))
    assert lines.is_open(mark)
    lines.settle(mark)
    assert told == [1]
    assert not lines.is_open(mark)
    assert lines.is_open(lines.mark())
    lines.loop.run()  # type: ignore[attr-defined]
    assert told == [1, 2]


def test_a_mark_that_is_made_while_an_item_leaves_the_queue_is_behind_it(lines: Lines) -> None:
    """An answer may come between any two steps of the thread that handles lines: its caller waits for that item."""
    marks: list[int] = []
    open_while_handled: list[bool] = []

    class Watched(collections.deque[Any]):
        def popleft(self) -> Any:
            marks[:] = [lines.mark()]
            item = super().popleft()
            marks.append(lines.mark())
            return item

    lines.queue = Watched()
    for _ in range(3):
        lines.put(lambda: open_while_handled.extend(mark > 0 and lines.is_open(mark) for mark in marks))
    handle(lines)
    assert open_while_handled == [True] * 6
    assert not any(map(lines.is_open, marks))


def test_who_has_a_deadline_has_others_handle_it(lines: Lines) -> None:
    told: list[int] = []
    lines.put(lambda: told.append(1))
    lines.settle(lines.mark(), later(60))
    assert told == [1]
    assert lines.watchers == []


def test_a_deadline_is_kept(lines: Lines, loop: FakeLoop) -> None:
    lines.put(lambda: None)
    mark = lines.mark()
    loop.run = lambda: None  # type: ignore[method-assign]
    with pytest.raises(Expired):
        lines.settle(mark, later(0.01))
    assert lines.watchers == []


def test_a_handler_that_fails_ends_nothing(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[BaseException] = []
    monkeypatch.setattr('sys.excepthook', lambda kind, error, trace: shown.append(error))
    told: list[int] = []

    def fails() -> None:
        raise ValueError('a handler')

    lines.put(fails, WINDOW)
    lines.put(lambda: told.append(1))
    handle(lines)
    assert [str(error) for error in shown] == ['a handler']
    assert told == [1]
    assert lines.granted == [WINDOW]  # type: ignore[attr-defined]
    assert lines.running == lines.holder == 0


def test_once_the_loop_has_ended_nobody_waits(lines: Lines, loop: FakeLoop) -> None:
    lines.put(lambda: None)
    loop.parted = True
    lines.settle(lines.mark())
    assert lines.queue


def test_at_the_end_lines_are_dropped_and_counted(lines: Lines, loop: FakeLoop, caplog: Any) -> None:
    told: list[str] = []
    for number in range(3):
        lines.put(lambda: None, 1, number)      # 0, 1 and 2 lines
    lines.put(lambda: told.append('kept'))
    assert lines.drop() == 3
    handle(lines)
    assert told == ['kept']
    assert not lines.is_open(lines.mark())


@pytest.mark.parametrize(('pressed', 'cut', 'why'), [
    (True, False, 'it ended while its output was held back'), (False, True, 'its link broke off in what it said'),
    (True, True, 'it ended while its output was held back'), (False, False, '')])  # fmt: skip
def test_what_may_be_missing_at_the_end_is_told(lines: Lines, caplog: Any, pressed: bool, cut: bool, why: str) -> None:
    lines.put(lambda: lines.printed(1, b'no end'))
    if pressed:
        lines.allowance.charge(WINDOW)
    lines.end(cut)
    handle(lines)
    told = [f'what it printed or logged last may be missing: {why}'] if why else []
    assert caplog.messages == ['stdout: no end', *told]


def test_what_a_starting_program_says_is_bounded_and_the_rest_counted(lines: Lines, caplog: Any) -> None:
    shown: list[bytes] = []
    most = output.CHARGES[output.REPORT].window
    lines.heard(b'x' * most, shown.append)
    lines.heard(b'y' * 5, shown.append)
    lines.heard(b'z' * 7, shown.append)
    handle(lines)
    assert shown == [b'x' * most]
    assert caplog.messages == ['12 bytes of what the program that starts it prints were left out']
    lines.heard(b'again', shown.append)
    handle(lines)
    assert shown[1:] == [b'again']


# -- records -----------------------------------------------------------------


def test_a_record_is_one_here(lines: Lines, caplog: Any) -> None:
    lines.logged(('app', 30, 1.25, 'one\ntwo', 'Traceback\n  x'))
    (record,) = caplog.records
    assert (record.name, record.levelno, record.remote_name) == ('econtext.ctx.out', 30, 'app')
    assert record.getMessage() == 'app: one\n    two'
    assert (record.created, record.msecs) == (1.25, 250.0)
    assert record.exc_text == '    Traceback\n      x'


def test_a_record_that_nobody_wants_is_dropped(lines: Lines, caplog: Any) -> None:
    lines.logged(('app', 10, 0.0, 'x', ''))
    assert caplog.records == []
    logging.disable(30)
    try:
        lines.logged(('app', 30, 0.0, 'x', ''))
    finally:
        logging.disable(logging.NOTSET)
    lines.logger.disabled = True
    lines.logged(('app', 50, 0.0, 'x', ''))
    lines.logger.disabled = False
    assert caplog.records == []
