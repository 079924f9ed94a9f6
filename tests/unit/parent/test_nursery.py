"""What a hop tells of the contexts that it starts."""

from __future__ import annotations

import marshal
import threading
import types
from collections.abc import Iterator
from typing import Any

import pytest

from econtext.core.loop import Link, Loop
from econtext.core.router import Router
from econtext.core.wire import REPORT, ROUTE
from econtext.parent.nursery import Nursery
from econtext.parent.values import decode


class Up:
    """The link to the parent: notes each report, and whether the way to the child is there as the report is sent."""

    def __init__(self, router: Router) -> None:
        self.router = router
        self.reports: list[tuple[str, bool]] = []
        self.buried = threading.Event()
        self.lock = threading.Lock()
        self.owner, self.bulk = types.SimpleNamespace(), types.SimpleNamespace()
        self.queue: list[bytes] = []
        self.transport = types.SimpleNamespace(send=self.send)

    def send(self, kind: int, dst: int, src: int, handle: int, body: bytes) -> None:
        assert kind == REPORT
        event = decode(body)[0]
        self.reports.append((event, handle in self.router.links))
        if event == 'buried':
            self.buried.set()


@pytest.fixture
def hop() -> Iterator[Any]:
    router = Router(5)
    router.up = up = Up(router)
    router.handlers[ROUTE] = lambda *frame: None
    loop = Loop()
    yield types.SimpleNamespace(loop=loop, router=router, preamble=b'', link=up, watch=None)
    loop.poller.close()


def test_a_failure_is_reported_before_calls_hear_that_the_way_is_gone(hop: Any) -> None:
    """The answer to a call that finds no way would else be there before the cause is known."""
    link = Link(hop.loop, hop.router, None)
    hop.router.links[7] = link
    Nursery(hop).start(link, 0, 7, marshal.dumps(
        ('econtext.connectors.local', {'python': '/no/such/python'}, {}, [], 0), 2))
    assert hop.link.buried.wait(60)
    assert hop.link.reports == [('failed', True), ('buried', False)]
    assert hop.router.links == {}
