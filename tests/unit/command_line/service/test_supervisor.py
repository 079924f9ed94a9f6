"""What the session server does with a command for which it has no process."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from econtext.command_line.service import requests
from econtext.command_line.service.clients import Client
from econtext.command_line.service.requests import EXHAUSTED, RUN, Request
from econtext.command_line.service.supervisor import Supervisor

pytestmark = pytest.mark.skipif(not sys.platform.startswith('linux'), reason='the session server needs Linux')


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def serve(supervisor: Supervisor, near: socket.socket, far: socket.socket, data: bytes, fds: list[int]) -> Client:
    """Have the server take what a command sends."""
    client = supervisor.clients[far.fileno()] = Client(far)
    socket.send_fds(near, [data], fds)
    supervisor.read(client)
    near.settimeout(10)
    return client


def test_without_a_process_the_command_runs_elsewhere(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    near, far = pair
    supervisor = Supervisor(60.0)
    supervisor.path = str(tmp_path / 'socket')
    monkeypatch.setattr(supervisor, 'is_outdated', lambda: False)

    def fork() -> int:
        raise OSError(errno.EAGAIN, 'no process')
    monkeypatch.setattr(os, 'fork', fork)
    before = len(os.listdir('/proc/self/fd'))
    sent = Request(RUN, requests.key(), os.fsencode(tmp_path), words=[b'run', b'h', b'x.py']).encoded()
    client = serve(supervisor, near, far, sent, [0, 1, 2])
    assert near.recv(9) == EXHAUSTED
    assert near.recv(9) == b''
    # Its connection and its descriptors are let go, with all that was begun for it.
    assert (client.fds, supervisor.clients, supervisor.holders) == ([], {}, {})
    assert len(os.listdir('/proc/self/fd')) == before - 1


def test_descriptors_that_found_no_place(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = pair
    supervisor = Supervisor(60.0)
    monkeypatch.setattr(supervisor, 'is_outdated', lambda: False)
    serve(supervisor, near, far, Request(RUN, requests.key(), b'/', words=[b'run']).encoded(), [0, 1])
    assert near.recv(9) == EXHAUSTED


def test_what_follows_a_request_are_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = socket.socketpair()
    with near, far:
        client = Client(far)
        sent = Request(RUN, b'', b'/').encoded()
        near.sendall(sent[:9])
        client.receive()
        assert client.request() is None
        near.sendall(sent[9:] + b'\x02\x0f')
        while (found := client.request()) is None:
            client.receive()
        assert (found.kind, client.sent, client.data) == (RUN, sent, b'\x02\x0f')
        assert client.since <= time.monotonic()
