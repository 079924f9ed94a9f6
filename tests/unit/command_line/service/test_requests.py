"""What a command and the session server say to each other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.command_line.service import requests
from econtext.command_line.service.requests import BadRequest, Request, decoded

fields = st.binary(max_size=20).map(lambda data: data.replace(b'\0', b''))
lists = st.lists(fields, max_size=4)


@given(st.builds(
    Request, fields, fields, fields, st.integers(0, 0o777), st.lists(st.integers(1, 64), max_size=3), lists, lists,
    lists))
def test_a_request_comes_as_it_was(sent: Request) -> None:
    data = sent.encoded()
    found = decoded(data)
    assert found is not None
    assert vars(found) == vars(sent)
    # In pieces: nothing is taken for a request before it is whole.
    for end in range(0, len(data), 7):
        assert decoded(data[:end]) is None


@pytest.mark.parametrize('data', [
    b'x', b'-1\n', b'12345678901', b'99999999\n', b'3\nabcd', b'3\nabc', b'8\na\0b\0c\0d\0', b'\n', b' 1\n',
    b'15\nk\0k\0/\0' b'1\0' b'9\0' b'0\0' b'0\0' b'0', b'17\nk\0k\0/\0' b'x\0' b'0\0' b'0\0' b'0\0' b'0\0x',
])  # fmt: skip
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        decoded(data)


@given(st.binary(max_size=60))
def test_nothing_else_is_raised(data: bytes) -> None:
    try:
        decoded(b'%d\n' % len(data) + data)
    except BadRequest:
        pass


def test_where_the_socket_is() -> None:
    assert requests.folder({'XDG_RUNTIME_DIR': '/run/user/7', 'TMPDIR': '/x'}, 7) == '/run/user/7/econtext-serve'
    assert requests.folder({'TMPDIR': '/x'}, 7) == '/x/econtext-serve-7'
    assert requests.folder({}, 7) == '/tmp/econtext-serve-7'
    assert requests.socket_name(b'a') != requests.socket_name(b'b')


def test_the_key_tells_what_steers_python(monkeypatch: pytest.MonkeyPatch) -> None:
    before = requests.key()
    monkeypatch.setenv('SOMETHING', '1')
    assert requests.key() == before
    monkeypatch.setenv('PYTHONHASHSEED', '7')
    assert requests.key() != before


def test_a_folder_of_this_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / 'folder'
    assert not requests.private_folder(str(folder))
    folder.mkdir(mode=0o700)
    assert requests.private_folder(str(folder))
    (tmp_path / 'link').symlink_to(folder)
    assert not requests.private_folder(str(tmp_path / 'link'))
    folder.chmod(0o710)
    assert not requests.private_folder(str(folder))
    folder.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(folder, 12345, -1)
        assert not requests.private_folder(str(folder))
