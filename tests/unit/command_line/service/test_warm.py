"""Which contexts are warm, and what is left to a process of the command's own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

import econtext
from econtext.child import scripts
from econtext.command_line.connecting import Way
from econtext.command_line.service import warm
from econtext.command_line.service.warm import FORKS, REFUSED, Declined, Host, Keeper
from econtext.command_line.targets import Target, parse

WEB = Target('ssh', 'web1')


class Context:
    """A context that is nowhere; `log` has what was done with it."""

    def __init__(self, log: list[Any], error: Exception | None = None, version: tuple[int, ...] = (3, 11)) -> None:
        self.log = log
        self.error = error
        self.python_version = version
        self._node = SimpleNamespace(error=None)

    def ssh(self, *args: str, **options: Any) -> Context:
        self.log.append(('ssh', *args, options['name']))
        return self

    def sudo(self, user: str, **options: Any) -> Context:
        self.log.append(('sudo', user))
        return self

    def wait_ready(self) -> None:
        if self.error is not None:
            raise self.error

    def submit(self, function: Any, *args: Any) -> Any:
        if function is not scripts.system:
            self.log.append(function.__name__)
        done = SimpleNamespace(result=lambda: 'Linux')
        done.add_done_callback = lambda take: take(done)
        return done

    def channel(self) -> Any:
        return SimpleNamespace(get=lambda: ['in', 'out', 'err'], close=lambda: self.log.append('close'))

    def fork(self) -> Context:
        self.log.append('fork')
        return Context(self.log)

    def local(self) -> Context:
        self.log.append('local')
        return Context(self.log)


@pytest.fixture
def log() -> list[Any]:
    return []


@pytest.fixture
def known() -> dict[str, str]:
    return {}


def keeper(known: dict[str, str], attach: Callable[[], Any]) -> Keeper:
    return Keeper(attach, known, known.__setitem__, 60.0)


def use(keeper: Keeper, target: Target | None = WEB, way: Way | None = None) -> None:
    with keeper.context(target, way or Way()):
        keeper.beside()


def test_copies_once_it_is_known_to_be_sound(known: dict[str, str], log: list[Any]) -> None:
    use(keeper(known, lambda: Context(log)))
    assert log == [('ssh', 'web1', 'web1'), 'local', 'local']
    assert list(known.values()) == [FORKS]
    del log[:]
    use(keeper(known, lambda: Context(log)))
    assert log == [('ssh', 'web1', 'web1'), 'fork', 'fork']


def test_no_copies_of_an_old_python(known: dict[str, str], log: list[Any]) -> None:
    for _ in range(2):
        use(keeper(known, lambda: Context(log, version=(3, 6))))
    assert 'fork' not in log


def test_what_was_prepared_is_taken(known: dict[str, str], log: list[Any]) -> None:
    made = keeper(known, lambda: Context(log))
    host = warm.shared_host(WEB, Way())
    assert host is not None
    made.prepare(host)
    assert log[-2:] == ['serve', 'open_streams']
    del log[:]
    with made.context(WEB, Way()) as context:
        far = made.streams(context)
        assert far is not None
        assert far.beside is context
        assert far.near is not context
        assert made.streams(context) is None
    assert log == []
    # With a terminal, say: the streams that are ready are none, but their context is there.
    made.prepare(host)
    del log[:]
    use(made)
    assert log == ['close']
    made.prepare(host)
    del log[:]
    use(made, Target('ssh', 'web2'))
    assert log[0] == ('ssh', 'web2', 'web2')
    made.prepare(host)
    for lose in (lambda: made.spare[0], lambda: made.prepared.near):
        lose()._node.error = ValueError
        del log[:]
        use(made)
        assert log[0] == ('ssh', 'web1', 'web1')
        made.prepare(host)


def test_the_way_there(known: dict[str, str], log: list[Any]) -> None:
    use(keeper(known, lambda: Context(log)), WEB, Way(via=('bastion',), sudo='root'))
    assert log[:3] == [('ssh', 'bastion', 'bastion'), ('ssh', 'web1', 'web1'), ('sudo', 'root')]


@pytest.mark.parametrize(('target', 'way'), [
    (None, Way()), (Target('local'), Way()), (parse('docker:app'), Way()), (WEB, Way(via=('docker:app',))),
    (WEB, Way(inventory='hosts.toml')), (WEB, Way(verbose=1)), (WEB, Way(via=('a b',))),
])  # fmt: skip
def test_what_is_not_shared(known: dict[str, str], log: list[Any], target: Target | None, way: Way) -> None:
    with pytest.raises(Declined):
        use(keeper(known, lambda: Context(log)), target, way)
    assert log == []


def connect_error(kind: str) -> econtext.ConnectError:
    return econtext.ConnectError('web1', kind, 'what', '', 'remedy', '')


def test_a_host_that_asks_is_not_tried_again(known: dict[str, str], log: list[Any]) -> None:
    for _ in range(2):
        with pytest.raises(Declined):
            use(keeper(known, lambda: Context(log, connect_error('password-required'))))
    assert len(log) == 1
    assert list(known.values()) == [REFUSED]


def test_other_failures_are_told(known: dict[str, str], log: list[Any]) -> None:
    with pytest.raises(econtext.ConnectError):
        use(keeper(known, lambda: Context(log, connect_error('unreachable'))))
    with pytest.raises(Declined):
        use(keeper(known, lambda: Context(log, econtext.ContextLost('gone'))))

    def attach() -> Any:
        raise econtext.EcontextError('nobody listens')
    with pytest.raises(Declined):
        use(keeper(known, attach))
    assert known == {}


def test_files_are_found_from_any_folder() -> None:
    found = warm.shared_host(WEB, Way(config='a', identity_file='~/b'))
    assert found is not None
    assert found.way.config == os.path.abspath('a')
    assert found.way.identity_file == os.path.expanduser('~/b')
    assert found.key() != Host((WEB,), Way()).key() == Host((Target('ssh', 'web1'),), Way()).key()


def test_no_error_of_the_way_takes_a_refusal_for_its_own() -> None:
    with pytest.raises(Declined), contextlib.suppress(Exception):
        raise Declined
