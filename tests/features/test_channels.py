"""Point 9, channels: streams of values between the program and functions in contexts."""

from __future__ import annotations

import concurrent.futures
import datetime
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from errands import streams, work
from travel import classes

import econtext
from econtext.child.channels import WINDOW
from lab import eventually, leaks, pythons
from lab.accounts import Accounts
from lab.sshd import Sshd

VERSIONS = ('2.7', '3.6', '3.11', '3.13')
VALUES = [
    None, True, 0, -(1 << 80), 2.5, 1j, 'café ☃', (1, ('a',)), [[], {}], {'k': [1]}, {1, 2}, frozenset([3]),
    datetime.datetime(2024, 2, 29, 12, 30, 1, 5),
]  # fmt: skip


@pytest.fixture
def child(broker: econtext.Broker) -> econtext.Context:
    return broker.local(name='child')


# -- every Python ------------------------------------------------------------


def test_the_seed_s_own(broker: econtext.Broker, python: pythons.Interpreter, tmp_path: Path) -> None:
    """Follow a log file that grows, until one has seen enough."""
    path = tmp_path / 'log'
    path.write_text('first\n')
    web = broker.local(python=python)
    channel = web.channel()
    tail = web.submit(streams.tail_log_file, channel, str(path))
    text = ''
    for chunk in channel:
        text += chunk
        if text == 'first\n':
            with path.open('a') as file:
                file.write('second\n')
        elif text == 'first\nsecond\n':
            break
    assert not tail.done()
    assert channel.open()  # leaving the loop closes nothing
    with path.open('a') as file:
        file.write('third\n')
    assert next(channel) == 'third\n'
    channel.close()
    assert not channel.open()
    assert tail.result(60) is None


