"""What the plugins tell with -vvv: in the words of Ansible's own plugins, for whom these are read."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from econtext.ansible import wire
from econtext.ansible.connection import Persistent, Stock


class Plain:
    """In place of Ansible's own plugin."""

    _connected = True
    become = None
    _shell = SimpleNamespace()
    _play_context = SimpleNamespace(executable='/bin/sh')

    def exec_command(self, cmd: str, in_data: Any = None, sudoable: bool = True) -> None:
        raise OSError('no terminal')

    def put_file(self, in_path: str, out_path: str) -> None:
        self.say(f'PUT {in_path} TO {out_path}')

    def fetch_file(self, in_path: str, out_path: str) -> None:
        self.say(f'FETCH {in_path} TO {out_path}')

    def say(self, text: str) -> None:
        raise NotImplementedError


class Told(Persistent, Plain):
    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.lines: list[str] = []
        self.asked: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def way(self) -> dict[str, Any]:
        return {}

    def _carried_out(self, request: dict[str, Any]) -> tuple[int, bytes, bytes]:
        self.asked.append(request['what'])
        if self.failure is not None:
            raise self.failure
        return 0, b'', b''


class Entered(Told):
    def started_by(self) -> str:
        return 'ssh -C host '


def test_how_the_host_is_entered_is_told_before_a_command() -> None:
    plugin = Entered()
    plugin.exec_command("/bin/sh -c 'echo ~'")
    assert plugin.lines == ["ECONTEXT COMMAND: EXEC ssh -C host /bin/sh -c 'echo ~'"]


def test_what_is_told(tmp_path: Path) -> None:
    source = tmp_path / 'source'
    source.touch()
    plugin = Told()
    plugin.exec_command("/bin/sh -c 'echo ~'")
    plugin.put_file(str(source), '/there')
    plugin.fetch_file('/there', '/here')
    assert plugin.asked == ['command', 'put', 'fetch']
    assert plugin.lines == ["ECONTEXT COMMAND: EXEC /bin/sh -c 'echo ~'", f'PUT {source} TO /there',
                            'FETCH /there TO /here']


class FakeLink:
    """A daemon that does nothing but note, and answer as it is told."""

    def __init__(self, order: list[str], *answers: tuple[str, Any]) -> None:
        self.order = order
        self.answers = list(answers)

    def ask(self, request: dict[str, Any], seconds: float | None) -> tuple[str, Any]:
        self.order.append(request['what'])
        return self.answers.pop(0)


class Ordered(Plain):
    """Notes when the stock plugin does something."""

    def __init__(self) -> None:
        self.order: list[str] = []

    def exec_command(self, *args: Any, **options: Any) -> tuple[int, bytes, bytes]:
        self.order.append('stock command')
        return 0, b'', b''

    def put_file(self, *args: Any) -> None:
        self.order.append('stock put')

    def fetch_file(self, *args: Any) -> None:
        self.order.append('stock fetch')


class NoWay(Persistent, Ordered):
    """A connection whose host turns out to be none for the daemon."""

    Unreachable, Failed = ConnectionError, ValueError

    def way(self) -> dict[str, Any]:
        raise Stock


def test_the_stock_plugin_comes_behind_what_the_daemon_has_deferred(tmp_path: Path) -> None:
    source = tmp_path / 'source'
    source.touch()
    plugin = NoWay()
    plugin.exec_command("/bin/sh -c 'echo ~'")
    assert plugin.order == ['stock command']
    link: Any = FakeLink(plugin.order, *[(wire.DONE, None)] * 3, (wire.LOST, 'full'), (wire.FAILED, 'no'))
    plugin._daemon_link = link
    plugin.exec_command("/bin/sh -c 'echo ~'")
    plugin.put_file(str(source), '/there')
    plugin.fetch_file('/there', '/here')
    assert plugin.order[1:] == ['catch up', 'stock command', 'catch up', 'stock put', 'catch up', 'stock fetch']
    with pytest.raises(ConnectionError, match='full'):
        plugin.exec_command("/bin/sh -c 'echo ~'")
    with pytest.raises(ValueError, match='no'):
        plugin.exec_command("/bin/sh -c 'echo ~'")
    assert plugin.order[7:] == ['catch up', 'catch up']


class Near(NoWay):
    carries_files = False

    def way(self) -> dict[str, Any]:
        return {}


def test_files_that_the_stock_plugin_copies_come_behind_what_the_daemon_has_deferred(tmp_path: Path) -> None:
    source = tmp_path / 'source'
    source.touch()
    plugin = Near()
    link: Any = FakeLink(plugin.order, *[(wire.DONE, None)] * 2)
    plugin._daemon_link = link
    plugin.put_file(str(source), '/there')
    plugin.fetch_file('/there', '/here')
    assert plugin.order == ['catch up', 'stock put', 'catch up', 'stock fetch']


def test_files_that_are_left_to_the_stock_plugin_are_told_once(tmp_path: Path) -> None:
    source = tmp_path / 'source'
    source.touch()
    plugin = Told(Stock())
    plugin.put_file(str(source), '/there')
    plugin.fetch_file('/there', '/here')
    assert plugin.asked == ['put', 'fetch']
    assert plugin.lines == [f'PUT {source} TO /there', 'FETCH /there TO /here']


def test_files_that_fail_are_told(tmp_path: Path) -> None:
    plugin = Told(Persistent.Failed('no room'))
    with pytest.raises(Persistent.Failed, match='no room'):
        plugin.fetch_file('/there', '/here')
    assert plugin.lines == ['FETCH /there TO /here']


def test_what_the_stock_plugin_raises_has_no_other_cause() -> None:
    with pytest.raises(OSError, match='no terminal') as caught:
        Told(Stock()).exec_command("/bin/sh -c 'true'")
    assert caught.value.__context__ is None


def test_no_plugin_goes_to_the_stock_plugin_past_what_the_daemon_has_deferred() -> None:
    plugins = Path(__file__).resolve().parents[3] / 'src' / 'ansible_collections' / 'econtext' / 'core' / 'plugins'
    assert (plugins / 'connection' / 'local.py').exists()
    names = [path.name for path in plugins.rglob('*.py') if 'stock.Connection.' in path.read_text()]
    assert names == []
