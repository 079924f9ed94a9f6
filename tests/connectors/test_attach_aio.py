"""An attachment for asyncio, and fleets over attachments: real programs, real sockets."""

from __future__ import annotations

import asyncio
import os
import pathlib
import socket
import threading
import time

import pytest
import shares
from attaching import LONG, ends, is_alive

import econtext
import econtext.aio
from econtext.controller.attach import client
from lab import eventually


def add(first: int, second: int) -> int:
    return first + second


def fail(name: str) -> None:
    raise FileNotFoundError(2, 'nothing', name)


def test_the_same_names_awaited(broker: econtext.Broker, path: str, tmp_path: pathlib.Path) -> None:
    broker.local(name='box').wait_ready()
    broker.allow(add, fail)

    async def main() -> int:
        async with econtext.aio.attach(path) as other:
            assert other.path == path
            assert [each.name for each in await other.contexts()] == ['box']
            box = await other.context('box')
            assert await box.call(os.getppid) == os.getpid()
            futures = [box.submit(divmod, number, 7) for number in range(100)]
            assert await asyncio.gather(*futures) == [divmod(number, 7) for number in range(100)]
            assert [value async for value in box.stream(shares.numbers, 100)] == list(range(100))
            assert (await box.run(['sh', '-c', 'exit 3'])).returncode == 3
            await box.put(b'data', str(tmp_path / 'there'))
            assert (tmp_path / 'there').read_bytes() == b'data'
            channel = box.channel()
            doubled = box.submit(shares.double, channel)
            await channel.send(4)
            assert await channel.get() == 8
            channel.close()
            await doubled
            assert await other.call(add, 1, second=2) == 3
            with pytest.raises(FileNotFoundError):
                await other.call(fail, 'x')
            with pytest.raises(econtext.NotAllowed):
                await other.call('os.getpid')
            with pytest.raises(econtext.EcontextError, match="no context 'web'"):
                await other.context('web')
            own = await other.local(name='own')
            pid: int = await own.call(os.getpid)
            assert own.pid == pid
            assert await other.local(name='own').call(os.getpid) == pid, 'its methods wait for the start'
            assert (await other.local(name='own').run(['true'])).returncode == 0
            below = await own.local(name='below')
            assert below.via == own
            assert await below.call(os.getppid) == pid
            async with other.local() as brief:
                gone = await brief.call(os.getpid)
            assert not is_alive(gone)
            with pytest.raises(econtext.ConnectError):
                await other.local(python='/nowhere/python')
            with pytest.raises(TypeError, match='nonsense= is no option'):
                await other.local(nonsense=1)  # type: ignore[call-arg]
        with pytest.raises(econtext.EcontextError):
            await own.call(os.getpid)
        return pid

    ends(asyncio.run(main()))
    assert broker._tree.attach_server is not None
    eventually(lambda: not broker._tree.attach_server.programs)


def test_what_is_not_there_yet(path: str) -> None:
    async def main() -> None:
        other = econtext.aio.attach(path)
        with pytest.raises(econtext.EcontextError, match='not attached yet'):
            other.local()
        await other.close()
        assert await other is other
        box = other.local(name='box')
        assert repr(box) == '<econtext.aio.Context box starting>'
        with pytest.raises(econtext.EcontextError, match='box: the other program has not answered yet: await it first'):
            box.submit(os.getpid)
        assert await box is box
        assert await box.submit(os.getppid) == os.getpid()
        await other.close()
        assert 'closed' in repr(other)

    asyncio.run(main())


def test_nobody_listens(tmp_path: pathlib.Path) -> None:
    async def main() -> None:
        with pytest.raises(econtext.EcontextError, match='nobody listens there'):
            async with econtext.aio.attach(tmp_path / 'none'):
                pass

    asyncio.run(main())


def test_a_task_that_is_cancelled_interrupts_the_function(path: str, tmp_path: pathlib.Path) -> None:
    begun, ended = (str(tmp_path / name) for name in ('begun', 'ended'))

    async def main() -> None:
        async with econtext.aio.attach(path) as other:
            box = await other.local(name='box')
            task = asyncio.ensure_future(box.call(shares.linger, begun, ended))
            while not os.path.lexists(begun):
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while not os.path.lexists(ended):
                await asyncio.sleep(0.01)
            assert await box.call(os.getppid) == os.getpid()

    asyncio.run(main())


