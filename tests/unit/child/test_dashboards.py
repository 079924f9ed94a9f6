"""The pages of workers: which worker a request names, what the worker gets of it, and the ends of both sides."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from econtext.child.dashboards import address_of, carry, request_of

pytest.importorskip('tornado')
from tornado.iostream import IOStream, StreamClosedError  # noqa: E402


def worker(host: str, port: int | None, address: str) -> Any:
    return SimpleNamespace(host=host, services={} if port is None else {'dashboard': port}, address=address)


@pytest.mark.parametrize(('port', 'host', 'found'), [
    ('1', 'a', 'one'), ('2', 'a', 'two'), ('1', 'b', None), ('3', 'a', None), ('4', 'c', None), ('None', 'd', None),
])
def test_a_request_names_one_worker(port: str, host: str, found: str | None) -> None:
    workers = [worker('a', 1, 'one'), worker('a', 2, 'two'), worker('b', None, 'three'), worker('d', None, 'six'),
               # Two hosts whose names have become the same.
               worker('c', 4, 'four'), worker('c', 4, 'five')]
    assert address_of(workers, port, host) == found


@pytest.mark.parametrize(('headers', 'body', 'sent'), [
    ([('Host', 'h'), ('Connection', 'keep-alive')], b'', b'Host: h\r\nConnection: close\r\n\r\n'),
    ([('A', '1'), ('B', '2'), ('a', '3'), ('connection', 'b, close')], b'',
     b'A: 1\r\na: 3\r\nConnection: close\r\n\r\n'),
    ([('Connection', 'Upgrade'), ('Upgrade', 'websocket'), ('Sec-WebSocket-Key', 'x')], b'',
     b'Sec-WebSocket-Key: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'),
    ([('Transfer-Encoding', 'chunked'), ('Expect', '100-continue')], b'ab',
     b'Connection: close\r\nContent-Length: 2\r\n\r\nab'),
    ([('Content-Length', '0')], b'', b'Connection: close\r\nContent-Length: 0\r\n\r\n'),
    ([('X', 'Ã©')], b'', b'X: \xc3\xa9\r\nConnection: close\r\n\r\n'),
])
def test_what_a_worker_gets_of_a_request(headers: list[tuple[str, str]], body: bytes, sent: bytes) -> None:
    assert request_of('GET', '/a?b', 'HTTP/1.1', headers, body) == b'GET /a?b HTTP/1.1\r\n' + sent


@pytest.mark.parametrize('ends', ['source', 'target'])
def test_bytes_are_carried_until_either_side_ends(ends: str) -> None:
    async def carried() -> None:
        pairs = [[IOStream(end) for end in socket.socketpair()] for _ in range(2)]
        (near, source), (target, far) = pairs
        carry(source, target)
        if ends == 'source':
            text = bytes(range(256)) * 4096
            written = near.write(text)
            assert await far.read_bytes(len(text)) == text
            await written
            near.write(b'the last')
            near.close()
            assert await far.read_bytes(8) == b'the last'
            other = far
        else:
            far.close()
            near.write(b'a')
            other = near
        with pytest.raises(StreamClosedError):
            await other.read_bytes(1)
        other.close()
        assert source.closed()
        assert target.closed()

    asyncio.run(carried())
