"""The ways between the servers of a cluster, with channels that are lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from econtext.controller.dask.hub import HUBS, Hub, Member, carry, dial


class Channel:
    """What comes, what was sent, and whether it was closed."""

    def __init__(self, *coming: Any, error: Exception | None = None) -> None:
        self.coming = list(coming)
        self.error = error
        self.sent: list[Any] = []
        self.closed = False

    def __iter__(self) -> Iterator[Any]:
        yield from self.coming
        if self.error is not None:
            raise self.error

    def send(self, value: Any) -> None:
        if self.closed:
            raise EOFError
        self.sent.append(value)

    def close(self) -> None:
        self.closed = True


class Context:
    """Opens channels, and keeps them."""

    def __init__(self) -> None:
        self.opened: list[Channel] = []

    def channel(self) -> Channel:
        self.opened.append(Channel())
        return self.opened[-1]


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    yield made
    made.close()


def said(hub: Hub, place: str, *words: Any, error: Exception | None = None) -> tuple[Context, Channel, list[str]]:
    """Have a server at `place` say `words`; return its context, its control, and the addresses that were ready."""
    context, control = Context(), Channel(*words, error=error)
    ready: list[str] = []
    hub.members[place] = member = Member(context, control)  # type: ignore[arg-type]
    hub.listen(place, member, ready.append)
    return context, control, ready


@pytest.mark.parametrize(
    ('host', 'part'), [('web1', 'web1'), ('me@web1:22', 'me_web1_22'), ('a/b', 'a_b'), ('', 'host')])
def test_a_place_is_an_address_whatever_the_host_is_called(hub: Hub, host: str, part: str) -> None:
    first, second = hub.place(host).split('/'), hub.place(host).split('/')
    assert first[:2] == second[:2] == [part, hub.name]
    assert int(second[2]) == int(first[2]) + 1


def test_no_two_servers_of_a_program_have_one_number(hub: Hub) -> None:
    other = Hub()
    assert hub.place('web1').split('/')[2] != other.place('web1').split('/')[2]
    other.close()


def test_what_a_server_asks_for(hub: Hub) -> None:
    there = Context()
    control = Channel()
    hub.members['there'] = Member(there, control)  # type: ignore[arg-type]
    here, own, ready = said(hub, 'here', ('ready', 'econtext://here'), ('dial', 1, 'there'), ('dial', 2, 'nowhere'))
    assert ready == ['econtext://here']
    assert control.sent == [('accept', 'there', there.opened[0])]
    assert own.sent == [
        ('way', 1, here.opened[0]), ('none', 2, 'no server of the cluster is at nowhere')]
    assert 'here' not in hub.members


def test_the_pages_of_a_server_are_reached_by_its_address(hub: Hub) -> None:
    there, control, _ = said(hub, 'there')
    hub.members['there'] = member = Member(there, control)  # type: ignore[arg-type]
    member.address = 'tcp://10.0.0.5:80'
    here, own, _ = said(hub, 'here', ('reach', 1, 'tcp://10.0.0.5:80'), ('reach', 2, 'there'))
    assert control.sent == [('pages', None, there.opened[0])]
    assert own.sent == [('way', 1, here.opened[0]), ('none', 2, 'no server of the cluster is at there')]


def test_the_program_reaches_the_pages_of_a_server(hub: Hub) -> None:
    context, control, _ = said(hub, 'there')
    hub.members['there'] = member = Member(context, control)  # type: ignore[arg-type]
    member.address = 'econtext://there'
    found: list[Any] = []
    for address in 'econtext://there', 'econtext://here':
        hub.reach(address, lambda end, why: found.append((end, why)))
    control.close()
    hub.reach('econtext://there', lambda end, why: found.append((end, why)))
    assert control.sent == [('pages', None, context.opened[0])]
    assert [why for _, why in found] == [
        '', 'no server of the cluster is at econtext://here', 'econtext://there was not reached: EOFError']
    found[0][0].close()


@pytest.mark.parametrize('word', [
    17, (), ('dial',), ('dial', 1, 2, 3), ('reach',), ('reach', 1), ('reach', 1, 2, 3), ('ready',)])
def test_a_server_that_says_something_else_is_no_member_any_more(hub: Hub, word: Any) -> None:
    _, control, ready = said(hub, 'here', word, ('ready', 'econtext://here'))
    assert control.closed
    assert ready == []
    assert hub.members == {}


@pytest.mark.parametrize('place', [[], {}, None])
def test_a_place_that_is_none_is_refused(hub: Hub, place: Any) -> None:
    _, control, _ = said(hub, 'here', ('dial', 1, place))
    assert [word[:2] for word in control.sent] == [('none', 1)]


def test_a_server_that_is_lost_is_no_member_any_more(hub: Hub) -> None:
    said(hub, 'here', error=EOFError())
    assert hub.members == {}


def test_bytes_are_carried_until_either_side_ends() -> None:
    source, target = Channel(b'a', b'b'), Channel()
    carry(source, target)  # type: ignore[arg-type]
    assert target.sent == [b'a', b'b']
    assert source.closed
    assert target.closed
    source, target = Channel(b'a', error=EOFError()), Channel()
    carry(source, target)  # type: ignore[arg-type]
    assert target.closed
    source, target = Channel(b'a'), Channel()
    target.close()
    carry(source, target)  # type: ignore[arg-type]
    assert source.closed


@pytest.mark.parametrize('place', ['', 'web1', 'web1/cluster-0/1', 'web1/{name}/1', 'web1/{name}/1/2'])
def test_an_address_of_nobody(hub: Hub, place: str) -> None:
    found: list[Any] = []
    dial(place.format(name=hub.name), lambda end, why: found.append((end, why)))
    [(end, why)] = found
    assert end is None
    assert why.startswith('no server of a cluster of this program is at')


def test_a_hub_that_is_closed_is_forgotten() -> None:
    made = Hub()
    assert HUBS[made.name] is made
    made.close()
    made.close()
    assert made.name not in HUBS
