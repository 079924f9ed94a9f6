"""A tree of hops whose way up is slow, with nodes below that flood, trickle, break off or say nonsense."""

from __future__ import annotations

import fcntl
import os
import select
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.child import bulk, parts
from econtext.child.parts import Parts
from econtext.core import wire
from econtext.core.loop import Link, Reader
from econtext.core.loop import Loop as RealLoop
from econtext.core.router import Router
from econtext.core.wire import DATA, RESULT, STDIO, Decoder, pack
from econtext.parent import backlog, judge
from econtext.parent.backlog import Backlog
from econtext.parent.nursery import lose

pytestmark = pytest.mark.deadline(600)  # many examples take their time

# Small numbers show the same, and soon.
CHUNK, PIECE, SHARE, CAPACITY = 512, 512, 2048, 4096
LARGEST = PIECE + 64
PARENTS = {1: 0, 2: 1, 3: 1, 4: 2, 5: 2, 6: 2}
HOPS, LEAVES = (1, 2), (3, 4, 5, 6)
#: Bytes that wait on a hop for one child: its share, and what is read in one step beside.
EACH = SHARE + CHUNK + LARGEST + 100


@pytest.fixture(autouse=True, scope='module')
def short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            (bulk, 'CHUNK', CHUNK), (bulk, 'PIECE', PIECE), (bulk, 'LARGEST', LARGEST), (bulk, 'LARGE', 64),
            (parts, 'PIECE', PIECE), (backlog, 'SHARE', SHARE),
        ):  # fmt: skip
            patch.setattr(module, name, value)
        yield


class Loop:
    """What links need of a loop; a turn is taken when the test says so."""

    def __init__(self) -> None:
        self.watched: dict[int, Any] = {}
        self.events: dict[int, int] = {}

    def watch(self, fd: int, watcher: Any, events: int = select.POLLIN) -> None:
        self.watched[fd], self.events[fd] = watcher, events

    def forget(self, fd: int) -> None:
        self.watched.pop(fd, None)
        self.events.pop(fd, None)

    def turn(self) -> bool:
        poller = select.poll()
        for fd, events in self.events.items():
            poller.register(fd, events)
        found = poller.poll(0)
        for fd, _ in found:
            if fd in self.watched:
                self.watched[fd].ready(fd)
        return bool(found)


def pipe() -> tuple[int, int]:
    read, write = os.pipe()
    fcntl.fcntl(write, 1031, CAPACITY)  # F_SETPIPE_SZ
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    return read, write


class Hop:
    """A context with children, as a home of links."""

    def __init__(self, me: int, out: int) -> None:
        self.loop, self.router = Loop(), Router(me)
        self.watch = self
        nothing, self.end = os.pipe()
        self.link = self.router.up = Link(self.loop, self.router, self)  # type: ignore[arg-type]
        self.link.open(nothing, out)
        # What has no handler before a context starts children is not kept.
        self.router.handlers[wire.START] = print
        self.backlog = Backlog(self)
        self.admission = judge.Admission(self.router)

    def lost(self, link: Any, reason: str) -> None:
        lose(self.router, link)

    def adopt(self, who: int, fd: int) -> Link:
        link = Link(self.loop, self.router, self)  # type: ignore[arg-type]
        link.admission = self.admission
        back = os.open(os.devnull, os.O_WRONLY)
        link.open(fd, back)
        bulk.accelerate(link, self.router, self.backlog)
        return link

    def waiting(self) -> int:
        return sum(map(len, self.link.queue))


class Tree:
    def __init__(self) -> None:
        self.says: dict[int, tuple[int, bytearray]] = {}
        self.sent: dict[int, list[bytes]] = {who: [] for who in LEAVES}
        self.heard: dict[int, list[bytes]] = {who: [] for who in LEAVES}
        self.gone: set[int] = set()
        self.hops: dict[int, Hop] = {}
        self.read = -1
        self.decoder = Decoder(lambda *header: True)
        self.transport, self.bulk = self, None
        self.top = Router(0)
        self.top.links = dict.fromkeys(PARENTS, self)
        self.top.handle({kind: lambda src, handle, body: self.heard[src].append(bytes(body))
                         for kind in (RESULT, DATA, STDIO)})
        Parts(self.top)
        for who, parent in PARENTS.items():
            read, write = pipe()
            if who in HOPS:
                self.hops[who] = Hop(who, write)
            else:
                self.says[who] = write, bytearray()
            if parent:
                link = self.hops[parent].adopt(who, read)
                below = [each for each in PARENTS if who in (each, PARENTS[each])]
                self.hops[parent].router.links.update(dict.fromkeys(below, link))
            else:
                self.read = read

    def send(self, kind: int, dst: int, src: int, handle: int, body: bytes) -> None:
        """That parts have come is told to nobody here."""

    def say(self, who: int, kind: int, size: int) -> None:
        if who not in self.gone:
            body = b'%d ' % len(self.sent[who]) + b'x' * size
            self.sent[who].append(body)
            self.says[who][1].extend(pack(kind, 0, who, 7, len(body)) + body)
            self.write(who, 1 << 30)

    def write(self, who: int, most: int) -> bool:
        """Write what the pipe of `who` takes."""
        out, data = self.says[who]
        if who in self.gone or not data:
            return False
        try:
            size = os.write(out, data[:most])
        except BlockingIOError:
            return False
        except BrokenPipeError:
            data.clear()
            return False
        del data[:size]
        return size > 0

    def end(self, who: int, rubbish: bytes) -> None:
        """It says `rubbish`, if that can be written, and ends, wherever it is in what it says."""
        if who not in self.gone:
            self.says[who][1][:] = rubbish
            self.write(who, 1 << 30)
            self.gone.add(who)
            os.close(self.says[who][0])

    def drain(self, most: int) -> bool:
        """The controller takes some of what has come."""
        try:
            data = os.read(self.read, most)
        except BlockingIOError:
            return False
        for frame in self.decoder.feed(data):
            self.top.route(self, *frame)
        return True

    def check(self) -> None:
        for who, hop in self.hops.items():
            children = [each for each in PARENTS if PARENTS[each] == who]
            assert hop.waiting() <= EACH * len(children), 'more than the shares waits'
            if not hop.link.queue:
                assert not hop.backlog.paused, 'one is not listened to, and nothing waits'
        for who in LEAVES:
            assert self.heard[who] == self.sent[who][:len(self.heard[who])]

    def settle(self) -> None:
        """Everybody takes and gives what there is."""
        moved = True
        while moved:
            moved = sum(self.write(who, 1 << 30) for who in LEAVES) > 0
            moved = sum(hop.loop.turn() for hop in self.hops.values()) > 0 or moved
            moved = self.drain(1 << 16) or moved
            self.check()

    def close(self) -> None:
        for who, (out, _) in self.says.items():
            if who not in self.gone:
                os.close(out)
        for hop in self.hops.values():
            for link in {hop.link, *hop.router.links.values()}:
                link.close()
                link.hang_up()
            os.close(hop.end)
        os.close(self.read)


