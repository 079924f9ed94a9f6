"""Which modules a context is sent, once, and by which way."""

from __future__ import annotations

import logging
import marshal
import zlib
from typing import Any

import pytest

from econtext.controller.errors import NotAllowed
from econtext.controller.modules.policy import Policy
from econtext.controller.session import delivery
from econtext.controller.session.delivery import Delivery
from econtext.core.wire import MODULE, PASS, RESULT
from unit.fakes import FakePeer, FakeSession

UNIT = False, 'app.py', b'x = 1\n'


class Peer(Delivery, FakePeer):
    """A context whose modules are the real ones' affair."""

    def __init__(self, broker: Any, number: int, via: Any = None) -> None:
        FakePeer.__init__(self, broker, number, via)
        Delivery.__init__(self)


class Modules:
    """The modules of a program: `app` needs `lib`, and `code` is a code object."""

    units: dict[str, Any] = {'app': UNIT, 'lib': UNIT, 'code': (False, 'code', (b'magic', b'code'))}  # noqa: RUF012

    def __init__(self) -> None:
        self.policy = Policy()
        self.looked_at: list[str] = []

    def closure(self, name: str, without: set[str]) -> list[Any]:
        self.looked_at.append(name)
        needed = [name, 'lib'] if name == 'app' else [name]
        names = [each for each in needed if each in self.units and each not in without]
        without.update(names)
        return [(each, self.units[each]) for each in names]


@pytest.fixture
def session() -> FakeSession:
    made: Any = FakeSession()
    made.modules = Modules()
    return made  # type: ignore[no-any-return]


def add(session: FakeSession, via: Any = None) -> Any:
    session.last_number += 1
    peer = Peer(session, session.last_number, via)
    session.contexts[peer.id] = peer
    session.router.links[peer.id] = peer.link
    return peer


def sent(peer: FakePeer) -> list[Any]:
    """Return what was sent by the link of `peer`."""
    frames, peer.link.frames = peer.link.frames, []
    found = []
    for kind, dst, _, handle, body in frames:
        value = marshal.loads(body) if kind == PASS else [name for name, _ in marshal.loads(zlib.decompress(body))]
        found.append((kind, dst, handle, value))
    return found


def test_a_module_comes_with_what_it_needs_and_once(session: FakeSession) -> None:
    peer = add(session)
    peer.push('app')
    assert sent(peer) == [(MODULE, 1, 0, ['app', 'lib'])]
    assert (peer.sent, peer.complete) == ({'app', 'lib'}, {'app'})
    peer.push('app', 'lib')
    assert sent(peer) == []
    assert peer.complete == {'app', 'lib'}


def test_a_later_call_of_known_modules_looks_at_none_of_them(session: FakeSession) -> None:
    """The call takes no lock either, which another thread may hold for as long as it sends."""
    peer = add(session)
    peer.push('app', 'json')    # one of the program's, and one that never travels
    peer.sending = None         # whoever takes the lock now fails
    peer.push('app', 'json')
    peer.push('json')
    peer.push()
    assert session.modules.looked_at == ['app', 'json']
    assert sent(peer) == [(MODULE, 1, 0, ['app', 'lib'])]


def test_one_complete_module_does_not_stand_for_the_others(session: FakeSession) -> None:
    peer = add(session)
    peer.push('lib')
    peer.push('lib', 'app')
    assert [names for _, _, _, names in sent(peer)] == [['lib'], ['app']]


def test_what_cannot_be_read_is_not_sent_ahead_but_when_it_is_asked_for(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = False, 'new.py', b'match x:\n    case 1:\n        pass\n'
    monkeypatch.setattr(Modules, 'units', {**Modules.units, 'new': new})
    peer = add(session)
    peer.python_version = ()
    peer.push_ahead(['app'])
    assert (sent(peer), peer.sent) == ([], set())
    peer.python_version = 3, 6, 0
    peer.push_ahead(['new', 'code', 'app', 'app'])
    assert sent(peer) == [(MODULE, 1, 0, ['app', 'lib'])]
    assert peer.sent == {'app', 'lib'}


def test_code_objects_are_not_sent_ahead(session: FakeSession) -> None:
    peer = add(session)
    peer.push('code')
    assert sent(peer) == []


def test_below_a_hop_a_module_comes_from_the_hop(session: FakeSession) -> None:
    near = add(session)
    far, other = add(session, near), add(session, near)
    far.push('app')
    assert sent(near) == [(MODULE, 1, 0, ['app', 'lib']), (PASS, 1, 2, (['app', 'lib'], 0))]
    other.push('app')
    assert sent(near) == [(PASS, 1, 3, (['app', 'lib'], 0))]     # the hop has it by now
    assert near.sent == {'app', 'lib'}


def test_what_the_hop_asked_for_is_sent_again_before_it_passes_it_on(session: FakeSession) -> None:
    """The thread of the hop that asked may not have taken it in yet."""
    near = add(session)
    far, other = add(session, near), add(session, near)
    near.sent.add('lib')
    near.deliver([('lib', UNIT)], 5)
    far.deliver([('lib', UNIT)], 6)
    other.deliver([('lib', UNIT)], 7)
    assert sent(near) == [
        (RESULT, 1, 5, ['lib']), (MODULE, 1, 0, ['lib']), (PASS, 1, 2, (['lib'], 6)), (PASS, 1, 3, (['lib'], 7))]


def test_that_there_is_no_such_module_goes_to_who_asked_alone(session: FakeSession) -> None:
    far = add(session, add(session))
    far.deliver([('lib', None)], 6)
    assert sent(far) == [(RESULT, 2, 6, ['lib'])]
    assert far.via.sent == set()


def test_code_of_our_own_goes_ahead_to_the_same_python(session: FakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery.bytecode, 'units', lambda names: b'code' if names == ('lib',) else b'')
    peer = add(session)
    peer.deliver([('lib', UNIT)])
    assert [frame[0] for frame in peer.link.frames] == [MODULE]
    peer.same_python = True
    peer.link.frames.clear()
    peer.deliver([('lib', UNIT)])
    peer.deliver([('app', UNIT)])
    assert [(frame[0], frame[3], frame[4] == b'code') for frame in peer.link.frames] == [
        (MODULE, 0, True), (MODULE, 0, False), (MODULE, 0, False)]


def test_what_may_not_leave_is_not_sent(session: FakeSession) -> None:
    peer = add(session)
    peer.may_have('app')
    session.modules.policy = Policy(deny=['app'])
    with pytest.raises(NotAllowed, match='module app is not to leave'):
        peer.may_have('app')


def test_what_is_sent_is_in_the_log(session: FakeSession, caplog: pytest.LogCaptureFixture) -> None:
    peer = add(session)
    caplog.set_level(logging.DEBUG, 'econtext.ctx.peer1')
    peer.push('code')
    assert caplog.messages == []
    peer.level = logging.DEBUG
    peer.push('app')
    peer.push('app')
    assert caplog.messages == ['> modules app, lib']
