"""The credit of channels: two ends, and between them nothing but lists of frames."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.child.channels import End
from econtext.core.loop import Waiter
from econtext.core.wire import CLOSE, CREDIT, DATA, BadFrame

WINDOW = 100


class Home:
    """What an end needs of its context: its frames come to lie in `sent`."""

    def __init__(self) -> None:
        self.sent: deque[tuple[int, bytes]] = deque()
        self.router = self
        self.loop = self
        self.changed = threading.Condition()

    def send(self, kind: int, dst: int, handle: int, body: bytes) -> None:
        self.sent.append((kind, body))

    def waiter(self, deadline: float | None) -> Waiter:
        return Waiter(self)  # type: ignore[arg-type]

    def finish(self, waiter: Waiter) -> None:
        with self.changed:
            waiter.done = True
            self.changed.notify_all()

    def wait(self, waiter: Waiter) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: waiter.done, 10)


def pair() -> tuple[End, End]:
    return End(Home(), 1, 1, WINDOW), End(Home(), 2, 1, WINDOW)


def carry(sender: End, receiver: End) -> None:
    """Deliver the oldest frame of `sender`."""
    if sender.home.sent:
        receiver.receive(*sender.home.sent.popleft())


STEPS = st.lists(st.one_of(
    st.tuples(st.just('send'), st.integers(1, 3 * WINDOW)),
    st.tuples(st.just('take'), st.just(0)),
    st.tuples(st.just('down'), st.just(0)),
    st.tuples(st.just('up'), st.just(0)),
), max_size=200)  # fmt: skip


@given(STEPS)
def test_what_is_under_way_is_bounded_and_nothing_is_lost(steps: list[tuple[str, int]]) -> None:
    writer, reader = pair()
    written: list[bytes] = []
    read: list[bytes] = []
    for step, size in steps:
        if step == 'send':
            body = (b'%d ' % len(written)).ljust(size, b'.')
            if writer.spend(body, b''):
                written.append(body)
            else:
                assert writer.credit <= 0
        elif step == 'take':
            body = reader.take()  # type: ignore[assignment]
            if body is not None:
                read.append(body)
        elif step == 'down':
            carry(writer, reader)
        else:
            carry(reader, writer)
        waiting = [*reader.inbox] + [body for kind, body in writer.home.sent if kind == DATA]
        # All but the one that was sent last fits.
        assert sum(map(len, waiting[:-1])) < WINDOW
        assert writer.credit <= WINDOW
    while writer.home.sent or reader.home.sent or reader.inbox:
        carry(writer, reader)
        carry(reader, writer)
        body = reader.take()  # type: ignore[assignment]
        if body is not None:
            read.append(body)
    assert read == written
    assert writer.credit > 0, 'who reads all lets the writer go on'


@pytest.mark.parametrize('amount', [b'0', b'-1', b'65', b'ffffffffffffffff', b'1'])
def test_credit_that_was_not_used_is_refused(amount: bytes) -> None:
    writer, _ = pair()
    if amount == b'65':
        writer.spend(b'x' * 100, b'')
    with pytest.raises(BadFrame):
        writer.receive(CREDIT, amount)


def test_senders_and_readers_in_many_threads() -> None:
    """No value is lost or doubled, and the peer never sees one beyond the credit."""
    writer, reader = pair()
    values = [[b'%d-%d' % (thread, i) + b'.' * (i % 70) for i in range(300)] for thread in range(4)]
    got: list[Any] = []

    def take() -> None:
        while (body := reader.get()) is not None:
            got.append(body)

    def send(mine: list[bytes]) -> None:
        for body in mine:
            assert writer.send(body)

    readers = [threading.Thread(target=take) for _ in range(3)]
    writers = [threading.Thread(target=send, args=(mine,)) for mine in values]
    for thread in readers + writers:
        thread.start()
    while any(thread.is_alive() for thread in writers) or writer.home.sent:
        carry(writer, reader)
        carry(reader, writer)
    reader.receive(CLOSE, b'')
    for thread in readers + writers:
        thread.join(60)
    assert sorted(got) == sorted(body for mine in values for body in mine)
