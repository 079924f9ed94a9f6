"""A server of Dask in a context: what comes once its event loop has ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

from econtext.child.dask import Server


class Channel:
    """Nothing comes, until it is closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        self.closed.wait()
        return iter(())

    def close(self) -> None:
        self.closed.set()


def test_a_connection_for_pages_that_comes_behind_the_end_is_closed() -> None:
    server = object.__new__(Server)
    server.loop = asyncio.new_event_loop()
    server.loop.close()
    channel = Channel()
    server.take('pages', None, channel)
    assert channel.closed.wait(60)
