"""The protocols of the session: the real classes hold them, and so do the fakes of the unit tests."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import econtext
from econtext.controller.context import Context
from econtext.controller.node import Node
from econtext.controller.runtime.loop import ControllerLoop
from econtext.controller.session import interfaces
from econtext.controller.session.callbacks import Callbacks
from unit.fakes import FakeLoop, FakePeer, FakeSession


def members(protocol: Any) -> dict[str, Any]:
    """Return what `protocol` asks for: properties and functions by name."""
    found: dict[str, Any] = {}
    for base in reversed(protocol.__mro__):
        if getattr(base, '_is_protocol', False):
            found.update((name, member) for name, member in vars(base).items()
                         if isinstance(member, property) or (inspect.isfunction(member) and not name.startswith('_')))
    return found


def parameters(function: Any) -> tuple[list[inspect.Parameter], dict[str, inspect.Parameter]]:
    kinds = inspect.Parameter
    listed = [each for each in inspect.signature(function).parameters.values() if each.name != 'self']
    return ([each for each in listed if each.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)],
            {each.name: each for each in listed})


def misfit(wanted: Any, given: Any) -> str:
    """Say why `given` cannot be called as `wanted` is; nothing if it can."""
    (first, named), (second, others) = parameters(wanted), parameters(given)
    if [each.name for each in first] != [each.name for each in second[:len(first)]]:
        return 'other parameters'
    for each in named.values():
        other = others.get(each.name)
        if other is None or other.kind != each.kind:
            return f'no {each}'
        if each.default is not each.empty and other.default != each.default:
            return f'another default of {each.name}'
    surplus = [each for each in others.values() if each.name not in named and each.default is each.empty
               and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    return f'needs {surplus[0].name} too' if surplus else ''


def nonconforming(protocol: Any, subject: Any) -> list[str]:
    """Return what `subject` lacks of `protocol`."""
    found = []
    for name, member in members(protocol).items():
        try:
            given = getattr(subject, name)
        except AttributeError:
            found.append(f'no {name}')
            continue
        if not isinstance(member, property):
            fault = misfit(member, given) if callable(given) else 'no method'
            found += [f'{name}(): {fault}'] if fault else []
    return found


@pytest.fixture
def subjects(broker: econtext.Broker, tmp_path: Path) -> Iterator[dict[str, tuple[Any, Any]]]:
    """What is to hold which protocol."""
    session, node = FakeSession(), Node(broker._tree, 1, 'real', None)
    Context(node)
    with econtext.attach(broker.listen(tmp_path / 'socket')) as attachment:
        attached = attachment._session.view(1, 'attached', 0, True, (3, 12, 1), '/bin/python', 7)
        yield {
            'Node': (interfaces.Peer, node),
            'AttachedNode': (interfaces.Peer, attached),
            'FakePeer': (interfaces.Peer, session.add()),
            'Tree': (interfaces.Owner, broker._tree),
            'AttachedSession': (interfaces.Session, attachment._session),
            'FakeSession': (interfaces.Owner, session),
            'Callbacks': (interfaces.CallbackTable, broker._tree.callbacks),
            'the callbacks of FakeSession': (interfaces.CallbackTable, session.callbacks),
        }


@pytest.mark.parametrize('name', [
    'Node', 'AttachedNode', 'FakePeer', 'Tree', 'AttachedSession', 'FakeSession', 'Callbacks',
    'the callbacks of FakeSession'])  # fmt: skip
def test_each_holds_its_protocol(subjects: dict[str, tuple[Any, Any]], name: str) -> None:
    protocol, subject = subjects[name]
    assert nonconforming(protocol, subject) == []


def test_a_fake_has_the_values_of_a_context_that_is_ready(subjects: dict[str, tuple[Any, Any]]) -> None:
    """The types of a fake's properties are those of the real one's."""
    real, fake = subjects['Node'][1], subjects['FakePeer'][1]
    other = {'broker', 'facade', 'via', 'error', 'deferred', 'magic'}   # fakes, and what may be of several types
    for name, member in members(interfaces.Peer).items():
        if isinstance(member, property) and name not in other:
            assert type(getattr(fake, name)) is type(getattr(real, name)), name


@pytest.mark.parametrize(('changes', 'lacks'), [
    ({'within': lambda: False}, ['within(): other parameters']),
    ({'within': lambda number, more: False}, ['within(): needs more too']),
    ({'within': None}, ['within(): no method']),
    ({'deliver': lambda units, handle, foreign: None}, ['deliver(): another default of handle']),
    ({'push': lambda modules: None}, ['push(): no *modules']),
])  # fmt: skip
def test_what_holds_no_protocol_is_found(changes: dict[str, Any], lacks: list[str]) -> None:
    peer = FakeSession().add()
    vars(peer).update(changes)
    assert nonconforming(interfaces.Peer, peer)[0].startswith(lacks[0])


def test_a_missing_member_is_found() -> None:
    peer = FakeSession().add()
    del peer.backlog
    assert nonconforming(interfaces.Peer, peer) == ['no backlog']


def test_the_loop_of_the_fakes_is_called_as_the_real_one() -> None:
    own = {'run', 'expire'}
    for name, function in vars(FakeLoop).items():
        if inspect.isfunction(function) and not name.startswith('_') and name not in own:
            real = inspect.signature(getattr(ControllerLoop, name)).parameters
            assert list(inspect.signature(function).parameters) == list(real), name


def test_a_fake_is_the_session_that_calls_see() -> None:
    session = FakeSession()
    assert isinstance(session.callbacks, Callbacks)
    assert isinstance(session.add(), FakePeer)
