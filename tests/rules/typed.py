"""What type checkers are to find; checked by test_typing.py, and never run."""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Iterator

from typing_extensions import assert_type

import econtext


def add(a: int, b: int = 1) -> int:
    return a + b


async def add_later(a: int, b: int = 0) -> int:
    return a + b


def lines(path: str) -> Iterator[str]:
    with open(path) as file:
        yield from file


def types(broker: econtext.Broker, context: econtext.Context) -> None:
    assert_type(context.call(add, 1, b=2), int)
    assert_type(context.call(os.getloadavg), tuple[float, float, float])
    assert_type(context.map(add, [1, 2], [3, 4]), Iterator[int])
    assert_type(context.options(timeout=5).call(add, 1), int)
    future = context.submit(add, 1)
    assert_type(future, econtext.Future[int])
    assert_type(context.options(timeout=5).submit(add, 1), econtext.Future[int])
    assert_type(future.result(timeout=1), int)
    assert_type(context.call(add_later, 1), int)
    assert_type(context.submit(add_later, 1).result(), int)
    assert_type(future.exception(), BaseException | None)
    for done in concurrent.futures.as_completed({future: 'web1'}):
        assert_type(done.result(), int)
    concurrent.futures.wait([future])
    with context.stream(lines, '/etc/motd') as stream:
        assert_type(stream, econtext.Stream[str])
        assert_type(next(stream), str)
    for channel, _ in econtext.select([context.channel()]):
        assert_type(channel, econtext.Channel)
    numbers: econtext.Channel[int] = context.channel()
    assert_type(numbers.get(), int)
    assert_type(next(iter(numbers)), int)
    assert_type(numbers.keep(), econtext.Channel[int])
    numbers.send(5)
    selection = econtext.select([numbers], keep=True)
    assert_type(selection, econtext.Selection[econtext.Channel[int]])
    selection.add(numbers)
    with broker.ssh('web1', username='me', connect_timeout=5) as web:
        assert_type(web, econtext.Context)
    assert_type(web.sudo(), econtext.Context)
    assert_type(broker.connect('docker', container='web'), econtext.Context)
    assert_type(econtext.ssh.connect(broker, 'web'), econtext.Context)
    assert_type(econtext.utils.run_with_broker(lambda broker: 3), int)
    assert_type(econtext.program.call(add, 1), int)
    assert_type(context.options(timeout=5).call(add, 1), int)
    assert_type(context.options(fork=True).call(add, 1), econtext.ForkResult[int])
    assert_type(context.options(fork=True).call(add_later, 1), econtext.ForkResult[int])
    assert_type(context.options(fork=True, capture=False).submit(add, 1).result().value, int)


def many(fleet: econtext.Fleet) -> None:
    assert_type(fleet.call(add, 1), econtext.Results[int])
    assert_type(fleet.call(add_later, 1), econtext.Results[int])
    assert_type(fleet.submit(add_later, 1), econtext.Futures[int])
    assert_type(fleet.map(add_later, [1]), econtext.Results[int])
    assert_type(fleet.executor().submit(add_later, 1), econtext.HostFuture[int])
    both: list[econtext.Channel[int] | econtext.HostFuture[int]] = []
    assert_type(econtext.select(both), econtext.Selection[econtext.Channel[int] | econtext.HostFuture[int]])


def slips(broker: econtext.Broker, context: econtext.Context) -> None:
    """Each is an error: with `warn_unused_ignores` an ignore that is not needed is one."""
    context.call(add, 'x')  # type: ignore[call-overload]
    context.submit(add, 1, c=3)  # type: ignore[arg-type, call-arg]
    context.options(timeout='5')  # type: ignore[call-overload]
    context.options(max_output=5)  # type: ignore[call-overload]
    context.options(fork=True).stream(add, 1)  # type: ignore[attr-defined]
    context.options(fork=True).call(add, 'x')  # type: ignore[call-overload]
    context.stream(add, 1)  # type: ignore[arg-type]
    broker.ssh('web1', usrname='me')  # type: ignore[call-arg]
    broker.local(timeout=5)  # type: ignore[call-arg]
    numbers: econtext.Channel[int] = context.channel()
    numbers.send('x')  # type: ignore[arg-type]
    econtext.select([5])  # type: ignore[type-var]
    econtext.Brooker()  # type: ignore[attr-defined]
