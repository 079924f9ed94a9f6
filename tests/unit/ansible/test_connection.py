"""What the plugins tell with -vvv: in the words of Ansible's own plugins, for whom these are read."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from econtext.ansible.connection import Persistent


class Plain:
    """In place of Ansible's own plugin."""

    _connected = True
    become = None
    _shell = SimpleNamespace()
    _play_context = SimpleNamespace(executable='/bin/sh')


class Told(Persistent, Plain):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.asked: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def way(self) -> dict[str, Any]:
        return {}

    def _carried_out(self, request: dict[str, Any]) -> tuple[int, bytes, bytes]:
        self.asked.append(request['what'])
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
