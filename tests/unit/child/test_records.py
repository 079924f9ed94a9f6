"""Records that cannot be sent where they are logged: kept up to a bound, and counted beyond it."""

from __future__ import annotations

import types

from hypothesis import given
from hypothesis import strategies as st

from econtext.child import records
from econtext.child.flow import COST
from econtext.core.wire import LOG
from econtext.parent.values import decode


class Credit:
    """Credit without end, once there is any."""

    given = False

    def spend(self, size: int) -> bool:
        return self.given


@given(st.lists(st.integers(0, 3000), max_size=60), st.integers(1, 40_000))
def test_each_record_is_sent_or_counted_among_the_lost(sizes: list[int], most: int) -> None:
    sent: list[bytes] = []
    credit = Credit()
    router = types.SimpleNamespace(send=lambda kind, dst, handle, body: sent.append(body) if kind == LOG else None)
    flow = types.SimpleNamespace(credit=credit)
    held = records.Records(types.SimpleNamespace(router=router, flow=flow))
    before, records.KEPT = records.KEPT, most
    try:
        for number, size in enumerate(sizes):
            held.keep(b'%d:' % number + b'x' * size)
            assert held.kept <= most + 3000 + 10 + COST
        held.catch_up()
        assert not sent
        credit.given = True
        held.catch_up()
    finally:
        records.KEPT = before
    lost = 0
    if len(sent) < len(sizes) or (sent and sent[-1].startswith(b't')):
        lost = int(decode(sent.pop())[3].split()[0])
    assert len(sent) + lost == len(sizes)
    assert [int(body.split(b':')[0]) for body in sent] == list(range(len(sent)))
    assert held.kept == held.lost == 0
    assert not held.later
