"""What `econtext exec` shows of many hosts."""

from __future__ import annotations

import pytest

from econtext.command_line.execute import within
from econtext.controller.fleet.progress import Progress


@pytest.mark.parametrize(('room', 'expected'), [
    (80, '3/9 hosts: 2 connecting, 4 running, 2 done, 1 failed (0.1/s, 1:00 left)'),
    (60, '3/9 hosts: 2 connecting, 4 running, 2 done, 1 failed'),
    (39, '3/9 hosts, 1 failed'),
    (10, '3/9'),
])  # fmt: skip
def test_as_much_of_the_progress_as_has_room(room: int, expected: str) -> None:
    assert within(Progress(0, 2, 0, 4, 2, 1, 0, 30.0), room) == expected
