"""Contexts that end by themselves once nobody has used them for a while."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from errands import idling

import econtext
from econtext import aio
from lab import eventually

BRIEF = 2.0     # seconds that a context may be idle: longer than a busy machine holds up the next call
LONGER = 3.6    # that what uses it takes


def is_gone(pid: int) -> bool:
    return not os.path.exists(f'/proc/{pid}')


def ends(context: econtext.Context, pid: int) -> None:
    """Wait for the end of a context's process, by itself."""
    eventually(lambda: is_gone(pid), what=f'{context.name} ends')
    with pytest.raises(econtext.ContextLost, match=r'it was idle for .* s, its idle_timeout=, and has ended'):
        context.call(os.getpid)
    with pytest.raises(econtext.ContextLost, match='idle_timeout='):
        context.submit(os.getpid).result()
    with pytest.raises(econtext.ContextLost, match='idle_timeout='):
        context.local()
    context.close()


def test_it_ends_and_says_so(broker: econtext.Broker) -> None:
    context = broker.local(name='brief', idle_timeout=BRIEF)
    began = time.monotonic()
    pid = context.call(os.getpid)
    ends(context, pid)
    assert time.monotonic() - began >= BRIEF
    # Another one may be started under the same name.
    again = broker.local(name='brief', idle_timeout=60)
    assert again.name == 'brief'
    assert again.call(os.getpid) != pid


def with_channel(context: econtext.Context) -> None:
    channel = context.channel()
    future = context.submit(idling.echo_once, channel, LONGER)
    channel.send('a')
    assert channel.get(timeout=60) == 'a'
    future.result()


#: What keeps a context in use for longer than it may be idle.
USES: dict[str, Callable[[econtext.Context], object]] = {
    'call': lambda context: context.call(idling.sleep, LONGER),
    'future': lambda context: context.submit(idling.sleep, LONGER).result(),
    'stream': lambda context: list(context.stream(idling.count, 4, LONGER / 4)),
    'command': lambda context: context.run(['sleep', str(LONGER)]),
    'fork': lambda context: context.options(fork=True).call(idling.sleep, LONGER),
    'channel': with_channel,
}


def test_what_is_on_its_way_is_use(broker: econtext.Broker) -> None:
    """All of these beside each other, each in a context of its own."""
    contexts = {kind: broker.local(name=kind, idle_timeout=BRIEF) for kind in USES}
    pids = {kind: context.submit(os.getpid) for kind, context in contexts.items()}
    with concurrent.futures.ThreadPoolExecutor(len(USES)) as threads:
        done = {kind: threads.submit(use, contexts[kind]) for kind, use in USES.items()}
    for kind, each in done.items():
        each.result()
        ends(contexts[kind], pids[kind].result())


def test_an_open_channel_is_use(broker: econtext.Broker) -> None:
    context = broker.local(idle_timeout=BRIEF)
    channel = context.channel()
    pid = context.call(os.getpid)
    time.sleep(LONGER)      # what is tested is that nothing happens
    assert context.call(os.getpid) == pid
    channel.close()
    ends(context, pid)


@pytest.mark.parametrize('idle', [BRIEF, 600])
def test_contexts_below(broker: econtext.Broker, idle: float) -> None:
    """One that has others below it is in use; they end first, or with it."""
    hop = broker.local(idle_timeout=BRIEF)
    below = hop.local(idle_timeout=idle)
    pids = [hop.call(os.getpid), below.call(os.getpid)]
    assert below.call(idling.sleep, LONGER) == pids[1]
    assert hop.call(os.getpid) == pids[0]
    if idle == 600:
        time.sleep(LONGER)  # what is tested is that nothing happens
        below.close()
    else:
        ends(below, pids[1])
    ends(hop, pids[0])


def test_close_and_the_end_of_the_broker_do_as_ever() -> None:
    with econtext.Broker() as broker:
        closed, left = broker.local(idle_timeout=BRIEF), broker.local(idle_timeout=BRIEF)
        pids = [closed.call(os.getpid), left.call(os.getpid)]
        closed.close()
        with pytest.raises(econtext.ContextLost, match='it was closed'):
            closed.call(os.getpid)
    assert all(is_gone(pid) for pid in pids)


def test_a_start_takes_its_time(broker: econtext.Broker) -> None:
    context = broker.command(['sh', '-c', f'sleep {LONGER}; exec "$@"', 'sh'], idle_timeout=BRIEF)
    ends(context, context.call(os.getpid))


def test_a_call_is_carried_out_or_not_sent(tmp_path: Path) -> None:
    """Calls that come at just that moment, many times over: each that fails was not begun."""
    said = tmp_path / 'said'
    done: list[str] = []
    refused: list[str] = []
    with econtext.Broker() as broker:

        def use(number: int) -> None:
            context = broker.local(idle_timeout=0.02)
            for turn in range(400):
                text = f'{number}.{turn} '
                time.sleep(0.024 + 0.001 * turn)    # until it is about when it ends
                try:
                    context.call(idling.note, str(said), text)
                except econtext.ContextLost:
                    refused.append(text)
                    return
                done.append(text)

        threads = [threading.Thread(target=use, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(refused) == 24
    written = said.read_text().split() if said.exists() else []
    assert sorted(written) == sorted(text.strip() for text in done)


@pytest.mark.parametrize('seconds', [0, -1, float('nan'), 'soon', None])
def test_times_that_make_no_sense(broker: econtext.Broker, seconds: float) -> None:
    with pytest.raises(ValueError, match='idle_timeout= must be'):
        broker.local(idle_timeout=seconds)


def test_awaited() -> None:
    async def main() -> None:
        async with aio.Broker() as broker:
            context = broker.local(idle_timeout=BRIEF)
            pid = await context.call(idling.sleep, LONGER)
            while not is_gone(pid):
                await asyncio.sleep(0.01)
            with pytest.raises(econtext.ContextLost, match='idle_timeout='):
                await context.call(os.getpid)

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_fleet_of_them() -> None:
    with econtext.Broker() as broker, broker.fleet(['one', 'two'], connector='local', idle_timeout=BRIEF) as fleet:
        pids = list(fleet.call(os.getpid).values())
        for pid in pids:
            eventually(lambda pid=pid: is_gone(pid), what='a host ends')  # type: ignore[misc]
        # A fleet starts again what was lost.
        again = list(fleet.call(os.getpid).values())
        assert not set(again) & set(pids)