@pytest.mark.parametrize('when', ['before', 'behind'])
def test_attaching_that_is_cancelled_leaves_no_link(
    broker: econtext.Broker, path: str, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The task is cancelled while the thread attaches, or has done so and could not say it yet."""
    attach = client.attach
    reached, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def slowly(*details: object) -> client.Attachment:
        try:
            if when == 'behind':
                made = attach(*details)  # type: ignore[arg-type]
            reached.set()
            assert go_on.wait(LONG)
            return made if when == 'behind' else attach(*details)  # type: ignore[arg-type]
        finally:
            done.set()

    monkeypatch.setattr(client, 'attach', slowly)

    async def main() -> None:
        task = asyncio.ensure_future(econtext.aio.attach(path)._attach())
        while not reached.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()

    asyncio.run(main())
    assert done.wait(LONG)
    server = broker._tree.attach_server
    assert server is not None
    eventually(lambda: not server.programs)


def test_the_event_loop_goes_on_while_the_other_program_does_not_answer(tmp_path: pathlib.Path) -> None:
    """It listens, and lets nobody in: attaching takes its time, and nothing else does."""
    path = str(tmp_path / 'sock')

    async def main() -> int:
        task = asyncio.ensure_future(econtext.aio.attach(path)._attach())
        turns = 0
        while turns < 20:
            await asyncio.sleep(0.01)
            turns += 1
        assert not task.done()
        peer, _ = listening.accept()
        peer.close()
        with pytest.raises(econtext.EcontextError):
            await task
        return turns

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(path)
        listening.listen(1)
        assert asyncio.run(main()) == 20


def test_a_context_of_a_broker_is_awaited() -> None:
    async def main() -> None:
        async with econtext.aio.Broker() as broker:
            box = await broker.local(name='box')
            assert box.pid
            with pytest.raises(econtext.ConnectError):
                await broker.local(python='/nowhere/python')

    asyncio.run(main())


# -- Fleets ------------------------------------------------------------------------


def test_a_fleet(path: str, tmp_path: pathlib.Path) -> None:
    with econtext.attach(path) as other:
        fleet = other.fleet(['one', 'two', 'three'], connector='local', connect_limit=2)
        pids = dict(fleet.call(os.getpid).successes)
        assert len(set(pids.values())) == 3
        assert fleet.map(len, {'one': 'a', 'two': 'bb'}).successes == {'one': 1, 'two': 2}
        found = fleet.run(['sh', '-c', 'exit 3'])
        assert {each.returncode for each in found.successes.values()} == {3}
        fleet.put(b'data', str(tmp_path / 'there')).raise_for_failures()
        fleet.get(str(tmp_path / 'there'), tmp_path / 'back').raise_for_failures()
        assert sorted(file.name for file in (tmp_path / 'back').rglob('*') if file.is_file())
        with fleet.stream(shares.numbers, 10) as values:
            assert sorted(values) == sorted((host, number) for host in fleet for number in range(10))
        late = fleet.options(timeout=0.2, grace=60)['one'].call(time.sleep, 30)
        assert isinstance(late.failures['one'], econtext.CallTimeout)
        assert fleet.context('one').name == 'one'
        # Another program with the same hosts has the same contexts, as has who asks for one of them.
        with econtext.attach(path) as second:
            assert dict(second.fleet(list(fleet), connector='local').call(os.getpid).successes) == pids
            assert second.local(name='two').call(os.getpid) == pids['two']
            assert second.context('three').call(os.getpid) == pids['three']
        below = fleet[:2].local()
        assert dict(below.call(os.getppid).successes) == {host: pids[host] for host in ('one', 'two')}
        fleet.close()
    for pid in pids.values():
        ends(pid)


def test_a_fleet_that_stays_warm(path: str) -> None:
    found = []
    for _ in range(2):
        with econtext.attach(path) as other, other.fleet(
                ['one', 'two'], connector='local', idle_timeout=600) as fleet:
            found.append(dict(fleet.call(os.getpid).successes))
    assert found[0] == found[1]


def test_relays_of_a_fleet(path: str) -> None:
    with econtext.attach(path) as other:
        relay = other.local(name='relay')
        fleet = other.fleet(['one', 'two'], connector='local', relays=relay)
        assert set(fleet.call(os.getppid).successes.values()) == {relay.call(os.getpid)}
        with econtext.Broker() as elsewhere, pytest.raises(ValueError, match='a context of another broker'):
            other.fleet(['one'], connector='local', relays=elsewhere.local())


def test_a_fleet_whose_attachment_closes(path: str) -> None:
    """Nothing of it is left: the check is that of every test, for threads."""
    other = econtext.attach(path)
    fleet = other.fleet(['one', 'two'], connector='local')
    pids = fleet.call(os.getpid).successes
    futures = fleet.submit(time.sleep, 600)
    other.close()
    for future in futures.values():
        assert isinstance(future.exception(LONG), econtext.EcontextError)
    for pid in pids.values():
        ends(pid)


def test_a_fleet_for_asyncio(path: str) -> None:
    async def main() -> None:
        async with econtext.aio.attach(path) as other, other.fleet(['one', 'two'], connector='local') as fleet:
            pids = dict((await fleet.call(os.getpid)).successes)
            assert len(set(pids.values())) == 2
            assert await (await fleet.context('one')).call(os.getpid) == pids['one']
            found = await fleet.run(['sh', '-c', 'exit 5'])
            assert {each.returncode for each in found.successes.values()} == {5}
            async with fleet.stream(shares.numbers, 3) as values:
                assert len([value async for value in values]) == 6

    asyncio.run(main())