STEPS = st.lists(st.one_of(
    st.tuples(st.just('say'), st.sampled_from(LEAVES), st.sampled_from([RESULT, DATA, STDIO]),
              st.sampled_from([0, 1, 100, PIECE, LARGEST + 1, 3 * SHARE, 12 * PIECE + 7])),
    st.tuples(st.just('write'), st.sampled_from(LEAVES), st.sampled_from([1, 19, 700, 1 << 30])),
    st.tuples(st.just('turn'), st.sampled_from(HOPS)),
    st.tuples(st.just('drain'), st.sampled_from([1, 300, 5000])),
    st.tuples(st.just('end'), st.sampled_from(LEAVES), st.sampled_from([b'', b'rubbish' * 9])),
), max_size=40)  # fmt: skip


@given(STEPS)
def test_what_waits_on_a_hop_is_bounded_and_nothing_honest_is_lost(steps: list[tuple[Any, ...]]) -> None:
    tree = Tree()
    try:
        for step in steps:
            if step[0] == 'turn':
                tree.hops[step[1]].loop.turn()
            else:
                getattr(tree, step[0])(*step[1:])
            tree.check()
        tree.settle()
        for who in LEAVES:
            if who not in tree.gone:
                assert tree.heard[who] == tree.sent[who]
    finally:
        tree.close()


def test_one_that_floods_is_not_listened_to_and_another_is_served() -> None:
    """The other's words stand behind no more than the shares."""
    tree = Tree()
    try:
        for number in range(200):
            tree.say(4, (RESULT, STDIO)[number % 2], 30_000)
            for hop in tree.hops.values():
                hop.loop.turn()
            tree.check()
        assert tree.hops[2].backlog.paused
        taken = len(tree.heard[4])
        tree.say(5, STDIO, 10)
        tree.say(3, STDIO, 10)
        seen = 0
        while not (tree.heard[5] and tree.heard[3]):
            assert seen < 4 * EACH * len(PARENTS), 'it is served soon'
            seen += 100
            tree.write(4, 1 << 30)
            for hop in tree.hops.values():
                hop.loop.turn()
            tree.drain(100)
        assert len(tree.heard[4]) - taken < 10
        tree.settle()
        assert tree.heard == tree.sent
    finally:
        tree.close()


def test_one_that_never_ends_its_frame_holds_up_nobody() -> None:
    tree = Tree()
    try:
        tree.says[4][1].extend(pack(RESULT, 0, 4, 7, 1 << 29) + b'x')
        tree.settle()
        for who in (3, 5, 6):
            tree.say(who, RESULT, 5 * PIECE)
        tree.settle()
        for who in (3, 5, 6):
            assert tree.heard[who] == tree.sent[who]
    finally:
        tree.close()


@pytest.mark.parametrize('ended', [False, True])
def test_who_ended_while_it_was_paused_keeps_nobody_else_paused(ended: bool) -> None:
    """The outputs of a program that has ended are read to their end, and closed, however full the way up is."""
    child: Any = SimpleNamespace(loop=RealLoop(), router=Router(1), watch=SimpleNamespace(mask=255))
    up, up_there = os.pipe()
    there, out = os.pipe()
    child.link = child.router.up = Link(child.loop, child.router, None)
    child.link.open(up, out)
    waits = Backlog(child)
    while not child.link.queue:
        child.link.write(b'x' * 65536)
    (errors, error_end), (texts, text_end) = os.pipe(), os.pipe()
    first, second = (Reader(child.loop, fd, lambda data: None) for fd in (errors, texts))
    for reader in first, second:
        waits.consider(reader, backlog.SHARE)
    assert set(waits.paused) == {first, second}
    if ended:
        os.close(error_end)
        first.ready(errors)
        assert first.fd is None
    os.set_blocking(there, False)
    while child.link.queue:
        os.read(there, 1 << 20)
        child.link.ready(out)
    assert not waits.paused
    assert texts in child.loop.watched
    assert (errors in child.loop.watched) is not ended
    child.loop.poller.close()
    for fd in (up, up_there, there, out, texts, text_end, *([] if ended else [errors, error_end])):
        os.close(fd)
