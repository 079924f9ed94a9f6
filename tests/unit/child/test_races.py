"""Two threads in the same place of a context, at the worst moment."""

from __future__ import annotations

import threading
import types
from typing import Any

import pytest

from econtext.child import channels, resources
from econtext.child.supervisor import Supervisor
from econtext.core.wire import DATA


class Interrupted(dict[Any, Any]):
    """A table that lets another thread run before the first value is put into it."""

    def __init__(self, other: threading.Thread) -> None:
        super().__init__()
        self.other = other

    def setdefault(self, key: Any, value: Any = None) -> Any:
        if not self.other.is_alive():
            self.other.start()
            self.other.join(0.3)  # it ends, or waits for us
        return super().setdefault(key, value)


def test_a_value_comes_while_its_channel_is_made() -> None:
    holders = channels.Holders.__new__(channels.Holders)
    holders.loop = holders.router = None
    holders.lock = threading.Lock()
    holders.ends = {}
    made: list[channels.End] = []
    other = threading.Thread(target=lambda: made.append(holders.hold(0, 7, 1 << 20)))
    holders.orphans = Interrupted(other)
    holders.receive(DATA, 0, 7, b'value')
    other.join(60)
    assert list(made[0].inbox) == [b'value']


def test_modules_come_while_data_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Importer:
        child = None
        units: dict[str, Any] = {'a': ([], '/a/__init__.py', b''), 'b': ([], '/b/__init__.py', b'')}  # noqa: RUF012

    def ask(_child: Any, package: str, _resource: str) -> None:
        Importer.units['came with ' + package] = None

    monkeypatch.setattr(resources, 'ask', ask)
    with pytest.raises(OSError, match='No such file'):
        resources.get_data(Importer(), '/a/data')  # type: ignore[arg-type]


class Lost:
    """A waiter of the main thread; the context ends right before it is set to wait anew."""
    done = True

    def __init__(self, supervisor: Supervisor) -> None:
        self.__dict__['supervisor'] = supervisor

    def __setattr__(self, name: str, value: Any) -> None:
        self.supervisor.ended = self.__dict__['done'] = True
        self.__dict__[name] = value


def test_a_context_ends_as_its_main_thread_sits_down_to_wait() -> None:
    supervisor = Supervisor.__new__(Supervisor)
    supervisor.calls, supervisor.ended = [], False
    supervisor.waiter = Lost(supervisor)  # type: ignore[assignment]
    waited = []
    supervisor.home = types.SimpleNamespace(loop=types.SimpleNamespace(wait=waited.append))  # type: ignore[assignment]
    supervisor.serve()
    assert waited == [], 'nobody would wake it'
