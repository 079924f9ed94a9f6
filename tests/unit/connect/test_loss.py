"""How the end of a link is told."""

from __future__ import annotations

import pytest

from econtext.controller.connect import loss
from unit.fakes import FakePeer, FakeSession

WAITS = '  File "econtext/child/watch.py", line 162 in turn'
HANGS = '  File "/usr/lib/python3.13/re/__init__.py", line 167 in match'
PERFORMS = '  File "econtext/child/supervisor.py", line 146 in perform'


@pytest.mark.parametrize(('frames', 'told'), [
    ([HANGS, PERFORMS], ': line 167 of /usr/lib/python3.13/re/__init__.py, in match;'),
    ([PERFORMS], ': line 146 of econtext/child/supervisor.py, in perform;'),
    ([WAITS, '  File "econtext/core/loop.py", line 200 in spare'], ' so it was ended;'),
    ([WAITS.replace('child/watch', 'core/loop')], ' so it was ended;'),
    ([], ' so it was ended;'),
])
def test_the_line_that_hung_is_told_if_it_is_known(frames: list[str], told: str) -> None:
    """The kernel gives the signal to whichever thread runs at that moment, perhaps the one that only reads the link."""
    written = repr('\n'.join([loss.STACK, *frames]).encode())
    assert told in str(loss.of_link(FakePeer(FakeSession()), written)())
