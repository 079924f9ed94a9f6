"""A context as one piece of work of a fleet uses it: what is begun there ends with it, whenever that is."""

from __future__ import annotations

import os
from typing import Any

import pytest

from econtext.controller.errors import EcontextError
from econtext.controller.fleet.seats import Seat


class FakeFuture:
    def __init__(self) -> None:
        self.over = False
        self.interrupted: list[float] = []

    def done(self) -> bool:
        return self.over

    def interrupt(self, grace: float) -> None:
        self.interrupted.append(grace)

    def result(self) -> str:
        return 'result'


class FakeContext:
    """Notes what is asked of it; `meanwhile` is what others do while a call is sent or a channel made."""

    name = 'web1'

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.futures: list[FakeFuture] = []
        self.channels: list[FakeChannel] = []
        self.meanwhile: Any = lambda: None

    def options(self, **options: Any) -> FakeContext:
        self.asked = options
        return self

    def submit(self, function: Any, *args: Any, **kwargs: Any) -> FakeFuture:
        self.futures.append(FakeFuture())
        self.meanwhile()
        return self.futures[-1]

    def channel(self, **options: Any) -> FakeChannel:
        self.channels.append(FakeChannel())
        self.meanwhile()
        return self.channels[-1]


class FakeChannel:
    closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def context() -> FakeContext:
    return FakeContext()


@pytest.fixture
def seat(context: FakeContext) -> Seat:
    return Seat(context, 7.0, 2.0)  # type: ignore[arg-type]


def test_calls_have_the_options_of_the_work(context: FakeContext, seat: Seat) -> None:
    assert context.asked == {'timeout': 7.0, 'grace': 2.0}
    assert seat.call(os.getpid) == 'result'
    assert seat.name == 'web1'


def test_what_was_begun_ends_and_what_is_over_is_left_alone(context: FakeContext, seat: Seat) -> None:
    seat.submit(os.getpid)
    seat.submit(os.getpid)
    seat.channel()
    context.futures[0].over = True
    seat.stop(3.0)
    assert [future.interrupted for future in context.futures] == [[], [3.0]]
    assert [channel.closed for channel in context.channels] == [1]


def test_nothing_is_begun_after_the_stop(context: FakeContext, seat: Seat) -> None:
    seat.stop(0.0)
    for begin in lambda: seat.call(os.getpid), lambda: seat.submit(os.getpid), seat.channel:
        with pytest.raises(EcontextError, match='web1: it was interrupted'):
            begin()
    assert context.futures == context.channels == []


def test_what_is_begun_as_the_stop_comes_ends_too(context: FakeContext, seat: Seat) -> None:
    """The stop finds nothing to end: who begins it sees to that."""
    context.meanwhile = lambda: seat.stop(0.0)
    seat.submit(os.getpid)
    assert context.futures[0].interrupted == [0.0]
    seat.stopped = None
    seat.channel()
    assert context.channels[0].closed == 1