def test_values_both_ways(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    child = broker.local(python=python)
    channel = child.channel()
    count = child.submit(streams.echo, channel)
    for value in VALUES:
        channel.send(value)
        got = channel.get(60)
        assert got == value
        assert type(got) is type(value)
    channel.close()
    assert count.result(60) == len(VALUES)


def test_either_end_closes(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    child = broker.local(python=python)
    channel = child.channel()
    done = child.submit(streams.count_and_close, channel, 5)
    assert list(channel) == [0, 1, 2, 3, 4]
    assert not channel.open()
    assert done.result(60) == 'closed'
    assert list(channel) == []
    with pytest.raises(econtext.EcontextError, match='closed'):
        channel.send(1)
    with pytest.raises(EOFError):
        channel.get(1)

    channel = child.channel()
    total = child.submit(streams.total, channel)
    for i in range(1000):
        channel.send(i)
    channel.close()
    assert total.result(60) == 499500


def test_a_function_that_returns_or_fails_ends_its_channel(
    broker: econtext.Broker, python: pythons.Interpreter
) -> None:
    """One that forgets to close leaves nobody waiting."""
    child = broker.local(python=python)
    channel = child.channel()
    child.submit(streams.count, channel, 3)
    assert list(channel) == [0, 1, 2]
    channel = child.channel()
    failing = child.submit(streams.count_and_fail, channel, 3)
    assert list(channel) == [0, 1, 2]
    with pytest.raises(ValueError, match='after 3'):
        failing.result(60)


def test_who_sends_waits_for_who_reads(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    """What nobody reads does not pile up here; all of it arrives in the end."""
    child = broker.local(python=python)
    channel = child.channel()
    child.submit(streams.pour, channel, 10_000, 1000)
    first = next(channel)
    eventually(lambda: channel._end.granted <= 0, what='the writer used all its credit')
    assert sum(map(len, channel._end.inbox)) < WINDOW + 11_000
    rest = list(channel)
    assert len(rest) == 999
    assert set(rest) | {first} <= {b'x' * 10_000, 'x' * 10_000}


def test_a_window_of_its_own(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    """A narrow one holds the writer sooner; values larger than it pass all the same, both ways."""
    child = broker.local(python=python)
    channel = child.channel(window=65_536)
    child.submit(streams.pour, channel, 10_000, 100)
    first = next(channel)
    eventually(lambda: channel._end.granted <= 0, what='the writer used all its credit')
    assert sum(map(len, channel._end.inbox)) < 65_536 + 11_000
    assert len([first, *channel]) == 100
    echo = child.channel(window=65_536)
    child.submit(streams.echo, echo)
    large = 'x' * 300_000
    for _ in range(3):
        echo.send(large)
        assert next(echo) == large
    echo.close()


@pytest.mark.parametrize('window', [0, -1, 65_535, 1 << 40])
def test_a_window_that_makes_no_sense_is_refused(broker: econtext.Broker, window: int) -> None:
    with pytest.raises(ValueError, match='window='):
        broker.local().channel(window=window)


def test_a_reader_that_stops_holds_the_memory_of_every_hop(broker: econtext.Broker) -> None:
    """And calls over the same links go on."""
    path = [broker.local()]
    for _ in range(2):
        path.append(path[-1].local())
    for context in path:
        assert context.call(os.getpid)
    channel = path[-1].channel()
    path[-1].submit(streams.pour, channel, 100_000, 2000)
    next(channel)
    eventually(lambda: channel._end.granted <= 0, what='the writer used all its credit')
    before = [resident(pid) for pid in [os.getpid(), *(context.pid for context in path)]]
    for _ in range(20):
        assert [context.call(os.getpid) for context in path[:-1]] == [context.pid for context in path[:-1]]
    after = [resident(pid) for pid in [os.getpid(), *(context.pid for context in path)]]
    assert max(there - here for here, there in zip(before, after, strict=True)) < 4_000_000
    assert sum(1 for _ in channel) == 1999
    after = [resident(context.pid) for context in path]
    assert max(there - here for here, there in zip(before[1:], after, strict=True)) < 8_000_000


def resident(pid: int) -> int:
    with open(f'/proc/{pid}/status', encoding='ascii', errors='replace') as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith('VmRSS'))


def test_closing_frees_who_waits_to_send(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    child = broker.local(python=python)
    channel = child.channel()
    pouring = child.submit(streams.pour, channel, 10_000, 100_000)
    next(channel)
    eventually(lambda: channel._end.granted <= 0, what='the writer used all its credit')
    channel.close()
    assert 20 <= pouring.result(60) < 1000
    assert child.call(os.getpid) == child.pid


@pytest.mark.parametrize('ends', ['here', 'there'])
def test_a_channel_that_has_ended_is_handed_once_more(
    broker: econtext.Broker, python: pythons.Interpreter, ends: str
) -> None:
    context = broker.local(python=python)
    child, channel = context.options(timeout=60), context.channel()
    if ends == 'there':
        child.call(streams.count_and_close, channel, 0)
    else:
        total = child.submit(streams.total, channel)
        channel.close()
        assert total.result() == 0
    assert list(channel) == []
    for _ in range(2):
        assert child.call(streams.total, channel) == 0


def test_sending_into_a_closed_channel_says_so(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    child = broker.local(python=python)
    assert 'closed' in child.call(streams.send_closed, child.channel())


@pytest.mark.every_python
def test_through_every_python(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    hop = broker.local(python=python)
    below = hop.local(python=pythons.interpreter('3.6'))
    channel = below.channel()
    below.submit(streams.pour, channel, 1000, 2000)
    assert len(list(channel)) == 2000
    channel = hop.channel()  # opened with the hop, handed further down
    below.submit(streams.count, channel, 100)
    assert list(channel) == list(range(100))


# -- many at once ------------------------------------------------------------


def test_select(broker: econtext.Broker) -> None:
    contexts = [broker.local(python=pythons.interpreter(version)) for version in VERSIONS]
    channels = [context.channel() for context in contexts]
    for context, channel in zip(contexts, channels, strict=True):
        context.submit(streams.count, channel, 500)
    got: dict[Any, list[int]] = {channel: [] for channel in channels}
    for channel, value in econtext.select(channels):
        got[channel].append(value)
    assert list(got.values()) == [list(range(500))] * 4


def test_a_lost_context_is_an_event_of_select(broker: econtext.Broker) -> None:
    contexts = [broker.local(name=name) for name in ('one', 'two')]
    channels = [context.channel() for context in contexts]
    for context, channel in zip(contexts, channels, strict=True):
        context.submit(streams.hold, channel)
    events = []
    for channel, value in econtext.select(channels, timeout=60):
        events.append((channel, value))
        if len(events) == 2:
            assert dict(events) == dict.fromkeys(channels, 'here')
            os.kill(contexts[0].pid, signal.SIGKILL)
        elif len(events) == 3:
            assert channel is channels[0]
            assert isinstance(value, econtext.ContextLost)
            assert 'one' in str(value)
            channels[1].close()
    assert len(events) == 3


def test_select_of_nothing_and_of_closed_ones(child: econtext.Context) -> None:
    assert list(econtext.select([])) == []
    channel = child.channel()
    child.submit(streams.count_and_close, channel, 2)
    assert list(channel) == [0, 1]
    assert list(econtext.select([channel])) == []


def test_select_can_be_left_and_begun_again(child: econtext.Context) -> None:
    channel = child.channel()
    child.submit(streams.count, channel, 10)
    got = []
    while len(got) < 10:
        for _, value in econtext.select([channel]):
            got.append(value)
            break
    assert got == list(range(10))


def test_select_gives_up_after_its_time(child: econtext.Context) -> None:
    channel = child.channel()
    child.submit(streams.hold, channel)
    assert next(channel) == 'here'
    with pytest.raises(TimeoutError):
        next(econtext.select([channel], timeout=0.05))
    with pytest.raises(TimeoutError):
        channel.get(0.05)
    channel.close()


def test_select_loses_nothing_that_it_has_not_told(broker: econtext.Broker) -> None:
    channels = [broker.local().channel() for _ in range(3)]
    for channel in channels:
        channel.context.submit(streams.count, channel, 3).result(60)
    for channel in channels:
        eventually(lambda channel=channel: not channel.open())  # all is here
    told = next(econtext.select(channels))
    assert told == (channels[0], 0)
    assert [list(channel) for channel in channels] == [[1, 2], [0, 1, 2], [0, 1, 2]]


def test_nobody_is_remembered_who_waits_no_more(broker: econtext.Broker) -> None:
    """On a channel where nothing happens, and a call that takes its time."""
    idle, busy = (broker.local().channel() for _ in range(2))
    over = idle.context.submit(streams.hold, idle)
    assert next(idle) == 'here'
    busy.context.submit(streams.count, busy, 300)
    for channel, number in econtext.select([idle, busy]):
        assert channel is busy
        assert len(idle._end.waiters) <= 3
        if number == 299:
            # The end of the busy channel comes behind this value: waiting for it would be waiting on the idle one.
            break
    for _ in range(10):
        with pytest.raises(TimeoutError):
            idle.get(timeout=0.001)
        with pytest.raises(TimeoutError):
            over.result(timeout=0.001)
    assert len(idle._end.waiters) <= 3
    assert len(over._waits) <= 3
    idle.close()


@pytest.mark.parametrize('value', [(...,), (..., 5), (..., 'secret', 'x')])
def test_what_is_told_from_a_mark_of_ours_is_refused(child: econtext.Context, value: object) -> None:
    channel = child.channel()
    with pytest.raises(TypeError, match='cannot cross'):
        channel.send(value)


def test_several_channels_in_one_call(child: econtext.Context) -> None:
    channels = [child.channel() for _ in range(3)]
    child.submit(streams.greet, channels, 'child')
    assert [list(channel) for channel in channels] == [['hello from child']] * 3
    channel = child.channel()
    child.submit(streams.greet, channels=(channel,), name='there')
    assert list(channel) == ['hello from there']


def test_many_channels_one_after_the_other(child: econtext.Context) -> None:
    for i in range(300):
        channel = child.channel()
        child.submit(streams.count_and_close, channel, 2)
        assert list(channel) == [0, 1], i


def test_threads_each_with_a_channel(broker: econtext.Broker) -> None:
    contexts = [broker.local() for _ in range(3)]

    def use(context: econtext.Context) -> list[int]:
        channel = context.channel()
        context.submit(streams.count, channel, 2000)
        return list(channel)

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert list(pool.map(use, contexts)) == [list(range(2000))] * 3


# -- further down ------------------------------------------------------------


def test_over_ssh_and_sudo(broker: econtext.Broker, sshd: Sshd, accounts: Accounts) -> None:
    web = broker.ssh(sshd.address, username=accounts['nopw'].name, ssh_args=sshd.ssh_args())
    root = web.sudo()
    channels = [web.channel(), root.channel(), web.channel()]
    web.submit(streams.greet, channels[:1], 'web')
    root.submit(streams.greet, channels[1:], 'root')
    got = sorted((channels.index(channel), value) for channel, value in econtext.select(channels))
    assert got == [(0, 'hello from web'), (1, 'hello from root'), (2, 'hello from root')]


def test_whom_a_channel_may_go_to(broker: econtext.Broker) -> None:
    one, two = broker.local(name='one'), broker.local(name='two')
    below = one.local(name='below')
    with pytest.raises(TypeError, match=r'two\.channel\(\)'):
        two.call(streams.hold, one.channel())
    with pytest.raises(TypeError, match=r'one\.channel\(\)'):
        one.call(streams.hold, below.channel())
    channel = one.channel()
    below.submit(streams.hold, channel)
    assert next(channel) == 'here'
    with pytest.raises(TypeError, match='handed'):
        one.call(streams.hold, channel)
    channel.close()
    assert one.call(os.getpid) == one.pid


# -- the end of a call -------------------------------------------------------


@pytest.mark.parametrize('way', ['retry', 'in_a_global', 'in_a_cycle', 'that_fails', 'in_a_holder'])
def test_a_channel_ends_with_its_call_whatever_refers_to_it(
    broker: econtext.Broker, python: pythons.Interpreter, way: str
) -> None:
    child = broker.local(python=python)
    channel = child.channel()
    function: Any = getattr(streams, way, streams.in_a_cycle)
    arguments: tuple[Any, ...] = (
        ({'a': [channel]},) if way == 'in_a_holder' else
        (channel, {'retry': 3, 'that_fails': True}[way]) if way in ('retry', 'that_fails') else (channel,))
    ending = child.submit(function, *arguments)
    assert list(channel) == ([0, 1, 2] if way == 'retry' else [1])
    assert not channel.open()
    with pytest.raises(EOFError):
        channel.get()
    error = ending.exception(60)
    assert isinstance(error, ValueError) == (way in ('retry', 'that_fails'))
    assert not child._node.broker.channels.open_channels


def test_no_value_is_lost_when_a_call_ends_its_channel(
    broker: econtext.Broker, python: pythons.Interpreter
) -> None:
    """Large ones are on their way when the answer is."""
    child = broker.local(python=python)
    channel = child.channel(window=1 << 24)
    ended = child.submit(streams.large_and_keep, channel, 1_000_000, 8)
    ended.result(60)
    assert not channel.open()
    assert [len(value) for value in channel] == [1_000_000] * 8


def test_all_channels_of_a_call_end_and_a_stream_s_too(child: econtext.Context) -> None:
    channels = [child.channel() for _ in range(3)]
    child.submit(streams.in_a_holder, {'a': channels[:1], 'b': channels[1:]})
    assert [list(channel) for channel in channels] == [[1]] * 3
    channel = child.channel()
    assert list(child.stream(streams.in_a_generator, channel)) == ['one', 'two']
    assert list(channel) == [1]


def test_a_channel_sent_through_a_channel_ends_with_the_call(child: econtext.Context, tmp_path: Path) -> None:
    """Also one that the function never took out, and one that was sent before the outer was handed over."""
    outer, inner, late = child.channel(), child.channel(), child.channel()
    outer.send(inner)
    child.submit(streams.through_another, outer)
    assert list(inner) == ['inner']
    assert list(outer) == ['outer']
    with pytest.raises(econtext.EcontextError, match='closed'):
        outer.send(late)
    assert late.open()  # it went nowhere
    outer, gate = child.channel(), child.channel()
    child.submit(streams.wait_for_file, gate, str(tmp_path / 'go'))
    ended = child.submit(streams.never_reads, outer)
    outer.send(late)
    (tmp_path / 'go').touch()
    assert list(late) == []
    assert ended.result(60) is None


@pytest.mark.parametrize('threads', [1, 2])
def test_a_channel_of_two_calls_ends_with_the_last(
    broker: econtext.Broker, tmp_path: Path, threads: int
) -> None:
    child = broker.local(threads=threads)
    child.call(os.getpid)
    channel = child.channel()
    # The first ends only when the second was handed the channel, too.
    first = child.submit(streams.wait_for_file, channel, str(tmp_path / 'first'))
    second = child.submit(streams.wait_for_file, channel, str(tmp_path / 'second'))
    (tmp_path / 'first').touch()
    first.result(60)
    assert channel.get(60) == 'it is there'
    assert channel.open()
    (tmp_path / 'second').touch()
    assert list(channel) == ['it is there']
    assert second.result(60) is None


def test_a_call_that_never_began_ends_its_channel(broker: econtext.Broker) -> None:
    child = broker.local()
    busy = child.channel()
    running = child.submit(streams.hold, busy)
    assert next(busy) == 'here'
    channel = child.channel()
    channel.send(b'x' * 1000)
    queued = child.submit(streams.echo, channel)
    assert queued.cancel()
    assert list(channel) == []
    late = child.channel()
    with pytest.raises(econtext.CallTimeout):
        child.options(timeout=0.05, grace=60).call(streams.echo, late)
    assert list(late) == []
    busy.close()
    assert running.result(60) is None
    assert not child.call(work.orphaned_values)


def test_a_call_that_is_not_sent_was_handed_nothing(child: econtext.Context) -> None:
    channel = child.channel()
    with pytest.raises(TypeError):
        child.call(streams.count, channel, object())
    child.submit(streams.count, channel, 2)
    assert list(channel) == [0, 1]


def test_interrupting_a_call_ends_its_channel(child: econtext.Context) -> None:
    channel = child.channel()
    held = child.submit(streams.hold, channel)
    assert next(channel) == 'here'
    held.interrupt(60)
    assert list(channel) == []
    assert isinstance(held.exception(60), econtext.CallError)


def test_a_lost_context_is_told_as_that_and_not_as_the_end_of_a_call(broker: econtext.Broker) -> None:
    hop = broker.local(name='hop')
    below = hop.local(name='below')
    channel = hop.channel()  # opened with the hop, held below
    below.submit(streams.hold, channel)
    assert next(channel) == 'here'
    os.kill(below.pid, signal.SIGKILL)
    with pytest.raises(econtext.ContextLost, match='below'):
        next(channel)


def test_a_kept_channel_lives_on(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    child = broker.local(python=python)
    channel = child.channel()
    assert child.call(streams.by_a_thread, channel, True) == 'returned'
    for number in range(3):
        channel.send(number)
        assert channel.get(60) == number + 1
    assert child.call(os.getpid) == child.pid
    assert channel.open()
    channel.close()
    assert list(channel) == []
    # One that nothing refers to there is closed, as nobody else could.
    channel = child.channel()
    child.submit(streams.keep_and_forget, channel)
    assert list(channel) == ['kept']


def test_a_thread_that_outlives_its_call_is_told(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    child = broker.local(python=python)
    channel = child.channel()
    child.call(streams.by_a_thread, channel, False)
    assert list(channel) == []
    other = child.channel()
    child.call(streams.send_late, other)
    assert list(other) == []
    heard = list(child.stream(streams.use_what_was_kept))
    assert len(heard) == 2
    assert 'keep()' in heard[0]
    assert 'before its call ends' in heard[1]


def test_a_channel_kept_by_the_program_serves_calls_that_follow_each_other(child: econtext.Context) -> None:
    channel = child.channel().keep()
    for _ in range(3):
        child.call(streams.count, channel, 2)
        assert [channel.get(60), channel.get(60)] == [0, 1]
    assert channel.open()
    channel.close()
    with pytest.raises(econtext.EcontextError, match='keep'):
        channel.keep()


def test_a_context_hands_no_channel_on(broker: econtext.Broker) -> None:
    hop = broker.local()
    below = hop.local()
    channel = hop.channel()
    refusal = hop.call(streams.hand_on, below, channel)
    assert 'channel() of the context that is to have it' in refusal
    assert list(channel) == []


# -- the end -----------------------------------------------------------------


@pytest.mark.parametrize('version', VERSIONS)
def test_a_lost_context_ends_its_channels(broker: econtext.Broker, version: str) -> None:
    child = broker.local(python=pythons.interpreter(version), name='child')
    channel = child.channel()
    child.submit(streams.hold, channel)
    assert next(channel) == 'here'
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(econtext.ContextLost, match='child'):
        next(channel)
    assert not channel.open()
    with pytest.raises(econtext.ContextLost, match='child'):
        channel.send(1)


def test_what_came_before_the_loss_is_read_first(child: econtext.Context) -> None:
    channel = child.channel()
    child.call(streams.count, channel, 5)
    os.kill(child.pid, signal.SIGKILL)
    eventually(lambda: not leaks.alive(child.pid))
    got = []
    try:
        while True:
            got.append(channel.get(60))
    except (EOFError, econtext.ContextLost):
        pass
    assert got == [0, 1, 2, 3, 4]


def test_who_waits_is_told_when_the_broker_closes() -> None:
    outcomes: list[Any] = []

    def read(channel: econtext.Channel) -> None:
        try:
            outcomes.append(list(channel))
        except econtext.ContextLost as error:
            outcomes.append(error)

    with econtext.Broker() as broker:
        child = broker.local()
        channel = child.channel()
        child.submit(work.sleep)
        thread = threading.Thread(target=read, args=(channel,))
        thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert isinstance(outcomes[0], econtext.ContextLost)


def test_what_cannot_cross_harms_no_channel(child: econtext.Context) -> None:
    channel = child.channel()
    count = child.submit(streams.echo, channel)
    with pytest.raises(TypeError):
        channel.send(object())
    channel.send('fine')
    assert channel.get(60) == 'fine'
    channel.close()
    assert count.result(60) == 1


def test_a_channel_that_nobody_holds_does_not_block_for_ever(child: econtext.Context) -> None:
    channel = child.channel()
    with pytest.raises(econtext.EcontextError, match='hand it'):  # noqa: PT012 -- it takes some to fill it
        for _ in range(1000):
            channel.send(b'x' * 10_000)
    channel.close()
    assert list(channel) == []


def test_a_channel_goes_to_no_context_of_another_broker(broker: econtext.Broker) -> None:
    """Their numbers are the same, but the channel is unknown there."""
    channel = broker.local().channel()
    with econtext.Broker() as other:
        context = other.local()
        with pytest.raises(TypeError, match='which another broker or program has'):
            context.call(len, [channel])
        assert context.call(len, 'abc') == 3


def test_a_channel_says_of_what_in_annotations(broker: econtext.Broker, python: pythons.Interpreter) -> None:
    """In a context of any Python too, where annotations before 3.7 are evaluated."""
    assert broker.local(python=python).call(classes.annotated) == (True, True)
    assert econtext.Channel[int].__origin__ is econtext.Channel  # type: ignore[attr-defined]
    assert econtext.aio.Channel[int].__origin__ is econtext.aio.Channel  # type: ignore[attr-defined]
