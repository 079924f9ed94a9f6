"""Which commands share a holder."""

from __future__ import annotations

from econtext.command_line.service.holder import Holder
from econtext.command_line.service.requests import RUN, Request


def request(*environment: bytes, cwd: bytes = b'/a', words: tuple[bytes, ...] = (b'run', b'h')) -> Request:
    return Request(RUN, b'', cwd, words=words, environment=environment)


def test_the_same_environment_shares() -> None:
    key = Holder.key(request(b'A=1', b'SSH_AUTH_SOCK=/x'))
    assert key == Holder.key(request(b'SSH_AUTH_SOCK=/x', b'A=1', b'SHLVL=3', b'_=/bin/x', cwd=b'/b'))
    assert key != Holder.key(request(b'A=1', b'SSH_AUTH_SOCK=/y'))
    assert key != Holder.key(request(b'A=1'))


def test_options_for_ssh_may_name_files_of_the_folder() -> None:
    for words in (b'run', b'-oIdentityFile=key', b'h'), (b'run', b'-o', b'IdentityFile=key', b'h'):
        assert Holder.folder(request(words=words)) == b'/a'
        assert Holder.key(request(words=words)) != Holder.key(request(words=words, cwd=b'/b'))
    assert Holder.folder(request()) == b'/'
